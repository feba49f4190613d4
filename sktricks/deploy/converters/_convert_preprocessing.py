"""Converters of scikit-learn's scalers, elementwise functions and projections, with scikit-learn's dtypes.

A row on the threshold of a tree takes the other branch if the last bit of a scaled column differs. Scalers therefore
reproduce every operation in scikit-learn's order and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, combinations_with_replacement

import numpy as np

from .._graph import STRING, Frame, Graph, Table, Value
from ._operators import (
    SKLEARN,
    as_floats,
    clip,
    compare,
    dot,
    in_place,
    keeps_frames,
    repeat_row,
    row_max,
    row_sum,
    where,
)
from ._registry import convert, converts, transforms

# Before this version, StandardScaler with a float64 mean computed in float64 and rounded to float32 after each step.
SCALES_IN_DTYPE_OF_X = SKLEARN >= (1, 8)

# -- scalers -----------------------------------------------------------------------------------------------------------


@converts("sklearn.preprocessing.StandardScaler")
def convert_standard_scaler(graph: Graph, scaler, X: Table) -> Value:
    """Subtract the mean and divide by the scale, in scikit-learn's order, so that all bits are the same."""
    apply = Graph.binary if SCALES_IN_DTYPE_OF_X else in_place
    value = as_floats(graph, X)
    if scaler.with_mean:
        value = apply(graph, "Sub", value, scaler.mean_)
    return apply(graph, "Div", value, scaler.scale_) if scaler.with_std else value


@converts("sklearn.preprocessing.MinMaxScaler")
def convert_min_max_scaler(graph: Graph, scaler, X: Table) -> Value:
    """Multiply by the scale, add the minimum, and clip."""
    value = in_place(graph, "Mul", as_floats(graph, X), scaler.scale_)
    value = in_place(graph, "Add", value, scaler.min_)
    return clip(graph, value, *scaler.feature_range) if scaler.clip else value


@converts("sklearn.preprocessing.MaxAbsScaler")
def convert_max_abs_scaler(graph: Graph, scaler, X: Table) -> Value:
    """Divide by the largest absolute value, and clip if the version of scikit-learn does."""
    value = in_place(graph, "Div", as_floats(graph, X), scaler.scale_)
    return clip(graph, value, -1, 1) if getattr(scaler, "clip", False) else value


@converts("sklearn.preprocessing.RobustScaler")
def convert_robust_scaler(graph: Graph, scaler, X: Table) -> Value:
    """Subtract the median and divide by the range of quantiles."""
    value = as_floats(graph, X)
    if scaler.with_centering:
        value = in_place(graph, "Sub", value, scaler.center_)
    return in_place(graph, "Div", value, scaler.scale_) if scaler.with_scaling else value


@converts("sklearn.preprocessing.Normalizer")
def convert_normalizer(graph: Graph, normalizer, X: Table) -> Value:
    """Divide rows by their norm; a norm near 0 is replaced by 1."""
    value = as_floats(graph, X)
    if normalizer.norm == "l2":
        norms = graph.op("Sqrt", row_sum(graph, graph.binary("Mul", value, value)), dtype=value.dtype, shape=(1,))
    else:
        sizes = graph.op("Abs", value, dtype=value.dtype, shape=value.shape)
        norms = row_sum(graph, sizes) if normalizer.norm == "l1" else row_max(graph, sizes)
    tiny = compare(graph, "Less", norms, 10 * np.finfo(value.dtype).eps)
    norms = where(graph, tiny, graph.constant(1, value.dtype), norms)
    return graph.binary("Div", value, norms)


@converts("sklearn.preprocessing.Binarizer")
def convert_binarizer(graph: Graph, binarizer, X: Table) -> Value:
    """Return 1 above the threshold and 0 elsewhere, in the dtype of X."""
    value = graph.matrix(X)
    above = compare(graph, "Greater", value, np.asarray(binarizer.threshold, np.result_type(value.dtype, 0.5)))
    return graph.cast(above, value.dtype)


@converts("sklearn.preprocessing.KBinsDiscretizer")
def convert_bins(graph: Graph, discretizer, X: Table) -> Value:
    """Count the inner edges below each value, and one-hot encode the counts unless ``encode="ordinal"``."""
    inner = [edges[1:-1] for edges in discretizer.bin_edges_]
    value = as_floats(graph, X) if discretizer.dtype is None else graph.matrix(X, discretizer.dtype)
    columns = np.repeat(np.arange(len(inner)), [len(edges) for edges in inner])
    reached = compare(graph, "GreaterOrEqual", graph.take(value, columns.tolist()), np.concatenate(inner))
    places = np.eye(len(inner))[columns]
    counts = graph.op(
        "MatMul",
        graph.cast(reached, value.dtype),
        graph.constant(places, value.dtype),
        dtype=value.dtype,
        shape=(len(inner),),
    )
    if discretizer.encode == "ordinal":
        return counts
    sizes = discretizer.n_bins_
    columns, wanted = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
    return graph.cast(compare(graph, "Equal", graph.take(counts, columns.tolist()), wanted), value.dtype)


# -- functions of columns ----------------------------------------------------------------------------------------------


@converts("sklearn.preprocessing.FunctionTransformer")
def convert_function(graph: Graph, transformer, X: Table) -> Table:
    """Apply a NumPy function to every number; without a function, return X unchanged."""
    if transformer.func is None:
        return graph.matrix(X) if transformer.validate else X
    if transformer.func not in FUNCTIONS or transformer.kw_args:
        name = getattr(transformer.func, "__name__", repr(transformer.func))
        raise graph.refuse(
            f"FunctionTransformer(func={name})",
            f"use one of {', '.join(f'np.{function.__name__}' for function in FUNCTIONS)} without kw_args, or apply "
            "the function to X before calling the exported estimator",
        )
    if isinstance(X, Frame) and not transformer.validate and len({value.dtype for value in X.columns.values()}) > 1:
        # Each column of a DataFrame keeps its own dtype.
        return Frame({name: apply_function(graph, transformer.func, value) for name, value in X.columns.items()})
    return apply_function(graph, transformer.func, graph.matrix(X))


