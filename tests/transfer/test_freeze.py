"""Frozen means bit-frozen, with any training loop."""

import copy
import pickle

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F

from sktricks import FineTuneClassifier, FreezeLayers, NetClassifier, freeze_layers
from sktricks.transfer.freezing._freeze import frozen_state, restore_frozen

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
IMAGES = RNG.random((30, 8, 8, 1)).astype(np.float32)
SHADES = np.arange(30) % 2

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
}


class Table(nn.Module):
    """A net with BatchNorm and dropout in the frozen part, registered in another order than it runs."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)
        self.tail = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        return self.head(self.tail(self.body(x)))


class Conv(nn.Module):
    """A backbone with its last parts registered first."""

    def __init__(self):
        super().__init__()
        self.late = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.early = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        return self.late(self.early(x)).mean((2, 3))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before, module):
    """Return the names of the parameters and buffers that differ in any bit."""
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def parts(names):
    return {name.split(".")[0] for name in names}


def plain_skorch(optimizer="sgd", callbacks=(), module=Table, **params):
    torch.manual_seed(0)
    kind, settings = OPTIMIZERS[optimizer]
    settings = {"lr": settings["lr"], **{f"optimizer__{k}": v for k, v in settings.items() if k != "lr"}}
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=kind,
        **settings,
        callbacks=list(callbacks),
        max_epochs=3,
        batch_size=10,
        verbose=0,
        **params,
    )


def ours(optimizer="sgd", callbacks=(), module=Table, **params):
    lr, decay = OPTIMIZERS[optimizer][1]["lr"], OPTIMIZERS[optimizer][1]["weight_decay"]
    params = {"max_epochs": 3, "batch_size": 10, "random_state": 0, "callbacks": list(callbacks), **params}
    return NetClassifier(module, optimizer=optimizer, lr=lr, weight_decay=decay, **params)


def inner(net):
    return getattr(net, "net_", net)


def add_callback(net, callback):
    """As a user adds one to a net that has been trained."""
    inner(net).callbacks_.append((f"added{len(inner(net).callbacks_)}", callback.initialize()))


NETS = pytest.mark.parametrize("make", [ours, plain_skorch], ids=["NetClassifier", "skorch"])
BOTH = pytest.mark.parametrize("optimizer", list(OPTIMIZERS))


# -- under our nets and under plain skorch -----------------------------------------------------------------------------


class Watch(FreezeLayers):
    """Records the state of the net when the training begins."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        if not hasattr(self, "before_"):
            self.before_ = state(net.module_)
        super().on_train_begin(net, X, y, **kwargs)


def watch_of(net):
    return next(callback for _, callback in inner(net).callbacks_ if isinstance(callback, FreezeLayers))


@NETS
@BOTH
@pytest.mark.parametrize("freeze_until", [2, 0.4, "tail"])
def test_frozen_from_the_start(make, optimizer, freeze_until):
    net = make(optimizer, [Watch(freeze_until)]).fit(X, Y)
    for _ in range(2):
        net.partial_fit(X, Y)
    watch = watch_of(net)
    assert watch.layers_ == ["body.0", "body.1", "tail.0", "tail.1", "head"] and watch.n_frozen_ == 2
    names = changed(watch.before_, inner(net).module_)
    assert parts(names) == {"tail", "head"}
    assert "tail.1.running_mean" in names and "tail.1.num_batches_tracked" in names


@NETS
@BOTH
def test_frozen_up_to_the_head(make, optimizer):
    net = make(optimizer, [Watch("head")]).fit(X, Y)
    assert changed(watch_of(net).before_, inner(net).module_) == {"head.weight", "head.bias"}


@NETS
@BOTH
def test_frozen_by_a_callback_after_the_training_began(make, optimizer):
    net = make(optimizer).fit(X, Y)
    before = state(inner(net).module_)
    add_callback(net, FreezeLayers("tail"))
    for _ in range(3):
        net.partial_fit(X, Y)  # momentum and weight decay know the frozen parameters from before
    assert parts(changed(before, inner(net).module_)) == {"tail", "head"}


