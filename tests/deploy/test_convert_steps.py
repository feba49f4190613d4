"""Converters of pipelines, column transformers, unions, searches and wrappers."""

import numpy as np
import pytest
import sklearn
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees

ONE_HOT = OneHotEncoder(handle_unknown="ignore")


def make_table(seed=0):
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(seed)
    X = pandas.DataFrame(
        {
            "size": random.normal(size=40),
            "weight": random.normal(size=40).astype(np.float32),
            "count": random.integers(5, size=40),
            "color": random.choice(["red", "green", "blue"], size=40),
            "member": random.random(40) < 0.5,
        }
    )
    X.loc[::7, "size"] = np.nan
    X.loc[::5, "color"] = None
    return X


def make_unseen():
    X = make_table(1)
    X.loc[::3, "color"] = "violet"
    return X


def make_unions():
    scale = make_pipeline(SimpleImputer(), StandardScaler())
    numbers = make_column_selector(dtype_include="number")
    for how in ("default", "pandas"):
        encode = OneHotEncoder(handle_unknown="ignore", sparse_output=how == "default")
        yield ColumnTransformer([("n", scale, ["size", "count"]), ("s", encode, ["color"])]), how
        yield ColumnTransformer([("s", encode, [3]), ("n", scale, slice(0, 2))], remainder="passthrough"), how
        yield ColumnTransformer([("s", encode, ["color"]), ("gone", "drop", ["count"])], remainder=SimpleImputer()), how
        yield (
            ColumnTransformer(
                [("n", scale, [True, True, False, False, False]), ("p", "passthrough", ["weight", "member"])],
                transformer_weights={"n": 0.3, "p": 2},
            ),
            how,
        )
        yield ColumnTransformer([("s", encode, make_column_selector("color")), ("n", scale, numbers)]), how
        yield ColumnTransformer([("none", scale, []), ("n", MaxAbsScaler(), ["weight"])]), how


@pytest.mark.parametrize("union, how", list(make_unions()))
def test_column_transformers(union, how):
    X = make_table()
    union.set_output(transform=how).fit(X)
    assert_agrees(union, X, 0, make_unseen())
    assert_agrees(union, X[X.columns[::-1]].assign(more=1), 0) if union.remainder == "drop" else None


def test_a_column_transformer_of_an_array():
    X = np.random.default_rng(0).normal(size=(30, 4))
    union = ColumnTransformer(
        [("a", StandardScaler(), [0, -1]), ("b", MinMaxScaler(), lambda X: [2])], remainder="passthrough"
    )
    for dtype in (np.float64, np.float32):
        assert_agrees(union.fit(X.astype(dtype)), X.astype(dtype), 0)


def test_strings_pass_through_to_a_later_step():
    X = make_table()
    first = ColumnTransformer([("n", SimpleImputer(), ["size"]), ("s", "passthrough", ["color"])])
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    assert_agrees(make_pipeline(first, encode).fit(X), X, 0)
    # By the names from set_output.
    first.set_output(transform="pandas")
    second = ColumnTransformer([("s", encode, ["s__color"]), ("n", StandardScaler(), ["n__size"])])
    assert_agrees(make_pipeline(first, second).fit(X), X, 0, make_unseen())


def test_columns_of_several_dtypes_keep_them_in_a_dataframe():
    X = make_table()
    first = ColumnTransformer([("p", "passthrough", ["weight", "count"])]).set_output(transform="pandas")
    second = ColumnTransformer([("n", RobustScaler(), ["p__weight"])])
    assert_agrees(make_pipeline(first, second).fit(X), X, 0)


def test_bools_beside_float32_are_float64_in_an_array():
    X = make_table()
    union = ColumnTransformer([("p", "passthrough", ["weight", "member"])])
    assert_agrees(make_pipeline(union, RobustScaler(with_scaling=False)).fit(X), X, 0)


