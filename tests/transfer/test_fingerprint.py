import functools
import logging
import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FeatureCache, PretrainedFeatures, load_backbone
from sktricks.transfer.cache._feature_cache import MEMORY_ONLY
from sktricks.transfer.cache._fingerprint import ROW, bytes_of, stamp_of

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 8)).astype(np.uint8)


class Net(nn.Module):
    """Return a backbone with fixed weights."""

    notes = []

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.norm, self.second = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
        self.register_buffer("scale", torch.ones(1), persistent=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3)) * self.scale


def load(module):
    return load_backbone(module, image_shape=(8, 8, 1), mean=0.0, std=1.0)


def fingerprint(module):
    return load(module).fingerprint()


# -- tensors -----------------------------------------------------------------------------------------------------------


def test_any_weight_and_buffer_counts():
    module = Net()
    names = [*dict(module.named_parameters()), *dict(module.named_buffers())]
    assert "norm.running_mean" in names and "scale" in names
    found = {fingerprint(module)}
    backbone = load(module)
    known = {backbone.fingerprint()}
    for name in names:
        for model in (module, backbone.model):
            tensor = model.get_parameter(name) if name in dict(model.named_parameters()) else model.get_buffer(name)
            tensor.data.view(-1)[-1:].add_(1)  # torch does not count this change
        found.add(fingerprint(module))
        known.add(backbone.fingerprint())
    assert len(found) == len(known) == len(names) + 1 and found == known


def test_any_number_of_a_large_tensor_and_its_place_count():
    module = nn.Linear(1000, 600)
    weight, found = module.weight.data, {stamp_of(module)}
    for place in (0, 1234, 300_000, 599_998, 599_999):
        weight.view(-1)[place] += 1
        found.add(stamp_of(module))
    for first, second in ((0, 1), (3, 512), (7, 407)):
        weight[[first, second]] = weight[[second, first]]
        found.add(stamp_of(module))
    assert len(found) == 9


def test_numbers_whose_sums_are_equal_have_different_fingerprints():
    first, second = Net(), Net()
    second.load_state_dict(first.state_dict())
    numbers = torch.arange(4.0 * ROW)
    first.register_buffer("numbers", numbers.clone())
    numbers[[0, 2 * ROW]] = numbers[[2 * ROW, 0]]  # two numbers of a column, of which the sum is checked
    second.register_buffer("numbers", numbers)
    assert stamp_of(first) == stamp_of(second) and fingerprint(first) != fingerprint(second)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(3, 4).T,
        torch.rand(5).bfloat16()[::2],
        torch.tensor(1.5),
        torch.rand(3) > 0.5,
        torch.rand(2, dtype=torch.complex64).conj(),
        torch.empty(0),
    ],
    ids=["transposed", "bfloat16", "scalar", "bool", "conjugate", "empty"],
)
def test_the_content_of_tensors_of_all_kinds(tensor):
    assert bytes_of(tensor).tobytes() == bytes_of(tensor.resolve_conj().contiguous().clone()).tobytes()
    assert len(bytes_of(tensor)) == tensor.numel() * tensor.element_size()


# -- code and settings -------------------------------------------------------------------------------------------------


def test_code_and_settings_count():
    class Power(nn.Module):
        def __init__(self, power=2, function=torch.relu):
            super().__init__()
            self.power, self.function = power, function

        def forward(self, x):
            return self.function(x.flatten(1)) ** self.power

    class Other(Power):
        def forward(self, x):
            return self.function(x.flatten(1)) ** (self.power + 1)

    class Same(Power):
        pass

    nets = [Power(), Power(3), Power(function=torch.tanh), Power(function=nn.Tanh()), Other(), Same()]
    nets += [Power(function=functools.partial(torch.clamp, min=low)) for low in (0, 1)]
    nets += [Power(function=shift_by(1)), Power(function=shift_by(2)), Power(function=nn.functional.relu)]
    nets += [nn.Sequential(nn.Flatten()), nn.Sequential(nn.AvgPool2d(2), nn.Flatten())]
    nets += [nn.Sequential(nn.AvgPool2d(2, stride=1), nn.Flatten()), nn.Sequential(nn.AvgPool2d(4), nn.Flatten())]
    found = [fingerprint(net) for net in nets]
    assert len(set(found)) == len(nets) and found == [fingerprint(net) for net in nets]
    assert not any(text.startswith(MEMORY_ONLY) for text in found)


