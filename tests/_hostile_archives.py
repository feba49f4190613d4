"""Forged archives: files with a valid checksum whose contents ``save`` never writes.

As a script it creates many of them from a few valid ones, loads each, predicts with the result, and prints the outcomes
as JSON. An audit hook checks that nothing is imported, opened, run or requested from a network, except what a valid
archive requires.

    python _hostile_archives.py <folder> <number> <seed>
"""

import copy
import importlib.util
import json
import random
import signal
import sys
import warnings
from collections import Counter
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as to_bytes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from sktricks import (
    AugmentedClassifier,
    CascadeClassifier,
    DistilledClassifier,
    FineTuneClassifier,
    NetClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    PretrainedFeatures,
    RandomCrop,
    RandomRotation,
    StackingClassifier,
    SwapNoise,
    TrivialAugment,
    VotingClassifier,
    load,
    make_augmentation_pipeline,
    save,
)
from sktricks.persist._archive import MARK, VERSION, checksum

SECONDS = 20  # that loading an archive may use
WATCHED = ("import", "open", "exec", "compile", "pickle.find_class", "marshal.loads", "code.__new__")
WATCHED_GROUPS = ("socket", "subprocess", "ctypes", "urllib", "http", "ftplib", "smtplib", "shutil", "os", "tempfile")
HARMLESS = ("os.listdir", "os.scandir")  # when modules are searched; an import is a separate event

# -- good archives -----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 2
NAMES = np.array(["dark", "light"])[LABELS]
TABLE = np.c_[LABELS, RNG.random((24, 3)) + LABELS[:, None]]
GREY = (RNG.random((24, 8, 8)) * 100 + np.where(LABELS == 1, 130, 25)[:, None, None]).astype(np.uint8)


class Conv(nn.Module):
    """A user-defined net."""

    def __init__(self, n_outputs=6, channels=4):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels)
        self.last = nn.Conv2d(channels, n_outputs, 3)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu()).mean((2, 3))


def net(**params):
    width = {"module__width": 8} if params.get("module") is None else {}
    return NetClassifier(**{"max_epochs": 1, "random_state": 0, "net_params": width, **params})


def good_estimators():
    """Return fitted estimators by name, with rows to predict and the values to pass to ``load``."""
    members = [("a", net()), ("b", net(lr=0.1))]
    learned = {"calibration": "temperature", "cv": 2}
    turns, policy = RandomRotation(), make_augmentation_pipeline(RandomCrop(6), TrivialAugment())
    return {
        "table": (net(categorical_features=[0], augmenter=SwapNoise()), TABLE, {}),
        "images": (net(module=Conv, augmenter=policy, predict_views=2), GREY, {"module": Conv}),
        "tuned": (FineTuneClassifier(max_epochs=1, augmenter=turns, predict_views=1, n_views=2), GREY, {}),
        "features": (make_pipeline(PretrainedFeatures(), net()), GREY, {}),
        "vote": (
            VotingClassifier(members, voting="soft", weights="greedy", **learned),
            TABLE,
            {},
        ),
        "stack": (StackingClassifier(members, net(), cv=2, refit=False), TABLE, {}),
        "cascade": (CascadeClassifier(members, cv=2), TABLE, {}),
        "copies": (AugmentedClassifier(net(), turns, predict_views=2, random_state=0), GREY, {}),
        "distilled": (DistilledClassifier(net(random_state=1), net(), temperature=2.0), TABLE, {}),
        **with_members_of_skops(),
        "nets": (NetEnsembleRegressor(NetRegressor(max_epochs=1, net_params={"module__width": 8}), 2), TABLE, {}),
    }


def with_members_of_skops():
    """Return a vote with a member that is stored with skops, if skops is installed."""
    if importlib.util.find_spec("skops") is None:
        return {}
    members = [("net", net()), ("line", LogisticRegression())]
    return {"foreign": (VotingClassifier(members, voting="soft"), TABLE, {})}


