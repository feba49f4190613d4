"""Many nets of one architecture, trained at once.

What surrounds a small net costs more than its products: the loop, the calls, the optimizer. Nets that are alike share
it. Each keeps its own rows, seed, order and settings, and comes out as ``fit`` would have made it, up to rounding.

Not all nets can be trained so. Those that cannot, or would not gain by it, are left as they are, and whoever asked fits
them one after the other: nets with a BatchNorm, dropout or convolutions, with callbacks, early stopping or a progress
bar, of a module instance, with a loss or an optimizer of the user's, and those whose products outweigh all else.
"""

from __future__ import annotations

from contextlib import suppress
from inspect import unwrap

import torch

from .._errors import DivergenceError
from ._divergence import check_training, infinite_buffers
from ._loader import BatchLoader
from ._randomness import kept_randomness, own_randomness
from ._targets import ClassifierNetMixin, RegressorNetMixin
from .engines._stack import Stack, can_stack, does_the_same
from .engines.skorch import LOSSES, OPTIMIZERS, release_memory
from .engines.stacked import Training, train_together

OWN_FITS = {unwrap(mixin.fit).__code__ for mixin in (ClassifierNetMixin, RegressorNetMixin)}
OWN_CALLBACKS = {"train_loss", "valid_loss", "own_progress", "own_schedule", "own_clipping"}
SCHEDULES = {"warmup-cosine", "constant"}
PREFIXES = ("module__", "criterion__", "optimizer__")  # of net_params that leave the loop as it is
# What nets that train together may differ in.
OWN_PARAMS = {"lr", "weight_decay", "max_epochs", "schedule", "class_weight", "random_state", "augmenter", "cache"}
# With more, what surrounds the products of a net is little beside them.
MAX_WORK = 4e7  # products of a batch of one net
MAX_BATCH = 2**19  # bytes of a batch of one net
# With more, nets would drive each other out of a processor's cache, and rows fill the memory.
MAX_CACHE = 2**25  # bytes that a step of all nets touches
MAX_ROWS = 2**29  # bytes of the rows of all nets
MAX_BETWEEN = 2**21  # bytes that the largest layers of all nets hand on


def fit_many(fits):
    """Fit nets together, as far as they can be and gain by it.

    Parameters
    ----------
    fits : list
        Of objects with the attributes ``estimator``, unfitted; ``params``, a dict of what ``fit`` gets besides X and y;
        and the methods ``data()``, which gives X and y, and ``naming()``, a context in which errors are told whose they
        are.

    Returns
    -------
    done : list
        For each the fitted estimator, or NotImplemented for one that is to be fitted by itself.
    """
    done = [NotImplemented] * len(fits)
    for group in group_alike([number for number, fit in enumerate(fits) if is_plain(fit)], fits):
        first = prepare(fits[group[0]])
        if first is None:  # the others are like it
            continue
        ready = {group[0]: first}
        for some in portions(group, at_once(first)):
            ready |= {number: prepare(fits[number]) for number in some if number not in ready}
            for alike in by_architecture(ready):
                for number in train_some(alike, fits):
                    done[number] = fits[number].estimator
            ready = {}
    return done


# -- which -------------------------------------------------------------------------------------------------------------


def is_plain(fit):
    """Whether nothing in a net's parameters stands against it."""
    net = fit.estimator
    return (
        unwrap(type(net).fit).__code__ in OWN_FITS
        and fit.params.keys() <= {"sample_weight"}
        and not (net.callbacks or net.early_stopping or net.average or net.verbose)
        and net.schedule in SCHEDULES
        and net.lr != "auto"  # each has a rate of its own to find first
        and is_known(net.optimizer, {None: None, **OPTIMIZERS})
        and is_known(net.loss, {"auto": None, **LOSSES})
        and all(str(name).startswith(PREFIXES) for name in net.net_params or {})
        and not isinstance(getattr(net, "module", None), torch.nn.Module)
    )


def is_known(value, known):
    """Whether a parameter is one of the names, or one of the classes that they stand for."""
    return value in known if isinstance(value, str) else value in known.values()


def group_alike(numbers, fits):
    """Lists of at least two numbers of nets whose parameters are the same where they have to be."""
    groups = []
    for number in numbers:
        key = key_of(fits[number].estimator)
        group = next((group for other, group in groups if is_same(key, other)), None)
        if group is None:
            groups.append((key, [number]))
        else:
            group.append(number)
    return [group for _, group in groups if len(group) > 1]


def key_of(net):
    """What nets that train together have in common: their class and parameters."""
    params = net.get_params(deep=False)
    shared = {name: value for name, value in params.items() if name not in OWN_PARAMS}
    return type(net), net.augmenter is None, shared


def is_same(a, b):
    """Whether two keys are equal; where that cannot be told, as of arrays, they count as different."""
    try:
        return bool(a == b)
    except (ValueError, RuntimeError, TypeError):
        return False


