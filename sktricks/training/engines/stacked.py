"""The engine that trains many small nets of one architecture together, with stacked parameters.

For a small net, the overhead of the loop, the calls and the optimizer exceeds the time of its matrix products; stacked
nets share this overhead. Each run keeps its own rows, order, length and settings, and takes the same steps as alone, up
to rounding. Runs are sorted by the number of steps, the longest first, so that the runs still in training are always
the first rows of the stack.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import torch

from .._loader import take
from .._make_net import FUSED
from .._randomness import kept_randomness
from .._record import record_steps
from ._stack import Stack, can_stack, does_the_same

if TYPE_CHECKING:
    from ..run import TrainingRun

# Above these limits, the overhead is small compared with the matrix products.
MAX_WORK = 4e7  # multiplications per batch of one net
MAX_BATCH = 2**19  # bytes per batch of one net
TINY = 1e-6  # as in torch.nn.utils.clip_grad_norm_


def supports(run: TrainingRun) -> bool:
    """Return True if a net can be stacked, and is then trained faster."""
    net, module, rows = run.net, run.module, run.train
    return (
        run.is_plain
        and can_stack(module)
        and isinstance(rows.x, torch.Tensor)
        and {id(p) for group in net.optimizer_.param_groups for p in group["params"]} == {id(p) for p in run.parameters}
        and getattr(net.criterion_, "ignore_index", -1) < 0
        and sum(p.numel() for p in run.parameters) * n_batch_rows(run) <= MAX_WORK
        and n_batch_bytes(run) <= MAX_BATCH
    )


def n_batch_rows(run):
    """Return the number of rows of a batch."""
    return min(run.net.batch_size, len(run.train))


def n_batch_bytes(run):
    """Return the number of bytes in the rows of a batch."""
    return run.train.x[0].nbytes * n_batch_rows(run)


def shapes_of(run):
    """Return the shapes and dtypes of all parameters, buffers and batches, which are equal for runs in one stack."""
    x, y = run.train.x, run.train.y
    tensors = run.module.state_dict().items()
    return (
        tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors),
        (x.shape[1:], x.dtype, y.shape[1:], y.dtype, run.net.batch_size, str(run.net.device)),
    )


def can_share(runs: list[TrainingRun]) -> bool:
    """Return True if, for a few rows, the stack of runs with equal shapes has the same outputs as each module."""
    for run in runs:
        run.net.module_.train()
    with kept_randomness(torch.device(runs[0].net.device)):  # a module that draws random numbers may do so here
        return does_the_same(Stack([run.module for run in runs]), first_rows(runs), runs[0].net.outputs_.n_outputs)


def first_rows(runs):
    """Return a few prepared rows of each run, (runs, rows, ...)."""
    n = min(8, *[len(run.train) for run in runs])
    rows = []
    for run in runs:
        x, prepare = run.train.x[:n], run.net.prepare_valid_
        rows.append((x if prepare is None else prepare(x)[0]).to(run.net.device))
    return torch.stack(rows)


def order(run: TrainingRun):
    """Return the sort key of a run; runs with equal keys have the same number of steps and the same settings."""
    return -run.n_steps, len(run.train), run.schedule, repr(indexed_groups(run))


def indexed_groups(run):
    """Return the parameter groups of the optimizer, with indices instead of parameters."""
    indices = {id(p): index for index, p in enumerate(run.parameters)}
    groups = run.net.optimizer_.param_groups
    return [{**group, "params": [indices[id(p)] for p in group["params"]]} for group in groups]


def train(runs: list[TrainingRun]) -> None:
    """Train runs, sorted by :func:`order`."""
    stack = Stack([run.module for run in runs])
    groups = make_groups(runs, stack)
    optimizer = make_optimizer(groups)
    losses, active, n_batches = [], len(groups), len(runs[0].loader)
    runs[0].progress.begin_epoch()
    try:
        for step in range(runs[0].n_steps):
            while groups[active - 1].n_steps == step:
                active -= 1
                groups[active].release()
                stack.keep(groups[active - 1].stop)
            losses.append(take_step(stack, groups[:active], step, optimizer))
            if (step + 1) % n_batches == 0:
                runs[0].progress.end_epoch()
    finally:
        stack.write_back()
        losses = [step.tolist() for step in losses]
        for group in groups:
            group.write_back(optimizer, losses)


@dataclass
class RunGroup:
    """Adjacent runs in the stack with the same number of steps and the same optimizer settings.

    Parameters
    ----------
    runs : list of TrainingRun
    start : int
        Index of the first run in the stack.
    parameters : list of torch.nn.Parameter
        Views of the stack's parameters.
    weighted : bool
        True if any run in the stack has weighted rows.
    """

    runs: list[TrainingRun]
    start: int
    parameters: list[torch.nn.Parameter]
    weighted: bool
    optimizer_groups: list[dict] = field(default_factory=list)

    def __post_init__(self):
        self.stop, self.n_steps = self.start + len(self.runs), self.runs[0].n_steps
        self.bounds = self.runs[0].loader.bounds

    def batch(self, step):
        """Return the prepared x of shape (runs, rows, ...), y and weights (or None) of a step."""
        number = step % len(self.bounds)
        if number == 0:
            self.epoch = stack_parts([self._shuffled(run) for run in self.runs])
        batch = [None if rows is None else rows[:, slice(*self.bounds[number])] for rows in self.epoch]
        if self.runs[0].net.prepare_train_ is None:
            return batch
        own = zip(*(rows if rows is not None else [None] * len(self.runs) for rows in batch), strict=True)
        return stack_parts([run.net.prepare_train_(*rows) for run, rows in zip(self.runs, own, strict=True)])

    def _shuffled(self, run):
        """Return x, y and weights of all rows of a run, in the order of the next epoch."""
        order, rows = run.loader.draw_order(), run.train
        weight = torch.ones(len(rows)) if self.weighted and rows.weight is None else rows.weight
        return [None if part is None else take(part, order) for part in (rows.x, rows.y, weight)]

    def set_gradients(self, gradients, step):
        """Set the gradients of these nets, and the learning rates of a step, in the optimizer."""
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient[self.start : self.stop]
        for group in self.optimizer_groups:
            group["lr"] = group["initial_lr"] * self.runs[0].factors[step]

    def release(self):
        """Remove the parameters of these nets from the optimizer."""
        for group in self.optimizer_groups:
            group["params"] = []

    def write_back(self, optimizer, losses):
        """Write the history and the optimizer state into each net, as if it had been trained alone."""
        for row, run in enumerate(self.runs):
            for p, rows in zip(run.parameters, self.parameters, strict=True):
                state = optimizer.state[rows].items()
                run.net.optimizer_.state[p] = {name: state_of(value, row) for name, value in state}
            record_steps(run, [step[self.start + row] for step in losses[: self.n_steps]])


def make_groups(runs, stack):
    """Return the groups of runs whose keys are equal."""
    groups, start, weighted = [], 0, any(run.train.weight is not None for run in runs)
    for stop in range(1, len(runs) + 1):
        if stop == len(runs) or order(runs[stop]) != order(runs[start]):
            parameters = [torch.nn.Parameter(stacked[start:stop]) for stacked in stack.parameters]
            groups.append(RunGroup(runs[start:stop], start, parameters, weighted))
            start = stop
    return groups


def make_optimizer(groups):
    """Return an optimizer of the nets' class for the stacked parameters, with the settings of each group."""
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
    """Return the optimizer state of one net: its row of a tensor, or a copy of the shared number of steps."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.clone() if value.ndim == 0 else value[row].clone()


# -- a step ------------------------------------------------------------------------------------------------------------


def take_step(stack, groups, step, optimizer):
    """Update each active net; return their losses, (nets,)."""
    net, clip_norm = groups[0].runs[0].net, groups[0].runs[0].clip_norm
    batches = [group.batch(step) for group in groups]
    sizes = [x.shape[1] for x, _, _ in batches]
    if len(batches) > 1:
        batches = zip(*([pad(rows, max(sizes)) for rows in batch] for batch in batches), strict=True)
        batches = [[None if rows[0] is None else torch.cat(rows) for rows in batches]]
    x, y, weight = batches[0]
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


def stack_parts(parts):
    """Stack x, y and weights of several runs; weights are None if there are none."""
    return [None if rows[0] is None else torch.stack(rows) for rows in zip(*parts, strict=True)]


def pad(rows, size):
    """Return batches (nets, rows, ...) padded to ``size`` rows with their first row."""
    if rows is None or rows.shape[1] == size:
        return rows
    return torch.cat([rows, rows[:, :1].expand(-1, size - rows.shape[1], *rows.shape[2:])], dim=1)


def row_losses(criterion, outputs, y):
    """Return the loss of each row, (nets, rows), for outputs (nets, rows, outputs)."""
    losses = criterion(outputs.flatten(0, 1), y.flatten(0, 1))
    return (losses if losses.ndim == 1 else losses.mean(dim=1)).unflatten(0, outputs.shape[:2])


def mean_losses(losses, sizes):
    """Return the mean loss of each net over its own rows, without padding."""
    if min(sizes) == max(sizes):
        return losses.mean(dim=1)
    counts = torch.tensor(sizes, device=losses.device)
    own = torch.arange(losses.shape[1], device=losses.device) < counts.unsqueeze(1)
    return (losses * own).sum(dim=1) / counts


def clip_rows(gradients, clip_norm):
    """Clip the gradients of each net to a norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
    norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factors = (clip_norm / (norms + TINY)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.reshape(-1, *[1] * (gradient.ndim - 1)))
