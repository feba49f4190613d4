"""Converters of SimpleImputer and MissingIndicator."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees

pytestmark = pytest.mark.filterwarnings("ignore:Skipping features without any observed values")


def make_gaps(dtype=np.float64):
    random = np.random.default_rng(0)
    X = random.integers(0, 9, size=(50, 4)).astype(dtype)
    X[random.random(X.shape) < 0.3] = np.nan
    X[:, 3] = np.nan
    return X


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep_empty", [False, True])
@pytest.mark.parametrize("indicator", [False, True])
def test_numbers(strategy, dtype, keep_empty, indicator):
    X = make_gaps(dtype)
    fill = 7 if strategy == "constant" else None
    imputer = SimpleImputer(strategy=strategy, fill_value=fill, keep_empty_features=keep_empty, add_indicator=indicator)
    assert_agrees(imputer.fit(X), X, 0)


def test_an_indicator_of_new_gaps():
    X = make_gaps()[:, :3]
    fitted = X.copy()
    fitted[:, 1] = 1  # no missing values in fit
    assert_agrees(SimpleImputer(add_indicator=True).fit(fitted), X, 0)
    assert_agrees(MissingIndicator(error_on_new=False).fit(fitted), X, 0)
    assert_agrees(MissingIndicator(features="all").fit(fitted), X, 0)
    with pytest.raises(UnsupportedForOnnxError, match=r"error_on_new=True.*set_params\(error_on_new=False\)"):
        build_model(MissingIndicator().fit(fitted), X)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_a_number_as_the_missing_value(dtype):
    X = np.random.default_rng(0).integers(-1, 3, size=(40, 3)).astype(dtype)
    assert_agrees(SimpleImputer(missing_values=-1, strategy="most_frequent", add_indicator=True).fit(X), X, 0)
    assert_agrees(SimpleImputer(missing_values=-1).fit(X), X, 0)
    assert_agrees(MissingIndicator(missing_values=-1, features="all").fit(X), X, 0)


def test_integers_have_no_gaps():
    X = np.arange(12).reshape(4, 3)
    assert_agrees(SimpleImputer(strategy="most_frequent").fit(X), X, 0)
    assert_agrees(SimpleImputer(strategy="mean").fit(X), X, 0)
    assert_agrees(MissingIndicator(features="all").fit(X), X, 0)


def make_table():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "color": ["red", None, "blue", "red", None, "green"],
            "size": [1.5, np.nan, 3, 4, 4, np.nan],
            "shape": ["?", "square", "round", "?", "round", "round"],
        }
    ).astype({"color": "category"})


@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("settings", [{"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": "?"}])
def test_strings(settings, indicator):
    X = make_table()[["color", "shape"]]
    imputer = SimpleImputer(add_indicator=indicator, **settings)
    encoder = OneHotEncoder(handle_unknown="ignore")
    union = ColumnTransformer([("strings", make_pipeline(imputer, encoder), ["color", "shape"])], sparse_threshold=0)
    unseen = X.assign(shape=["square", "oval", "?", "x", "", None])
    assert_agrees(union.fit(X), X, 0, unseen.iloc[:4])


def test_strings_and_numbers_together():
    X = make_table()
    imputer = SimpleImputer(strategy="most_frequent")
    assert_agrees(make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore", sparse_output=False)).fit(X), X, 0)
    filled = SimpleImputer(strategy="constant", fill_value="none").fit(X)
    with pytest.raises(UnsupportedForOnnxError, match="'none', which SimpleImputer fills into a column of numbers"):
        build_model(filled, X)


@pytest.mark.parametrize("missing, looked_for", [(None, None), (None, np.nan), (np.nan, np.nan)])
def test_none_and_nan_are_different_texts_to_scikit_learn(missing, looked_for):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"color": ["red", missing, "blue", "red"], "shape": list("abca")}, dtype=object)
    imputer = SimpleImputer(strategy="most_frequent", missing_values=looked_for)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    for rows in (X, X.to_numpy(object)):
        assert_agrees(make_pipeline(imputer, encoder).fit(rows), rows, 0)


def test_another_string_as_the_missing_value():
    X = make_table()[["shape"]]
    imputer = SimpleImputer(strategy="most_frequent", missing_values="?", add_indicator=True)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    assert_agrees(make_pipeline(imputer, encoder).fit(X), X, 0)
    assert_agrees(MissingIndicator(missing_values="?").fit(X), X, 0)


def test_in_a_pipeline_of_a_table():
    X = make_table()[["size"]].assign(count=np.arange(6))
    for strategy in ("mean", "most_frequent"):
        assert_agrees(make_pipeline(SimpleImputer(strategy=strategy), StandardScaler()).fit(X), X, 0)