def write_good(folder):
    """Write the valid archives, and return (manifest, arrays, X, values to pass) of each."""
    found = {}
    for name, (estimator, X, given) in good_estimators().items():
        y = LABELS.astype(float) if isinstance(estimator, NetEnsembleRegressor) else NAMES
        save(estimator.fit(X, y), folder / name)
        with safe_open(folder / name, "np") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            found[name] = json.loads(file.metadata()["manifest"]), arrays, X, given
    return found


def write_forged(path, manifest, arrays):
    """Write an archive as ``save`` does, with any content."""
    manifest = json.dumps(manifest)
    arrays = arrays or {"nothing": np.zeros(1, np.uint8)}
    metadata = {MARK: str(VERSION), "manifest": manifest, "sha256": checksum(manifest, arrays)}
    path.write_bytes(to_bytes(arrays, metadata))


# -- forgeries ---------------------------------------------------------------------------------------------------------

NAMING = (  # code, paths and hosts
    *("file:x::os:abort", "os:abort", "antigravity:fly", "pytest:main", "hf:someone/repo", "timm:someone/repo"),
    *("timm:../x", "timm:resnet18", "torchvision:resnet18", "untrained:timm:vit_huge_patch14_224", "file:/etc/passwd"),
    *("/tmp/hostile", "../..", "~root/x", "https://example.invalid/x", "\\\\host\\share", "os.system", "__import__"),
    *("__class__", "__init__", "fit", "_net", "predict", "compile", "meta", "cuda:0", "mlp", "auto", "drop"),
)
NUMBERS = (0, 1, -1, 2, 3, 7, 64, 10**9, -(10**9), 2**31, 2**63, 2**64, 10**30, 0.0, -0.5, 1e308, True, False)
SMALL = (0, 1, 2, 3, 5, 8, 16, 64, True, False, None, 0.5)
CHOICES = ("classes", "multilabel", "values", "predict", "soft", "hard", "fine-tune", "linear-probe", "bicubic")
ODD = (None, "", "x" * 5000, "\ud800", [], {}, [[]], [None], {"a": 1}, [1, 2, 3], "nan")
ATTRIBUTES = (
    *("backbone", "module", "augmenter", "cache", "memory", "callbacks", "loss", "optimizer", "net_params", "steps"),
    *("predict", "fit", "_check_X", "_net", "_prefix", "_backbone", "__class__", "__dict__", "_fit_many", "net_"),
    *("backbone_", "classes_", "n_features_in_", "image_shape_", "value_range_", "_device", "_views", "estimators_"),
)


