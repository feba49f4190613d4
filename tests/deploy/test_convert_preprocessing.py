"""Converters of scalers, functions of columns, projections and selectors."""

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees, run


def make_rows(dtype, seed=0):
    X = np.random.default_rng(seed).normal(scale=30, size=(60, 5))
    return X.astype(dtype)


SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler((-1, 3)),
    MinMaxScaler(clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False),
    RobustScaler(with_scaling=False),
    Binarizer(threshold=0.3),
    FunctionTransformer(np.abs),
    FunctionTransformer(),
    PolynomialFeatures(3),
    PolynomialFeatures((2, 3), include_bias=False),
    PolynomialFeatures(2, interaction_only=True),
    KBinsDiscretizer(4, encode="ordinal", strategy="kmeans"),
    KBinsDiscretizer(3, strategy="uniform", encode="onehot-dense"),
    VarianceThreshold(900),
    SelectKBest(k=2),
]


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_to_the_last_bit(scaler, dtype):
    X = make_rows(dtype)
    y = np.arange(60) % 2
    # Rows outside the range of fit, so that clipping has an effect.
    model = assert_agrees(scaler.fit(X, y), X, 0, make_rows(dtype, 1) * 2)
    assert onnx.helper.tensor_dtype_to_np_dtype(output_type(model)) == scaler.transform(X).dtype


def output_type(model):
    return model.graph.output[0].type.tensor_type.elem_type


@pytest.mark.parametrize("scaler", SCALERS[:9])
def test_float32_rows_of_a_scaler_fitted_in_float64(scaler):
    X = make_rows(np.float64)
    model = assert_agrees(scaler.fit(X), X.astype(np.float32), 0)
    assert output_type(model) == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("scaler", SCALERS[:9])
def test_gaps_stay_gaps(scaler):
    X = make_rows(np.float64)
    X[::7, 2] = np.nan
    assert_agrees(scaler.fit(X), X, 0)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_normalizer(norm, dtype):
    X = make_rows(dtype)
    X[3] = 0
    assert_agrees(Normalizer(norm).fit(X), X, 1e-6 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("function", [np.log1p, np.log, np.exp, np.sqrt, np.square])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_functions(function, dtype):
    X = np.random.default_rng(0).uniform(0.5, 4, size=(50, 3)).astype(dtype) + dtype(1)
    largest = np.abs(function(X)).max()
    assert_agrees(FunctionTransformer(function).fit(X), X, largest * (1e-6 if dtype == np.float32 else 1e-15))


def test_log1p_of_small_numbers():
    X = np.logspace(-20, 3, 60).reshape(-1, 2)
    _, model = build_model(FunctionTransformer(np.log1p).fit(X), X)
    np.testing.assert_allclose(run(model, X)["features"], np.log1p(X), rtol=1e-14)
    assert run(model, np.full_like(X, -1))["features"].max() == -np.inf


def test_columns_of_a_table_keep_their_dtypes():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": np.arange(6), "b": np.arange(6, dtype=np.float32)})
    log = FunctionTransformer(np.log1p).fit(X)
    _, model = build_model(make_pipeline(log, FunctionTransformer()).fit(X), X)
    found = run(model, X)["features"]
    assert found.dtype == np.float64  # the common dtype of float64 and float32
    np.testing.assert_allclose(found, np.asarray(log.transform(X)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize(
    "projection", [PCA(3), PCA(2, whiten=True), IncrementalPCA(2), TruncatedSVD(2, random_state=0)]
)
def test_projections(projection, dtype):
    X = make_rows(dtype)
    assert_agrees(projection.fit(X), X, 1e-3 if dtype == np.float32 else 1e-12)


def test_selectors_that_hold_an_estimator():
    X, y = load_iris(return_X_y=True)
    assert_agrees(SelectFromModel(Ridge()).fit(X, y), X, 0)
    for selector in (RFE(Ridge(), n_features_to_select=2), SelectFromModel(Ridge())):
        assert_agrees(make_pipeline(selector, StandardScaler()).fit(X, y), X, 0)


def test_selectors_of_tables():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": np.float32([0, 1, 2]), "b": [0, 1, 9], "c": np.float32([7, 7, 7])})
    # An array of all three columns is float64; a DataFrame of the first is float32.
    for selector in (VarianceThreshold(), VarianceThreshold().set_output(transform="pandas")):
        assert_agrees(make_pipeline(selector, RobustScaler()).fit(X), X, 0)


def test_refused():
    X = make_rows(np.float64)
    for function, kwargs in [(np.cbrt, None), (lambda X: X, None), (np.clip, {"a_min": 0, "a_max": 1})]:
        transformer = FunctionTransformer(function, kw_args=kwargs).fit(X)
        with pytest.raises(UnsupportedForOnnxError, match="step 'functiontransformer'.*use one of np.log1p"):
            build_model(make_pipeline(transformer, StandardScaler()).fit(X), X)
    with pytest.raises(UnsupportedForOnnxError, match="float16: convert X to float32"):
        build_model(StandardScaler().fit(X), X.astype(np.float16))
