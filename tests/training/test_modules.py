import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from torch import nn

from sktricks import NetClassifier
from sktricks.training._modules import ResidualMLP

X, Y = load_iris(return_X_y=True)


def module_with(**params):
    """A module in which the last layer of each block is no longer zero, so that its input matters."""
    torch.manual_seed(0)
    module = ResidualMLP(4, 3, width=64, **params)
    for block in module.blocks:
        nn.init.normal_(block.contract.weight)
    return module


def test_dropout_leaves_out_a_share_of_the_inner_activations_of_each_row():
    dropout = module_with(dropout=0.25).blocks[0].dropout
    left = dropout(torch.ones(200, 128))
    assert (left == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(left[0], left[1])


def test_dropout_is_for_training_alone():
    module, plain = module_with(dropout=0.5), module_with()
    x = torch.from_numpy(X).float()
    assert not torch.equal(module(x), module(x))
    assert_array_equal(module.eval()(x).detach(), plain.eval()(x).detach())


def test_by_default_nothing_is_left_out():
    assert not any(isinstance(part, nn.Dropout) for part in ResidualMLP(4, 3).modules())


def test_dropout_is_reached_and_searched_through_net_params():
    nets = [
        NetClassifier(max_epochs=5, random_state=0).set_params(module__dropout=share).fit(X, Y) for share in (0, 0.5)
    ]
    assert (nets[0].predict_proba(X) != nets[1].predict_proba(X)).any()
    again = NetClassifier(max_epochs=5, random_state=0, net_params={"module__dropout": 0.5}).fit(X, Y)
    assert_array_equal(again.predict_proba(X), nets[1].predict_proba(X))


def test_a_share_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got 1.5"):
        NetClassifier(net_params={"module__dropout": 1.5}).fit(X, Y)
