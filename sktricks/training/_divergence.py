"""Raise an error if the loss, weights or outputs of a training are no longer finite; used by all engines."""

from __future__ import annotations

import math

import torch
from skorch.callbacks import Callback

from .._errors import DivergenceError

SOME = 32  # number of rows whose outputs are checked
LARGE = 1e4  # outputs are not checked below this sum of weights, since modules may count or record their calls


class CheckLosses(Callback):
    """End a training after the first epoch whose training or validation loss is not finite."""

    def on_train_begin(self, net, **kwargs):
        self.n_before_ = len(net.history)

    def on_epoch_end(self, net, **kwargs):
        for key, name in {"train_loss": "training loss", "valid_loss": "validation loss"}.items():
            total = sum(batch.get(key, 0.0) for batch in net.history[-1]["batches"])
            check_loss(net, total, len(net.history) - self.n_before_, name)


def check_loss(net, loss, epoch, name="training loss"):
    """Raise a :class:`DivergenceError` unless the loss of an epoch is finite.

    Parameters
    ----------
    net : InnerNet
    loss : float
    epoch : int
        The number of the epoch in this training, counted from 1.
    name : str, default="training loss"
    """
    if not math.isfinite(loss):
        raise diverged(net, epoch, f"the {name} is {loss:g}")


def check_trained(net, dataset, epoch, known=frozenset()):
    """Raise a :class:`DivergenceError` unless the tensors of a net and its outputs for some rows are finite.

    The last step may have broken weights that gave a finite loss before it.

    Parameters
    ----------
    net : InnerNet
    dataset : ArrayDataset
        The rows that it was trained on.
    epoch : int
        The number of the last epoch of this training.
    known : collection of str
        Names returned by :func:`infinite_buffers` before the training, for example of a mask of -inf.
    """
    total = total_of(net)
    bad = [] if math.isfinite(total) else [name for name in infinite_tensors(net) if name not in known]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise diverged(net, epoch, f"the weights {bad[0]}{more} are not finite")
    if not total < LARGE and not (some_outputs(net, dataset) < math.inf).all():  # a logit of -inf is a probability of 0
        raise diverged(net, epoch, "the weights are so large that the outputs are not finite")


def infinite_buffers(net):
    """Return the names of the buffers with NaN or infinity."""
    named = {f"{part}.{name}": buffer for part, module in parts_of(net) for name, buffer in module.named_buffers()}
    return [name for name, buffer in named.items() if not buffer.isfinite().all()]


def infinite_tensors(net):
    """Return the names of the trained tensors with NaN or infinity."""
    return [name for name, tensor in trained_tensors(net) if not tensor.isfinite().all()]


def total_of(net):
    """Return the absolute sum of all trained tensors; if it is finite, so are all of them."""
    sums = [tensor.detach().sum() for _, tensor in trained_tensors(net)]
    return float(torch.stack(sums).sum().abs()) if sums else 0.0


def trained_tensors(net):
    """Yield the names and tensors that a training may change: trained parameters and floating-point buffers."""
    for part, module in parts_of(net):
        yield from ((f"{part}.{name}", p) for name, p in module.named_parameters() if p.requires_grad)
        yield from ((f"{part}.{name}", b) for name, b in module.named_buffers() if b.is_floating_point())


def parts_of(net):
    """Return the modules of a net, with their names."""
    return ("module", net.module_), ("criterion", net.criterion_)


@torch.no_grad()
def some_outputs(net, dataset):
    """Return the outputs for the first rows, as at prediction time."""
    inputs, _ = net._prepared(dataset[: min(SOME, len(dataset))], net.prepare_valid_)
    net._set_training(False)
    return net.infer(inputs)


def diverged(net, epoch, evidence):
    """Return the error for a training that diverged."""
    return DivergenceError(
        f"lr={net.lr:.3g}: the training diverged in epoch {epoch}, where {evidence}. Use a smaller lr (find_lr "
        "suggests one), or clip the gradients with clip_norm=1.0; diagnose finds other causes, such as a module or a "
        "loss that returns NaN"
    )
