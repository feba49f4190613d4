"""Converters of OneHotEncoder and OrdinalEncoder."""

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from sktricks import OnnxModel, export_onnx
from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees

pytestmark = pytest.mark.filterwarnings("ignore:Found unknown categories")

ONE_HOT = [
    {"handle_unknown": "ignore"},
    {"handle_unknown": "ignore", "drop": "first"},
    {"handle_unknown": "ignore", "drop": "if_binary", "dtype": np.float32},
    {"handle_unknown": "ignore", "min_frequency": 8},
    {"handle_unknown": "ignore", "min_frequency": 8, "drop": "first"},
    {"handle_unknown": "infrequent_if_exist", "max_categories": 3},
    {"handle_unknown": "infrequent_if_exist", "max_categories": 3, "drop": "first"},
    {"handle_unknown": "infrequent_if_exist", "max_categories": 1, "dtype": np.int64},
    {"handle_unknown": "infrequent_if_exist"},
    {"handle_unknown": "warn", "min_frequency": 0.2},
]
ORDINAL = [
    {"unknown_value": -1},
    {"unknown_value": np.nan, "encoded_missing_value": -2},
    {"unknown_value": -1, "encoded_missing_value": 99, "dtype": np.float32},
    {"unknown_value": -1, "encoded_missing_value": -5, "dtype": np.int64, "max_categories": 3},
    {"unknown_value": 99, "encoded_missing_value": -1, "min_frequency": 8},
]


def make_encoders():
    one_hot = [OneHotEncoder(sparse_output=False, **settings) for settings in ONE_HOT]
    return one_hot + [OrdinalEncoder(handle_unknown="use_encoded_value", **settings) for settings in ORDINAL]


def make_table(gaps, seed=0):
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(seed)
    table = {
        "city": random.choice(["Rome", "Oslo", "Bern", "Lima", "Kyiv"], size=60, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
        "count": random.choice(6, size=60, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]),
        "member": random.random(60) < 0.3,
        "grade": random.choice([0.1, 0.25, 7], size=60),
    }
    X = pandas.DataFrame(table).astype({"city": "category"})
    if gaps:
        X = X.mask(random.random(X.shape) < 0.15)
    return X


def make_unseen(X):
    pandas = pytest.importorskip("pandas")
    unseen = X.copy()
    unseen["city"] = pandas.Series(np.where(np.arange(len(X)) % 4 == 0, "Quito", X["city"].astype(object)), X.index)
    unseen["count"] = X["count"] + (np.arange(len(X)) % 3 == 0) * 100
    return unseen


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("encoder", make_encoders())
def test_tables(encoder, gaps):
    X = make_table(gaps)
    assert_agrees(encoder.fit(X), X, 0, make_unseen(X), make_unseen(make_table(gaps, 1)))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.float32, np.float64])
@pytest.mark.parametrize("encoder", make_encoders())
def test_arrays_of_numbers(encoder, dtype):
    random = np.random.default_rng(0)
    X = random.binomial(6, 0.3, size=(60, 3)).astype(dtype)
    unseen = random.binomial(9, 0.6, size=(60, 3)).astype(dtype)
    assert_agrees(encoder.fit(X), X, 0, unseen)
    if np.dtype(dtype).kind == "f":
        X[::7, 1] = np.nan
        assert_agrees(encoder.fit(X), X, 0, unseen)


def test_arrays_of_strings():
    X = np.array([["a", "x"], ["b", "y"], ["a", "z"]], dtype=object)
    unseen = np.array([["c", "x"], ["a", "q"]], dtype=object)
    for encoder in make_encoders()[:1] + [OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)]:
        assert_agrees(encoder.fit(X), X, 0, unseen)


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("encoder", make_encoders(), ids=str)
def test_missing_texts(encoder, missing):
    texts = np.random.default_rng(0).choice(
        ["Rome", "Oslo", "Bern", "Kyiv", missing], size=60, p=[0.4, 0.3, 0.1, 0.05, 0.15]
    )
    X = np.array(texts, dtype=object)[:, np.newaxis]
    assert_agrees(encoder.fit(X), X, 0, np.where(X == "Rome", "Quito", X))


