import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from sktricks.augment import (
    ColorJitter,
    GaussianBlur,
    MixUp,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    SwapNoise,
    make_augmentation_pipeline,
)

X = np.random.default_rng(0).random((600, 6, 6, 3))
y = np.arange(600) % 2


@pytest.mark.parametrize(
    "augmenter",
    [
        RandomRotation(90),
        ColorJitter(),
        GaussianBlur(1.0),
        SwapNoise(0.5),
        RandomErasing(1),
        make_augmentation_pipeline(RandomFlip(1), ColorJitter(), GaussianBlur()),
    ],
    ids=lambda augmenter: type(augmenter).__name__,
)
def test_only_chosen_rows_change(augmenter):
    new = RandomApply(augmenter, 0.4, random_state=0).fit_transform(X)
    changed = (new != X).any(axis=(1, 2, 3))
    assert stats.binomtest(int(changed.sum()), len(X), 0.4).pvalue > 0.01
    own, _ = RandomApply(augmenter, random_state=0)._make_rng()
    assert_array_equal(changed, own.random(len(X)) < 0.4)
    assert_array_equal(RandomApply(augmenter, 0).fit_transform(X), X)


def test_probability_one_equals_the_augmenter():
    inner = make_augmentation_pipeline(RandomRotation(random_state=1), ColorJitter(random_state=2))
    assert_array_equal(RandomApply(inner, 1).fit_transform(X), inner.fit_transform(X))


def test_nesting_multiplies_the_probabilities():
    new = RandomApply(RandomApply(RandomFlip(1), 0.5), 0.5, random_state=0).fit_transform(X)
    changed = (new != X).any(axis=(1, 2, 3))
    assert stats.binomtest(int(changed.sum()), len(X), 0.25).pvalue > 0.01


def test_targets_of_other_rows_are_unchanged():
    new, P = RandomApply(MixUp(1.0), 0.5, random_state=0).augment(X, y)
    same = (new == X).all(axis=(1, 2, 3))
    assert 200 < same.sum() < 400
    assert_array_equal(P[same], np.eye(2)[y[same]])
    assert (np.abs(P[~same] - np.eye(2)[y[~same]]).max(axis=1) > 0).any()


def test_errors():
    with pytest.raises(ValueError, match=r"must keep the shape of the images: RandomCrop changes \(6, 6, 3\) to"):
        RandomApply(RandomCrop(4)).fit(X)
    with pytest.raises(ValueError, match="'p' parameter of RandomApply"):
        RandomApply(RandomFlip(), 1.1).fit(X)
    with pytest.raises(ValueError, match="'augmenter' parameter of RandomApply"):
        RandomApply("flip").fit(X)
    with pytest.raises(ValueError, match="'p' parameter of RandomFlip"):
        RandomApply(RandomFlip(2)).fit(X)
