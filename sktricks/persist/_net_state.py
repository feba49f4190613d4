"""Convert the torch part of a fitted estimator to plain values: weights, optimizer, history and frozen layers."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from math import isfinite

import torch

from ..training._base_net import BaseNet
from ..transfer.freezing._freeze import frozen_state
from ._codec import require
from ._history import write_rows
from ._specs import (
    Spec,
    anything,
    boolean,
    check_fields,
    dict_of,
    either,
    instance,
    integer,
    list_of,
    only,
    optional,
    real,
    string,
    tuple_of,
)

# -- writing -----------------------------------------------------------------------------------------------------------


def trained_state(estimator):
    """Return the results of training as tensors and plain values."""
    backbone = getattr(estimator, "backbone_", None)
    preprocess = getattr(backbone, "preprocess", None)  # one that is not a dataclass belongs to the caller's backbone
    state = {"preprocess": asdict(preprocess) if is_dataclass(preprocess) else None}
    if isinstance(estimator, BaseNet):
        return {**state, "net_": net_state(estimator.net_)}
    return {**state, "backbone": weights_of(backbone)}


def weights_of(module):
    """Return the tensors of a module, and the versions of its submodules, if not 1, for torch's conversion."""
    state = module.state_dict()
    parts = getattr(state, "_metadata", {})
    versions = {name: part["version"] for name, part in parts.items() if part.get("version", 1) != 1}
    return {"tensors": dict(state), "versions": versions}


def net_state(net):
    """Return the weights of a skorch net, the state of its optimizer, and its history."""
    history = [dict(epoch) for epoch in net.history]
    batches = [epoch.pop("batches", []) for epoch in history]
    return {
        "module": weights_of(net.module_),
        "criterion": weights_of(net.criterion_),
        "optimizer": optimizer_state(net),
        "frozen": frozen_state(net.module_),
        "epochs": write_rows(history),
        "batches": write_rows([batch for epoch in batches for batch in epoch]),
        "n_batches": [len(epoch) for epoch in batches],
    }


def trained_parameters(net):
    """Return all parameters that an optimizer may train, by name."""
    parts = (("module", net.module_), ("criterion", net.criterion_))
    return {f"{part}.{name}": p for part, module in parts for name, p in module.named_parameters()}


def optimizer_state(net):
    """Return the groups of an optimizer and its state for each parameter, by the names of the parameters."""
    names = {id(parameter): name for name, parameter in trained_parameters(net).items()}
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in net.optimizer_.param_groups
    ]
    return {"groups": groups, "memory": {names[id(p)]: dict(kept) for p, kept in net.optimizer_.state.items() if kept}}


# -- checks ------------------------------------------------------------------------------------------------------------

SIDE = 2**14  # pixels, after the preprocessing
names = list_of(string)
finite = Spec("a finite number", lambda value: real().fits(value) and isfinite(value))
factors = optional(Spec("a tuple of numbers", lambda value: type(value) is tuple and all(map(finite.fits, value))))
PREPROCESS = {
    "size": optional(tuple_of(integer(1, SIDE), integer(1, SIDE))),
    "channels": optional(integer(1, SIDE)),
    "mean": factors,
    "std": factors,
    "interpolation": only("bilinear", "bicubic"),
    "resize_mode": only("squash", "crop"),
}
WEIGHTS = {
    "tensors": dict_of(string, instance(torch.Tensor)),
    "versions": dict_of(string, integer()),
}
NET = {
    "module": WEIGHTS,
    "criterion": WEIGHTS,
    "optimizer": {"groups": anything, "memory": anything},
    "frozen": dict_of(string, either(names, dict_of(string, boolean), dict_of(string, names))),
    "epochs": anything,
    "batches": anything,
    "n_batches": list_of(integer()),
}


def check_state(state):
    """Raise an error unless a state has the form that :func:`trained_state` returns."""
    part = {"net_": NET} if "net_" in state else {"backbone": WEIGHTS}
    preprocess = anything if state.get("preprocess") is None else PREPROCESS
    check_fields(state, {"preprocess": preprocess, **part}, "trained part")
    if state["preprocess"] is not None:
        check_factors(**state["preprocess"])


def check_factors(mean, std, channels, **others):
    """Raise an error unless a preprocessing has both mean and std or neither, per channel or for all channels."""
    require((mean is None) == (std is None), "must have a preprocessing with both mean and std, or neither")
    for factors in (mean, std):
        fits = factors is None or channels is None or len(factors) in (1, channels)
        require(fits, "must have a preprocessing with one mean and std per channel")
