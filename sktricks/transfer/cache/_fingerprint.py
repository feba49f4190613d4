"""Fingerprints of backbones: short texts that differ if anything that decides the features differs."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from ._feature_cache import MEMORY_ONLY
from ._structure import Structure

ROW, ROWS = 641, 512  # numbers of 8 bytes per row, a prime, so that filters that change places change the sums


def fingerprint_of(backbone, unchanged=False):
    """Return a hash of code, settings, weights, buffers and preprocessing of a backbone.

    The last hash, perhaps of the backbone that this one is a copy of, is returned if nothing has changed since. That is
    checked by sums over the tensors, unless the caller knows that the backbone is ``unchanged``.
    """
    known = vars(backbone).get("_known_fingerprint")
    if known is None or not unchanged:
        structure, text = Structure(backbone.model), repr(backbone.preprocess) + backbone.features_text
        check = digest_of(structure, text, sums_of)
        if known is None or known[0] != check:
            known = backbone._known_fingerprint = check, digest_of(structure, text)
    return known[1]


def digest_of(structure, text="", condense=lambda content: [content]):
    """Return a hash of a text and of a described module, whose tensors may be condensed to less than all bytes."""
    digest = hashlib.sha256(f"{text} {structure.text}".encode(errors="surrogatepass"))
    for tensor in structure.tensors:
        for part in condense(bytes_of(tensor)):
            digest.update(part)
    return ("" if structure.is_portable else MEMORY_ONLY) + digest.hexdigest()[:32]


def stamp_of(module):
    """Return a text that changes if a module does (its outputs, or how it trains), or a function or class."""
    return digest_of(Structure(module, of_training=True), condense=sums_of)


def bytes_of(tensor):
    """Return the content of a tensor or array as an array of bytes."""
    try:
        array = tensor.numpy(force=True) if isinstance(tensor, torch.Tensor) else tensor
    except TypeError:  # numpy has no such dtype
        array = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def sums_of(content):
    """Yield sums over rows of bytes, whose hash takes a tenth of the time that a hash of all bytes takes.

    Sums differ if a number differs, and if filters change places, since no usual filter is a multiple of a row.
    """
    whole = len(content) // (8 * ROW) * 8 * ROW
    rows = content[:whole].view(np.int64).reshape(-1, ROW)
    for start in range(0, len(rows), ROWS):
        yield rows[start : start + ROWS].sum(axis=0)
    yield content[whole:]