@NETS
@BOTH
def test_frozen_by_hand_after_the_training_began(make, optimizer):
    net = make(optimizer).partial_fit(X, Y).partial_fit(X, Y)
    before = state(inner(net).module_)
    assert freeze_layers(inner(net).module_, "tail", X[:2]) == ["body.0", "body.1"]
    net.partial_fit(X, Y).partial_fit(X, Y)
    assert parts(changed(before, inner(net).module_)) == {"tail", "head"}


class NoteStates(FreezeLayers):
    """Records the state of the net before each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.__dict__.setdefault("states_", [])
        super().on_train_begin(net, X, y, **kwargs)

    def on_epoch_begin(self, net, **kwargs):
        self.states_.append(state(net.module_))
        super().on_epoch_begin(net, **kwargs)


def changes_per_epoch(net):
    states = [*watch_of(net).states_, state(inner(net).module_)]
    return [
        parts(name for name in after if not torch.equal(before[name], after[name]))
        for before, after in zip(states[:-1], states[1:], strict=True)
    ]


ALL, END = {"body", "tail", "head"}, {"head"}


@NETS
@BOTH
@pytest.mark.parametrize(
    ("freeze_until", "unfreeze_at", "expected"),
    [
        ("head", 3, [END, END, ALL, ALL]),
        ("head", {2: "tail", 4: 0}, [END, {"tail", "head"}, {"tail", "head"}, ALL]),
        (None, {1: 0, 3: "head"}, [ALL, ALL, END, END]),
        ("tail", {1: 0, 3: "head", 4: None}, [ALL, ALL, END, ALL]),
        (1.0 - 0.2, {2: 0.4, 3: 0.0}, [END, {"tail", "head"}, ALL, ALL]),
        ("head", 5, [END] * 4),
    ],
)
def test_schedules(make, optimizer, freeze_until, unfreeze_at, expected):
    net = make(optimizer, [NoteStates(freeze_until, unfreeze_at)]).set_params(max_epochs=4).fit(X, Y)
    assert changes_per_epoch(net) == expected


@NETS
def test_epochs_are_counted_over_all_calls(make):
    net = make(callbacks=[NoteStates("head", 3)]).set_params(max_epochs=1)  # what skorch's partial_fit trains for
    for _ in range(4):
        net.partial_fit(X, Y)
    assert changes_per_epoch(net) == [END, END, ALL, ALL]


def test_validation_between_the_epochs_does_not_thaw():
    net = ours(callbacks=[NoteStates("head", 3)], max_epochs=4).fit(X, Y, X_val=X, y_val=Y)
    assert changes_per_epoch(net) == [END, END, ALL, ALL]


def test_thawed_dropout_drops_again():
    net = ours(callbacks=[FreezeLayers("head", 2)], max_epochs=2).fit(X, Y)
    module = net.net_.module_.train()
    torch.manual_seed(0)
    assert not torch.equal(module.body(torch.as_tensor(X)), module.body(torch.as_tensor(X)))


def test_early_stopping_keeps_the_promise():
    net = ours(callbacks=[Watch("tail")], early_stopping=True, max_epochs=5).fit(X, Y)
    assert parts(changed(watch_of(net).before_, net.net_.module_)) == {"tail", "head"}


class OwnCode(nn.Module):
    """A module with a buffer that it updates in training, functional dropout and two layers inside."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.register_buffer("n_calls", torch.zeros(()))
        self.body, self.head = nn.Linear(n_in, 8), nn.Linear(8, n_out)
        self.last = None

    def forward(self, x):
        if self.training:
            self.n_calls += 1
        x = F.dropout(self.body(x), 0.5, training=self.training)
        self.last = self.training, self.head.training
        return self.head(x)


