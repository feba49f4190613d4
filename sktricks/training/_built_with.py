"""Describe the parameters from which a net was built, so that ``save`` can check if ``load`` builds the same net."""

from __future__ import annotations

from .._kept_params import as_text, describe_params

# Other parameters are stored as fitted attributes, or affect only the training.
BUILDING = ("module", "backbone", "init", "loss", "label_smoothing", "optimizer", "net_params")


def describe_build(estimator):
    """Return a text for each parameter that affects how the net of an estimator is built, by name.

    Texts are used instead of values, since an instance of a module would otherwise be pickled twice.
    """
    built = describe_params(estimator, BUILDING)
    params = estimator.get_params(deep=False)
    if any(name.startswith("callbacks__") for name in params.get("net_params") or {}):
        built["callbacks"] = as_text(params["callbacks"])  # net_params refers to callbacks by name
    return built
