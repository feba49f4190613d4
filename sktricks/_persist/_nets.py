"""The torch part of a fitted estimator: weights, optimizer, history, what is frozen; and how it is built again."""

from dataclasses import asdict, is_dataclass

import torch

from ..training._base import BaseNet
from ..training._skorch import own_randomness
from ..transfer._freeze import frozen_state, restore_frozen
from ..transfer.backbones import load_backbone
from ._codec import describe
from ._estimators import REBUILT

# -- out of an estimator -----------------------------------------------------------------------------------------------


def trained_state(estimator):
    """All that training has made, as tensors and plain values."""
    backbone = getattr(estimator, "backbone_", None)
    state = {"preprocess": None if backbone is None else preprocess_state(backbone.preprocess)}
    if isinstance(estimator, BaseNet):
        return {**state, "net_": net_state(estimator.net_)}
    return {**state, "backbone": dict(backbone.state_dict())}


def preprocess_state(preprocess):
    """The settings of a preprocessing that is a dataclass; one of another kind comes with its backbone."""
    return asdict(preprocess) if is_dataclass(preprocess) else None


def net_state(net):
    """What a skorch net has learned, and how."""
    return {
        "module": dict(net.module_.state_dict()),
        "criterion": dict(net.criterion_.state_dict()),
        "optimizer": optimizer_state(net),
        "frozen": frozen_state(net.module_),
        "history": list(net.history),
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


# -- into an estimator -------------------------------------------------------------------------------------------------


def restore_trained(estimator, state):
    """Build the torch part of an estimator as ``fit`` does, and give it its numbers back."""
    estimator._device = usable(estimator._device)
    role = "backbone" if hasattr(estimator, "backbone") else "module"
    what = f"{role}={describe(getattr(estimator, role))}"
    with own_randomness(0, estimator._device):  # drawing weights that are replaced must not move a generator
        backbone = None
        if role == "backbone" and estimator.image_shape_ is not None:
            backbone = untrained_backbone(estimator, state["preprocess"])
        if "net_" in state:
            estimator._build_again(*([] if backbone is None else [backbone]))
    if "net_" in state:
        restore_net(estimator.net_, state["net_"], what)
        estimator.net_.prepare_valid_ = estimator._make_preparation(0)[1]
    else:
        fill(backbone, state["backbone"], what)
        estimator._backbone = backbone.to(estimator._device).eval()


def untrained_backbone(estimator, preprocess):
    """The backbone of an estimator; its weights are in the archive, so none need be found anywhere else.

    It is built for images as they come out of the preprocessing, which is the archive's, not that of an untrained net.
    """
    height, width, channels = estimator.image_shape_
    if preprocess is not None:
        height, width = preprocess["size"] or (height, width)
        channels = preprocess["channels"] or channels
    spec = estimator.backbone
    if isinstance(spec, str):
        known = REBUILT.fullmatch(spec)  # None for one that the caller gave
        spec = "tiny32" if spec == "auto" else known["net"] if known else spec
    own = not isinstance(spec, str)  # one's own module is not for us to make untrained
    backbone = load_backbone(spec, image_shape=(height, width, channels), pretrained=own)
    if preprocess is not None:
        backbone.preprocess = type(backbone.preprocess)(**preprocess)
    return backbone


def usable(device):
    """The device, or the CPU where there is no such device."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        return torch.device("cpu")
    return device


def restore_net(net, state, what):
    """Give a new net what :func:`net_state` was told of."""
    fill(net.module_, state["module"], what)
    fill(net.criterion_, state["criterion"], "loss")
    restore_frozen(net.module_, state["frozen"])
    restore_optimizer(net, **state["optimizer"])
    net.history.clear()
    net.history.extend(state["history"])


def fill(module, weights, what):
    """Load weights into a module, or say how they differ from what it has room for."""
    expected, found = ({name: sketch(value) for name, value in part.items()} for part in (module.state_dict(), weights))
    names = dict.fromkeys([*expected, *found])
    wrong = [name for name in names if expected.get(name) != found.get(name)]
    if wrong:
        first = ", ".join(f"{n} (needs {expected.get(n)}, has {found.get(n)})" for n in wrong[:3])
        raise ValueError(
            f"the weights in the archive do not fit {what}: {len(wrong)} of {len(names)} tensors differ, first {first}"
        )
    module.load_state_dict(weights)


def sketch(value):
    """The shape and type of a tensor."""
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__


def restore_optimizer(net, groups, memory):
    """Give an optimizer the groups that it had, by way of torch's own loading."""
    optimizer, parameters = net.optimizer_, trained_parameters(net)
    if len(groups) != len(optimizer.param_groups):
        raise ValueError(
            f"the archive has {len(groups)} groups of parameters for the optimizer, which makes "
            f"{len(optimizer.param_groups)}"
        )
    order = [name for group in groups for name in group["params"]]
    places = {name: place for place, name in enumerate(order)}
    # how to go about it is for the device that there is now
    how = [{name: group[name] for name in ("fused", "foreach") if name in group} for group in optimizer.param_groups]
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
