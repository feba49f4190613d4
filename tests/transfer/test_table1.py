import numpy as np
import pytest
import safetensors.torch
import torch
from _in_context import draw_weights, write

from sktricks.transfer._table1 import check_same, load_table1

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    """The path of the weights."""
    path = tmp_path / "table1.safetensors"
    write(path, draw_weights())
    monkeypatch.setenv("SKTRICKS_TABLE1", str(path))
    return path


def test_sizes_and_weights_are_those_of_the_file(path):
    net, temperature, sha256 = load_table1(CPU)
    assert (net.n_columns, net.n_classes, len(net.layers), net.layers[0].attention.heads) == (6, 4, 2, 2)
    assert temperature == 1
    assert len(sha256) == 64
    for name, weight in draw_weights().items():
        assert torch.equal(net.state_dict()[name], weight.float())
    assert not any(weight.requires_grad for weight in net.parameters())
    assert not net.training


def test_the_file_states_the_temperature(path):
    write(path, draw_weights(), temperature="0.85")
    assert load_table1(CPU).temperature == 0.85


def test_a_file_is_read_once(path):
    assert load_table1(CPU).net is load_table1(CPU).net


def test_a_file_that_changed_is_read_again(path):
    before = load_table1(CPU)
    write(path, draw_weights(1), temperature="2")
    after = load_table1(CPU)
    assert after.sha256 != before.sha256
    assert not torch.equal(after.net.head.weight, before.net.head.weight)


def spoil(weights, damage):
    """The content of an invalid file."""
    if damage == "foreign":
        weights = {"conv.weight": torch.ones(3)}
    elif damage == "missing":
        del weights["head.bias"]
    elif damage == "shape":
        weights["head.bias"] = torch.ones(9)
    elif damage == "not finite":
        weights["head.bias"] = torch.full((4,), torch.nan)
    elif damage == "layers of no number":
        weights["layers.a.x"] = torch.ones(1)
    elif damage == "heads that do not divide":
        for layer in range(2):
            weights[f"layers.{layer}.attention.sharpness"] = torch.ones(3)
    elif damage == "no layer but one far away":
        weights["layers.1000000000.x"] = torch.ones(1)
    content = safetensors.torch.save(weights)
    return content[: len(content) // 2] if damage == "truncated" else content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", "truncated or modified"),
        ("foreign", "do not fit table1"),
        ("missing", r"do not fit table1: head.bias should have the shape \(4,\), the file has None"),
        ("shape", r"do not fit table1: head.bias should have the shape \(4,\), the file has \(9,\)"),
        ("not finite", "are not finite: head.bias"),
        ("layers of no number", "do not fit table1"),
        ("heads that do not divide", "do not fit table1"),
        ("no layer but one far away", "do not fit table1"),
    ],
)
def test_damaged_weights(path, damage, message):
    path.write_bytes(spoil(draw_weights(), damage))
    with pytest.raises(ValueError, match=message):
        load_table1(CPU)


@pytest.mark.parametrize("temperature", ["0", "hot", "nan", "inf", "-1"])
def test_a_temperature_that_makes_no_sense(path, temperature):
    write(path, draw_weights(), temperature=temperature)
    with pytest.raises(ValueError, match="temperature of table1.*from 0.1 to 10"):
        load_table1(CPU)


def test_no_file(path):
    path.unlink()
    with pytest.raises(ValueError, match=r"cannot be read from .*table1.safetensors: No such file"):
        load_table1(CPU)


def test_a_folder(path, monkeypatch):
    monkeypatch.setenv("SKTRICKS_TABLE1", str(path.parent))
    with pytest.raises(ValueError, match="cannot be read from"):
        load_table1(CPU)


def test_other_weights_than_at_fit():
    check_same("a" * 64, "a" * 64)
    with pytest.raises(ValueError, match="SHA-256 begins with aaaaaaaaaaaa, and those here begin with bbbbbbbbbbbb"):
        check_same("b" * 64, "a" * 64)


def test_predictions_are_those_of_the_weights_in_float32(path):
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 8, 12, generator=rng), torch.arange(8)[None] % 4
    first = load_table1(CPU).net(x, y, x)
    assert first.dtype == torch.float32
    np.testing.assert_array_equal(load_table1(CPU).net(x, y, x), first)