def apply_function(graph: Graph, function: Callable, value: Value) -> Value:
    """Apply a NumPy function to a value, with NumPy's dtype of the result."""
    dtype = function(np.ones(1, value.dtype)).dtype if value.dtype.kind in "biuf" else value.dtype
    if dtype.kind not in "iuf" or dtype == np.float16:
        raise graph.refuse(f"np.{function.__name__} of columns of {value.dtype}", "convert them to float32 or float64")
    return FUNCTIONS[function](graph, graph.cast(value, dtype))


def unary(kind: str) -> Callable[[Graph, Value], Value]:
    """Return a function that adds an operator with one input, which keeps dtype and shape."""
    return lambda graph, value: graph.op(kind, value, dtype=value.dtype, shape=value.shape)


def log1p(graph: Graph, value: Value) -> Value:
    """Return ``log(1 + x)``, corrected for the rounding error of ``1 + x``, so that small x are accurate.

    For x = -1, the logarithm of 0, nothing is corrected.
    """
    one = graph.constant(1, value.dtype)
    raised = graph.binary("Add", value, one)
    lost = graph.binary("Sub", graph.binary("Sub", raised, one), value)
    share = graph.binary("Div", lost, graph.binary("Max", raised, np.finfo(value.dtype).tiny))
    return graph.binary("Sub", unary("Log")(graph, raised), share)


def square(graph: Graph, value: Value) -> Value:
    """Return ``x * x``."""
    return graph.binary("Mul", value, value)


FUNCTIONS: dict[Callable, Callable[[Graph, Value], Value]] = {
    np.log1p: log1p,
    np.log: unary("Log"),
    np.exp: unary("Exp"),
    np.sqrt: unary("Sqrt"),
    np.abs: unary("Abs"),
    np.square: square,
}


@converts("sklearn.preprocessing.PolynomialFeatures")
def convert_polynomial(graph: Graph, transformer, X: Table) -> Value:
    """Multiply the columns of each degree by columns of X to obtain the next degree, in scikit-learn's order."""
    value = as_floats(graph, X)
    lowest, highest = transformer.degree if isinstance(transformer.degree, tuple) else (0, transformer.degree)
    choose = combinations if transformer.interaction_only else combinations_with_replacement
    parts = [repeat_row(graph, np.ones(1, value.dtype), X)] if transformer.include_bias else []
    known: list[tuple[int, ...]] = [(column,) for column in range(value.shape[0])]
    power = value
    for degree in range(1, highest + 1):
        if degree > 1:
            wanted = list(choose(range(value.shape[0]), degree))
            if not wanted:
                break
            rest = graph.take(power, [known.index(columns[1:]) for columns in wanted])
            first = graph.take(value, [columns[0] for columns in wanted])
            known, power = wanted, graph.binary("Mul", rest, first)
        if degree >= max(lowest, 1):
            parts.append(power)
    return graph.concat(parts)


# -- projections and selections ----------------------------------------------------------------------------------------


@converts("sklearn.decomposition.PCA", "sklearn.decomposition.IncrementalPCA")
def convert_pca(graph: Graph, pca, X: Table) -> Value:
    """Project and center; the order varies in scikit-learn, but changes only the last bits."""
    value = dot(graph, as_floats(graph, X), pca.components_.T)
    value = in_place(graph, "Sub", value, pca.mean_ @ pca.components_.T)
    if not pca.whiten:
        return value
    scale = np.sqrt(pca.explained_variance_)
    return in_place(graph, "Div", value, np.maximum(scale, np.finfo(scale.dtype).eps))


@converts("sklearn.decomposition.TruncatedSVD")
def convert_svd(graph: Graph, svd, X: Table) -> Value:
    """Project."""
    return dot(graph, as_floats(graph, X), svd.components_.T)


@converts(
    "sklearn.feature_selection.GenericUnivariateSelect",
    "sklearn.feature_selection.SelectFdr",
    "sklearn.feature_selection.SelectFpr",
    "sklearn.feature_selection.SelectFromModel",
    "sklearn.feature_selection.SelectFwe",
    "sklearn.feature_selection.SelectKBest",
    "sklearn.feature_selection.SelectPercentile",
    "sklearn.feature_selection.SequentialFeatureSelector",
    "sklearn.feature_selection.VarianceThreshold",
)
@transforms("sklearn.feature_selection.RFE", "sklearn.feature_selection.RFECV")
def convert_selector(graph: Graph, selector, X: Table) -> Table:
    """Return the selected columns."""
    selected = selector.get_support(indices=True).tolist()
    if not isinstance(X, Frame):
        return graph.take(graph.matrix(X), selected)
    if keeps_frames(selector):
        return X.select(selected)
    # A DataFrame as an array has one dtype, which depends on the dropped columns as well.
    dtype = np.result_type(*(value.dtype for value in X.columns.values()))
    return X.select(selected) if dtype == STRING else graph.matrix(X.select(selected), dtype)


@converts("sklearn.feature_selection.RFE", "sklearn.feature_selection.RFECV")
def convert_eliminated(graph: Graph, selector, X: Table):
    """Predict from the selected columns."""
    return convert(graph, selector.estimator_, convert_selector(graph, selector, X))
