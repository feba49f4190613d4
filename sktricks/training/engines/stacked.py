"""One loop of batches for many small nets of one architecture, whose parameters lie side by side in a stack.

What surrounds a small net costs more than its products: the loop, the calls, the optimizer. Stacked nets share it. Each
run keeps its own rows, order, length and settings; its steps are those that it would take alone, up to rounding. Runs
with more steps come first, so that those still in training are always the first rows of the stack.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import torch

from .._loader import BatchLoader, take
from .._make_net import FUSED
from .._randomness import kept_randomness
from .._record import record_steps
from ._stack import Stack, can_stack, does_the_same

if TYPE_CHECKING:
    from ..run import TrainingRun

SCHEDULES = {"warmup-cosine", "constant"}
CALLBACKS = {"train_loss", "valid_loss", "own_check", "own_progress", "own_schedule", "own_clipping"}
# With more, what surrounds the products of a net is little beside them.
MAX_WORK = 4e7  # products of a batch of one net
MAX_BATCH = 2**19  # bytes of a batch of one net
TINY = 1e-6  # as in torch.nn.utils.clip_grad_norm_


def supports(run: TrainingRun) -> bool:
    """Return True if a net can be stacked, and gains by it."""
    net, module, rows = run.net, run.module, run.train
    if module is None or run.valid is not None or not can_stack(module) or not isinstance(rows.x, torch.Tensor):
        return False
    return (
        run.schedule in SCHEDULES
        and type(run.loader) is BatchLoader
        and run.loader.shuffle
        and {name for name, _ in net.callbacks_} <= CALLBACKS
        and {id(p) for group in net.optimizer_.param_groups for p in group["params"]} == {id(p) for p in run.parameters}
        and getattr(net.criterion_, "ignore_index", -1) < 0
        and not list(net.criterion_.parameters())
        and (rows.x.ndim == 2 or str(net.device) == "cpu")  # a GPU halves the precision of images
        and sum(p.numel() for p in run.parameters) * n_batch_rows(run) <= MAX_WORK
        and n_batch_bytes(run) <= MAX_BATCH
    )


def n_batch_rows(run):
    """Return the number of rows of a batch."""
    return min(run.net.batch_size, len(run.train))


def n_batch_bytes(run):
    """Return the size of the rows of a batch."""
    return run.train.x[0].nbytes * n_batch_rows(run)


def shapes_of(run):
    """Return shapes and dtypes of all parameters, buffers and batches: runs that share a stack have the same."""
    x, y = run.train.x, run.train.y
    tensors = run.module.state_dict().items()
    return (
        tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors),
        (x.shape[1:], x.dtype, y.shape[1:], y.dtype, run.net.batch_size, str(run.net.device)),
    )


def can_share(runs: list[TrainingRun]) -> bool:
    """Return True if the stack of runs with the same shapes does what each module does, found out on a few rows."""
    for run in runs:
        run.net.module_.train()
    with kept_randomness(torch.device(runs[0].net.device)):  # a module that draws is found out by doing so
        return does_the_same(Stack([run.module for run in runs]), first_rows(runs), runs[0].net.outputs_.n_outputs)


def first_rows(runs):
    """Return a few rows of each run, as the modules take them, (runs, rows, ...)."""
    n = min(8, *[len(run.train) for run in runs])
    rows = []
    for run in runs:
        x, prepare = run.train.x[:n], run.net.prepare_valid_
        rows.append((x if prepare is None else prepare(x)[0]).to(run.net.device))
    return torch.stack(rows)


def order(run: TrainingRun):
    """Return the key to sort runs by; runs with equal keys take the same steps with the same settings."""
    return -run.n_steps, len(run.train), run.schedule, repr(indexed_groups(run))


def indexed_groups(run):
    """Return the groups of the optimizer, with indices of parameters instead of parameters."""
    indices = {id(p): index for index, p in enumerate(run.parameters)}
    groups = run.net.optimizer_.param_groups
    return [{**group, "params": [indices[id(p)] for p in group["params"]]} for group in groups]


def train(runs: list[TrainingRun]) -> None:
    """Train runs, sorted by :func:`order`."""
    for run in runs:
        run.net.criterion_.reduction = "none"
    stack, rows = Stack([run.module for run in runs]), join_rows(runs)
    groups = make_groups(runs, stack, rows)
    optimizer = make_optimizer(groups)
    losses, active, n_batches = [], len(groups), len(runs[0].loader)
    runs[0].progress.begin_epoch()
    try:
        for step in range(runs[0].n_steps):
            while groups[active - 1].n_steps == step:
                active -= 1
                groups[active].release()
                stack.keep(groups[active - 1].stop)
            losses.append(take_step(stack, groups[:active], rows, step, optimizer))
            if (step + 1) % n_batches == 0:
                runs[0].progress.end_epoch()
    finally:
        stack.write_back()
        losses = [step.tolist() for step in losses]
        for group in groups:
            group.write_back(optimizer, losses)


# -- rows --------------------------------------------------------------------------------------------------------------


@dataclass
class JoinedRows:
    """Rows of all runs one after the other; rows in the same memory stand there once.

    Parameters
    ----------
    x, y : Tensor
    weight : Tensor or None
    x_starts, y_starts : list of int
        Where the rows of each run begin in ``x``, and in ``y`` and ``weight``.
    """

    x: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor | None
    x_starts: list[int]
    y_starts: list[int]


def join_rows(runs):
    """Return the rows of all runs in one tensor each for x, y and the weights."""
    x, x_starts = join([run.train.x for run in runs], shared=True)
    y, y_starts = join([run.train.y for run in runs])
    weight = None
    if any(run.train.weight is not None for run in runs):
        weight, _ = join([row_weights(run.train) for run in runs])
    return JoinedRows(x, y, weight, x_starts, y_starts)


def join(tensors, shared=False):
    """Return tensors one after the other, and where each begins; if ``shared``, those in the same memory only once."""
    known, parts, starts, end = {}, [], [], 0
    for number, tensor in enumerate(tensors):
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if shared else number
        if key not in known:
            known[key], end = end, end + len(tensor)
            parts.append(tensor)
        starts.append(known[key])
    return parts[0] if len(parts) == 1 else torch.cat(parts), starts


def row_weights(dataset):
    """Return the weight of each row, ones if none are given."""
    return torch.ones(len(dataset)) if dataset.weight is None else dataset.weight


# -- runs with the same settings ---------------------------------------------------------------------------------------


@dataclass
class RunGroup:
    """Neighbors in the stack that take the same steps, with the same settings.

    Parameters
    ----------
    runs : list of TrainingRun
    start : int
        Index of the first run in the stack.
    x_starts, y_starts : Tensor of shape (runs, 1)
        Where the rows of each begin; see :class:`JoinedRows`.
    parameters : list of torch.nn.Parameter
        Rows of the stack's parameters, in the same memory.
    """

    runs: list[TrainingRun]
    start: int
    x_starts: torch.Tensor
    y_starts: torch.Tensor
    parameters: list[torch.nn.Parameter]
    optimizer_groups: list[dict] = field(default_factory=list)

    def __post_init__(self):
        self.stop = self.start + len(self.runs)
        self.n_steps, self.bounds = self.runs[0].n_steps, self.runs[0].loader.bounds

    def size(self, step):
        """Return the number of rows of a batch."""
        start, stop = self.bounds[step % len(self.bounds)]
        return stop - start

    def batch(self, step, rows):
        """Return x of shape (runs, rows, ...), y and weight of shape (runs, rows) or None, of a step."""
        number = step % len(self.bounds)
        if number == 0:
            self.orders = torch.stack([run.loader.draw_order() for run in self.runs])
        indices = self.orders[:, slice(*self.bounds[number])]
        x, y, weight = (
            None if tensor is None else take(tensor, (indices + starts).flatten()).unflatten(0, indices.shape)
            for tensor, starts in ((rows.x, self.x_starts), (rows.y, self.y_starts), (rows.weight, self.y_starts))
        )
        if self.runs[0].net.prepare_train_ is None:
            return x, y, weight
        weights = [None] * len(x) if weight is None else weight
        batches = zip(self.runs, x, y, weights, strict=True)
        parts = zip(*[run.net.prepare_train_(*own) for run, *own in batches], strict=True)
        return tuple(None if part[0] is None else torch.stack(part) for part in parts)

    def set_gradients(self, gradients, step):
        """Give the optimizer the gradients of these nets, and the learning rates of a step."""
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient[self.start : self.stop]
        for group in self.optimizer_groups:
            group["lr"] = self.runs[0].rate(group["initial_lr"], step)

    def release(self):
        """Take the parameters of these nets out of the optimizer."""
        for group in self.optimizer_groups:
            group["params"] = []

    def write_back(self, optimizer, losses):
        """Give each net the history and the state of the optimizer that it would have alone."""
        for row, run in enumerate(self.runs):
            for p, rows in zip(run.parameters, self.parameters, strict=True):
                state = optimizer.state[rows].items()
                run.net.optimizer_.state[p] = {name: state_of(value, row) for name, value in state}
            record_steps(run, [step[self.start + row] for step in losses[: self.n_steps]])


def make_groups(runs, stack, rows):
    """Return the groups of runs whose keys are equal."""
    groups, start = [], 0
    for stop in range(1, len(runs) + 1):
        if stop == len(runs) or order(runs[stop]) != order(runs[start]):
            own = slice(start, stop)
            parameters = [torch.nn.Parameter(stacked[own]) for stacked in stack.parameters]
            starts = (torch.tensor(all_[own]).unsqueeze(1) for all_ in (rows.x_starts, rows.y_starts))
            groups.append(RunGroup(runs[own], start, *starts, parameters))
            start = stop
    return groups


def make_optimizer(groups):
    """Return the nets' own optimizer, with the settings of each group, over the memory of the stack."""
    settings = []
    for group in groups:
        own = indexed_groups(group.runs[0])
        settings += [{**one, "params": [group.parameters[index] for index in one["params"]]} for one in own]
    cls = type(groups[0].runs[0].net.optimizer_)
    if cls in (*FUSED, torch.optim.SGD) and not any(one.get("differentiable") for one in settings):
        optimizer = cls([{**one, "fused": True, "foreach": False} for one in settings], fused=True)
    else:
        optimizer = cls(settings)
    rest = iter(optimizer.param_groups)
    for group in groups:
        group.optimizer_groups = list(islice(rest, len(group.runs[0].net.optimizer_.param_groups)))
    return optimizer