def shift_by(amount):
    def shift(x):
        return x + amount

    return shift


def test_hooks_count_but_not_those_of_the_package():
    def double(module, inputs, output):
        return output * 2

    module = Net()
    found = [fingerprint(module)]
    for register in (module.norm.register_forward_hook, module.second.register_forward_pre_hook):
        register(double if register == module.norm.register_forward_hook else lambda module, inputs: (inputs[0] + 1,))
        found.append(fingerprint(module))
    assert len(set(found)) == 3
    backbone = load(module)
    with torch.no_grad():
        backbone.features(torch.zeros(1, 1, 8, 8), ["first"])
    assert backbone.fingerprint() == found[-1]


def test_a_method_that_is_replaced_counts():
    module = Net()
    former, first = Net.forward, fingerprint(module)
    try:
        Net.forward = lambda self, x: former(self, x) + helper(1)
        second = fingerprint(module)
        globals()["helper"], before = (lambda x: x - 1), helper
        third = fingerprint(module)
        globals()["helper"] = before
    finally:
        Net.forward = former
    assert len({first, second, third}) == 3 and fingerprint(module) == first


def helper(x):
    return x + 1


def test_modes_gradients_and_notes_do_not_count():
    module = Net()
    first, stamps = fingerprint(module), [stamp_of(module)]
    for change in (
        module.eval,
        lambda: module.first.requires_grad_(False),
        lambda: module.register_full_backward_hook(helper),
    ):
        change()
        stamps.append(stamp_of(module))
        assert fingerprint(module) == first
    assert len({repr(stamp) for stamp in stamps}) == 4 and stamp_of(module) == stamps[-1]
    Net.notes.append(1)
    assert fingerprint(module) == first


def test_locks_and_loggers_do_not_count():
    backbone = load_backbone(Net, image_shape=(8, 8, 1))
    backbone.model.lock, backbone.model.logger = threading.Lock(), logging.getLogger("sktricks.tests.fingerprint")
    first = backbone.fingerprint()
    with backbone.model.lock:
        logging.getLogger("sktricks.tests.fingerprint.child")
        backbone.model.logger.setLevel("ERROR")
        assert backbone.fingerprint() == first
    assert not first.startswith(MEMORY_ONLY)


# -- files that are edited ---------------------------------------------------------------------------------------------

FILE = """
from dataclasses import dataclass
from enum import Enum

import numpy as np
from aside import times
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

class Conv(nn.Conv2d):
    pass

class Config:
    def __init__(self, scale):
        self.scale, self.me = scale, self

@dataclass
class Data:
    scale: float
    kind: int = 1

class Kind(Enum):
    WIDE = EDITED

class Slots:
    __slots__ = ("scale",)

class Helper:
    scales = [EDITED]

    @staticmethod
    def apply(x):
        return x * EDITED

class Bound:
    def __init__(self, scale):
        self.scale = scale

    def times(self, x):
        return x * self.scale

def act(x):
    return x * EDITED

def make_layer():
    layer = nn.Conv2d(1, 1, 1)
    nn.init.constant_(layer.weight, 1)
    nn.init.constant_(layer.bias, EDITED)
    return layer

SCALE, TABLE, WEIGHT = EDITED, {"scale": [EDITED]}, torch.ones(1) * EDITED
CONFIG, LAYER = Config(EDITED), make_layer()
SLOTS = Slots()
SLOTS.scale = EDITED

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = Conv(1, 4, 3)
        for parameter in self.conv.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x ARGUMENT):
        return RESULT

def make():
    net = Net()
    ATTRIBUTE
    return net
"""

