"""The everyday steps of scikit-learn that are stored like our own estimators, without skops.

What is described here is stored; a step with anything else, such as a function of the user's, goes through skops.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ._codec import Codec, Malformed, entry, require
from ._specs import (
    Spec,
    array,
    boolean,
    dict_of,
    either,
    integer,
    is_plain,
    list_of,
    maybe,
    only,
    optional,
    real,
    string,
    tuple_of,
)

# Functions of one array that FunctionTransformer may apply, besides numpy's universal functions, and their arguments.
KEYWORDS = {"nan_to_num": {"nan", "posinf", "neginf"}, "round": {"decimals"}, "clip": {"min", "max", "a_min", "a_max"}}
TYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


# -- values that only steps have ---------------------------------------------------------------------------------------


@cache
def functions():
    """Return numpy's functions of one array that give one array, by name."""
    universal = {name: value for name, value in vars(np).items() if type(value) is np.ufunc}
    of_one = {name: value for name, value in universal.items() if value.nin == value.nout == 1}
    return {**of_one, **{name: getattr(np, name) for name in KEYWORDS}}


def name_of_function(value):
    """Return the name of one of :func:`functions`; None for anything else."""
    return next((name for name, function in functions().items() if function is value), None)


def read_function(record, reader):
    """Return a function of numpy by its name."""
    name = entry(record, "value", str)
    if name not in functions():
        raise Malformed(f"must name a function of numpy, got {name!r:.60}")
    return functions()[name]


def read_type_name(record):
    """Return the name of a type of numpy."""
    name = entry(record, "value", str)
    if name not in (*TYPES, "object"):
        raise Malformed(f"must name a type of numpy, got {name!r:.60}")
    return name


def is_number_type(value):
    """Return True for a type of numbers of numpy's."""
    return isinstance(value, type) and any(getattr(np, name, None) is value for name in TYPES if name != "bool")


def read_slice(record, reader):
    """Return a slice."""
    parts = entry(record, "parts", list)
    if len(parts) != 3 or not all(type(part) in (int, str, type(None)) for part in parts):
        raise Malformed("must have the three parts of a slice")
    return slice(*parts)


STEP_VALUES = [
    Codec(
        "numpy_function",
        lambda value: callable(value) and name_of_function(value) is not None,
        lambda value, name, writer: {"value": name_of_function(value)},
        read_function,
    ),
    Codec(
        "numpy_type",
        is_number_type,
        lambda value, name, writer: {"value": value.__name__},
        lambda record, reader: np.dtype(read_type_name(record)).type,
    ),
    Codec(
        "numpy_dtype",
        lambda value: isinstance(value, np.dtype) and value.name in (*TYPES, "object") and value.isnative,
        lambda value, name, writer: {"value": value.name},
        lambda record, reader: np.dtype(read_type_name(record)),
    ),
    Codec(
        "slice",
        lambda value: type(value) is slice,
        lambda value, name, writer: {"parts": [value.start, value.stop, value.step]},
        read_slice,
    ),
    Codec(  # scikit-learn 1.5 to 1.8 keep the columns of the remainder in a list of their own
        "remainder_columns",
        lambda value: type(value).__name__ == "_RemainderColsList",
        lambda value, name, writer: {"items": list(as_plain(value))},
        lambda record, reader: reader.read(entry(record, "items", list)),
    ),
]


# -- what they hold ----------------------------------------------------------------------------------------------------


def as_plain(chosen):
    """Return a selection of columns; of the list that scikit-learn 1.5 to 1.8 warn about, what it holds."""
    return chosen.data if type(chosen).__name__ == "_RemainderColsList" else chosen


def is_column(value):
    """Return True for what selects columns of a table: names or numbers, a mask, or a slice."""
    value = as_plain(value)
    if type(value) is list:
        return all(type(item) in (str, int, bool, np.str_) for item in value)
    return type(value) in (str, int, slice) or array("bi", 1).fits(value)


def is_transformer(value):
    """Return True for what a ColumnTransformer applies to columns."""
    return hasattr(value, "get_params") and not isinstance(value, type)


