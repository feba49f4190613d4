"""Random numbers from a key and a counter, where there is one for each pixel and no room to draw them all beforehand.

The numbers of a row depend on its key alone, so that chunks and threads change nothing. The generator is SplitMix64
(G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) started at the key.
"""

from __future__ import annotations

import numpy as np

GAMMA, FIRST, SECOND = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
LOW_24 = np.uint64(2**24 - 1)


def draw_keys(rng, n):
    """A key a row."""
    return rng.integers(0, 2**64, n, dtype=np.uint64)


def expand_bits(keys, m, stream=0):
    """(n, m) random 64-bit integers from (n,) keys; other streams hold other numbers."""
    bits = keys[:, None] + np.arange(1 + stream * m, 1 + (stream + 1) * m, dtype=np.uint64) * GAMMA
    bits ^= bits >> np.uint64(30)
    bits *= FIRST
    bits ^= bits >> np.uint64(27)
    bits *= SECOND
    bits ^= bits >> np.uint64(31)
    return bits


def expand(keys, m, stream=0):
    """(n, m) numbers, uniform and strictly between 0 and 1, from (n,) keys; other streams hold other numbers."""
    return ((expand_bits(keys, m, stream) >> np.uint64(12)) + 0.5) * 2.0**-52


def expand_normal(keys, m):
    """(n, m) standard normal float32 numbers from (n,) keys.

    They come in pairs, from two uniform numbers of 24 bits (G. E. P. Box, M. E. Muller, "A note on the generation of
    random normal deviates", Ann. Math. Stat. 29, 1958).
    """
    bits = expand_bits(keys, -(-m // 2))
    halves = bits >> np.uint64(40), bits >> np.uint64(8) & LOW_24
    radius, angle = ((half.astype(np.float32) + 0.5) * 2.0**-24 for half in halves)
    radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(len(keys), -1)[:, :m]
