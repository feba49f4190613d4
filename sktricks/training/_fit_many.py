"""Fit many nets at once: those of one architecture train together, as far as that is faster.

Nets that cannot be trained together, or would not gain by it, are left as they are, and the caller fits them one after
the other: nets with a BatchNorm, dropout or convolutions, with callbacks or early stopping, of a module instance, with
a loss or an optimizer of the user's, and those whose products outweigh all else.
"""

from __future__ import annotations

from contextlib import suppress
from inspect import unwrap

import torch

from .._errors import DivergenceError
from ._make_net import LOSSES, OPTIMIZERS
from ._rows import check_rows
from ._targets import ClassifierNetMixin, RegressorNetMixin
from .engines import stacked
from .run import STEPWISE, finish, open_run, train

OWN_FITS = {unwrap(mixin.fit).__code__ for mixin in (ClassifierNetMixin, RegressorNetMixin)}
PREFIXES = ("module__", "criterion__", "optimizer__")  # of net_params that leave the loop as it is
# What nets that train together may differ in.
OWN_PARAMS = {"lr", "weight_decay", "max_epochs", "schedule", "class_weight", "random_state", "augmenter"}
OWN_PARAMS |= {"cache", "verbose"}
# With more, nets would drive each other out of a processor's cache, and rows fill the memory.
MAX_CACHE = 2**25  # bytes that a step of all nets touches
MAX_ROWS = 2**29  # bytes of the rows of all nets
MAX_BETWEEN = 2**21  # bytes that the largest layers of all nets return


def fit_many(fits):
    """Fit nets together, as far as they can be and gain by it.

    Parameters
    ----------
    fits : list
        Of objects with the attributes ``estimator``, unfitted; ``params``, a dict of what ``fit`` gets besides X and y;
        and ``verbose``, that of the ensemble; and with the methods ``data()``, which returns X and y, and ``naming()``,
        a context in which errors name the member.

    Returns
    -------
    done : list
        For each the fitted estimator, or NotImplemented for one that is to be fitted by itself.
    """
    done = [NotImplemented] * len(fits)
    for alike in group_alike([number for number, fit in enumerate(fits) if is_plain(fit)], fits):
        first = prepare_fit(fits[alike[0]])
        if first is None:  # the others are like it
            continue
        runs = {alike[0]: first}
        for numbers in split_evenly(alike, stack_size(first)):
            runs |= {number: prepare_fit(fits[number]) for number in numbers if number not in runs}
            for group in group_by_shapes(runs):
                for number in train_group(group, fits):
                    done[number] = fits[number].estimator
            runs = {}
    return done


# -- which -------------------------------------------------------------------------------------------------------------


def is_plain(fit):
    """Return True if nothing in the parameters of a net prevents it from training with others."""
    net = fit.estimator
    return (
        unwrap(type(net).fit).__code__ in OWN_FITS
        and fit.params.keys() <= {"sample_weight"}
        and not (net.callbacks or net.early_stopping or net.average)
        and net.schedule in STEPWISE
        and net.lr != "auto"  # each has a rate of its own to find first
        and is_known(net.optimizer, {None: None, **OPTIMIZERS})
        and is_known(net.loss, {"auto": None, **LOSSES})
        and all(str(name).startswith(PREFIXES) for name in net.net_params or {})
        and not isinstance(getattr(net, "module", None), torch.nn.Module)
    )


def is_known(value, known):
    """Return True if a parameter is one of the names, or one of the classes that they stand for."""
    return value in known if isinstance(value, str) else value in known.values()


def group_alike(numbers, fits):
    """Return lists of at least two numbers of nets whose parameters are the same where they have to be."""
    groups = []
    for number in numbers:
        key = shared_params(fits[number].estimator)
        group = next((group for other, group in groups if is_same(key, other)), None)
        if group is None:
            groups.append((key, [number]))
        else:
            group.append(number)
    return [group for _, group in groups if len(group) > 1]


def shared_params(net):
    """Return what nets that train together have in common: their class and parameters."""
    params = net.get_params(deep=False)
    shared = {name: value for name, value in params.items() if name not in OWN_PARAMS}
    return type(net), net.augmenter is None, shared


def is_same(a, b):
    """Return True if two keys are equal; those that cannot be compared, such as arrays, count as different."""
    try:
        return bool(a == b)
    except (ValueError, RuntimeError, TypeError):
        return False


def group_by_shapes(runs):
    """Return dicts of the runs whose tensors have the same shapes: folds may lack a class."""
    groups = {}
    for number, run in runs.items():
        if run is not None:
            groups.setdefault(stacked.shapes_of(run), {})[number] = run
    return [group for group in groups.values() if len(group) > 1]


def split_evenly(numbers, at_most):
    """Return the numbers in lists of about the same length."""
    n_lists = -(-len(numbers) // at_most)
    return [numbers[start::n_lists] for start in range(n_lists)]


def stack_size(run):
    """Return how many nets like this one to train at the same time, at least two."""
    weights = sum(p.nbytes for p in run.parameters)
    touched = 4 * weights + 2 * stacked.n_batch_bytes(run)  # a gradient and two moments for each weight
    widths = [part.out_features for part in run.module.modules() if isinstance(part, torch.nn.Linear)]
    between = max(widths, default=1) * stacked.n_batch_rows(run) * run.train.x.element_size()
    return max(2, min(MAX_CACHE // touched, MAX_ROWS // run.train.x.nbytes, MAX_BETWEEN // between))


# -- how ---------------------------------------------------------------------------------------------------------------


def prepare_fit(fit):
    """Return a run that is ready for its first epoch, or None if it cannot be stacked."""
    net = fit.estimator
    with fit.naming():
        net._validate_params()
        X, y = fit.data()
        rows = check_rows(net, X, y, fit.params.get("sample_weight"), fresh=True, ensure_min_samples=2)
        with open_run(net, rows, fresh=True) as run:
            return run if stacked.supports(run) else None


def train_group(group, fits):
    """Train nets of one architecture; return the numbers of those that are fitted now.

    A net whose training diverges is not among them: fitted by itself, it says so and leaves the others alone.
    """
    numbers = sorted(group, key=lambda number: stacked.order(group[number]))
    runs = [group[number] for number in numbers]
    if not stacked.can_share(runs):
        return []
    runs[0].progress.verbose = max([run.verbose for run in runs] + [fits[number].verbose for number in numbers])
    train(runs, stacked)
    fitted = []
    for number, run in zip(numbers, runs, strict=True):
        with suppress(DivergenceError):
            finish(fits[number].estimator, run)
            fitted.append(number)
    return fitted
