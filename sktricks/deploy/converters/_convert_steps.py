"""Converters of composite estimators: pipelines, column transformers, searches and other wrappers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._graph import STRING, Frame, Graph, Paths, Prediction, Table, Value
from ._operators import in_place, keeps_frames, name_outputs, repeat_row
from ._registry import convert, converts, predict, transform, transforms

SEARCHES = tuple(
    f"sklearn.model_selection.{kind}SearchCV" for kind in ("Grid", "Randomized", "HalvingGrid", "HalvingRandom")
)

# -- steps in a row and side by side -----------------------------------------------------------------------------------


@converts("sklearn.pipeline.Pipeline")
def convert_pipeline(graph: Graph, pipeline, X: Table):
    """Add all steps, each in the scope of its name."""
    X = convert_steps(graph, pipeline.steps[:-1], X)
    name, last = pipeline.steps[-1]
    with graph.scope(name):
        return X if last is None or isinstance(last, str) else convert(graph, last, X)


@transforms("sklearn.pipeline.Pipeline")
def transform_pipeline(graph: Graph, pipeline, X: Table) -> Table:
    """Add all steps as transformers, also a last one that can predict."""
    return convert_steps(graph, pipeline.steps, X)


def convert_steps(graph: Graph, steps, X: Table) -> Table:
    """Return the result of successive transformers."""
    for name, transformer in steps:
        with graph.scope(name):
            X = transform(graph, transformer, X)
    return X


@converts("sklearn.compose.ColumnTransformer")
def convert_column_transformer(graph: Graph, union, X: Table) -> Table:
    """Pass its columns to each transformer, and concatenate the results."""
    weights = union.transformer_weights or {}
    parts = []
    for name, transformer, _ in union.transformers_:
        indices = union._transformer_to_input_indices.get(name, [])
        if len(indices) == 0 or (isinstance(transformer, str) and transformer == "drop"):
            continue
        with graph.scope(name):
            part = transform(graph, transformer, select(graph, union, X, indices))
            parts.append(weigh(graph, part, weights.get(name)))
    return stack(graph, union, parts, X)


@converts("sklearn.pipeline.FeatureUnion")
def convert_feature_union(graph: Graph, union, X: Table) -> Table:
    """Pass X to all transformers, and concatenate the results."""
    weights = union.transformer_weights or {}
    parts = []
    for name, transformer in union.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        with graph.scope(name):
            parts.append(weigh(graph, transform(graph, transformer, X), weights.get(name)))
    return stack(graph, union, parts, X)


def select(graph: Graph, union, X: Table, indices: Sequence[int]) -> Table:
    """Return the columns of a transformer, by name if both ``fit`` and X have names, since their order may differ."""
    if isinstance(X, Paths):
        return X
    if not isinstance(X, Frame):
        return graph.take(X, indices)
    known = list(X.columns)
    names = [str(union.feature_names_in_[index]) for index in indices] if hasattr(union, "feature_names_in_") else []
    if names and set(names) <= set(known):
        return X.select([known.index(name) for name in names])
    if len(known) != union.n_features_in_:
        raise graph.refuse(
            f"X with the columns {known}", f"pass an X with the columns of fit, {names or 'all of them'}"
        )
    return X.select(indices)


def weigh(graph: Graph, part: Table, weight: float | None) -> Table:
    """Return a result multiplied by the weight of its transformer."""
    if weight is None:
        return part
    value = graph.matrix(part)
    return graph.binary("Mul", graph.cast(value, np.result_type(value.dtype, float(weight))), weight)


def stack(graph: Graph, union, parts: list[Table], X: Table) -> Table:
    """Concatenate results to one array, or to a table if there are strings or columns keep their dtypes."""
    columns = [value for part in parts for value in columns_of(graph, part)]
    if any(value.dtype == STRING for value in columns) or (
        keeps_frames(union) and len({value.dtype for value in columns}) > 1
    ):
        single = [one for value in columns for one in split(graph, value)]
        return Frame(dict(zip(name_outputs(union, len(single)), single, strict=True)))
    if not parts:
        return repeat_row(graph, np.zeros(0), X)
    return graph.concat([as_array(graph, part) for part in parts])


def columns_of(graph: Graph, part: Table) -> list[Value]:
    """Return the columns of a table, or an array as a single value."""
    return list(part.columns.values()) if isinstance(part, Frame) else [graph.matrix(part)]


def as_array(graph: Graph, part: Table) -> Value:
    """Return a result as an array: a DataFrame of bools and numbers becomes objects in numpy, later float64."""
    dtypes = {value.dtype for value in part.columns.values()} if isinstance(part, Frame) else set()
    return graph.matrix(part, np.float64 if len(dtypes) > 1 and np.dtype(bool) in dtypes else None)


def split(graph: Graph, value: Value) -> list[Value]:
    """Return the columns of a value."""
    width = value.shape[0]
    if width == 1:
        return [value]
    return graph.ops("Split", value, outputs=[(value.dtype, (1,))] * width, axis=1, num_outputs=width)


# -- wrappers ----------------------------------------------------------------------------------------------------------


@converts("sklearn.frozen.FrozenEstimator")
def convert_frozen(graph: Graph, frozen, X: Table):
    """Add the inner estimator."""
    return convert(graph, frozen.estimator, X)


@transforms("sklearn.frozen.FrozenEstimator")
def transform_frozen(graph: Graph, frozen, X: Table) -> Table:
    """Add the inner transformer."""
    return transform(graph, frozen.estimator, X)


@converts(*SEARCHES)
def convert_search(graph: Graph, search, X: Table):
    """Add the best estimator."""
    return convert(graph, best_of(graph, search), X)


@transforms(*SEARCHES)
def transform_search(graph: Graph, search, X: Table) -> Table:
    """Add the best transformer."""
    return transform(graph, best_of(graph, search), X)


def best_of(graph: Graph, search):
    """Return the best estimator of a search."""
    if not hasattr(search, "best_estimator_"):
        raise graph.refuse(f"{type(search).__name__}(refit=False), which has no best_estimator_", "fit with refit=True")
    return search.best_estimator_


@converts("sklearn.compose.TransformedTargetRegressor")
def convert_transformed_target(graph: Graph, model, X: Table) -> Prediction:
    """Apply the inverse transformation to the predictions of the regressor."""
    values = predict(graph, model.regressor_, X).values
    if values is None:
        raise graph.refuse(f"{type(model.regressor_).__name__}, which is not a regressor", "use a regressor")
    inverted = invert(graph, model.transformer_, values if values.shape else graph.reshape(values, (1,)))
    flat = model._training_dim == 1 and inverted.shape == (1,)
    return Prediction(values=graph.reshape(inverted, ()) if flat else inverted)


def invert(graph: Graph, transformer, value: Value) -> Value:
    """Return the inverse transformation of a value."""
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        return invert_function(graph, transformer, value)
    if kind == "StandardScaler":
        value = in_place(graph, "Mul", value, transformer.scale_) if transformer.with_std else value
        return in_place(graph, "Add", value, transformer.mean_) if transformer.with_mean else value
    if kind == "RobustScaler":
        value = in_place(graph, "Mul", value, transformer.scale_) if transformer.with_scaling else value
        return in_place(graph, "Add", value, transformer.center_) if transformer.with_centering else value
    if kind == "MinMaxScaler":
        value = in_place(graph, "Sub", value, transformer.min_)
        return in_place(graph, "Div", value, transformer.scale_)
    if kind == "MaxAbsScaler":
        return in_place(graph, "Mul", value, transformer.scale_)
    raise graph.refuse(
        f"TransformedTargetRegressor(transformer={kind})",
        "use StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, or func and inverse_func",
    )


def invert_function(graph: Graph, transformer, value: Value) -> Value:
    """Apply a NumPy function that serves as the inverse transformation."""
    function = transformer.inverse_func
    if function is None:
        return value
    if function not in INVERSES or transformer.inv_kw_args:
        names = ", ".join(f"np.{known.__name__}" for known in INVERSES)
        raise graph.refuse(
            f"TransformedTargetRegressor(inverse_func={getattr(function, '__name__', function)})", f"use one of {names}"
        )
    if function is np.square:
        return graph.binary("Mul", value, value)
    if function is not np.expm1:
        return graph.op(INVERSES[function], value, dtype=value.dtype, shape=value.shape)
    # Compute in float64, so that no digits are lost if the result is small.
    wide = graph.cast(value, np.float64)
    grown = graph.op("Exp", wide, dtype=wide.dtype, shape=wide.shape)
    return graph.cast(graph.binary("Sub", grown, 1), value.dtype)


INVERSES = {np.exp: "Exp", np.expm1: "Exp", np.log: "Log", np.sqrt: "Sqrt", np.square: "Mul"}
