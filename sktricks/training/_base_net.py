"""The base class of all nets: parameters, ``fit`` and ``partial_fit``, and curves.

A net here is a plain ``BaseEstimator`` that builds a skorch net in ``fit`` and keeps it as ``net_``. torch and skorch
are imported in the methods that need them, so that constructing, cloning and printing estimators is fast.
"""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._kept_params import warn_of_changes
from .._naming import RenamedMethodsMixin
from .._project import LinksToDocs
from ._hooks import InputHooks
from ._net_params import NetParamsMixin
from ._rows import Rows, check_rows, check_validation_rows, hold_out

if TYPE_CHECKING:
    import skorch


class BaseNet(RenamedMethodsMixin, LinksToDocs, InputHooks, NetParamsMixin, BaseEstimator):
    """Base class of all nets.

    Subclasses define hooks: :class:`~sktricks.training._hooks.InputHooks` for X and the module, and
    :class:`~sktricks.training._hooks.TargetHooks` for y, which the mixins for classifiers and regressors define.
    """

    _parameter_constraints: dict = {
        "image_shape": [Integral, "array-like", None],
        "value_range": ["array-like", None],
        "augmenter": "no_validation",  # check_augmenter raises clearer errors
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
        "device": "no_validation",  # torch itself validates devices
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
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
    def net_(self) -> skorch.NeuralNet:
        """The fitted skorch net."""
        check_is_fitted(self)
        return self._net

    # -- fitting -----------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        if self.average is not None and self.early_stopping:
            raise ValueError(
                f"average and early_stopping cannot be combined: got average={self.average!r} and early_stopping=True"
            )
        fresh = not (self.warm_start and hasattr(self, "_net"))
        with self._undone_on_failure():
            rows = check_rows(self, X, y, sample_weight, fresh=fresh, ensure_min_samples=2)
            rows.valid = check_validation_rows(self, X_val, y_val)
            if rows.valid is None and self.early_stopping:
                rows = hold_out(self, rows)
            return self._train(rows, fresh)

    def _partial_fit(self, X, y, sample_weight=None, classes=None):
        fresh = not hasattr(self, "_net")
        with self._undone_on_failure():
            return self._train(check_rows(self, X, y, sample_weight, fresh=fresh, classes=classes), fresh, epochs=1)

    @contextmanager
    def _undone_on_failure(self):
        """Restore the estimator if a fit fails within the context."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _train(self, rows: Rows, fresh: bool, epochs: int | None = None):
        from ._range_test import find_rate
        from .run import finish, open_run, train

        if not fresh:
            warn_of_changes(self, "call fit with warm_start=False")
        if fresh and self.lr == "auto":
            self.lr_ = find_rate(self, rows)
        with open_run(self, rows, fresh=fresh, epochs=epochs) as run:
            train([run])
            finish(self, run)
        return self

    @staticmethod
    def _fit_many(fits):
        """Fit many nets together if this is faster; see :func:`sktricks.training._fit_many.fit_many`."""
        from ._fit_many import fit_many

        return fit_many(fits)

    def _build_again(self):
        """Build the untrained net from the other fitted attributes, as ``fit`` did; ``load`` fills in the weights."""
        from ._loader import ArrayDataset
        from ._make_net import build_net

        dataset = ArrayDataset(self._blank_row(), None)
        self._net = build_net(self, dataset)
        self._adapt_net(self._net, dataset)

    def _narrow(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Reduce the channels of the layers of an untrained net to the given tensor shapes of its module."""
        from ._narrow import narrow, parameters_replaced

        with parameters_replaced(self._net):
            narrow(self._net.module_, shapes)
        self._follow_widths()

    def _follow_widths(self) -> None:
        """Update attributes that depend on the layers after their channels were reduced."""

    # -- curves ------------------------------------------------------------------------------------------------------

    @property
    def loss_curve_(self):
        """The training loss of each epoch, as a list of floats."""
        return self._curve("train_loss")

    @property
    def validation_loss_curve_(self):
        """The validation loss of each epoch with validation rows, as a list of floats."""
        return self._curve("valid_loss")

    @property
    def validation_scores_(self):
        """The score of the validation rows after each epoch that had some, as a list of floats."""
        return self._curve("valid_score")

    @property
    def lr_curve_(self):
        """The mean learning rate over the steps of each epoch, as a list of floats."""
        from ._curves import rates

        check_is_fitted(self)
        return rates(self._net.history)

    def _curve(self, name):
        from ._curves import curve

        check_is_fitted(self)
        return curve(self._net.history, name)
