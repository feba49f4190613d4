"""Converters of augmenters, as steps of a Pipeline and in nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import FineTuneClassifier, NetClassifier
from sktricks.augment import (
    AugmentationPipeline,
    BaseAugmenter,
    GaussianNoise,
    MixUp,
    RandomApply,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    make_augmentation_pipeline,
)
from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.deploy.converters._registry import CONVERTERS, find_converter

from ._agreement import assert_agrees

ROWS, CODES = (part[:64] for part in load_digits(return_X_y=True))
IMAGES = (ROWS * 15.9).astype(np.uint8).reshape(-1, 8, 8)
QUICK = {"max_epochs": 1, "random_state": 0}


@pytest.mark.parametrize(
    "augmenter",
    [
        RandomFlip(),
        RandomCrop(5),
        RandomCrop((9, 8), padding=1, fill=1),
        RandomCrop((8, 11), padding=3, border="reflect"),
        RandomResizedCrop((12, 5)),
        RandomApply(RandomFlip()),
        make_augmentation_pipeline(RandomCrop(6), RandomResizedCrop(9), GaussianNoise(5)),
    ],
    ids=lambda augmenter: type(augmenter).__name__,
)
def test_images_and_rows(augmenter):
    color = np.stack([IMAGES, 255 - IMAGES, IMAGES[:, ::-1]], axis=-1)
    for X in (IMAGES, color, color / 255, IMAGES.astype(np.float32)):
        assert_agrees(augmenter.fit(X), X, 1e-6)
    assert_agrees(augmenter.set_params(image_shape=8).fit(ROWS), ROWS, 1e-5)


def test_every_augmenter_has_a_converter():
    find_converter(RandomFlip())  # imports all converters
    classes = [BaseAugmenter]
    for one in classes:  # the list grows while it is iterated over
        classes += [other for other in one.__subclasses__() if other.__module__.startswith("sktricks.")]
    names = {f"sktricks.augment.{one.__name__}" for one in classes if not one.__name__.endswith("Augmenter")}
    assert names <= CONVERTERS.keys() and len(names) > 10


def test_in_a_pipeline_and_in_nets():
    augmenter = AugmentationPipeline([("crop", RandomCrop(6)), ("flip", RandomFlip())], image_shape=8)
    assert_agrees(make_pipeline(augmenter, StandardScaler()).fit(ROWS), ROWS, 1e-6)
    net = NetClassifier(image_shape=8, augmenter=RandomResizedCrop(6), **QUICK)
    assert_agrees(net.fit(ROWS, CODES), ROWS, 1e-5)
    for augmenter in (MixUp(), RandomCrop((1, 64), padding=2)):
        assert_agrees(NetClassifier(augmenter=augmenter, **QUICK).fit(ROWS, CODES), ROWS, 1e-5)


def test_in_a_fine_tuned_net():
    net = FineTuneClassifier("tiny32", augmenter=RandomCrop(7), n_views=2, strategy="linear-probe", **QUICK)
    assert_agrees(net.fit(IMAGES, CODES), IMAGES, 1e-5)


class Dark(BaseAugmenter):
    """A user's augmenter that changes images at prediction time."""

    def apply(self, images, params, value_range):
        return images

    def center_images(self, images, value_range=None):
        return images // 2


def test_refuses_views_cropped_rows_and_code_of_the_user():
    net = NetClassifier(image_shape=8, augmenter=RandomFlip(), predict_views=2, **QUICK).fit(ROWS, CODES)
    with pytest.raises(UnsupportedForOnnxError, match="predict_views=2.*predict_views=0"):
        build_model(net, ROWS)
    with pytest.raises(UnsupportedForOnnxError, match="Dark, which changes images"):
        build_model(NetClassifier(augmenter=Dark(), **QUICK).fit(IMAGES, CODES), IMAGES)
    with pytest.raises(UnsupportedForOnnxError, match="crops rows"):
        net = NetClassifier(torch.nn.Linear(60, 10), augmenter=RandomCrop((1, 60)), **QUICK)
        build_model(net.fit(ROWS, CODES), ROWS)