# -- how ---------------------------------------------------------------------------------------------------------------


def portions(numbers, at_most):
    """The numbers in lists of about the same length."""
    n_lists = -(-len(numbers) // at_most)
    return [numbers[start::n_lists] for start in range(n_lists)]


def at_once(training):
    """How many nets like this one to train at the same time, at least two."""
    weights = sum(p.nbytes for p in training.module.parameters() if p.requires_grad)
    touched = 4 * weights + 2 * bytes_of_batch(training)  # a gradient and two moments for each weight
    widths = [part.out_features for part in training.module.modules() if isinstance(part, torch.nn.Linear)]
    between = max(widths, default=1) * rows_of_batch(training) * training.dataset.x.element_size()
    return max(2, min(MAX_CACHE // touched, MAX_ROWS // training.dataset.x.nbytes, MAX_BETWEEN // between))


def rows_of_batch(training):
    """How many rows a batch has."""
    return min(training.net.batch_size, len(training.dataset))


def bytes_of_batch(training):
    """What a batch of rows takes."""
    return training.dataset.x[0].nbytes * rows_of_batch(training)


def prepare(fit):
    """A net ready for its first epoch, or None if it cannot be stacked."""
    net = fit.estimator
    with fit.naming():
        net._validate_params()
        X, y = fit.data()
        X, y, weight = net._check_rows(X, y, fit.params.get("sample_weight"), fresh=True, ensure_min_samples=2)
        X, y, weight, seed = net._learn_from(X, y, weight, fresh=True)
        with own_randomness(seed, net._device):
            dataset, _, epochs = net._set_up(X, y, weight, None, seed, fresh=True, schedule=net.schedule)
    training = Training.of(net, dataset, epochs, net.schedule)
    return training if gains(training) else None


def gains(training):
    """Whether a net can be stacked, and gains by it."""
    net, module, dataset = training.net, training.module, training.dataset
    if module is None or not can_stack(module) or not isinstance(dataset.x, torch.Tensor):
        return False
    trained = training.parameters
    return (
        type(training.loader) is BatchLoader
        and {name for name, _ in net.callbacks_} <= OWN_CALLBACKS
        and {id(p) for group in net.optimizer_.param_groups for p in group["params"]} == {id(p) for p in trained}
        and getattr(net.criterion_, "ignore_index", -1) < 0
        and not list(net.criterion_.parameters())
        and (dataset.x.ndim == 2 or str(net.device) == "cpu")  # a GPU halves the precision of images
        and sum(p.numel() for p in trained) * rows_of_batch(training) <= MAX_WORK
        and bytes_of_batch(training) <= MAX_BATCH
    )


def by_architecture(ready):
    """Dicts of the trainings whose tensors have the same shapes: folds may lack a class."""
    groups = {}
    for number, training in ready.items():
        if training is not None:
            groups.setdefault(shapes_of(training), {})[number] = training
    return [group for group in groups.values() if len(group) > 1]


def shapes_of(training):
    """Shapes and dtypes of all parameters, buffers and rows, and how many rows make a batch."""
    x, y = training.dataset.x, training.dataset.y
    tensors = training.module.state_dict().items()
    return (
        tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors),
        (x.shape[1:], x.dtype, y.shape[1:], y.dtype, training.net.batch_size, str(training.net.device)),
    )


def train_some(alike, fits):
    """Train nets of one architecture; the numbers of those that are fitted now.

    A net whose training diverges is not among them: fitted by itself, it says so and leaves the others alone.
    """
    numbers = sorted(alike, key=lambda number: alike[number].order())
    trainings = [alike[number] for number in numbers]
    for training in trainings:
        training.net.module_.train()
        training.net.criterion_.reduction = "none"
    stack = Stack([training.module for training in trainings])
    with kept_randomness(fits[numbers[0]].estimator._device):  # a module that draws is found out by doing so
        can_share = does_the_same(stack, first_rows(trainings), trainings[0].net.outputs_.n_outputs)
    if not can_share:
        return []
    known = [infinite_buffers(training.net) for training in trainings]
    n_epochs = train_together(stack, trainings)
    release_memory(fits[numbers[0]].estimator._device)
    fitted = []
    for number, training, n, names in zip(numbers, trainings, n_epochs, known, strict=True):
        with suppress(DivergenceError):
            check_training(training.net, training.dataset, names)
            fits[number].estimator._complete(n)
            fitted.append(number)
    return fitted


def first_rows(trainings):
    """As many rows of each training as all have, few, as the modules take them."""
    n = min(8, *[len(training.dataset) for training in trainings])
    rows = []
    for training in trainings:
        x, prepare = training.dataset.x[:n], training.net.prepare_valid_
        rows.append((x if prepare is None else prepare(x)[0]).to(training.net.device))
    return torch.stack(rows)
