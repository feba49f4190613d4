"""Converters of NetEnsembleClassifier and NetEnsembleRegressor."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from sktricks import FineTuneClassifier, NetClassifier, NetEnsembleClassifier, NetEnsembleRegressor, NetRegressor

from ._agreement import assert_agrees

X, CODES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[CODES]
QUICK = {"max_epochs": 4, "batch_size": 200}


@pytest.mark.parametrize("mode", ["batched", "loop", "snapshot"])
def test_classes(mode):
    nets = NetEnsembleClassifier(NetClassifier(**QUICK), 3, mode=mode, random_state=0)
    assert_agrees(nets.fit(X, NAMES), X, 1e-9)


def test_labels_and_values():
    labels = np.stack([CODES > 0, CODES < 2], 1).astype(int)
    nets = NetEnsembleClassifier(NetClassifier(**QUICK), 2, random_state=0).fit(X, labels)
    assert_agrees(nets, X.astype(np.float32), 1e-6)
    assert_agrees(NetEnsembleRegressor(NetRegressor(**QUICK), 2, random_state=0).fit(X, X[:, 0]), X, 1e-9)
    assert_agrees(NetEnsembleRegressor(NetRegressor(**QUICK), 2, random_state=0).fit(X, X[:, :2]), X, 1e-9)


def test_members_share_a_frozen_backbone():
    images = np.random.default_rng(0).integers(0, 256, (24, 9, 9), np.uint8)
    probe = FineTuneClassifier("tiny32", strategy="linear-probe")
    nets = NetEnsembleClassifier(probe, 3, random_state=0).fit(images, CODES[::6][:24] > 0)
    model = assert_agrees(nets, images, 1e-5)
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 10
    assert sum(node.op_type == "Gemm" for node in model.graph.node) == 3
