"""export_onnx: the files that it writes, the estimators that it rejects, and that no files remain after an error."""

import os
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sktricks.deploy._export as export_module
from sktricks import (
    ExportReport,
    NetClassifier,
    OnnxMismatchError,
    OnnxModel,
    UnsupportedForOnnxError,
    export_onnx,
    load_onnx,
)

from ._files import NAMES, X, fitted


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "model.onnx"
    assert [file.name for file in tmp_path.iterdir()] in ([], ["model.onnx"])  # no temporary files


def test_a_classifier(path):
    report = export_onnx(fitted("classifier"), path, X)
    assert isinstance(report, ExportReport) and report.size == path.stat().st_size
    assert report.inputs == {"X": "float32 (n, 4)"}
    assert report.outputs == {"label": "str (n)", "probabilities": "float32 (n, 3)"}
    assert report.n_rows == len(X) and report.n_made_rows > 500 and report.n_ties == 0
    assert report.largest_difference <= report.atol == 1e-5
    assert report.speed_1 > 0 and report.speed_64 > 0 and report.threshold_fraction == 0


def test_double_precision_is_checked_to_the_ninth_digit(path):
    report = export_onnx(StandardScaler().fit(X.astype(np.float64)), path, X.astype(np.float64))
    assert report.atol == 1e-9 and report.outputs == {"features": "float64 (n, 4)"}


def test_a_graph_that_the_runtime_cannot_load_is_refused(path, monkeypatch):
    def fail(*args):
        raise ValueError("the graph is not an ONNX file")

    monkeypatch.setattr(export_module, "open_session", fail)
    with pytest.raises(
        UnsupportedForOnnxError, match=r"onnxruntime [\d.]+ cannot run its graph: install another version"
    ):
        export_onnx(fitted("transformer"), path, X)


def test_several_labels(path):
    labels = (X[:, :2] > np.median(X[:, :2], axis=0)).astype(int)
    estimator = MultiOutputClassifier(LogisticRegression()).fit(X, labels)
    report = export_onnx(estimator, path, X)
    assert report.outputs == {"label": "int64 (n, 2)", "probabilities": "float32 (n, 2)"}
    np.testing.assert_array_equal(load_onnx(path).predict(X), estimator.predict(X))


def test_plain_onnxruntime_runs_the_file(path):
    import onnxruntime

    export_onnx(fitted("classifier"), path, X)
    session = onnxruntime.InferenceSession(path)
    label, probabilities = session.run(["label", "probabilities"], {"X": X})
    np.testing.assert_array_equal(label, fitted("classifier").predict(X))
    np.testing.assert_allclose(probabilities, fitted("classifier").predict_proba(X), atol=1e-5)


def test_probabilities_alone(path):
    report = export_onnx(fitted("classifier"), path, X, outputs="probabilities")
    assert list(report.outputs) == ["probabilities"]
    np.testing.assert_array_equal(OnnxModel(path).predict(X), fitted("classifier").predict(X))


def test_rows_are_in_the_file_only_if_asked_for(path):
    rows = X + np.float32(0.1234567)
    row = rows[3].tobytes()
    for embed_rows in (False, True):
        export_onnx(StandardScaler().fit(rows), path, rows, embed_rows=embed_rows)
        model = OnnxModel(path)
        assert model.check() == 0
        stored = model._metadata.check.rows
        assert (stored is not None and row in stored["X"].tobytes()) is embed_rows


def refused(error, match, *args, **kwargs):
    with pytest.raises(error, match=match):
        export_onnx(*args, **kwargs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4"}, "quantize must be 'int8' or None, got 'int4'"),
        ({"quantize": "int8"}, "quantize='int8' requires calibration_data"),
        ({"calibration_data": X}, "calibration_data requires quantize='int8'"),
        ({"quantize": "int8", "calibration_data": X[5:9]}, "must not share rows with X, .* but 4 rows are in both"),
        ({"outputs": "labels"}, "outputs must be 'all' or 'probabilities', got 'labels'"),
        ({"atol": -1}, "atol must be 'auto' or a non-negative number, got -1"),
        ({"atol": "small"}, "atol must be 'auto' or a non-negative number"),
        ({"max_label_changes": -0.1}, "max_label_changes must be a non-negative number"),
        ({"max_loss_increase": "1"}, "max_loss_increase must be a non-negative number"),
    ],
)
def test_wrong_parameters(path, options, message):
    refused(ValueError, message, fitted("classifier"), path, X, **options)
    assert not path.exists()


