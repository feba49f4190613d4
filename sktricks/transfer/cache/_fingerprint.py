"""Fingerprints of backbones: hashes of everything that determines the features."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from ._feature_cache import MEMORY_ONLY
from ._structure import Structure

ROW, ROWS = 641, 512  # 8-byte numbers per row: a prime, so that swapping filters changes the sums


def fingerprint_of(backbone, unchanged=False):
    """Return a hash of code, settings, weights, buffers and preprocessing of a backbone.

    The previous hash, possibly inherited from the original of a copy, is returned if nothing has changed. This is
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
    """Return a hash of a text, a description and its tensors; ``condense`` may reduce the bytes of tensors."""
    digest = hashlib.sha256(f"{text} {structure.text}".encode(errors="surrogatepass"))
    for tensor in structure.tensors:
        for part in condense(bytes_of(tensor)):
            digest.update(part)
    return ("" if structure.is_portable else MEMORY_ONLY) + digest.hexdigest()[:32]


def stamp_of(module):
    """Return a text that changes if a module (its outputs or its training), a function or a class changes."""
    return digest_of(Structure(module, of_training=True), condense=sums_of)


def bytes_of(tensor):
    """Return the content of a tensor or array as bytes."""
    try:
        array = tensor.numpy(force=True) if isinstance(tensor, torch.Tensor) else tensor
    except TypeError:  # numpy lacks the dtype
        array = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def sums_of(content):
    """Yield sums over rows of bytes; hashing them takes a tenth of the time of hashing all bytes.

    The sums change if a number changes, or if filters are swapped, since the size of no usual filter is a multiple of a
    row.
    """
    whole = len(content) // (8 * ROW) * 8 * ROW
    rows = content[:whole].view(np.int64).reshape(-1, ROW)
    for start in range(0, len(rows), ROWS):
        yield rows[start : start + ROWS].sum(axis=0)
    yield content[whole:]
