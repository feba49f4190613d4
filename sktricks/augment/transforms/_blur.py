"""Random Gaussian blur."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._base_augmenter import BaseAugmenter
from .._parameters import check_interval
from ..kernels import _kernels
from ..kernels._gaussian import TRUNCATE, gaussian_weights


class GaussianBlur(BaseAugmenter):
    """Blur each image with a Gaussian kernel of random width.

    The standard deviation is drawn uniformly between the two values of ``sigma``; the kernel is truncated at three
    standard deviations. The image is mirrored at its border. Rows without ``image_shape`` are signals, which are
    blurred along their only axis. ``transform`` returns X unchanged.

    Parameters
    ----------
    sigma : float or pair of float, default=(0.1, 2.0)
        Smallest and largest standard deviation in pixels, above 0; one number sets both. At most the longer side of
        the image, or 16 if that is larger.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    GaussianNoise : Add noise to values.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import GaussianBlur
    >>> X = np.zeros((1, 5, 5))
    >>> X[0, 2, 2] = 1
    >>> GaussianBlur(sigma=0.5).fit_transform(X)[0, 2].round(2)
    array([0.  , 0.08, 0.62, 0.08, 0.  ])
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "sigma": [Interval(Real, 0, None, closed="neither"), "array-like"],
    }
    _has_kernel = True

    def __init__(
        self,
        sigma: float | tuple = (0.1, 2.0),
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.sigma = sigma

    def draw(self, rng, n, shape, y=None):
        low, high = self._sigmas()
        return {"weights": gaussian_weights(rng.uniform(low, high, n), max(1, int(np.ceil(TRUNCATE * high))))}

    def _run(self, images, params, value_range, out=None):
        return _kernels.blur(images, params["weights"], out)

    def check_parameters(self):
        super().check_parameters()
        check_interval("sigma", self._sigmas(), 0, np.inf)

    def output_shape(self, shape):
        most = max(16, *shape[:2])
        if max(self._sigmas()) > most:
            raise ValueError(f"sigma must be at most {most} for images of {shape[0]} x {shape[1]}, got {self.sigma}")
        return tuple(shape)

    def _sigmas(self):
        return (self.sigma, self.sigma) if isinstance(self.sigma, Real) else self.sigma
