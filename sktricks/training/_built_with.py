"""The parameters that a net was built from, so that ``save`` can tell whether ``load`` would build the same net."""

from __future__ import annotations

from .._kept_params import as_text, describe_params

# Other parameters are kept as fitted attributes, or only say how the net is trained.
BUILDING = ("module", "backbone", "init", "loss", "label_smoothing", "optimizer", "net_params")


def describe_build(estimator):
    """Return a text for each parameter that decides how the net of an estimator is built, by name.

    Texts instead of values, since an instance of a module would otherwise be pickled twice.
    """
    built = describe_params(estimator, BUILDING)
    params = estimator.get_params(deep=False)
    if any(name.startswith("callbacks__") for name in params.get("net_params") or {}):
        built["callbacks"] = as_text(params["callbacks"])  # which net_params then names
    return built
