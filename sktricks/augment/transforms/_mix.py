"""Mixed rows with mixed targets.

Classes are mixed as probabilities: a matrix with a column per class, which starts as one-hot rows. Values are mixed as
they are. The kind of target is determined once, in ``fit`` (:class:`TargetMixing`).
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..._labels import check_labels, encode_labels
from ..._threads import check_array
from ..._warnings import UnmixedRowsWarning, warn
from .._base_augmenter import BaseAugmenter
from .._pixel_values import to_float
from ._erase import draw_boxes


def read_target(y, n, target="auto"):
    """Return ``("classes", labels)`` or ``("values", floats)``; two columns or more are always values.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, columns)
    n : int
        Rows of X.
    target : {"auto", "classes", "values"}
        ``"auto"`` takes strings, booleans and integers as classes.
    """
    y = np.asarray(y)
    if y.ndim not in (1, 2) or len(y) != n:
        raise ValueError(f"y must have shape ({n},) or ({n}, columns), one row for each of X, got {y.shape}")
    if y.ndim == 2 and y.shape[1] == 1 and target == "classes":
        y = y[:, 0]
    y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    kind = np.array(y.tolist()).dtype.kind if y.dtype == object else y.dtype.kind
    if y.ndim == 1 and target != "values" and (target == "classes" or kind in "biuOSU"):
        return "classes", y
    if kind not in "biuf":
        raise ValueError(f"y must hold numbers to be mixed as values, got dtype {y.dtype} of shape {y.shape}")
    return "values", y if y.dtype == np.float32 else y.astype(np.float64)


def draw_partners(rng, n, groups=None):
    """Draw a partner for each row: a random permutation, within each group if there are groups."""
    if groups is None:
        return rng.permutation(n)
    partner = np.empty(n, dtype=np.intp)
    # Sorted by group, the rows in their order and the rows in a random order meet group by group.
    partner[np.argsort(groups, kind="stable")] = np.lexsort((rng.random(n), groups))
    return partner


def draw_weights(rng, alpha, n):
    """Draw the weight of each row itself: from Beta(alpha, alpha), or 1 if alpha is 0."""
    if alpha == 0:
        return np.ones(n)
    alpha = max(alpha, 1e-6)  # below, all weights are 0 or 1, and numpy 1.25 never ends
    return rng.beta(alpha, alpha, n)


class TargetMixing:
    """Handling of y in augmenters that mix targets; in a pipeline only if one of its steps mixes.

    ``target_`` is ``"classes"``, ``"values"`` or, without y, None; ``classes_`` are the sorted classes.
    """

    def _mixing_target(self):
        return self.target

    def _learn_target(self, y, n):
        for stale in ("classes_", "target_"):
            vars(self).pop(stale, None)
        target = self._mixing_target()
        if target is None:
            return
        self.target_ = None
        if y is not None:
            self.target_, labels = read_target(y, n, target)
            if self.target_ == "classes":
                check_labels(labels)
                self.classes_ = np.unique(labels)

    def _encode_target(self, y):
        target = self._mixing_target()
        if target is None or y is None:
            return None
        kind, values = read_target(y, len(y), self._known_target())
        if kind == "values":
            return values
        return np.eye(len(self._known_classes()))[encode_labels(values, self.classes_)]

    def _groups(self, y, n):
        target = self._mixing_target()
        if target is None:
            return None
        if y is None and target == "classes":
            raise ValueError(f'target="classes" needs labels: {type(self).__name__} got no y')
        kind, labels = ("none", None) if y is None else read_target(y, n, self._known_target())
        if kind == "classes":
            return encode_labels(labels, self._known_classes())
        warn(
            f"{type(self).__name__} has no classes to mix within, and y cannot change here: the rows are not mixed. "
            "augment(X, y) mixes both",
            UnmixedRowsWarning,
        )
        return np.arange(n)  # each row mixes with itself, which is exactly itself

    def _known_target(self):
        target = self._mixing_target()
        return self.target_ or target if target == "auto" else target

    def _known_classes(self):
        if not hasattr(self, "classes_"):
            raise ValueError(f"{type(self).__name__} was fitted without labels, y has some: fit(X, y) learns classes_")
        return self.classes_


class MixUp(TargetMixing, BaseAugmenter):
    """Mix each row with another one, and their targets alike [1]_.

    Row and target become ``weight * own + (1 - weight) * partner``, with a weight from a Beta(alpha, alpha)
    distribution and a partner from a random permutation, drawn for each row.

    ``augment(X, y)`` returns mixed targets: for classes a probability matrix ``(n, classes)`` with columns in the order
    of ``classes_``; numbers, and any y with two columns or more (labels as indicators, probabilities), are mixed as
    they are. ``fit_transform`` cannot change y: it mixes rows of the same class only; without classes the rows pass
    unmixed, with an :class:`UnmixedRowsWarning`, as they do in ``augment`` without y. ``transform`` leaves X as it is.

    Where samples have weights (``sample_weight`` or ``class_weight`` of a net or an :class:`AugmentedClassifier`), each
    part of a mixed target carries the sample weight of the row that it comes from: the loss of a mixed row is
    ``weight * own_weight * loss(own) + (1 - weight) * partner_weight * loss(partner)``. Nets compute it as the loss of
    the weighted mean target times the sum of both weights, which is the same for the cross-entropy and the binary
    cross-entropy, and has the same gradient for the squared error; for other losses of a regression it is an
    approximation.

    Parameters
    ----------
    alpha : float, default=0.2
        Parameter of the Beta distribution, at least 0. Small ones leave most rows almost pure, 1 is uniform; with 0 no
        row is mixed.
    target : {"auto", "classes", "values"}, default="auto"
        The kind of y. ``"auto"`` takes strings, booleans and integers as classes, floats as values.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted classes, if y of ``fit`` held classes.
    target_ : {"classes", "values"} or None
        The kind of y in ``fit``.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import MixUp
    >>> X, y = np.array([[0.0], [10.0]]), np.array(["no", "yes"])
    >>> X_new, probabilities = MixUp(alpha=1, random_state=1).augment(X, y)
    >>> np.allclose(X_new[:, 0], 10 * probabilities[:, 1])
    True
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "target": [StrOptions({"auto", "classes", "values"})],
    }
    mixes_rows = True

    def __init__(
        self,
        alpha: float = 0.2,
        target: str = "auto",
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.alpha = alpha
        self.target = target

    def draw(self, rng, n, shape, y=None):
        return {"share": draw_weights(rng, self.alpha, n), "partner": draw_partners(rng, n, y)}

    def mix(self, images, params, read):
        """Return ``images + (partners - images) * (1 - weight)``: exactly the image if it is its own partner."""
        partners = to_float(read(params["partner"]))
        partners -= images
        partners *= (1 - params["share"]).astype(images.dtype)[:, None, None, None]
        images += partners
        return images


class CutMix(TargetMixing, BaseAugmenter):
    """Paste a rectangle of another row into each row, and mix their targets by its area [1]_.

    The fraction that a row keeps is drawn from a Beta(alpha, alpha) distribution, and then computed again from the
    whole pixels of the rectangle. The rectangle has the proportions of the image and can be anywhere inside. The
    partner comes from a random permutation. Rows without ``image_shape`` are signals, into which a stretch of another
    one is pasted.

    ``augment(X, y)`` returns targets ``fraction * own + (1 - fraction) * partner``, as :class:`MixUp` does, and samples
    with weights are mixed as described there. ``fit_transform`` cannot change y: it mixes rows of the same class only;
    without classes the rows pass unmixed, with an :class:`UnmixedRowsWarning`, as they do in ``augment`` without y.
    ``transform`` leaves X as it is.

    Parameters
    ----------
    alpha : float, default=1.0
        Parameter of the Beta distribution, at least 0. 1 is uniform; with 0 no row is mixed.
    target : {"auto", "classes", "values"}, default="auto"
        The kind of y. ``"auto"`` takes strings, booleans and integers as classes, floats as values.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted classes, if y of ``fit`` held classes.
    target_ : {"classes", "values"} or None
        The kind of y in ``fit``.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    References
    ----------
    .. [1] S. Yun, D. Han, S. J. Oh, S. Chun, J. Choe, Y. Yoo, "CutMix: Regularization strategy to train strong
       classifiers with localizable features", ICCV 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import CutMix
    >>> X = np.stack([np.zeros((8, 8)), np.ones((8, 8))])
    >>> X_new, probabilities = CutMix(random_state=3).augment(X, ["zero", "one"])
    >>> np.allclose(X_new.mean(axis=(1, 2)), probabilities[:, 0])
    True
    """

    _parameter_constraints: dict = MixUp._parameter_constraints
    mixes_rows = True
    needs_float = False
    keeps_values = True

    def __init__(
        self,
        alpha: float = 1.0,
        target: str = "auto",
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.alpha = alpha
        self.target = target

    def draw(self, rng, n, shape, y=None):
        kept = draw_weights(rng, self.alpha, n)
        boxes = draw_boxes(rng, shape, 1 - kept, np.full(n, shape[1] / shape[0]))
        boxes[kept == 1] = 0
        partner = draw_partners(rng, n, y)
        pasted = boxes[:, 2] * boxes[:, 3] / (shape[0] * shape[1])
        return {"share": 1 - pasted, "partner": partner, "box": boxes}

    def mix(self, images, params, read):
        partners = read(params["partner"])
        for image, partner, (top, left, height, width) in zip(images, partners, params["box"], strict=True):
            box = slice(top, top + height), slice(left, left + width)
            image[box] = partner[box]
        return images
