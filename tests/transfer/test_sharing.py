import copy
import gc
import pickle
import threading
import weakref

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from torch import nn

from sktricks import FineTuneClassifier, PretrainedFeatures, freeze_layers, load_backbone
from sktricks.transfer.cache import _parcel
from sktricks.transfer.cache._fingerprint import stamp_of, sum_of_bytes
from sktricks.transfer.cache._parcel import packed


class Odd(nn.Module):
    """All kinds of tensors that a module may hold."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.tied = nn.Linear(4, 4)
        self.again = nn.Linear(4, 4)
        self.again.weight = self.tied.weight
        self.frozen = nn.Parameter(torch.rand(4), requires_grad=False)
        self.short = nn.Parameter(torch.rand(4).bfloat16())
        self.register_buffer("aside", torch.rand(4).double(), persistent=False)
        self.register_buffer("whole", torch.rand(2, 4))
        self.register_buffer("part", self.whole[1])
        self.register_buffer("turned", torch.rand(4, 2).T)
        self.register_buffer("spread", torch.rand(1).expand(4, 4))
        self.register_buffer("every_other", torch.rand(10)[::2])
        self.plain = torch.rand(4)  # neither a parameter nor a buffer
        self.settings = {"scale": 2.0}

    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3))
        return self.again(self.lstm(x[:, None])[0][:, 0]) * self.frozen + self.aside.float() + self.plain


class Stubborn(nn.Linear):
    """May be pickled, and not copied."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


def content_of(module):
    """What a module is, how it is set, and what its tensors hold, wherever they lie."""
    structure, places, how = stamp_of(module)
    return structure, [bits for _, _, bits in places], how


ESTIMATORS = [PretrainedFeatures, FineTuneClassifier]


@pytest.mark.parametrize("make", ESTIMATORS)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_module_comes_out_as_it_went_in(make, again):
    module = Odd()
    other = again(make(module)).backbone
    assert other is not module and content_of(other) == content_of(module)
    assert {name: p.requires_grad for name, p in module.named_parameters()} == {
        name: p.requires_grad for name, p in other.named_parameters()
    }
    kinds = {name: type(value) for name, value in vars(module).items() if name != "_sktricks_sent"}
    assert kinds == {name: type(value) for name, value in vars(other).items()}
    assert other.again.weight is other.tied.weight
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        np.testing.assert_array_equal(module.eval()(x), other.eval()(x))
        other.conv.weight.zero_()  # memory of its own
    assert module.conv.weight.abs().sum() > 0


@pytest.mark.parametrize("make", ESTIMATORS)
def test_copies_and_clones_share_the_module(make):
    estimator = make(Odd())
    assert copy.copy(estimator).backbone is clone(estimator).backbone is estimator.backbone
    assert pickle.loads(pickle.dumps(make("tiny32"))).backbone == "tiny32"


@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_clone_of_what_is_fitted_copies_no_net(make, monkeypatch):
    X, y = np.random.default_rng(0).random((20, 8, 8)), np.arange(20) % 2
    fitted = make(nn.Conv2d(1, 4, 3)).fit(X, y)
    if make is PretrainedFeatures:
        fitted.set_output(transform="pandas")
    monkeypatch.setattr(nn.Module, "__deepcopy__", None, raising=False)  # whoever copies one fails
    monkeypatch.setattr(make, "__getstate__", None)
    cloned = clone(fitted)
    assert cloned.backbone is fitted.backbone and not hasattr(cloned, "n_features_in_")
    assert getattr(cloned, "_sklearn_output_config", None) == getattr(fitted, "_sklearn_output_config", None)


def test_a_module_that_cannot_be_copied_is_pickled_as_ever():
    module = Stubborn(2, 2)
    assert packed(module) == (None, module)
    assert content_of(pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone) == content_of(module)


def test_a_sum_of_bytes_changes_with_each_and_with_their_places():
    content = np.random.default_rng(0).integers(0, 256, 300_001, dtype=np.uint8)
    turned = content.copy()
    turned[:200_000] = np.roll(turned[:200_000].reshape(100, 2000), 1, axis=0).reshape(-1)  # as filters of a net
    changed = [content.copy() for _ in range(5)]
    for other, place in zip(changed, (0, 1234, 150_000, 299_000, 300_000), strict=True):
        other[place] ^= 1
    sums = [sum_of_bytes(other) for other in (content, turned, *changed)]
    assert len(set(sums)) == 7 and sum_of_bytes(content.copy()) == sums[0]


