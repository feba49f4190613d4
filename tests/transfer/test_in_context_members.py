import copy
import pickle

import numpy as np
import pytest
import torch
from _in_context import draw_weights

from sktricks.transfer import _in_context_members
from sktricks.transfer._in_context_members import (
    Context,
    draw_members,
    mean_of_members,
    predict_members,
    read_table,
)
from sktricks.transfer._in_context_net import InContextNet
from sktricks.transfer._in_context_rows import learn_rows, place_columns

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(30, 4)), RNG.normal(size=(7, 4))
Y = np.arange(30) % 3


@pytest.fixture(scope="module")
def net():
    net = InContextNet(n_columns=6, n_classes=4, width=8, depth=2, heads=2).requires_grad_(False).eval()
    net.load_state_dict({name: weight.float() for name, weight in draw_weights().items()})
    return net


def test_members_read_each_column_equally_often():
    members = draw_members(np.random.RandomState(0), 5, 13, 3, 6)
    counts = np.bincount(np.concatenate([member.columns for member in members]), minlength=13)
    assert counts.sum() == 30
    assert set(counts) <= {2, 3}
    assert all(len(set(member.columns)) == 6 for member in members)
    assert all(sorted(member.codes) == [0, 1, 2] for member in members)


def test_members_differ():
    members = draw_members(np.random.RandomState(0), 8, 4, 3, 6)
    assert len({tuple(member.columns) for member in members}) > 4
    assert len({tuple(member.codes) for member in members}) > 2


def test_logits_are_those_of_the_net_in_the_order_of_the_classes(net):
    table = read_table(net, X, Y, None, 3, 5, None, CPU)
    logits = predict_members(net, table, NEW, CPU, None)
    assert logits.shape == (3, 7, 3)
    rows = learn_rows(X)
    for member, found in zip(draw_members(np.random.RandomState(5), 3, 4, 3, 6), logits, strict=True):
        x, x_new = (place_columns(rows.apply(part), member.columns, 6)[None] for part in (X, NEW))
        expected = net(x, torch.from_numpy(member.codes[Y])[None], x_new)[0]
        np.testing.assert_allclose(found, expected[:, member.codes], rtol=1e-4, atol=1e-5)


def test_many_rows_are_predicted_in_parts(net, monkeypatch):
    table = read_table(net, X, Y, None, 2, 0, None, CPU)
    expected = predict_members(net, table, NEW, CPU, None)
    monkeypatch.setattr(_in_context_members, "ROWS", 2)
    torch.testing.assert_close(predict_members(net, table, NEW, CPU, None), expected, rtol=1e-4, atol=1e-5)


def test_threads_do_not_change_a_bit(net):
    one, many = (
        predict_members(net, read_table(net, X, Y, None, 4, 0, n_jobs, CPU), NEW, CPU, n_jobs) for n_jobs in (None, 3)
    )
    assert torch.equal(one, many)


def test_no_column_varies(net):
    """The net then sees rows of zeros, which are all alike."""
    table = read_table(net, np.ones((30, 2)), Y, None, 2, 0, None, CPU)
    logits = predict_members(net, table, NEW[:, :2], CPU, None)
    torch.testing.assert_close(logits, logits[:, :1].expand_as(logits))


def test_probabilities_are_averaged_at_a_temperature():
    logits = torch.tensor([[[0.0, 2.0]], [[2.0, 0.0]], [[0.0, 2.0]]], dtype=torch.float64)
    sure = 1 / (1 + np.exp(-1))  # at a temperature of 2
    np.testing.assert_allclose(mean_of_members(logits, 2.0), [[(2 - sure) / 3, (1 + sure) / 3]])


def test_training_rows_are_read_once_per_device():
    context, calls = Context(), []
    for device in ("cpu", "cpu", "cuda", "cuda"):
        assert context.get(device, lambda device: calls.append(device) or len(calls)) == len(calls)
    assert calls == ["cpu", "cuda"]


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_read_again(again):
    context = Context()
    context.get("cpu", lambda device: "large")
    assert again(context).get("cpu", lambda device: "new") == "new"
