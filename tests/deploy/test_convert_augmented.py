"""Converters of AugmentedClassifier and AugmentedRegressor."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks.augment import (
    AugmentedClassifier,
    AugmentedRegressor,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomResizedCrop,
    make_augmentation_pipeline,
)
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError

from ._agreement import assert_agrees

X, y = load_digits(n_class=3, return_X_y=True)
X, y = X[:90], np.array(list("abc"))[y[:90]]


def make_line():
    """A linear classifier that reads rows."""
    return make_pipeline(StandardScaler(), LogisticRegression())


CROP = RandomCrop((6, 6))


@pytest.mark.parametrize(
    "augmenter", [None, RandomAffine(max_angle=10), CROP, make_augmentation_pipeline(CROP, RandomCrop((5, 4)))]
)
@pytest.mark.parametrize("images", [False, True])
def test_images_as_rows_or_as_images(augmenter, images):
    rows = X.reshape(-1, 8, 8) if images else X
    model = AugmentedClassifier(make_line(), augmenter, image_shape=(8, 8), random_state=0).fit(rows, y)
    assert_agrees(model, rows, 1e-9)
    assert_agrees(model, rows.reshape(-1, 8, 8, 1) if images else rows, 1e-9)
    assert_agrees(model, rows.astype(np.uint8), 1e-9)


def test_colors():
    rows = np.repeat(X.reshape(-1, 8, 8, 1), 3, axis=3) * [1, 0.5, 2]
    assert_agrees(AugmentedClassifier(make_line(), CROP, random_state=0).fit(rows, y), rows, 1e-9)


def test_tables():
    rows, labels = load_iris(return_X_y=True)
    model = AugmentedClassifier(LogisticRegression(max_iter=500), GaussianNoise(), random_state=0).fit(rows, labels)
    assert_agrees(model, rows, 1e-9)
    assert_agrees(model, rows.astype(int), 1e-9)


def test_tables_with_names():
    pytest.importorskip("pandas")
    table, labels = load_iris(as_frame=True, return_X_y=True)
    table["petal width (cm)"] = table["petal width (cm)"].astype(int)
    assert_agrees(AugmentedClassifier(make_line(), MixUp(), random_state=0).fit(table, labels), table, 1e-9)


def test_regressors():
    rows, values = load_diabetes(return_X_y=True)
    assert_agrees(AugmentedRegressor(LinearRegression(), MixUp(), random_state=0).fit(rows, values), rows, 1e-9)


def test_images_that_are_resized():
    model = AugmentedClassifier(make_line(), RandomResizedCrop((5, 5)), image_shape=(8, 8), random_state=0).fit(X, y)
    assert_agrees(model, X)


def test_views_at_prediction_are_refused():
    model = AugmentedClassifier(make_line(), RandomAffine(max_angle=10), image_shape=(8, 8), predict_views=2).fit(X, y)
    with pytest.raises(UnsupportedForOnnxError, match="predict_views=2: fit it with predict_views=0"):
        assert_agrees(model, X)