def test_what_has_not_changed_is_sent_as_it_was_and_what_has_arrives():
    module = Odd()
    name, _ = packed(module)
    assert packed(module)[0] == name
    with torch.no_grad():
        module.conv.weight.fill_(7.0)
    assert packed(module)[0] != name
    assert (pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone.conv.weight == 7).all()
    module.conv.weight.data.fill_(8.0)  # of which torch takes no note
    assert (pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone.conv.weight == 8).all()
    module.conv.weight.data = torch.rand(64, 3, 8, 8)
    before = module.conv.weight.data.clone()
    packed(module)
    module.conv.weight.data.copy_(before[:, [2, 1, 0]])  # the same numbers in other places
    sent = pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone
    assert (sent.conv.weight == module.conv.weight).all()
    module.conv.weight = nn.Parameter(torch.zeros(4, 1, 3, 3))
    assert (pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone.conv.weight == 0).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.conv.requires_grad_(False),
        lambda module: module.norm.eval(),
        lambda module: module.register_full_backward_hook(print),
        lambda module: freeze_layers(module, "conv"),
    ],
    ids=["requires_grad", "mode", "hook", "frozen"],
)
def test_how_a_module_is_set_arrives(change):
    module = Odd()
    packed(module)
    change(module)
    assert content_of(pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone) == content_of(module)


def test_what_was_sent_is_no_part_of_the_module():
    module = Odd()
    untouched, fingerprint = content_of(module), load_backbone(module, image_shape=(8, 8, 1)).fingerprint()
    packed(module)
    assert content_of(module) == untouched
    assert load_backbone(module, image_shape=(8, 8, 1)).fingerprint() == fingerprint
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert other._sktricks_sent is None and content_of(other) == untouched


def test_a_message_has_the_module_of_several_estimators_once():
    module = Odd()
    whole = len(pickle.dumps(PretrainedFeatures(module)))
    message = pickle.dumps([PretrainedFeatures(module), FineTuneClassifier(module), PretrainedFeatures(Odd())])
    assert len(message) < 2.5 * whole
    one, other, third = (estimator.backbone for estimator in pickle.loads(message))
    assert one is other is not third and content_of(one) == content_of(module) != content_of(third)
    del message
    gc.collect()
    assert id(module) not in _parcel.ON_THEIR_WAY


def test_small_tensors_are_one_array():
    module = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)), nn.Linear(512, 513))
    packed(module)
    *small, large, last = module._sktricks_sent.arrays
    assert {array.store for array in [*small, last]} == {last.store} != {large.store}
    assert np.shares_memory(large.store.content, module[3].weight.detach().numpy())


def test_joblib_writes_each_tensor_once(tmp_path):
    module = nn.Sequential(*(nn.Linear(64, 64) for _ in range(40)))
    joblib.dump(PretrainedFeatures(module), tmp_path / "features")
    n_bytes = sum(p.nbytes for p in module.parameters())
    assert (tmp_path / "features").stat().st_size < 1.2 * n_bytes
    again = joblib.load(tmp_path / "features").backbone
    assert content_of(again) == content_of(module)


def test_another_process_has_the_same_name_for_it():
    def hash_of(seed):  # as Pipeline(memory=) knows a step again
        torch.manual_seed(seed)
        return joblib.hash(PretrainedFeatures(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).eval()))

    hashes = Parallel(2)(delayed(hash_of)(seed) for seed in (0, 0, 1))
    assert hashes[0] == hashes[1] == hash_of(0) != hashes[2]


def test_a_module_that_is_no_longer_used_goes():
    module = Odd()
    module.conv.register_forward_hook(lambda *args, of=module: None)
    gone = weakref.ref(module)
    packed(module)
    del module
    gc.collect()
    assert gone() is None


class Drawing(nn.Linear):
    """Holds what its repr does not tell."""

    def __init__(self, mean):
        super().__init__(2, 2)
        nn.init.ones_(self.weight), nn.init.ones_(self.bias)
        self.noise = torch.distributions.Normal(torch.full((10,), mean), torch.ones(10))


def again(module):
    return pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone


