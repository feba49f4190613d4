"""Common scikit-learn steps that are stored like our own estimators, without skops.

The attributes described here are stored. A step with any other attribute, such as a user-defined function, is stored
with skops.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ._codec import require
from ._numpy_names import KEYWORDS, is_number_type, name_of_function, plain_columns
from ._specs import (
    COLUMNS,
    OUTPUT,
    Spec,
    array,
    boolean,
    dict_of,
    either,
    estimator,
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


def is_column(value):
    """Return True for a selection of columns: names or indices, a mask, or a slice."""
    value = plain_columns(value)
    if type(value) is list:
        return all(type(item) in (str, int, bool, np.str_) for item in value)
    return type(value) in (str, int, slice) or array("bi", 1).fits(value)


columns = Spec("names, indices, a mask or a slice of columns", is_column)
transformer = either(only("drop", "passthrough"), estimator)
chosen = tuple_of(string, transformer, columns)
numbers = array("f", 1)
dtype = Spec("a numpy dtype", lambda value: isinstance(value, np.dtype))
function = optional(Spec("a numpy function", lambda value: name_of_function(value) is not None))
TABLE = {**COLUMNS, **OUTPUT}
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
        "transformers_": list_of(chosen),
        "output_indices_": dict_of(string, Spec("a slice", lambda value: type(value) is slice)),
        "sparse_output_": boolean,
        "_columns": list_of(columns),
        "_remainder": chosen,
        "_transformer_to_input_indices": dict_of(string, either(list_of(integer()), array("i", 1))),
        "_n_features": maybe(integer(1)),
        "_name_to_fitted_passthrough": maybe(dict_of(string, transformer)),
        "_transformers_feature_names_out": maybe(array("UO", 1)),  # only if set_output chose a DataFrame
    },
}
PARAMS = {
    "transformers": Spec("a list of (name, transformer, columns)", list_of(chosen).fits),
    "remainder": transformer,
    "func": function,
    "inverse_func": function,
    "dtype": Spec("a plain value or a numpy dtype", lambda value: is_plain(value) or is_number_type(value)),
}


@cache
def step_classes():
    """Return the classes of the steps, by name."""
    from sklearn import compose, impute, preprocessing

    homes = (preprocessing, impute, compose)
    return {name: next(getattr(home, name) for home in homes if hasattr(home, name)) for name in STEPS}


# -- consistency -------------------------------------------------------------------------------------------------------


def check_step(step):
    """Raise an error unless the fitted attributes of a step are consistent, as after ``fit``."""
    learned, name = vars(step), type(step).__name__
    if name == "FunctionTransformer":
        check_arguments(step)
    elif name in STEPS and "n_features_in_" in learned:
        {"ColumnTransformer": check_columns, "OneHotEncoder": check_one_hot}.get(name, check_lengths)(step)


PER_COLUMN = (
    *("mean_", "var_", "scale_", "min_", "data_min_", "data_max_", "data_range_"),
    *("statistics_", "categories_"),
)


def check_lengths(step):
    """Check that the attributes of a step have one value per column."""
    n = step.n_features_in_
    for name in PER_COLUMN:
        value = vars(step).get(name)
        require(value is None or len(value) == n, f"must have {name} for {n} columns")
    if type(step).__name__ == "MissingIndicator":
        inside = all(0 <= column < n for column in step.features_.tolist())
        require(inside and step._n_features == n, f"must have features_ below {n}")
    for column, code in vars(step).get("_missing_indices", {}).items():
        require(column < n and code < len(step.categories_[column]), "must have _missing_indices in its categories_")


def check_one_hot(encoder):
    """Check that the number of output columns of a OneHotEncoder matches its categories."""
    check_lengths(encoder)
    sizes = [len(categories) for categories in encoder.categories_]
    for name in ("drop_idx_", "_drop_idx_after_grouping"):
        dropped = getattr(encoder, name)
        if dropped is not None:
            require(len(dropped) == len(sizes), f"must have {name} that match its categories_")
            pairs = zip(dropped, sizes, strict=True)
            inside = all(index is None or (type(index) is int and 0 <= index < size) for index, size in pairs)
            require(inside, f"must have {name} that match its categories_")
    expected = [int(number) for number in encoder._compute_n_features_outs()]
    require(encoder._n_features_outs == expected, f"must have _n_features_outs={expected}")


def check_columns(transformer):
    """Check that a ColumnTransformer selects existing columns."""
    n, names = transformer.n_features_in_, vars(transformer).get("feature_names_in_", np.empty(0, object)).tolist()
    selections = [chosen for _, _, chosen in transformer.transformers_]
    for chosen in [*selections, *transformer._columns, transformer._remainder[2]]:
        require(selects(chosen, n, names), "must select existing columns")
    for indices in transformer._transformer_to_input_indices.values():
        require(all(0 <= index < n for index in list(indices)), f"must have input indices below {n}")


def selects(chosen, n, names):
    """Return True if all columns of a selection exist."""
    chosen = plain_columns(chosen)
    if type(chosen) is slice:
        return True
    if type(chosen) is np.ndarray and chosen.dtype == bool:
        return len(chosen) == n
    items = [chosen] if type(chosen) in (str, int) else list(chosen)
    if any(type(item) is bool for item in items):
        return len(items) == n
    return all(item in names if isinstance(item, str) else -n <= item < n for item in items)


def check_arguments(step):
    """Check that a numpy function gets only allowed arguments: ``out`` and ``where`` could expose memory."""
    for function, arguments in ((step.func, step.kw_args), (step.inverse_func, step.inv_kw_args)):
        known = KEYWORDS.get(name_of_function(function), set())
        require(not arguments or arguments.keys() <= known, f"must have no arguments except {sorted(known)}")
