import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.tree import DecisionTreeClassifier

from sktricks import AugmentedClassifier, NetClassifier
from sktricks.augment import (
    ColorJitter,
    CutMix,
    FeatureDropout,
    RandomAffine,
    RandomApply,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    make_augmentation_pipeline,
)

X = np.random.default_rng(0).random((400, 10, 14, 3)) * 0.9 + 0.1


def erased(**params):
    return (RandomErasing(random_state=0, **params).fit_transform(X) != X).all(axis=3)


def test_one_rectangle_per_image_with_probability_p():
    gone = erased(p=0.3)
    some = gone.any(axis=(1, 2))
    assert stats.binomtest(int(some.sum()), len(X), 0.3).pvalue > 0.01
    for hit in gone[some]:
        rows, columns = hit.any(axis=1).nonzero()[0], hit.any(axis=0).nonzero()[0]
        assert hit.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_areas_aspect_ratios_and_positions():
    boxes = RandomErasing(1, (0.1, 0.3), (0.5, 2)).draw(np.random.default_rng(0), 4000, (100, 100, 1))["box"]
    top, left, height, width = boxes.T
    assert stats.kstest(height * width / 1e4, stats.uniform(0.1, 0.2).cdf).statistic < 0.03  # whole pixels
    assert stats.kstest(np.log(width / height), stats.uniform(np.log(0.5), np.log(4)).cdf).statistic < 0.03
    for start, side in ((top, height), (left, width)):
        assert start.min() == 0 and (start + side).max() == 100
        places = (start + np.random.default_rng(1).random(4000)) / (101 - side)
        assert stats.kstest(places, stats.uniform(0, 1).cdf).pvalue > 0.01


def test_cutout():
    gone = erased(p=1, scale=(0.25, 0.25), ratio=(1, 1))
    assert set(gone.sum(axis=(1, 2)).tolist()) == {36}  # 6 x 6 pixels are closest to an area of 35


def test_fills():
    for fill, value in ((None, -1), (0.5, 0.5)):
        new = RandomErasing(1, fill=fill, value_range=(-1, 1), random_state=0).fit_transform(X)
        assert set(np.unique(new[new != X])) == {value}
    new = RandomErasing(1, fill="mean", random_state=0).fit_transform(X)
    hit = (new[7] != X[7]).all(axis=2)
    assert_allclose(new[7][hit], np.broadcast_to(X[7].mean(axis=(0, 1)), (hit.sum(), 3)))
    new = RandomErasing(1, fill="noise", value_range=(-1, 3), random_state=0).fit_transform(X)
    assert stats.kstest(new[new != X], stats.uniform(-1, 4).cdf).pvalue > 0.01


def test_an_interval_of_signals():
    signals = np.ones((200, 100))
    gone = RandomErasing(1, (0.2, 0.4), random_state=0).fit_transform(signals) == 0
    assert set(gone.sum(axis=1).tolist()) == set(range(20, 41))
    assert (np.abs(np.diff(gone.astype(int))).sum(axis=1) <= 2).all()


def test_zero_probability_is_identity():
    assert_array_equal(RandomErasing(0).fit_transform(X), X)


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (RandomErasing(1.5), "'p' parameter"),
        (RandomErasing(scale=(0.5, 0.2)), "scale must be a pair"),
        (RandomErasing(ratio=0.5), "'ratio' parameter|ratio must"),
        (RandomErasing(fill="white"), "'fill' parameter"),
    ],
)
def test_errors(augmenter, message):
    with pytest.raises(ValueError, match=message):
        augmenter.fit(X)


BYTES = np.full((6, 8, 9), 7, np.uint8)


