import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, freeze_layers, layer_table
from sktricks.transfer.freezing._layers import (
    LayerTable,
    call_order,
    check_trainable,
    evaluating,
    find_boundary,
    format_layers,
    forward_hooks,
    layers_of,
)


class Backwards(nn.Module):
    """Registers its layers in the reverse order of their calls."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.late = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
        self.early = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.head(self.late(self.early(x * self.scale)))


def layers_as_called(module, x):
    return layers_of(module, call_order(module, lambda: module(x)))


X = torch.ones(5, 4)
NAMES = ["", "early", "late.0", "late.2", "head"]


# the order


def test_execution_order_not_registration_order():
    assert [layer.name for layer in layers_as_called(Backwards(), X)] == NAMES


def test_a_layer_is_what_has_tensors_of_its_own():
    order = call_order(module := Backwards(), lambda: module(X))
    assert order == ["", "early", "late", "late.0", "late.1", "late.2", "head"]


def test_looking_changes_nothing():
    module = Backwards()
    module.late.eval()
    modes = {name: part.training for name, part in module.named_modules()}
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    layers_as_called(module, X)
    assert {name: part.training for name, part in module.named_modules()} == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not any(part._forward_pre_hooks for part in module.modules())


def test_modes_and_hooks_are_put_back_after_an_error():
    module = Backwards()
    with pytest.raises(RuntimeError):
        layers_as_called(module, torch.ones(5, 7))
    assert module.late[2].training and not any(part._forward_pre_hooks for part in module.modules())
    with pytest.raises(KeyError), evaluating(module):
        raise KeyError
    assert module.training


def test_a_module_called_twice_stands_where_it_is_called_first():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.again = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.again(self.last(self.again(x)))

    assert [layer.name for layer in layers_as_called(Loop(), X)] == ["again", "last"]


def test_a_module_never_called_stands_behind_its_neighbour():
    class Aside(nn.Module):
        """As attention does with its output projection: parameters used without a call."""

        def __init__(self):
            super().__init__()
            self.end, self.first, self.aside = nn.Linear(4, 2), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.end(nn.functional.linear(self.first(x), self.aside.weight))

    assert [layer.name for layer in layers_as_called(Aside(), X)] == ["first", "aside", "end"]


def test_a_bare_layer():
    module = nn.Linear(4, 2)
    assert [layer.name for layer in layers_as_called(module, X)] == [""]


# the boundary


@pytest.mark.parametrize(
    ("freeze_until", "expected"),
    [
        (None, 0),
        (0, 0),
        (3, 3),
        (5, 5),
        (0.0, 0),
        (0.4, 2),
        (0.5, 2),
        (1.0, 5),
        ("early", 1),
        ("late", 2),
        ("late.2", 3),
        ("head", 4),
        (np.int64(3), 3),
        (np.float32(0.4), 2),
    ],
)
def test_boundary_is_exclusive(freeze_until, expected):
    assert find_boundary(layers_as_called(Backwards(), X), freeze_until) == expected


def test_a_name_is_a_whole_name():
    layers = layers_of(nn.ModuleDict({"conv1": nn.Linear(1, 1), "conv10": nn.Linear(1, 1)}), ["conv1", "conv10"])
    assert find_boundary(layers, "conv10") == 1
    with pytest.raises(ValueError, match="'conv' matches no layer"):
        find_boundary(layers, "conv")


def test_head_is_the_last_linear_or_convolution_where_nothing_bears_the_name():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    assert find_boundary(layers_as_called(module, X), "head") == 2
    images = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3))
    assert find_boundary(layers_as_called(images, torch.ones(1, 1, 8, 8)), "head") == 2


@pytest.mark.parametrize(
    ("freeze_until", "message"),
    [
        (6, "freeze_until must be at most 5, the number of layers, got 6; the modules are "),
        (-2, "freeze_until must be at least 0, got -2.* the last 2 of the 5 layers trainable, pass freeze_until=3"),
        ("lat", "freeze_until='lat' matches no layer: the modules are "),
        (1.5, r"must lie in \[0, 1\] .*, got 1.5"),
        (-0.1, r"must lie in \[0, 1\] .*, got -0.1"),
        (float("nan"), r"must lie in \[0, 1\] .*, got nan"),
    ],
)
def test_boundaries_that_do_not_exist(freeze_until, message):
    layers = layers_as_called(Backwards(), X)
    with pytest.raises(ValueError, match=message):
        find_boundary(layers, freeze_until)


@pytest.mark.parametrize("wrong", [True, [1], {"a": 1}, 1j, nn.Linear])
def test_boundaries_of_a_wrong_type(wrong):
    with pytest.raises(TypeError, match="freeze_until must be an int, a float, a name or None, got"):
        find_boundary(layers_as_called(Backwards(), X), wrong)


def test_something_must_be_left_to_train():
    layers = layers_as_called(Backwards(), X)
    assert check_trainable(layers, 4) == 4
    with pytest.raises(ValueError, match="freezes all 5 layers, so that none is left to train: the modules are "):
        check_trainable(layers, 1.0)


# the table


def test_the_table(capsys):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(2000, 10))
    freeze_layers(module, 2)
    table = layer_table(module)
    assert capsys.readouterr().out.splitlines() == [
        "index  name  layer        shape          parameters  trainable",
        "    0  0     Conv2d       8 x 3 x 3 x 3         224  no",
        "    1  1     BatchNorm2d  8                      16  no",
        "    2  4     Linear       10 x 2000          20,010  yes",
    ]
    assert isinstance(table, LayerTable) and [layer.name for layer in table] == ["0", "1", "4"]
    assert table[2].module is module[4] and repr(table) == "<LayerTable: 3 layers, 1 trainable>"


def test_a_layer_of_buffers_only():
    assert "no" in format_layers(layers_of(nn.Sequential(nn.BatchNorm1d(3, affine=False)), ["0"])).splitlines()[1]


def test_the_table_of_a_fitted_net(capsys):
    x, y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)).numpy(), [0, 1] * 10
    table = layer_table(NetClassifier(nn.Linear(4, 2), max_epochs=1).fit(x, y))
    assert len(table) == 1 and "2 x 4" in capsys.readouterr().out


def test_the_table_of_a_fine_tuned_net_has_the_names_that_freeze_until_takes(capsys):
    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Conv2d(2, 3, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.second(self.first(x))

    images = torch.randn(10, 6, 6, generator=torch.Generator().manual_seed(0)).numpy()
    net = FineTuneClassifier(Conv, freeze_until="second", max_epochs=1).fit(images, [0, 1] * 5)
    table = layer_table(net)
    assert [layer.name for layer in table] == ["first", "second", "head.standardize", "head.linear"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["no", "yes", "no", "yes"]
    for layer in table[:2]:
        FineTuneClassifier(Conv, freeze_until=layer.name, max_epochs=1).fit(images, [0, 1] * 5)


def test_the_table_of_something_else_is_an_error():
    with pytest.raises(TypeError, match="estimator must be a fitted net or a torch module, got NetClassifier"):
        layer_table(NetClassifier())
    with pytest.raises(TypeError, match="got str"):
        layer_table("net")


# hooks


def test_hooks_hear_the_module_itself_in_their_own_thread():
    module, heard = Backwards().eval(), []
    with forward_hooks(module, ["early", "late"], lambda name, output: heard.append(name)):
        module(X)
        copies = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(module, X).result()
        for one in copies:
            assert torch.equal(one(X), module(X))
    assert heard == ["early", "late"] * 3
    assert not any(part._forward_hooks for part in module.modules())
