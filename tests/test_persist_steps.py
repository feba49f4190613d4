"""Common scikit-learn steps: stored without skops, and checked when they are loaded."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from sktricks import NetClassifier, VotingClassifier, load, save
from sktricks.persist._archive import read_archive, write_archive

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(
    {
        "length": np.where(X[:, 0] > 7, np.nan, X[:, 0]),
        "width": X[:, 1],
        "kind": np.where(X[:, 2] > 4, "long", "short"),
        "grade": np.where(X[:, 3] > 1, "b", "a"),
    }
)
MIXED = make_column_transformer(
    (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["length"]),
    (make_pipeline(FunctionTransformer(np.log1p, feature_names_out="one-to-one"), MinMaxScaler()), ["width"]),
    (OneHotEncoder(drop="if_binary"), ["kind"]),
    (OrdinalEncoder(), ["grade"]),
)
STEPS = [
    (StandardScaler(), X),
    (StandardScaler(with_mean=False, with_std=False), X),
    (MinMaxScaler(feature_range=(-1, 1)), X),
    (SimpleImputer(strategy="median", add_indicator=True), FRAME[["length", "width"]]),
    (SimpleImputer(strategy="most_frequent"), FRAME[["kind"]]),
    (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), FRAME[["kind", "grade"]]),
    (OneHotEncoder(drop="first"), FRAME[["kind"]]),
    (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), FRAME[["grade"]]),
    (OrdinalEncoder(dtype=np.int32), FRAME[["grade"]]),
    (FunctionTransformer(np.sqrt, inverse_func=np.square, feature_names_out="one-to-one"), X),
    (FunctionTransformer(np.nan_to_num, kw_args={"nan": 1.0}, feature_names_out="one-to-one"), X),
    (ColumnTransformer([("x", StandardScaler(), slice(0, 2)), ("y", "drop", [2])], remainder=MinMaxScaler()), X),
    (ColumnTransformer([("x", "passthrough", [True, False, True, False])]), X),
    (ColumnTransformer([("x", MinMaxScaler(), ["width"])]).set_output(transform="pandas"), FRAME),
    (MIXED, FRAME),
]


@pytest.fixture
def no_skops(monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)


def as_array(value):
    return value.toarray() if hasattr(value, "toarray") else np.asarray(value)


@pytest.mark.usefixtures("no_skops")
@pytest.mark.parametrize(("step", "rows"), STEPS, ids=lambda value: type(value).__name__)
def test_common_steps_do_not_require_skops(step, rows, tmp_path):
    pipeline = make_pipeline(step, "passthrough").fit(rows)
    save(pipeline, tmp_path / "steps")
    again = load(tmp_path / "steps")
    np.testing.assert_array_equal(as_array(again.transform(rows)), as_array(pipeline.transform(rows)))
    assert list(again.get_feature_names_out()) == list(pipeline.get_feature_names_out())


@pytest.mark.usefixtures("no_skops")
def test_a_column_transformer_before_a_net_does_not_require_skops(tmp_path):
    model = make_pipeline(MIXED, NetClassifier(max_epochs=2, random_state=0)).fit(FRAME, Y)
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(FRAME), model.predict_proba(FRAME))


def test_a_user_function_raises_an_error_with_the_cure(tmp_path):
    pytest.importorskip("skops.io")
    model = make_pipeline(FunctionTransformer(as_array), StandardScaler()).fit(X)
    with pytest.raises(TypeError, match=r"functiontransformer' \(FunctionTransformer\) only if you trust its types"):
        save(model, tmp_path / "model")


def test_a_net_in_an_unsupported_estimator_raises_an_error_with_the_cure(tmp_path):
    pytest.importorskip("skops.io")
    model = CalibratedClassifierCV(NetClassifier(max_epochs=1, random_state=0), cv=2).fit(X, Y)
    with pytest.raises(TypeError, match="CalibratedClassifierCV: it contains NetClassifier, .* only alone"):
        save(model, tmp_path / "model")
    votes = VotingClassifier([("net", NetClassifier(max_epochs=1, random_state=0))])
    columns = ColumnTransformer([("votes", votes, [0, 1])]).fit(X, Y)
    columns.note_ = "mine"
    with pytest.raises(TypeError, match="it contains NetClassifier, VotingClassifier, and its .* .note_'"):
        save(columns, tmp_path / "model")


def forge(path, step, alter):
    """Rewrite an archive of a Pipeline after calling ``alter`` with the record of a step and all arrays."""
    manifest, arrays = read_archive(path)
    manifest = json.loads(manifest)
    steps = manifest["estimator"]["params"]["steps"]
    alter(next(node["items"][1] for node in steps if node["items"][1]["class"] == step), arrays)
    write_archive(path, manifest, arrays)


def shorten(name):
    def alter(record, arrays):
        key = record["learned"][name]["key"]
        arrays[key] = arrays[key][:1]

    return alter


def learn(name, value):
    return lambda record, arrays: record["learned"].update({name: value})


def set_up(name, value):
    return lambda record, arrays: record["params"].update({name: value})


@pytest.mark.parametrize(
    ("step", "rows", "alter", "match"),
    [
        (StandardScaler(), X, shorten("mean_"), "mean_ for 4 columns"),
        (MinMaxScaler(), X, shorten("scale_"), "scale_ for 4 columns"),
        (StandardScaler(), X, learn("transform", 1), "learned.transform must be absent"),
        (OneHotEncoder(), FRAME[["kind"]], learn("_n_features_outs", [1]), r"_n_features_outs=\[2\]"),
        (
            FunctionTransformer(np.sqrt),
            X,
            set_up("func", {"$": "numpy_function", "value": "load"}),
            "function of numpy",
        ),
        (FunctionTransformer(np.sqrt), X, set_up("kw_args", {"where": False}), "no arguments except"),
        (
            OrdinalEncoder(),
            FRAME[["kind"]],
            set_up("dtype", {"$": "numpy_type", "value": "os.system"}),
            "numpy dtype",
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "get_params") else "",
)
def test_forged_steps_are_rejected(step, rows, alter, match, tmp_path):
    save(make_pipeline(step, "passthrough").fit(rows), tmp_path / "steps")
    forge(tmp_path / "steps", type(step).__name__, alter)
    with pytest.raises(ValueError, match=f"steps' is not a valid archive: .*{match}"):
        load(tmp_path / "steps")