def wrap(value, rng, keys):
    """Return a value inside a record of a random kind, mostly of a wrong one."""
    name = str(value)[:50]
    return rng.choice(
        [
            {"$": "float", "value": value},
            {"$": "tuple", "items": [value, value]},
            {"$": "tuple", "items": value},
            {"$": "dict", "items": [[value, value]]},
            {"$": "dict", "items": [value]},
            {"$": "bunch", "items": [["a", value]]},
            {"$": "array", "items": [value] * 2, "shape": [2]},
            {"$": "array", "items": [value], "shape": [value]},
            {"$": "array", "key": rng.choice(keys)},
            {"$": "array", "key": rng.choice(keys), "dtype": rng.choice(["<U4", "O", "<f8", name]), "shape": [1]},
            {"$": "array", "key": name},
            {"$": "scalar", "key": rng.choice(keys)},
            {"$": "scalar", "items": [value], "shape": []},
            {"$": "random_state", "state": [value, value, 0, 0, 0.0]},
            {"$": "random_state", "state": ["MT19937", {"$": "array", "key": rng.choice(keys)}, 624, 0, 0.0]},
            {"$": "path", "value": value},
            {"$": "tensor", "key": rng.choice(keys)},
            {"$": "tensor", "key": rng.choice(keys), "torch": rng.choice(["torch.qint8", "torch.bfloat16", name])},
            {"$": "dtype", "value": rng.choice(["torch.qint8", "torch.complex64", "torch.float16", name])},
            {"$": "device", "value": rng.choice(["meta", "cpu:7", "mps", name])},
            {"$": "torch", "value": rng.choice(["nn.Transformer", "nn.MSELoss", "optim.LBFGS", name])},
            {"$": "own", "class": name, "name": "", "params": {}, "learned": {}},
            {"$": "own", "class": "FineTuneClassifier", "name": "", "params": {"backbone": value}, "learned": {}},
            {"$": "own", "class": "RandomFlip", "name": "", "params": {}, "learned": {rng.choice(ATTRIBUTES): value}},
            {"$": "sklearn", "class": name, "name": "", "params": {}, "learned": {}},
            {"$": "sklearn", "class": "Pipeline", "name": "", "params": {"steps": [], "memory": value}, "learned": {}},
            {"$": "settings", "class": "Target", "settings": {"kind": name, "classes": value}},
            {
                "$": "settings",
                "class": "FeatureCache",
                "settings": {"folder": value, "max_bytes": 10**9, "dtype": "float32"},
            },
            {"$": "skops", "name": "a", "class": "X", "key": rng.choice(keys)},
            {"$": "given", "name": rng.choice(["module", "backbone", "callbacks", name]), "was": "x"},
            {"$": "again", "id": rng.choice([0, 1, 2, 3, 7, value])},
            {"$": name},
        ]
    )


def value_to_try(rng, keys):
    """Return a wrong value, directly or in a record."""
    value = rng.choice([rng.choice(NAMING), rng.choice(NUMBERS), rng.choice(ODD), *NAMING[:3]])
    return wrap(value, rng, keys) if rng.random() < 0.4 else value


