"""Fingerprints of backbones: short texts that differ if anything differs that decides the features."""

from __future__ import annotations

import hashlib
from copy import copy

import numpy as np
import torch
from torch import nn

from ._feature_cache import MEMORY_ONLY
from ._structure import NOTES, Structure

ROW, ROWS = 509, 128  # numbers of 8 bytes; a prime, of which no size of a filter is a multiple
ALL_HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]


def fingerprint_of(backbone, unchanged=False):
    """Return a hash of code, settings, weights, buffers and preprocessing of a backbone.

    For a backbone that is ``unchanged`` since the last call, or a copy of such a one, this is the last one, at once.
    """
    known = vars(backbone).get("_known_fingerprint")
    if known is None or not unchanged:
        known = backbone._known_fingerprint = fingerprint_of_module(backbone.model, repr(backbone.preprocess))
    return known


def fingerprint_of_module(module, text=""):
    """Return a hash of what decides the outputs of a module in evaluation mode, and of a text."""
    structure = Structure(module)
    digest = hashlib.sha256(f"{text} {structure.text}".encode(errors="surrogatepass"))
    for tensor in structure.tensors:
        update_with_sums(digest, bytes_of(tensor))
    return ("" if structure.is_portable else MEMORY_ONLY) + digest.hexdigest()[:32]


def stamp_of(module):
    """Return what is equal only if nothing has changed in a module, neither its outputs nor how it trains."""
    parts = []
    for part in module.modules():
        known = vars(part)
        hooks = [(name, *known[name]) for name in ALL_HOOKS if known.get(name)]  # numbers: a hook may hold the module
        notes = [(name, copy(known[name])) for name in NOTES if name in known]
        gradients = [tensor is not None and tensor.requires_grad for tensor in known["_parameters"].values()]
        parts.append((part.training, hooks, notes, sorted(known["_non_persistent_buffers_set"]), gradients))
    return fingerprint_of_module(module), parts


def bytes_of(tensor):
    """Return the content of a tensor or array as an array of bytes."""
    if isinstance(tensor, np.ndarray):
        return tensor.copy(order="C").reshape(-1).view(np.uint8)
    return tensor.detach().cpu().resolve_conj().contiguous().flatten().view(torch.uint8).numpy()


def update_with_sums(digest, content):
    """Add bytes to a digest, as sums over rows of them, which are ten times as quick to hash.

    Sums differ if a number differs, and if filters change places, since these are no multiple of a row.
    """
    whole = len(content) // (8 * ROW) * 8 * ROW
    rows = content[:whole].view(np.int64).reshape(-1, ROW)
    for start in range(0, len(rows), ROWS):
        digest.update(rows[start : start + ROWS].sum(axis=0))
    digest.update(content[whole:])
