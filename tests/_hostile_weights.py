"""Damaged weight files, and the net that they belong to."""

import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import safetensors.torch
import torch
from torch import nn


class Net(nn.Module):
    """A small net with a classifier."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.fc = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.norm(self.body(x)).mean((2, 3)))


class RunsCode:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def saved_by_torch(content, **settings):
    """Return the bytes that ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file, **settings)
    return file.getvalue()


def whole_files():
    """Return undamaged weight files, by suffix."""
    weights = Net().state_dict()
    return [
        (".safetensors", safetensors.torch.save(weights)),
        (".pt", saved_by_torch(weights)),
        (".pth", saved_by_torch({"state_dict": weights, "epoch": 3})),
        (".bin", saved_by_torch(weights, _use_new_zipfile_serialization=False)),
    ]


def wrong_contents():
    """Return contents of a file other than the weights of the net."""
    good = dict(Net().state_dict())
    zeros = torch.zeros(3)
    wrong = [
        [], {}, None, 3, "weights", b"weights", zeros, [zeros], (good,), {"state_dict": 3}, {"state_dict": [good]},
        {"model": {"model": good}}, {3: zeros}, {None: zeros}, {("a",): zeros}, {"a": {"b": zeros}}, RunsCode(),
        OrderedDict(a=RunsCode()), Net(), np.zeros(3), {"state_dict": np.zeros(3)}, good | {3: zeros},
        {"state_dict": good, "a": RunsCode()},
        good | {"norm.bias": None}, good | {"norm.bias": "text"}, good | {"norm.bias": [0.0] * 3},
        good | {"norm.bias": np.zeros(3)}, good | {"norm.bias": torch.zeros(3, dtype=torch.complex64)},
        good | {"norm.bias": torch.zeros(3).to_sparse()}, good | {"norm.bias": torch.zeros(3, device="meta")},
        good | {"norm.bias": torch.zeros(3, 1)}, good | {"norm.bias": torch.zeros(())}, good | {"": zeros},
        good | {"norm": zeros}, good | {"body.weight.more": zeros}, {name.upper(): t for name, t in good.items()},
    ]  # fmt: skip
    wrong.append({"state_dict": wrong[-1]})
    nested = zeros
    for _ in range(50):
        nested = {"state_dict": nested}
    return [*wrong, nested]


def wrong_bytes():
    """Return bytes that are not a weight file, whatever the file name."""
    files = [b"", b"\0", b"\0" * 100, b"PK\x03\x04", b"<html>not found</html>", pickle.dumps({"a": 1}), b"\x80\x02."]
    for header in ("", "{", "[]", "null", '{"a":1}', '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,99999]}}'):
        files.append(len(header).to_bytes(8, "little") + header.encode())
    files.append((2**63).to_bytes(8, "little") + b"{}")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil", "content")
    return [*files, archive.getvalue(), pickle.dumps(RunsCode())]


def damaged(rng):
    """Return a suffix, and the bytes of a weight file with some of them cut, changed, moved or repeated."""
    whole = whole_files()
    suffix, content = whole[rng.integers(len(whole))]
    content, where = bytearray(content), int(rng.integers(len(content)))
    match rng.integers(5):
        case 0:
            del content[where:]
        case 1:
            del content[where : where + int(rng.integers(1, 100))]
        case 2:
            for _ in range(rng.integers(1, 20)):
                content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        case 3:  # near the beginning, where the headers are
            content[rng.integers(min(len(content), 300))] = rng.integers(256)
        case 4:
            content[where:where] = content[int(rng.integers(len(content))) :][: int(rng.integers(1, 100))]
    return suffix, bytes(content)
