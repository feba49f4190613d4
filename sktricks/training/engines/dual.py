"""A linear layer of which rows are not many more than features, trained in terms of its rows.

Where the weights begin at zero, gradient descent adds multiples of rows to them and nothing else: ``W = A' X`` at every
step (the dual form, Aizerman et al. 1964). What a step needs of the rows are then their products with each other,
which are found once for all steps. The steps are the same, up to rounding, and cost a fraction.
"""

from __future__ import annotations

import time
from contextlib import suppress

import torch
from skorch.callbacks import PassthroughScoring

from .._divergence import check_training, infinite_buffers
from .._fit_many import SCHEDULES
from .._loader import BatchLoader, take
from .._update import is_watched
from ._stacked_layers import has_hooks
from .skorch import choose_reduction, warn_if_slow, warn_of_interruption
from .stacked import Slice, note_training

MOST_ROWS = 1.5  # for each feature: of more, the products fill much more memory than the rows, and steps take longer
AT_ONCE = 4  # how many products of many rows with many take as long as one of many with few
CALLBACKS = {"valid_loss", "own_progress", "own_schedule"}  # which need not be there at each batch
ORDINARY = {"dampening": 0, "nesterov": False, "maximize": False, "differentiable": False}


def is_quicker_by_rows(training):
    """Whether a training of a ``torch.nn.Linear`` has a dual form, and takes fewer products in it."""
    return has_dual_form(training) and takes_fewer_products(training)


def has_dual_form(training):
    """Whether :class:`Dual` does what the loop over batches would do, and nobody wants to be told of a batch."""
    net, loader, callbacks = training.net, training.loader, dict(training.net.callbacks_)
    return (
        type(loader) is BatchLoader
        and loader.shuffle
        and training.dataset.x.ndim == 2
        and net.prepare_train_ is None
        and training.schedule in SCHEDULES
        and callbacks.keys() - CALLBACKS == {"train_loss"}
        and {type(callbacks.get(name)) for name in ("train_loss", "valid_loss")} <= {PassthroughScoring, type(None)}
        and not callbacks["own_progress"].show
        and type(net.optimizer_) is torch.optim.SGD
        and not is_watched(net.optimizer_)
        and all(group[name] == value for group in net.optimizer_.param_groups for name, value in ORDINARY.items())
        and not list(net.criterion_.parameters())
        and not net.history
        and not any(p.any() for p in training.module.parameters())
    )


def takes_fewer_products(training):
    """Whether it pays to multiply all rows with each other first."""
    n_rows, linear = len(training.dataset), training.module
    return (
        n_rows <= MOST_ROWS * linear.in_features
        and n_rows <= AT_ONCE * 2 * training.epochs * linear.out_features  # forwards and backwards
    )


def train_by_rows(training):
    """Do what :func:`~sktricks.training.engines.skorch.run_epochs` does; returns the number of whole epochs."""
    choose_reduction(training.net, training.dataset)
    dual, known = Dual(training), infinite_buffers(training.net)
    with suppress(KeyboardInterrupt):
        dual.descend()
    n_epochs = dual.write_back()
    check_training(training.net, training.dataset, known)
    if len(dual.losses) < training.n_steps:
        warn_of_interruption(n_epochs, training.epochs)
    return n_epochs


