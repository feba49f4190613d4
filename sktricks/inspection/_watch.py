"""Callbacks that observe the training of a copy of an estimator."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.overrides import TorchFunctionMode

from ..training._range_test import EndOfWatchError
from ..transfer.freezing._freeze import has_hook, keep_evaluating, keep_statistics
from ..transfer.freezing._layers import call_order, evaluating, own_tensors

RELUS = {torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_, torch.Tensor.relu, torch.Tensor.relu_}
SOME = 128  # rows per observation
NORMS = ("norm", "standardize")  # parts of the class names of normalization layers


class ShortTraining(Callback):
    """Record the losses of a training, and end it early.

    Parameters
    ----------
    n_steps : int
        The training ends after this many steps.
    seconds : float
        The training ends after this time at the latest.
    """

    def __init__(self, n_steps, seconds):
        self.n_steps, self.seconds = n_steps, seconds

    def initialize(self):
        """Reset the records."""
        self.losses_ = []
        return self

    def on_train_begin(self, net, X=None, **kwargs):
        """Record the rows of the training."""
        self.started_, self.dataset_ = time.monotonic(), X

    def on_batch_end(self, net, training=False, loss=None, **kwargs):
        """Record the loss of a step, and end the training if it was the last one."""
        if training:
            self.losses_.append(loss.item())
            late = time.monotonic() - self.started_ > self.seconds
            if late or len(self.losses_) >= self.n_steps or not np.isfinite(self.losses_[-1]) or self.is_over():
                raise EndOfWatchError


class UntilLearned(ShortTraining):
    """End a training when the loss is almost zero."""

    def is_over(self):
        """Return True if the loss is below a fiftieth of the first one."""
        return 0 <= self.losses_[-1] < 0.02 * self.losses_[0]


class Watch(ShortTraining):
    """Record observations of the first steps of a training."""

    def is_over(self):
        """Return True after a gradient that is not finite."""
        return self.bad_gradient_ is not None

    def initialize(self):
        """Reset the records."""
        self.sizes_, self.had_gradient_, self.bad_gradient_ = {}, set(), None
        return super().initialize()

    def on_train_begin(self, net, X=None, **kwargs):
        """Record the rows and the state of the net before the training."""
        super().on_train_begin(net, X)
        module, x = net.module_, some_inputs(net, X)
        outputs = []
        order = call_order(module, lambda: outputs.append(net.call_module(x)))
        self.outputs_ = outputs[0].detach().float().cpu().numpy()
        self.first_layer_ = next((part for name in order if own_tensors(part := module.get_submodule(name))), None)
        self.weights_ = {name: (p.min().item(), p.max().item()) for name, p in matrices(module)}
        self.batch_norms_ = [name for name, part in module.named_modules() if normalizes_by_batch(part)]
        self.trainable_ = {name for name, p in module.named_parameters() if p.requires_grad}
        self.frozen_ = {name: tensor.clone() for name, tensor in frozen_tensors(module).items()}

    def on_grad_computed(self, net, named_parameters, training=False, **kwargs):
        """Record the gradients of a step; the training ends if one is not finite."""
        sizes = {name: size(p.grad) for name, p in net.module_.named_parameters() if p.grad is not None}
        self.had_gradient_ |= sizes.keys()
        if self.bad_gradient_ is None:
            bad = next((name for name, value in sizes.items() if not np.isfinite(value)), None)
            self.bad_gradient_ = None if bad is None else (len(self.losses_), bad)
        for name, weight in matrices(net.module_):
            if name in sizes:
                self.sizes_.setdefault(name, []).append((sizes[name], size(weight)))

    def changed(self, module):
        """Return the names of frozen tensors that have changed."""
        now = frozen_tensors(module)
        return [name for name, before in self.frozen_.items() if name in now and not same(before, now[name])]


class ReLUs(TorchFunctionMode):
    """Record the fraction of dead units of each ReLU of a module, by the name of the module that calls it."""

    def __init__(self, module):
        super().__init__()
        self.inside, self.dead, self.hooks = [], {}, []
        for name, part in module.named_modules():
            self.hooks.append(part.register_forward_pre_hook(partial(self._enter, name)))
            self.hooks.append(part.register_forward_hook(self._leave))

    def _enter(self, name, module, inputs):
        self.inside.append(name)

    def _leave(self, module, inputs, outputs):
        self.inside.pop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in RELUS:
            name = (self.inside[-1] if self.inside else "") or "the module"
            self.dead[name] = min(dead_fraction(result), self.dead.get(name, 1.0))
        return result

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()
        return super().__exit__(*error)


def dead_fractions(net, dataset):
    """Return the fraction of units of each ReLU, in evaluation mode, that are zero for all of some rows."""
    x = some_inputs(net, dataset)
    with evaluating(net.module_), ReLUs(net.module_) as seen:
        net.infer({"x": x})
    return seen.dead


def dead_fraction(output):
    """Return the fraction of units (channels of images) that are zero everywhere."""
    units = output.movedim(1, -1) if output.ndim == 4 else output
    return (units.flatten(0, -2) <= 0).all(0).float().mean().item()


def accuracy_of(net, dataset):
    """Return the accuracy of a net on its rows, or the squared correlation; in training mode if that is better.

    After few steps the running statistics of BatchNorm differ from those of the rows.
    """
    y, found = dataset.y.to(net.device), []
    for training in (True, False):
        net.module_.train(training)
        with torch.no_grad():
            found.append(right(net.infer({"x": some_inputs(net, dataset)}), y))
    return max(found)


def right(outputs, y):
    """Return the accuracy for classes and several labels, the squared correlation for values."""
    if y.dtype == torch.int64:
        return (outputs.argmax(1) == y).float().mean().item()
    if outputs.shape != y.shape or not outputs.isfinite().all():
        return 0.0
    if ((y == 0) | (y == 1)).all():
        return ((outputs > 0) == (y > 0)).float().mean().item()
    together = torch.corrcoef(torch.stack([outputs.flatten().double(), y.flatten().double()]))[0, 1]
    return max(together.nan_to_num().item(), 0) ** 2


def some_inputs(net, dataset):
    """Return the first rows as inputs of the module at prediction."""
    batch = net._prepared(dataset[: min(SOME, len(dataset))], net.prepare_valid_)
    return batch[0]["x"]


def matrices(module):
    """Return the names and tensors of weight matrices, without biases and parameters of norms."""
    return [(name, p) for name, p in module.named_parameters() if p.ndim > 1]


def size(tensor):
    """Return the root mean square of a tensor."""
    return tensor.detach().float().square().mean().sqrt().item()


def normalizes_by_batch(part):
    """Return True for a BatchNorm that normalizes by the batch in training."""
    if not isinstance(part, nn.modules.batchnorm._BatchNorm) or not part.training:
        return False
    return not (has_hook(part, keep_evaluating) or has_hook(part, keep_statistics))


def frozen_tensors(module):
    """Return the parameters and buffers, by name, of layers whose parameters are all frozen."""
    found = {}
    for name, part in module.named_modules():
        own = list(part.named_parameters(recurse=False))
        if own and not any(p.requires_grad for _, p in own):
            tensors = [*own, *part.named_buffers(recurse=False)]
            found |= {f"{name}.{key}".lstrip("."): tensor.detach() for key, tensor in tensors}
    return found


def same(one, other):
    """Return True if two tensors are equal; numbers that are not finite are equal to themselves."""
    return torch.equal(one.nan_to_num(), other.nan_to_num()) if one.is_floating_point() else torch.equal(one, other)


def is_norm(layer):
    """Return True for a layer that normalizes its inputs."""
    return layer is not None and any(word in type(layer).__name__.lower() for word in NORMS)