class TwoBlocks(nn.Module):
    """The boundary may lie inside the first block."""

    def __init__(self):
        super().__init__()
        self.block, self.head = OwnCode(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(F.dropout(self.block(x), 0.1, training=self.training))


@NETS
@BOTH
def test_own_buffers_and_functional_dropout_of_a_partly_frozen_net(make, optimizer):
    net = make(optimizer, [Watch("head")], module=lambda: OwnCode(4, 2)).fit(X, Y)
    net.partial_fit(X, Y)
    module = inner(net).module_
    assert changed(watch_of(net).before_, module) == {"head.weight", "head.bias"} and module.n_calls == 0
    module.train()
    assert torch.equal(module(torch.as_tensor(X)), module(torch.as_tensor(X)))
    assert module.last == (False, True) and module.training


@NETS
def test_own_code_of_a_partly_frozen_block_inside_a_net(make):
    net = make(callbacks=[FreezeLayers("block.head")], module=TwoBlocks).fit(X, Y)
    module = inner(net).module_.train()
    assert module.block.n_calls == 0
    module(torch.as_tensor(X))
    assert module.block.last == (False, True)


def test_own_code_of_a_partly_frozen_net_thaws():
    net = ours(callbacks=[FreezeLayers("head", 3)], module=lambda: OwnCode(4, 2), max_epochs=4).fit(X, Y)
    module = net.net_.module_.train()
    assert module.n_calls == 2 * 4  # epochs times batches
    assert not torch.equal(module(torch.as_tensor(X)), module(torch.as_tensor(X)))
    assert not module._forward_hooks and not module._forward_pre_hooks


def test_an_error_in_a_partly_frozen_net_leaves_its_mode():
    module = OwnCode(4, 2).train()
    freeze_layers(module, "head")
    with pytest.raises(RuntimeError, match="shapes"):
        module(torch.zeros(1, 5))
    assert module.training and module.head.training


def test_copies_of_a_partly_frozen_net_keep_the_promise():
    module = OwnCode(4, 2).train()
    freeze_layers(module, "head")
    other = OwnCode(4, 2).train()
    restore_frozen(other, frozen_state(module))
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), other):
        again(torch.as_tensor(X))
        assert again.n_calls == 0 and again.last == (False, True) and again.training


def test_warm_start_keeps_the_promise():
    net = ours(callbacks=[Watch("tail")], warm_start=True).fit(X, Y).fit(X, Y)
    assert parts(changed(watch_of(net).before_, net.net_.module_)) == {"tail", "head"}


def test_the_default_module():
    net = ours(callbacks=[Watch("head")], module="mlp").fit(X, Y)
    assert changed(watch_of(net).before_, net.net_.module_) == {"head.weight", "head.bias"}


@NETS
@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (FreezeLayers("nothing"), ValueError, "freeze_until='nothing' matches no layer: the modules are "),
        (FreezeLayers(99), ValueError, "freeze_until must be at most 5, the number of layers, got 99"),
        (FreezeLayers(1.0), ValueError, "freezes all 5 layers, so that none is left to train"),
        (FreezeLayers(5), ValueError, "freezes all 5 layers"),
        (FreezeLayers([1]), TypeError, "freeze_until must be an int, a float, a name or None"),
        (FreezeLayers("head", "soon"), ValueError, "unfreeze_at must be an epoch.*got 'soon'"),
        (FreezeLayers("head", 0), ValueError, "unfreeze_at must be an epoch, counted from 1"),
        (FreezeLayers("head", True), ValueError, "unfreeze_at must be an epoch"),
        (FreezeLayers("head", {1.5: 0}), ValueError, "unfreeze_at must be an epoch"),
        (FreezeLayers("head", {2: "nothing"}), ValueError, "'nothing' matches no layer"),
    ],
)
def test_bad_parameters(make, callback, error, message):
    with pytest.raises(error, match=message):
        make(callbacks=[callback]).fit(X, Y)


@NETS
def test_pickles_and_copies_keep_the_promise(make):
    net = make(callbacks=[FreezeLayers("tail")]).fit(X, Y)
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        before = state(inner(again).module_)
        again.partial_fit(X, Y)
        assert parts(changed(before, inner(again).module_)) == {"tail", "head"}


def test_a_second_fit_starts_from_the_users_module_again():
    module = Table()
    before = state(module)
    net = ours(callbacks=[FreezeLayers("tail")], module=module).fit(X, Y)
    assert changed(before, module) == set() and all(p.requires_grad for p in module.parameters())
    assert not any(part._forward_pre_hooks for part in module.modules())
    assert {p for p in parts(changed(before, net.net_.module_))} == {"tail", "head"}


# -- under FineTuneClassifier ------------------------------------------------------------------------------------------


