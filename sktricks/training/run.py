"""Prepare a training run, and train it by one of three engines.

``fit``, ``partial_fit``, ``warm_start``, nets that are trained together, range tests and probes all use this module::

    with open_run(estimator, rows, fresh=True) as run:  # tensors, module, optimizer, schedule, callbacks
        train([run])                                    # by the first engine that supports it

An engine is a module with two functions, ``supports(run) -> bool`` and ``train(runs) -> None``. It trains the modules
in place and writes the history to each ``run.net.history``; if Ctrl-C interrupts it, it leaves usable nets and lets the
KeyboardInterrupt pass. Everything else is done once, here: the seed, the lock on torch's generators, the order of
preparation, the schedule, the progress bar, the warnings, and the check for divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state
from skorch.callbacks import EarlyStopping, GradientNormClipping, PassthroughScoring
from torch import nn

from .._kept_params import describe, describe_params
from .._warnings import TrainingInterruptedWarning, warn
from ._augmented_shape import check_augmented_shape
from ._average import AverageWeights
from ._curves import ValidationScore
from ._divergence import CheckLosses, check_loss, check_trained, infinite_buffers
from ._epochs import Epochs, ReportEpochs
from ._inner_net import InnerNet, computes_elsewhere
from ._inputs import as_tensor, pick_device
from ._loader import ArrayDataset, BatchLoader, batch_bounds
from ._magnitude import check_table, check_targets
from ._make_net import build_net, choose_dtype, follow_settings
from ._precision import FLOAT32, choose_precision
from ._randomness import draws_nothing, own_randomness
from ._rows import Rows
from ._schedule import WarmupCosine, highest_rates, make_schedule
from ._snapshot import kept_on_failure
from .engines import dual, skorch

if TYPE_CHECKING:
    from ._base_net import BaseNet

STEPWISE = ("warmup-cosine", "constant")  # schedules whose rates depend only on the step
PLAIN = {"train_loss", "valid_loss", "own_check", "own_progress", "own_schedule", "own_clipping"}  # callbacks
FIRST = ("own_score", "own_check")  # called before the user's callbacks, which may use the score and the losses


@dataclass
class TrainingRun:
    """A training that is ready for its first epoch; creating it sets the callbacks and the row order of the net.

    Parameters
    ----------
    net : InnerNet
        The skorch net: ``module_``, ``criterion_``, ``optimizer_``, ``callbacks_`` and ``history``.
    module : torch.nn.Module or None
        The part of the net that is trained, which takes rows of ``train.x``. None if the net cannot be split there.
    train : ArrayDataset
        Rows to train on, as tensors.
    valid : ArrayDataset or None, default=None
        Rows for validation. Their loss is monitored instead of that of the training rows.
    epochs : int
    seed : int
        Seed for shuffling the rows.
    schedule : {"warmup-cosine", "one-cycle", "plateau", "constant"}, default="warmup-cosine"
    average : {"ema", "swa"} or None, default=None
    clip_norm : float or None, default=None
    score : callable or None, default=None
        Scoring function for outputs and targets, used for the validation rows in each epoch.
    patience : int, default=10
        Number of epochs without a lower loss after which the training ends, if ``stops`` is True.
    stops : bool, default=False
    verbose : int, default=0
        1 shows a bar of the epochs, 2 logs a line for each.

    Attributes
    ----------
    n_epochs_before : int
        Number of epochs of earlier trainings of this net.
    infinite : list of str
        Buffers that are not finite before the training, such as a mask of -inf.
    progress : Epochs
    """

    net: InnerNet
    module: nn.Module | None
    train: ArrayDataset
    valid: ArrayDataset | None = None
    _: KW_ONLY
    epochs: int
    seed: int
    schedule: str = "warmup-cosine"
    average: str | None = None
    clip_norm: float | None = None
    score: Callable[[torch.Tensor, torch.Tensor], float] | None = None
    patience: int = 10
    stops: bool = False
    verbose: int = 0

    def __post_init__(self):
        self.n_epochs_before = len(self.net.history)
        self.infinite = infinite_buffers(self.net)
        self.progress = Epochs(self.epochs, self.verbose)
        if self.net.iterator_train is BatchLoader:
            self.net.iterator_train__seed = self.seed
        self._set_callbacks()

    def _set_callbacks(self):
        """Replace the callbacks of an earlier training."""
        n_batches = len(batch_bounds(len(self.train), self.net.batch_size))
        n_steps = self.epochs * n_batches
        rates, watched = highest_rates(self.net.optimizer_), "train_loss" if self.valid is None else "valid_loss"
        own = {
            "own_score": None if self.score is None else ValidationScore(self.score),
            "own_check": CheckLosses(),
            "own_progress": ReportEpochs(self.progress, n_batches),
            "own_schedule": make_schedule(self.schedule, n_steps, rates, watched, max(1, self.patience // 2)),
            "own_average": None if self.average is None else AverageWeights(self.average, n_epochs=self.epochs),
            "own_clipping": None if self.clip_norm is None else GradientNormClipping(self.clip_norm),
            "own_stopping": EarlyStopping(patience=self.patience, load_best=True) if self.stops else None,
        }
        users = [(name, callback) for name, callback in self.net.callbacks_ if name not in own]
        own = [(name, callback.initialize()) for name, callback in own.items() if callback is not None]
        self.net.callbacks_ = sorted(users + own, key=lambda item: item[0] not in FIRST)

    @cached_property
    def loader(self):
        """The loader of batches of training rows."""
        return self.net.get_iterator(self.train, training=True)

    @property
    def n_steps(self) -> int:
        """Number of steps of the whole training."""
        return self.epochs * len(self.loader)

    @property
    def called_module(self) -> nn.Module:
        """The module that is called in the training."""
        return self.net.module_ if self.module is None else self.module

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters of the module."""
        return [p for p in self.called_module.parameters() if p.requires_grad]

    @cached_property
    def factors(self) -> list[float]:
        """Fractions of the peak learning rate in each step and after the last, for the stacked and dual engines."""
        factor = WarmupCosine(self.n_steps) if self.schedule == "warmup-cosine" else lambda step: 1.0
        return [factor(step) for step in range(self.n_steps + 1)]

    @property
    def is_plain(self) -> bool:
        """True if engines may replace skorch's loop: there is no validation, and no callback needs the batches."""
        callbacks = dict(self.net.callbacks_)
        losses = {type(callbacks.get(name)) for name in ("train_loss", "valid_loss")}
        return (
            self.valid is None
            and self.module is not None
            and self.net.precision_ == FLOAT32
            and self.schedule in STEPWISE
            and "train_loss" in callbacks
            and callbacks.keys() <= PLAIN
            and losses <= {PassthroughScoring, type(None)}
            and type(self.loader) is BatchLoader
            and self.loader.shuffle
            and not list(self.net.criterion_.parameters())
        )

    @property
    def n_whole_epochs(self) -> int:
        """Number of completed epochs of this training."""
        return sum("train_loss" in epoch for epoch in self.net.history[self.n_epochs_before :])

    def check(self) -> None:
        """Raise a DivergenceError unless the losses, the weights and some outputs are finite."""
        for number, epoch in enumerate(self.net.history[self.n_epochs_before :], start=1):
            check_loss(self.net, epoch.get("train_loss", 0.0), number)
        check_trained(self.net, self.train, max(1, self.n_whole_epochs), self.infinite)


