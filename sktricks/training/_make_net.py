"""Build a skorch net with its loss and optimizer, and update it to the settings of its estimator."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch

from ._decay import split_by_decay
from ._hooks import SETTINGS
from ._inner_net import InnerNet
from ._inputs import supports_float64
from ._loader import BatchLoader, batch_bounds
from ._modules import accepted, dtype_of
from ._monitors import adapt_callbacks
from ._net_params import copy_callbacks
from ._precision import BFLOAT16, FLOAT32, fit_precision

LOSSES = {
    "cross_entropy": torch.nn.CrossEntropyLoss,
    "bce": torch.nn.BCEWithLogitsLoss,
    "squared_error": torch.nn.MSELoss,
    "absolute_error": torch.nn.L1Loss,
    "huber": torch.nn.HuberLoss,
}
OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
# Optimizers with a fused form; torch's fused SGD fails if some parameters were thawed later than others.
FUSED = (torch.optim.Adam, torch.optim.AdamW)


class FunctionLoss(torch.nn.Module):
    """Wrap a loss function as a module, which skorch requires."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, y_pred, y_true):
        return self.function(y_pred, y_true)


def make_loss(loss, label_smoothing=0.0, params=None):
    """Return a loss with one value per row, from a name, a class, an instance (copied) or a function."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be 'auto', one of {sorted(LOSSES)} or a torch loss, got {loss!r}")
        loss = LOSSES[loss]
    if label_smoothing and (isinstance(loss, torch.nn.Module) or not accepted(loss, label_smoothing=label_smoothing)):
        name = getattr(loss, "__name__", type(loss).__name__)
        raise ValueError(
            f"label_smoothing={label_smoothing} requires a loss that takes label_smoothing, such as 'cross_entropy'; "
            f"{name} as loss {'is an instance, which has its own' if isinstance(loss, torch.nn.Module) else 'does not'}"
        )
    if not isinstance(loss, torch.nn.Module):
        settings = {**accepted(loss, reduction="none", label_smoothing=label_smoothing), **(params or {})}
        if not isinstance(loss, type):
            return FunctionLoss(partial(loss, **settings))
        if not issubclass(loss, torch.nn.Module):
            raise TypeError(f"loss must be a torch loss or a function of outputs and targets, got the class {loss!r}")
        return loss(**settings)
    if params:
        names = ", ".join(f"criterion__{name}" for name in params)
        raise ValueError(f"net_params has {names}, which requires a loss class, got an instance: pass its class")
    loss = deepcopy(loss)
    if hasattr(loss, "reduction"):
        loss.reduction = "none"
    return loss


def is_own_loss(loss):
    """Return True for a user's function or module, which may contain or create tensors of torch's default dtype."""
    cls = loss if isinstance(loss, type) else type(loss)
    return not isinstance(loss, str) and not cls.__module__.startswith("torch.nn.")


def choose_dtype(estimator, n_rows, batch_size):
    """Return the dtype of the computation: float64 if all rows form one batch, and no module or loss of the user."""
    one_batch = len(batch_bounds(n_rows, batch_size)) == 1
    exact = estimator._must_be_exact
    plain = estimator._module_precision == FLOAT32 and not is_own_loss(estimator.loss)
    exact = exact or (one_batch and estimator._may_be_exact and plain)
    exact = exact or not estimator._has_default_module  # a user's module decides later, when it is built
    return torch.float64 if exact and supports_float64(estimator._device) else torch.float32


def build_net(estimator, dataset):
    """Return a new, initialized skorch net of an estimator for the rows of ``dataset``."""
    module_params, loss_params, params = estimator._split_net_params()
    settings = estimator._settings()
    loss = estimator._default_loss() if isinstance(estimator.loss, str) and estimator.loss == "auto" else estimator.loss
    outputs = estimator._make_outputs()
    module = estimator._make_module(dataset, module_params)
    if not supports_float64(estimator._device):
        module = module.float()
    if not estimator._has_default_module:
        estimator._dtype = torch.float64 if dtype_of(module) == torch.float64 else torch.float32
        dataset.cast(estimator._dtype)
        estimator.precision_ = fit_precision(estimator.precision_, estimator.precision, estimator._dtype, "module")
    precision, images = estimator._module_precision, estimator.image_shape_ is not None
    if precision == BFLOAT16 and images:
        module = module.to(memory_format=torch.channels_last)  # the format of the images
    net = make_net(
        module,
        outputs.adapt_loss(make_loss(loss, estimator._loss_smoothing, loss_params)).to(estimator._dtype),
        **{name: settings[name] for name in SETTINGS if name != "max_epochs"},
        device=estimator._device,
        callbacks=[*copy_callbacks(estimator.callbacks), *estimator._own_callbacks()],
        params=params,
        outputs=outputs,
    )
    net.precision_ = precision
    net.input_dtype_ = None if estimator._has_default_module else dtype_of(module)
    return net


def make_net(module, loss, *, optimizer, lr, weight_decay, batch_size, device, callbacks, params, outputs=None):
    """Return an initialized net; ``params`` are parameters of skorch."""
    settings = {"iterator_train": BatchLoader, "iterator_valid": BatchLoader, "iterator_train__shuffle": True}
    if optimizer == "sgd":
        settings["optimizer__momentum"] = 0.9  # without momentum, SGD trains too slowly
    optimizer = OPTIMIZERS.get(optimizer, optimizer)
    if isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer):
        check_optimizer(optimizer)
    settings |= {f"optimizer__{name}": value for name, value in accepted(optimizer, weight_decay=weight_decay).items()}
    if can_fuse(optimizer, device, params):
        settings["optimizer__fused"] = True
    net = InnerNet(
        module,
        criterion=loss,
        optimizer=optimizer,
        lr=lr,
        batch_size=batch_size,
        device=device,
        callbacks=callbacks,
        train_split=None,
        verbose=0,
        **{**settings, **params},
    )
    net.initialize()
    check_optimizer(net.optimizer_)
    net.outputs_ = outputs
    adapt_callbacks(net)
    net.module = type(module)  # otherwise a pickle would contain the weights twice
    return net


def check_optimizer(optimizer):
    """Raise an error unless it is a torch optimizer."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be a subclass of torch.optim.Optimizer, or return one, got {optimizer!r}")


def can_fuse(optimizer, device, params):
    """Return True if an optimizer has a fused form on a device, and the user's parameters do not rule it out."""
    ways = {"optimizer__fused", "optimizer__foreach", "optimizer__differentiable"}
    return optimizer in FUSED and torch.device(device).type in ("cpu", "cuda") and not ways & params.keys()


def follow_settings(net, lr, weight_decay, batch_size):
    """Apply the current settings of an estimator to its net; parameter groups keep the ratio of their rates."""
    decay, groups = getattr(net, "optimizer__weight_decay", None), net.optimizer_.param_groups
    if decay == 0 and weight_decay:  # the groups were not split so far
        groups[:] = [part for group in groups for part in split_by_decay(group, also_of=0)]
    for group in groups:
        for name in {"lr", "initial_lr", "max_lr"} & group.keys():
            group[name] *= lr / net.lr
        follows = decay is not None and not group.get("no_decay")
        if follows and group["weight_decay"] == decay:  # a user's group may have its own weight decay
            group["weight_decay"] = weight_decay
    net.lr, net.batch_size = lr, batch_size
    if decay is not None:
        net.optimizer__weight_decay = weight_decay
