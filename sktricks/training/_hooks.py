"""All hooks that subclasses of nets may override, in the order in which a training calls them.

``fit`` and ``partial_fit`` check the rows (``_check_X``, ``_check_y``), then :func:`~sktricks.training.run.prepare`
calls the other hooks from ``_start`` to ``_trained_part``, and ``_after_training`` is called last. The hooks of
:class:`InputHooks` process X, and have defaults for tables and images; those of :class:`TargetHooks` interpret y, and
are defined by ``ClassifierNetMixin`` and ``RegressorNetMixin``. Nothing else in
:class:`~sktricks.training._base_net.BaseNet` is meant to be overridden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._validation import check_X

if TYPE_CHECKING:
    import torch
    from skorch.callbacks import Callback

    from .._layout import Layout
    from ._inner_net import InnerNet
    from ._loader import ArrayDataset
    from ._rows import Rows

    # Maps a batch, its targets and its weights (or None) to the three inputs of the module and the loss.
    Preparation = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor | None], tuple]

KEPT = (
    *("module", "init", "image_shape", "value_range", "categorical_features", "predict_views", "loss"),
    *("label_smoothing", "optimizer", "callbacks", "net_params", "device", "precision", "random_state"),
)
SETTINGS = ("optimizer", "lr", "weight_decay", "max_epochs", "batch_size")


class InputHooks:
    """Hooks for X: from checked rows to a module and its batches."""

    # Parameters that are set in a copy of the estimator for a range test.
    _range_test_params: ClassVar[dict[str, Any]] = {}

    def _check_X(self, X, *, reset: bool, **how) -> tuple[Any, Layout]:
        """Return X as a table (n, features) or as images (n, height, width, channels), and its layout.

        ``how`` has ``ensure_min_samples`` and ``input_name``, the name of X in errors, for :func:`check_X`.
        """
        X, layout = check_X(self, X, reset=reset, image_shape=self.image_shape, **how)
        return (layout.to_images(X) if layout.image_shape else X), layout

    def _start(self, rows: Rows, *, fresh: bool) -> None:
        """Learn from the rows what is needed before tensors are created; a ``fresh`` net has learned nothing yet."""

    def _settings(self) -> dict[str, Any]:
        """Return the parameters in ``SETTINGS``; a subclass replaces those that are None or "auto"."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return {**settings, "lr": self.lr_} if self.lr == "auto" else settings

    _must_be_exact: bool = False  # True if the net computes in float64 for any number of rows

    @property
    def _module_precision(self) -> str:
        """Precision of the module's computation: ``"float32"`` (or its own dtype) or ``"bfloat16"``."""
        return self.precision_

    @property
    def _may_be_exact(self) -> bool:
        """True if the trained part may compute in float64, in which a weight of 2 equals a row given twice."""
        return self._has_default_module

    def _read_inputs(
        self, X, *, fresh: bool = False, fit: bool = True, held_out: bool = False, view=None, progress=None
    ) -> torch.Tensor:
        """Return the tensor from which batches are taken: a table, or canonical images.

        Parameters
        ----------
        X : ndarray or ImageFiles
        fresh : bool, default=False
            True if the net learns properties of its inputs from these rows.
        fit : bool, default=True
            False for rows to predict.
        held_out : bool, default=False
            True for rows for validation.
        view : view or None, default=None
            The augmented view of the rows to return.
        progress : Progress or None, default=None
            Counts images that are encoded on the way; None for a count of its own.
        """
        from ._inputs import as_tensor, images_to_tensor, table_dtype, view_of

        if fresh:
            self._draw_views(X.shape[1:] if X.ndim == 4 else (1, X.shape[1], 1))  # a row is a signal of one channel
        if X.ndim == 4:
            x = images_to_tensor(X, self._pixel_range)
        else:  # the default module subtracts the mean before rounding
            exact = fresh or self._reads_exactly
            x = as_tensor(X, table_dtype(X.dtype, self._device) if exact else self._dtype)
        return x if view is None else view_of(x, view, self._pixel_range, self._augmenter)

    def _draw_views(self, shape: tuple[int, int, int]) -> None:
        """Check the augmenter for images of this shape, and draw the views for predictions."""
        from ..augment.copies._views import draw_views, warn_of_ignored_views

        if self.augmenter is not None:
            self.augmenter._check_images(shape, self._pixel_range)
        seeded = np.random.default_rng([self._seed, 1])  # independent of the draws in training
        rng = None if self.augmenter is None else self.augmenter._make_rng(seeded)
        views = draw_views(self._augmenter, rng, max(self.predict_views, self._n_fit_views), shape)
        self._views, self._fit_views = views[: self.predict_views], views[: self._n_fit_views]
        if not views:
            ignored = {"n_views": getattr(self, "n_views", 1) > 1, "predict_views": self.predict_views > 0}
            warn_of_ignored_views(self, self.augmenter, **ignored)

    _n_fit_views: int = 0  # number of fixed augmented views for training, instead of new draws

    def _make_module(self, dataset: ArrayDataset, params: dict[str, Any]) -> torch.nn.Module:
        """Return a new module for the rows of ``dataset``; ``params`` are those of ``net_params`` for the module."""
        raise NotImplementedError

    def _own_callbacks(self) -> list[tuple[str, Callback]]:
        """Return named callbacks that a new net calls after the user's."""
        return []

    def _adapt_net(self, net: InnerNet, dataset: ArrayDataset) -> None:
        """Adapt a newly built net, for example by freezing layers, or adapt the rows that it is trained on."""

    def _make_preparation(self, seed: int) -> tuple[Preparation | None, Preparation | None]:
        """Return the functions that prepare batches for the module, in training and at prediction time."""
        rng = None if self.augmenter is None else self.augmenter._make_rng(seed)
        return self._preparation(self.augmenter, rng), self._preparation(self._augmenter)

    def _preparation(self, augmenter=None, rng=None) -> Preparation | None:
        """Return a function that prepares a batch; without ``rng``, it applies the augmenter's deterministic form."""
        from ._inputs import prepare_images, prepare_table

        if self.image_shape_ is None:
            return None if augmenter is None else prepare_table(augmenter, rng)
        return prepare_images(self.value_range_, augmenter, rng)

    def _before_epochs(self, n_rows: int) -> None:
        """Adapt the net to the number of rows of a training."""

    def _trained_part(self) -> torch.nn.Module | None:
        """Return the module that has all trained parameters and takes rows of the dataset; None if there is none."""
        return self._net.module_

    def _after_training(self) -> None:
        """Finish a training."""

    def _blank_row(self) -> torch.Tensor:
        """Return a row like those of ``fit`` in shape and dtype, with which :func:`~sktricks.load` builds the net."""
        images = self.image_shape_ is not None
        shape = self.image_shape_ if images else (self.n_features_in_,)
        return self._read_inputs(np.zeros((1, *shape), np.uint8 if images else np.float64))

    @property
    def _kept_params(self) -> Sequence[str]:
        """Names of parameters that apply only to a new net, and are ignored when training continues."""
        return KEPT

    # These are no hooks, but used by the defaults above.

    @property
    def _has_default_module(self) -> bool:
        """True for the default module, which standardizes its inputs and computes in any dtype."""
        return isinstance(getattr(self, "module", "mlp"), str)

    @property
    def _reads_exactly(self) -> bool:
        """True if the fitted module, or the one that ``load`` will build, casts its inputs itself."""
        return self._net.input_dtype_ is None if hasattr(self, "_net") else self._has_default_module

    @property
    def _pixel_range(self):
        """The value range of pixels; None for a table."""
        return getattr(self, "value_range_", None)


class TargetHooks:
    """Hooks for y: targets, loss and outputs."""

    _n_outputs: int  # number of outputs of the module
    _loss_smoothing: float = 0.0  # label smoothing that is applied by the loss

    def _check_y(self, y, *, fresh: bool, classes=None, input_name: str = "y") -> tuple[np.ndarray, np.ndarray | None]:
        """Return y as codes (int64) or float columns, and the weight of each row by its class, or None."""
        raise NotImplementedError

    def _check_weighted(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Raise an error if too few rows of y have positive weight."""

    def _learn_targets(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Learn the scale of the targets for a new net."""

    def _follow_targets(self, y: np.ndarray) -> None:
        """Adapt the learned scale of y to the y of a later training."""

    def _scale_targets(self, y: np.ndarray) -> np.ndarray:
        """Return y as the loss receives it."""
        return y

    def _default_loss(self) -> str:
        """Return the loss for ``loss="auto"``."""
        raise NotImplementedError

    def _make_outputs(self):
        """Return the Outputs that check the module's outputs and convert them to predictions."""
        raise NotImplementedError

    def _scoring(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return the scoring function for outputs and targets of validation rows, called in each epoch."""
        raise NotImplementedError
