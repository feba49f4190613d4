"""The synthetic worlds that the net for tables is pretrained on, and its training."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from sktricks.transfer._in_context_net import InContextNet

SCRIPT = Path(__file__).parents[1] / "examples" / "pretrain_table.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretrain_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(script, monkeypatch):
    """Return the script with a small net, few worlds and few steps."""
    monkeypatch.setattr(script, "InContextNet", lambda **sizes: InContextNet(width=8, depth=1, heads=1, **sizes))
    monkeypatch.setattr(script, "HELD_OUT", {10: 2})
    monkeypatch.setattr(script, "MOST_ROWS", 10)
    monkeypatch.setattr(script, "TOKENS", 200)
    return script


def settings(out, **changes):
    how = {"steps": 4, "lr": 1e-2, "weight_decay": 0.02, "judge_every": 2, "minutes": 0, "threads": 0, "seed": 0}
    return Namespace(out=out, **{**how, **changes})


def test_a_world_is_a_table_that_can_be_learned(script):
    for seed in range(60):
        x, mask, y = script.draw_world(np.random.default_rng(seed), 20, 10)
        assert x.shape[0] == len(y) == 30
        assert x.shape[1] == len(mask) <= script.MOST_COLUMNS
        assert not np.isinf(x).any()
        codes = np.unique(y[:20])
        np.testing.assert_array_equal(codes, np.arange(len(codes)))  # all codes occur
        assert len(codes) > 1
        assert set(y[20:]) <= {*codes, script.UNKNOWN}
        assert (x[:, mask] >= 1).all()  # codes of categories


def test_all_kinds_of_worlds_occur(script):
    worlds = [script.draw_world(np.random.default_rng(seed), 30, 10) for seed in range(200)]
    assert sum(mask.any() for _, mask, _ in worlds) > 20
    assert sum(np.isnan(x).any() for x, _, _ in worlds) > 10
    assert {len(np.unique(y[:30])) for _, _, y in worlds} >= set(range(2, 10))


def test_a_batch_depends_only_on_seed_and_step(script):
    x, y, n_train = script.draw_batch(0, 3, 10, 4)
    again, labels, _ = script.draw_batch(0, 3, 10, 4)
    assert x.shape == (4, 76, 2 * script.MOST_COLUMNS)
    assert torch.isfinite(x).all()
    assert torch.equal(x, again)
    assert torch.equal(y, labels)
    assert not torch.equal(x, script.draw_batch(0, 4, 10, 4)[0])


def test_labels_without_training_rows_have_no_loss(script):
    net = InContextNet(n_columns=script.MOST_COLUMNS)
    x, y, n_train = script.draw_batch(0, 0, 10, 4)
    expected = torch.log(y[:, :10].amax(1) + 1.0)  # an untrained net gives all classes of a table the same probability
    known = (y[:, 10:] != script.UNKNOWN).sum(1)
    torch.testing.assert_close(script.find_loss(net, x, y, n_train), (expected * known).sum() / known.sum())


def test_the_learning_rate_schedule(script):
    rates = [script.find_rate(step, 10_000, 1.0) for step in (0, 499, 999, 5000, 9000, 9500, 10_000)]
    np.testing.assert_allclose(rates, [1 / 1000, 0.5, 1, 1, 1, 0.5, 0])


def test_a_run_resumes_exactly(small, tmp_path, monkeypatch, capsys):
    small.main(settings(tmp_path / "whole"))
    find_rate, stop = small.find_rate, []

    def stop_after_two(step, *args):
        if step == 2 and not stop:
            stop.append(step)
            raise KeyboardInterrupt
        return find_rate(step, *args)

    monkeypatch.setattr(small, "find_rate", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        small.main(settings(tmp_path / "parts"))
    small.main(settings(tmp_path / "parts"))
    assert "resuming at step 2 of 4" in capsys.readouterr().out
    whole, parts = (safetensors.torch.load_file(tmp_path / part / "table1.safetensors") for part in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_weights_are_float16_and_fit_the_net(small, tmp_path):
    small.main(settings(tmp_path, steps=1))
    weights = safetensors.torch.load_file(tmp_path / "table1.safetensors")
    with safetensors.safe_open(tmp_path / "table1.safetensors", "pt") as file:
        assert 0.5 < float(file.metadata()["temperature"]) < 1.5
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    InContextNet(width=8, depth=1, heads=1).load_state_dict({name: w.float() for name, w in weights.items()})
