"""The engine that trains a linear layer in its dual form, for few rows compared with the number of features.

If the weights start at zero, gradient descent only adds multiples of rows to them: ``W = A' X`` at every step (the dual
form, Aizerman et al. 1964). A step then requires only the inner products of the rows, which are computed once for all
steps. The steps are the same, up to rounding, but take a fraction of the time.
"""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING

import torch
from torch.optim import optimizer as optimizers

from .._loader import take
from .._record import record_steps
from ._stacked_layers import has_hooks

if TYPE_CHECKING:
    from ..run import TrainingRun

MOST_ROWS = 1.5  # rows per feature; with more, the inner products take much more memory, and steps more time
AT_ONCE = 4  # multiplications of large matrices that take as long as one with a thin matrix
ORDINARY = {"dampening": 0, "nesterov": False, "maximize": False, "differentiable": False}


def supports(run: TrainingRun) -> bool:
    """Return True if a run has a dual form that takes fewer multiplications."""
    return run.is_plain and has_dual_form(run) and takes_fewer_products(run)


def has_dual_form(run):
    """Return True if :class:`DualTraining` is equivalent to the loop over batches."""
    net, module = run.net, run.module
    return (
        type(module) is torch.nn.Linear
        and module.bias is not None
        and not has_hooks(module)
        and not any(p.any() for p in module.parameters())
        and all(p.requires_grad for p in module.parameters())
        and {id(p) for group in net.optimizer_.param_groups for p in group["params"]} == {*map(id, module.parameters())}
        and run.train.x.ndim == 2
        and run.train.x.shape[1] == module.in_features
        and (net.outputs_ is None or net.outputs_.n_outputs == module.out_features)
        and net.prepare_train_ is None
        and run.clip_norm is None
        and is_plain_sgd(net.optimizer_)
        and not net.history
    )


def is_plain_sgd(optimizer):
    """Return True for torch's SGD, with or without momentum, but without other settings and hooks."""
    own = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    shared = optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks
    return (
        type(optimizer) is torch.optim.SGD
        and not any((*own, *shared))
        and "step" not in vars(optimizer)
        and all(group[name] == value for group in optimizer.param_groups for name, value in ORDINARY.items())
    )


def takes_fewer_products(run):
    """Return True if computing the inner products of all rows first is faster."""
    n_rows, linear = len(run.train), run.module
    return (
        n_rows <= MOST_ROWS * linear.in_features
        and n_rows <= AT_ONCE * 2 * run.epochs * linear.out_features  # factor 2 for forward and backward passes
    )


def train(runs: list[TrainingRun]) -> None:
    """Train a run."""
    (run,) = runs
    training = DualTraining(run)
    try:
        training.take_steps()
    finally:
        training.write_back()


