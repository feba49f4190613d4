"""Predictions use the parameters of ``fit``, even if they are changed afterwards."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktricks import (
    AugmentedClassifier,
    FineTuneClassifier,
    ImageLoader,
    NetClassifier,
    PretrainedFeatures,
    RandomCrop,
    RandomRotation,
    load_backbone,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 2
IMAGES = (RNG.random((12, 8, 12, 3)) * 100 + np.where(LABELS == 1, 130, 25)[:, None, None, None]).astype(np.uint8)
TABLE = RNG.random((12, 6)) + LABELS[:, None]


class Conv(nn.Module):
    def __init__(self, n_outputs=4):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, n_outputs, 3)

    def forward(self, x):
        return self.second(self.first(x).relu()).mean((2, 3))


torch.manual_seed(0)
BICUBIC = load_backbone(Conv(), image_shape=8, mean=0.5, std=0.5, interpolation="bicubic")
NETS = {
    "augmenter": [None, RandomCrop(padding=3), RandomRotation(90)],
    "predict_views": [0, 5],
    "image_shape": [(9, 9)],
    "value_range": [None, (0, 9)],
    "device": ["meta"],
    "precision": ["bfloat16"],
    "loss": ["bce"],
    "random_state": [3],
}
TUNED = {
    **NETS,
    "backbone": ["lite0", BICUBIC],
    "resize_mode": ["crop"],
    "stages": [["second"]],
    "strategy": ["lp-ft"],
    "n_views": [1, 7],
    "cache": [None],
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for row, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).resize((24, 16)).save(folder / f"{row:02}.png")
    return sorted(map(str, folder.iterdir()))


def tuner(**params):
    return FineTuneClassifier(Conv, image_shape=8, max_epochs=2, random_state=0, **params)


def net(**params):
    return NetClassifier(max_epochs=2, random_state=0, **params)


def outputs(fitted, X):
    return getattr(fitted, "predict_proba" if hasattr(fitted, "predict_proba") else "transform")(X)


VIEWS = {"augmenter": RandomCrop(6), "predict_views": 2}
PROBE = {"strategy": "linear-probe", "n_views": 2}
CASES = {
    "frozen on files": (tuner(**PROBE, augmenter=RandomCrop(6), predict_views=2), "paths", TUNED),
    "trained on files": (tuner(strategy="fine-tune", **VIEWS), "paths", TUNED),
    "trained on images": (tuner(strategy="fine-tune").set_params(image_shape=None), "images", TUNED),
    "features of files": (
        PretrainedFeatures(Conv, image_shape=8),
        "paths",
        {name: TUNED[name] for name in ("backbone", "resize_mode", "stages", "value_range", "device", "image_shape")}
        | {"white_level": [1023], "precision": ["bfloat16"]},
    ),
    "loader": (
        ImageLoader(8),
        "paths",
        {"size": [9, None], "resize_mode": ["crop"], "mode": ["L"], "white_level": [9], "flatten": [True]},
    ),
    "net of images": (net(module=Conv, **VIEWS), "images", {**NETS, "module": ["mlp"]}),
    "net of a table": (net(), "table", {**NETS, "module": [nn.Linear], "image_shape": [(2, 3)]}),
    "copies of images": (
        AugmentedClassifier(LogisticRegression(), RandomCrop(6), n_copies=1, predict_views=2, random_state=0),
        "images",
        {name: NETS[name] for name in ("augmenter", "predict_views", "image_shape", "value_range", "random_state")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_predictions_do_not_depend_on_parameters_changed_after_fit(case, paths):
    estimator, kind, changes = CASES[case]
    X = {"paths": paths, "images": IMAGES, "table": TABLE}[kind]
    fitted = clone(estimator).fit(X, LABELS)
    expected = outputs(fitted, X)
    for name, values in changes.items():
        for value in values:
            before = getattr(fitted, name)
            fitted.set_params(**{name: value})
            np.testing.assert_array_equal(outputs(fitted, X), expected, err_msg=f"{name}={value!r}")
            fitted.set_params(**{name: before})


@pytest.mark.parametrize("case", ["frozen on files", "trained on files", "net of images", "copies of images"])
def test_predictions_do_not_depend_on_an_augmenter_changed_after_fit(case, paths):
    estimator, kind, _ = CASES[case]
    X = paths if kind == "paths" else IMAGES
    fitted = clone(estimator).fit(X, LABELS)
    expected = outputs(fitted, X)
    fitted.set_params(augmenter__size=7)
    np.testing.assert_array_equal(outputs(fitted, X), expected)


def test_an_unfitted_loader_uses_the_current_parameters(paths):
    loader = ImageLoader(8)
    assert loader.transform(paths).shape == (12, 8, 8, 3)
    assert loader.set_params(size=9).transform(paths).shape == (12, 9, 9, 3)
    assert loader.fit(paths).set_params(size=7).transform(paths).shape == (12, 9, 9, 3)
    assert loader.set_params(flatten=True).fit(paths).set_params(size=5).get_feature_names_out().shape == (7 * 7 * 3,)
