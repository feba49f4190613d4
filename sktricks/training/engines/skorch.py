"""The skorch net inside: rows with weights, batches prepared on their way, nothing printed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

import skorch
import torch
from sklearn.metrics import get_scorer
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, PassthroughScoring
from skorch.helper import predefined_split
from skorch.utils import TeeGenerator
from tqdm.auto import tqdm

from ..._warnings import SlowFitWarning, TrainingInterruptedWarning, warn
from .._average import AverageWeights
from .._curves import ValidationScore
from .._decay import split_by_decay
from .._divergence import check_loss, check_trained, infinite_buffers
from .._inputs import images_at_once, map_images
from .._loader import BatchLoader, batch_bounds
from .._modules import accepted
from .._monitors import adapt_callbacks, check_monitors, naming_monitors
from .._outputs import as_matrix, refuse_shape
from .._schedule import highest_rates, make_schedule
from .._update import update

LOSSES = {
    "cross_entropy": torch.nn.CrossEntropyLoss,
    "bce": torch.nn.BCEWithLogitsLoss,
    "squared_error": torch.nn.MSELoss,
    "absolute_error": torch.nn.L1Loss,
    "huber": torch.nn.HuberLoss,
}
OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
# That can update all weights in one pass over memory; torch's SGD can too, but not where some thawed later than others.
FUSED = (torch.optim.Adam, torch.optim.AdamW)
HALF = (torch.bfloat16, torch.float16)
SLOW = 120  # seconds
EACH_BATCH = ("on_batch_begin", "on_batch_end", "on_grad_computed")
PREDICT_ROWS = 1024  # at once, so that memory is bounded; images then go in smaller batches through the net


class PreparedBatch(tuple):
    """Inputs, and y, as the module takes them."""


def prepared(batch, prepare):
    """A batch after its preparation."""
    inputs, y = batch
    x, y, weight = prepare(inputs["x"], y, inputs.get("weight"))
    inputs = {**inputs, "x": x} if weight is None else {**inputs, "x": x, "weight": weight}
    return PreparedBatch((inputs, y))


def computes_elsewhere(device):
    """Whether processors are free while a device trains; one more thread slows a net down that has them all."""
    return device.type != "cpu"


def prepared_ahead(batches, prepare):
    """Batches after their preparation, each prepared by another thread while the one before it is trained on."""
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for batch in batches:
            coming = thread.submit(prepared, batch, prepare)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


class InnerNet(skorch.NeuralNet):
    """A skorch net over :class:`~sktricks.training._loader.ArrayDataset`.

    ``prepare_train_`` and ``prepare_valid_`` are called with x, y and weight (or None) of each batch before the module
    sees them, and return all three; the first one ahead, in another thread, if ``prepares_ahead_``.
    """

    outputs_ = None  # an Outputs, which knows what the module is to return; None if that is not to be checked
    prepare_train_ = prepare_valid_ = None
    prepares_ahead_ = False
    input_dtype_ = None  # what a user's module is called with; None for a module of ours, which casts by itself
    listeners_ = None  # in a training: from what happens at each batch to what callbacks do about it, if anything
    has_stepped_ = False
    n_epochs_before_ = 0  # of earlier trainings

    def notify(self, method_name, **cb_kwargs):
        if method_name == "on_train_begin":
            self.has_stepped_, self.n_epochs_before_ = False, len(self.history)
        if method_name in ("on_train_begin", "on_epoch_begin"):
            self.listeners_ = {}  # who may change from epoch to epoch
        if method_name not in EACH_BATCH or self.listeners_ is None:
            return super().notify(method_name, **cb_kwargs)
        if method_name not in self.listeners_:
            methods = [getattr(callback, method_name) for _, callback in self.callbacks_]
            nothing = getattr(Callback, method_name)
            self.listeners_[method_name] = [m for m in methods if getattr(m, "__func__", None) is not nothing]
        for method in (getattr(self, method_name), *self.listeners_[method_name]):
            method(self, **cb_kwargs)

    def on_train_end(self, *args, **kwargs):
        self.listeners_ = None
        super().on_train_end(*args, **kwargs)

    @property
    def _default_callbacks(self):
        return [
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring("valid_loss")),
        ]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = None if self.outputs_ is None else self.outputs_.estimator_type
        return tags

    @property
    def classes_(self):
        """The classes of a classifier, in the order of :meth:`predict_proba`; others lack the attribute."""
        return self.outputs_.classes

    def _get_predict_nonlinearity(self):
        if self.predict_nonlinearity != "auto" or self.outputs_ is None:
            return super()._get_predict_nonlinearity()
        return self.outputs_.finish

    def predict(self, X):
        """What the estimator predicts, for rows as skorch takes them."""
        outputs = self.predict_proba(X)
        return outputs if self.outputs_ is None else self.outputs_.decide(outputs)

    def score(self, X, y):
        """The accuracy or the coefficient of determination, which callbacks may ask for."""
        name = "accuracy" if self.outputs_.estimator_type == "classifier" else "r2"
        return get_scorer(name)(self, X, y)

    def get_params_for_optimizer(self, prefix, named_parameters):
        (groups,), settings = super().get_params_for_optimizer(prefix, named_parameters)
        if settings.get("weight_decay"):
            groups = [part for group in groups for part in split_by_decay(group)]
        return (groups,), settings

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """What skorch does, which looks the last batch up in the history again for each of its values."""
        if iterator is None:
            return
        if training and self.prepares_ahead_:
            iterator = prepared_ahead(iterator, self.prepare_train_)
        batches, before = self.history[-1]["batches"], len(self.history[-1]["batches"])
        total = 0.0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            loss = step["loss"].item()
            total += loss
            batches[-1] |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": len(batch[1])}
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_batch_count", len(batches) - before)
        epoch, name = len(self.history) - self.n_epochs_before_, "training loss" if training else "validation loss"
        check_loss(self, total, epoch, name)  # before callbacks act on it

    def train_step(self, batch, **fit_params):
        batch = self._prepared(batch, self.prepare_train_)
        if type(self.optimizer_) not in OPTIMIZERS.values():  # one that may want to compute the gradients itself
            step = super().train_step(batch, **fit_params)
            self.has_stepped_ = True
            return step
        self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        named = TeeGenerator(self.get_all_learnable_params())  # which each callback can go through
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        if self.has_stepped_:
            update(self.optimizer_)
        else:
            self.optimizer_.step()  # which schedules want to have seen
            self.has_stepped_ = True
        return step

    def _zero_grad_optimizer(self, set_to_none=None):
        for group in self.optimizer_.param_groups:  # whose own method tells the profiler, which takes longer than this
            for p in group["params"]:
                p.grad = None

    def validation_step(self, batch, **fit_params):
        return super().validation_step(self._prepared(batch, self.prepare_valid_), **fit_params)

    def evaluation_step(self, batch, training=False):
        prepare = self.prepare_train_ if training else self.prepare_valid_
        return super().evaluation_step(self._prepared(batch, prepare), training)

    def _prepared(self, batch, prepare):
        inputs, y = batch if prepare is None or isinstance(batch, PreparedBatch) else prepared(batch, prepare)
        x = inputs["x"]
        return {**inputs, "x": x.to(self.device)}, y.to(self.device)

    def _set_training(self, training=True):
        if self.module_.training != training:  # a walk through all modules at each batch would be felt
            super()._set_training(training)

    def infer(self, x, **fit_params):
        y = self.call_module(x["x"], **fit_params)
        return y if self.outputs_ is None else self.outputs_.read(y, len(x["x"]))

    def call_module(self, x, **fit_params):
        """The module's outputs, whether they fit y or not, as a tensor of at least two dimensions."""
        x = x if self.input_dtype_ is None else x.to(self.input_dtype_)
        try:
            with half_precision(x, self.device):
                y = as_matrix(self.module_(x, **fit_params))
        except RuntimeError as error:
            if self.input_dtype_ is not None and self.module_.training and not self.has_stepped_:
                refuse_shape(x, error)  # in the first batch of a training
            raise
        return y.float() if y.dtype in HALF else y

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss, weight = self.criterion_(y_pred, y_true), X.get("weight")
        if not isinstance(loss, torch.Tensor):
            raise TypeError(f"loss must return a tensor, got an object of type {type(loss).__name__}")
        if loss.ndim == 0:
            if weight is not None:
                raise ValueError("loss must give one value a row where rows have weights, got one for the whole batch")
            return loss
        loss = loss.flatten(1).mean(1) if loss.ndim > 1 else loss
        return loss.mean() if weight is None else (loss * weight.to(loss.device)).mean()


