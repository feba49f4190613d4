"""Noise and dropout, for tables, signals and images."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._base_augmenter import BaseAugmenter
from .._parameters import is_nan
from ..kernels import _kernels
from ..kernels._counter import draw_keys, expand


class GaussianNoise(BaseAugmenter):
    """Add normal noise to every value.

    For images ``std`` is relative to the value range (0.05 is 12.75 of 255 gray levels), and the result is clipped to
    the range. For signals and tables, which have no range, ``std`` is in units of X: standardize the columns first.
    Noise is drawn independently for each value of each row. ``transform`` returns X unchanged.

    Parameters
    ----------
    std : float, default=0.05
        Standard deviation, at least 0.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    FeatureDropout : Replace values by a constant.
    SwapNoise : Replace values by those of other rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import GaussianNoise
    >>> X = np.zeros((500, 4))
    >>> print(GaussianNoise(std=0.1, random_state=0).fit_transform(X).std().round(2))
    0.1
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "std": [Interval(Real, 0, 1e30, closed="both")],  # the noise is drawn in float32
    }
    _has_kernel = True

    def __init__(
        self,
        std: float = 0.05,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.std = std

    def draw(self, rng, n, shape, y=None):
        return {"key": draw_keys(rng, n)}

    def _run(self, images, params, value_range, out=None):
        if self.std == 0:
            return images
        low, high = value_range or (0.0, 1.0)
        return _kernels.add_noise(images, params["key"], self.std * (high - low), value_range, out)


class FeatureDropout(BaseAugmenter):
    """Replace each value by ``fill`` with probability ``p``.

    Each value of each row is drawn independently; the remaining values are not scaled. ``transform`` returns X
    unchanged.

    Parameters
    ----------
    p : float, default=0.1
        Probability, from 0 to 1.
    fill : float, default=0.0
        Replacement value: 0 is the mean of a standardized column, and black in most images. NaN, a missing value,
        requires X as floats. Other values must be within the value range, if there is one.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    SwapNoise : Replace values by those of other rows.
    GaussianNoise : Add noise to values.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with
       denoising autoencoders", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import FeatureDropout
    >>> FeatureDropout(p=0.5, random_state=0).fit_transform(np.ones((1, 8))).tolist()
    [[...]]
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="both")],
        "fill": [Real],
    }

    def __init__(
        self,
        p: float = 0.1,
        fill: float = 0.0,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p
        self.fill = fill

    @property
    def keeps_values(self):
        """True if ``fill`` is 0 or NaN, which are not codes of categories."""
        return self.fill == 0 or is_nan(self.fill)

    def draw(self, rng, n, shape, y=None):
        return {"key": draw_keys(rng, n)}

    def apply(self, images, params, value_range):
        images[_dropped(self.p, params["key"], images)] = self.fill
        return images


class SwapNoise(BaseAugmenter):
    """Replace each value, with probability ``p``, by the value of the same column (or pixel) in another row.

    Columns keep the distribution of their values, and categories stay valid. The replacement and the source row are
    drawn independently for each value of each row. The source is any row of X, or of the batch in a net, including the
    row itself; labels are ignored. ``transform`` returns X unchanged.

    Parameters
    ----------
    p : float, default=0.15
        Probability, from 0 to 1.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    FeatureDropout : Replace values by a constant.
    GaussianNoise : Add noise to values.

    References
    ----------
    .. [1] M. Jahrer, winning solution of Porto Seguro's Safe Driver Prediction, Kaggle 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import SwapNoise
    >>> X = np.array([[1, 10], [2, 20], [3, 30]])
    >>> SwapNoise(p=0.5, random_state=0).fit_transform(X)
    array([[...]])
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="both")],
    }
    needs_float = False
    mixes_rows = True
    keeps_values = True

    def __init__(
        self,
        p: float = 0.15,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p

    def draw(self, rng, n, shape, y=None):
        return {"key": draw_keys(rng, n), "n": np.full(n, n)}

    def mix(self, images, params, read):
        swapped = _dropped(self.p, params["key"], images)
        row, *pixel = np.nonzero(swapped)
        fraction = expand(params["key"], images[0].size, stream=1).reshape(images.shape)[swapped]
        givers, number = np.unique((fraction * params["n"][row]).astype(np.intp), return_inverse=True)
        order = np.argsort(number, kind="stable")
        ends = np.searchsorted(number[order], np.arange(0, len(givers) + len(images), len(images)))
        for block, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            some = order[start:end]
            values = read(givers[block * len(images) : (block + 1) * len(images)])
            at = [axis[some] for axis in pixel]
            images[row[some], *at] = values[number[some] - block * len(images), *at]
        return images


def _dropped(p, keys, images):
    """Draw a mask of the values to replace, from one key per row."""
    return expand(keys, images[0].size).reshape(images.shape) < p
