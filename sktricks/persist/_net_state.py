"""The torch part of a fitted estimator: weights, optimizer, history, what is frozen; and how it is built again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, is_dataclass
from math import isfinite

import numpy as np
import torch

from ..training._base_net import BaseNet
from ..training._make_net import OPTIMIZERS
from ..training._randomness import own_randomness
from ..transfer.backbones import load_backbone
from ..transfer.freezing._freeze import frozen_state, restore_frozen
from ._budget import at_most
from ._codec import Malformed, brief, describe
from ._descriptions import DEVICES, PIXELS
from ._history import read_rows, write_rows
from ._specs import boolean, dict_of, either, integer, is_plain, list_of, only, optional, real, string, tuple_of
from ._stored_params import BACKBONE, is_text

# -- out of an estimator -----------------------------------------------------------------------------------------------


def trained_state(estimator):
    """All that training has made, as tensors and plain values."""
    backbone = getattr(estimator, "backbone_", None)
    state = {"preprocess": None if backbone is None else preprocess_state(backbone.preprocess)}
    if isinstance(estimator, BaseNet):
        return {**state, "net_": net_state(estimator.net_)}
    return {**state, "backbone": weights_of(backbone)}


def preprocess_state(preprocess):
    """The settings of a preprocessing that is a dataclass; one of another kind comes with its backbone."""
    return asdict(preprocess) if is_dataclass(preprocess) else None


def weights_of(module):
    """The tensors of a module, and the versions of its parts that are not 1, by which torch adapts old ones."""
    state = module.state_dict()
    parts = getattr(state, "_metadata", {})
    versions = {name: part["version"] for name, part in parts.items() if part.get("version", 1) != 1}
    return {"tensors": dict(state), "versions": versions}


def net_state(net):
    """What a skorch net has learned, and how."""
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
    """All parameters that an optimizer may hold, by name."""
    parts = (("module", net.module_), ("criterion", net.criterion_))
    return {f"{part}.{name}": p for part, module in parts for name, p in module.named_parameters()}


def optimizer_state(net):
    """The settings of each group, and what is remembered of each parameter, by the parameters' names."""
    names = {id(parameter): name for name, parameter in trained_parameters(net).items()}
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in net.optimizer_.param_groups
    ]
    return {"groups": groups, "memory": {names[id(p)]: dict(kept) for p, kept in net.optimizer_.state.items() if kept}}


# -- what it may be ----------------------------------------------------------------------------------------------------

SIDE = 2**14  # pixels, of an image after its preprocessing
names = list_of(string)
frozen_part = dict_of(string, either(names, dict_of(string, boolean), dict_of(string, names)))
PREPROCESS = {
    "size": optional(tuple_of(integer(1, SIDE), integer(1, SIDE))),
    "channels": optional(integer(1, SIDE)),
    "interpolation": only("bilinear", "bicubic"),
}


def check_state(state):
    """An error unless the trained part of an estimator is such as :func:`trained_state` makes it."""
    check_entries(state, {"preprocess", "net_"} if "net_" in state else {"preprocess", "backbone"}, "trained part")
    if state["preprocess"] is not None:
        check_preprocess(state["preprocess"])
    if "net_" not in state:
        check_weights(state["backbone"])
        return
    net = state["net_"]
    check_entries(net, {"module", "criterion", "optimizer", "frozen", "epochs", "batches", "n_batches"}, "net")
    check_weights(net["module"])
    check_weights(net["criterion"])
    check_entries(net["optimizer"], {"groups", "memory"}, "optimizer")
    if not frozen_part.fits(net["frozen"]):
        raise Malformed("must have a frozen part of names of modules")
    if not list_of(integer()).fits(net["n_batches"]):
        raise Malformed("must have n_batches that are a list of int")


def check_entries(value, keys, what):
    """An error unless a value is a dict with these keys."""
    if type(value) is not dict or value.keys() != keys:
        found = sorted(map(str, value)) if type(value) is dict else type(value).__name__
        raise Malformed(f"must have the entries {sorted(keys)} in its {what}, got {found!r:.100}")


def check_fields(value, specs, what):
    """An error unless a value is a dict of values of these types."""
    check_entries(value, specs.keys(), what)
    for name, spec in specs.items():
        if not spec.fits(value[name]):
            raise Malformed(f"must have {spec.text} as {name} of its {what}, got {brief(value[name])}")


def check_preprocess(settings):
    """The settings of a :class:`~sktricks.transfer.backbones._backbone.Preprocess`."""
    check_entries(settings, {*PREPROCESS, "mean", "std"}, "preprocessing")
    check_fields({name: settings[name] for name in PREPROCESS}, PREPROCESS, "preprocessing")
    for name in ("mean", "std"):
        value = settings[name]
        fits = value is None or (type(value) is tuple and all(real().fits(one) and isfinite(one) for one in value))
        if not fits or (value is None) != (settings["mean"] is None):
            raise Malformed(f"must have a preprocessing whose {name} is None or a tuple of numbers")
        if value is not None and settings["channels"] is not None and len(value) not in (1, settings["channels"]):
            raise Malformed(f"must have a preprocessing with a {name} for each channel")