MADE_OF = {  # what is done to the net, an argument of its forward, what forward returns
    "a number": ("", "", "self.conv(x) * EDITED"),
    "a default": ("", ", scale=EDITED", "self.conv(x) * scale"),
    "a default of a keyword": ("", ", *, scale=EDITED", "self.conv(x) * scale"),
    "a global number": ("", "", "self.conv(x) * SCALE"),
    "a global dict": ("", "", "self.conv(x) * TABLE['scale'][0]"),
    "a global tensor": ("", "", "self.conv(x) * WEIGHT"),
    "a global object": ("", "", "self.conv(x) * CONFIG.scale"),
    "a global object with slots": ("", "", "self.conv(x) * SLOTS.scale"),
    "a global module": ("", "", "self.conv(LAYER(x))"),
    "a global function": ("", "", "act(self.conv(x))"),
    "a global class": ("", "", "Helper.apply(self.conv(x))"),
    "a list in a class": ("", "", "self.conv(x) * Helper.scales[0]"),
    "a global enum": ("", "", "self.conv(x) * Kind.WIDE.value"),
    "a global in a lambda": ("", "", "(lambda x: act(x))(self.conv(x))"),
    "a global in a comprehension": ("", "", "[act(row) for row in [self.conv(x)]][0]"),
    "a function of another file": ("", "", "times(self.conv(x))"),
    "a constant of the class": ("Net.scale = EDITED", "", "self.conv(x) * self.scale"),
    "a class that torch has made another of": (
        "weight_norm(net.conv, 'weight'); Conv.scale = EDITED",
        "",
        "self.conv(x) * self.conv.scale",
    ),
    "a plain object": ("net.settings = Config(EDITED)", "", "self.conv(x) * self.settings.scale"),
    "a dataclass": ("net.settings = Data(EDITED)", "", "self.conv(x) * self.settings.scale"),
    "a method of a plain object": ("net.scaled = Bound(EDITED).times", "", "self.scaled(self.conv(x))"),
    "a module in a list": ("net.more = [make_layer()]", "", "self.more[0](x) + self.conv(x).mean()"),
    "a module in a dict": ("net.more = dict(a=[make_layer()])", "", "self.more['a'][0](x) + self.conv(x).mean()"),
    "an array": ("net.factors = np.array([EDITED])", "", "self.conv(x) * self.factors[0]"),
    "a set": ("net.factors = {EDITED, 'a', 'b', 'c'}", "", "self.conv(x) * max(self.factors - {'a', 'b', 'c'})"),
}


@pytest.fixture
def import_net(tmp_path, monkeypatch):
    """Write the files of a net with the edit of ``kind``, and return the last module."""

    def write_and_import(kind, edited, folder="folder"):
        attribute, argument, result = MADE_OF[kind]
        text = FILE.replace("ATTRIBUTE", attribute).replace(" ARGUMENT", argument).replace("RESULT", result)
        texts = {"aside": "SCALE = EDITED\n\ndef times(x):\n    return x * EDITED\n", "net_in_file": text}
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, text in texts.items():
            path = tmp_path / folder / f"{name}.py"
            path.write_text(text.replace("EDITED", repr(edited)))
            spec = spec_from_file_location(name, path)
            module = module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
        return module

    return write_and_import


@pytest.mark.parametrize("kind", MADE_OF)
def test_features_are_not_those_of_a_net_before_it_was_edited(kind, import_net, tmp_path):
    cache = FeatureCache(tmp_path / "features")
    makers = [import_net(kind, edited, f"{place}").make for place, edited in enumerate((1.5, 1.5, 3.5))]
    first, again, edited = (PretrainedFeatures(make, cache=cache).fit_transform(IMAGES) for make in makers)
    assert cache.info().encoded == cache.info().rows_in_folder == 20  # the second net is the first
    assert np.array_equal(first, again) and not np.array_equal(first, edited)


