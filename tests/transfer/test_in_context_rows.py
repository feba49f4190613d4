import numpy as np
import pytest
import torch

from sktricks.transfer._in_context_rows import learn_rows, number_frequent, place_columns, squash


def test_the_first_value_is_standardized():
    X = np.random.default_rng(0).normal(3, 2, (200, 2))
    first = learn_rows(X).apply(X)[..., 0].numpy()
    expected = (X - X.mean(0)) / X.std(0)
    usual = np.abs(expected) < 3
    np.testing.assert_allclose(first[usual], expected[usual], rtol=1e-5, atol=1e-6)


def test_large_numbers_count_by_their_logarithm():
    z = torch.tensor([-3.0, 2.0, 3.0, 4.0, 102.0, 1e30, float("inf")], dtype=torch.float64)
    expected = [-3, 2, 3, 3 + np.log(2), 3 + np.log(100), 3 + np.log(998), 3 + np.log(998)]
    np.testing.assert_allclose(squash(z), expected)


def test_the_second_value_is_the_rank_among_training_rows():
    rows = learn_rows(np.array([[1.0], [5.0], [5.0], [100.0]]))
    second = rows.apply(np.array([[0.0], [1.0], [2.0], [5.0], [6.0], [1e9]]))[:, 0, 1]
    np.testing.assert_allclose(second, np.sqrt(3) * np.array([-1, -3 / 4, -1 / 2, 0, 1 / 2, 1]), rtol=1e-6)


def test_ranks_have_mean_0_and_deviation_1():
    X = np.random.default_rng(0).exponential(size=(500, 1)) ** 3
    second = learn_rows(X).apply(X)[..., 1]
    assert abs(float(second.mean())) < 1e-6
    assert abs(float(second.std()) - 1) < 1e-2


def test_a_monotone_map_leaves_the_ranks():
    X = np.random.default_rng(0).normal(size=(50, 3))
    torch.testing.assert_close(learn_rows(X).apply(X)[..., 1], learn_rows(np.exp(X)).apply(np.exp(X))[..., 1])


@pytest.mark.parametrize(("scale", "shift"), [(1e-200, 0), (1e200, 0), (1.0, 1e6)])
def test_units_do_not_matter(scale, shift):
    X = np.random.default_rng(0).normal(size=(50, 3))
    moved = scale * X + shift
    torch.testing.assert_close(learn_rows(moved).apply(moved), learn_rows(X).apply(X), rtol=1e-4, atol=1e-5)


def test_constant_columns_are_dropped():
    X = np.array([[1.0, 0.3, np.nan], [2.0, 0.3, np.nan], [4.0, 0.3, np.nan]])
    rows = learn_rows(X)
    assert rows.n_columns == 1
    new = np.array([[1.0, 7.0, 7.0]])
    torch.testing.assert_close(rows.apply(new), rows.apply(X[:1]))


def test_no_column_varies():
    rows = learn_rows(np.ones((4, 2)))
    assert rows.apply(np.zeros((3, 2))).shape == (3, 0, 2)
    assert not place_columns(rows.apply(np.zeros((3, 2))), [], 5).any()


def test_a_gap_is_the_mean_and_has_a_column():
    X = np.array([[1.0], [np.nan], [3.0], [8.0]])
    values = learn_rows(X).apply(X)
    assert values.shape == (4, 2, 2)
    assert values[1, 0, 0] == 0  # the mean of 1, 3 and 8
    assert values[1, 1, 0] > 0
    assert len(set(values[[0, 2, 3], 1, 0].tolist())) == 1


def test_a_gap_that_training_rows_do_not_have():
    X = np.array([[1.0, 5.0], [2.0, 7.0], [3.0, 6.0]])
    values = learn_rows(X).apply(np.array([[np.nan, 6.0]]))
    assert values.shape == (1, 2, 2)
    assert not values[..., 0].any()


def test_each_category_has_a_column():
    X = np.array([[1.0], [2.0], [3.0], [3.0]])
    rows = learn_rows(X, np.array([True]))
    values = rows.apply(X)
    assert values.shape == (4, 3, 2)
    assert ((values[..., 0] > 0).numpy() == np.eye(3, dtype=bool)[[0, 1, 2, 2]]).all()
    assert (rows.apply(np.array([[0.0]]))[..., 0] < 0).all()  # an unknown category is none of them


def test_two_categories_are_one_column():
    X = np.array([[2.0], [1.0], [2.0]])
    assert learn_rows(X, np.array([True])).apply(X).shape == (3, 1, 2)


def test_rare_categories_have_no_column():
    codes = np.repeat(np.arange(1, 13), np.arange(12, 0, -1))
    np.testing.assert_array_equal(number_frequent(codes), [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0])


def test_columns_are_placed_in_order_and_scaled():
    values = torch.arange(12.0).reshape(2, 3, 2)
    placed = place_columns(values, [2, 0], 8)
    assert placed.shape == (2, 16)
    torch.testing.assert_close(placed[0], torch.tensor([8.0, 10.0, 0.0, 2.0, *[0.0] * 12]))


def test_the_rows_are_left_as_they_were():
    X = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, 2.0]])
    before = X.copy()
    learn_rows(X, np.array([False, True])).apply(X)
    np.testing.assert_array_equal(X, before)
