"""Converters of NetClassifier and NetRegressor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import NetClassifier, NetRegressor
from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.deploy.converters import _torch_graphs

from ._agreement import assert_agrees

X, CODES = load_iris(return_X_y=True)
X = X + np.random.default_rng(0).normal(scale=0.1, size=X.shape)
NAMES = np.array(["setosa", "versicolor", "virginica"], dtype=object)[CODES]
EXACT = {"max_epochs": 4, "random_state": 0, "batch_size": 200}  # one batch: these nets compute in float64
QUICK = {**EXACT, "batch_size": 32}


class Gate(torch.nn.Module):
    """A user's module that returns a tuple."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first, self.last = torch.nn.Linear(n_features, 8), torch.nn.Linear(8, n_outputs)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.last(hidden * torch.sigmoid(hidden)), hidden


def test_float64_table_stays_float64():
    net = NetClassifier(**EXACT).fit(X, NAMES)
    model = assert_agrees(net, X, 1e-9)
    assert len(model.graph.node) < 30
    assert_agrees(net, X.astype(np.float32), 1e-6)
    assert_agrees(net, np.rint(X).astype(np.int64), 1e-9)


def test_float32_net():
    net = NetClassifier(**QUICK, net_params={"module__depth": 1}).fit(X, CODES)
    assert_agrees(net, X, 1e-6)
    assert_agrees(make_pipeline(StandardScaler(), net).fit(X, CODES), X.astype(np.float32), 1e-5)


def test_gaps_of_fit_and_later_ones():
    gaps = X.copy()
    gaps[::5, 1] = np.nan
    later = gaps.copy()
    later[::3, 0] = np.nan
    net = NetClassifier(**EXACT).fit(gaps, CODES)
    assert_agrees(net, later, 1e-9)
    assert_agrees(net, later.astype(np.float32), 1e-6)
    assert_agrees(NetClassifier(**EXACT).fit(X, CODES), later, 1e-9)


def test_one_logit_several_labels_and_other_losses():
    two = CODES > 0
    assert_agrees(NetClassifier(**EXACT, loss="bce").fit(X, two), X, 1e-9)
    assert_agrees(NetClassifier(torch.nn.Linear(4, 1), **EXACT, loss="bce").fit(X, two.astype(int) * 3), X)
    labels = np.stack([CODES > 0, CODES < 2], 1).astype(int)
    assert_agrees(NetClassifier(**EXACT).fit(X, labels), X, 1e-9)
    assert_agrees(NetClassifier(**EXACT).fit(X, np.eye(3)[CODES] * 0.8 + 0.2 / 3), X, 1e-9)


def test_regressors():
    net = NetRegressor(**EXACT).fit(X[:, :3], 1e4 + 50 * X[:, 3])
    assert_agrees(net, X[:, :3], 1e-9)
    assert_agrees(net, X[:, :3].astype(np.float32), 1e-6)
    assert_agrees(NetRegressor(**EXACT).fit(X[:, :2], X[:, 2:] * [1, 1000]), X[:, :2], 1e-9)
    assert_agrees(NetRegressor(**EXACT, loss="huber").fit(X[:, :2], X[:, 2:3]), X[:, :2], 1e-9)


def test_modules_of_the_user():
    assert_agrees(NetClassifier(Gate, **QUICK).fit(X, CODES), X, 1e-6)
    assert_agrees(NetRegressor(torch.nn.Linear(4, 1).double(), **EXACT).fit(X, X[:, 0]), X, 1e-9)
    squeezed = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    assert_agrees(NetRegressor(squeezed, **QUICK).fit(X, X[:, 0]), X, 1e-6)


def test_dataframe_with_strings_numbers_gaps_and_unseen_categories():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"width": X[:, 0].astype(np.float32), "color": rng.choice(["red", "green", None], len(X))})
    frame["code"] = rng.choice([3, 70, -1], len(X))
    frame["share"] = rng.choice([0.1, 0.7, np.nan], len(X))
    frame["flag"] = rng.choice([True, False], len(X))
    frame["height"] = np.where(rng.random(len(X)) < 0.2, np.nan, X[:, 2])
    later = frame.copy()
    later.loc[:9, "color"] = "blue"
    later.loc[5:15, "code"] = 8
    later.loc[8:18, "share"] = 0.3
    categories = {"categorical_features": ["color", "code", "share", "flag"]}
    for net in (NetClassifier(**QUICK, **categories), NetClassifier(Gate, **QUICK, **categories)):
        assert_agrees(net.fit(frame, NAMES), frame, 1e-6, later, later[3:4])
    alone = NetClassifier(**QUICK, categorical_features=["color", "code"]).fit(frame[["color", "code"]], CODES)
    assert_agrees(alone, frame[["color", "code"]], 1e-6, later[["color", "code"]])
    typed = frame[["color", "height"]].astype({"color": "category"})
    assert_agrees(NetRegressor(**EXACT).fit(typed, X[:, 3]), typed, 1e-9)


def test_array_with_categories():
    rows = np.c_[np.rint(X[:, :2]), X[:, 2:]]
    for dtype in (np.float32, np.float64):
        net = NetClassifier(**QUICK, categorical_features=[0, 1]).fit(rows.astype(dtype), CODES)
        assert_agrees(net, rows.astype(dtype), 1e-6, rows.astype(dtype) + [1, 0, 0, 0])


def test_refuses_what_a_graph_cannot_tell():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"word": np.resize(["a", "", "b"], len(X)), "width": X[:, 0]})
    net = NetClassifier(**QUICK, categorical_features=["word"]).fit(frame, CODES)
    with pytest.raises(UnsupportedForOnnxError, match="the category ''.*rename it"):
        build_model(net, frame)
    frame["word"] = np.resize(np.array(["a", 7], object), len(X))
    with pytest.raises(UnsupportedForOnnxError, match="neither all strings nor all numbers"):
        build_model(NetClassifier(**QUICK, categorical_features=["word"]).fit(frame, CODES), frame)


def test_refuses_a_module_that_torch_cannot_export():
    class Branches(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else x.nonzero().float().mean() + x)

    net = NetClassifier(Branches(4, 3), **QUICK).fit(X, CODES)
    with pytest.raises(UnsupportedForOnnxError, match="Branches, which torch cannot export"):
        build_model(net, X)


@pytest.mark.parametrize(
    "cause",
    [ModuleNotFoundError("No module named 'onnxscript._framework_apis.torch_2_11'"),
     AttributeError("module 'onnx_ir' has no attribute 'schemas'")],
)  # fmt: skip
def test_an_onnxscript_that_does_not_fit_torch(cause, monkeypatch):
    def fail(*args):
        raise RuntimeError("torch failed") from cause

    monkeypatch.setattr(_torch_graphs, "export_module", fail)
    net = NetRegressor(torch.nn.Linear(4, 1), **EXACT).fit(X, X[:, 0])
    with pytest.raises(ImportError, match="torch .* cannot export modules with .*: pip install --upgrade onnxscript"):
        build_model(net, X)
