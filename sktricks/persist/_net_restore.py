"""Rebuild the torch part of a loaded estimator, as ``fit`` does, and load its state from the archive."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

import numpy as np
import torch
from sklearn.base import clone

from .._kept_params import describe_params
from ..training._base_net import BaseNet
from ..training._built_with import describe_build
from ..training._decay import split_by_decay
from ..training._make_net import OPTIMIZERS
from ..training._precision import BFLOAT16, FLOAT32, choose_precision
from ..training._randomness import own_randomness
from ..transfer.backbones._load_backbone import BUNDLED, load_for_images
from ..transfer.freezing._freeze import frozen_state, restore_frozen
from ._budget import at_most
from ._codec import describe, require
from ._descriptions import PIXELS
from ._history import read_rows
from ._net_state import check_state, names, trained_parameters
from ._specs import check_fields, instance, is_plain, real
from ._stored_params import BACKBONE, is_text

MAX_PRUNING_FACTOR = 100  # parameters of a net before pruning, per parameter after it
IMPLEMENTATIONS = ("fused", "foreach")  # settings of an optimizer that depend on the device
# Entries of the state of an optimizer that have the shape of the parameter.
SAME_SHAPE = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg")


def restore_trained(estimator, state):
    """Build the torch part of an estimator as ``fit`` does, and load the saved state."""
    check_state(state)
    is_net = isinstance(estimator, BaseNet)
    require(is_net == ("net_" in state), f"must have the trained part of a {type(estimator).__name__}")
    estimator._device = usable(estimator._device)
    estimator.precision_ = usable_precision(estimator)
    estimator._built_with = describe_params(estimator, estimator._kept_params) if is_net else describe_build(estimator)
    if is_net and "_augmenter" not in vars(estimator):  # user-defined, and therefore passed as a parameter
        estimator._augmenter = clone(estimator.augmenter)
    role = "backbone" if hasattr(estimator, "backbone") else "module"
    what = f"{role}={describe(getattr(estimator, role))}"
    saved = state["net_"]["module"] if is_net else state["backbone"]
    if role == "module" or estimator.image_shape_ is None:
        check_default_module(estimator, saved["tensors"])
    n_saved = sum(tensor.numel() for tensor in saved["tensors"].values())
    with own_randomness(0, estimator._device):  # initial weights must not advance the global generator
        with at_most(n_saved * pruning_factor(estimator)):
            backbone = None
            if role == "backbone" and estimator.image_shape_ is not None:
                backbone = untrained_backbone(estimator, state["preprocess"])
            if is_net:
                estimator._build_again(*([] if backbone is None else [backbone]))
            if "pruning_" in vars(estimator):
                narrow_net(estimator, saved["tensors"], what)
        if is_net:
            restore_net(estimator, state["net_"], what)
        else:
            restore_features(estimator, backbone, saved, what)


def pruning_factor(estimator):
    """Return the allowed ratio of the size of a net before pruning to its saved size."""
    report = vars(estimator).get("pruning_")
    if report is None:
        return 1
    return min(ceil(report.n_parameters_before / report.n_parameters_after), MAX_PRUNING_FACTOR)


def narrow_net(estimator, tensors, what):
    """Remove the channels from a net that were pruned before it was saved."""
    try:
        estimator._narrow({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    except ValueError as error:
        raise ValueError(f"the weights in the archive do not fit {what}: {error}") from error


def restore_features(estimator, backbone, weights, what):
    """Load the weights into the backbone of a PretrainedFeatures, and attach it."""
    require(backbone is not None, "must have no trained part without images")
    fill(backbone, weights, what)
    estimator._prefix.attach(
        backbone.to(estimator._device).eval(), estimator.value_range_, estimator._device, estimator.precision_
    )
    n = estimator._prefix.n_features
    require(n == estimator._n_features_out, f"must have {n} features, got {estimator._n_features_out}")


def check_default_module(estimator, tensors):
    """Raise an error unless the shapes of the saved weights match the settings of the default module.

    This is checked before the module is built.
    """
    if getattr(estimator, "module", "mlp") != "mlp":
        return
    params = {"module__width": 128, "module__depth": 2} | (estimator.net_params or {})
    width, depth = params["module__width"], params["module__depth"]
    if "pruning_" in vars(estimator):
        width = min(width, tensors["norm.weight"].numel() if "norm.weight" in tensors else width)
    fits = all(type(value) is int or isinstance(value, np.integer) for value in (width, depth))
    require(fits, "must have integers as width and depth of the default module")
    columns = getattr(estimator, "_columns", None)
    expected = {"head.weight": (estimator._n_outputs, width)}
    if estimator.image_shape_ is None:
        expected["embed.weight"] = (width, estimator.n_features_in_ if columns is None else len(columns.means))
    for name, shape in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        require(found == shape, f"must have weights {name} of shape {shape}, got {found}")
    n_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    require(depth == n_blocks, f"must have the weights of {depth} blocks, got {n_blocks}")


def untrained_backbone(estimator, preprocess):
    """Return the backbone of an estimator with initial weights; the saved ones are in the archive.

    It is built for the output of the preprocessing in the archive, not for that of an untrained net.
    """
    height, width, channels = estimator.image_shape_
    if preprocess is not None:
        height, width = preprocess["size"] or (height, width)
        channels = preprocess["channels"] or channels
    shape = height, width, channels
    require(height * width * channels <= PIXELS, f"must have images of at most {PIXELS} values, got {shape}")
    spec, by_name = net_of(estimator.backbone, estimator.backbone_name_)
    backbone = load_for_images(spec, shape, not by_name)
    if preprocess is not None:
        backbone.preprocess = type(backbone.preprocess)(**preprocess)
    return backbone


def net_of(backbone, chosen):
    """Return the backbone to build, and True if it is a name from which it can be built without weights.

    ``chosen`` is the name that ``"auto"`` selected. A module of the caller is returned unchanged. Names that require
    code, a folder or a download are passed by the caller.
    """
    if not isinstance(backbone, str):
        return backbone, False
    name = backbone
    while name.startswith("untrained:"):
        name = name.removeprefix("untrained:")
    if name.startswith("file:") and "::" in name:
        return net_of(name.partition("::")[2], chosen)
    if name == "auto":
        require(chosen in BUNDLED, f"must have one of {list(BUNDLED)} as backbone_name_, got {describe(chosen)}")
        return chosen, True
    return name, is_text(name, BACKBONE) or name.startswith(("hf:", "timm:"))


def usable(device):
    """Return the device if it exists, otherwise the CPU."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        return torch.device("cpu")
    return device


