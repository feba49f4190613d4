"""A frozen backbone encodes fixed views of each row once."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from torch import nn

import sktricks.training._inputs
from sktricks import (
    ColorJitter,
    CutMix,
    FeatureCache,
    FineTuneClassifier,
    FineTuneRegressor,
    FreezeLayers,
    FrozenPrefixNotCachedWarning,
    MixUp,
    NoPretrainedBackboneWarning,
    RandomApply,
    RandomCrop,
    RandomRotation,
    SwapNoise,
    ViewsIgnoredWarning,
    load,
    make_augmentation_pipeline,
    save,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 2
GREY = (RNG.random((40, 8, 8)) * 100 + np.where(LABELS == 1, 130, 25)[:, None, None]).astype(np.uint8)
TURN = RandomRotation(30)


class Conv(nn.Module):
    """A backbone with fixed weights."""

    seen = []  # the rows of each forward pass that hold anything

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        Conv.seen.append(int((x.flatten(1) != 0).any(1).sum()))
        return self.conv(x).relu().mean((2, 3))


def net(augmenter=TURN, **params):
    settings = {"backbone": Conv, "strategy": "linear-probe", "max_epochs": 8, "random_state": 0, "cache": None}
    return FineTuneClassifier(augmenter=augmenter, **{**settings, **params})


def rows_seen(function):
    Conv.seen.clear()
    function()
    return sum(Conv.seen)


def test_each_view_is_encoded_once_whatever_the_epochs():
    fitted = net(n_views=4)
    assert rows_seen(lambda: fitted.fit(GREY, LABELS)) == 4 * 40
    fitted.predict(GREY[:7])  # tries out the size of small batches, with noise
    assert rows_seen(lambda: fitted.predict(GREY[:7])) == 7
    assert rows_seen(lambda: fitted.partial_fit(GREY[:10], LABELS[:10])) == 4 * 10
    assert fitted.score(GREY, LABELS) > 0.9


def test_rows_that_are_held_out_are_seen_as_they_are():
    early = net(n_views=4, early_stopping=True, validation_fraction=0.25)
    assert rows_seen(lambda: early.fit(GREY, LABELS)) == 4 * 30 + 10
    assert rows_seen(lambda: net(n_views=3).fit(GREY, LABELS, X_val=GREY[:9], y_val=LABELS[:9])) == 3 * 40 + 9


def test_a_search_shares_the_views():
    cache = FeatureCache()
    search = GridSearchCV(net(n_views=3, predict_views=2, cache=cache), {"lr": [1e-3, 1e-2]}, cv=4)
    search.fit(GREY, LABELS)
    assert cache.info().encoded == 3 * 40


def test_predict_views_are_encoded_once_too():
    cache = FeatureCache()
    fitted = net(n_views=1, predict_views=3, augmenter=TURN, strategy="fine-tune", cache=cache).fit(GREY, LABELS)
    assert fitted.predict_proba(GREY).shape == (40, 2) and cache.info().encoded == 0
    fitted = net(n_views=2, predict_views=3, cache=cache).fit(GREY, LABELS)
    fitted.predict(GREY)
    assert cache.info().encoded == 4 * 40  # the row, the view of training, which predictions share, and two more
    before = cache.info().encoded
    fitted.predict(GREY)
    assert cache.info().encoded == before


def test_another_view_of_each_row_in_each_epoch(monkeypatch):
    picked, pick_view = [], sktricks.training._inputs.pick_view

    def spy(x, *rest, rng):
        chosen, *rest = pick_view(x, *rest, rng=rng)
        picked.append((x == chosen[:, None]).all(2))
        return chosen, *rest

    monkeypatch.setattr(sktricks.training._inputs, "pick_view", spy)
    net(n_views=5, max_epochs=40).fit(GREY, LABELS)
    assert len(picked) == 40
    shares = torch.stack(picked).float().mean((0, 1))
    assert_allclose(shares, 0.2, atol=0.04)


def test_views_that_change_nothing_are_the_rows_alone():
    views, alone = net(RandomRotation(0), n_views=3, predict_views=2), net(None)
    assert_allclose(views.fit(GREY, LABELS).predict_proba(GREY), alone.fit(GREY, LABELS).predict_proba(GREY), atol=1e-6)


def test_without_an_augmenter_views_do_nothing():
    fitted = net(None, n_views=6, predict_views=3)
    with pytest.warns(ViewsIgnoredWarning, match="n_views=6 and predict_views=3 of FineTuneClassifier have no effect"):
        assert rows_seen(lambda: fitted.fit(GREY, LABELS)) == 40
    assert_array_equal(fitted.predict_proba(GREY), net(None).fit(GREY, LABELS).predict_proba(GREY))


def test_views_are_learned_from():
    fitted, plain = net(ColorJitter(brightness=0.9), n_views=6).fit(GREY, LABELS), net(None).fit(GREY, LABELS)
    weights = [one.net_.module_.head.linear.weight for one in (fitted, plain)]
    assert not torch.allclose(*weights)


def test_predictions_are_the_mean_over_views():
    fitted = net(n_views=2, predict_views=3).fit(GREY, LABELS)
    assert len(fitted._views) == 3
    whole = fitted.predict_proba(GREY)
    assert_allclose(np.concatenate([fitted.predict_proba(GREY[k : k + 1]) for k in range(40)]), whole, atol=1e-6)
    assert not np.allclose(whole, net(n_views=2).fit(GREY, LABELS).predict_proba(GREY), rtol=1e-3, atol=0)


def test_weights_of_rows_count_in_every_view():
    repeat = np.arange(40) % 3
    weighted = net(n_views=3).fit(GREY, LABELS, sample_weight=repeat)
    repeated = net(n_views=3).fit(GREY.repeat(repeat, 0), LABELS.repeat(repeat))
    standardize = [one.net_.module_.head.standardize for one in (weighted, repeated)]
    assert_allclose(standardize[0].mean, standardize[1].mean, rtol=1e-6)
    assert_allclose(standardize[0].scale, standardize[1].scale, rtol=1e-6)


@pytest.mark.parametrize(
    "augmenter",
    [
        RandomCrop((6, 6)),
        make_augmentation_pipeline(RandomCrop((7, 7)), RandomCrop((5, 5)), ColorJitter()),
        RandomApply(ColorJitter()),
    ],
)
def test_crops_and_others(augmenter):
    fitted = net(augmenter, n_views=3, predict_views=2).fit(GREY, LABELS)
    assert fitted.score(GREY, LABELS) > 0.9
    rows = net(augmenter, n_views=3, predict_views=2, image_shape=(8, 8)).fit(GREY.reshape(40, 64), LABELS)
    assert_array_equal(rows.predict_proba(GREY.reshape(40, 64)), fitted.predict_proba(GREY))


def test_a_crop_is_encoded_at_its_centre():
    def features(fitted, images):
        standardize = fitted.net_.module_.head.standardize
        return fitted._read_inputs(images[..., None], fit=False) * standardize.scale + standardize.mean

    cropped, centre = net(RandomCrop((6, 6)), n_views=2).fit(GREY, LABELS), net(None).fit(GREY[:, 1:7, 1:7], LABELS)
    assert_allclose(features(cropped, GREY), features(centre, GREY[:, 1:7, 1:7]), atol=1e-6)


@pytest.mark.parametrize("strategy", ["lp-ft", "fine-tune", "gradual"])
def test_a_trained_net_standardises_the_centres_of_its_crops(strategy):
    settings = {"strategy": strategy, "max_epochs": 2}
    cropped = net(RandomCrop((6, 6)), **settings).fit(GREY, LABELS).net_.module_.head.standardize
    centre = net(None, **settings).fit(GREY[:, 1:7, 1:7], LABELS).net_.module_.head.standardize
    assert_allclose(cropped.mean, centre.mean, rtol=1e-6)
    assert_allclose(cropped.scale, centre.scale, rtol=1e-6)


def test_regressors_warm_starts_and_archives(tmp_path):
    settings = {"backbone": "tiny32", "strategy": "linear-probe", "n_views": 3, "predict_views": 2, "max_epochs": 5}
    fitted = FineTuneRegressor(augmenter=TURN, random_state=0, warm_start=True, **settings)
    fitted.fit(GREY, GREY.mean((1, 2))).fit(GREY, GREY.mean((1, 2)))
    save(fitted, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert_allclose(again.predict(GREY), fitted.predict(GREY), rtol=1e-6)
    again.partial_fit(GREY, GREY.mean((1, 2)))


def test_views_of_image_files(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    paths = [tmp_path / f"{k}.png" for k in range(40)]
    for path, image in zip(paths, GREY, strict=True):
        Image.fromarray(image).save(path)
    files = net(n_views=3, predict_views=2, image_shape=(8, 8, 1)).fit([str(path) for path in paths], LABELS)
    images = net(n_views=3, predict_views=2).fit(GREY, LABELS)
    assert_allclose(files.predict_proba([str(path) for path in paths]), images.predict_proba(GREY), atol=1e-6)


def test_fixed_views_need_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(n_views=2).fit(GREY, LABELS)
    with pytest.warns(FrozenPrefixNotCachedWarning, match="n_views=8 to encode eight views"):
        net(n_views=1).fit(GREY, LABELS)


# -- errors ------------------------------------------------------------------------------------------------------------


def test_views_of_a_backbone_that_is_trained():
    for params in ({"strategy": "fine-tune"}, {"strategy": "lp-ft"}, {"strategy": "auto", "freeze_until": 0}):
        with pytest.raises(ValueError, match="n_views=2 requires a backbone that stays frozen.* the strategy"):
            net(n_views=2, **params).fit(GREY, LABELS)
    with pytest.raises(ValueError, match="cannot be combined with FreezeLayers in callbacks"):
        net(n_views=2, callbacks=[FreezeLayers("head", unfreeze_at=2)]).fit(GREY, LABELS)


@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
def test_views_of_a_table():
    with pytest.warns(NoPretrainedBackboneWarning), pytest.raises(ValueError, match="the strategy 'from-scratch'"):
        net(n_views=2).fit(GREY.reshape(40, 64), LABELS)


@pytest.mark.parametrize("mixing", [MixUp(), CutMix(), SwapNoise(), RandomApply(MixUp())])
def test_views_that_would_mix_rows(mixing):
    for augmenter in (mixing, make_augmentation_pipeline(TURN, mixing)):
        with pytest.raises(ValueError, match=f"n_views=2 fixes .* {type(augmenter).__name__}, which mixes rows"):
            net(augmenter, n_views=2).fit(GREY, LABELS)


@pytest.mark.parametrize("n_views", [0, 2.5, "many"])
def test_a_wrong_number_of_views(n_views):
    with pytest.raises(ValueError, match="'n_views' parameter of FineTuneClassifier"):
        net(n_views=n_views).fit(GREY, LABELS)


def test_an_augmenter_for_other_images():
    with pytest.raises(ValueError, match=r"image_shape=\(9, 9\) of RandomRotation does not match"):
        net(RandomRotation(image_shape=(9, 9)), n_views=2).fit(GREY, LABELS)
