"""Fingerprints of backbones: short texts that differ if anything that decides the features differs."""

from __future__ import annotations

import hashlib
from copy import copy

import numpy as np
import torch
from torch import nn

from ._feature_cache import MEMORY_ONLY
from ._structure import NOTES, Structure

ROW, ROWS = 2039, 128  # numbers of 8 bytes per row, a prime, so that filters that change places change the sums
ALL_HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]


def fingerprint_of(backbone, unchanged=False):
    """Return a hash of code, settings, weights, buffers and preprocessing of a backbone.

    The last hash, perhaps of the backbone that this one is a copy of, is returned if nothing has changed since. That is
    checked by sums over the tensors, unless the caller knows that the backbone is ``unchanged``.
    """
    known = vars(backbone).get("_known_fingerprint")
    if known is None or not unchanged:
        structure, text = Structure(backbone.model), repr(backbone.preprocess)
        check = digest_of(structure, text, update_with_sums)
        if known is None or known[0] != check:
            known = backbone._known_fingerprint = check, digest_of(structure, text, update_with_content)
    return known[1]


def digest_of(structure, text, update):
    """Return a hash of a text and of a described module, whose tensors a function adds to the digest."""
    digest = hashlib.sha256(f"{text} {structure.text}".encode(errors="surrogatepass"))
    for tensor in structure.tensors:
        update(digest, bytes_of(tensor))
    return ("" if structure.is_portable else MEMORY_ONLY) + digest.hexdigest()[:32]


def stamp_of(module):
    """Return a value that changes if a module does: its outputs, or how it trains."""
    parts = []
    for part in module.modules():
        known = vars(part)
        hooks = [(name, *known[name]) for name in ALL_HOOKS if known.get(name)]  # numbers: a hook may hold the module
        notes = [(name, copy(known[name])) for name in NOTES if name in known]
        gradients = [tensor is not None and tensor.requires_grad for tensor in known["_parameters"].values()]
        parts.append((part.training, hooks, notes, sorted(known["_non_persistent_buffers_set"]), gradients))
    return digest_of(Structure(module), "", update_with_sums), parts


def bytes_of(tensor):
    """Return the content of a tensor or array as an array of bytes."""
    try:
        array = tensor.numpy(force=True) if isinstance(tensor, torch.Tensor) else tensor
    except TypeError:  # numpy has no such dtype
        array = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def update_with_content(digest, content):
    """Update a digest with all bytes."""
    digest.update(content)


def update_with_sums(digest, content):
    """Update a digest with sums over rows of bytes, which takes a tenth of the time of hashing them all.

    Sums differ if a number differs, and if filters change places, since no usual filter is a multiple of a row.
    """
    whole = len(content) // (8 * ROW) * 8 * ROW
    rows = content[:whole].view(np.int64).reshape(-1, ROW)
    for start in range(0, len(rows), ROWS):
        digest.update(rows[start : start + ROWS].sum(axis=0))
    digest.update(content[whole:])