# -- before the first epoch --------------------------------------------------------------------------------------------


@contextmanager
def open_run(estimator: BaseNet, rows: Rows, *, fresh: bool, epochs: int | None = None) -> Iterator[TrainingRun]:
    """Prepare a training.

    Within the context, torch's generators are seeded for it, and an error restores a net that was already trained.

    Parameters
    ----------
    estimator : BaseNet
    rows : Rows
        Rows as returned by ``check_rows``.
    fresh : bool
        True for a new net, False to continue with the existing one.
    epochs : int, default=None
        Number of epochs at a constant learning rate, without averaging. None means a whole ``fit`` according to the
        parameters.
    """
    rows = learn_rows(estimator, rows, fresh)
    seed = (estimator._seed + estimator.n_iter_) % 2**31
    with kept_on_failure(None if fresh else estimator._net), ExitStack() as lock:
        lock.enter_context(own_randomness(seed, estimator._device))
        run = prepare(estimator, rows, seed, fresh=fresh, epochs=epochs)
        if draws_nothing(run.net, run.called_module, estimator.augmenter):
            lock.close()  # from now on, other threads may use torch's generators
        yield run


def learn_rows(estimator: BaseNet, rows: Rows, fresh: bool) -> Rows:
    """Return the rows with positive weight; a fresh net learns its targets, seed and device."""
    rows = rows.without_zero_weights()
    if fresh:
        if hasattr(estimator, "pruning_"):
            del estimator.pruning_  # the new net has all channels
        estimator._learn_targets(rows.y, rows.weight)
        estimator.n_iter_ = 0
        estimator._seed = check_random_state(estimator.random_state).randint(2**31 - 1)
        images = rows.X.ndim == 4
        estimator._device = pick_device(estimator.device, images=images)
        estimator.precision_ = choose_precision(estimator.precision, estimator._device, images)
    return rows