def usable_precision(estimator):
    """Return the saved precision (float32 for old archives), or that of ``"auto"`` on this device if necessary."""
    saved = vars(estimator).get("precision_", FLOAT32)
    if saved == BFLOAT16 and (estimator.precision == "auto" or estimator._device.type not in ("cpu", "cuda")):
        return choose_precision("auto", estimator._device, images=estimator.image_shape_ is not None)
    return saved


def restore_net(estimator, state, what):
    """Load the state from :func:`~._net_state.net_state` into a new net."""
    net = estimator.net_
    fill(net.module_, state["module"], what)
    fill(net.criterion_, state["criterion"], "loss")
    net.prepare_valid_ = estimator._make_preparation(0)[1]
    check_outputs(estimator)
    fresh = frozen_state(net.module_)
    check_fields(state["frozen"], {name: instance(type(part)) for name, part in fresh.items()}, "frozen part")
    restore_frozen(net.module_, state["frozen"])
    restore_optimizer(net, **state["optimizer"])
    net.lr = estimator.lr_ or net.lr  # as in fit, since the parameter may have changed
    restore_history(net, state)


def restore_history(net, state):
    """Restore the history of a net, with its epochs and batches."""
    epochs, batches, counts = read_rows(state["epochs"]), read_rows(state["batches"]), state["n_batches"]
    fits = len(counts) == len(epochs) and sum(counts) == len(batches)
    require(fits, f"must have the batches for {len(epochs)} epochs")
    require(is_plain(epochs) and is_plain(batches), "must have a history of plain values")
    rest = iter(batches)
    net.history.clear()
    for epoch, count in zip(epochs, counts, strict=True):
        net.history.append({"batches": [next(rest) for _ in range(count)], **epoch})


def check_outputs(estimator):
    """Raise an error unless the caller's module, or a pruned one, accepts the rows and its outputs fit y.

    A pruned backbone was already run to count its features.
    """
    is_own = not isinstance(getattr(estimator, "module", "mlp"), str)
    is_pruned = "pruning_" in vars(estimator) and vars(estimator).get("_prefix") is None
    if not (is_own or is_pruned):
        return
    net, x = estimator._net, estimator._blank_row()
    net.module_.eval()
    with torch.inference_mode():
        x = x if net.prepare_valid_ is None else net.prepare_valid_(x)[0]
        net.infer({"x": x.to(estimator._device)})