def test_what_cannot_be_exported(path):
    refused(NotFittedError, "not fitted", NetClassifier(), path, X)
    refused(TypeError, "estimator must be a fitted estimator, got 3", 3, path, X)
    refused(TypeError, "estimator must be a fitted estimator, got <class", NetClassifier, path, X)
    refused(
        ValueError,
        "'probabilities' requires a classifier",
        fitted("regressor"),
        path,
        X,
        outputs="probabilities",
    )
    refused(TypeError, "X must be dense", fitted("classifier"), path, csr_matrix(X))
    assert not path.exists()


def test_x_that_the_estimator_refuses(path):
    refused(ValueError, "X has 3 features, but NetClassifier is expecting 4", fitted("classifier"), path, X[:, :3])
    refused(ValueError, "minimum of 1 is required by NetClassifier", fitted("classifier"), path, X[:0])


def test_one_classifier_per_label(path):
    labels = (X[:, :2] > np.median(X[:, :2], axis=0)).astype(int)
    model = MultiOutputClassifier(LogisticRegression()).fit(X, labels)
    export_onnx(model, path, X)
    np.testing.assert_array_equal(OnnxModel(path).predict(X), model.predict(X))
    expected = [chances[:, 1] for chances in model.predict_proba(X)]
    np.testing.assert_allclose(OnnxModel(path).predict_proba(X), np.transpose(expected), atol=1e-5)


def test_a_tensor_is_an_array(path):
    scaler = fitted("transformer")
    assert export_onnx(scaler, path, torch.from_numpy(X)).inputs == {"X": "float32 (n, 4)"}


def frame(**columns):
    return pd.DataFrame({"size": [0.5, 1.5, 2.0, 4.0], **columns})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame(when=pd.date_range("2020", periods=4)), "the column 'when' of datetime64.* drop it before fit"),
        (frame(when=[(1, 2), (3,), (4,), (5,)]), "the column 'when' of object, a type that ONNX lacks"),
        (frame(when=[Decimal(1)] * 4), "the column 'when' of object, a type that ONNX lacks"),
        (
            frame(label=[1, 2, 3, 4]),
            r"columns named like the outputs of the graph, \['label'.*, got \['label'\]",
        ),
        (frame(**{"": [1, 2, 3, 4]}), "X must have named columns, got a column named ''"),
    ],
)
def test_columns_that_a_graph_cannot_have(path, table, message):
    columns = ColumnTransformer([("size", StandardScaler(), ["size"])])
    model = make_pipeline(columns, LogisticRegression()).fit(table, [0, 1, 0, 1])
    refused((UnsupportedForOnnxError, ValueError), message, model, path, table)


def test_numbers_in_strings_are_refused(path):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X[:, 0] > np.median(X[:, 0]))
    refused(UnsupportedForOnnxError, "standardscaler.* a column of strings: this step", model, path, X.astype(str))


@pytest.mark.skipif(np.longdouble == np.float64, reason="this platform has no wider floats")
def test_wider_floats_are_refused(path):
    refused(UnsupportedForOnnxError, "convert X to", fitted("transformer"), path, X.astype(np.longdouble))


def test_paths_that_cannot_be_written(tmp_path):
    estimator = fitted("transformer")
    refused(FileNotFoundError, "there is no folder", estimator, tmp_path / "no" / "a.onnx", X)
    refused(ValueError, "path must name a file, got the folder", estimator, tmp_path, X)
    refused(TypeError, "path must be a str or os.PathLike", estimator, 3, X)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    refused(PermissionError, "must be in a writable folder", fitted("transformer"), tmp_path / "a.onnx", X)