@pytest.mark.parametrize("kind", ["a module in a list", "a plain object", "an array"])
def test_features_are_not_those_before_a_setting_was_changed(kind, import_net):
    module, cache = import_net(kind, 1.5).make(), FeatureCache()
    features = PretrainedFeatures(module, cache=cache)
    first = features.fit_transform(IMAGES)
    if kind == "a module in a list":
        module.more[0].bias.data += 1
    elif kind == "a plain object":
        module.settings.scale = 2.5
    else:
        module.factors += 1
    second = features.fit_transform(IMAGES)
    assert np.array_equal(features.fit_transform(IMAGES), second) and not np.array_equal(first, second)
    assert cache.info().encoded == 20


def test_what_code_does_not_name_does_not_count(import_net):
    one, other = import_net("a global number", 1.5), import_net("a global number", 1.5)
    vars(other).update(TABLE=None, conv=fingerprint)  # forward has an attribute of the name conv
    assert fingerprint(one.make) == fingerprint(other.make)


def test_a_file_that_was_edited_since_it_was_imported_has_no_source(import_net):
    net = import_net("a number", 7.25)  # a number of its own: no test has found this source yet
    import_net("a number", 3.5)  # writes the same file
    assert fingerprint(net.make).startswith(MEMORY_ONLY)


@pytest.mark.parametrize("kind", ["a number", "a global function", "a constant of the class", "a dataclass"])
def test_code_without_source_stays_in_memory(kind, import_net, tmp_path):
    cache, results = FeatureCache(tmp_path / "features"), []
    text = Path(import_net(kind, 1.5).__file__).read_text()
    for source in (text, text.replace("1.5", "3.5")):
        names = {"__name__": "cell"}
        exec(source, names)
        module = names["make"]()
        results += [PretrainedFeatures(module, cache=cache).fit_transform(IMAGES) for _ in range(2)]
    assert cache.info().encoded == cache.info().rows == 20 and cache.info().rows_in_folder == 0
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[1], results[2])


@pytest.mark.parametrize("value", [[lambda x: x + 1, lambda x: x + 2], [threading, pytest]], ids=["lambda", "module"])
def test_lambdas_and_modules_without_a_version_stay_in_memory(value):
    one, other = Net(), Net()
    one.value, other.value = value[0], value[1]
    assert stamp_of(one) == stamp_of(one) != stamp_of(other)
    assert stamp_of(other).startswith(MEMORY_ONLY)


def test_code_that_imports_while_it_runs_stays_in_memory():
    class Imports(Net):
        def forward(self, x):
            from _adapters import as_squares

            return super().forward(x) if as_squares else x

    assert stamp_of(Imports()).startswith(MEMORY_ONLY) and not stamp_of(Net()).startswith(MEMORY_ONLY)


def test_what_cannot_be_described_stays_in_memory():
    module = Net()
    module.rows = iter([1, 2])
    found = [stamp_of(module) for _ in range(2)]
    module.rows = (row for row in [1, 2])
    found.append(stamp_of(module))
    assert found[0] != found[2] and all(text.startswith(MEMORY_ONLY) for text in found[2:])


def test_equal_code_of_a_file_that_is_gone_does_not_count(import_net):
    path = Path(import_net("a number", 1.5, "gone").__file__)
    gone = sys.modules["net_in_file"].make
    path.unlink()
    assert fingerprint(gone).startswith(MEMORY_ONLY)
    assert not fingerprint(import_net("a number", 1.5).make).startswith(MEMORY_ONLY)


def test_the_fingerprint_is_the_same_in_another_process(import_net, tmp_path):
    """One process for all, since it takes seconds to start; each folder has its own two modules."""
    kinds = ["a number", "a global class", "a dataclass", "a set"]
    expected = [fingerprint(import_net(kind, 1.5, f"folder{n}").make) for n, kind in enumerate(kinds)]
    program = f"""
import sys, sktricks
def show(backbone):
    print(sktricks.load_backbone(backbone, image_shape=(8, 8, 1), mean=0.0, std=1.0).fingerprint())
for n in range({len(kinds)}):
    sys.path.insert(0, f"folder{{n}}")
    sys.modules.pop("net_in_file", None), sys.modules.pop("aside", None)
    import net_in_file
    show(net_in_file.make)
show("tiny32")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*expected, fingerprint("tiny32")]
