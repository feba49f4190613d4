import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FineTuneClassifier, PretrainedFeatures, freeze_layers
from sktricks.transfer.cache import _parcel
from sktricks.transfer.cache._fingerprint import stamp_of


class Odd(nn.Module):
    """All kinds of tensors that a module may contain."""

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


ESTIMATORS = [PretrainedFeatures, FineTuneClassifier]


@pytest.mark.parametrize("make", ESTIMATORS)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_module_comes_out_as_it_went_in(make, again):
    module = Odd()
    other = again(make(module)).backbone
    assert other is not module and stamp_of(other) == stamp_of(module)
    assert {name: p.requires_grad for name, p in module.named_parameters()} == {
        name: p.requires_grad for name, p in other.named_parameters()
    }
    assert {name: type(value) for name, value in vars(module).items()} == {
        name: type(value) for name, value in vars(other).items()
    }
    assert other.again.weight is other.tied.weight
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        np.testing.assert_array_equal(module.eval()(x), other.eval()(x))
        other.conv.weight.zero_()  # memory of its own
    assert module.conv.weight.abs().sum() > 0


class Stubborn(nn.Linear):
    """Can be pickled, but not copied."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


class Picky(nn.Linear):
    """Reads its weights when it is copied."""

    def __deepcopy__(self, memo):
        other = copy.copy(self)
        vars(other).update(copy.deepcopy(vars(self), memo))
        other.n_weights = sum(p.numel() for p in self._parameters.values())
        return other


class Shared(nn.Linear):
    """A module whose copy is the module itself."""

    def __deepcopy__(self, memo):
        return self


class Waking(nn.Linear):
    """Reads its weights when it is unpickled."""

    def __setstate__(self, state):
        super().__setstate__(state)
        self.n_weights = self.weight.numel()


@pytest.mark.parametrize(
    "module", [Waking(2, 2), Stubborn(2, 2), Picky(2, 2), nn.Sequential(nn.Conv2d(1, 4, 3), Shared(4, 4))]
)
def test_modules_with_copies_of_their_own_are_pickled(module):
    again = pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone
    assert type(again) is type(module)
    for one, other in zip(module.parameters(), again.parameters(), strict=True):
        assert type(one) is type(other) is nn.Parameter and torch.equal(one, other)


def test_a_pickle_has_the_module_of_several_estimators_once():
    module = Odd()
    whole = len(pickle.dumps(PretrainedFeatures(module)))
    message = pickle.dumps([PretrainedFeatures(module), FineTuneClassifier(module), PretrainedFeatures(Odd())])
    assert len(message) < 2.5 * whole
    one, other, third = (estimator.backbone for estimator in pickle.loads(message))
    assert one is other is not third and stamp_of(one) == stamp_of(module) != stamp_of(third)
    assert id(module) not in _parcel.PARCELS


class Recorder(pickle.Pickler):
    """Records the arrays that it pickles."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.arrays = []

    def reducer_override(self, value):
        self.arrays += [value] if isinstance(value, np.ndarray) else []
        return NotImplemented


def test_pickles_hold_the_same_arrays_until_the_module_changes():
    def arrays_of(estimator):
        recorder = Recorder()
        recorder.dump(estimator)
        return recorder.arrays

    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    first, again = (arrays_of(PretrainedFeatures(module)) for _ in range(2))
    assert len(first) == 7 and all(one is other for one, other in zip(first, again, strict=True))
    module[0].bias.data[-1] += 1  # torch does not count this change
    assert not any(one is other for one in first for other in arrays_of(PretrainedFeatures(module)))


def test_tasks_of_a_worker_get_one_module(monkeypatch):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))

    def send():
        return pickle.loads(pickle.dumps(PretrainedFeatures(module))).backbone

    assert send() is not send()  # not in the user's process
    monkeypatch.setattr(_parcel.multiprocessing, "parent_process", lambda: "a process")
    monkeypatch.setattr(_parcel, "OPENED", {})
    first = send()
    assert send() is first is not module
    first[0].bias.data[-1] += 1  # by a task: the next gets what was sent
    second = send()
    assert second is not first and stamp_of(second) == stamp_of(module)
    module[1].momentum = 0.5  # something else is sent
    assert send()[1].momentum == 0.5
    module.eval()
    assert not send().training
    former = send()
    handle = module.register_full_backward_hook(print)
    assert former is not send() is send()
    freezing = freeze_layers(module, 1)  # hooks of the package, which the stamp does not describe
    assert freezing and send() is not send()
    handle.remove()


def test_equal_modules_have_equal_hashes():
    def hash_of(seed):  # by which Pipeline(memory=) recognizes a step
        torch.manual_seed(seed)
        return joblib.hash(PretrainedFeatures(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).eval()))

    assert hash_of(0) == hash_of(0) != hash_of(1)


def test_joblib_writes_weights_as_arrays(tmp_path):
    module = nn.Linear(300, 1000)
    joblib.dump(PretrainedFeatures(module), tmp_path / "features")
    weights = joblib.load(tmp_path / "features", mmap_mode="r").backbone.weight
    assert np.array_equal(weights.detach(), module.weight.detach())
    assert module.weight.detach().numpy().tobytes() in (tmp_path / "features").read_bytes()
    weights.data += 1  # memory of its own