def nodes(node, parents=()):
    """Return all (container, key) of JSON."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        yield node, key
        yield from nodes(item)


def choose_place(node, rng):
    """Choose a position to change, mostly among the parameters and fitted attributes, rarely among the weights."""
    inside = [place for part in parts(node, "trained") for place in nodes(part)]
    hidden = {id(container) for container, _ in inside}
    outside = [place for place in nodes(node) if id(place[0]) not in hidden]
    return rng.choice(inside if inside and rng.random() < 0.2 else outside)


def parts(node, name):
    """Return all dicts with this key."""
    return [container[key] for container, key in nodes(node) if key == name and isinstance(container[key], dict)]


def forge(manifest, arrays, rng):
    """Return a copy of an archive with one changed attribute, one name of code or a path, or one to three changes."""
    manifest, arrays = copy.deepcopy(manifest), dict(arrays)
    node, keys, style = manifest["estimator"], [*arrays, "none"], rng.random()
    estimators = [node, *(container[key] for container, key in nodes(node))]
    estimators = [one for one in estimators if isinstance(one, dict) and {"params", "learned"} <= one.keys()]
    fitted = [one for one in estimators if one["learned"]]
    if style < 0.25:
        return manifest, arrays, [name_something(rng.choice(estimators), rng, keys)]
    if style < 0.5:
        return manifest, arrays, [vary_value(rng.choice(fitted)["learned"], arrays, rng, keys)]
    if style < 0.75:
        return manifest, arrays, [change_array(node, arrays, rng, keys, only_learned=True)]
    any_change = [change_value, vary_value, vary_value, change_keys, move_value, change_array, change_array]
    changes = [rng.choice(any_change) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    return manifest, arrays, [change(node, arrays, rng, keys) for change in changes]


def name_something(estimator, rng, keys):
    """Insert the name of code, of a path or of a host where an estimator might use it."""
    where = rng.choice(["learned", "params"])
    known = ATTRIBUTES if where == "learned" else [*estimator["params"], *ATTRIBUTES[:10]]
    key, value = rng.choice(known), rng.choice([rng.choice(NAMING), NAMING[0]])
    estimator[where][key] = wrap(value, rng, keys) if rng.random() < 0.3 else value
    return f"{estimator['class']}.{where}.{key}={estimator[where][key]!r:.80}"


def change_value(node, arrays, rng, keys):
    """Replace a value by another one."""
    container, key = choose_place(node, rng)
    container[key] = value_to_try(rng, keys)
    return f"{key}={container[key]!r:.80}"


def vary_value(node, arrays, rng, keys):
    """Replace a value by another one of the same kind."""
    container, key = choose_place(node, rng)
    value = container[key]
    if isinstance(value, list):
        container[key] = rng.choice([value[::-1], value[:-1], value * 2, value + value[:1], []])
    elif isinstance(value, str):
        container[key] = rng.choice(
            [*NAMING, "classes", "multilabel", "values", "predict", "soft", "hard", "fine-tune"]
        )
    elif isinstance(value, dict):
        container[key] = copy.deepcopy(rng.choice([container[key] for container, key in nodes(node)]))
    else:
        container[key] = rng.choice(
            NUMBERS if rng.random() < 0.5 else [0, 1, 2, 3, 5, 8, 16, 64, True, False, None, 0.5]
        )
    return f"{key}={container[key]!r:.80}"


def change_keys(node, arrays, rng, keys):
    """Remove, add or rename an entry."""
    dicts = [node, *(container[key] for container, key in nodes(node) if isinstance(container[key], dict))]
    learned = [one["learned"] for one in dicts if isinstance(one.get("learned"), dict)]
    chosen = rng.choice(rng.choice([dicts, learned or dicts]))
    if chosen and rng.random() < 0.5:
        key = rng.choice(list(chosen))
        value = chosen.pop(key)
        if rng.random() < 0.5:
            chosen[rng.choice(ATTRIBUTES)] = value
        return f"removed {key}"
    key = rng.choice(ATTRIBUTES)
    chosen[key] = value_to_try(rng, keys)
    return f"added {key}={chosen[key]!r:.80}"


def move_value(node, arrays, rng, keys):
    """Replace one part by a copy of another."""
    (source, one), (container, key) = choose_place(node, rng), choose_place(node, rng)
    container[key] = copy.deepcopy(source[one])
    return f"{key} = what {one} was"


def change_array(node, arrays, rng, keys, only_learned=False):
    """Change the shape, the dtype or the contents of an array, or remove it."""
    if not arrays:
        return "no array"
    learned = [key for key in arrays if not any(part in key for part in ("net_.", "backbone."))]
    key = rng.choice((learned if only_learned else rng.choice([list(arrays), learned])) or list(arrays))
    array = arrays[key]
    kind = rng.choice(["gone", "shape", "cut", "grown", "type", "bytes", "extreme", "negative", "nan", "zero", "swap"])
    other = rng.choice(list(arrays))
    new = {
        "gone": lambda: None,
        "shape": lambda: array.reshape(rng.choice([(-1,), (1, -1), (-1, 1), array.shape[::-1], (*array.shape, 1)])),
        "cut": lambda: array.reshape(-1)[: array.size // 2],
        "grown": lambda: np.concatenate([array.reshape(-1)] * 2),
        "type": lambda: array.astype(rng.choice([np.int64, np.float32, np.float64, np.uint8, np.bool_, np.uint64])),
        "bytes": lambda: np.frombuffer(bytes(rng.randrange(256) for _ in range(array.nbytes)), array.dtype).reshape(
            array.shape
        ),
        "extreme": lambda: np.full_like(array, 1e30 if array.dtype.kind == "f" else 100),
        "negative": lambda: -array if array.dtype.kind in "fi" else array,
        "nan": lambda: np.full_like(array, np.nan if array.dtype.kind == "f" else 1),
        "zero": lambda: np.zeros_like(array),
        "swap": lambda: arrays[other],
    }[kind]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed = new()
    if changed is None:
        del arrays[key]
    else:
        arrays[key] = np.ascontiguousarray(changed)
    return f"array {key} {kind}"


# -- outcomes ----------------------------------------------------------------------------------------------------------


class Watch:
    """Records events in the process while an archive is in use."""

    def __init__(self):
        self.events, self.path, self.on = set(), None, False
        sys.addaudithook(self.note)

    def note(self, event, args):
        """Record an event; an audit hook."""
        if not self.on or event in HARMLESS:
            return
        if event in WATCHED or event.partition(".")[0] in WATCHED_GROUPS:
            what = str(args[0]) if args else ""
            self.events.add((event, "the archive" if what == self.path else what[:200]))

    def use(self, path, X, given):
        """Return the outcome of using an archive, and the recorded events."""
        self.events, self.path, self.on = set(), str(path), True
        signal.alarm(SECONDS)
        try:
            outcome = load_and_predict(path, X, given)
        except TimeoutError:
            outcome = "bad: too long"
        finally:
            signal.alarm(0)
            self.on = False
        return outcome, self.events


def load_and_predict(path, X, given):
    """``"refused"``, ``"predicts"`` or ``"refuses X"``; or the problem, starting with ``"bad"``."""
    try:
        model = load(path, **given)
    except (ValueError, TypeError, ImportError) as error:
        return "refused" if str(path) in str(error) else f"bad: no file in {error}"
    except TimeoutError:
        raise
    except BaseException as error:
        return f"bad: load raised {type(error).__name__}: {error}"
    outcome = "predicts"
    repr(model)
    for rows in (X, rows_for(model, X)):
        for method in ("predict", "predict_proba", "transform"):
            try:
                if hasattr(model, method):
                    getattr(model, method)(rows)
            except (ValueError, TypeError, ImportError):
                outcome = "refuses X"
            except TimeoutError:
                raise
            except BaseException as error:
                return f"bad: {method} raised {type(error).__name__}: {error}"
    return outcome


def rows_for(model, X):
    """Return rows of the shape that a loaded model expects, if it changed and is not too large."""
    shape = getattr(model, "image_shape_", None) or (getattr(model, "n_features_in_", None),)
    is_shape = type(shape) is tuple and all(type(side) is int and side > 0 for side in shape)
    if not is_shape or prod(shape) == X[0].size or prod(shape) >= 10**6:
        return X
    return np.zeros((2, *shape), np.uint8 if len(shape) > 1 else np.float64)


def main(folder, number, seed):
    """Try a number of forged archives."""
    warnings.simplefilter("ignore")
    folder, rng = Path(folder), random.Random(seed)
    good = write_good(folder)
    import_optional()
    watch, usual = Watch(), set()
    signal.signal(signal.SIGALRM, too_long)
    for _ in range(2):  # imports at the first use do not count
        usual = set()
        for name, (_, _, X, given) in good.items():
            outcome, events = watch.use(folder / name, X, given)
            assert outcome == "predicts", (name, outcome)
            usual |= events
    limit_memory()
    counts, bad, path = Counter(), [], folder / "forged"
    for place in range(number):
        name = list(good)[place % len(good)]
        manifest, arrays, X, given = good[name]
        *forged, changes = forge(manifest, arrays, rng)
        write_forged(path, *forged)
        outcome, events = watch.use(path, X, given)
        if events - usual:
            outcome = f"bad: {sorted(events - usual)[:5]}"
        counts[f"{name}: {outcome.partition(':')[0]}"] += 1
        if outcome.startswith("bad"):
            bad.append(f"{place} {name}: {changes}: {outcome}"[:1000])
    print(json.dumps({"counts": counts, "bad": bad}))


def import_optional():
    """Import the libraries that archives may use, if they are installed."""
    for name in ("pandas", "polars", "timm", "torchvision"):
        with suppress(ImportError):
            importlib.import_module(name)


def too_long(*args):
    raise TimeoutError


def limit_memory(gigabytes=6):
    """Make absurdly large allocations fail immediately."""
    if not Path("/proc/self/statm").exists():
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + gigabytes * 2**30,) * 2)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
