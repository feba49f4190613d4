"""The parameters that a net was built from, so that ``save`` can tell whether ``load`` would build the same net."""

from __future__ import annotations

# Other parameters are kept as fitted attributes, or only say how the net is trained.
BUILDING = ("module", "backbone", "init", "loss", "label_smoothing", "optimizer", "net_params")


def describe_build(estimator):
    """Return a text for each parameter that decides how the net of an estimator is built, by name.

    Texts instead of values, since an instance of a module would otherwise be pickled twice.
    """
    params = estimator.get_params(deep=False)
    built = {name: as_text(params[name]) for name in BUILDING if name in params}
    if any(name.startswith("callbacks__") for name in params.get("net_params") or {}):
        built["callbacks"] = as_text(params["callbacks"])  # which net_params then names
    return built


def as_text(value):
    """Return a text that is equal for values that build the same, as far as ``load`` can tell."""
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
