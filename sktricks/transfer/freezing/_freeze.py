"""Freeze the first layers of a net bit-exactly: parameters, buffers, dropout and optimizer state.

With only ``requires_grad = False``, the statistics of BatchNorm still change, dropout is active, and an optimizer with
momentum or weight decay may still change the parameters. Therefore a hook puts a frozen module in evaluation mode
before each forward pass, and its parameters are removed from the optimizer. A module with both frozen and trainable
layers, such as the net itself, is in evaluation mode while its own ``forward`` runs, since functional dropout and its
own buffers belong to the frozen part; its submodules keep their modes.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from skorch.utils import to_tensor

from .._layer_rates import home_group
from ._layers import call_order, check_trainable, find_boundary, layers_of

# Smallest batch sizes for which batch statistics are usable, and for which they are better than those of pretraining.
SOME_ROWS, MANY_ROWS = 16, 128


def freeze_layers(
    module: torch.nn.Module, freeze_until: int | float | str | None, X: ArrayLike | torch.Tensor | None = None
) -> list[str]:
    """Freeze the first layers of a torch module bit-exactly.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place: frozen parameters no longer require gradients; frozen BatchNorm, dropout and similar layers
        stay in evaluation mode even after ``module.train()``. The ``forward`` of a module with both frozen and
        trainable layers, such as the net itself, also runs in evaluation mode: its own buffers do not change, and
        functional dropout is off.
    freeze_until : int, float, str or None
        Where freezing ends, exclusive as in ``range``: a number of layers in execution order, a fraction of them, or
        the name of the first module that stays trainable. If no module is named ``"head"``, this name means the last
        linear or convolution layer. 0 or None thaws everything.
    X : array-like or torch.Tensor, default=None
        A batch for a forward pass of ``module``, which shows the execution order of its layers. None uses the order of
        registration.

    Returns
    -------
    frozen : list of str
        The names of the frozen layers.

    Examples
    --------
    >>> from torch import nn
    >>> from sktricks import freeze_layers
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> freeze_layers(net, "head")
    ['0', '1']
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got an object of type {type(module).__name__}")
    if X is None:
        order = [name for name, _ in module.named_modules()]
    else:
        x = X if isinstance(X, torch.Tensor) else torch.from_numpy(np.array(X))
        order = call_order(module, lambda: module(x))
    layers = layers_of(module, order)
    n_frozen = find_boundary(layers, freeze_until)
    set_frozen(module, order, n_frozen)
    return [layer.name for layer in layers[:n_frozen]]


