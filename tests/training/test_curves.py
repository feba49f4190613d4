import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import GradientNorms, NetClassifier, NetRegressor, load, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=60) > 0).astype(int)
VALUES = X @ [[1.0, 2.0], [0.0, 1.0], [-1.0, 0.0]] + 0.1 * RNG.normal(size=(60, 2))
SOFT = np.stack([1 - 0.8 * Y, 0.8 * Y], axis=1)
EVENTS = (X[:, :2] > 0).astype(int)


def classifier(**params):
    return NetClassifier(**{"max_epochs": 6, "batch_size": 16, "random_state": 0, **params})


def test_the_loss_falls():
    net = classifier(max_epochs=20).fit(X, Y)
    assert len(net.loss_curve_) == 20 and net.loss_curve_[-1] < net.loss_curve_[0]
    assert net.validation_loss_curve_ == net.validation_scores_ == []
    assert all(type(loss) is float for loss in net.loss_curve_)


@pytest.mark.parametrize(
    ("net", "y"),
    [(NetClassifier, Y), (NetClassifier, EVENTS), (NetRegressor, VALUES[:, 0]), (NetRegressor, VALUES)],
    ids=["classes", "several labels", "values", "columns of values"],
)
def test_validation_scores_are_those_of_score(net, y):
    net = net(max_epochs=6, batch_size=16, random_state=0).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert len(net.validation_scores_) == len(net.validation_loss_curve_) == 6
    assert net.validation_scores_[-1] == pytest.approx(net.score(X[40:], y[40:]), abs=1e-6)


def test_scores_of_probabilities_go_by_the_largest():
    net = classifier().fit(X[:40], SOFT[:40], X_val=X[40:], y_val=SOFT[40:])
    assert net.validation_scores_[-1] == pytest.approx(np.mean(net.predict(X[40:]) == Y[40:]))


def test_scores_of_a_constant_column():
    net = NetRegressor(max_epochs=2, random_state=0).fit(X, VALUES[:, 0], X_val=X[:5], y_val=np.zeros(5))
    assert net.validation_scores_ == [0.0, 0.0]


def test_rates():
    assert classifier(schedule="constant", lr=0.01).fit(X, Y).lr_curve_ == pytest.approx([0.01] * 6)
    rates = classifier(lr=0.01).fit(X, Y).lr_curve_
    assert len(rates) == 6 and max(rates) < 0.01 and np.argmax(rates) in (0, 1) and rates[-1] < 1e-3
    net = classifier(schedule="constant", lr=0.01, warm_start=True).fit(X, Y)
    assert net.set_params(lr=0.02).fit(X, Y).lr_curve_ == pytest.approx([0.01] * 6 + [0.02] * 6)
    one = classifier(schedule="plateau", lr=0.01, n_iter_no_change=2).fit(
        X[:40], Y[:40], X_val=X[40:], y_val=1 - Y[40:]
    )
    assert one.lr_curve_[0] == pytest.approx(0.01) and one.lr_curve_[-1] < 0.01


def test_curves_go_on_and_are_kept(tmp_path):
    net = classifier(early_stopping=True, n_iter_no_change=9).fit(X, Y).partial_fit(X, Y)
    assert len(net.loss_curve_) == len(net.lr_curve_) == 7 and len(net.validation_scores_) == 6
    save(net, tmp_path / "net")
    for other in (load(tmp_path / "net"), pickle.loads(pickle.dumps(net))):
        assert other.loss_curve_ == net.loss_curve_ and other.validation_scores_ == net.validation_scores_
        assert other.lr_curve_ == net.lr_curve_


def test_there_is_none_before_fit():
    for name in ("loss_curve_", "validation_scores_", "validation_loss_curve_", "lr_curve_"):
        assert not hasattr(classifier(), name)


def test_gradient_norms():
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self, x):
            return x @ self.weight

    def loss(y_pred, y_true):
        return (3 * y_pred).flatten()

    net = NetRegressor(Line, loss=loss, max_epochs=2, batch_size=60, callbacks=[GradientNorms()], random_state=0)
    norms = net.fit(X, VALUES[:, 0]).net_.history[:, "gradient_norm"]
    assert norms == pytest.approx([np.linalg.norm(3 * X.mean(axis=0))] * 2, rel=1e-6)
