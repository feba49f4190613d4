import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime, nnls

from sktricks.ensemble._learned_weights import (
    ErrorRate,
    GeometricLogLoss,
    MedianSquaredError,
    MixtureLogLoss,
    SquaredError,
    fit_temperature,
    greedy,
    keep_if_better,
    leave_one_out,
    non_negative,
    simplex,
)
from sktricks.ensemble._votes import apply_temperatures, one_hot

rng = np.random.default_rng(0)
EQUAL = np.full(2, 0.5)
n = 200
codes = rng.integers(0, 3, n)
shares = rng.random(n)
shares /= shares.sum()


def member(skill):
    """Probabilities of a member with a given ``skill``."""
    noise = rng.dirichlet(np.ones(3), n)
    return skill * one_hot(codes, 3) + (1 - skill) * noise


members = np.stack([member(0.5), member(0.3), member(0.0)])
y = rng.normal(size=n)
values = np.stack([y + rng.normal(scale=scale, size=n) for scale in (0.5, 1.0, 5.0)])
LOSSES = {
    "mixture": MixtureLogLoss(members, codes, shares),
    "geometric": GeometricLogLoss(members, codes, shares),
    "squared": SquaredError(values, y, shares),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients(loss):
    weights = np.array([0.7, 0.2, 0.4])
    assert_allclose(loss.gradient(weights), approx_fprime(weights, loss, 1e-7), atol=1e-5)
    assert loss(weights) == pytest.approx(loss(3 * weights))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_simplex_finds_the_minimum_and_greedy_comes_close(loss):
    grid = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    found = simplex(loss, 3)
    assert found.sum() == pytest.approx(1) and found.min() >= 0
    best = min(loss(weights) for weights in grid)
    assert loss(found) <= best
    assert loss(greedy(loss, 3)) <= best * 1.001
    assert found[0] > found[2]


def test_losses_are_what_they_say():
    weights = np.array([1.0, 2.0, 0.0])
    mixed = np.average(members, axis=0, weights=weights)
    assert LOSSES["mixture"](weights) == pytest.approx(-shares @ np.log(mixed[np.arange(n), codes]))
    product = np.prod(members ** (weights / 3)[:, None, None], axis=0)
    product /= product.sum(axis=1, keepdims=True)
    assert LOSSES["geometric"](weights) == pytest.approx(-shares @ np.log(product[np.arange(n), codes]))
    assert LOSSES["squared"](weights) == pytest.approx(shares @ (np.average(values, axis=0, weights=weights) - y) ** 2)
    assert ErrorRate(members, codes, shares)(weights) == pytest.approx(shares @ (mixed.argmax(axis=1) != codes))
    assert MedianSquaredError(values, y, shares)(np.ones(3)) == pytest.approx(
        shares @ (np.median(values, axis=0) - y) ** 2
    )


def test_least_squares_are_scipys():
    truth = one_hot(codes, 3)
    scale = np.sqrt(shares)[:, None]
    found, _ = nnls(np.stack([(one * scale).ravel() for one in members], axis=1), (truth * scale).ravel())
    assert_allclose(non_negative(members, truth, shares), found / found.sum(), atol=1e-8)
    assert_allclose(non_negative(-np.abs(values), np.abs(y), shares), np.full(3, 1 / 3))


def test_rows_count_as_often_as_they_are_repeated():
    times = rng.integers(0, 4, n)
    once, often = (np.repeat(array, times, axis=axis) for array, axis in ((codes, 0), (members, 1)))
    equal = np.full(len(once), 1 / len(once))
    for learn in (simplex, greedy):
        weighted = learn(MixtureLogLoss(members, codes, times / times.sum()), 3)
        assert_allclose(weighted, learn(MixtureLogLoss(often, once, equal), 3), atol=1e-4)


def test_identical_and_single_members():
    same = SquaredError(np.stack([values[0]] * 3), y, shares)
    assert_allclose(simplex(same, 3), 1 / 3, atol=1e-6)
    for learn in (simplex, greedy):
        assert_array_equal(learn(SquaredError(values[:1], y, shares), 1), [1.0])


def test_learned_weights_are_never_worse_than_equal_ones_on_their_rows():
    # Each member errs on its own third of the rows: together they are perfect.
    votes = one_hot(np.stack([np.where(np.arange(n) % 3 == k, (codes + 1) % 3, codes) for k in range(3)]), 3)
    loss = ErrorRate(votes, codes, shares)
    assert loss(greedy(loss, 3)) == loss(np.ones(3)) == 0


def test_weights_are_judged_on_rows_that_they_were_not_learned_from():
    def favourite(rows):
        return np.eye(2)[np.bincount(best[rows], minlength=2).argmax()]

    best, y, parts = np.zeros(50, int), np.zeros(50), np.arange(50) % 5
    better = SquaredError(np.stack([np.full(50, 0.1), np.ones(50)]), y, np.full(50, 0.02))
    assert_array_equal(keep_if_better(favourite, [better], EQUAL, parts)[0], [1, 0])
    worse = SquaredError(np.stack([np.ones(50), np.full(50, -1.0)]), y, np.full(50, 0.02))  # correct together
    assert_array_equal(keep_if_better(favourite, [worse], EQUAL, parts)[0], [0.5, 0.5])
    right = ErrorRate(one_hot(np.zeros((2, 50), int), 2), np.zeros(50, int), np.full(50, 0.02))
    assert_array_equal(keep_if_better(favourite, [better, right], EQUAL, parts)[0], [1, 0])
    wrong = ErrorRate(
        np.stack([np.tile([0.4, 0.6], (50, 1)), np.tile([1.0, 0.0], (50, 1))]), np.zeros(50, int), right.row_weights
    )
    assert_array_equal(keep_if_better(favourite, [better, wrong], EQUAL, parts)[0], [0.5, 0.5])
    alone = np.eye(50)[0]  # a single row with weight is not enough to judge by
    assert_array_equal(keep_if_better(favourite, [SquaredError(better.errors, y, alone)], EQUAL, parts)[0], [0.5, 0.5])


@pytest.mark.parametrize("errors, kept", [(1.5, False), (2.5, True)])
def test_weights_have_to_be_better_by_two_standard_errors(errors, kept):
    n, equal_loss = 100, 1.0  # of all rows; the first member's is less by a gain that varies
    gain = errors / np.sqrt(n) + np.where(np.arange(n) % 2, 1.0, -1.0)
    squares = equal_loss - 0.3 * gain
    first = np.sqrt(squares)
    loss = SquaredError(np.stack([first, 2 - first]), np.zeros(n), np.full(n, 1 / n))
    weights, accepted = keep_if_better(lambda rows: np.array([1.0, 0.0]), [loss], EQUAL, np.arange(n) % 5)
    assert accepted is kept
    assert_array_equal(weights, [1, 0] if kept else [0.5, 0.5])


def test_weights_must_not_make_a_single_mistake_more_on_balance():
    n, shares = 100, np.full(100, 0.01)
    better = SquaredError(np.stack([np.full(n, 0.1), np.ones(n)]), np.zeros(n), shares)
    votes = np.stack([np.tile([1.0, 0.0], (n, 1)), np.tile([0.4, 0.6], (n, 1))])
    votes[:, :2] = np.reshape([[0.4, 0.6], [1.0, 0.0]], (2, 1, 2))  # correct together in two rows
    votes[:, 2] = [[0.6, 0.4], [0.0, 1.0]]  # wrong together in one row
    mistakes = ErrorRate(votes, np.zeros(n, int), shares)
    first = np.array([1.0, 0.0])
    assert mistakes(first) == pytest.approx(0.02) and mistakes(np.full(2, 0.5)) == pytest.approx(0.01)
    assert_array_equal(keep_if_better(lambda rows: first, [better], EQUAL, np.arange(n) % 5)[0], first)
    assert_array_equal(keep_if_better(lambda rows: first, [better, mistakes], EQUAL, np.arange(n) % 5)[0], [0.5, 0.5])


def test_a_contribution_is_the_loss_without_the_member():
    loss, weights = LOSSES["squared"], np.array([0.6, 0.3, 0.1])
    expected = [loss(np.array([0, 0.75, 0.25])), loss(np.array([6, 0, 1]) / 7), loss(np.array([2, 1, 0]) / 3)]
    assert_allclose(leave_one_out(loss, weights), np.array(expected) - loss(weights))
    alone = leave_one_out(loss, np.array([1.0, 0.0, 0.0]))
    assert alone[0] == pytest.approx(loss(np.array([0, 0.5, 0.5])) - loss(np.array([1.0, 0, 0])))
    assert_allclose(alone[1:], 0)
    assert np.isnan(leave_one_out(loss, np.ones(1)))


def draws(temperature, rows=4000):
    """Probabilities of a member that is overconfident by ``temperature``, and classes drawn from the true ones."""
    honest = np.random.default_rng(1).dirichlet(np.full(3, 0.5), rows)
    drawn = (honest.cumsum(axis=1) < np.random.default_rng(2).random((rows, 1))).sum(axis=1)
    return apply_temperatures(honest[None], [1 / temperature])[0], drawn


def test_a_temperature_undoes_overconfidence():
    probabilities, drawn = draws(2.5)
    found = fit_temperature(probabilities, drawn, np.full(4000, 1 / 4000), np.arange(4000) % 5)
    assert found == pytest.approx(2.5, rel=0.1)


def test_a_temperature_that_helps_only_the_rows_it_was_fitted_on_is_not_kept():
    probabilities, drawn = draws(1.0, rows=60)
    assert fit_temperature(probabilities, drawn, np.full(60, 1 / 60), np.arange(60) % 5) == 1.0
    assert fit_temperature(probabilities[:1], drawn[:1], np.ones(1), np.zeros(1, dtype=int)) == 1.0


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6])
def test_weights_of_values_do_not_depend_on_their_unit(factor):
    rng = np.random.default_rng(0)
    y = rng.normal(size=80)
    values = y + rng.normal(size=(3, 80)) * [[0.3], [0.5], [1.0]]
    shares = np.full(80, 1 / 80)
    expected = simplex(SquaredError(values, y, shares), 3)
    assert expected[0] > 0.5
    assert_allclose(simplex(SquaredError(values * factor, y * factor, shares), 3), expected, atol=1e-4)
