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

from .._loader import take
from .._make_net import FUSED
from .._randomness import kept_randomness
from .._record import record_steps
from ._stack import Stack, can_stack, does_the_same

if TYPE_CHECKING:
    from ..run import TrainingRun

# With more, what surrounds the products of a net is little beside them.
MAX_WORK = 4e7  # products of a batch of one net
MAX_BATCH = 2**19  # bytes of a batch of one net
TINY = 1e-6  # as in torch.nn.utils.clip_grad_norm_


def supports(run: TrainingRun) -> bool:
    """Return True if a net can be stacked, and gains by it."""
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
    """Neighbors in the stack that take the same steps, with the same settings of the optimizer.

    Parameters
    ----------
    runs : list of TrainingRun
    start : int
        Index of the first run in the stack.
    parameters : list of torch.nn.Parameter
        Rows of the stack's parameters, in the same memory.
    weighted : bool
        True if rows of any run in the stack have weights.
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
        """Return x of shape (runs, rows, ...), y and weights (or None) of a step, as modules and losses take them."""
        number = step % len(self.bounds)
        if number == 0:
            self.epoch = stack_parts([self._shuffled(run) for run in self.runs])
        batch = [None if rows is None else rows[:, slice(*self.bounds[number])] for rows in self.epoch]
        if self.runs[0].net.prepare_train_ is None:
            return batch
        own = zip(*(rows if rows is not None else [None] * len(self.runs) for rows in batch), strict=True)
        return stack_parts([run.net.prepare_train_(*rows) for run, rows in zip(self.runs, own, strict=True)])

    def _shuffled(self, run):
        """Return x, y and the weights of all rows of a run in the order of the next epoch."""
        order, rows = run.loader.draw_order(), run.train
        weight = torch.ones(len(rows)) if self.weighted and rows.weight is None else rows.weight
        return [None if part is None else take(part, order) for part in (rows.x, rows.y, weight)]

    def set_gradients(self, gradients, step):
        """Give the optimizer the gradients of these nets, and the learning rates of a step."""
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient[self.start : self.stop]
        for group in self.optimizer_groups:
            group["lr"] = group["initial_lr"] * self.runs[0].factors[step]

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
    """Return x, y and weights of several runs in one tensor each; None if there are no weights."""
    return [None if rows[0] is None else torch.stack(rows) for rows in zip(*parts, strict=True)]


def pad(rows, size):
    """Return batches (nets, rows, ...) filled up to ``size`` rows with their first one."""
    if rows is None or rows.shape[1] == size:
        return rows
    return torch.cat([rows, rows[:, :1].expand(-1, size - rows.shape[1], *rows.shape[2:])], dim=1)


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
