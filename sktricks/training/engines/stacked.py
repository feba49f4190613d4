"""One loop of batches for many trainings.

Each training keeps its own rows, order, length and settings; its steps are those that it would take alone. Trainings
that take more steps come first, so that those which go on are always the first rows of the stack.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ..._warnings import TrainingInterruptedWarning, warn
from .._loader import ArrayDataset, BatchLoader, take
from .._schedule import WarmupCosine
from .._update import update
from .skorch import FUSED, warn_if_slow

TINY = 1e-6  # as torch.nn.utils.clip_grad_norm_ has it


@dataclass
class Training:
    """A net that is ready for its first epoch.

    Parameters
    ----------
    net : InnerNet
    module : torch.nn.Module
        The part of it that is trained.
    dataset : ArrayDataset
    loader : BatchLoader
    epochs : int
    schedule : str, default="warmup-cosine"
    clip_norm : float or None, default=None
    """

    net: object
    module: torch.nn.Module
    dataset: ArrayDataset
    loader: BatchLoader
    epochs: int
    schedule: str = "warmup-cosine"
    clip_norm: float | None = None

    @classmethod
    def of(cls, estimator, dataset, epochs, schedule):
        """That of an estimator which has set everything up for it; without a module if no part can be taken out."""
        net, module = estimator._net, estimator._part_to_stack()
        loader = net.get_iterator(dataset, training=True)
        return cls(net, module, dataset, loader, epochs, schedule, estimator.clip_norm)

    @property
    def n_steps(self):
        """Batches of the whole training."""
        return self.epochs * len(self.loader)

    @property
    def parameters(self):
        """Those that are trained, in the order of the stack."""
        return [p for p in self.module.parameters() if p.requires_grad]

    @property
    def groups(self):
        """The optimizer's groups, with the places of the parameters instead of themselves."""
        places = {id(p): place for place, p in enumerate(self.parameters)}
        groups = self.net.optimizer_.param_groups
        return [{**group, "params": [places[id(p)] for p in group["params"]]} for group in groups]

    def order(self):
        """Trainings that compare equal can share a slice of the stack; longer ones come first."""
        return -self.n_steps, len(self.dataset), self.schedule, repr(self.groups)


class Slice:
    """Neighbours in the stack that take the same steps, with the same settings.

    Parameters
    ----------
    trainings : list of Training
    start : int
        The place of the first one in the stack.
    x_places, y_places : list of int
        Where the rows of each begin in ``x``, and in ``y`` and ``weight``.
    """

    def __init__(self, trainings, start, x_places, y_places):
        self.trainings, first = trainings, trainings[0]
        self.start, self.stop, self.n_steps = start, start + len(trainings), first.n_steps
        self.bounds = first.loader.bounds
        self.x_places, self.y_places = torch.tensor(x_places).unsqueeze(1), torch.tensor(y_places).unsqueeze(1)
        self.factor = WarmupCosine(self.n_steps) if first.schedule == "warmup-cosine" else None

    def size(self, step):
        """Rows of a batch."""
        start, stop = self.bounds[step % len(self.bounds)]
        return stop - start

    def batch(self, step, data):
        """x (trainings, rows, ...), y and weight (trainings, rows) or None, of a step."""
        number = step % len(self.bounds)
        if number == 0:
            self.orders = torch.stack([training.loader.draw_order() for training in self.trainings])
        rows = self.orders[:, slice(*self.bounds[number])]
        x, y, weight = (
            None if tensor is None else take(tensor, (rows + places).flatten()).unflatten(0, rows.shape)
            for tensor, places in zip(data, (self.x_places, self.y_places, self.y_places), strict=True)
        )
        if self.trainings[0].net.prepare_train_ is None:
            return x, y, weight
        weights = [None] * len(x) if weight is None else weight
        batches = zip(self.trainings, x, y, weights, strict=True)
        parts = zip(*[training.net.prepare_train_(*own) for training, *own in batches], strict=True)
        return tuple(None if part[0] is None else torch.stack(part) for part in parts)

    def rate(self, base, step):
        """The learning rate of a step."""
        return base if self.factor is None else base * self.factor(step)

    def prepare_step(self, gradients, step):
        """Hand the optimizer the gradients of these nets, parameter by parameter, and the rates of a step."""
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient[self.start : self.stop]
        for group in self.groups:
            group["lr"] = self.rate(group.setdefault("initial_lr", group["lr"]), step)


