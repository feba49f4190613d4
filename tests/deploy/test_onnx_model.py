"""OnnxModel: predictions, its own check, damaged files, threads, and processes without torch and scikit-learn."""

import copy
import multiprocessing
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sktricks.deploy._onnx_model as module
from sktricks import OnnxMismatchError, OnnxModel, save

from ._files import X, content, fitted

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_imports import OPTIONAL, fresh  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_is_checked_yet(monkeypatch):
    monkeypatch.setattr(module, "CHECKED", set())


def test_a_classifier():
    model, net = OnnxModel(content()), fitted("classifier")
    assert (model.kind, model.outputs) == ("classifier", ["label", "probabilities"])
    assert model.inputs == [("X", np.dtype(np.float32), (4,))] and model.feature_names is None
    assert model.classes.dtype == net.classes_.dtype
    found = model.predict(X)
    assert found.dtype == net.classes_.dtype
    np.testing.assert_array_equal(found, net.predict(X))
    np.testing.assert_allclose(model.predict_proba(X.astype(float)), net.predict_proba(X), atol=1e-5)
    assert repr(model) == "<OnnxModel of a NetClassifier: X -> label, probabilities>"


def test_a_regressor_and_a_transformer():
    regressor, transformer = OnnxModel(content("regressor")), OnnxModel(content("transformer"))
    np.testing.assert_allclose(regressor.predict(X), fitted("regressor").predict(X), rtol=1e-5)
    with pytest.raises(AttributeError, match="has no probabilities"):
        regressor.predict_proba(X)
    np.testing.assert_array_equal(transformer.run(X)["features"], fitted("transformer").transform(X))
    with pytest.raises(AttributeError, match=r"has no labels or values, only \['features'\]: call run instead"):
        transformer.predict(X)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:, :3], r"X must have the shape \(n, 4\), got \(150, 3\)"),
        (X[0], r"X must have the shape \(n, 4\), got \(4,\)"),
        (np.full((1, 4), np.inf), "Input X contains infinity"),
        (np.full((1, 4), "a"), "X must hold numbers"),
    ],
)
def test_wrong_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        OnnxModel(content()).run(rows)


def test_large_numbers_are_finite():
    assert OnnxModel(content()).run(np.full((1, 4), 1e30, np.float32)).keys() == {"label", "probabilities"}


def test_gaps_are_taken_where_the_estimator_takes_them():
    rows = np.full((1, 4), np.nan, np.float32)
    assert np.isnan(OnnxModel(content("transformer")).run(rows)["features"]).all()  # a scaler keeps them
    for allowed in (False, [0, 1]):
        model = OnnxModel(content())
        model._metadata.missing["X"] = allowed
        with pytest.raises(ValueError, match="Input X contains NaN, which the exported estimator does not"):
            model.run(rows)


def test_wrong_parameters():
    with pytest.raises(ValueError, match="n_threads must be an int above 0, or None, got 0"):
        OnnxModel(content(), n_threads=0)
    with pytest.raises(TypeError, match="providers must be a list of names, got the string 'CPU'"):
        OnnxModel(content(), providers="CPU")
    with pytest.raises(ValueError, match="providers must be among .*CPUExecutionProvider.*, got .'NoProvider'."):
        OnnxModel(content(), providers=["NoProvider"])


# -- files that are not as they were -----------------------------------------------------------------------------------


def test_damaged_files(tmp_path):
    path = tmp_path / "model.onnx"
    good = content()
    for place in (10, len(good) // 2, len(good) - 1):
        changed = bytearray(good)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="model.onnx' is damaged, since its checksum does not match"):
            OnnxModel(path)
    for length in (0, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match="model.onnx' (is truncated|was changed|must be a file of export_onnx)"):
            OnnxModel(path)
    path.write_bytes(b"no onnx")
    with pytest.raises(ValueError, match="not an ONNX file"):
        OnnxModel(path)
    save(fitted("classifier"), path)
    with pytest.raises(ValueError, match="not an ONNX file.*an archive of sktricks.save: load it with sktricks.load"):
        OnnxModel(path)
    with pytest.raises(FileNotFoundError):
        OnnxModel(tmp_path / "nothing.onnx")
    with pytest.raises(ValueError, match="must be a file, got a folder"):
        OnnxModel(tmp_path)


def changed_model(change):
    """The bytes of a file after a change of its model by other tools."""
    import onnx

    model = onnx.load_from_string(content())
    change(model)
    return model.SerializeToString()


