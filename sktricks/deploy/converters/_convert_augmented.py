"""Converters of AugmentedClassifier and AugmentedRegressor: their inner estimator, and X as it takes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._graph import STRING, Frame, Graph, Prediction, Table
from ._center_images import canonical, center_images, keeps_images, restored
from ._registry import convert, converts


@converts("sktricks.augment.AugmentedClassifier", "sktricks.augment.AugmentedRegressor")
def convert_augmented(graph: Graph, augmented, X: Table) -> Prediction:
    """Add the inner estimator, which receives rows or images without augmentation."""
    if augmented._views:
        raise graph.refuse(f"predict_views={len(augmented._views)}", "fit it with predict_views=0")
    return convert(graph, augmented.estimator_, hand_over(graph, augmented, X))


def hand_over(graph: Graph, augmented, X: Table) -> Table:
    """Return X in the layout of the inner estimator and, for a table, with the column names of ``fit``."""
    shape = augmented.image_shape_ or (1, augmented.n_features_in_, 1)
    keeps_all = keeps_images(augmented.augmenter_, shape)
    becomes_float = augmented.augmenter_ is not None and augmented.image_shape_ is None
    if isinstance(X, Frame) and augmented._table is not None and augmented._ndim == 2 and keeps_all:
        return as_numbers(graph, X, becomes_float)
    value = graph.matrix(X)
    if becomes_float and value.dtype.kind in "biu":
        value = graph.cast(value, np.float64)
    if not keeps_all:
        value = center_images(graph, augmented.augmenter_, canonical(graph, value, shape), augmented.value_range_)
        shape = value.shape
    return restored(graph, value, shape, augmented._ndim - 1)


def as_numbers(graph: Graph, frame: Frame, becomes_float: bool) -> Frame:
    """Return a table whose columns of numbers have one dtype, as in an array; categories are unchanged."""
    columns = frame.columns
    kinds = {value.dtype for value in columns.values()}
    dtype = np.result_type(*(np.float64 if kind == STRING else kind for kind in kinds))
    if becomes_float and dtype.kind in "biu":
        dtype = np.dtype(np.float64)
    cast = {name: one if one.dtype == STRING else graph.cast(one, dtype) for name, one in columns.items()}
    return replace(frame, columns=cast)