@pytest.mark.parametrize("how", ["default", "pandas"])
def test_set_output_of_the_configuration(how):
    X = make_table()
    with sklearn.config_context(transform_output=how):
        union = FeatureUnion(
            [("a", SimpleImputer()), ("b", "drop"), ("c", "passthrough")], transformer_weights={"a": 3}
        )
        assert_agrees(make_pipeline(union, MaxAbsScaler()).fit(X[["size", "weight"]]), X[["size", "weight"]], 0)


def test_nothing_is_selected():
    X = np.random.default_rng(0).normal(size=(9, 2))
    assert_agrees(ColumnTransformer([("gone", "drop", [0])]).fit(X), X, 0)


def test_wrappers_of_a_classifier():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.where(X[:, 0] > 0, "yes", "no")
    pipeline = make_pipeline(StandardScaler(), PCA(2), LogisticRegression())
    grid = {"pca__n_components": [1, 3]}
    assert_agrees(FrozenEstimator(pipeline.fit(X, y)), X, 1e-9)
    assert_agrees(GridSearchCV(pipeline, grid, cv=2).fit(X, y), X, 1e-9)
    assert_agrees(RandomizedSearchCV(pipeline, grid, n_iter=1, cv=2, random_state=0).fit(X, y), X, 1e-9)
    with pytest.raises(UnsupportedForOnnxError, match="refit=False.*fit with refit=True"):
        build_model(make_pipeline(GridSearchCV(pipeline, grid, cv=2, refit=False).fit(X, y)), X)


def test_wrappers_of_a_transformer():
    X = np.random.default_rng(0).normal(size=(60, 3))
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), VarianceThreshold()).fit(X))
    assert_agrees(make_pipeline(frozen, "passthrough", MinMaxScaler()).fit(X), X, 0)


@pytest.mark.parametrize(
    "how",
    [
        {"func": np.log1p, "inverse_func": np.expm1},
        {"func": np.log, "inverse_func": np.exp},
        {"func": np.sqrt, "inverse_func": np.square},
        {"transformer": StandardScaler()},
        {"transformer": StandardScaler(with_mean=False)},
        {"transformer": RobustScaler()},
        {"transformer": MinMaxScaler()},
        {"transformer": MaxAbsScaler()},
        {},
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transformed_targets(how, dtype):
    X = np.random.default_rng(0).uniform(-1, 1, size=(50, 3)).astype(dtype)
    y = (X[:, 0] * 0.3 + 3).astype(dtype)
    atol = 1e-6 if dtype == np.float32 else 1e-12
    model = TransformedTargetRegressor(LinearRegression(), check_inverse=False, **how)
    assert_agrees(model.fit(X, y), X, atol)
    assert_agrees(model.fit(X, np.c_[y, y * 2]), X, atol)


def test_transformed_targets_are_refused_where_the_inverse_is_unknown():
    X = np.random.default_rng(0).normal(size=(50, 3))
    y = X[:, 0] + 9
    for how, match in [
        ({"func": np.cbrt, "inverse_func": lambda y: y**3}, "inverse_func=<lambda>"),
        ({"transformer": QuantileTransformer(n_quantiles=10)}, "QuantileTransformer"),
    ]:
        with pytest.raises(UnsupportedForOnnxError, match=match):
            build_model(TransformedTargetRegressor(Ridge(), **how).fit(X, y), X)


def test_missing_columns_are_refused():
    X = make_table()
    union = ColumnTransformer([("n", MaxAbsScaler(), ["weight", "count"])]).fit(X)
    with pytest.raises(UnsupportedForOnnxError, match="pass an X with the columns of fit.*weight"):
        build_model(union, X[["size", "count"]])


def test_an_error_names_the_step():
    X = make_table()
    union = ColumnTransformer([("strings", make_pipeline(OrdinalEncoder()), ["color"])]).fit(X)
    with pytest.raises(UnsupportedForOnnxError, match="the step 'columntransformer/strings/ordinalencoder' cannot"):
        build_model(make_pipeline(union, FunctionTransformer()).fit(X), X)