class DualTraining:
    """The dual form of a training.

    Parameters
    ----------
    run : TrainingRun
        A run whose module is a linear layer with zero parameters.
    """

    def __init__(self, run):
        net, linear, rows = run.net, run.module, run.train
        self.run, self.losses = run, []
        self.x, self.y = rows.x.to(net.device), rows.y.to(net.device)
        self.weight = None if rows.weight is None else rows.weight.to(net.device)
        self.targets = class_fractions(net.criterion_, self.y, linear.out_features, self.x.dtype)
        groups = {id(p): group for group in net.optimizer_.param_groups for p in group["params"]}
        coefficients = self.x.new_zeros(linear.out_features, len(self.x))  # the matrix A of the dual form
        weight, bias = groups[id(linear.weight)], groups[id(linear.bias)]
        self.weights, self.bias, self.bias_factor = DualParameter(coefficients, weight), None, 1.0
        if is_scaled(bias, weight):  # treat the bias as the weight of a constant feature
            self.bias_factor = bias["initial_lr"] / weight["initial_lr"]
        else:
            self.bias = DualParameter(self.x.new_zeros(linear.out_features, 1), bias)

    def take_steps(self):
        """Take all steps."""
        run, bounds = self.run, self.run.loader.bounds
        run.progress.begin_epoch()
        self.products = self.x @ self.x.mT
        if self.bias is None:
            self.products += self.bias_factor
        factors = iter(run.factors)
        for order in [run.loader.draw_order().to(self.x.device) for _ in range(run.epochs)]:
            for start, stop in bounds:
                self.losses.append(self._take_step(order[start:stop], next(factors)))
            run.progress.end_epoch()

    def _take_step(self, batch, rate):
        """Take a step on a batch, at this fraction of the peak learning rate; return the loss."""
        # Outputs are (outputs, rows), since long rows are several times faster, especially in the softmax.
        outputs = self.weights.values @ self.products.index_select(0, batch).mT
        if self.bias is not None:
            outputs += self.bias.values
        loss, gradient = self._loss_and_gradient(outputs, batch)
        self.weights.step(gradient, rate, batch)
        if self.bias is not None:
            self.bias.step(gradient.sum(dim=1, keepdim=True), rate)
        return loss

    def _loss_and_gradient(self, outputs, batch):
        """Return the mean loss of a batch, and its gradient with respect to the outputs, (outputs, rows)."""
        weight = None if self.weight is None else take(self.weight, batch)
        if self.targets is not None:
            return cross_entropy(outputs, self.targets.index_select(1, batch), weight)
        inputs = {} if weight is None else {"weight": weight}
        outputs.requires_grad_()
        seen = outputs.mT.clone(memory_format=torch.contiguous_format)  # a copy, since a loss may change it in place
        loss = self.run.net.get_loss(seen, take(self.y, batch), X=inputs)
        return loss.detach(), *torch.autograd.grad(loss, outputs)

    @torch.no_grad()
    def write_back(self):
        """Write the weights, the optimizer state and the history into the net."""
        linear, optimizer = self.run.module, self.run.net.optimizer_
        for p, part, factor, primal in (
            (linear.weight, self.weights, 1.0, lambda coefficients: coefficients @ self.x),
            (linear.bias, self.bias or self.weights, self.bias_factor, lambda coefficients: coefficients.sum(dim=1)),
        ):
            p.copy_(primal(part.values) * factor)
            if part.group["momentum"]:
                optimizer.state[p]["momentum_buffer"] = primal(part.momentum)
        record_steps(self.run, [loss.item() for loss in self.losses])


def is_scaled(group, other):
    """Return True if the steps of a parameter group, and so its values, are a multiple of those of another."""
    ours, theirs = (one["initial_lr"] * one["weight_decay"] for one in (group, other))
    return other["initial_lr"] > 0 and isclose(ours, theirs) and group["momentum"] == other["momentum"]


class DualParameter:
    """Coefficients of rows, updated like a parameter by torch's SGD.

    Parameters
    ----------
    values : Tensor
        The initial zeros.
    group : dict
        The settings of the parameter group.
    """

    def __init__(self, values, group):
        self.values, self.momentum, self.group = values, torch.zeros_like(values), group

    def step(self, gradient, rate, rows=None):
        """Take a step with a gradient; if ``rows`` are given, it is zero for all others."""
        self.momentum.mul_(self.group["momentum"])
        if rows is None:
            self.momentum.add_(gradient)
        else:
            self.momentum.index_add_(1, rows, gradient)
        if self.group["weight_decay"]:
            self.momentum.add_(self.values, alpha=self.group["weight_decay"])
        self.values.sub_(self.momentum, alpha=self.group["initial_lr"] * rate)


def class_fractions(criterion, y, n_classes, dtype):
    """Return the smoothed targets of a plain cross-entropy, of shape (classes, n); None for other losses."""
    plain = type(criterion) is torch.nn.CrossEntropyLoss and criterion.weight is None and criterion.ignore_index < 0
    if not plain or has_hooks(criterion) or y.dtype != torch.int64:
        return None
    smoothing = criterion.label_smoothing
    one_hot = torch.nn.functional.one_hot(y, n_classes).mT.to(dtype, memory_format=torch.contiguous_format)
    return one_hot * (1 - smoothing) + smoothing / n_classes


def cross_entropy(outputs, targets, weight):
    """Return the mean loss of (classes, n) outputs and its gradient, twice as fast as autograd."""
    logs = outputs.log_softmax(0)
    if weight is None:
        loss = torch.dot(logs.flatten(), targets.flatten()) / -logs.shape[1]
        return loss, logs.exp_().sub_(targets).div_(logs.shape[1])
    weight = weight / logs.shape[1]
    return -(logs * targets * weight).sum(), logs.exp_().sub_(targets).mul_(weight)