def fine_tune(freeze_until, optimizer="sgd", backbone=None, **params):
    settings = {"lr": 0.01, "weight_decay": 0.1, "max_epochs": 3, "batch_size": 20, "random_state": 0}
    backbone = backbone or Conv()
    return FineTuneClassifier(backbone, freeze_until=freeze_until, optimizer=optimizer, **{**settings, **params})


@BOTH
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("freeze_until", "thawed"),
    [
        (0, {"early", "late"}),
        (2, {"late"}),
        (0.5, {"late"}),
        ("late", {"late"}),
        (3, {"late"}),
        (4, set()),
        (1.0, set()),
        ("head", set()),
    ],
)
def test_frozen_part_of_a_backbone(optimizer, method, freeze_until, thawed):
    backbone = Conv()
    before = state(backbone)
    net = fine_tune(freeze_until, optimizer, backbone)
    getattr(net, method)(IMAGES, SHADES)
    net.partial_fit(IMAGES, SHADES)
    names = changed(before, net.backbone_.model)
    assert parts(names) == thawed
    assert not (freeze_until == 3 and any(name.startswith("late.0") for name in names))
    assert changed(before, backbone) == set()
    assert net.net_.module_.head.linear.weight.abs().sum() > 0


def test_a_backbone_that_thaws_later():
    net = fine_tune("head", callbacks=[NoteStates("head", 3)], max_epochs=4).fit(IMAGES, SHADES)
    head, both = {"head"}, {"head", "backbone"}
    assert changes_per_epoch(net) == [head, head, both, both]


def test_a_backbone_frozen_by_hand_between_partial_fits():
    net = fine_tune(0).partial_fit(IMAGES, SHADES)
    before = state(net.backbone_.model)
    freeze_layers(net.backbone_.model, "late", torch.zeros(1, 1, 8, 8))
    net.partial_fit(IMAGES, SHADES).partial_fit(IMAGES, SHADES)
    assert parts(changed(before, net.backbone_.model)) == {"late"}


def test_pickled_backbones_keep_the_promise():
    net = fine_tune("late").fit(IMAGES, SHADES)
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        before = state(again.backbone_.model)
        again.partial_fit(IMAGES, SHADES)
        assert parts(changed(before, again.backbone_.model)) == {"late"}


def test_the_number_of_trainable_parameters():
    head, late, early = 6 * 2 + 2, 6 * 4 * 9 + 6 + 12, 4 * 9 + 4 + 8
    for freeze_until, expected in [(0, early + late + head), ("late", late + head), ("head", head)]:
        assert fine_tune(freeze_until, max_epochs=1).fit(IMAGES, SHADES).n_trainable_parameters_ == expected


# -- bare modules ------------------------------------------------------------------------------------------------------


def train(module, x, y, optimizer="sgd", n_steps=3):
    kind, settings = OPTIMIZERS[optimizer]
    step = kind(module.parameters(), **settings)
    for _ in range(n_steps):
        module.train()
        step.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        step.step()


@BOTH
def test_freeze_layers_under_a_plain_loop(optimizer):
    module, x, y = Table(), torch.as_tensor(X), torch.as_tensor(Y)
    before = state(module)
    assert freeze_layers(module, "tail", X) == ["body.0", "body.1"]
    train(module, x, y, optimizer)
    assert parts(changed(before, module)) == {"tail", "head"}


def test_freeze_layers_moves_the_boundary_both_ways():
    module, x, y = Table(), torch.as_tensor(X), torch.as_tensor(Y)
    assert freeze_layers(module, "head", X) == ["body.0", "body.1", "tail.0", "tail.1"]
    assert freeze_layers(module, 2, X) == ["body.0", "body.1"]
    assert freeze_layers(module, 0, X) == freeze_layers(module, None) == []
    assert not any(part._forward_pre_hooks for part in module.modules())
    assert all(p.requires_grad for p in module.parameters())
    before = state(module)
    train(module, x, y)
    assert parts(changed(before, module)) == ALL


def test_without_rows_the_order_is_that_of_registration():
    assert freeze_layers(Table(), 1) == ["head"]
    assert freeze_layers(Table(), 1, X) == ["body.0"]


