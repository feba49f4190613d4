"""Conversion of all kinds of tables to the canonical array."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier

from sktricks.tables._frames import check_table, encode, find_categorical, find_categories

nan = np.nan
MIXED = pd.DataFrame(
    {
        "city": pd.Categorical(["Rome", "Oslo", None, "Rome"], categories=["Rome", "Paris", "Oslo"]),
        "age": [30.5, nan, 41, 29],
        "kids": [0, 2, 1, 0],
    }
)


class Reader(BaseEstimator):
    def __init__(self, categorical_features="from_dtype", image_shape=None):
        self.categorical_features = categorical_features
        self.image_shape = image_shape


def read(X, *args, **kwargs):
    """Return the canonical form of X, and the fitted estimator."""
    estimator = Reader(*args, **kwargs)
    return check_table(estimator, X, reset=True)[0], estimator


def test_the_canonical_form():
    array, estimator = read(MIXED)
    assert_array_equal(array, [[2, 30.5, 0], [1, nan, 2], [3, 41, 1], [2, 29, 0]])
    assert array.dtype == np.float64
    assert_array_equal(estimator.is_categorical_, [True, False, False])
    assert estimator._categories == [["Oslo", "Rome", None]]
    assert estimator.n_features_in_ == 3 and list(estimator.feature_names_in_) == ["city", "age", "kids"]


@pytest.mark.parametrize("categories", [None, "from_dtype"])
def test_duplicate_column_names(categories):
    frame = pd.concat([MIXED, MIXED["age"]], axis=1)
    frame = frame if categories else frame.drop(columns="city")
    with pytest.raises(ValueError, match=r"X must have unique column names, got \['age'\] more than once"):
        read(frame)
    _, estimator = read(MIXED)
    with pytest.raises(ValueError, match=r"X must have unique column names, got \['age'\] more than once"):
        check_table(estimator, frame, reset=False)


def test_values_not_seen_in_fit_are_unknown():
    _, estimator = read(MIXED[:2])
    array, _ = check_table(estimator, MIXED, reset=False)
    assert_array_equal(array[:, 0], [2, 1, 0, 2])  # no category was missing in fit


@pytest.mark.parametrize(
    ("features", "mask"),
    [
        ("from_dtype", [True, False, False]),
        (["city", "kids"], [True, False, True]),
        (["kids"], [False, False, True]),
        ([2, 0], [True, False, True]),
        (np.array([0]), [True, False, False]),
        ([True, False, True], [True, False, True]),
        (pd.Index(["age"]), [False, True, False]),
        (None, None),
        ([], None),
        ([False] * 3, None),
    ],
)
def test_the_forms_of_categorical_features(features, mask):
    assert_array_equal(find_categorical(MIXED, features), mask)


def test_they_equal_those_of_scikit_learn():
    for features in ("from_dtype", ["kids"], [2], [False, False, True], None):
        model = HistGradientBoostingClassifier(categorical_features=features, max_iter=1)
        X = MIXED if features == "from_dtype" else MIXED.drop(columns="city").assign(z=1)[["age", "z", "kids"]]
        assert_array_equal(find_categorical(X, features), model.fit(X, [0, 1, 0, 1]).is_categorical_)


def test_arrays_have_no_categorical_dtypes():
    assert find_categorical(np.zeros((3, 2)), "from_dtype") is None
    assert find_categorical([[1, 2]], "from_dtype") is None
    assert_array_equal(find_categorical([[1, 2]], [1]), [False, True])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["town"], r"must be names of columns of X, \['city', 'age', 'kids'\], got \['town'\]"),
        ([3], r"column indices from 0 to 2, got \[3\]"),
        ([-1], r"column indices from 0 to 2, got \[-1\]"),
        ([True, False], "a mask of 2 columns, X has 3"),
        ([0.5], r"must be 'from_dtype', None, or a mask, names or indices of columns, got \[0.5\]"),
        ([["city"]], r"one dimension, got an array of shape \(1, 1\)"),
    ],
)
def test_columns_that_do_not_exist(features, message):
    with pytest.raises(ValueError, match=message):
        find_categorical(MIXED, features)


def test_names_require_column_names():
    with pytest.raises(ValueError, match=r"the names \['city'\], but the columns of X have no names"):
        find_categorical(np.zeros((3, 2)), ["city"])


def test_images_have_no_categories():
    with pytest.raises(ValueError, match=r"is for tables \(n, features\), but X has the shape \(3, 8, 8\)"):
        find_categorical(np.zeros((3, 8, 8)), [0])
    with pytest.raises(ValueError, match=r"cannot be combined, got image_shape=\(8, 8\)"):
        find_categorical(np.zeros((3, 64)), [0], (8, 8))


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (["b", "a", None, nan, pd.NA, "b"], ["a", "b", None]),
        ([2, 1.0, np.int64(2), nan], [1.0, 2, None]),
        ([True, False], [False, True]),
        (["a", 1, None], [1, "a", None]),
        ([pd.Timestamp("2020-01-02"), pd.NaT, pd.Timestamp("2020-01-01")], None),
    ],
)
def test_categories_of_any_type(values, categories):
    found = find_categories(values)
    assert categories is None or found == categories
    places = encode(values, found)
    assert [found[place - 1] for place in places if found[place - 1] is not None] == [v for v in values if pd.notna(v)]
    assert [found[place - 1] is None for place in places] == [bool(pd.isna(v)) for v in values]


def test_categories_that_are_not_hashable():
    with pytest.raises(TypeError, match="categorical_features: categories must be hashable"):
        find_categories([["a"], ["b"]])


@pytest.mark.parametrize("categorical", [True, False])
def test_missing_values_of_pandas(categorical):
    X = pd.DataFrame(
        {
            "a": pd.array([1, None, 2], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "c": [1, None, 2.5],
            "d": pd.Series([1, pd.NA, 2.5], dtype=object),
        }
    )
    X, before = X.assign(e=pd.Categorical(["x", "y", "x"])) if categorical else X, X.copy()
    array, _ = read(X)
    assert_array_equal(array[:, :4], [[1, 1, 1, 1], [nan] * 4, [2, 0, 2.5, 2.5]])
    pd.testing.assert_frame_equal(X.iloc[:, :4], before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_numbers_is_kept(dtype):
    array, _ = read(MIXED.astype({"age": dtype, "kids": dtype}))
    assert array.dtype == dtype


def test_arrays_and_lists_of_objects():
    expected, _ = read(MIXED)
    for X in (MIXED.astype(object).to_numpy(), MIXED.astype(object).to_numpy().tolist()):
        array, estimator = read(X, [0])
        assert_array_equal(array, expected)
        assert_array_equal(check_table(estimator, X, reset=False)[0], expected)


def test_tables_with_only_categories():
    array, _ = read(MIXED[["city"]])
    assert_array_equal(array, [[2], [1], [3], [2]])
    with pytest.raises(ValueError, match="0 sample"):
        read(MIXED[["city"]][:0])


def test_infinite_numbers_are_errors():
    for X in (MIXED.assign(age=np.inf), MIXED.assign(age=np.inf).drop(columns="city"), np.array([[1, np.inf]])):
        with pytest.raises(ValueError, match="infinity"):
            read(X)


def test_images_must_not_have_nan():
    for X, shape in ((np.full((4, 3, 3), nan), None), (np.full((4, 9), nan), (3, 3))):
        with pytest.raises(ValueError, match="NaN"):
            read(X, image_shape=shape)


STRINGS = MIXED.astype({"city": object})
CURES = [
    ("from_dtype", r"the column 'city' \('Rome'\).*X\['city'\] = X\['city'\].astype\(\"category\"\), or .*=\['city'\]"),
    (None, r"the column 'city' \('Rome'\).*declare them: categorical_features=\['city'\]"),
    (["kids"], r"the column 'city' \('Rome'\).*declare them: categorical_features=\['kids', 'city'\]"),
]


@pytest.mark.parametrize(("features", "message"), CURES)
def test_undeclared_strings(features, message):
    with pytest.raises(ValueError, match=message):
        read(STRINGS, features)


def test_the_cure_in_the_error_works():
    X = STRINGS.assign(job=["baker", "judge", "cook", "judge"])
    with pytest.raises(ValueError) as error:
        read(X)
    before, after = str(error.value).split("declare them: ")[1].split(", or ")
    exec(before, {"X": X})
    assert_array_equal(read(X)[1].is_categorical_, [True, False, False, True])
    assert_array_equal(
        find_categorical(X, eval(after.removeprefix("categorical_features="))), [True, False, False, True]
    )


@pytest.mark.parametrize("dtype", [object, "string"])
def test_numbers_as_strings_are_strings(dtype):
    X = MIXED.assign(age=pd.Series(["1", "2", None, "3"], dtype=dtype))
    with pytest.raises(ValueError, match=r"'age' \('1'\). These strings are numbers, convert them") as error:
        read(X)
    exec(str(error.value).split("convert them: ")[1], {"X": X, "pd": pd})
    assert_array_equal(read(X)[0], read(MIXED.assign(age=[1, 2, nan, 3]))[0])


def test_numbers_as_strings_beside_other_strings():
    X = STRINGS.assign(age=["1", "2", None, "3"])
    with pytest.raises(
        ValueError, match=r"convert them: X\[\['age'\]\] = .*. If \['city'\] are categories, declare them: X\['city'\]"
    ):
        read(X)


@pytest.mark.parametrize("make", [list, tuple, np.array])
def test_lists_and_arrays_of_strings(make):
    numbers, names = make([["1", "2"], ["3", "4.5"]]), make([["1", "a"], ["3", "b"]])
    with pytest.raises(ValueError, match=r"columns 0 \('1'\), 1 \('2'\). .*X = np.asarray\(X, dtype=float\)"):
        read(numbers)
    assert_array_equal(read(np.asarray(numbers, dtype=float))[0], [[1, 2], [3, 4.5]])
    with pytest.raises(ValueError, match=r"declare them: categorical_features=\[0, 1\]"):
        read(names)


def test_dates_are_not_numbers():
    with pytest.raises(
        ValueError, match=r"the column 'when' holds dates or times.*number of seconds.*month and weekday"
    ):
        read(MIXED.assign(when=pd.Timestamp("2020-01-01")))


def test_strings_in_an_array():
    X = np.array([[1, "a"], [2, "b"]], dtype=object)
    with pytest.raises(ValueError, match=r"the column 1 \('a'\).*declare them: categorical_features=\[1\]"):
        read(X)


def test_strings_where_fit_had_numbers():
    _, estimator = read(MIXED)
    with pytest.raises(ValueError, match=r"the column 'age' \('old'\); fit had numbers"):
        check_table(estimator, MIXED.assign(age="old"), reset=False)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_columns_in_another_order_or_missing():
    _, estimator = read(MIXED)
    with pytest.raises(ValueError, match="same order"):
        check_table(estimator, MIXED[["age", "city", "kids"]], reset=False)
    with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
        check_table(estimator, MIXED[["city", "age"]], reset=False)
    with pytest.raises(ValueError, match="X has 2 features"):
        check_table(estimator, MIXED.to_numpy()[:, :2], reset=False)
    _, estimator = read(MIXED[["age", "kids"]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        check_table(estimator, STRINGS, reset=False)


def test_polars_as_pandas():
    pl = pytest.importorskip("polars")
    expected, pandas = read(MIXED)
    columns = {"age": [30.5, None, 41, 29], "kids": [0, 2, 1, 0]}
    for dtype in (pl.Categorical, pl.Enum(["Rome", "Paris", "Oslo"])):
        X = pl.DataFrame({"city": pl.Series(["Rome", "Oslo", None, "Rome"], dtype=dtype), **columns})
        array, estimator = read(X)
        assert_array_equal(array, expected)
        assert estimator._categories == pandas._categories
        assert_array_equal(check_table(pandas, X, reset=False)[0], expected)
    X = pl.DataFrame({"city": ["Rome", "Oslo", None, "Rome"], **columns})
    with pytest.raises(ValueError, match=r"'city' \('Rome'\)") as error:
        read(X)
    scope = {"X": X, "pl": pl}
    exec(str(error.value).split("declare them: ")[1].split(", or ")[0], scope)
    assert_array_equal(read(scope["X"])[0], expected)
    X = pl.DataFrame({"age": ["1", None, "2.5"]})
    with pytest.raises(ValueError, match="These strings are numbers") as error:
        read(X)
    scope = {"X": X, "pl": pl}
    exec(str(error.value).split("convert them: ")[1], scope)
    assert_array_equal(read(scope["X"])[0], [[1], [nan], [2.5]])
    gaps = pl.DataFrame({"a": [1, None], "b": [True, None], "c": [None, None]})
    assert_array_equal(read(gaps)[0], [[1, 1, nan], [nan] * 3])
    assert_array_equal(read(gaps.with_columns(d=pl.Series([1, 2])), ["d"])[0], [[1, 1, nan, 1], [nan, nan, nan, 2]])
