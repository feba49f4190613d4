import pytest
import torch
from torch import nn

from sktricks.training._narrow import can_narrow, narrow, parameters_replaced


def make_net(width, depthwise=True):
    groups = width if depthwise else 1
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, groups=groups, bias=False),
        nn.Flatten(),
        nn.LayerNorm(4 * width),
        nn.Linear(4 * width, 2),
    )


def shapes_of(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_narrowed_module_is_like_one_that_was_built_so(depthwise):
    module, expected = make_net(8, depthwise), make_net(5, depthwise)
    narrow(module, shapes_of(expected))
    module.load_state_dict(expected.state_dict())
    x = torch.rand(2, 3, 6, 6)
    assert repr(module) == repr(expected)
    assert torch.equal(module.eval()(x), expected.eval()(x))


def test_parameters_keep_their_flags():
    module = make_net(8)
    module[0].weight.requires_grad_(False)
    narrow(module, shapes_of(make_net(5)))
    assert not module[0].weight.requires_grad and module[0].bias.requires_grad


@pytest.mark.parametrize("shape", [(9, 3, 3, 3), (0, 3, 3, 3), (5, 3), (5, 3, 3, 3, 1)])
def test_what_cannot_be_cut_to_a_shape_is_an_error(shape):
    with pytest.raises(ValueError, match="0.weight of shape .* cannot be reduced to"):
        narrow(make_net(8), {"0.weight": shape})


def test_a_layer_of_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="0.weight of shape"):
        narrow(nn.Sequential(nn.Embedding(4, 3)), {"0.weight": (4, 2)})


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv1d(2, 4, 1), True),
        (nn.Conv2d(4, 4, 1, groups=4), True),
        (nn.Conv2d(4, 8, 1, groups=4), False),
        (nn.Conv2d(4, 4, 1, groups=2), False),
        (nn.ConvTranspose2d(2, 4, 1), False),
        (nn.BatchNorm1d(3, affine=False), True),
        (nn.LayerNorm(3), True),
        (nn.LayerNorm((3, 3)), False),
        (nn.LayerNorm(3, elementwise_affine=False), False),  # no tensor would show its size
        (nn.GroupNorm(2, 4), False),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), False),
        (nn.MultiheadAttention(4, 2), False),
    ],
)
def test_kinds(layer, expected):
    assert can_narrow(layer) is expected


def test_an_optimizer_follows_by_name():
    class Net:
        module_ = make_net(8)
        optimizer_ = torch.optim.AdamW(
            [{"params": module_[0].parameters(), "lr": 0.5}, {"params": module_[5].parameters()}]
        )

    Net.module_(torch.rand(2, 3, 6, 6)).sum().backward()
    Net.optimizer_.step()
    with parameters_replaced(Net):
        narrow(Net.module_, shapes_of(make_net(5)))
    first, second = (group["params"] for group in Net.optimizer_.param_groups)
    assert [id(p) for p in first] == [id(p) for p in Net.module_[0].parameters()]
    assert [id(p) for p in second] == [id(p) for p in Net.module_[5].parameters()]
    assert Net.optimizer_.param_groups[0]["lr"] == 0.5 and not Net.optimizer_.state