def state_of(value, row):
    """Return the state of one net's parameter: its row, or a copy of the number of steps, which all nets share."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.clone() if value.ndim == 0 else value[row].clone()


# -- a step ------------------------------------------------------------------------------------------------------------


def take_step(stack, groups, rows, step, optimizer):
    """Update each active net; return their losses, (nets,)."""
    net, clip_norm = groups[0].runs[0].net, groups[0].runs[0].clip_norm
    sizes = [group.size(step) for group in groups]
    batches = [[pad(own, max(sizes)) for own in group.batch(step, rows)] for group in groups]
    x, y, weight = batches[0] if len(batches) == 1 else map(concatenate, zip(*batches, strict=True))
    losses = row_losses(net.criterion_, stack(x.to(net.device)), y.to(net.device))
    if weight is not None:
        losses = losses * weight.to(net.device)
    means = mean_losses(losses, [size for group, size in zip(groups, sizes, strict=True) for _ in group.runs])
    gradients = stack.gradients(means.sum())
    if clip_norm is not None:
        clip_rows(gradients, clip_norm)
    for group in groups:
        group.set_gradients(gradients, step)
    optimizer.step()
    return means.detach()


def pad(tensor, size):
    """Return batches (nets, rows, ...) filled up to ``size`` rows with their first one."""
    if tensor is None or tensor.shape[1] == size:
        return tensor
    return torch.cat([tensor, tensor[:, :1].expand(-1, size - tensor.shape[1], *tensor.shape[2:])], dim=1)


def concatenate(tensors):
    """Return the batches of all groups in one tensor; None if there are none."""
    return None if tensors[0] is None else torch.cat(tensors)


def row_losses(criterion, outputs, y):
    """Return the loss of each row, (nets, rows), for outputs (nets, rows, outputs)."""
    losses = criterion(outputs.flatten(0, 1), y.flatten(0, 1))
    return (losses if losses.ndim == 1 else losses.mean(dim=1)).unflatten(0, outputs.shape[:2])


def mean_losses(losses, sizes):
    """Return the mean loss of each net over its own rows, without those that fill up."""
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
