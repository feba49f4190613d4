"""Estimators that are converted by skl2onnx."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.decomposition import FastICA
from sklearn.ensemble import BaggingClassifier, IsolationForest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model
from sktricks.deploy._graph import Graph
from sktricks.deploy.converters import _convert_foreign

from ._agreement import assert_agrees

skl2onnx = pytest.importorskip("skl2onnx")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # SVC(probability=True)
DTYPES = [np.float32, np.float64, np.int64]


def make_rows(dtype=np.float64, n_classes=3):
    X, y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0)
    return (X * 3).astype(dtype), y


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        KNeighborsClassifier(3, p=1),
    ],
)
def test_classifiers(model, dtype, n_classes):
    X, y = make_rows(dtype, n_classes)
    if dtype == np.int64:
        X[:] = np.random.default_rng(0).permutation(X.size).reshape(X.shape)  # no equal distances
    assert_agrees(model.fit(X, np.array(["a", "b", "c"])[y]), X)
    assert_agrees(make_pipeline(StandardScaler(), model).fit(X, y + 4), X)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", [KNeighborsRegressor(), GaussianProcessRegressor(alpha=1)])
def test_regressors(model, dtype):
    X, y = make_rows(dtype)
    y = y + X[:, 0] / 10
    assert_agrees(make_pipeline(StandardScaler(), model).fit(X, y), X)


def test_several_outputs():
    X, y = make_rows()
    assert_agrees(KNeighborsRegressor().fit(X, np.c_[y, -y]), X)


def test_a_transformer():
    X, y = make_rows(np.float32)
    assert_agrees(make_pipeline(NeighborhoodComponentsAnalysis(2, max_iter=3), StandardScaler()).fit(X, y), X)


def test_labels_in_a_column():
    X, y = make_rows(n_classes=3)
    assert_agrees(OneVsOneClassifier(LogisticRegression()).fit(X, y), X)


def test_bools_as_labels():
    X, y = make_rows(n_classes=2)
    assert_agrees(KNeighborsClassifier().fit(X, y > 0), X)


def test_without_skl2onnx(monkeypatch):
    monkeypatch.setattr(_convert_foreign, "is_installed", lambda name: False)
    X, y = make_rows()
    with pytest.raises(UnsupportedForOnnxError, match="the step 'kneigh.* not installed: pip install skl2onnx"):
        build_model(make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(X, y), X)


class Own(BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self


@pytest.mark.parametrize(
    "estimator, match",
    [
        (FastICA(random_state=0), r"FastICA, which skl2onnx does not convert \(.*shape calculator"),
        (IsolationForest(n_estimators=2), "IsolationForest, which is neither"),
        (
            KNeighborsClassifier(weights="distance"),
            r"\(weights='distance'\), which skl2onnx does not",
        ),
        (Own(), "Own, for which there is no converter"),
    ],
)
def test_refused(estimator, match):
    X, y = make_rows()
    with pytest.raises(UnsupportedForOnnxError, match=match):
        build_model(estimator.fit(X, y), X)


def test_the_cure_fits_a_lone_estimator_and_a_step():
    X, y = make_rows()
    with pytest.raises(UnsupportedForOnnxError, match="the estimator cannot .* FastICA.*: fit and export a common"):
        build_model(FastICA(random_state=0).fit(X), X)
    with pytest.raises(UnsupportedForOnnxError, match="the step 'fastica' cannot .*: export the steps before it, or"):
        build_model(make_pipeline(FastICA(random_state=0), LogisticRegression()).fit(X, y), X)


@pytest.mark.parametrize("make", [np.array, pd.Series, list])
def test_text_is_refused(make):
    texts = ["good film", "bad film"] * 4
    with pytest.raises(UnsupportedForOnnxError, match="'tfidf.*, because of TfidfVectorizer, which reads text: export"):
        build_model(make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, [0, 1] * 4), make(texts))
    table = pd.DataFrame({"text": texts, "size": range(8)})
    columns = ColumnTransformer([("text", CountVectorizer(), "text")], remainder="passthrough")
    with pytest.raises(UnsupportedForOnnxError, match="'text' .* of CountVectorizer, which reads text"):
        build_model(columns.fit(table), table)


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(),
        BaggingClassifier(DecisionTreeClassifier(), n_estimators=2),
        CalibratedClassifierCV(SVC(), cv=2),
    ],
)
def test_what_skl2onnx_converts_wrongly_is_refused(estimator):
    X, y = make_rows()
    with pytest.raises(UnsupportedForOnnxError, match="which skl2onnx does not convert correctly"):
        _convert_foreign.convert_foreign(Graph(), estimator.fit(X, y), X)