class FunctionLoss(torch.nn.Module):
    """A function of outputs and targets as the module that skorch wants."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, y_pred, y_true):
        return self.function(y_pred, y_true)


def make_loss(loss, label_smoothing=0.0, params=None):
    """A loss with one value a row, from a name, a class, an instance (copied) or a function."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be 'auto', one of {sorted(LOSSES)} or a torch loss, got {loss!r}")
        loss = LOSSES[loss]
    if label_smoothing and (isinstance(loss, torch.nn.Module) or not accepted(loss, label_smoothing=label_smoothing)):
        name = getattr(loss, "__name__", type(loss).__name__)
        raise ValueError(
            f"label_smoothing={label_smoothing} needs a loss that takes label_smoothing, such as 'cross_entropy'; "
            f"{name} as loss {'is an instance, which has its own' if isinstance(loss, torch.nn.Module) else 'does not'}"
        )
    if not isinstance(loss, torch.nn.Module):
        settings = {**accepted(loss, reduction="none", label_smoothing=label_smoothing), **(params or {})}
        if not isinstance(loss, type):
            return FunctionLoss(partial(loss, **settings))
        if not issubclass(loss, torch.nn.Module):
            raise TypeError(f"loss must be a torch loss or a function of outputs and targets, got the class {loss!r}")
        return loss(**settings)
    if params:
        names = ", ".join(f"criterion__{name}" for name in params)
        raise ValueError(f"net_params has {names}, but loss is an instance: pass its class instead")
    loss = deepcopy(loss)
    if hasattr(loss, "reduction"):
        loss.reduction = "none"
    return loss