def test_foreign_newer_and_changed_files():
    with pytest.raises(ValueError, match="the content must be a file of export_onnx, got another ONNX file"):
        OnnxModel(changed_model(lambda model: model.ClearField("metadata_props")))
    newer = changed_model(lambda model: setattr(model.metadata_props[0], "value", "99"))
    with pytest.raises(ValueError, match="format 99, but this version of sktricks reads formats up to 1"):
        OnnxModel(newer, check=False)
    without_sum = changed_model(lambda model: model.metadata_props.pop())
    with pytest.raises(ValueError, match="was changed after the export: pass check=False if this was intentional"):
        OnnxModel(without_sum)
    np.testing.assert_array_equal(OnnxModel(without_sum, check=False).predict(X), fitted("classifier").predict(X))


# -- its check ---------------------------------------------------------------------------------------------------------


class WrongSession:
    """A runtime that computes other results."""

    def __init__(self, session, by):
        self.session, self.by = session, by

    def __getattr__(self, name):
        return getattr(self.session, name)

    def run(self, names, feeds):
        found = self.session.run(names, feeds)
        return [self.by(name, values) for name, values in zip(names, found, strict=True)]


def wrong_runtime(monkeypatch, by):
    right = module.open_session
    monkeypatch.setattr(module, "open_session", lambda *args: WrongSession(right(*args), by))


def test_a_runtime_that_is_wrong_is_found(monkeypatch):
    wrong_runtime(monkeypatch, lambda name, values: values + np.float32(1e-4) if name == "probabilities" else values)
    with pytest.raises(OnnxMismatchError, match="in 64 of 64 rows of its check: probabilities .* instead"):
        OnnxModel(content())
    assert OnnxModel(content(), check=False).kind == "classifier"


def test_a_runtime_with_wrong_labels_is_found(monkeypatch):
    wrong_runtime(monkeypatch, lambda name, values: values[::-1] if name == "label" else values)
    with pytest.raises(OnnxMismatchError, match="of 64 rows of its check: label .* instead of"):
        OnnxModel(content())


def test_a_file_is_checked_once_per_process(monkeypatch):
    OnnxModel(content())
    wrong_runtime(monkeypatch, lambda name, values: np.zeros_like(values))
    model = OnnxModel(content())
    with pytest.raises(OnnxMismatchError):
        model.check()


def test_real_rows_are_checked():
    assert OnnxModel(content(embed_rows=True)).check() <= 1e-6
    assert OnnxModel(content()).check() <= 1e-6


# -- threads and processes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classifier", "regressor", "transformer"])
@pytest.mark.parametrize("size", [1, 40, 149, 150])
def test_many_rows_are_predicted_in_blocks(kind, size):
    model = OnnxModel(content(kind))
    whole, calls, session = model.run(X), [], model._session
    object.__setattr__(model._metadata, "rows_at_once", size)

    class Counting:
        def run(self, outputs, feeds):
            calls.append(len(feeds["X"]))
            return session.run(outputs, feeds)

    model._session = Counting()
    found = model.run(X)
    assert max(calls) == size and sum(calls) == len(X)
    assert found.keys() == whole.keys()
    for name, values in whole.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], values)


def test_threads():
    model = OnnxModel(content())
    expected = model.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model.predict_proba, [X] * 20):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(copied):
    model = OnnxModel(content(), n_threads=1)
    again = copied(model)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again._n_threads == 1 and repr(again) == repr(model)


def test_a_copy_elsewhere_is_checked_again(monkeypatch):
    state = pickle.dumps(OnnxModel(content()))
    module.CHECKED.clear()
    wrong_runtime(monkeypatch, lambda name, values: np.zeros_like(values) if name == "probabilities" else values)
    with pytest.raises(OnnxMismatchError):
        pickle.loads(state).predict(X)


@pytest.mark.skipif(sys.platform != "linux", reason="processes fork on Linux alone")
def test_a_fork_predicts():
    model = OnnxModel(content(), n_threads=2)
    expected = model.predict(X).tolist()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(predict_with, (model,)).get(60) == expected


def predict_with(model):
    return model.predict(X).tolist()


def test_workers_of_joblib_have_few_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert module.threads_of_worker() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert module.threads_of_worker() == 0
    session = OnnxModel(content(), n_threads=2)._session
    options = session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_numpy_and_onnxruntime_are_all_that_it_needs(tmp_path):
    (tmp_path / "model.onnx").write_bytes(content())
    np.save(tmp_path / "X.npy", X[:5])
    code = f"""
import json, os
import numpy as np
from sktricks import OnnxModel
model = OnnxModel({os.fspath(tmp_path / "model.onnx")!r})
X = np.load({os.fspath(tmp_path / "X.npy")!r})
print(json.dumps([model.check() < 1e-5, model.predict(X).tolist(), model.predict_proba(X).shape]))
"""
    refuse = ["torch", "sklearn", "scipy", "pandas", "skorch", "joblib", *OPTIONAL - {"onnxruntime"}]
    assert fresh(code, refuse=refuse) == [True, fitted("classifier").predict(X[:5]).tolist(), [5, 3]]
