"""Conversion of X to the inputs of a graph, and conversions that must raise errors or warn."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sktricks import RoundedInputWarning
from sktricks.deploy._feeds import STRING, make_feeds

FLOATS = [("X", np.dtype(np.float32), (2,))]
COLUMNS = [("age", np.dtype(np.float64), (1,)), ("city", STRING, (1,))]


def test_an_array_is_one_input():
    X = np.array([[1, 2], [3, 4]])
    found = make_feeds(X, FLOATS)["X"]
    assert found.dtype == np.float32 and found.tolist() == X.tolist()
    assert make_feeds([[1, None]], FLOATS)["X"][0, 0] == 1


def test_columns_by_name_and_in_order():
    expected = {"age": [[3.0], [np.nan]], "city": [["Rome"], [""]]}
    for X in ({"city": ["Rome", None], "age": [3, None]}, [[3, "Rome"], [None, None]]):
        found = make_feeds(X, COLUMNS)
        np.testing.assert_array_equal(found["age"], expected["age"])
        assert found["city"].tolist() == expected["city"]


def test_frames():
    pd = pytest.importorskip("pandas")
    found = make_feeds(pd.DataFrame({"city": ["Rome", None], "age": [3, 4]}), COLUMNS)
    assert found["city"].tolist() == [["Rome"], [""]] and found["age"].dtype == np.float64
    with pytest.raises(ValueError, match=r"X must have the columns \['age', 'city'\], got \['age'\]"):
        make_feeds(pd.DataFrame({"age": [3]}), COLUMNS)


@pytest.mark.parametrize(
    ("X", "dtype", "message"),
    [
        ([[0.5]], np.int64, "X must be int64, as in the export, got float64"),
        ([[np.nan]], np.int64, "must be int64"),
        ([[300]], np.uint8, "must be uint8"),
        (np.zeros((1, 2, 2, 3)), np.uint8, "must be uint8"),
        (np.zeros((1, 2, 2, 3), np.uint8), np.float64, "must be float64"),
        ([[1j]], np.float64, "must be float64, as in the export, got complex128"),
        ([[2**40]], np.int32, "must be int32"),
        ([["3"]], np.float64, "X must hold numbers, as in the export, got '3'"),
        ([[3]], object, "X must hold strings, as in the export, got 3"),
    ],
)
def test_conversions_that_change_values_are_errors(X, dtype, message):
    with pytest.raises(ValueError, match=message):
        make_feeds(X, [("X", np.dtype(dtype), (1,))])


def test_whole_numbers_may_be_floats():
    images = [[[7, 255]]]
    assert make_feeds(images, [("X", np.dtype(np.uint8), (1, 2))])["X"].dtype == np.uint8
    assert make_feeds(np.array([[3.0]]), [("X", np.dtype(np.int64), (1,))])["X"].tolist() == [[3]]


def test_a_table_for_a_model_of_arrays():
    pd = pytest.importorskip("pandas")
    found = make_feeds(pd.DataFrame({"a": [1, 2], "b": [0.5, None]}), FLOATS)["X"]
    np.testing.assert_array_equal(found, np.array([[1, 0.5], [2, np.nan]], np.float32))


def test_the_number_of_columns():
    with pytest.raises(ValueError, match=r"X must have 2 columns, \['age', 'city'\], got an array of shape \(1, 3\)"):
        make_feeds([[1, "a", 2]], COLUMNS)


def test_image_files_are_decoded_as_said(tmp_path):
    module = pytest.importorskip("PIL.Image")
    module.fromarray(np.full((4, 9, 3), 200, np.uint8)).save(tmp_path / "a.png")
    inputs = [("path", np.dtype(np.uint8), (5, 6, 3))]
    decodings = {"path": {"column": "path", "shape": [5, 6, 3], "mode": "RGB", "resize_mode": "crop"}}
    found = make_feeds([str(tmp_path / "a.png")] * 2, inputs, decodings)["path"]
    assert found.shape == (2, 5, 6, 3) and (found == 200).all()
    pixels = np.zeros((1, 5, 6, 3), np.uint8)
    assert make_feeds(pixels, inputs, decodings)["path"] is pixels
    with pytest.raises(ValueError, match="no.png' cannot be read as an image: the file does not exist|no.png cannot"):
        make_feeds([str(tmp_path / "no.png")], inputs, decodings)


def test_sparse_rows_are_refused():
    with pytest.raises(TypeError, match="X must be dense, got a sparse matrix: pass X.toarray"):
        make_feeds(csr_matrix([[1.0, 2.0]]), FLOATS)


def test_numbers_that_are_rounded_are_a_warning():
    assert make_feeds([[0.5, 2.0]], FLOATS)["X"].dtype == np.float32  # exact
    assert np.isnan(make_feeds([[np.nan, 2.0]], FLOATS)["X"][0, 0])
    with pytest.warns(RoundedInputWarning, match="X is float64 and is rounded to float32"):
        make_feeds(np.array([[0.1, 2.0]]), FLOATS)