def is_own_loss(loss):
    """True for a function or module of the user's, which may hold or create tensors of torch's default dtype."""
    cls = loss if isinstance(loss, type) else type(loss)
    return not isinstance(loss, str) and not cls.__module__.startswith("torch.nn.")


def averages_rows(loss):
    """Whether a loss with ``reduction="mean"``, which is faster, is the mean of its values: not with class weights."""
    return getattr(loss, "weight", None) is None


def make_net(module, loss, *, optimizer, lr, weight_decay, batch_size, device, callbacks, params, outputs=None):
    """An initialised net; ``params`` are skorch's own."""
    settings = {"iterator_train": BatchLoader, "iterator_valid": BatchLoader, "iterator_train__shuffle": True}
    if optimizer == "sgd":
        settings["optimizer__momentum"] = 0.9  # without it SGD is of little use
    optimizer = OPTIMIZERS.get(optimizer, optimizer)
    if isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer):
        check_optimizer(optimizer)
    settings |= {f"optimizer__{name}": value for name, value in accepted(optimizer, weight_decay=weight_decay).items()}
    if can_fuse(optimizer, device, params):
        settings["optimizer__fused"] = True
    net = InnerNet(
        module,
        criterion=loss,
        optimizer=optimizer,
        lr=lr,
        batch_size=batch_size,
        device=device,
        callbacks=callbacks,
        train_split=None,
        verbose=0,
        **{**settings, **params},
    )
    net.initialize()
    check_optimizer(net.optimizer_)
    net.outputs_ = outputs
    adapt_callbacks(net)
    net.module = type(module)  # else a pickle would hold the weights twice
    return net


def check_optimizer(optimizer):
    """Raise an error unless it is an optimizer of torch."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be the class of a torch.optim.Optimizer, or build one, got {optimizer!r}")


def set_up_training(
    net,
    *,
    n_rows,
    epochs,
    seed,
    schedule="warmup-cosine",
    average=None,
    clip_norm=None,
    patience=10,
    score=None,
    stops=False,
    verbose=0,
):
    """Give an initialised net the callbacks and the order of rows of one training.

    If validation rows are there, they get a ``score`` in each epoch and their loss is what is watched; after as many
    epochs without a lower one as there is ``patience`` the training ends, if it ``stops``.
    """
    if net.iterator_train is BatchLoader:
        net.iterator_train__seed = seed
    n_steps, rates = epochs * len(batch_bounds(n_rows, net.batch_size)), highest_rates(net.optimizer_)
    watched = "train_loss" if score is None else "valid_loss"
    own = {
        "own_score": None if score is None else ValidationScore(score),
        "own_progress": EpochProgress(epochs, show=bool(verbose)),
        "own_schedule": make_schedule(schedule, n_steps, rates, watched, max(1, patience // 2)),
        "own_average": None if average is None else AverageWeights(average, n_epochs=epochs),
        "own_clipping": None if clip_norm is None else GradientNormClipping(clip_norm),
        "own_stopping": EarlyStopping(patience=patience, load_best=True) if stops else None,
    }
    users = [(name, callback) for name, callback in net.callbacks_ if name not in own]
    own = [(name, callback.initialize()) for name, callback in own.items() if callback is not None]
    net.callbacks_ = sorted(users + own, key=lambda item: item[0] != "own_score")  # which users' loggers are to find


def can_fuse(optimizer, device, params):
    """Whether an optimizer has a fused form on a device, and the user's parameters leave the choice."""
    ways = {"optimizer__fused", "optimizer__foreach", "optimizer__differentiable"}
    return optimizer in FUSED and torch.device(device).type in ("cpu", "cuda") and not ways & params.keys()


