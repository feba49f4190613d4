"""Fixed views at prediction time, and mixed targets of every kind in training."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sktricks import (
    ColorJitter,
    CutMix,
    FineTuneClassifier,
    GaussianNoise,
    MixUp,
    NetClassifier,
    NetRegressor,
    ParametersIgnoredWarning,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    SwapNoise,
    ViewsIgnoredWarning,
    load,
    make_augmentation_pipeline,
    save,
)
from sktricks.augment.copies._views import apply_view

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)
IMAGES = RNG.integers(0, 256, (30, 6, 6, 1)).astype(np.uint8)
SHADES = np.arange(30) % 3
SMALL = {"max_epochs": 2, "batch_size": 20, "random_state": 0}
VIEWS = make_augmentation_pipeline(RandomRotation(), RandomErasing(p=1), ColorJitter(brightness=0.5), GaussianNoise())


class ConvNet(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


def on_images(augmenter=VIEWS, **params):
    return NetClassifier(ConvNet, augmenter=augmenter, **{**SMALL, **params})


def without_views(net):
    twin = copy.deepcopy(net)
    twin._views = []
    return twin


def test_probabilities_are_the_mean_over_the_rows_and_their_views():
    net = on_images(predict_views=3).fit(IMAGES, SHADES)
    plain, seen = without_views(net), [apply_view(view, IMAGES, (0.0, 255.0)) for view in net._views]
    assert len(seen) == 3 and len({images.tobytes() for images in seen}) == 3
    expected = np.mean([plain.predict_proba(images) for images in (IMAGES, *seen)], axis=0)
    assert_allclose(net.predict_proba(IMAGES), expected, atol=1e-6)
    assert_array_equal(net.predict(IMAGES), expected.argmax(1))


def test_values_are_the_mean_over_the_rows_and_their_views():
    noise = GaussianNoise(std=0.3)
    for values in (X[:, 0], X[:, :2]):
        net = NetRegressor(augmenter=noise, predict_views=2, **SMALL).fit(X, values)
        seen = [apply_view(view, X[:, None, :, None], None)[:, 0, :, 0] for view in net._views]
        expected = np.mean([without_views(net).predict(rows) for rows in (X, *seen)], axis=0)
        assert_allclose(net.predict(X), expected, rtol=1e-5, atol=1e-7)


def test_a_prediction_depends_on_its_row_only():
    net = on_images(predict_views=3).fit(IMAGES, SHADES)
    whole = net.predict_proba(IMAGES)
    assert_array_equal(net.predict_proba(IMAGES), whole)
    assert_allclose(np.concatenate([net.predict_proba(IMAGES[k : k + 1]) for k in range(30)]), whole, atol=1e-6)


def test_views_change_nothing_in_training():
    with_views, without = on_images(predict_views=5).fit(IMAGES, SHADES), on_images().fit(IMAGES, SHADES)
    one, other = (net.net_.module_.state_dict() for net in (with_views, without))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_int_gives_the_same_views_and_an_augmenter_may_have_its_own():
    def proba(**params):
        return on_images(predict_views=2, **params).fit(IMAGES, SHADES).predict_proba(IMAGES)

    assert_array_equal(proba(), proba())
    own = ColorJitter(random_state=3)
    net = on_images(own, predict_views=3).fit(IMAGES, SHADES)
    factors = [view[0][1]["brightness"].item() for view in net._views]
    assert len(set(factors)) == 3
    assert [view[0][1]["brightness"].item() for view in net.fit(IMAGES, SHADES)._views] == factors


@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
def test_steps_that_mix_rows_have_no_part_in_views():
    mixing = make_augmentation_pipeline(MixUp(), SwapNoise(), CutMix())
    net = NetClassifier(augmenter=mixing, predict_views=2, **SMALL)
    with pytest.warns(ViewsIgnoredWarning, match="predict_views=2 of NetClassifier has no effect.* only mixes rows"):
        net.fit(X, Y)
    assert net._views == []
    net = NetClassifier(augmenter=make_augmentation_pipeline(mixing, RandomRotation(0)), predict_views=2, **SMALL)
    net.fit(X, Y, X_val=X, y_val=Y)
    assert_allclose(net.predict_proba(X), without_views(net).predict_proba(X))


def test_without_an_augmenter_there_is_one_view():
    net = NetClassifier(predict_views=4, **SMALL)
    with pytest.warns(ViewsIgnoredWarning, match="predict_views=4 of NetClassifier has no effect.*augmenter=None"):
        net.fit(X, Y)
    assert_array_equal(net.predict_proba(X), NetClassifier(**SMALL).fit(X, Y).predict_proba(X))


def test_views_of_a_crop():
    crop = make_augmentation_pipeline(RandomCrop((5, 5)), RandomFlip(), RandomCrop((4, 4)))
    net = on_images(crop, predict_views=3).fit(IMAGES, SHADES)
    assert net.predict_proba(IMAGES).shape == (30, 3)


def test_views_stay_through_partial_fit_and_pickles(tmp_path):
    net = on_images(predict_views=2).partial_fit(IMAGES, SHADES)
    views = copy.deepcopy(net._views)
    net.partial_fit(IMAGES, SHADES)
    for one, other in zip(views, net._views, strict=True):
        for (_, first), (_, second) in zip(one, other, strict=True):
            assert all(np.array_equal(first[name], second[name]) for name in first)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(IMAGES), net.predict_proba(IMAGES))


def test_views_are_saved(tmp_path):
    net = NetClassifier(augmenter=GaussianNoise(std=0.5), predict_views=2, **SMALL).fit(X, Y)
    save(net, tmp_path / "net.safetensors")
    assert_array_equal(load(tmp_path / "net.safetensors").predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize("predict_views", [-1, 1.5, None])
def test_a_wrong_number_of_views(predict_views):
    with pytest.raises(ValueError, match="'predict_views' parameter of NetClassifier"):
        NetClassifier(predict_views=predict_views).fit(X, Y)


# -- mixing ------------------------------------------------------------------------------------------------------------

SOFT = RNG.dirichlet(np.ones(3), 40)
SEVERAL = RNG.integers(0, 2, (40, 3))
TARGETS = {
    "labels": (NetClassifier, Y, {}),
    "strings": (NetClassifier, np.array(["no", "yes"])[Y], {}),
    "weighted classes": (NetClassifier, Y, {"class_weight": "balanced", "label_smoothing": 0.1}),
    "soft": (NetClassifier, SOFT, {"label_smoothing": 0.1}),
    "several labels": (NetClassifier, SEVERAL, {"label_smoothing": 0.1}),
    "held out": (NetClassifier, Y, {"early_stopping": True, "validation_fraction": 0.25}),
    "values": (NetRegressor, X[:, 0], {}),
    "integers as values": (NetRegressor, np.arange(40), {}),
    "several values": (NetRegressor, X[:, :2], {"loss": "huber"}),
}


class Remembers(nn.Module):
    """A loss that records its targets."""

    def __init__(self, loss):
        super().__init__()
        self.loss, self.reduction, self.targets = loss(reduction="none"), "none", []

    def forward(self, outputs, y):
        self.targets.append(y.detach().clone())
        return self.loss(outputs, y)


@pytest.mark.parametrize("augmenter", [MixUp(alpha=1.0), CutMix(), make_augmentation_pipeline(CutMix(), MixUp())])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_kind_of_target_is_mixed(kind, augmenter):
    cls, y, params = TARGETS[kind]
    net = cls(augmenter=augmenter, **{**SMALL, **params}).fit(X, y, sample_weight=np.linspace(1, 2, 40))
    assert np.isfinite(net.predict(X) if cls is NetRegressor else net.predict_proba(X)).all()
    loss = nn.MSELoss if cls is NetRegressor else nn.BCEWithLogitsLoss if y is SEVERAL else nn.CrossEntropyLoss
    net.set_params(loss=Remembers(loss), **({} if cls is NetRegressor else {"label_smoothing": 0.0})).fit(X, y)
    mixed = torch.cat([batch for batch in net.net_.criterion_.targets if batch.is_floating_point()])
    if cls is NetClassifier and y is not SEVERAL:
        assert_allclose(mixed.sum(1), 1, atol=1e-6)
    pure = np.eye(2)[y] if y.ndim == 1 and cls is NetClassifier and y.dtype.kind == "i" else y.reshape(40, -1)
    if y.dtype.kind != "U":
        assert len(np.unique(mixed.numpy().round(4), axis=0)) > len(np.unique(pure, axis=0))


def test_mixed_images_and_targets_belong_together():
    """The brightness of every image equals its target, also after mixing."""
    shades = RNG.integers(0, 256, 30).astype(np.uint8)
    images, seen = np.broadcast_to(shades[:, None, None], (30, 6, 6)).copy(), []

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.scale * x.mean((1, 2, 3))

    def loss(outputs, y):
        seen.append((outputs.detach().flatten(), y.flatten()))
        return (outputs - y) ** 2

    for augmenter in (MixUp(alpha=1.0), CutMix()):
        NetRegressor(Mean, augmenter=augmenter, loss=loss, lr=1e-9, **SMALL).fit(images, shades / 255.0)
    for brightness, target in seen:
        assert_allclose(brightness, target, atol=3e-3)


def test_views_follow_an_augmenter_that_is_changed_before_a_later_training():
    net = on_images(predict_views=3).partial_fit(IMAGES, SHADES)
    before = net._views
    assert net.set_params(augmenter=VIEWS).partial_fit(IMAGES, SHADES)._views is before
    net.set_params(augmenter=RandomFlip(p=1)).partial_fit(IMAGES, SHADES)
    assert [[type(step) for step, _ in view] for view in net._views] == [[RandomFlip]] * 3
    alone = without_views(net)
    mean = (alone.predict_proba(IMAGES) + 3 * alone.predict_proba(IMAGES[:, :, ::-1])) / 4
    assert_allclose(net.predict_proba(IMAGES), mean, atol=1e-6)
    with pytest.warns(ViewsIgnoredWarning, match="predict_views=3 of NetClassifier has no effect"):
        net.set_params(augmenter=None).partial_fit(IMAGES, SHADES)
    assert_array_equal(net.predict_proba(IMAGES), without_views(net).predict_proba(IMAGES))


def test_a_changed_augmenter_is_checked_before_a_later_training():
    net = on_images(RandomFlip(), predict_views=2).partial_fit(IMAGES, SHADES)
    before = net.predict_proba(IMAGES)
    with pytest.raises(ValueError, match="size"):
        net.set_params(augmenter=RandomCrop(9)).partial_fit(IMAGES, SHADES)
    assert_array_equal(net.predict_proba(IMAGES), before)


def test_views_of_a_frozen_net_stay_those_of_the_first_fit():
    net = FineTuneClassifier(
        ConvNet(3), augmenter=RandomFlip(), n_views=3, predict_views=2, freeze_until="head", **SMALL
    )
    net.fit(IMAGES, SHADES)
    before = net._views, net._fit_views
    with pytest.warns(ParametersIgnoredWarning, match="augmenter="):
        net.set_params(augmenter=None).partial_fit(IMAGES, SHADES)
    assert (net._views, net._fit_views) == before
    assert net.predict_proba(IMAGES).shape == (30, 3)