def train_together(stack, trainings):
    """Train all nets of a stack, whose order is that of the trainings; returns the whole epochs of each.

    Ctrl-C ends all of them with usable nets and a warning.
    """
    slices, data = cut(trainings)
    optimizer = make_optimizer(stack, slices)
    losses, active, started = [], len(slices), time.perf_counter()
    epochs, n_batches = trainings[0].epochs, len(slices[0].bounds)
    try:
        for step in range(slices[0].n_steps):
            while slices[active - 1].n_steps == step:
                active -= 1
                for group in slices[active].groups:
                    group["params"] = []
                stack.keep(slices[active - 1].stop)
            losses.append(take_step(stack, slices[:active], data, step, optimizer))
            if step + 1 == n_batches:
                warn_if_slow((time.perf_counter() - started) * epochs, epochs)
    except KeyboardInterrupt:
        warn(
            f"fit of {len(trainings)} nets was interrupted after {len(losses) // n_batches} of {epochs} epochs; the "
            "nets keep what they had learned",
            TrainingInterruptedWarning,
        )
    stack.write_back()
    return hand_out(stack, slices, optimizer, [step.tolist() for step in losses])


def cut(trainings):
    """The slices, and x, y and weight of all trainings one after the other."""
    x, x_places = join([training.dataset.x for training in trainings], shared=True)
    y, y_places = join([training.dataset.y for training in trainings])
    weight = None
    if any(training.dataset.weight is not None for training in trainings):
        weight, _ = join([row_weights(training.dataset) for training in trainings])
    slices, start = [], 0
    for stop in range(1, len(trainings) + 1):
        if stop == len(trainings) or trainings[stop].order() != trainings[start].order():
            slices.append(Slice(trainings[start:stop], start, x_places[start:stop], y_places[start:stop]))
            start = stop
    return slices, (x, y, weight)


def join(tensors, shared=False):
    """Tensors one after the other, and where each begins; if ``shared``, those of the same memory only once."""
    known, parts, places, end = {}, [], [], 0
    for number, tensor in enumerate(tensors):
        key = memory_of(tensor) if shared else number
        if key not in known:
            known[key], end = end, end + len(tensor)
            parts.append(tensor)
        places.append(known[key])
    return parts[0] if len(parts) == 1 else torch.cat(parts), places


def memory_of(tensor):
    """Equal exactly if two tensors that are both in use show the same numbers in the same memory."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def row_weights(dataset):
    """The weight of each row, ones where none are given."""
    return torch.ones(len(dataset)) if dataset.weight is None else dataset.weight


def make_optimizer(stack, slices):
    """The nets' own optimizer, with the groups of each slice, over the memory of the stack."""
    groups = []
    for part in slices:
        part.parameters = [torch.nn.Parameter(stacked[part.start : part.stop]) for stacked in stack.parameters]
        own = part.trainings[0].groups
        groups += [{**group, "params": [part.parameters[place] for place in group["params"]]} for group in own]
    cls = type(slices[0].trainings[0].net.optimizer_)
    if cls in (*FUSED, torch.optim.SGD) and not any(group.get("differentiable") for group in groups):
        optimizer = cls([{**group, "fused": True, "foreach": False} for group in groups], fused=True)
    else:
        optimizer = cls(groups)
    rest = iter(optimizer.param_groups)
    for part in slices:
        part.groups = list(islice(rest, len(part.trainings[0].groups)))
    return optimizer


def take_step(stack, slices, data, step, optimizer):
    """An update of each active net; returns their losses, (nets,)."""
    net, clip_norm = slices[0].trainings[0].net, slices[0].trainings[0].clip_norm
    sizes = [part.size(step) for part in slices]
    batches = [[pad(own, max(sizes)) for own in part.batch(step, data)] for part in slices]
    x, y, weight = batches[0] if len(batches) == 1 else map(concatenate, zip(*batches, strict=True))
    losses = row_losses(net.criterion_, stack(x.to(net.device)), y.to(net.device))
    if weight is not None:
        losses = losses * weight.to(net.device)
    means = mean_losses(losses, [size for part, size in zip(slices, sizes, strict=True) for _ in part.trainings])
    gradients = stack.gradients(means.sum())
    if clip_norm is not None:
        clip_rows(gradients, clip_norm)
    for part in slices:
        part.prepare_step(gradients, step)
    update(optimizer)
    return means.detach()