def fill(module, weights, what):
    """Load weights into a module, or raise an error that describes the differences."""
    tensors, versions = weights["tensors"], weights["versions"]
    expected, found = ({name: sketch(value) for name, value in part.items()} for part in (module.state_dict(), tensors))
    names = dict.fromkeys([*expected, *found])
    wrong = [name for name in names if expected.get(name) != found.get(name)]
    if wrong:
        first = ", ".join(f"{n} (expected {expected.get(n)}, got {found.get(n)})" for n in wrong[:3])
        raise ValueError(
            f"the weights in the archive do not fit {what}: {len(wrong)} of {len(names)} tensors differ, first {first}"
        )
    state = OrderedDict(tensors)
    state._metadata = {name: {"version": versions.get(name, 1)} for name, _ in module.named_modules()}
    module.load_state_dict(state)


def sketch(value):
    """Return the shape and dtype of a tensor as text."""
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__


def restore_optimizer(net, groups, memory):
    """Restore the groups and the state of an optimizer, by torch's own ``load_state_dict``."""
    optimizer, parameters = net.optimizer_, trained_parameters(net)
    split_groups(optimizer, groups)
    check_groups(groups, optimizer, parameters)
    check_memory(memory, optimizer, parameters)
    order = [name for group in groups for name in group["params"]]
    numbers = {name: number for number, name in enumerate(order)}
    own = [{name: group[name] for name in IMPLEMENTATIONS if name in group} for group in optimizer.param_groups]
    restore_decay(net, groups)
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        group["params"] = [parameters[name] for name in saved["params"]]
    saved = [
        {**group, **settings, "params": [numbers[name] for name in group["params"]]}
        for group, settings in zip(groups, own, strict=True)
    ]
    state = {numbers[name]: kept for name, kept in memory.items()}
    optimizer.load_state_dict({"state": state, "param_groups": saved})


def restore_decay(net, groups):
    """Set the weight decay of a net to that of its groups in the archive; the parameter may have changed after fit."""
    decay = getattr(net, "optimizer__weight_decay", None)
    for fresh, group in zip(net.optimizer_.param_groups, groups, strict=True):
        if decay is not None and not fresh.get("no_decay") and fresh["weight_decay"] == decay:
            require(real(0).fits(group["weight_decay"]), "must have a weight decay of at least 0 in each group")
            net.optimizer__weight_decay = group["weight_decay"]


def split_groups(optimizer, groups):
    """Split or join the groups of a new optimizer to match the number of groups in the archive.

    Groups are split by weight decay, unless it was 0 in fit; the parameter may have changed since.
    """
    current = optimizer.param_groups
    split = [part for group in current for part in split_by_decay(group, also_of=0)]
    joined = [group for group in current if not group.get("no_decay")]
    for other in (current, split, joined):
        if isinstance(groups, list) and len(other) == len(groups):
            current[:] = other
            break


def check_groups(groups, optimizer, parameters):
    """Check the parameter groups of an optimizer."""
    n = len(optimizer.param_groups)
    require(type(groups) is list and len(groups) == n, f"must have {n} parameter groups for the optimizer")
    for group, fresh in zip(groups, optimizer.param_groups, strict=True):
        fits = type(group) is dict and names.fits(group.get("params")) and is_plain(group)
        fits = fits and (fresh.keys() - {*IMPLEMENTATIONS, "params"}) <= group.keys()
        require(fits, f"must have a parameter group with the entries {sorted(fresh)}")
    order = [name for group in groups for name in group["params"]]
    fits = len(set(order)) == len(order) and set(order) <= parameters.keys()
    require(fits, "must have parameter groups that contain each parameter of the net at most once")


def check_memory(memory, optimizer, parameters):
    """Check the state of an optimizer for each parameter: fused kernels assume that it has the parameter's shape."""
    fits = type(memory) is dict and memory.keys() <= parameters.keys()
    require(fits, "must have an optimizer state for parameters of the net")
    known = type(optimizer) in OPTIMIZERS.values()
    for name, kept in memory.items():
        require(type(kept) is dict and is_plain(kept), "must have an optimizer state of plain values")
        for key, value in kept.items():
            if not isinstance(value, torch.Tensor) or value.ndim == 0:
                continue
            fits = value.shape == parameters[name].shape if key in SAME_SHAPE else not known
            require(fits, f"must have an optimizer state {key!r:.40} with the shape of the parameter {name}")