class FreezeLayers(Callback):
    """A callback that freezes the first layers of any skorch net, and optionally thaws them later.

    Parameters
    ----------
    freeze_until : int, float, str or None
        Where freezing ends, as in :func:`freeze_layers`. The order of layers is that of a forward pass of the first
        rows of the training data.
    unfreeze_at : int or dict, default=None
        Epoch at the beginning of which everything thaws, counted from 1 over all calls of ``fit`` and ``partial_fit``;
        or a schedule such as ``{5: 0.5, 10: 0}``, which maps epochs to new values of ``freeze_until``. None means
        never.

    Attributes
    ----------
    layers_ : list of str
        The names of all layers, in execution order.
    n_frozen_ : int
        Number of layers that are currently frozen, counted from the first.

    See Also
    --------
    freeze_layers : Freeze the first layers of a bare module.
    layer_table : Print the layers of a net, and which are frozen.
    FineTuneClassifier : Its parameter ``freeze_until`` does this for pretrained nets.

    Examples
    --------
    >>> from sktricks import FreezeLayers, NetClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> frozen = FreezeLayers(freeze_until="head", unfreeze_at=3)
    >>> net = NetClassifier(callbacks=[frozen], max_epochs=4, random_state=0).fit(X, y)
    """

    def __init__(self, freeze_until: int | float | str | None, unfreeze_at: int | dict | None = None):
        self.freeze_until = freeze_until
        self.unfreeze_at = unfreeze_at

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Find the layers and freeze.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        X, y : object, default=None
            The training data, whose first batch shows the order of layers.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        schedule = check_schedule(self.unfreeze_at)
        self.order_ = self._find_order(net, X, y)
        layers = layers_of(net.module_, self.order_)
        self.layers_ = [layer.name for layer in layers]
        boundaries = [check_trainable(layers, where) for where in (self.freeze_until, *schedule.values())]
        self.boundaries_ = dict(zip((1, *schedule), boundaries, strict=True))
        self._freeze(net, len(net.history) + 1)

    def _find_order(self, net, X, y):
        return call_order(net.module_, lambda: call_with_first_batch(net, X, y))

    def on_epoch_begin(self, net, **kwargs):
        """Move the boundary if the schedule says so.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        self._freeze(net, len(net.history))
        net.history.record("event_frozen", self.n_frozen_)

    def _freeze(self, net, epoch):
        epochs = list(self.boundaries_)
        self.n_frozen_ = self.boundaries_[epochs[max(0, bisect_right(epochs, epoch) - 1)]]
        optimizers = [getattr(net, f"{name}_") for name in getattr(net, "_optimizers", ["optimizer"])]
        set_frozen(net.module_, self.order_, self.n_frozen_, optimizers)


class ThawBackbone(FreezeLayers):
    """Freeze and thaw the backbone of a fine-tuned net, with layers in the execution order of the backbone."""

    def _find_order(self, net, X, y):
        inner = net.module_.backbone.layer_order
        inner = [f"backbone.model.{name}" if name else "backbone.model" for name in inner]
        outer = [name for name, _ in net.module_.named_modules() if name not in set(inner)]
        start = outer.index("backbone") + 1
        return [*outer[:start], *inner, *outer[start:]]


def check_schedule(unfreeze_at):
    """Return ``unfreeze_at`` as a dict of boundaries by epoch, in ascending order."""
    schedule = {} if unfreeze_at is None else unfreeze_at
    if isinstance(schedule, Integral) and not isinstance(schedule, bool):
        schedule = {int(schedule): 0}
    if not isinstance(schedule, dict) or not all(isinstance(k, Integral) and k >= 1 for k in schedule):
        raise ValueError(
            "unfreeze_at must be an epoch, counted from 1, or a dict from epochs to values of freeze_until, got "
            f"{unfreeze_at!r}"
        )
    return dict(sorted(schedule.items()))


def call_with_first_batch(net, X, y):
    """Run a forward pass of a skorch net on the first batch of its training data."""
    batch = next(iter(net.get_iterator(net.get_dataset(X, y), training=False)))
    prepare = getattr(net, "_prepared", None)
    batch = batch if prepare is None else prepare(batch, net.prepare_valid_)
    net.infer(to_tensor(unpack_data(batch)[0], device=net.device))


# -- hooks -------------------------------------------------------------------------------------------------------------


def keep_evaluating(module, inputs):
    """Hook before the forward pass of a frozen module; a function, since a closure cannot be pickled."""
    if module.training:
        module.eval()
        module._held_from_training = True


def keep_statistics(module, inputs):
    """Hook with the same effect for a trainable BatchNorm; thawing does not remove it."""
    keep_evaluating(module, inputs)


def pause_training(module, inputs):
    """Hook before the forward pass of a partly frozen module, to run its own code in evaluation mode."""
    if module.training:
        module.training, module._training_paused = False, True


def resume_training(module, inputs, output):
    """Hook after the forward pass of a partly frozen module, called even if it fails."""
    if vars(module).pop("_training_paused", False):
        module.training = True


def batch_norms(layers):
    """Return the BatchNorms with running statistics among the layers."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    return [part for _, part in layers if isinstance(part, kind) and part.track_running_stats]


def learns_statistics(norm, n_rows):
    """Return True if a trainable BatchNorm uses the statistics of batches of ``n_rows``; fewer suffice if untrained."""
    return n_rows >= (SOME_ROWS if was_untrained(norm) else MANY_ROWS)


def was_untrained(norm):
    """Return True if a BatchNorm was untrained at the first call of this function."""
    if not hasattr(norm, "_came_blank"):
        norm._came_blank = not norm.running_mean.any() and bool((norm.running_var == 1).all())
    return norm._came_blank


def choose_statistics(norms, n_rows):
    """Make BatchNorms use batch statistics if batches of ``n_rows`` are large enough, otherwise running statistics."""
    for norm in norms:
        if learns_statistics(norm, n_rows):
            remove_hook(norm._forward_pre_hooks, keep_statistics)
        else:
            hold_in_evaluation(norm, keep_statistics)


