from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FineTuneClassifier, freeze_layers
from sktricks.transfer._layer_rates import group_parameters, set_factors, stage_depths
from sktricks.transfer.freezing._freeze import set_frozen
from sktricks.transfer.freezing._layers import Layer, layers_of

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
LABELS = np.arange(40) % 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3)
        self.low = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        self.high = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.high(self.low(self.stem(x)).relu()).mean((2, 3))


def layers(module):
    return layers_of(module, [name for name, _ in module.named_modules()])


def test_depths_count_from_the_head():
    names = ["embed", "first.0", "first.1", "norm", "second.0", "second2", "end"]
    depths = stage_depths([Layer(name, nn.Identity()) for name in names], ["first", "second"])
    assert depths == [2, 2, 2, 2, 1, 1, 1]


def test_the_parameters_of_each_stage_get_a_rate_of_their_own():
    fitted = FineTuneClassifier(
        Net, strategy="fine-tune", lr=0.1, max_epochs=2, backbone_lr_scale=0.5, layer_decay=0.2, random_state=0
    ).fit(IMAGES, LABELS)
    rates = {id(p): group["initial_lr"] for group in fitted.net_.optimizer_.param_groups for p in group["params"]}
    model, head = fitted.backbone_.model, fitted.net_.module_.head
    for part, expected in [(head, 0.1), (model.high, 0.01), (model.low, 0.002), (model.stem, 0.0004)]:
        assert [rates[id(p)] for p in part.parameters()] == pytest.approx([expected] * len(list(part.parameters())))


def test_one_rate_for_all_is_one_group_of_what_decays_and_one_of_what_does_not():
    fitted = FineTuneClassifier(Net, strategy="fine-tune", max_epochs=1, random_state=0).fit(IMAGES, LABELS)
    groups = fitted.net_.optimizer_.param_groups
    assert [(group["initial_lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0.05), (1e-3, 0.0)]


def test_a_slow_backbone_moves_less():
    before = {name: tensor.clone() for name, tensor in Net().state_dict().items()}
    moved = []
    for scale in (1.0, 1e-3):
        model = Net()
        model.load_state_dict(before)
        fitted = FineTuneClassifier(
            model, strategy="fine-tune", optimizer="sgd", backbone_lr_scale=scale, max_epochs=3, random_state=0
        ).fit(IMAGES, LABELS)
        moved.append((fitted.backbone_.model.stem.weight - before["stem.weight"]).abs().max().item())
    assert 0 < moved[1] < 0.01 * moved[0]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_a_thawed_layer_finds_its_group_again(optimizer):
    module = Net()
    set_factors(layers(module), [3, 2, 2, 1], 1.0, 0.5)
    groups = optimizer(module.parameters(), lr=0.8)
    group_parameters(groups, module)
    module, groups = deepcopy((module, groups))  # as in a pickle
    expected = {group["lr"]: {id(p) for p in group["params"]} for group in groups.param_groups}
    order = [name for name, _ in module.named_modules()]
    set_frozen(module, order, 3, [groups])
    assert {group["lr"] for group in groups.param_groups if group["params"]} == {0.4}
    set_frozen(module, order, 0, [groups])
    assert {group["lr"]: {id(p) for p in group["params"]} for group in groups.param_groups} == expected


def test_without_factors_a_thawed_layer_goes_to_the_first_group():
    module = Net()
    groups = torch.optim.SGD(module.parameters(), lr=0.8)
    order = [name for name, _ in module.named_modules()]
    set_frozen(module, order, 2, [groups])
    set_frozen(module, order, 0, [groups])
    assert len(groups.param_groups) == 1 and len(groups.param_groups[0]["params"]) == len(list(module.parameters()))
    assert freeze_layers(module, 0) == []
