"""Augmenters that change the shape of rows: if the module does not accept it, an error names the augmenter."""

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import (
    FineTuneClassifier,
    GaussianNoise,
    NetClassifier,
    NetRegressor,
    RandomCrop,
    make_augmentation_pipeline,
)
from sktricks.training._modules import ResidualMLP

X = np.random.default_rng(0).normal(size=(20, 64))
Y = np.arange(20) % 2
NARROW, SMALL = RandomCrop((1, 60)), RandomCrop(6)
TABLE = r"rows that the module accepts, got .*\(1, 60\).*: rows of 64 columns become rows of 60 columns"
IMAGES = r"rows that the {} accepts, got RandomCrop\(size=6\): images of shape \(8, 8, 1\) become .*6, 6, 1"
QUICK = {"max_epochs": 1, "random_state": 0}


class Flat(nn.Module):
    def __init__(self, n_features=64, n_outputs=2):
        super().__init__()
        self.inner, self.outer = nn.Linear(n_features, 4), nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.outer(self.inner(x.flatten(1)))


@pytest.mark.parametrize(
    "net",
    [
        NetClassifier(augmenter=NARROW, **QUICK),
        NetRegressor(augmenter=make_augmentation_pipeline(NARROW, GaussianNoise(0.1)), **QUICK),
        NetClassifier(nn.Linear(64, 2), augmenter=NARROW, **QUICK),
        FineTuneClassifier(augmenter=NARROW, **QUICK),
    ],
    ids=["mlp", "pipeline", "instance", "fine-tune"],
)
@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
def test_fewer_columns_than_the_module_takes(net):
    with pytest.raises(ValueError, match=TABLE):
        net.fit(X, Y)
    assert not hasattr(net, "n_features_in_")


@pytest.mark.parametrize("module", [Flat, nn.Linear(60, 2)], ids=["class", "instance"])
def test_a_module_for_fewer_columns(module):
    net = NetClassifier(module, augmenter=NARROW, **QUICK).fit(X, Y)
    assert net.predict_proba(X).shape == (20, 2)
    if module is Flat:
        assert net.net_.module_.inner.in_features == 60


def test_a_table_with_gaps_needs_all_columns():
    with pytest.raises(ValueError, match=r"augmenter must keep the 64 columns of a table with missing .* returns 60"):
        NetClassifier(augmenter=NARROW, **QUICK).fit(np.where(X > 2, np.nan, X), Y)


@pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune", "lp-ft"])
def test_smaller_images_than_the_backbone_takes(strategy):
    net = FineTuneClassifier(Flat, image_shape=8, augmenter=SMALL, strategy=strategy, **QUICK)
    with pytest.raises(ValueError, match=IMAGES.format("backbone")):
        net.set_params(n_views=2 if strategy == "linear-probe" else 1).fit(X, Y)


def test_smaller_images_than_the_module_takes():
    with pytest.raises(ValueError, match=IMAGES.format("module")):
        NetClassifier(Flat(), image_shape=8, augmenter=SMALL, **QUICK).fit(X, Y)
    assert NetClassifier(image_shape=8, augmenter=SMALL, **QUICK).fit(X, Y).predict(X).shape == (20,)


def test_another_shape_in_a_later_training():
    net = NetClassifier(image_shape=8, augmenter=SMALL, **QUICK).fit(X, Y)
    expected = net.predict_proba(X)
    for other, change in ((None, "stay unchanged"), (RandomCrop(5), r"become images of shape \(5, 5, 1\)")):
        with pytest.raises(ValueError, match=rf"images of shape \(8, 8, 1\) {change}, .* must have 36 columns"):
            net.set_params(augmenter=other).partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), expected)
    net.set_params(augmenter=RandomCrop(6, padding=1)).partial_fit(X, Y)


def test_parts_of_the_module_keep_their_modes():
    """The two test rows are run in evaluation mode, and do not change statistics."""
    module = nn.Sequential(nn.Linear(60, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net = NetClassifier(module, augmenter=NARROW, **QUICK).fit(X, Y)
    assert int(net.net_.module_[1].num_batches_tracked) == 1


def test_the_default_module_takes_its_own_number_of_columns():
    """Otherwise it would ignore the last columns, or treat them as categories."""
    for n_categories, n_columns in (((), 3), ((2, 2), 5)):
        module = ResidualMLP(3, 2, n_categories=n_categories)
        assert module(torch.ones(4, n_columns)).shape == (4, 2)
        for wrong in (n_columns - 1, n_columns + 1):
            with pytest.raises(ValueError, match=f"must have {n_columns} columns for module='mlp', got {wrong}"):
                module(torch.ones(4, wrong))
