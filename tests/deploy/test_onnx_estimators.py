"""load_onnx: scikit-learn estimators that never import torch."""

import copy
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from sktricks import NetClassifier, OnnxClassifier, OnnxRegressor, export_onnx, load_onnx

from ._files import NAMES, X, content, fitted

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_imports import fresh  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return load_onnx(content())


def test_a_classifier(model):
    net = fitted("classifier")
    assert type(model) is OnnxClassifier and is_classifier(model) and not is_regressor(model)
    np.testing.assert_array_equal(model.classes_, net.classes_)
    assert model.n_features_in_ == 4 and not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.predict(X), net.predict(X))
    np.testing.assert_allclose(model.predict_proba(X), net.predict_proba(X), atol=1e-5)
    assert model.score(X, NAMES) == net.score(X, NAMES)


def test_a_regressor():
    model = load_onnx(content("regressor"))
    assert type(model) is OnnxRegressor and is_regressor(model) and not hasattr(model, "predict_proba")
    assert model.score(X, X[:, 0]) == pytest.approx(fitted("regressor").score(X, X[:, 0]))
    assert not hasattr(model, "classes_")


def test_a_transformer_is_sent_elsewhere():
    with pytest.raises(ValueError, match=r"got that of a transformer .*: use OnnxModel\(path\).run\(X\)\['features'\]"):
        load_onnx(content("transformer"))


def test_it_stays_as_it_is_like_a_frozen_estimator(model):
    assert clone(model) is model and model.fit(X, NAMES) is model
    check_is_fitted(model)
    assert list(model.get_params()) == ["model"]
    assert get_tags(model).estimator_type == "classifier" and not get_tags(model).input_tags.three_d_array


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(model, copied):
    np.testing.assert_array_equal(copied(model).predict_proba(X), model.predict_proba(X))


def test_inside_scikit_learn(model):
    pipeline = make_pipeline(FunctionTransformer(), model).fit(X, NAMES)
    np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))
    vote = VotingClassifier([("net", model), ("line", LogisticRegression())], voting="soft").fit(X, NAMES)
    assert vote.score(X, NAMES) > 0.9
    assert cross_val_score(model, X, NAMES, cv=3).mean() == pytest.approx(model.score(X, NAMES))
    assert "OnnxClassifier" in model._repr_html_()


def test_workers_of_joblib(model):
    results = Parallel(n_jobs=2)(delayed(model.predict)(X[part::2]) for part in range(2))
    assert [result.tolist() for result in results] == [model.predict(X[part::2]).tolist() for part in range(2)]


def test_wrong_columns(model):
    with pytest.raises(ValueError, match="X has 3 features, but OnnxClassifier is expecting 4 features as input"):
        model.predict(X[:, :3])
    for rows in (X[:0], []):
        with pytest.raises(
            ValueError, match="Found array with 0 sample.* a minimum of 1 is required by OnnxClassifier"
        ):
            model.predict_proba(rows)


def test_names_of_columns(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    net = NetClassifier(max_epochs=2, random_state=0).fit(frame, NAMES)
    report = export_onnx(net, tmp_path / "a.onnx", frame)
    assert list(report.inputs) == ["a", "b", "c", "d"]
    model = load_onnx(tmp_path / "a.onnx")
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(frame), net.predict(frame))
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        model.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(frame[["b", "a", "c", "d"]])
    whole = frame.assign(d=[1] * len(frame))  # integers instead of floats
    np.testing.assert_array_equal(model.predict(whole), net.predict(whole))


def test_columns_in_any_order_where_the_estimator_takes_them(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    columns = ColumnTransformer([("scale", StandardScaler(), ["a", "c"])], remainder="passthrough")
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, NAMES)
    export_onnx(pipeline, tmp_path / "a.onnx", frame)
    model = load_onnx(tmp_path / "a.onnx")
    other = frame[["d", "c", "b", "a"]].assign(more="x")
    np.testing.assert_array_equal(model.predict(other), pipeline.predict(frame))
    np.testing.assert_allclose(model.predict_proba(other), pipeline.predict_proba(frame), atol=1e-5)
    with pytest.raises(ValueError, match="X must have the columns .*'a', 'b', 'c', 'd'.*, got .*'d', 'c', 'b'"):
        model.predict(other.drop(columns="a"))


def test_torch_is_not_imported(tmp_path):
    (tmp_path / "model.onnx").write_bytes(content())
    code = f"""
import json
import numpy as np
from sktricks import load_onnx
model = load_onnx({os.fspath(tmp_path / "model.onnx")!r})
print(json.dumps([str(model.classes_[0]), "torch" in sys.modules]))
"""
    assert fresh(code, refuse=["torch", "skorch", "onnx", "pandas"]) == ["setosa", False]
