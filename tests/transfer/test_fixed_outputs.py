import pickle
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn

from sktricks.transfer.cache._structure import Structure
from sktricks.transfer.freezing._fixed_outputs import attributes_of, fixed_outputs


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


X, FIXED = torch.ones(5, 3), {"0": torch.zeros(5, 4)}


def test_parts_return_fixed_outputs(model):
    expected = model(X)
    with fixed_outputs(model, FIXED):
        torch.testing.assert_close(model(X), model[1](FIXED["0"]))
    torch.testing.assert_close(model(X), expected)
    assert "forward" not in vars(model[0])


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_copies_compute(model, copy):
    """Another thread may copy a module while this one predicts with it, and use the copy later."""
    expected = model(X)
    with fixed_outputs(model, FIXED):
        other = copy(model)
    nn.init.zeros_(model[0].weight)
    torch.testing.assert_close(other(X), expected)
    with fixed_outputs(other, FIXED):
        torch.testing.assert_close(other(X), other[1](FIXED["0"]))
    torch.testing.assert_close(other(X), expected)


def test_fixed_outputs_are_no_part_of_a_description(model):
    """Another thread may look up the features of a module in the cache while this one predicts with it."""
    text = Structure(model).text
    with fixed_outputs(model, FIXED):
        assert Structure(model).text == text
        assert "forward" not in attributes_of(model[0])


def test_a_forward_of_its_own_is_an_attribute(model):
    own = model[0].forward = partial(nn.Linear.forward, model[0])
    with fixed_outputs(model, FIXED):
        assert attributes_of(model[0])["forward"] is own
    assert model[0].forward is own
