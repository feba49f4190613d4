"""Random numbers from a key and a counter, where there is one for each pixel and no room to draw them all beforehand.

The numbers of a row depend on its key alone, so that chunks and threads change nothing. The generator is SplitMix64
(G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) started at the key.
"""

import numpy as np
from scipy.special import ndtri

GAMMA, FIRST, SECOND = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def draw_keys(rng, n):
    """A key a row."""
    return rng.integers(0, 2**64, n, dtype=np.uint64)


def expand(keys, m, stream=0):
    """(n, m) numbers, uniform and strictly between 0 and 1, from (n,) keys; other streams hold other numbers."""
    bits = keys[:, None] + np.arange(1 + stream * m, 1 + (stream + 1) * m, dtype=np.uint64) * GAMMA
    bits ^= bits >> np.uint64(30)
    bits *= FIRST
    bits ^= bits >> np.uint64(27)
    bits *= SECOND
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(12)) + 0.5) * 2.0**-52


def expand_normal(keys, m):
    """(n, m) standard normal numbers from (n,) keys."""
    return ndtri(expand(keys, m))
