"""What decides the features of a backbone, as a short text: its code, its settings, its weights and buffers.

Nets of equal weights may still compute different things: another activation, another ``forward`` in a class that was
written anew in a notebook. So the text tells of what a forward pass can meet, as far as :mod:`._structure` follows it,
and is the same in every process.
"""

from __future__ import annotations

import hashlib
from copy import copy

import numpy as np
import torch
from torch import nn

from ._structure import NOTES, Structure

SMALL = 4096  # bytes
LARGE, PLACES = 2**18, 32  # bytes from which a tensor is read in so many places at the same time
ROW = 509  # numbers, no multiple of which is a filter or a row of a usual weight
IN_NUMPY = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
IN_NUMPY |= {torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128}
ALL_HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]


def fingerprint_of(backbone, unchanged=False):
    """A hash of what decides the features of a backbone; tensors are hashed anew only after a change.

    Where nobody can have changed the backbone, ``unchanged``, the fingerprint that it came with is taken.
    """
    known = vars(backbone).get("_known_fingerprint")
    if unchanged and known is not None:
        return known[1]
    structure = Structure(backbone.model)
    stamp = stamp_of_structure(structure)
    if known is None or known[0] != stamp:
        digest = digest_of(f"{backbone.preprocess!r} {stamp[0]}", structure.tensors)
        known = backbone._known_fingerprint = stamp, digest
    return known[1]


def digest_of(text, tensors):
    """A hash of a text and of the content of tensors."""
    digest = hashlib.sha256(text.encode())
    for tensor in tensors:
        digest.update(bytes_of(tensor))
    return digest.hexdigest()[:32]


def inherit_fingerprint(backbone, original):
    """Tell a fresh copy the fingerprint of the original, without looking at the numbers of either again."""
    (structure, places), fingerprint = original._known_fingerprint
    tensors = Structure(backbone.model).tensors
    places = [(*place_of(tensor), bits) for tensor, (_, _, bits) in zip(tensors, places, strict=True)]
    backbone._known_fingerprint = (structure, places), fingerprint


def stamp_of(module, structure=None, unread=()):
    """What a module is, where its tensors lie and how it is set, equal only if nothing has changed.

    Far quicker than hashing the tensors. torch counts the changes of a tensor, but not those through ``.data`` or
    numpy: hence the sum of its bits as well, but for tensors whose ids are ``unread``.
    """
    structure = structure or Structure(module)
    return *stamp_of_structure(structure, unread), how_it_is_set(module, structure.tensors)


def how_it_is_set(module, tensors):
    """What does not change the features of a module, but what a copy of it is and how it trains."""
    parts = []
    for part in module.modules():
        known = vars(part)
        hooks = [(name, *known[name]) for name in ALL_HOOKS if known.get(name)]  # numbers: a hook may hold the module
        notes = [(name, copy(known[name])) for name in NOTES if name in known]
        parts.append((part.training, hooks, notes, sorted(part._non_persistent_buffers_set)))
    return parts, [getattr(tensor, "requires_grad", None) for tensor in tensors]


def stamp_of_structure(structure, unread=()):
    places = [
        (*place_of(tensor), None if id(tensor) in unread else sum_of_bytes(bytes_of(tensor)))
        for tensor in structure.tensors
    ]
    return hashlib.sha256(structure.text.encode(errors="surrogatepass")).hexdigest(), places


def place_of(tensor):
    """Where a tensor lies, and torch's count of its changes; arrays and tensors of inference mode have none."""
    if isinstance(tensor, np.ndarray):
        return tensor.ctypes.data, 0
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def bytes_of(tensor):
    """The content of a tensor or array, as an array of bytes."""
    if isinstance(tensor, np.ndarray):
        return tensor.copy(order="C").reshape(-1).view(np.uint8)
    if tensor.dtype in IN_NUMPY and tensor.layout == torch.strided:
        return np.ascontiguousarray(tensor.numpy(force=True)).reshape(-1).view(np.uint8)
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def sum_of_bytes(content):
    """Sums of bytes, eight at a time, that change if some change their places; of few the bytes themselves."""
    if len(content) <= SMALL:
        return content.tobytes()
    whole = len(content) // (8 * ROW) * 8 * ROW
    return sum_of_rows(content[:whole].view(np.int64).reshape(-1, ROW)).tobytes() + content[whole:].tobytes()


def sum_of_rows(rows):
    """The sum of rows of integers; many are read in several places at the same time, which memory likes better."""
    if rows.nbytes <= LARGE:
        return rows.sum(axis=0)
    n_rows = len(rows) // PLACES * PLACES
    some = torch.from_numpy(rows[:n_rows]).view(PLACES, -1).sum(0).view(-1, ROW)
    return rows[n_rows:].sum(axis=0) + some.sum(0).numpy()
