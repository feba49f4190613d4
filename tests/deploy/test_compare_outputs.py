"""Differences of outputs: labels, ties, scales, values that are not finite."""

import numpy as np
import pytest

from sktricks.deploy._compare_outputs import compare, describe_row, near_ties, size_of, sizes_of

LABELS = np.array(["a", "b", "b"])
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5 + 1e-8]])


def outputs(labels=LABELS, probabilities=PROBABILITIES):
    return {"label": np.asarray(labels, dtype=object), "probabilities": np.asarray(probabilities)}


def test_equal_outputs():
    found = compare(outputs(), outputs(probabilities=PROBABILITIES + 1e-7), 1e-5)
    assert not found.bad.any() and found.ties == 0 and found.largest == pytest.approx(1e-7)


def test_a_label_may_differ_in_a_tie_alone():
    tie = compare(outputs(), outputs(["a", "b", "a"]), 1e-5)
    assert tie.ties == 1 and not tie.bad.any()
    wrong = compare(outputs(), outputs(["a", "a", "b"]), 1e-5)
    assert wrong.bad.tolist() == [False, True, False] and wrong.worst == 1 and wrong.ties == 0
    alone = {"label": LABELS}
    assert compare(alone, {"label": np.array(["a", "b", "a"])}, 1e-5).bad.tolist() == [False, False, True]


def test_the_worst_row_is_named():
    found = compare(outputs(), outputs(probabilities=PROBABILITIES + [[0.1], [0.3], [0]]), 1e-5)
    assert found.worst == 1 and found.bad.tolist() == [True, True, False]


def test_values_are_compared_relative_to_their_column():
    values = np.array([[1e6, 1e-3], [2e6, 3e-3]])
    good = compare({"prediction": values}, {"prediction": values * (1 + 1e-7)}, 1e-6)
    assert not good.bad.any()
    bad = compare({"prediction": values}, {"prediction": values + [[0, 0], [0, 1e-5]]}, 1e-6)
    assert bad.bad.tolist() == [False, True]
    np.testing.assert_array_equal(size_of(np.array([[0.0, np.inf, -2.0]])), [2, 2, 2])
    np.testing.assert_array_equal(size_of(np.zeros((2, 1))), [1])


def test_features_smaller_than_one_are_compared_as_they_are():
    for features, sizes in (([[0.1, 5.0]], [1, 5]), ([[0.1, 0.2]], [0.2, 0.2]), ([[-3.0, 1e6]], [3, 1e6])):
        np.testing.assert_array_equal(sizes_of({"features": np.array(features)})["features"], sizes)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_equal(wrong):
    values = {"features": np.array([[np.nan, np.inf], [1.0, 2.0]])}
    assert not compare(values, {"features": values["features"].copy()}, 0).bad.any()
    assert compare(values, {"features": np.array([[np.nan, np.inf], [1.0, wrong]])}, 1).bad.tolist() == [False, True]


def test_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"probabilities must have the shape \(3, 2\), got \(3, 3\)"):
        compare(outputs(), outputs(probabilities=np.zeros((3, 3))), 1)


def test_ties_of_several_labels():
    probabilities = np.array([[0.5 + 1e-9, 0.1], [0.6, 0.2]])
    assert near_ties(probabilities, np.zeros((2, 2), int), 1e-5).tolist() == [True, False]


def test_features_that_are_texts():
    texts = {"features": np.array([["a", "b"], ["c", "d"]], dtype=object)}
    found = {"features": np.array([["a", "b"], ["c", "x"]])}
    assert compare(texts, found, 1).bad.tolist() == [False, True] and not compare(texts, texts, 0).bad.any()


def test_only_outputs_that_differ_are_described():
    expected = {"label": np.array([1, 2]), "probabilities": np.array([[0.4, 0.6], [0.5, 0.5]])}
    found = {"label": np.array([1, 1]), "probabilities": np.array([[0.5, 0.5], [0.5, 0.5]])}
    assert describe_row(expected, found, 0) == "probabilities [0.5 0.5] instead of [0.4 0.6]"
    assert describe_row(expected, found, 1) == "label 1 instead of 2"
