import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from sktricks.augment import FeatureDropout, GaussianNoise, RandomFlip, SwapNoise, make_augmentation_pipeline
from sktricks.augment.kernels._counter import draw_keys, expand, expand_normal

X = np.arange(1, 4001.0).reshape(400, 10)


# the random number generator


def test_expanded_numbers_are_uniform_and_independent():
    numbers = expand(draw_keys(np.random.default_rng(0), 300), 100)
    assert numbers.min() > 0 and numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.01
    for shift in ((1, 0), (0, 1), (1, 1)):
        moved = np.roll(numbers, shift, axis=(0, 1))
        assert abs(np.corrcoef(numbers.ravel(), moved.ravel())[0, 1]) < 0.02
    assert stats.chisquare(np.histogram(numbers, 64)[0]).pvalue > 0.01
    assert stats.kstest(expand_normal(draw_keys(np.random.default_rng(1), 300), 100).ravel(), "norm").pvalue > 0.01


def test_adjacent_keys_and_streams_are_independent():
    keys = np.arange(50, dtype=np.uint64)
    numbers = [expand(keys, 40), expand(keys, 40, stream=1)]
    assert abs(np.corrcoef(numbers[0][1:].ravel(), numbers[0][:-1].ravel())[0, 1]) < 0.05
    assert not np.intersect1d(*numbers).size


# noise


def test_noise_is_normal_and_in_units_of_x():
    new = GaussianNoise(2.0, random_state=0).fit_transform(X)
    assert stats.kstest((new - X).ravel() / 2, "norm").pvalue > 0.01


def test_noise_of_images_is_in_units_of_their_range():
    images = np.full((200, 6, 6, 1), 128, dtype=np.uint8)
    new = GaussianNoise(0.1, random_state=0).fit_transform(images)
    assert abs(new.std() - 25.5) < 1
    loud = GaussianNoise(3.0, random_state=0).fit_transform(images)
    assert loud.min() == 0 and loud.max() == 255
    assert_array_equal(GaussianNoise(0).fit_transform(images), images)


# dropout


def test_dropout():
    new = FeatureDropout(0.3, fill=-1, random_state=0).fit_transform(X)
    gone = new == -1
    assert_array_equal(new[~gone], X[~gone])
    assert stats.binomtest(int(gone.sum()), X.size, 0.3).pvalue > 0.01
    assert stats.chisquare(gone.sum(axis=0)).pvalue > 0.01
    assert_array_equal(FeatureDropout(0).fit_transform(X), X)
    assert not FeatureDropout(1).fit_transform(X).any()


# swaps


def test_swaps_take_from_the_same_column_of_any_row():
    new = SwapNoise(0.4, random_state=0).fit_transform(X)
    swapped = new != X
    assert stats.binomtest(int(swapped.sum()), X.size, 0.4 * 399 / 400).pvalue > 0.01
    assert_array_equal((new - 1) % 10, (X - 1) % 10)
    givers = ((new - 1) // 10)[swapped]
    assert stats.kstest(givers / 400, "uniform").pvalue > 0.01
    rows = np.nonzero(swapped)[0]
    several = [givers[rows == row] for row in range(400)]
    assert np.mean([len(set(g.tolist())) / max(1, len(g)) for g in several]) > 0.95  # own source rows
    assert_array_equal(SwapNoise(0).fit_transform(X), X)


def test_swaps_after_another_step_use_its_output():
    negative = make_augmentation_pipeline(RandomFlip(1), SwapNoise(0.5), random_state=0).fit_transform(X)
    assert_array_equal((negative - 1) % 10, (X[:, ::-1] - 1) % 10)
    assert (negative != X[:, ::-1]).any()


def test_swaps_keep_wide_integers():
    wide = np.random.default_rng(0).integers(2**60, 2**62, (30, 4))
    new = SwapNoise(0.5, random_state=0).fit_transform(wide)
    assert all(np.isin(new[:, j], wide[:, j]).all() for j in range(4))


@pytest.mark.parametrize(
    ("augmenter", "name"),
    [
        (GaussianNoise(-1), "std"),
        (FeatureDropout(1.1), "p"),
        (FeatureDropout(-0.1), "p"),
        (FeatureDropout(fill="a"), "fill"),
        (SwapNoise(2), "p"),
    ],
)
def test_errors(augmenter, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {type(augmenter).__name__} must be"):
        augmenter.fit(X)