columns = Spec("names, numbers, a mask or a slice of columns", is_column)
transformer = either(only("drop", "passthrough"), Spec("an estimator", is_transformer))
numbers = array("f", 1)
dtype = Spec("a dtype of numpy", lambda value: isinstance(value, np.dtype))
function = optional(Spec("a function of numpy", lambda value: name_of_function(value) is not None))
TABLE = {
    "n_features_in_": integer(1),
    "feature_names_in_": maybe(array("O", 1)),
    "_sklearn_output_config": maybe(dict_of(only("transform"), only("default", "pandas", "polars"))),
}
CATEGORIES = {**TABLE, "categories_": list_of(array("biufUSO", 1)), "_infrequent_enabled": only(False)}
STEPS = {
    "StandardScaler": {
        **TABLE,
        "mean_": optional(numbers),
        "var_": optional(numbers),
        "scale_": optional(numbers),
        "n_samples_seen_": either(real(0), array("iuf", 1)),
    },
    "MinMaxScaler": {
        **TABLE,
        **{name: numbers for name in ("min_", "scale_", "data_min_", "data_max_", "data_range_")},
        "n_samples_seen_": real(0),
    },
    "SimpleImputer": {
        **TABLE,
        "statistics_": array("biufO", 1),
        "indicator_": optional(Spec("a MissingIndicator", lambda value: type(value).__name__ == "MissingIndicator")),
        "_fit_dtype": maybe(dtype),
        "_fill_dtype": maybe(dtype),
    },
    "MissingIndicator": {
        **TABLE,
        "features_": array("i", 1),
        "_n_features": integer(1),
        "_precomputed": maybe(boolean),
        "_sparse": maybe(boolean),
    },
    "OneHotEncoder": {
        **CATEGORIES,
        "drop_idx_": optional(array("O", 1)),
        "_drop_idx_after_grouping": optional(array("O", 1)),
        "_n_features_outs": list_of(integer()),
    },
    "OrdinalEncoder": {**CATEGORIES, "_missing_indices": maybe(dict_of(integer(), integer()))},
    "FunctionTransformer": {name: maybe(spec) for name, spec in TABLE.items()},
    "ColumnTransformer": {
        **TABLE,
        "transformers_": list_of(tuple_of(string, transformer, columns)),
        "output_indices_": dict_of(string, Spec("a slice", lambda value: type(value) is slice)),
        "sparse_output_": boolean,
        "_columns": list_of(columns),
        "_remainder": tuple_of(string, transformer, columns),
        "_transformer_to_input_indices": dict_of(string, either(list_of(integer()), array("i", 1))),
        "_n_features": maybe(integer(1)),
        "_name_to_fitted_passthrough": maybe(dict_of(string, transformer)),
    },
}
PARAMS = {
    "transformers": Spec(
        "a list of (name, transformer, columns)", list_of(tuple_of(string, transformer, columns)).fits
    ),
    "remainder": transformer,
    "func": function,
    "inverse_func": function,
    "dtype": Spec("a plain value or a type of numpy", lambda value: is_plain(value) or is_number_type(value)),
}


@cache
def step_classes():
    """Return the classes of the steps, by name."""
    from sklearn import compose, impute, preprocessing

    homes = (preprocessing, impute, compose)
    return {name: next(getattr(home, name) for home in homes if hasattr(home, name)) for name in STEPS}


# -- what has to agree -------------------------------------------------------------------------------------------------


def check_step(step):
    """Raise an error unless what a step has learned agrees, so that ``transform`` meets what ``fit`` leaves."""
    learned, name = vars(step), type(step).__name__
    if name == "FunctionTransformer":
        check_arguments(step)
    elif name in STEPS and "n_features_in_" in learned:
        {"ColumnTransformer": check_columns, "OneHotEncoder": check_one_hot}.get(name, check_lengths)(step)


def check_lengths(step):
    """Check that a step has learned something of each column."""
    n = step.n_features_in_
    for name in (
        "mean_",
        "var_",
        "scale_",
        "min_",
        "data_min_",
        "data_max_",
        "data_range_",
        "statistics_",
        "categories_",
    ):
        value = vars(step).get(name)
        require(value is None or len(value) == n, f"must have {name} of {n} columns")
    if type(step).__name__ == "MissingIndicator":
        inside = all(0 <= column < n for column in step.features_.tolist())
        require(inside and step._n_features == n, f"must have features_ below {n}")
    for column, place in vars(step).get("_missing_indices", {}).items():
        require(column < n and place < len(step.categories_[column]), "must have _missing_indices of its categories_")


def check_one_hot(encoder):
    """Check that a OneHotEncoder makes as many columns as it has categories."""
    check_lengths(encoder)
    sizes = [len(categories) for categories in encoder.categories_]
    for name in ("drop_idx_", "_drop_idx_after_grouping"):
        dropped = getattr(encoder, name)
        if dropped is not None:
            require(len(dropped) == len(sizes), f"must have {name} of its categories_")
            pairs = zip(dropped, sizes, strict=True)
            inside = all(place is None or (type(place) is int and 0 <= place < size) for place, size in pairs)
            require(inside, f"must have {name} of its categories_")
    expected = [int(number) for number in encoder._compute_n_features_outs()]
    require(encoder._n_features_outs == expected, f"must have _n_features_outs of {expected}")


def check_columns(transformer):
    """Check that a ColumnTransformer selects columns that exist."""
    n, names = transformer.n_features_in_, vars(transformer).get("feature_names_in_", np.empty(0, object)).tolist()
    selections = [chosen for _, _, chosen in transformer.transformers_]
    for chosen in [*selections, *transformer._columns, transformer._remainder[2]]:
        require(selects(chosen, n, names), "must select columns that it has")
    for indices in transformer._transformer_to_input_indices.values():
        require(all(0 <= index < n for index in list(indices)), f"must have input indices below {n}")


def selects(chosen, n, names):
    """Return True if a selection is of columns that a table has."""
    chosen = as_plain(chosen)
    if type(chosen) is slice:
        return True
    if type(chosen) is np.ndarray and chosen.dtype == bool:
        return len(chosen) == n
    items = [chosen] if type(chosen) in (str, int) else list(chosen)
    if any(type(item) is bool for item in items):
        return len(items) == n
    return all(item in names if isinstance(item, str) else -n <= item < n for item in items)


def check_arguments(step):
    """Check that a function of numpy is given no arguments but its own: ``out`` and ``where`` would show memory."""
    for function, arguments in ((step.func, step.kw_args), (step.inverse_func, step.inv_kw_args)):
        known = KEYWORDS.get(name_of_function(function), set())
        require(not arguments or arguments.keys() <= known, f"must have no arguments but {sorted(known)}")
