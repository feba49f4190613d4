"""Adapt estimators to scikit-learn's checks.

The checks use tables, so each row is converted to a small square image. They also compare a weight of 2 with a row
given twice, to 1e-7, so the small backbone computes in float64, and augmenters use one draw for all rows of a batch.
"""

import io

import numpy as np
from sklearn.utils.validation import validate_data

from sktricks import (
    FineTuneClassifier,
    FineTuneRegressor,
    GaussianNoise,
    ImageLoader,
    PretrainedFeatures,
    RandomAffine,
)
from sktricks._layout import Layout


def float64_backbone():
    """Return a small backbone in float64, with the same weights at each call."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), *layers).double()


class OneDraw:
    """A mixin that gives all rows of a batch the same draw."""

    def draw(self, rng, n, shape, y=None):
        return {name: np.repeat(values, n, axis=0) for name, values in super().draw(rng, 1, shape, y).items()}


class OneNoise(OneDraw, GaussianNoise):
    pass


class OneAffine(OneDraw, RandomAffine):
    pass


def as_squares(X):
    """Convert rows of any length to gray images of at least 2 x 2 pixels, padded with zeros."""
    side = max(2, int(np.ceil(np.sqrt(X.shape[1]))))
    images = np.zeros((len(X), side * side), X.dtype)
    images[:, : X.shape[1]] = X
    return images.reshape(len(X), side, side, 1)


class RowsAsImages:
    def _check_X(self, X, *, reset, ensure_min_samples=1, input_name="X"):
        X = validate_data(self, X, reset=reset, ensure_min_samples=ensure_min_samples)
        images = as_squares(X)
        self.image_shape_ = images.shape[1:]
        return images, Layout(2, images.shape[1:], X.shape[1])


class RowsFineTuneClassifier(RowsAsImages, FineTuneClassifier):
    pass


class RowsFineTuneRegressor(RowsAsImages, FineTuneRegressor):
    pass


class RowsPretrainedFeatures(RowsAsImages, PretrainedFeatures):
    pass


class RowsImageLoader(ImageLoader):
    """An ImageLoader for rows: each becomes a file of a gray image one pixel high, whose pixels are the row."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags

    def fit(self, X, y=None):
        return super().fit(as_png_files(validate_data(self, X)))

    def transform(self, X):
        X = validate_data(self, X, reset=False)
        return super().transform(as_png_files(X)).reshape(X.shape)


def as_png_files(X):
    from PIL import Image

    files = [io.BytesIO() for _ in X]
    for row, file in zip(np.clip(X, 0, 255).astype(np.uint8), files, strict=True):
        Image.fromarray(row[None]).save(file, "PNG")
    return [file.getvalue() for file in files]