def check_weights(weights):
    """The tensors of a module, and the versions of its parts."""
    check_entries(weights, {"tensors", "versions"}, "module")
    tensors = weights["tensors"]
    if not (type(tensors) is dict and all(type(one) is torch.Tensor for one in tensors.values())):
        raise Malformed("must have a module whose weights are tensors")
    if not dict_of(string, integer()).fits(weights["versions"]):
        raise Malformed("must have versions of modules that are int")


# -- into an estimator -------------------------------------------------------------------------------------------------


def restore_trained(estimator, state):
    """Build the torch part of an estimator as ``fit`` does, and give it its numbers back."""
    check_state(state)
    is_net = isinstance(estimator, BaseNet)
    if is_net != ("net_" in state):
        raise Malformed(f"must have the trained part of a {type(estimator).__name__}")
    estimator._device = usable(estimator._device)
    role = "backbone" if hasattr(estimator, "backbone") else "module"
    what = f"{role}={describe(getattr(estimator, role))}"
    saved = state["net_"]["module"] if is_net else state["backbone"]
    if role == "module" or estimator.image_shape_ is None:
        check_default_module(estimator, saved["tensors"])
    n_saved = sum(tensor.numel() for tensor in saved["tensors"].values())
    with own_randomness(0, estimator._device):  # drawing weights that are replaced must not move a generator
        with at_most(n_saved):
            backbone = None
            if role == "backbone" and estimator.image_shape_ is not None:
                backbone = untrained_backbone(estimator, state["preprocess"])
            if is_net:
                estimator._build_again(*([] if backbone is None else [backbone]))
        if is_net:
            restore_net(estimator, state["net_"], what)
        else:
            restore_features(estimator, backbone, saved, what)


def restore_features(estimator, backbone, weights, what):
    """Give a PretrainedFeatures its backbone."""
    if backbone is None:
        raise Malformed("must have no trained part without images")
    fill(backbone, weights, what)
    estimator._backbone = backbone.to(estimator._device).eval()
    n = backbone.count(estimator._stages)
    if n != estimator._n_features_out:
        raise Malformed(f"must have {n} features, got {estimator._n_features_out}")


def check_default_module(estimator, tensors):
    """An error unless the weights of the default module are as large as the settings say, before it is built."""
    if getattr(estimator, "module", "mlp") != "mlp":
        return
    settings = {"width": 128, "depth": 2} | module_settings(estimator)
    if not all(type(value) is int or isinstance(value, np.integer) for value in settings.values()):
        raise Malformed("must have an int as width and as depth of the default module")
    columns = getattr(estimator, "_columns", None)
    expected = {"head.weight": (estimator._n_outputs, settings["width"])}
    if estimator.image_shape_ is None:
        n_numbers = estimator.n_features_in_ if columns is None else len(columns.means)
        expected["embed.weight"] = (settings["width"], n_numbers)
    for name, shape in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != shape:
            raise Malformed(f"must have weights {name} of shape {shape}, got {found}")
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    if settings["depth"] != depth:
        raise Malformed(f"must have the weights of {settings['depth']} blocks, got {depth}")


def module_settings(estimator):
    """What ``net_params`` says to the default module."""
    params = {name.removeprefix("module__"): value for name, value in (estimator.net_params or {}).items()}
    return {name: params[name] for name in ("width", "depth") if name in params}


def untrained_backbone(estimator, preprocess):
    """The backbone of an estimator; its weights are in the archive, so none need be found anywhere else.

    It is built for images as they come out of the preprocessing, which is the archive's, not that of an untrained net.
    """
    height, width, channels = estimator.image_shape_
    if preprocess is not None:
        height, width = preprocess["size"] or (height, width)
        channels = preprocess["channels"] or channels
    if height * width * channels > PIXELS:
        raise Malformed(f"must have images of at most {PIXELS} values, got {(height, width, channels)}")
    spec, by_name = net_of(estimator.backbone)
    backbone = load_backbone(spec, image_shape=(height, width, channels), pretrained=not by_name)
    if preprocess is not None:
        backbone.preprocess = type(backbone.preprocess)(**preprocess)
    return backbone


def net_of(backbone):
    """What to build for a backbone, and whether it is a name, whose weights need not be there.

    One's own module is not for us to make untrained. A name that is not built from itself alone comes from the caller.
    """
    if not isinstance(backbone, str):
        return backbone, False
    name = backbone
    while name.startswith("untrained:"):
        name = name.removeprefix("untrained:")
    if name.startswith("file:") and "::" in name:
        return net_of(name.partition("::")[2])
    if name == "auto":
        return "tiny32", True
    return name, is_text(name, BACKBONE) or name.startswith(("hf:", "timm:"))


