"""Nets that predict in bfloat16 are compared with a copy in float32."""

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import FineTuneClassifier, NetClassifier, OnnxModel, export_onnx
from sktricks.deploy._full_precision import in_full_precision

from ._files import X, fitted

pytestmark = pytest.mark.filterwarnings("ignore::sktricks.SlowPrecisionWarning")
CODES = fitted("classifier").predict(X)
HALF = {"precision": "bfloat16", "max_epochs": 2, "random_state": 0}


def test_nets_deep_inside():
    pipeline = make_pipeline(StandardScaler(), NetClassifier(**HALF)).fit(X, CODES)
    vote = VotingClassifier([("frozen", FrozenEstimator(pipeline)), ("net", NetClassifier(**HALF))], voting="soft")
    copied = in_full_precision(vote.fit(X, CODES))
    nets = [[one.estimators_[0].estimator[-1], one.estimators_[1]] for one in (vote, copied)]
    assert [[net._net.precision_ for net in some] for some in nets] == [["bfloat16"] * 2, ["float32"] * 2]
    assert np.abs(vote.predict_proba(X) - copied.predict_proba(X)).max() > 1e-5


def test_a_fine_tuned_net_on_features_in_bfloat16(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    net = FineTuneClassifier("tiny32", strategy="linear-probe", **HALF).fit(images, np.arange(24) % 2)
    before = net.predict_proba(images)
    report = export_onnx(net, tmp_path / "net.onnx", images)
    assert report.bfloat16 and "a copy in float32" in str(report) and report.largest_difference < report.atol
    np.testing.assert_array_equal(net.predict_proba(images), before)
    difference = np.abs(OnnxModel(tmp_path / "net.onnx").predict_proba(images) - before).max()
    assert report.atol < difference < 0.1