@pytest.mark.parametrize("make", [RandomErasing, FeatureDropout])
def test_fill_nan_requires_floats(make):
    augmenter = make(p=1, fill=np.nan)
    for wrapped in (augmenter, RandomApply(augmenter), make_augmentation_pipeline(RandomFlip(), augmenter)):
        with pytest.raises(ValueError, match="fill is NaN, but X is uint8: use a finite fill, or convert X to floats"):
            wrapped.fit(BYTES)
    inside = make_augmentation_pipeline(ColorJitter(), augmenter, RandomRotation())
    for model in (NetClassifier(augmenter=inside), AugmentedClassifier(DecisionTreeClassifier(), inside)):
        with pytest.raises(ValueError, match="fill is NaN, but X is uint8"):
            model.fit(BYTES, np.arange(6) % 2)


@pytest.mark.parametrize("make", [RandomErasing, FeatureDropout, RandomRotation, RandomAffine])
@pytest.mark.parametrize("fill", [300, -1, 1e300, np.float32(256)])
def test_fill_outside_the_value_range(make, fill):
    with pytest.raises(ValueError, match=r"fill must lie in the value range \(0, 255\), got .*; value_range="):
        make(fill=fill).fit(BYTES)
    with pytest.raises(ValueError, match=r"fill must lie in the value range \(0, 255\)"):
        NetClassifier(augmenter=make(fill=fill)).fit(BYTES, np.arange(6) % 2)
    for inside in (0, 128.5, 255):
        make(fill=inside).fit(BYTES)
    make(fill=0).fit(BYTES + 5.5)  # black is allowed, although the darkest pixel is lighter


@pytest.mark.parametrize("make", [RandomErasing, FeatureDropout])
@pytest.mark.parametrize("fill", [np.inf, -np.inf])
def test_infinite_fill(make, fill):
    with pytest.raises(ValueError, match="fill must be finite, got -?inf"):
        make(fill=fill).fit(np.zeros((5, 4)))


def test_noise_requires_a_value_range():
    with pytest.raises(ValueError, match='fill="noise" requires a value range'):
        RandomErasing(fill="noise").fit(X[:, 0, :, 0])


# CutMix


def test_cutmix_pastes_a_rectangle_and_mixes_by_its_area():
    y = np.arange(len(X)) % 3
    augmenter = CutMix(random_state=0)
    new, P = augmenter.augment(X, y)
    params = augmenter.draw(augmenter._make_rng(), len(X), X.shape[1:])
    for k, partner in enumerate(params["partner"]):
        top, left, height, width = params["box"][k]
        expected = X[k].copy()
        expected[top : top + height, left : left + width] = X[partner][top : top + height, left : left + width]
        assert_array_equal(new[k], expected)
        share = 1 - height * width / 140
        assert_allclose(P[k], share * np.eye(3)[y[k]] + (1 - share) * np.eye(3)[y[partner]])


def test_cutmix_fractions_are_beta_distributed():
    shares = CutMix(0.6).draw(np.random.default_rng(0), 5000, (200, 100, 1))["share"]
    assert stats.kstest(shares, stats.beta(0.6, 0.6).cdf).statistic < 0.03  # whole pixels
    shares = CutMix(0.6).draw(np.random.default_rng(0), 5000, (1, 1000, 1))["share"]
    assert stats.kstest(shares, stats.beta(0.6, 0.6).cdf).statistic < 0.03


def test_cutmix_with_alpha_zero_is_identity_and_requires_labels():
    y = np.arange(len(X)) % 3
    new, P = CutMix(0).augment(X, y)
    assert_array_equal(new, X)
    assert_array_equal(P, np.eye(3)[y])
    with pytest.raises(ValueError, match="not among the classes"):
        CutMix().fit(X, y).augment(X, y + 1)
    with pytest.raises(ValueError, match="got no targets"):
        CutMix()._augment_images(X, CutMix()._make_rng(0), (0, 1))
    with pytest.raises(ValueError, match='target="classes" requires labels, but CutMix got no y'):
        CutMix(target="classes").fit_transform(X)


def test_cutmix_keeps_integers_exact():
    wide = np.random.default_rng(0).integers(2**60, 2**62, (10, 6, 6))
    new, _ = CutMix(random_state=0).augment(wide, np.arange(10) % 2)
    assert np.isin(new, wide).all()
