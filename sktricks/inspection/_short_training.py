"""Run short trainings of copies of a net, and collect their evidence."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

import numpy as np
import torch
from skorch.callbacks.scoring import ScoringBase

from ..training._batch_size import auto_batch_size, resolve_batches
from ..training._inputs import augment_batch
from ..training._net_params import unnamed
from ..training._randomness import kept_randomness
from ..training._range_test import N_STEPS, TOO_FEW, range_test, train_watched
from ..training._rows import Rows
from ._row_statistics import as_values, transfer_of
from ._watch import UntilLearned, Watch, accuracy_of, dead_fractions, is_norm

STEPS, FEW_ROWS, FEW_STEPS = 200, 16, 200
FIRST_STEPS = 5  # without a check, since a layer that is initialized with zeros blocks the gradient at first
SECONDS = 12  # maximum time per training
RATES = (1e-2, 1e-3)  # for the training on few rows, besides the suggested one


@contextmanager
def failures(seen):
    """Record an error of a training as evidence."""
    try:
        yield
    except Exception as error:  # a user's module can raise any error
        message = " ".join(str(error).split())
        seen.failure = seen.failure or f"{type(error).__name__}: {message[:400]}"


def look_at_training(seen, net, rows, progress, verbose=0):
    """Fill in the evidence of short trainings of copies of a net.

    Parameters
    ----------
    seen : Evidence
    net : BaseNet
        Unfitted, its rows checked.
    rows : Rows
        Some rows from ``check_rows``, optionally with validation rows.
    progress : Progress
        Counts the trainings.
    verbose : int, default=0
    """
    watch, rate = Watch(STEPS, SECONDS), {}
    if net.lr == "auto":
        find_curve(seen, net, rows, verbose)
        rate = {"lr": getattr(seen.curve, "suggestion", None)}
    started = time.monotonic()
    with failures(seen):
        trained = train_watched(net, rows, watch, epochs=STEPS, verbose=verbose, **rate)
        note_training(seen, watch, trained)
    note_start(seen, watch, net)
    progress.step(1, "range test")
    seconds = (time.monotonic() - started) / max(1, len(seen.losses))
    if seen.failure is None and not rate and seconds * N_STEPS < SECONDS:
        find_curve(seen, net, rows, verbose)
    progress.step(1, "training on few rows")
    if seen.failure is None:
        with failures(seen):
            seen.one_batch = learn_few_rows(net, rows.X, rows.y, getattr(seen.curve, "suggestion", None))
    progress.step()


def find_curve(seen, net, rows, verbose=0):
    """Run a range test if there are enough rows."""
    if len(rows) >= TOO_FEW and (rows.weight is None or np.count_nonzero(rows.weight) >= TOO_FEW):
        with failures(seen):
            seen.curve = range_test(net, rows, verbose=verbose)


def note_start(seen, watch, net):
    """Fill in the state of a net before its first step, even if there was none."""
    if not hasattr(watch, "frozen_"):
        return
    seen.outputs, seen.weights, seen.batch_norms = watch.outputs_, watch.weights_, watch.batch_norms_
    seen.normalizes = net.image_shape_ is not None or is_norm(watch.first_layer_)
    never = watch.trainable_ - watch.had_gradient_
    if watch.losses_ or "not require grad" in (seen.failure or ""):
        seen.without_gradient = sorted(never)
    if watch.bad_gradient_ is not None:
        step, name = watch.bad_gradient_
        seen.bad_gradient = step, name, watch.losses_[step] if step < len(watch.losses_) else float("nan")


def note_training(seen, watch, trained):
    """Fill in the evidence of some training steps."""
    inner = trained.net_
    seen.lr, seen.losses = float(trained.lr_), np.array(watch.losses_)
    if not trained._has_default_module:  # which reads columns in their own dtype
        seen.resolution = max(seen.resolution, torch.finfo(trained._dtype).eps)
    if watch.dataset_.y.is_floating_point() and not hasattr(trained, "classes_"):
        seen.target_size = watch.dataset_.y.double().square().mean().sqrt().item()
    seen.takes_logits = isinstance(inner.criterion_, torch.nn.CrossEntropyLoss)
    seen.smallest_batch = min(inner.batch_size, len(watch.dataset_))
    later = {name: sizes[FIRST_STEPS:] for name, sizes in watch.sizes_.items() if len(sizes) > FIRST_STEPS}
    medians = {name: np.median(sizes, axis=0) for name, sizes in later.items()}
    seen.gradients = {name: (float(gradient), float(weight)) for name, (gradient, weight) in medians.items()}
    seen.frozen_changes = watch.changed(inner.module_)
    seen.valid_losses = seen.valid_losses or [e["valid_loss"] for e in inner.history if "valid_loss" in e]
    if watch.bad_gradient_ is None:
        seen.dead = dead_fractions(inner, watch.dataset_)


def learn_few_rows(net, X, y, suggestion):
    """Return the loss of a few rows before and after a training on only these rows, and the accuracy on them."""
    some, best = few_rows(y), None
    rates = [rate for rate in (suggestion, *RATES) if rate is not None]
    for rate in rates:
        watch = UntilLearned(FEW_STEPS, SECONDS / len(rates))
        settings = {"lr": rate, "augmenter": None, "n_views": 1, "clip_norm": None}
        copy = train_watched(net, Rows(X[some], y[some]), watch, epochs=FEW_STEPS, **settings)
        with kept_randomness(copy._device):  # dropout draws
            found = watch.losses_[0], watch.losses_[-1], accuracy_of(copy.net_, watch.dataset_)
        best = found if best is None or found[2] > best[2] else best
        if best[2] >= 0.99:
            break
    return best


def few_rows(y):
    """Return the indices of a few rows from as many classes as possible."""
    order = np.random.default_rng(0).permutation(len(y))
    if y.dtype == np.int64:
        turns = np.zeros(len(y), int)  # 0 for the first row of each class, 1 for the second, ...
        for label in np.unique(y):
            own = order[y[order] == label]
            turns[own] = np.arange(len(own))
        order = order[np.argsort(turns[order], kind="stable")]
    return order[:FEW_ROWS]


def pin_choices(net, rows):
    """Set the strategy, batch size and rate that are chosen for all rows, since the copies are trained on fewer."""
    if net.batch_size == "auto":
        size = auto_batch_size(len(rows), images=net.image_shape_ is not None)
        vars(net).update(resolve_batches("auto", net.lr, size))
    if getattr(net, "strategy", None) == "auto" and net.freeze_until is None and net.image_shape_ is not None:
        with suppress(Exception):  # the training raises it again, where it is recorded
            net.strategy = net._find_strategy(rows.y)


def compare_augmented(net, X, y):
    """Return the correlations on original rows of forests that are trained on original and on augmented rows."""
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    images = X if X.ndim == 4 else X[:, None, :, None]
    targets = as_values(y)
    x, t = torch.from_numpy(np.ascontiguousarray(images[train])), torch.from_numpy(targets[train])
    augmented, mixed, _ = augment_batch(x, t, None, net.augmenter, net.augmenter._make_rng(0), net._pixel_range)
    whole = torch.from_numpy(np.ascontiguousarray(images[test]))
    same, *_ = augment_batch(whole, None, None, net.augmenter, None, net._pixel_range)
    before, *_ = augment_batch(x, None, None, net.augmenter, None, net._pixel_range)
    rows = same.numpy()
    plain = transfer_of(before.numpy(), targets[train], rows, targets[test])
    return plain, transfer_of(augmented.numpy(), mixed.numpy(), rows, targets[test])


def scores_otherwise(callbacks):
    """Return True if a callback measures a score other than the accuracy."""
    return any(
        isinstance(callback, ScoringBase) and getattr(callback, "scoring", None) not in (None, "accuracy")
        for callback in unnamed(callbacks)
    )