def pad(tensor, size):
    """Batches (nets, rows, ...) filled up to ``size`` rows with their first one."""
    if tensor is None or tensor.shape[1] == size:
        return tensor
    return torch.cat([tensor, tensor[:, :1].expand(-1, size - tensor.shape[1], *tensor.shape[2:])], dim=1)


def concatenate(tensors):
    """The batches of all slices; None where there are none."""
    return None if tensors[0] is None else torch.cat(tensors)


def row_losses(criterion, outputs, y):
    """The loss of each row, (nets, rows), of outputs (nets, rows, outputs)."""
    losses = criterion(outputs.flatten(0, 1), y.flatten(0, 1))
    return (losses if losses.ndim == 1 else losses.mean(dim=1)).unflatten(0, outputs.shape[:2])


def mean_losses(losses, sizes):
    """The mean loss of each net, of as many of its rows as are its own and do not fill up."""
    if min(sizes) == max(sizes):
        return losses.mean(dim=1)
    counts = torch.tensor(sizes, device=losses.device)
    own = torch.arange(losses.shape[1], device=losses.device) < counts.unsqueeze(1)
    return (losses * own).sum(dim=1) / counts


def clip_rows(gradients, clip_norm):
    """Scale the gradients of each net down to the norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
    norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factors = (clip_norm / (norms + TINY)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.reshape(-1, *[1] * (gradient.ndim - 1)))


# -- afterwards --------------------------------------------------------------------------------------------------------


def hand_out(stack, slices, optimizer, losses):
    """Give each net the history and the state of the optimizer that it would have alone; returns whole epochs."""
    n_epochs = []
    for part in slices:
        for row, training in enumerate(part.trainings):
            for p, rows in zip(training.parameters, part.parameters, strict=True):
                state = optimizer.state[rows].items()
                training.net.optimizer_.state[p] = {name: state_of(value, row) for name, value in state}
            its_own = [step[part.start + row] for step in losses[: part.n_steps]]
            n_epochs.append(note_training(training, part, its_own))
    return n_epochs


def note_training(training, part, losses):
    """Give a net the history and the rates that its own loop would leave; returns the number of whole epochs."""
    net, epochs = training.net, epochs_of(part, losses, part.groups[0])
    net.history.extend(epochs)
    dict(net.callbacks_)["train_loss"].best_score_ = min((epoch["train_loss"] for epoch in epochs), default=np.inf)
    if part.factor is not None:
        for group, its in zip(net.optimizer_.param_groups, part.groups, strict=True):
            group |= {"initial_lr": its["initial_lr"], "lr": part.rate(its["initial_lr"], len(losses))}
    return len(epochs)


def epochs_of(part, losses, group):
    """What skorch's history says of the whole epochs of a training with these losses of its batches."""
    epochs, best, n_batches = [], np.inf, len(part.bounds)
    sizes = [part.size(step) for step in range(n_batches)]
    whole = np.array(losses[: len(losses) // n_batches * n_batches]).reshape(-1, n_batches)
    means = (whole * sizes).sum(axis=1) / np.sum(sizes)  # as np.average, which takes its time for each
    for number, (its_own, loss) in enumerate(zip(whole.tolist(), means, strict=True)):
        batches = [{"train_loss": one, "train_batch_size": size} for one, size in zip(its_own, sizes, strict=True)]
        steps = range(number * n_batches, (number + 1) * n_batches)
        rates = [part.rate(group.get("initial_lr", group["lr"]), step) for step in steps]
        if part.factor is not None:
            for batch, rate in zip(batches, rates, strict=True):
                batch["event_lr"] = rate
        about = {"epoch": number + 1, "lr": rates[0], "train_batch_count": n_batches}
        epochs.append({"batches": batches, **about, "train_loss": loss, "train_loss_best": bool(loss < best)})
        best = min(best, loss)
    return epochs


def state_of(value, row):
    """What is one net's in the state of a parameter: its row; of the number of steps, which is all nets', a copy."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.clone() if value.ndim == 0 else value[row].clone()
