"""MixUp and CutMix: mix rows and their targets.

Classes are mixed as probabilities: one-hot rows become a matrix with one column per class. Values are mixed directly.
The kind of target is determined once, in ``fit`` (:class:`TargetMixing`).
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
    """Return ``("classes", labels)`` or ``("values", floats)``; targets with several columns are always values.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, columns)
    n : int
        Rows of X.
    target : {"auto", "classes", "values"}
        ``"auto"`` treats strings, booleans and integers as classes.
    """
    y = np.asarray(y)
    if y.ndim not in (1, 2) or len(y) != n:
        raise ValueError(f"y must have shape ({n},) or ({n}, columns), one row per row of X, got {y.shape}")
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
    """Draw a partner for each row, by a random permutation of all rows or within each group."""
    if groups is None:
        return rng.permutation(n)
    partner = np.empty(n, dtype=np.intp)
    # Both index arrays are sorted by group, one in the order of the rows and one in random order within each group.
    partner[np.argsort(groups, kind="stable")] = np.lexsort((rng.random(n), groups))
    return partner


def draw_weights(rng, alpha, n):
    """Draw the weight of each row's own values from Beta(alpha, alpha); 1 if alpha is 0."""
    if alpha == 0:
        return np.ones(n)
    alpha = max(alpha, 1e-6)  # smaller values give only 0 and 1, and numpy 1.25 loops forever
    return rng.beta(alpha, alpha, n)


class TargetMixing:
    """Mixin that handles y in augmenters that mix targets, and in pipelines with such a step.

    ``target_`` is ``"classes"``, ``"values"``, or None without y; ``classes_`` are the sorted classes.
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
            raise ValueError(f'target="classes" requires labels, but {type(self).__name__} got no y')
        kind, labels = ("none", None) if y is None else read_target(y, n, self._known_target())
        if kind == "classes":
            return encode_labels(labels, self._known_classes())
        warn(
            f"{type(self).__name__} does not mix the rows, because there are no classes to mix within and y cannot "
            "change here: call augment(X, y) to mix both",
            UnmixedRowsWarning,
        )
        return np.arange(n)  # each row mixes with itself, which changes nothing

    def _known_target(self):
        target = self._mixing_target()
        return self.target_ or target if target == "auto" else target

    def _known_classes(self):
        if not hasattr(self, "classes_"):
            raise ValueError(f"{type(self).__name__} was fitted without labels, but got y: call fit(X, y) first")
        return self.classes_


class MixUp(TargetMixing, BaseAugmenter):
    """Mix each row and its target with those of another row [1]_.

    Row and target become ``weight * own + (1 - weight) * partner``. For each row, the weight is drawn from a
    Beta(alpha, alpha) distribution, and the partner from a random permutation.

    ``augment(X, y)`` returns mixed targets: for classes, a probability matrix ``(n, classes)`` with columns in the
    order of ``classes_``; numbers, and any y with two or more columns (multilabel indicators, probabilities), are mixed
    directly. ``fit_transform`` cannot change y, so it mixes rows only within each class; without classes the rows are
    not mixed, with an :class:`UnmixedRowsWarning`, as in ``augment`` without y. ``transform`` returns X unchanged.

    With sample weights (``sample_weight`` or ``class_weight`` of a net or an :class:`AugmentedClassifier`), each part
    of a mixed target has the sample weight of its row: the loss of a mixed row is ``weight * own_weight * loss(own) +
    (1 - weight) * partner_weight * loss(partner)``. Nets compute it as the loss of the weighted mean target times the
    sum of both weights. This is exact for cross-entropy and binary cross-entropy, has the same gradient for squared
    error, and is an approximation for other regression losses.

    Parameters
    ----------
    alpha : float, default=0.2
        Parameter of the Beta distribution, at least 0. With small values most rows change little, 1 gives uniform
        weights, and with 0 no row is mixed.
    target : {"auto", "classes", "values"}, default="auto"
        The kind of y. ``"auto"`` treats strings, booleans and integers as classes, floats as values.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted classes, if y of ``fit`` held classes.
    target_ : {"classes", "values"} or None
        The kind of y in ``fit``.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    CutMix : Paste a rectangle of another image.
    AugmentedClassifier : Train any classifier on mixed rows.

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
        # Computed as images + (partners - images) * (1 - weight), which is exact if a row is its own partner.
        partners = to_float(read(params["partner"]))
        partners -= images
        partners *= (1 - params["share"]).astype(images.dtype)[:, None, None, None]
        images += partners
        return images


class CutMix(TargetMixing, BaseAugmenter):
    """Paste a rectangle of another image into each image, and mix their targets by its area [1]_.

    The fraction of its own pixels that an image keeps is drawn from a Beta(alpha, alpha) distribution, and corrected
    after the rectangle is rounded to whole pixels. The rectangle has the aspect ratio of the image, and its position
    inside the image is uniform. The partner comes from a random permutation. Rows without ``image_shape`` are signals,
    into which an interval of another signal is pasted.

    ``augment(X, y)`` returns targets ``fraction * own + (1 - fraction) * partner``; kinds of targets and sample weights
    are handled as in :class:`MixUp`. ``fit_transform`` cannot change y, so it mixes rows only within each class;
    without classes the rows are not mixed, with an :class:`UnmixedRowsWarning`, as in ``augment`` without y.
    ``transform`` returns X unchanged.

    Parameters
    ----------
    alpha : float, default=1.0
        Parameter of the Beta distribution, at least 0. 1 gives a uniform distribution; with 0 no row is mixed.
    target : {"auto", "classes", "values"}, default="auto"
        The kind of y. ``"auto"`` treats strings, booleans and integers as classes, floats as values.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted classes, if y of ``fit`` held classes.
    target_ : {"classes", "values"} or None
        The kind of y in ``fit``.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    MixUp : Mix all values of two rows.
    RandomErasing : Erase a rectangle instead of pasting another image.

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