@pytest.mark.parametrize("gap", [None, np.nan])
def test_other_kinds_of_missing_texts_are_errors(gap, tmp_path):
    rows = np.array([["a"], ["b"], [gap]] * 4, dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(rows)
    export_onnx(encoder, tmp_path / "encoder.onnx", rows)
    model = OnnxModel(tmp_path / "encoder.onnx")
    for value in (gap, "a", "never seen"):
        row = np.array([[value]], dtype=object)
        np.testing.assert_array_equal(model.run(row)["features"], encoder.transform(row))
    for value, name in ((None, "None"), (np.nan, "NaN"), ("", "an empty string")):
        if value is not gap:
            match = (
                f"x0 contains {name}, which the .* replace it by {'None' if gap is None else 'NaN'} if it is missing"
            )
            with pytest.raises(ValueError, match=match):
                model.run(np.array([["a"], [value]], dtype=object))


def test_all_kinds_are_unknown_where_nothing_is_missing(tmp_path):
    rows = np.array([["a"], ["b"]] * 4, dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(rows)
    export_onnx(encoder, tmp_path / "encoder.onnx", rows)
    gaps = np.array([[None], [np.nan], [""]], dtype=object)
    np.testing.assert_array_equal(OnnxModel(tmp_path / "encoder.onnx").run(gaps)["features"], np.zeros((3, 2)))


def test_the_empty_string_is_a_category_where_nothing_is_missing():
    X = np.array([["a"], [""], ["b"]], dtype=object)
    assert_agrees(OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(X), X, 0)


def test_explicit_categories_and_drop():
    X = make_table(False)[["city", "count"]]
    categories = [["Lima", "Rome", "Oslo"], [5, 0, 1]]
    encoder = OrdinalEncoder(categories=categories[:1], handle_unknown="use_encoded_value", unknown_value=-1)
    assert_agrees(encoder.fit(X[["city"]]), X[["city"]], 0)
    encoder = OneHotEncoder(drop=["Oslo", 1], handle_unknown="ignore", sparse_output=False)
    assert_agrees(encoder.fit(X), X, 0)


@pytest.mark.parametrize(
    "encoder, cure",
    [
        (OneHotEncoder(), r'set_params\(handle_unknown="ignore"\), which needs no new fit'),
        (OrdinalEncoder(), r'set_params\(handle_unknown="use_encoded_value", unknown_value=-1\)'),
    ],
)
def test_errors_are_refused_and_the_cure_works(encoder, cure):
    X = make_table(False)
    encoder.fit(X)
    with pytest.raises(UnsupportedForOnnxError, match=cure):
        build_model(encoder, X)
    if isinstance(encoder, OneHotEncoder):
        encoder.set_params(handle_unknown="ignore", sparse_output=False)
    else:
        encoder.set_params(handle_unknown="use_encoded_value", unknown_value=-1)
    assert_agrees(encoder, X, 0, make_unseen(X))


def test_missing_and_empty_strings_are_refused():
    X = np.array([["a"], [""], [None]], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(X)
    with pytest.raises(UnsupportedForOnnxError, match="both missing values and empty strings"):
        build_model(encoder, X)


def test_other_types_than_those_of_fit_are_refused():
    X = np.array([["1"], ["2"]], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(X)
    with pytest.raises(UnsupportedForOnnxError, match="the types that they had in fit"):
        build_model(encoder, X.astype(int))
    encoder.fit(np.array([[1], [2]], dtype=object))
    with pytest.raises(UnsupportedForOnnxError, match=r"the categories \[1, 2\] of a column of strings"):
        build_model(encoder, X)
