"""What all nets share: from arrays to a trained skorch net and back.

A net here is a plain ``BaseEstimator`` that builds a skorch net in ``fit`` and keeps it as ``net_``. torch and
skorch are imported in the methods that need them, so that constructing, cloning and printing estimators stays cheap.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._layout import warn_of_rows
from .._naming import NamesItsMethods
from .._sample_weight import check_weights
from .._threads import FILTERS
from .._validation import check_X
from .._value_range import check_value_range, warn_of_other_scale
from ._net_params import NetParamsMixin, check_augmenter, check_callbacks, check_net_params, copy_callbacks


def check_held_out(y, fraction, classes):
    """Raise an error if ``early_stopping`` cannot hold out a fraction of the rows of each class; y are codes."""
    codes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "early_stopping=True needs at least 2 rows of each class, to hold one out, got 1 row of class "
            f"{classes.tolist()[codes[counts.argmin()]]!r}: leave its row out, give X_val and y_val, or let "
            "validation_fraction be a splitter"
        )
    n_rows, n_classes = len(y), len(codes)
    if n_rows * fraction <= n_classes - 1 or n_rows * (1 - fraction) < n_classes:
        raise ValueError(
            f"validation_fraction must leave a row of each of the {n_classes} classes to train on and to hold out, got "
            f"{fraction} of {n_rows} rows: change it, or give X_val and y_val"
        )


@contextmanager
def naming_validation_rows():
    """Have errors name ``X_val`` and ``y_val`` in the place of ``X`` and ``y``."""
    try:
        yield
    except (ValueError, TypeError) as error:
        text = re.sub(r"(?<![\w/\\'\"])(X|y)(?![\w'\"])", r"\1_val", str(error))  # but no labels or paths
        text = text if text != str(error) else f"X_val and y_val: {text}"
        raise (ValueError if isinstance(error, ValueError) else TypeError)(text) from error


SETTINGS = ("optimizer", "lr", "weight_decay", "max_epochs", "batch_size")


class BaseNet(NamesItsMethods, NetParamsMixin, BaseEstimator):
    """The common part of all nets.

    A subclass says what y means (``_check_y``, ``_learn_targets``, ``_scale_targets``, ``_make_outputs``,
    ``_default_loss``, ``_loss_smoothing``) and what is trained (``_read_inputs``, ``_make_module``, ``_preparation``).
    """

    _parameter_constraints: dict = {
        "image_shape": ["array-like", None],
        "value_range": ["array-like", None],
        "augmenter": "no_validation",  # by check_augmenter, which says more
        "predict_views": [Interval(Integral, 0, None, closed="left")],
        "loss": [str, callable],
        "optimizer": [StrOptions({"adamw", "adam", "sgd", "rmsprop"}), callable],
        "lr": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions({"warmup-cosine", "one-cycle", "plateau", "constant"})],
        "average": [StrOptions({"ema", "swa"}), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), HasMethods("split")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "net_params": [dict, None],
        "device": "no_validation",  # torch knows its devices best
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_net")

    @property
    def net_(self):
        """The skorch net inside."""
        check_is_fitted(self)
        return self._net

    # -- fitting -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _undone_on_failure(self):
        """A fit that fails leaves the estimator as it was."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        with self._undone_on_failure():
            return self._fit_or_fail(X, y, sample_weight, X_val, y_val)

    def _fit_or_fail(self, X, y, sample_weight, X_val, y_val):
        if self.average is not None and self.early_stopping:
            raise ValueError(
                f"average={self.average!r} is a mean over epochs, early_stopping=True keeps the weights of one: "
                "leave one of them out"
            )
        fresh = not (self.warm_start and hasattr(self, "_net"))
        X, y, weight = self._check_rows(X, y, sample_weight, fresh=fresh, ensure_min_samples=2)
        valid = self._check_validation_rows(X_val, y_val)
        if valid is None and self.early_stopping:
            train, held_out = self._split(X, y)
            valid = X[held_out], y[held_out]
            X, y, weight = X[train], y[train], None if weight is None else weight[train]
        return self._train(X, y, weight, valid, fresh=fresh, schedule=self.schedule, average=self.average)

    def _partial_fit(self, X, y, sample_weight=None, classes=None):
        fresh = not hasattr(self, "_net")
        with self._undone_on_failure():
            X, y, weight = self._check_rows(X, y, sample_weight, fresh=fresh, classes=classes)
            return self._train(X, y, weight, None, fresh=fresh, epochs=1, schedule="constant")

    def _check_rows(self, X, y, sample_weight, *, fresh, classes=None, ensure_min_samples=1):
        """Canonical X, encoded y and a weight a row (None where all count the same)."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        check_augmenter(self.augmenter)
        check_callbacks(self.callbacks)
        check_net_params(self.net_params)
        X, layout = self._check_X(X, reset=fresh, ensure_min_samples=ensure_min_samples)
        if fresh and layout.image_shape:
            self.value_range_ = check_value_range(self.value_range, X)
        elif fresh and self.augmenter is not None and self.augmenter._wants_images():
            warn_of_rows(self, layout.n_features)
        if not fresh:
            warn_of_other_scale(self, X)
        y, class_weight = self._check_y(y, fresh=fresh, classes=classes)
        check_consistent_length(X, y)
        weight = check_weights(sample_weight, len(X))
        if class_weight is not None:
            weight = class_weight if weight is None else weight * class_weight
            if not weight.any():
                raise ValueError("class_weight must leave a row with a weight above 0, got weights that are all 0")
        if fresh and classes is None:
            self._check_weighted(y, weight)
        return X, y, weight

    def _check_validation_rows(self, X_val, y_val):
        """Canonical X_val and encoded y_val; None if there are none."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together, but one of them is None")
        if X_val is None:
            return None
        with naming_validation_rows():
            return self._check_rows(X_val, y_val, None, fresh=False)[:2]

    def _check_weighted(self, y, weight):
        """Raise an error if the weights leave too little of y."""

    def _check_X(self, X, *, reset, ensure_min_samples=1):
        """X as a table, or as images (n, height, width, channels)."""
        X, layout = check_X(self, X, reset=reset, image_shape=self.image_shape, ensure_min_samples=ensure_min_samples)
        return (layout.to_images(X) if layout.image_shape else X), layout

    def _split(self, X, y):
        """The numbers of the rows to train on and of those to validate on."""
        share, by_class = self.validation_fraction, y.dtype == np.int64
        if hasattr(share, "split"):
            with FILTERS():  # splitters of scikit-learn check y
                return next(iter(share.split(X, y)))
        if by_class:
            check_held_out(y, share, self.classes_)
        rng, stratify = check_random_state(self.random_state), y if by_class else None
        with FILTERS():
            return train_test_split(np.arange(len(X)), test_size=share, stratify=stratify, random_state=rng)

    def _train(self, X, y, weight, valid, *, fresh, **how):
        from ._randomness import draws_nothing, own_randomness
        from ._snapshot import kept_on_failure
        from .engines.skorch import release_memory

        if fresh and self.lr == "auto":
            self._find_rate(X, y, weight)
        X, y, weight, seed = self._learn_from(X, y, weight, fresh=fresh)
        with kept_on_failure(None if fresh else self._net), ExitStack() as alone:
            alone.enter_context(own_randomness(seed, self._device))
            training = self._set_up(X, y, weight, valid, seed, fresh=fresh, **how)
            if draws_nothing(self._net, self._called_module(), self.augmenter):
                alone.close()  # others may draw from torch's generators now
            self._complete(self._run_epochs(*training, how["schedule"]))
        release_memory(self._device)
        return self

    def _find_rate(self, X, y, weight):
        from ._range_test import find_rate

        self.lr_ = find_rate(self, X, y, weight)

    _range_test_params = {}  # what another training than fit's needs for its rate to be found

    def _learn_from(self, X, y, weight, *, fresh):
        """The rows that count, their weights of mean 1, and the seed of this training."""
        if weight is not None:
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
            weight = weight / weight.max()  # first: a sum of huge weights would overflow
            weight = weight / weight.mean()
        if fresh:
            self._learn_targets(y, weight)
            self.n_iter_ = 0
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
            self._choose_device(X)
        return X, y, weight, (self._seed + self.n_iter_) % 2**31

    def _set_up(self, X, y, weight, valid, seed, *, fresh, schedule, average=None, epochs=None):
        """All that comes before the first epoch; the rows to train and to validate on, and the number of epochs."""
        from ._magnitude import check_table, check_targets
        from .engines.skorch import computes_elsewhere, follow_settings, set_up_training

        if fresh:
            self._start(y)
            self._choose_dtype(len(y))
        settings = self._settings()
        self.lr_ = settings["lr"]
        epochs = epochs or settings["max_epochs"]
        dataset = self._make_dataset(X, self._mixable_targets(y), weight, fresh=fresh)
        if fresh:
            self._net = self._make_net(dataset)
        else:
            follow_settings(self._net, *(settings[name] for name in ("lr", "weight_decay", "batch_size")))
            self._follow_targets(y)
        check_table(self, X)
        check_targets(y, dataset.y)
        self._net.prepare_train_, self._net.prepare_valid_ = self._make_preparation(seed)
        augments = self.augmenter is not None and dataset.x.ndim == 4
        self._net.prepares_ahead_ = augments and computes_elsewhere(self._device)
        self._before_epochs(len(dataset))
        if valid is not None:
            check_table(self, valid[0])
            y_valid, valid = valid[1], self._make_dataset(*valid, None, held_out=True)
            check_targets(y_valid, valid.y)
        set_up_training(
            self._net,
            n_rows=len(dataset),
            epochs=epochs,
            seed=seed,
            schedule=schedule,
            average=average,
            clip_norm=self.clip_norm,
            patience=self.n_iter_no_change,
            score=None if valid is None else self._scoring(),
            stops=valid is not None and self.early_stopping,
            verbose=self.verbose,
        )
        return dataset, valid, epochs

    def _run_epochs(self, dataset, valid, epochs, schedule):
        """Train; returns the number of whole epochs."""
        from .engines.skorch import run_epochs

        return run_epochs(self._net, dataset, valid, epochs)

    def _complete(self, n_epochs):
        """All that comes after the last epoch."""
        self.n_iter_ += n_epochs
        self._net.prepare_train_ = None

    @staticmethod
    def _fit_many(fits):
        """Fit many nets together, as far as that is faster; see :func:`sktricks.training._fit_many.fit_many`."""
        from ._fit_many import fit_many

        return fit_many(fits)

    def _part_to_stack(self):
        """The module whose parameters are all that is trained, called with what the dataset holds; None if none is."""
        return self._net.module_

    def _called_module(self):
        """The module that is called in a training."""
        part = self._part_to_stack()
        return self._net.module_ if part is None else part

    def _settings(self):
        """The parameters of the training; a subclass may fill in those that are None."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return {**settings, "lr": self.lr_} if self.lr == "auto" else settings

    def _start(self, y):
        """Prepare a first training, before there are tensors."""

    def _follow_targets(self, y):
        """Adapt what the first training learned of y to the y of a later one."""

    def _before_epochs(self, n_rows):
        """Adapt the net to the rows of this training."""

    def _choose_device(self, X):
        from ._inputs import pick_device

        self._device = pick_device(self.device, images=X.ndim == 4)

    def _choose_dtype(self, n_rows):
        """Choose what to compute in: float64 if all rows form one batch, and module and loss are not the user's own."""
        import torch

        from ._inputs import supports_float64
        from ._loader import batch_bounds
        from .engines.skorch import is_own_loss

        one_batch = len(batch_bounds(n_rows, self._settings()["batch_size"])) == 1
        exact = one_batch and self._may_be_exact and not is_own_loss(self.loss)
        exact = exact or not self._has_default_module  # until the user's module is there and says what it computes in
        self._dtype = torch.float64 if exact and supports_float64(self._device) else torch.float32

    @property
    def _has_default_module(self):
        """True if the module is ours: it standardizes its inputs, and computes in any dtype."""
        return isinstance(getattr(self, "module", "mlp"), str)

    @property
    def _may_be_exact(self):
        """True if what is trained may compute in float64, in which a weight of 2 equals a row given twice."""
        return self._has_default_module

    def _mixable_targets(self, y):
        """Classes as probabilities where the augmenter mixes rows and their targets."""
        if self.augmenter is None or self.augmenter._mixing_target() is None or y.dtype != np.int64:
            return y
        return np.eye(self._n_outputs)[y]

    def _make_dataset(self, X, y, weight, **how):
        """Tensors of some rows."""
        from ._inputs import as_tensor
        from ._loader import ArrayDataset

        x = self._read_inputs(X, **how)
        y = as_tensor(self._scale_targets(y), None if y.dtype == np.int64 else self._dtype)
        return ArrayDataset(x, y, None if weight is None else as_tensor(weight, self._dtype))

    def _read_inputs(self, X, *, fresh=False, fit=True, held_out=False, view=None):
        """The tensor from which batches are taken: a table, or canonical images; as a view has them, if there is one.

        A ``fresh`` net learns what its inputs are like. Rows are those of ``fit``, maybe ``held_out``, or to predict.
        """
        from ._inputs import as_tensor, images_to_tensor, table_dtype, view_of

        if fresh:
            self._draw_views(X.shape[1:] if X.ndim == 4 else (1, X.shape[1], 1))  # a row is a signal of one channel
        if X.ndim == 4:
            x = images_to_tensor(X, self._pixel_range)
        else:  # the default module subtracts the mean before it rounds
            exact = fresh or self._has_default_module
            x = as_tensor(X, table_dtype(X.dtype, self._device) if exact else self._dtype)
        return x if view is None else view_of(x, view, self._pixel_range, self.augmenter)

    def _draw_views(self, shape):
        """Check the augmenter against images of this shape, and draw the views that predictions are the mean over."""
        from ..augment.copies._views import draw_views

        if self.augmenter is not None:
            self.augmenter._check_images(shape, self._pixel_range)
        rng = np.random.default_rng([self._seed, 1])  # not that of the draws in training
        rng = None if self.augmenter is None else self.augmenter._make_rng(rng)
        views = draw_views(self.augmenter, rng, max(self.predict_views, self._n_fit_views), shape)
        self._views, self._fit_views = views[: self.predict_views], views[: self._n_fit_views]

    _n_fit_views = 0  # that are trained on in the place of fresh draws

    @property
    def _pixel_range(self):
        """The range of pixels; None for a table."""
        return getattr(self, "value_range_", None)

    def _make_preparation(self, seed):
        """What happens to a batch on its way to the net, in training and at prediction."""
        rng = None if self.augmenter is None else self.augmenter._make_rng(seed)
        return self._preparation(self.augmenter, rng), self._preparation(self.augmenter)

    def _preparation(self, augmenter=None, rng=None):
        """A function of a batch and its targets, or None; with ``rng`` the augmenter draws anew, else it does not."""
        from ._inputs import prepare_images, prepare_table

        if self.image_shape_ is None:
            return None if augmenter is None else prepare_table(augmenter, rng)
        return prepare_images(self.value_range_, augmenter, rng)

    def _make_net(self, dataset):
        """A new skorch net, initialised, for the rows of ``dataset``."""
        import torch

        from ._inputs import supports_float64
        from ._modules import dtype_of
        from .engines.skorch import make_loss, make_net

        module_params, loss_params, params = self._split_net_params()
        settings = self._settings()
        loss = self._default_loss() if isinstance(self.loss, str) and self.loss == "auto" else self.loss
        outputs = self._make_outputs()
        module = self._make_module(dataset, module_params)
        if not supports_float64(self._device):
            module = module.float()
        if not self._has_default_module:
            self._dtype = torch.float64 if dtype_of(module) == torch.float64 else torch.float32
            dataset.cast(self._dtype)
        net = make_net(
            module,
            outputs.adapt_loss(make_loss(loss, self._loss_smoothing, loss_params)).to(self._dtype),
            **{name: settings[name] for name in SETTINGS if name != "max_epochs"},
            device=self._device,
            callbacks=[*copy_callbacks(self.callbacks), *self._own_callbacks()],
            params=params,
            outputs=outputs,
        )
        net.input_dtype_ = None if self._has_default_module else dtype_of(module)
        return net

    def _own_callbacks(self):
        """Callbacks of a subclass, named, which follow the user's."""
        return []

    def _build_again(self):
        """The net as ``fit`` built it, untrained, where all else that ``fit`` learned is known: ``load`` fills it."""
        from ._loader import ArrayDataset

        self._net = self._make_net(ArrayDataset(self._blank_row(), None))

    def _blank_row(self):
        """A row like those of ``fit``, to build a net for."""
        images = self.image_shape_ is not None
        shape = self.image_shape_ if images else (self.n_features_in_,)
        return self._read_inputs(np.zeros((1, *shape), np.uint8 if images else np.float64))

    # -- curves ------------------------------------------------------------------------------------------------------

    @property
    def loss_curve_(self):
        """The training loss of each epoch, a list of floats."""
        return self._curve("train_loss")

    @property
    def validation_loss_curve_(self):
        """The validation loss of each epoch that had validation rows, a list of floats."""
        return self._curve("valid_loss")

    @property
    def validation_scores_(self):
        """What ``score`` says of the validation rows at the end of each epoch that had some, a list of floats."""
        return self._curve("valid_score")

    @property
    def lr_curve_(self):
        """The learning rate of each epoch, its mean over the updates, a list of floats."""
        from ._curves import rates

        check_is_fitted(self)
        return rates(self._net.history)

    def _curve(self, name):
        from ._curves import curve

        check_is_fitted(self)
        return curve(self._net.history, name)

    # -- predicting --------------------------------------------------------------------------------------------------

    def _mean_over_views(self, X, finish):
        """The mean over all views of what a function makes of the module's outputs to rows as they are seen.

        Parameters
        ----------
        X : array-like
        finish : callable
            Of logits or values, a float tensor (n, outputs).

        Returns
        -------
        mean : ndarray of shape (n, outputs)
        """
        import torch

        from ._inputs import table_dtype
        from ._magnitude import check_table
        from .engines.skorch import predict_rows

        check_is_fitted(self)
        X, _ = self._check_X(X, reset=False)
        check_table(self, X)
        warn_of_other_scale(self, X)
        exact = X.ndim == 2 and table_dtype(X.dtype, self._device) == torch.float64  # as precise as the table
        total, views = 0, [None, *self._views]
        for view in views:
            prepare = self._net.prepare_valid_ if view is None else self._preparation()
            outputs = predict_rows(self._net, X, partial(self._read_inputs, fit=False, view=view), prepare)
            total = total + finish(outputs.double() if exact else outputs)
        return (total / len(views)).numpy()