def prepare(estimator: BaseNet, rows: Rows, seed: int, *, fresh: bool, epochs: int | None = None) -> TrainingRun:
    """Return a training that is ready for its first epoch; see :func:`open_run`.

    The hooks are called in the order in which :mod:`~sktricks.training._hooks` defines them.
    """
    former = None if fresh else estimator._augmenter
    if fresh or "augmenter" not in estimator._kept_params:
        # Predictions use a copy, so that later changes of the augmenter or its parameters do not affect them.
        estimator._augmenter = None if estimator.augmenter is None else clone(estimator.augmenter)
        if not fresh and describe(former) != describe(estimator.augmenter):
            estimator._draw_views(rows.X.shape[1:] if rows.X.ndim == 4 else (1, rows.X.shape[1], 1))
    estimator._start(rows, fresh=fresh)
    settings = estimator._settings()
    if fresh:
        estimator._dtype = choose_dtype(estimator, len(rows), settings["batch_size"])
    estimator.lr_, estimator.batch_size_ = settings["lr"], settings["batch_size"]
    train = make_dataset(estimator, rows, mixable_targets(estimator, rows.y), fresh=fresh)
    if fresh:
        estimator._built_with = describe_params(estimator, estimator._kept_params)
        estimator._net = build_net(estimator, train)
        estimator._adapt_net(estimator._net, train)
    else:
        follow_settings(estimator._net, *(settings[name] for name in ("lr", "weight_decay", "batch_size")))
        estimator._follow_targets(rows.y)
    net = estimator._net
    check_table(estimator, rows.X)
    check_targets(rows.y, train.y)
    net.prepare_train_, net.prepare_valid_ = estimator._make_preparation(seed)
    check_augmented_shape(estimator, train.x, former)
    augments_images = estimator.augmenter is not None and train.x.ndim == 4
    net.prepares_ahead_ = augments_images and computes_elsewhere(estimator._device)
    estimator._before_epochs(len(train))
    valid = prepare_validation(estimator, rows.valid)
    if epochs is None:
        how = {"epochs": settings["max_epochs"], "schedule": estimator.schedule, "average": estimator.average}
    else:
        how = {"epochs": epochs, "schedule": "constant"}
    return TrainingRun(
        net,
        estimator._trained_part(),
        train,
        valid,
        seed=seed,
        clip_norm=estimator.clip_norm,
        score=None if valid is None else estimator._scoring(),
        patience=estimator.n_iter_no_change,
        stops=valid is not None and estimator.early_stopping,
        verbose=estimator.verbose,
        **how,
    )


def make_dataset(estimator: BaseNet, rows: Rows, y, **how) -> ArrayDataset:
    """Return rows as tensors, with the given targets."""
    x = estimator._read_inputs(rows.X, **how)
    y = as_tensor(estimator._scale_targets(y), None if y.dtype == np.int64 else estimator._dtype)
    return ArrayDataset(x, y, None if rows.weight is None else as_tensor(rows.weight, estimator._dtype))


def mixable_targets(estimator: BaseNet, y):
    """Return classes as probabilities if the augmenter mixes rows and their targets."""
    if estimator.augmenter is None or estimator.augmenter._mixing_target() is None or y.dtype != np.int64:
        return y
    return np.eye(estimator._n_outputs)[y]


def prepare_validation(estimator: BaseNet, rows: Rows | None) -> ArrayDataset | None:
    """Return the validation rows as tensors; None if there are none."""
    if rows is None:
        return None
    check_table(estimator, rows.X)
    valid = make_dataset(estimator, rows, rows.y, held_out=True)
    check_targets(rows.y, valid.y)
    return valid


# -- the epochs --------------------------------------------------------------------------------------------------------


def train(runs: list[TrainingRun], engine=None, *, interruptible: bool = True) -> None:
    """Train runs by an engine, or one run by the first engine that supports it.

    Ctrl-C ends all of them with usable nets and a warning; if not ``interruptible``, the KeyboardInterrupt passes.
    """
    if engine is None:
        engine = next(one for one in (dual, skorch) if one.supports(runs[0]))
    for run in runs:
        run.net.module_.train()  # a submodule may be in evaluation mode even if the module itself is not
    try:
        with runs[0].progress.shown("fit" if len(runs) == 1 else f"fit of {len(runs)} nets"):
            engine.train(runs)
    except KeyboardInterrupt:
        if not interruptible:
            raise
        warn_of_interruption(runs)
    finally:
        release_memory(torch.device(runs[0].net.device))


def warn_of_interruption(runs):
    """Warn that nets keep what they learned before Ctrl-C."""
    one = len(runs) == 1
    warn(
        f"fit{'' if one else f' of {len(runs)} nets'} was interrupted after {runs[0].n_whole_epochs} of "
        f"{runs[0].epochs} epochs; {'the net keeps what it' if one else 'the nets keep what they'} had learned",
        TrainingInterruptedWarning,
    )


def finish(estimator: BaseNet, run: TrainingRun) -> None:
    """Check the result of a training, and count its epochs."""
    run.check()
    estimator.n_iter_ += run.n_whole_epochs
    run.net.prepare_train_ = None
    estimator._after_training()
    run.net.module_.eval()  # once, so that predictions do not have to


def release_memory(device):
    """Release a GPU's unused memory for the next fit in this or another process."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