def test_an_old_file_stays_if_the_export_fails(path, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(export_module, "check_graph", check_graph_that_fails)
    refused(OnnxMismatchError, "planted", fitted("transformer"), path, X)
    assert path.read_bytes() == b"old"


def check_graph_that_fails(*args, **kwargs):
    raise OnnxMismatchError("planted")


# -- planted faults ----------------------------------------------------------------------------------------------------


def plant(monkeypatch, change):
    """Change the model between conversion and check."""
    build = export_module.build_model

    def build_and_change(*args):
        graph, model = build(*args)
        change(model)
        return graph, model

    monkeypatch.setattr(export_module, "build_model", build_and_change)


def change_constant(model, select, change):
    """Change the one constant of a graph that is selected."""
    from onnx import numpy_helper

    (tensor,) = [one for one in model.graph.initializer if select(numpy_helper.to_array(one))]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))


def test_a_wrong_normalization_is_found(path, monkeypatch):
    scaler = StandardScaler().fit(X)
    mean = scaler.mean_.astype(np.float32)

    def is_mean(array):
        return array.shape == mean.shape and np.array_equal(array, mean)

    plant(monkeypatch, lambda model: change_constant(model, is_mean, lambda array: array * np.float32(1.001)))
    refused(OnnxMismatchError, "the ONNX graph of StandardScaler differs from it in 150 of 150 rows", scaler, path, X)
    assert not path.exists()


def test_swapped_categories_are_found(path, monkeypatch):
    rows = np.array([["a"], ["b"], ["c"], ["d"]] * 5, dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(rows)

    def swap(model):
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            if sorted(tensor.string_data) == [b"a", b"b", b"c", b"d"]:
                tensor.string_data[:2] = tensor.string_data[1::-1]
                return
        (node,) = [node for node in model.graph.node if node.op_type == "LabelEncoder"]
        for attribute in node.attribute:
            if attribute.strings:
                attribute.strings[:2] = attribute.strings[1::-1]
                return
            if attribute.name == "keys_tensor":
                keys = numpy_helper.to_array(attribute.t)[[1, 0, 2, 3]]
                attribute.t.CopyFrom(numpy_helper.from_array(keys, attribute.t.name))
                return
        raise AssertionError("the graph has no categories")

    plant(monkeypatch, swap)
    refused(OnnxMismatchError, "OneHotEncoder differs from it in 10 of 20 rows", encoder, path, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_that_are_rounded_up_are_found(path, monkeypatch, dtype):
    rows = X.astype(dtype)
    forest = RandomForestClassifier(5, random_state=0).fit(rows, NAMES)

    def round_up(model):
        from onnx import numpy_helper

        (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
        for attribute in node.attribute:
            if attribute.name == "nodes_values":
                up = np.nextafter(np.float32(attribute.floats), np.float32(np.inf))
                attribute.floats[:] = up.tolist()
                return
            if attribute.name == "nodes_values_as_tensor":
                up = np.nextafter(numpy_helper.to_array(attribute.t).astype(np.float32), np.float32(np.inf))
                attribute.t.CopyFrom(numpy_helper.from_array(up, attribute.t.name))
                return
        raise AssertionError("the graph has no thresholds")

    assert export_onnx(forest, path, rows).threshold_fraction == 0
    path.unlink()
    plant(monkeypatch, round_up)
    refused(OnnxMismatchError, "the ONNX graph of RandomForestClassifier differs from it in", forest, path, rows)
    assert not path.exists()


def test_the_estimator_stays_as_it_is(path):
    estimator = NetClassifier(max_epochs=2, random_state=0).fit(X, NAMES)
    before = estimator.predict_proba(X), set(vars(estimator))
    export_onnx(estimator, path, X)
    np.testing.assert_array_equal(estimator.predict_proba(X), before[0])
    assert set(vars(estimator)) == before[1]


def test_a_step_without_a_converter_is_named(path):
    class Mine(LogisticRegression):
        pass

    pipeline = make_pipeline(StandardScaler(), Mine()).fit(X, NAMES)
    refused(UnsupportedForOnnxError, "the step 'mine' cannot be exported to ONNX, because of Mine", pipeline, path, X)
    assert not path.exists()


def test_a_bar_of_steps(path, bars, capfd):
    X = np.random.default_rng(0).normal(size=(50, 2))
    export_onnx(LogisticRegression().fit(X, X[:, 0] > 0), path, X, verbose=1)
    assert bars == [("export", 4, 4)] and capfd.readouterr().err == ""
