"""Counter-based random numbers, for draws per pixel that would take too much memory in a plan.

The numbers of a row depend only on its key, so chunks and threads do not change them. The generator is SplitMix64 (G.
L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), seeded by the key.
"""

from __future__ import annotations

import numpy as np

GAMMA, FIRST, SECOND = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
LOW_24 = np.uint64(2**24 - 1)


def draw_keys(rng, n):
    """Draw one key per row."""
    return rng.integers(0, 2**64, n, dtype=np.uint64)


def expand_bits(keys, m, stream=0):
    """Return (n, m) random 64-bit integers for (n,) keys; streams are independent of each other."""
    bits = keys[:, None] + np.arange(1 + stream * m, 1 + (stream + 1) * m, dtype=np.uint64) * GAMMA
    bits ^= bits >> np.uint64(30)
    bits *= FIRST
    bits ^= bits >> np.uint64(27)
    bits *= SECOND
    bits ^= bits >> np.uint64(31)
    return bits


def expand(keys, m, stream=0):
    """Return (n, m) uniform numbers strictly between 0 and 1 for (n,) keys; streams are independent of each other."""
    return ((expand_bits(keys, m, stream) >> np.uint64(12)) + 0.5) * 2.0**-52


def expand_normal(keys, m):
    """Return (n, m) standard normal float32 numbers for (n,) keys.

    Each pair is computed from two uniform 24-bit numbers (G. E. P. Box, M. E. Muller, "A note on the generation of
    random normal deviates", Ann. Math. Stat. 29, 1958).
    """
    bits = expand_bits(keys, -(-m // 2))
    halves = bits >> np.uint64(40), bits >> np.uint64(8) & LOW_24
    radius, angle = ((half.astype(np.float32) + 0.5) * 2.0**-24 for half in halves)
    radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(len(keys), -1)[:, :m]
