"""Tables that are split into columns and rebuilt."""

import numpy as np
import pytest

from sktricks.deploy._table_columns import TableColumns, step


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_arrays_come_back(dtype):
    X = np.arange(6).reshape(3, 2).astype(dtype)
    again = TableColumns(X).build()
    assert again.dtype == X.dtype
    np.testing.assert_array_equal(again, X)


def test_lists_with_texts_come_back_as_objects():
    table = TableColumns([["a", 1.5], ["b", None]])
    assert table.is_number.tolist() == [False, True]
    assert table.build().tolist()[0] == ["a", 1.5]


def test_frames_come_back_with_their_dtypes():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [1.5, np.nan], "b": [1, 2], "c": ["x", None], "d": pd.Categorical(["u", "v"])})
    table = TableColumns(X)
    assert table.is_number.tolist() == [True, True, False, False]
    pd.testing.assert_frame_equal(table.build(), X)
    unseen = table.replace(3, ["w", "w"]).build()
    assert unseen["d"].tolist() == ["w", "w"] and unseen["d"].dtype == "category"


def test_numbers_with_gaps_of_their_own_kind_become_floats():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")})
    again = TableColumns(X).build()
    np.testing.assert_array_equal(again, [[1, 1], [np.nan, np.nan]])
    pl = pytest.importorskip("polars")
    np.testing.assert_array_equal(TableColumns(pl.DataFrame({"a": [1, None]})).build(), [[1], [np.nan]])


def test_polars_frames_come_back():
    pl = pytest.importorskip("polars")
    X = pl.DataFrame({"a": [1.5, 2.5], "c": ["x", None]})
    assert TableColumns(X).build().equals(X)


def test_a_step_is_the_next_number():
    for values in (np.array([1.0, -2.0], np.float32), np.array([0.0, 5.0])):
        assert (step(values, 1) > values).all() and (step(step(values, 1), -1) == values).all()
    assert step(np.array([0, 255], np.uint8), 1).tolist() == [1, 255]
    assert step(np.array([0, 255], np.uint8), -1).tolist() == [0, 254]
    assert step(np.array([-128, 3], np.int8), -1).tolist() == [-128, 2]
    assert step(np.array([True]), 1).tolist() == [True]
