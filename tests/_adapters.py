"""Image estimators for scikit-learn's checks, which come with plain rows: each row is read as a small square image."""

import numpy as np
from sklearn.utils.validation import validate_data

from sktricks import FineTuneClassifier, FineTuneRegressor, PretrainedFeatures
from sktricks._validation import Layout


def as_squares(X):
    """Rows of any length as grey images of at least 2 x 2 pixels, filled up with zeros."""
    side = max(2, int(np.ceil(np.sqrt(X.shape[1]))))
    images = np.zeros((len(X), side * side), X.dtype)
    images[:, : X.shape[1]] = X
    return images.reshape(len(X), side, side, 1)


class RowsAsImages:
    def _check_X(self, X, *, reset, ensure_min_samples=1):
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
