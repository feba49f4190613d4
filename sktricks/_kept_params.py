"""Warn of changes to parameters that have no effect when training continues."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from ._warnings import ParametersIgnoredWarning, warn

MAX_LENGTH = 60  # characters per value in the warning


def describe_params(estimator, names):
    """Return a dict from names of parameters to their values as text; names that the estimator lacks are skipped.

    Parameters of a nested estimator are included, as ``estimator__alpha``.
    """
    params, texts = estimator.get_params(deep=False), {}
    for name in names:
        if name in params:
            own, inner = describe(params[name])
            texts |= {name: own, **{f"{name}__{key}": text for key, text in inner.items()}}
    return texts


def describe(value):
    """Return a value as text, and the texts of its own parameters by name if it is an estimator."""
    inner = value.get_params() if isinstance(value, BaseEstimator) else {}
    own = as_text(None if isinstance(value, list | dict) and not value else value)
    return own, {key: as_text(item) for key, item in inner.items()}


def warn_of_changes(estimator, cure):
    """Warn of parameters that were changed since the first fit; training continues with the previous values.

    Parameters
    ----------
    estimator : estimator
        ``_kept_params`` are the names of these parameters; ``_built_with`` is the result of :func:`describe_params`
        when training began.
    cure : str
        How to start a new training.
    """
    now, kept = describe_params(estimator, estimator._kept_params), vars(estimator).get("_built_with", {})
    differ = [name for name in now if now[name] != kept.get(name, now[name])]
    changed = [f"{name}={shorten(now[name])} (was {shorten(kept[name])})" for name in differ]
    if changed:
        warn(
            f"{type(estimator).__name__} continues training with the previous values of parameters that were changed "
            f"since: {', '.join(changed)}. Set them back, or {cure}",
            ParametersIgnoredWarning,
        )


def as_text(value):
    """Return a text that is equal for equivalent values, as far as a text can tell."""
    if isinstance(value, np.generic):  # its repr depends on the version of numpy
        value = value.item()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {as_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_text, value)) + "]"
    if isinstance(value, str):
        return repr(str(value))
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    text = repr(value)
    plain = value is None or isinstance(value, bool | int | float) or type(value).__module__ in ("numpy", "torch")
    return text if plain else f"{type(value).__module__}.{type(value).__qualname__}()"


def shorten(text):
    """Truncate a long text."""
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."
