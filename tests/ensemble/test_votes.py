import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktricks.ensemble import _votes
from sktricks.ensemble._votes import (
    apply_temperatures,
    as_binary,
    average,
    count_votes,
    find_ties,
    geometric,
    hard_vote,
    one_hot,
    split_ties,
    weighted_median,
)

rng = np.random.default_rng(0)
codes = rng.integers(0, 4, (5, 300))
probabilities = rng.dirichlet(np.ones(4), (5, 300))
weights = np.array([0.5, 1.0, 0.0, 2.0, 1.5])


def slow_winners(codes, weights):
    return np.array([np.bincount(row, weights=weights, minlength=4).argmax() for row in codes.T])


@pytest.mark.parametrize("weights", [None, weights, np.full(5, 0.1)], ids=["none", "given", "equal"])
@pytest.mark.parametrize("chunk", [8, 1 << 18])
def test_a_hard_vote_counts_and_takes_the_first_of_tied_ones(weights, chunk, monkeypatch):
    monkeypatch.setattr(_votes, "CHUNK", chunk)
    assert_array_equal(hard_vote(codes, 4, weights), slow_winners(codes, weights))
    counts = count_votes(codes, 4, weights)
    assert_allclose(
        counts, np.average(one_hot(codes, 4), axis=0, weights=weights) * (5 if weights is None else sum(weights))
    )


def test_ties():
    tied = find_ties(np.array([[2.0, 2.0, 1.0], [0.1 + 0.2, 0.3, 0.0], [1.0, 3.0, 1.0]]))
    assert_array_equal(tied, [[True, True, False], [True, True, False], [False, True, False]])


def test_tied_winners_split_their_joint_fraction_by_their_probability():
    fractions = np.array([[0.4, 0.4, 0.2], [0.1 + 0.2, 0.3, 0.4], [0.25, 0.25, 0.5], [0.1 + 0.2, 0.3, 0.0]])
    likely = np.array([[0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.9, 0.1, 0.0], [0.4, 0.4 + 1e-16, 0.2]])
    split = split_ties(fractions, likely)
    assert_array_equal(split[1:3], fractions[1:3])  # classes that do not win may be tied
    assert_allclose(split.sum(axis=1), fractions.sum(axis=1), rtol=1e-15)
    assert split[0, 2] == 0.2 and 0.4 < split[0, 1] < 0.5 and 0.3 < split[0, 0] < 0.4
    assert split[3, 1] > split[3, 0]
    assert_array_equal(split_ties(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])), [[0.5, 0.5]])
    third = np.full((1, 3), 1 / 3)
    assert_allclose(split_ties(third, np.array([[0.2, 0.5, 0.3]])), [[5 / 18, 7 / 18, 6 / 18]])


def test_means():
    assert_allclose(average(probabilities, weights), np.einsum("m,mnk->nk", weights / weights.sum(), probabilities))
    product = np.prod(probabilities ** (weights / weights.sum())[:, None, None], axis=0)
    assert_allclose(geometric(probabilities, weights), product / product.sum(axis=1, keepdims=True))
    assert_allclose(geometric(np.array([[[0.0, 1.0]], [[0.0, 1.0]]])), [[0, 1]], atol=1e-9)


def test_temperatures():
    tempered = apply_temperatures(probabilities, [1, 2, 0.5, 1, 1])
    assert_array_equal(tempered[[0, 3, 4]], probabilities[[0, 3, 4]])
    root = np.sqrt(probabilities[1])
    assert_allclose(tempered[1], root / root.sum(axis=1, keepdims=True))
    assert np.all(tempered[2].max(axis=1) >= probabilities[2].max(axis=1))


@pytest.mark.parametrize("members", [1, 2, 5, 6])
def test_a_median_with_equal_weights_is_the_median(members):
    values = rng.normal(size=(members, 40))
    assert_allclose(weighted_median(values, np.full(members, 0.1)), np.median(values, axis=0))


def test_a_weighted_median_is_that_of_repeated_members():
    values, times = rng.normal(size=(4, 40)), np.array([3, 0, 1, 2])
    assert_allclose(weighted_median(values, times / 7), np.median(np.repeat(values, times, axis=0), axis=0))


def test_several_labels_are_questions():
    likely = rng.random((2, 3, 4))
    questions = as_binary(likely)
    assert questions.shape == (2, 12, 2)
    assert_array_equal(questions[..., 1].reshape(2, 3, 4), likely)
    assert_allclose(questions.sum(axis=-1), 1)
