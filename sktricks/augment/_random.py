"""Create numpy Generators from scikit-learn random states."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state


def make_rng(random_state):
    """Return a numpy Generator for a random state; None gives a new one and leaves numpy's global state alone."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, Integral):
        return np.random.default_rng(first_words(random_state))
    return np.random.default_rng(draw_words(check_random_state(random_state)))


def draw_words(random_state):
    """Draw a seed for a Generator."""
    return random_state.randint(2**32, size=4, dtype=np.uint32)


@lru_cache(maxsize=64)
def first_words(seed):
    """Return the Generator seed for an int, memoized because creating a RandomState is slow."""
    return draw_words(check_random_state(seed))
