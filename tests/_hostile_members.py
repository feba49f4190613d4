"""Load and use skops files with one alteration. A script, since a crash would end the tests."""

import io
import json
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sktricks.persist._codec import Reader
from sktricks.persist._foreign import read_member, write_member

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
ESTIMATORS = [
    DecisionTreeClassifier(max_depth=3, random_state=0),
    RandomForestClassifier(2, max_depth=2, random_state=0),
    ExtraTreesRegressor(2, max_depth=2, random_state=0),
    GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=0),
    HistGradientBoostingClassifier(max_iter=2, categorical_features=[3], random_state=0),
    IsolationForest(n_estimators=2, max_features=0.5, random_state=0),
    KNeighborsClassifier(),
    KNeighborsClassifier(algorithm="ball_tree"),
    KNeighborsClassifier(algorithm="brute"),
    MLPClassifier(3, max_iter=2, random_state=0),
    SVC(),
    OneHotEncoder(),
]


def written(estimator):
    """Return the record and the bytes of a fitted member."""
    arrays = {}
    writer = SimpleNamespace(
        trusted=frozenset(), keep=lambda array, name: arrays.setdefault(name, array) is None or name
    )
    record = write_member(estimator, "member", writer)
    return record, arrays["member"].tobytes()


def forgeries(content, rng, n):
    """Yield altered copies of the bytes of a member: numbers in its arrays, their shapes, and numbers in its JSON."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    arrays = [name for name in entries if name.endswith(".npy")]
    for turn in range(n):
        forged = dict(entries)
        if turn % 3 and arrays:
            name = arrays[rng.integers(len(arrays))]
            forged[name] = forge_array(forged[name], rng)
        else:
            forged["schema.json"] = forge_json(forged["schema.json"], rng)
        yield zipped(forged)


def zipped(entries):
    """Return the bytes of a zip file with these entries, a dict."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in entries.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def forge_array(part, rng):
    """Return the bytes of an array with a number, a bit or the shape altered."""
    array = np.load(io.BytesIO(part))
    kind = rng.integers(4)
    if kind == 0 and array.ndim and len(array):
        array = array[: rng.integers(len(array))] if rng.integers(2) else np.concatenate([array, array])
    elif kind == 1 and array.dtype.names and array.size:
        field = array.dtype.names[rng.integers(len(array.dtype.names))]
        array[field].reshape(-1)[rng.integers(array.size)] = rng.choice([0, 1, 2, 7, 100, 2**30])
    elif kind == 2 and array.dtype.kind in "iuf" and array.size:
        array = array.copy()
        array.reshape(-1)[rng.integers(array.size)] = rng.choice([0, 1, 3, 99, 2**30])
    else:
        raw = bytearray(array.tobytes())
        if raw:
            raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
            array = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def forge_json(part, rng):
    """Return a schema with one of its numbers, or one of its names, altered."""
    schema = json.loads(part)
    nodes, pending = [], [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            nodes.append(item)
        pending.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
    values = [node for node in nodes if node.get("__loader__") == "JsonNode"]
    if rng.integers(2) and values:
        values[rng.integers(len(values))]["content"] = str(
            rng.choice(["0", "1", "-1", "7", "1000000000", "null", "true"])
        )
    else:
        node = nodes[rng.integers(len(nodes))]
        keys = [key for key in node if not key.startswith("__")] or list(node) or ["content"]
        key = keys[rng.integers(len(keys))]
        if rng.integers(2):
            node.pop(key, None)
        else:
            node[str(rng.choice(["predict", "_validate_X_predict", "classes_", "tree_"]))] = node.get(key)
    return json.dumps(schema).encode()


def main(n):
    """Load and use ``n`` forgeries of each estimator, and print how many were refused."""
    refused = used = 0
    for number, estimator in enumerate(ESTIMATORS):
        record, content = written(estimator.fit(X, y))
        for forged in forgeries(content, np.random.default_rng(number), n):
            reader = Reader([], {"member": np.frombuffer(forged, np.uint8)}, given=None)
            try:
                member = read_member(record, reader)
            except ValueError:
                refused += 1
                continue
            used += 1
            for method in ("predict", "predict_proba", "transform", "score_samples"):
                try:
                    getattr(member, method)(X)
                except Exception:  # noqa: BLE001, S112 - wrong predictions and errors are fine, as long as nothing crashes
                    continue
    print(json.dumps({"refused": refused, "used": used}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