class Dual:
    """The dual form of a training.

    Parameters
    ----------
    training : Training
        Of a linear layer whose parameters are zero.
    """

    def __init__(self, training):
        net, linear, dataset = training.net, training.module, training.dataset
        self.training, self.losses = training, []
        self.x, self.y = dataset.x.to(net.device), dataset.y.to(net.device)
        self.weight = None if dataset.weight is None else dataset.weight.to(net.device)
        self.shares = class_shares(net.criterion_, self.y, linear.out_features, self.x.dtype)
        self.steps = Slice([training], 0, [0], [0])
        self.steps.groups = net.optimizer_.param_groups
        groups = {id(p): group for group in self.steps.groups for p in group["params"]}
        how_often = self.x.new_zeros(linear.out_features, len(self.x))  # each row is in the weights of each output
        self.weights, self.bias = Descent(how_often, groups[id(linear.weight)]), None
        if groups[id(linear.bias)] is not groups[id(linear.weight)]:  # else it is the weight of a feature that is 1
            self.bias = Descent(self.x.new_zeros(linear.out_features, 1), groups[id(linear.bias)])

    def descend(self):
        """Take all steps."""
        bounds, epochs, started = self.steps.bounds, self.training.epochs, time.perf_counter()
        self.products = self.x @ self.x.mT
        if self.bias is None:
            self.products += 1
        for step in range(self.training.n_steps):
            number = step % len(bounds)
            if number == 0:
                order = self.training.loader.draw_order().to(self.x.device)
            self.losses.append(self._take_step(order[slice(*bounds[number])], self.steps.rate(1.0, step)))
            if step + 1 == len(bounds):
                warn_if_slow((time.perf_counter() - started) * epochs, epochs)

    def _take_step(self, batch, rate):
        """Go down the slope of the loss of a batch of rows, which is returned, at this share of the highest rate."""
        # an output a row, since few of many are several times as fast that way round, the softmax above all
        outputs = self.weights.values @ take(self.products, batch).mT
        if self.bias is not None:
            outputs += self.bias.values
        loss, slope = self._loss_and_slope(outputs, batch)
        self.weights.go_on(slope, rate, batch)
        if self.bias is not None:
            self.bias.go_on(slope.sum(dim=1, keepdim=True), rate)
        return loss

    def _loss_and_slope(self, outputs, batch):
        """The mean loss of a batch, and its derivative by the (outputs, rows)."""
        weight = None if self.weight is None else take(self.weight, batch)
        if self.shares is not None:
            return cross_entropy(outputs, self.shares.index_select(1, batch), weight)
        about = {} if weight is None else {"weight": weight}
        outputs.requires_grad_()
        seen = outputs.mT.clone(memory_format=torch.contiguous_format)  # as from a layer: a loss may change it in place
        loss = self.training.net.get_loss(seen, take(self.y, batch), X=about)
        return loss.detach(), *torch.autograd.grad(loss, outputs)

    @torch.no_grad()
    def write_back(self):
        """Give the net what was learned; returns the number of whole epochs."""
        linear, optimizer = self.training.module, self.training.net.optimizer_
        for p, part, of in (
            (linear.weight, self.weights, lambda how_often: how_often @ self.x),
            (linear.bias, self.bias or self.weights, lambda how_often: how_often.sum(dim=1)),
        ):
            p.copy_(of(part.values))
            if part.group["momentum"]:
                optimizer.state[p]["momentum_buffer"] = of(part.speed)
        return note_training(self.training, self.steps, [loss.item() for loss in self.losses])


class Descent:
    """Numbers that go down a slope as torch's SGD has them do it.

    Parameters
    ----------
    values : Tensor
        Zeros.
    group : dict
        Of the optimizer.
    """

    def __init__(self, values, group):
        self.values, self.speed, self.group = values, torch.zeros_like(values), group

    def go_on(self, slope, rate, rows=None):
        """Take a step down a slope, which is zero in other ``rows`` if some are given."""
        self.speed.mul_(self.group["momentum"])
        if rows is None:
            self.speed.add_(slope)
        else:
            self.speed.index_add_(1, rows, slope)
        if self.group["weight_decay"]:
            self.speed.add_(self.values, alpha=self.group["weight_decay"])
        self.values.sub_(self.speed, alpha=self.group["initial_lr"] * rate)


def class_shares(criterion, y, n_classes, dtype):
    """How much of each row is of each class to a plain cross-entropy, (classes, n); None for another loss."""
    plain = type(criterion) is torch.nn.CrossEntropyLoss and criterion.weight is None and criterion.ignore_index < 0
    if not plain or has_hooks(criterion) or y.dtype != torch.int64:
        return None
    smoothing = criterion.label_smoothing
    one_hot = torch.nn.functional.one_hot(y, n_classes).mT.to(dtype, memory_format=torch.contiguous_format)
    return one_hot * (1 - smoothing) + smoothing / n_classes


def cross_entropy(outputs, shares, weight):
    """The mean loss of (classes, n) outputs and its derivative by them, which torch takes twice as long to find."""
    logs = outputs.log_softmax(0)
    if weight is None:
        loss = torch.dot(logs.flatten(), shares.flatten()) / -logs.shape[1]
        return loss, logs.exp_().sub_(shares).div_(logs.shape[1])
    weight = weight / logs.shape[1]
    return -(logs * shares * weight).sum(), logs.exp_().sub_(shares).mul_(weight)