def follow_settings(net, lr, weight_decay, batch_size):
    """Give an initialised net the settings that its estimator has by now; groups keep the ratio of their rates."""
    decay, groups = getattr(net, "optimizer__weight_decay", None), net.optimizer_.param_groups
    if decay == 0 and weight_decay:  # so far there was nothing to be spared
        groups[:] = [part for group in groups for part in split_by_decay(group, also_of=0)]
    for group in groups:
        for name in {"lr", "initial_lr", "max_lr"} & group.keys():
            group[name] *= lr / net.lr
        follows = decay is not None and not group.get("spared")
        if follows and group["weight_decay"] == decay:  # a group of the user's may have another
            group["weight_decay"] = weight_decay
    net.lr, net.batch_size = lr, batch_size
    if decay is not None:
        net.optimizer__weight_decay = weight_decay


def run_epochs(net, train, valid, epochs):
    """Train a net; Ctrl-C ends it with a usable net and a warning. Returns the number of whole epochs."""
    before, known = len(net.history), infinite_buffers(net)  # such as a mask of -inf, which is no fault of the training
    choose_reduction(net, train)
    net.train_split = None if valid is None else predefined_split(valid)
    interrupted = False
    check_monitors(net.callbacks_, has_validation=valid is not None)
    net.module_.train()  # all of it: what was made of parts may be in evaluation mode below a root that is not
    net.notify("on_train_begin", X=train, y=None)
    try:
        with naming_monitors(net):
            net.fit_loop(train, epochs=epochs)
    except KeyboardInterrupt:  # which is also how skorch's EarlyStopping ends a training
        interrupted = not any(
            isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience
            for _, callback in net.callbacks_
        )
    net.notify("on_train_end", X=train, y=None)
    net.train_split = None  # it holds the validation rows
    n_epochs = sum("train_loss" in epoch for epoch in net.history[before:])
    check_trained(net, train, max(1, n_epochs), known)
    if interrupted:
        warn_of_interruption(n_epochs, epochs)
    return n_epochs


def choose_reduction(net, dataset):
    """Have the loss average over rows itself, where it can."""
    if hasattr(net.criterion_, "reduction"):
        net.criterion_.reduction = "mean" if dataset.weight is None and averages_rows(net.criterion_) else "none"


def warn_of_interruption(n_epochs, epochs):
    warn(
        f"fit was interrupted after {n_epochs} of {epochs} epochs; the net keeps what it had learned",
        TrainingInterruptedWarning,
    )


@torch.inference_mode()
def predict_rows(net, X, read_inputs, prepare):
    """The module's outputs for the rows of ``X``, read part by part by a function to a tensor: memory is bounded.

    ``prepare`` is what happens to a batch on its way to the module, or None.
    """
    net.module_.eval()
    device = torch.device(net.device)

    def outputs(part):
        part = part if prepare is None else prepare(part)[0]
        return net.infer({"x": part.to(device)})

    def outputs_of(x):
        if x.ndim != 4:
            return outputs(x).cpu()
        return map_images(outputs, x, images_at_once(net.module_, prepare, x, device))

    parts = (read_inputs(X[start : start + PREDICT_ROWS]) for start in range(0, len(X), PREDICT_ROWS))
    return torch.cat([outputs_of(x) for x in parts])


def half_precision(x, device):
    """bfloat16 where it is worth it; weights, loss and all that is summed stay as they are."""
    return torch.autocast(x.device.type, torch.bfloat16) if is_worth_halving(x, device) else nullcontext()


def is_worth_halving(x, device):
    """Whether images go through a net on a GPU that is made for bfloat16."""
    if x.ndim != 4 or torch.device(device).type != "cuda":
        return False
    return torch.cuda.get_device_capability(device)[0] >= 8


def release_memory(device):
    """Give a GPU's unused memory back, so that the next fit, in this process or another, finds it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


class EpochProgress(Callback):
    """Note the learning rate, and show a bar over the epochs with the losses; or warn once if it will take long."""

    def __init__(self, max_epochs, show):
        self.max_epochs, self.show = max_epochs, show

    def on_train_begin(self, net, **kwargs):
        self.n_epochs_ = 0
        self.bar_ = tqdm(total=self.max_epochs, unit="epoch") if self.show else None

    def on_epoch_begin(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
        if self.n_epochs_ == 0:
            self.started_ = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1
        if self.bar_ is not None:
            epoch = net.history[-1]
            losses = {name: f"{epoch[name]:.4g}" for name in ("train_loss", "valid_loss") if name in epoch}
            self.bar_.set_postfix(losses, refresh=False)
            self.bar_.update()
        elif self.n_epochs_ == 1:
            warn_if_slow((time.perf_counter() - self.started_) * self.max_epochs, self.max_epochs)

    def on_train_end(self, net, **kwargs):
        if self.bar_ is not None:
            self.bar_.close()
        self.bar_ = None


def warn_if_slow(seconds, epochs):
    if seconds > SLOW:
        warn(
            f"{epochs} epochs may take about {seconds / 60:.0f} minutes; verbose=1 shows the progress",
            SlowFitWarning,
        )