def test_frozen_dropout_is_off_and_thawed_dropout_on():
    module, x = Table().train(), torch.as_tensor(X)
    freeze_layers(module, "tail", X)
    module.train()
    assert torch.equal(module.body(x), module.body(x))
    freeze_layers(module, 0, X)
    assert not torch.equal(module.body(x), module.body(x))


def test_dropout_between_frozen_layers_and_behind_them():
    drop = nn.Dropout(0.5)
    module = nn.Sequential(drop, nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    freeze_layers(module, 2)
    x = torch.as_tensor(X)
    module.train()
    frozen, end = module[:4], module[4:]
    assert torch.equal(frozen(x), frozen(x))
    # Modules between the last frozen layer and the first trainable one belong to the frozen part.
    assert torch.equal(module(x), module(x))
    freeze_layers(module, 1)
    hidden = torch.ones(5, 8)
    assert torch.equal(module[:3](x), module[:3](x)) and not torch.equal(end(hidden), end(hidden))


def test_dropout_that_a_module_calls_as_a_function():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return nn.functional.dropout(self.linear(x), 0.5, self.training)

    module = nn.Sequential(Block(), nn.Linear(4, 2)).train()
    freeze_layers(module, "1")
    assert torch.equal(module(torch.as_tensor(X)), module(torch.as_tensor(X)))


def test_copies_of_a_frozen_module_stay_frozen():
    module = Table()
    freeze_layers(module, "tail", X)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        before = state(again)
        train(again, torch.as_tensor(X), torch.as_tensor(Y))
        assert parts(changed(before, again)) == {"tail", "head"}
        freeze_layers(again, 0, X)
        assert all(p.requires_grad for p in again.parameters())


def test_what_the_user_had_switched_off_stays_off():
    module = Table()
    module.body[0].bias.requires_grad_(False)
    freeze_layers(module, "tail", X)
    freeze_layers(module, "tail", X)
    freeze_layers(module, 0, X)
    off = [name for name, p in module.named_parameters() if not p.requires_grad]
    assert off == ["body.0.bias"]


def test_thawing_leaves_evaluation_mode():
    module = Table().eval()
    freeze_layers(module, "tail", X)
    freeze_layers(module, 0, X)
    assert not any(part.training for part in module.modules())


def test_thawing_a_module_in_training_leaves_training_mode():
    module = Table().train()
    freeze_layers(module, 1.0, X)
    module(torch.as_tensor(X))
    freeze_layers(module, 0, X)
    assert all(part.training for part in module.modules())


def test_parameters_of_the_net_itself():
    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.ones(4))
            self.norm, self.head = nn.BatchNorm1d(4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.norm(x + self.token))

    module = Token()
    before = state(module)
    assert freeze_layers(module, "head", X) == ["", "norm"]
    train(module, torch.as_tensor(X), torch.as_tensor(Y))
    assert parts(changed(before, module)) == {"head"}
    thawed = Token()
    before = state(thawed)
    assert freeze_layers(thawed, 0, X) == []
    train(thawed, torch.as_tensor(X), torch.as_tensor(Y))
    assert parts(changed(before, thawed)) == {"token", "norm", "head"}


def test_a_tensor_that_a_frozen_and_a_trained_layer_share_is_frozen():
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    module[2].weight = module[0].weight
    before = state(module)
    freeze_layers(module, 1)
    train(module, torch.as_tensor(X), torch.as_tensor(Y), "adamw")
    assert changed(before, module) == {"2.bias", "3.weight", "3.bias"}


@pytest.mark.parametrize(
    ("freeze_until", "error", "message"),
    [
        ("nothing", ValueError, "freeze_until='nothing' matches no layer: the modules are "),
        (6, ValueError, "at most 5, the number of layers, got 6; the modules are "),
        (2.5, ValueError, "fraction of the layers"),
        (-1, ValueError, "freeze_until must be at least 0, got -1"),
        (True, TypeError, "freeze_until must be an int"),
    ],
)
def test_freeze_layers_refuses(freeze_until, error, message):
    module = Table()
    with pytest.raises(error, match=message):
        freeze_layers(module, freeze_until, X)
    assert all(p.requires_grad for p in module.parameters())