def test_what_nobody_can_see_change_is_sent_anew(monkeypatch):
    module = Drawing(0.0)
    again(module)
    arrays = module._sktricks_sent.arrays
    module.noise = torch.distributions.Normal(torch.full((10,), 5.0), torch.ones(10))
    assert (again(module).noise.loc == 5).all()
    assert module._sktricks_sent.arrays is arrays  # which need not be written again
    monkeypatch.setattr(_parcel.multiprocessing, "parent_process", lambda: threading)  # as in a worker
    monkeypatch.setattr(_parcel, "CAME", [])
    assert [float(again(Drawing(mean)).noise.loc[0]) for mean in (1.0, 2.0)] == [1.0, 2.0]


def test_hooks_and_what_is_not_saved_are_sent():
    module = Odd()
    again(module)
    module.register_state_dict_pre_hook(hook)
    module.register_buffer("whole", module.whole, persistent=False)
    assert len(again(module)._state_dict_pre_hooks) == 1 and "whole" not in again(module).state_dict()


def hook(*args):
    """Do nothing."""


class Picky(nn.Linear):
    """Looks at its weights when it is copied."""

    def __deepcopy__(self, memo):
        other = copy.copy(self)
        vars(other).update(copy.deepcopy(vars(self), memo))
        other.n_weights = sum(p.numel() for p in self._parameters.values())
        return other


def test_a_module_that_looks_at_its_weights_when_it_is_copied_is_pickled_as_ever():
    module = Picky(2, 2)
    assert packed(module) == (None, module)


class Shared(nn.Linear):
    """A copy of it is itself."""

    def __deepcopy__(self, memo):
        return self


def test_a_part_that_is_no_copy_stays_as_it_is():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), Shared(4, 4))
    again(module)
    module[1].register_forward_hook(hook)
    assert isinstance(module[0]._forward_hooks, dict) and len(module[1]._forward_hooks) == 1


def test_what_changes_behind_torchs_back_arrives():
    def total(estimator):
        return float(estimator.backbone[1].weight.detach().double().sum())

    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10_000))  # which joblib writes to a file
    some = Parallel(2)
    with Parallel(2) as others:
        for value, run in enumerate([some, some, others, others, Parallel(2)]):
            module[1].weight.data.fill_(value)
            assert run(delayed(total)(PretrainedFeatures(module)) for _ in range(4)) == [value * 640_000] * 4


def test_what_a_task_changes_is_put_right_for_the_next(monkeypatch):
    monkeypatch.setattr(_parcel.multiprocessing, "parent_process", lambda: threading)  # as in a worker
    monkeypatch.setattr(_parcel, "CAME", [])
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10_000))
    first = again(module)
    assert again(module) is first
    changes = [
        lambda other: nn.init.zeros_(other[1].weight),  # a large one
        lambda other: other.bfloat16().float(),
        lambda other: other[1].bias.data.zero_(),  # a small one, of which torch takes no note
        lambda other: other.register_forward_hook(hook),
        lambda other: other.requires_grad_(False),
        lambda other: setattr(other[1], "in_features", 3),
    ]
    for change in changes:
        for _ in range(3):
            change(again(module))
            assert content_of(again(module)) == content_of(module)


def test_a_module_that_has_come_takes_hooks():
    assert all(part._forward_hooks is None for part in packed(Odd())[1].modules())  # on its way
    other = again(Odd())
    for part in other.modules():
        part.register_forward_hook(hook)
        part.register_state_dict_pre_hook(hook)
    assert all(len(part._forward_hooks) == len(part._state_dict_pre_hooks) == 1 for part in other.modules())


def test_weights_are_written_once_for_all_tasks(tmp_path):
    def look(estimator):  # in here, so that other processes need not import this file
        return len(list(tmp_path.glob("*/*.pkl"))), float(estimator.backbone[1].weight.detach().sum())

    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10_000))  # 2.5 MB
    own = {"temp_folder": tmp_path, "max_nbytes": "900K"}  # other settings than usual, for processes of its own
    tasks = Parallel(2, **own)(delayed(look)(PretrainedFeatures(module)) for _ in range(4))
    assert {n_files for n_files, _ in tasks} == {1}  # that joblib wrote, whoever reads them
    assert {total for _, total in tasks} == {float(module[1].weight.detach().sum())}