@contextmanager
def batch_statistics(norms):
    """Make BatchNorms in evaluation mode use batch statistics within the context, without updating running ones."""
    kept = [(norm, norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, mean, variance in kept:
            norm.running_mean, norm.running_var = mean, variance


def statistics_of(norms):
    """Return the statistics of BatchNorms in training: ``"batch"``, ``"running"``, or None if all are frozen."""
    trained = [norm for norm in norms if not has_hook(norm, keep_evaluating)]
    if not trained:
        return None
    return "running" if any(has_hook(norm, keep_statistics) for norm in trained) else "batch"


def set_frozen(module, order, n_frozen, optimizers=()):
    """Freeze the first ``n_frozen`` layers of ``order`` and thaw all others."""
    layers = layers_of(module, order)
    frozen, all_layers = {layer.module for layer in layers[:n_frozen]}, {layer.module for layer in layers}
    first_trainable = order.index(layers[n_frozen].name) if n_frozen < len(layers) else len(order)
    training = module.training or getattr(module, "_held_from_training", False)
    for index, name in enumerate(order):
        part = module.get_submodule(name)
        inside = all_layers.intersection(part.modules())
        begins_frozen = n_frozen > 0 and index < first_trainable
        # A module without layers, such as dropout, is frozen if it is first called before any trainable layer.
        if n_frozen > 0 and (inside <= frozen if inside else begins_frozen):
            hold_in_evaluation(part)
        else:
            release(part, training)
        if begins_frozen and inside & frozen and not inside <= frozen:
            hold_own_code(part)
        else:
            release_own_code(part)
    for layer in layers:
        set_trainable(layer.module, layer.module not in frozen)
    for optimizer in optimizers:
        update_optimizer(optimizer, layers, n_frozen)


def hold_in_evaluation(module, hook=keep_evaluating):
    """Add the hook to a module unless it already has it."""
    if not has_hook(module, hook):
        module.register_forward_pre_hook(hook)


def release(module, training):
    """Remove the hook of a module; if there was one, put the module in the mode of the net."""
    if remove_hook(module._forward_pre_hooks, keep_evaluating):
        module.train(training)


def hold_own_code(module):
    """Add the two hooks to a partly frozen module unless it already has them."""
    if not has_hook(module, pause_training):
        module.register_forward_pre_hook(pause_training)
        module.register_forward_hook(resume_training, always_call=True)


def release_own_code(module):
    """Remove these two hooks."""
    remove_hook(module._forward_pre_hooks, pause_training)
    for key in remove_hook(module._forward_hooks, resume_training):
        module._forward_hooks_always_called.pop(key, None)


def has_hook(module, hook):
    """Return True if a module has a hook."""
    return hook in module._forward_pre_hooks.values()


def remove_hook(hooks, hook):
    """Remove a function from the hooks of a module, and return its keys."""
    keys = [key for key, value in hooks.items() if value is hook]
    for key in keys:
        del hooks[key]
    return keys


def set_trainable(module, trainable):
    """Enable or disable gradients of a module's own parameters; those disabled by the user stay disabled."""
    parameters = dict(module.named_parameters(recurse=False))
    if trainable:
        for name in module.__dict__.pop("_frozen_names", ()):
            parameters[name].requires_grad_(True)
        return
    names = {name for name, parameter in parameters.items() if parameter.requires_grad}
    module._frozen_names = names | getattr(module, "_frozen_names", set())
    for parameter in parameters.values():
        parameter.requires_grad_(False)
        parameter.grad = None


def update_optimizer(optimizer, layers, n_frozen):
    """Remove frozen parameters and their state from an optimizer, and add thawed ones."""
    frozen = {id(p) for layer in layers[:n_frozen] for p in layer.module.parameters(recurse=False)}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) in frozen:
                optimizer.state.pop(parameter, None)
        group["params"] = [p for p in group["params"] if id(p) not in frozen]
    present = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for layer in layers[n_frozen:]:
        thawed = [p for p in layer.module.parameters(recurse=False) if p.requires_grad and id(p) not in present]
        for parameter in thawed:
            home_group(optimizer, layer.module, parameter)["params"].append(parameter)
        present |= {id(p) for p in thawed}


# -- restoring it in another copy of the module ------------------------------------------------------------------------


def frozen_state(module):
    """Return the state of a module from :func:`set_frozen` and training, except its numbers, as plain values."""
    parts, parameters = dict(module.named_modules()), dict(module.named_parameters())
    return {
        "held": [name for name, part in parts.items() if has_hook(part, keep_evaluating)],
        "held_own_code": [name for name, part in parts.items() if has_hook(part, pause_training)],
        "held_to_statistics": [name for name, part in parts.items() if has_hook(part, keep_statistics)],
        "held_from_training": [name for name, part in parts.items() if hasattr(part, "_held_from_training")],
        "came_blank": {name: part._came_blank for name, part in parts.items() if hasattr(part, "_came_blank")},
        "frozen": {name: sorted(part._frozen_names) for name, part in parts.items() if hasattr(part, "_frozen_names")},
        "training": [name for name, part in parts.items() if part.training],
        "trainable": [name for name, parameter in parameters.items() if parameter.requires_grad],
    }


def restore_frozen(module, state):
    """Set the state returned by :func:`frozen_state` in a module of the same architecture."""
    training, trainable = set(state["training"]), set(state["trainable"])
    for part in module.modules():
        release(part, part.training)
        remove_hook(part._forward_pre_hooks, keep_statistics)
        release_own_code(part)
    for name, part in module.named_modules():
        part.training = name in training
    for name in state["held"]:
        hold_in_evaluation(module.get_submodule(name))
    for name in state["held_own_code"]:
        hold_own_code(module.get_submodule(name))
    for name in state["held_to_statistics"]:
        hold_in_evaluation(module.get_submodule(name), keep_statistics)
    for name in state["held_from_training"]:
        module.get_submodule(name)._held_from_training = True
    for name, blank in state["came_blank"].items():
        module.get_submodule(name)._came_blank = blank
    for name, names in state["frozen"].items():
        module.get_submodule(name)._frozen_names = set(names)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trainable)
