"""Predictions of fitted nets: no overhead per call, such as visiting all submodules."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from sktricks import NetClassifier, load, save
from sktricks.training._prediction import PREDICT_ROWS, evaluate

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 2


class Counted(nn.Sequential):
    """A module that counts how often its mode is set."""

    n_calls = 0

    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5)), nn.Linear(8, 2))

    def train(self, mode=True):
        self.n_calls += 1
        return super().train(mode)


@pytest.fixture
def net():
    return NetClassifier(Counted, max_epochs=2, batch_size=20, random_state=0).fit(X, Y)


def test_a_prediction_does_not_set_the_mode_of_a_fitted_net(net):
    module = net.net_.module_
    before = module.n_calls
    net.predict(X)
    net.predict_proba(X[:1])
    assert module.n_calls == before
    assert not any(part.training for part in module.modules())


def test_a_net_that_the_user_put_in_training_mode_predicts_in_evaluation_mode(net):
    expected = net.predict_proba(X)
    net.net_.module_.train()
    assert_array_equal(net.predict_proba(X), expected)
    assert not any(part.training for part in net.net_.module_.modules())


def test_a_loaded_net_predicts_in_evaluation_mode(net, tmp_path):
    expected = net.predict_proba(X)
    save(net, tmp_path / "net.sktricks")
    assert_array_equal(load(tmp_path / "net.sktricks", module=Counted).predict_proba(X), expected)


def test_training_goes_on_in_training_mode(net):
    net.predict(X)
    before = net.net_.module_[1][0].running_mean.clone()
    net.partial_fit(X + 3, Y)
    assert not torch.equal(net.net_.module_[1][0].running_mean, before)


def test_the_module_itself_changes_its_mode_last():
    seen = []

    class Part(nn.Linear):
        def train(self, mode=True):
            seen.append(module.training)
            return super().train(mode)

    module = nn.Sequential(Part(2, 2), nn.Sequential(Part(2, 2)))
    evaluate(module)
    assert seen[:2] == [True, True]
    assert not any(part.training for part in module.modules())


def test_rows_in_several_parts_are_predicted_as_one_by_one():
    many = np.tile(X, (PREDICT_ROWS // 50, 1))
    assert len(many) > PREDICT_ROWS
    net = NetClassifier(max_epochs=2, random_state=0).fit(X, Y)
    assert_array_equal(net.predict(many), np.tile(net.predict(X), PREDICT_ROWS // 50))
    assert net.predict_proba(many).shape == (len(many), 2)
