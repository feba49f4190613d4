"""Rows derived from given ones."""

import numpy as np
import pytest

from sktricks.deploy._feeds import EMPTY, gap_kind
from sktricks.deploy._made_rows import make_all, make_gaps, make_missing, reorder_columns, shifted


def kinds(X, decodings=None):
    return {name: rows for name, rows, _ in make_all(X, decodings or {})}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_rows_of_a_table(dtype):
    X = np.random.default_rng(0).integers(0, 50, (30, 3)).astype(dtype)
    made = kinds(X)
    assert set(made) == {
        *("one step above", "one step below", "midpoints in float32", "one step above midpoints"),
        *("one step below midpoints", "far outside", "shuffled columns"),
        *["midpoints"] * (dtype != np.float32),
    }
    assert all(rows.dtype == X.dtype and rows.shape[1] == 3 for rows in made.values())
    assert (made["one step above"] > X).all() and (made["one step below"] < X).all()
    assert made["far outside"].min() < -100 and made["far outside"].max() > 200
    np.testing.assert_array_equal(np.sort(made["shuffled columns"], axis=0), np.sort(X, axis=0))
    assert not np.array_equal(made["shuffled columns"], X)


def test_columns_of_bools_stay_bools():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"yes": [True, False, True, True], "small": np.array([-128, 127, 0, 3], np.int8)})
    made = kinds(X)
    assert len(made) == 8 and all((rows.dtypes == X.dtypes).all() for rows in made.values())
    for _, rows, shift in make_all(X, {}):
        assert shift(np.arange(len(rows)), 1).yes.equals(rows.yes)


def test_midpoints_lie_where_trees_split():
    X = np.array([[0.1], [0.2], [0.4]])
    made = kinds(X)
    np.testing.assert_allclose(made["midpoints"].ravel(), [0.15, 0.3])
    rounded = np.float32([(0.1 + 0.2) / 2, 0.2 + (0.4 - 0.2) / 2])
    np.testing.assert_array_equal(made["one step above midpoints"].ravel(), np.nextafter(rounded, np.float32(np.inf)))


def test_rows_are_shifted_by_little_but_enough():
    values = np.array([1e6, 0.0], np.float32)
    assert (shifted(values, 1, 1.0) > values).all() and (shifted(values, -1, 1.0) < values).all()
    assert shifted(np.array([0.5]), 1, 2.0)[0] == pytest.approx(0.5 + 2e-6)


def test_unseen_categories_one_column_at_a_time():
    rows = [["a", "x", 1.0], ["b", "y", 2.0]]
    made = [rows for name, rows, _ in make_all(rows, {}) if name == "unseen categories"]
    assert len(made) == 2
    assert [row[1] for row in made[0].tolist()] == ["x", "y"] and not {"a", "b"} & {row[0] for row in made[0].tolist()}


def test_missing_values_one_column_at_a_time():
    rows = [["a", 1.0, "x"], [None, 2.0, "y"]]
    missing = dict(make_missing(rows, {}))
    assert missing.keys() == {0, 1} and missing[0][0, 0] is None and np.isnan(missing[1][0, 1])
    gaps = dict(make_gaps(rows, {}))
    assert gaps.keys() == {0, 2}
    assert gaps[2]["None"][0, 2] is None and np.isnan(gaps[2]["NaN"][0, 2]) and gaps[2][EMPTY][0, 2] == ""
    assert not dict(make_gaps(np.zeros((3, 2)), {})) and not dict(make_gaps(np.zeros((3, 2, 2)), {}))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_missing_strings_of_a_frame(library):
    module = pytest.importorskip(library)
    rows = module.DataFrame({"word": ["a", "b"], "size": [1.0, 2.0]})
    gaps = dict(make_gaps(rows, {}))
    found = {kind: made["word"].to_numpy().tolist()[0] for kind, made in gaps[0].items()}
    assert set(found) == ({"None", EMPTY} if library == "polars" else {"None", "NaN", "NA", EMPTY})
    assert all(gap_kind(value) == kind for kind, value in found.items())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_in_another_order(library):
    module = pytest.importorskip(library)
    rows = module.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    other = reorder_columns(rows)
    assert list(other.columns) == ["b", "a", "a_"] and other["b"].to_list() == ["x", "y"]
    assert reorder_columns(np.zeros((2, 2))) is None


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 255), (np.float32, 1)])
def test_images(dtype, high):
    X = (np.random.default_rng(0).random((3, 6, 7, 3)) * high).astype(dtype)
    made = kinds(X)
    assert set(made) == {"noise", "patches", "black and white"}
    assert all(rows.shape[1:] == (6, 7, 3) and rows.dtype == dtype for rows in made.values())
    assert made["black and white"].max() <= high and made["noise"].std() > 0


def test_image_files():
    pytest.importorskip("PIL")
    files = kinds(["a.png"], {"path": {"shape": [6, 7, 3]}})
    assert len(files) == 6 and all(isinstance(file, bytes) for rows in files.values() for file in rows)