def usable(device):
    """The device, or the CPU where there is no such device."""
    if device.type not in DEVICES:
        return torch.device("cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        return torch.device("cpu")
    return device


def restore_net(estimator, state, what):
    """Give a new net what :func:`net_state` was told of."""
    net = estimator.net_
    fill(net.module_, state["module"], what)
    fill(net.criterion_, state["criterion"], "loss")
    net.prepare_valid_ = estimator._make_preparation(0)[1]
    check_outputs(estimator)
    fresh = frozen_state(net.module_)
    check_entries(state["frozen"], fresh.keys(), "frozen part")
    if any(type(fresh[name]) is not type(value) for name, value in state["frozen"].items()):
        raise Malformed("must have a frozen part of lists and dicts, each in its place")
    restore_frozen(net.module_, state["frozen"])
    restore_optimizer(net, **state["optimizer"])
    restore_history(net, state)


def restore_history(net, state):
    """Give a net its epochs and batches."""
    epochs, batches, counts = read_rows(state["epochs"]), read_rows(state["batches"]), state["n_batches"]
    if len(counts) != len(epochs) or sum(counts) != len(batches):
        raise Malformed(f"must have the batches of {len(epochs)} epochs")
    if not is_plain(epochs) or not is_plain(batches):
        raise Malformed("must have a history of plain values")
    rest = iter(batches)
    net.history.clear()
    for epoch, count in zip(epochs, counts, strict=True):
        net.history.append({"batches": [next(rest) for _ in range(count)], **epoch})


def check_outputs(estimator):
    """An error unless a module of the caller's takes rows as they were in ``fit``, and gives outputs that fit y."""
    if isinstance(getattr(estimator, "module", "mlp"), str):
        return
    net, x = estimator._net, estimator._blank_row()
    net.module_.eval()
    with torch.inference_mode():
        x = x if net.prepare_valid_ is None else net.prepare_valid_(x)[0]
        net.infer({"x": x.to(estimator._device)})


def fill(module, weights, what):
    """Load weights into a module, or say how they differ from what it has room for."""
    tensors, versions = weights["tensors"], weights["versions"]
    expected, found = ({name: sketch(value) for name, value in part.items()} for part in (module.state_dict(), tensors))
    names = dict.fromkeys([*expected, *found])
    wrong = [name for name in names if expected.get(name) != found.get(name)]
    if wrong:
        first = ", ".join(f"{n} (needs {expected.get(n)}, has {found.get(n)})" for n in wrong[:3])
        raise ValueError(
            f"the weights in the archive do not fit {what}: {len(wrong)} of {len(names)} tensors differ, first {first}"
        )
    state = OrderedDict(tensors)
    state._metadata = {name: {"version": versions.get(name, 1)} for name, _ in module.named_modules()}
    module.load_state_dict(state)


def sketch(value):
    """The shape and type of a tensor."""
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__


def restore_optimizer(net, groups, memory):
    """Give an optimizer the groups that it had, by way of torch's own loading."""
    optimizer, parameters = net.optimizer_, trained_parameters(net)
    check_groups(groups, optimizer, parameters)
    check_memory(memory, optimizer, parameters)
    order = [name for group in groups for name in group["params"]]
    places = {name: place for place, name in enumerate(order)}
    # how to go about it is for the device that there is now
    how = [{name: group[name] for name in WAYS if name in group} for group in optimizer.param_groups]
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        group["params"] = [parameters[name] for name in saved["params"]]
    optimizer.load_state_dict(
        {
            "state": {places[name]: kept for name, kept in memory.items()},
            "param_groups": [
                {**group, **ways, "params": [places[name] for name in group["params"]]}
                for group, ways in zip(groups, how, strict=True)
            ],
        }
    )


WAYS = ("fused", "foreach")  # of an optimizer to go about it
# As large as the parameter that they belong to.
FULL = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg")


def check_groups(groups, optimizer, parameters):
    """The groups of parameters of an optimizer."""
    n = len(optimizer.param_groups)
    if type(groups) is not list or len(groups) != n:
        raise Malformed(f"must have {n} groups of parameters for the optimizer")
    for group, fresh in zip(groups, optimizer.param_groups, strict=True):
        fits = type(group) is dict and names.fits(group.get("params")) and is_plain(group)
        if not fits or not (fresh.keys() - {*WAYS, "params"}) <= group.keys():
            raise Malformed(f"must have a group of parameters with the entries {sorted(fresh)}")
    order = [name for group in groups for name in group["params"]]
    if len(set(order)) < len(order) or not set(order) <= parameters.keys():
        raise Malformed("must have groups of parameters of the net, each of them once")


def check_memory(memory, optimizer, parameters):
    """What an optimizer remembers of each parameter: fused loops rely on it that it has the parameter's shape."""
    if type(memory) is not dict or not memory.keys() <= parameters.keys():
        raise Malformed("must have a memory of the optimizer for parameters of the net")
    known = type(optimizer) in OPTIMIZERS.values()
    for name, kept in memory.items():
        if type(kept) is not dict or not is_plain(kept):
            raise Malformed("must have a memory of the optimizer of plain values")
        for key, value in kept.items():
            if not isinstance(value, torch.Tensor) or value.ndim == 0:
                continue
            if (known and key not in FULL) or (key in FULL and value.shape != parameters[name].shape):
                raise Malformed(f"must have a memory {key!r:.40} of the shape of the parameter {name}")
