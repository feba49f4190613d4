"""Fit many nets at once: nets of the same architecture are trained together if this is faster.

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
PREFIXES = ("module__", "criterion__", "optimizer__")  # net_params with these do not affect the training loop
# Parameters in which nets that are trained together may differ.
OWN_PARAMS = {"lr", "weight_decay", "max_epochs", "schedule", "class_weight", "random_state", "augmenter"}
OWN_PARAMS |= {"cache", "verbose"}
# With more, nets would drive each other out of a processor's cache, and rows fill the memory.
MAX_CACHE = 2**25  # bytes that a step of all nets touches
MAX_ROWS = 2**29  # bytes of the rows of all nets
MAX_BETWEEN = 2**21  # bytes of the largest activations of all nets


def fit_many(fits):
    """Fit nets together if this is possible and faster.

    Parameters
    ----------
    fits : list
        Of objects with the attributes ``estimator``, unfitted; ``params``, a dict of what ``fit`` gets besides X and y;
        and ``verbose``, that of the ensemble; and with the methods ``data()``, which returns X and y, and ``naming()``,
        a context in which errors name the member.

    Returns
    -------
    done : list
        The fitted estimators; NotImplemented for those that must be fitted separately.
    """
    done = [NotImplemented] * len(fits)
    for alike in group_alike([number for number, fit in enumerate(fits) if is_plain(fit)], fits):
        first = prepare_fit(fits[alike[0]])
        if first is None:  # the others cannot be stacked either
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
    """Return True if the parameters of a net allow training with others."""
    net = fit.estimator
    return (
        unwrap(type(net).fit).__code__ in OWN_FITS
        and fit.params.keys() <= {"sample_weight"}
        and not (net.callbacks or net.early_stopping or net.average)
        and net.schedule in STEPWISE
        and net.lr != "auto"  # requires a separate range test
        and is_known(net.optimizer, {None: None, **OPTIMIZERS})
        and is_known(net.loss, {"auto": None, **LOSSES})
        and all(str(name).startswith(PREFIXES) for name in net.net_params or {})
        and not isinstance(getattr(net, "module", None), torch.nn.Module)
    )


def is_known(value, known):
    """Return True if a parameter is one of the known names, or one of their classes."""
    return value in known if isinstance(value, str) else value in known.values()


def group_alike(numbers, fits):
    """Return lists with the indices of at least two nets whose shared parameters are equal."""
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
    """Return the class and the parameters that must be equal for nets that are trained together."""
    params = net.get_params(deep=False)
    shared = {name: value for name, value in params.items() if name not in OWN_PARAMS}
    return type(net), net.augmenter is None, shared


def is_same(a, b):
    """Return True if two keys are equal; keys that cannot be compared, such as arrays, are treated as different."""
    try:
        return bool(a == b)
    except (ValueError, RuntimeError, TypeError):
        return False


def group_by_shapes(runs):
    """Return dicts of runs with equal tensor shapes; these differ, for example, if a fold lacks a class."""
    groups = {}
    for number, run in runs.items():
        if run is not None:
            groups.setdefault(stacked.shapes_of(run), {})[number] = run
    return [group for group in groups.values() if len(group) > 1]


def split_evenly(numbers, at_most):
    """Split the indices into lists of about equal length."""
    n_lists = -(-len(numbers) // at_most)
    return [numbers[start::n_lists] for start in range(n_lists)]


def stack_size(run):
    """Return the number of nets like this one to train at the same time, at least two."""
    weights = sum(p.nbytes for p in run.parameters)
    touched = 4 * weights + 2 * stacked.n_batch_bytes(run)  # each weight has a gradient and two moments
    widths = [part.out_features for part in run.module.modules() if isinstance(part, torch.nn.Linear)]
    between = max(widths, default=1) * stacked.n_batch_rows(run) * run.train.x.element_size()
    return max(2, min(MAX_CACHE // touched, MAX_ROWS // run.train.x.nbytes, MAX_BETWEEN // between))


# -- how ---------------------------------------------------------------------------------------------------------------


def prepare_fit(fit):
    """Return a run ready for its first epoch, or None if it cannot be stacked."""
    net = fit.estimator
    with fit.naming():
        net._validate_params()
        X, y = fit.data()
        rows = check_rows(net, X, y, fit.params.get("sample_weight"), fresh=True, ensure_min_samples=2)
        with open_run(net, rows, fresh=True) as run:
            return run if stacked.supports(run) else None


def train_group(group, fits):
    """Train nets of one architecture; return the indices of those that were fitted.

    A net whose training diverges is not among them: fitted separately, it raises its own error.
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
