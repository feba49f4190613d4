"""X and y of every dtype, shape and container that users may pass to an estimator."""

import datetime
import decimal

import numpy as np
import pandas as pd
import scipy.sparse

NAMES = list("abcd")


def frame(X, **columns):
    return pd.DataFrame(X, columns=NAMES[: X.shape[1]]).assign(**columns)


def times(n):
    return pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def structured(X):
    return np.zeros(len(X), [("a", float), ("b", int)])


# Functions that convert an ordinary table, float64 (n, features) with values near 1, to an odd one.
ODD_X = {
    "as it is": lambda X: X,
    "objects": lambda X: X.astype(object),
    "strings": lambda X: X.astype(str),
    "bytes": lambda X: X.astype("S"),
    "booleans": lambda X: X > 0,
    "complex": lambda X: X.astype(complex),
    "complex objects": lambda X: X.astype(complex).astype(object),
    "datetime64": lambda X: (X * 1e9).astype("int64").astype("datetime64[s]"),
    "timedelta64": lambda X: (X * 1e9).astype("int64").astype("timedelta64[s]"),
    "dates in an array": lambda X: np.array([[datetime.date(2020, 1, 1)] * X.shape[1]] * len(X), dtype=object),
    "long double": lambda X: X.astype(np.longdouble),
    "huge long double": lambda X: X.astype(np.longdouble) * np.longdouble("1e400"),
    "big-endian float64": lambda X: X.astype(">f8"),
    "big-endian float32": lambda X: X.astype(">f4"),
    "big-endian int32": lambda X: (X * 100).astype(">i4"),
    "float16": lambda X: X.astype(np.float16),
    "int8": lambda X: (X * 10).astype(np.int8),
    "uint16": lambda X: (abs(X) * 100).astype(np.uint16),
    "uint64": lambda X: (abs(X) * 1e18).astype(np.uint64),
    "large Python integers": lambda X: np.full(X.shape, 2**70, dtype=object),
    "masked": lambda X: np.ma.masked_array(X, X > 1),
    "nothing masked": np.ma.masked_array,
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1],
    "every second": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "infinity": lambda X: np.where(X > 0.5, np.inf, X),
    "NaN": lambda X: np.where(X > 0.5, np.nan, X),
    "NaN alone": lambda X: np.full(X.shape, np.nan),
    "None": lambda X: np.where(X > 0.5, None, X.astype(object)),
    "huge": lambda X: np.clip(X, -1, 1) * 1e308,
    "beyond float32": lambda X: X * 1e200,
    "tiny": lambda X: X * 1e-300,
    "denormal": lambda X: X * 1e-320,
    "constant": np.ones_like,
    "far from zero": lambda X: X + 1e15,
    "one dimension": lambda X: X.ravel(),
    "three dimensions": lambda X: X[:, :, None],
    "five dimensions": lambda X: X[:, None, None, :, None],
    "ragged": lambda X: [[1.0] * (row % 3) for row in range(len(X))],
    "lists": lambda X: X.tolist(),
    "tuples": lambda X: tuple(map(tuple, X)),
    "a number": lambda X: 1.0,
    "nothing": lambda X: None,
    "a string": lambda X: "table.csv",
    "a dict": lambda X: {"a": 1},
    "structured": structured,
    "void": lambda X: np.zeros(X.shape, "V8"),
    "csr": scipy.sparse.csr_matrix,
    "coo": scipy.sparse.coo_array,
    "frame": frame,
    "Int64 with gaps": lambda X: frame(np.where(X > 0.5, np.nan, np.round(X))).astype("Int64"),
    "Float64": lambda X: frame(X).astype("Float64"),
    "boolean": lambda X: frame(X > 0).astype("boolean"),
    "string columns": lambda X: frame(X.astype(str)).astype("string"),
    "sparse columns": lambda X: frame(X).astype(pd.SparseDtype(float, 0.0)),
    "complex columns": lambda X: frame(X.astype(complex)),
    "category columns": lambda X: frame(np.round(X).astype(int).astype(str)).astype("category"),
    "equal names": lambda X: pd.DataFrame(X, columns=["a"] * X.shape[1]),
    "mixed names": lambda X: pd.DataFrame(X, columns=["a", 1, "b", 2.0][: X.shape[1]]),
    "numbers as names": lambda X: pd.DataFrame(X),
    "dates": lambda X: frame(X, when=times(len(X))),
    "dates with a time zone": lambda X: frame(X, when=times(len(X)).tz_localize("UTC")),
    "durations": lambda X: frame(X, when=pd.to_timedelta(np.arange(len(X)), "s")),
    "periods": lambda X: frame(X, when=pd.period_range("2020-01-01", periods=len(X), freq="D")),
    "intervals": lambda X: frame(X, when=pd.interval_range(0, len(X))),
    "date objects": lambda X: frame(X, when=[datetime.date(2020, 1, 1)] * len(X)),
    "decimals": lambda X: frame(X, price=[decimal.Decimal(row) for row in range(len(X))]),
    "lists in a column": lambda X: frame(X, items=[[1, 2]] * len(X)),
    "a series": lambda X: pd.Series(X.ravel()[: len(X)]),
}

# Functions that convert targets 0 and 1, int64 (n,), to odd targets.
ODD_Y = {
    "as it is": lambda y: y,
    "NaN": lambda y: np.where(y == 0, np.nan, y),
    "None": lambda y: np.where(y == 0, None, y.astype(object)),
    "strings and numbers": lambda y: np.where(y == 0, "a", y.astype(object)),
    "strings and None": lambda y: np.where(y == 0, "a", None),
    "one class": np.zeros_like,
    "booleans": lambda y: y == 1,
    "a column": lambda y: y[:, None],
    "three dimensions": lambda y: y[:, None, None],
    "no columns": lambda y: y[:, None][:, :0],
    "too short": lambda y: y[: len(y) // 2],
    "too long": lambda y: np.r_[y, y],
    "floats": lambda y: y.astype(float),
    "halves": lambda y: y + 0.5,
    "infinity": lambda y: np.where(y == 0, np.inf, y),
    "huge": lambda y: y * 1e300,
    "tiny": lambda y: y * 1e-300,
    "strings": lambda y: np.array(["no", "yes"])[y],
    "bytes": lambda y: y.astype("S"),
    "datetime64": lambda y: y.astype("datetime64[D]"),
    "timedelta64": lambda y: y.astype("timedelta64[D]"),
    "dates": lambda y: np.array([datetime.date(2020, 1, 1 + int(label)) for label in y], dtype=object),
    "complex": lambda y: y.astype(complex),
    "uint8": lambda y: y.astype(np.uint8),
    "float16": lambda y: y.astype(np.float16),
    "long double": lambda y: y.astype(np.longdouble),
    "big-endian": lambda y: y.astype(">i4"),
    "masked": lambda y: np.ma.masked_array(y, y == 1),
    "probabilities": lambda y: np.eye(2)[y] * 0.8 + 0.1,
    "no probabilities": lambda y: np.eye(2)[y] + 0.5,
    "indicators": lambda y: np.eye(3, dtype=int)[y] | 1,
    "lists": lambda y: y.tolist(),
    "ragged": lambda y: [[1] * (row % 3) for row in range(len(y))],
    "dicts": lambda y: np.array([{} for _ in y], dtype=object),
    "a number": lambda y: 1,
    "nothing": lambda y: None,
    "a string": lambda y: "label",
    "sparse": lambda y: scipy.sparse.csr_matrix(np.eye(2, dtype=int)[y]),
    "series": lambda y: pd.Series(np.array(["no", "yes"])[y], index=range(5, 5 + len(y))),
    "Int64": lambda y: pd.Series(y).astype("Int64"),
    "boolean with gaps": lambda y: pd.Series(np.where(y == 0, None, True)).astype("boolean"),
    "category": lambda y: pd.Series(y.astype(str)).astype("category"),
    "a frame": lambda y: pd.DataFrame({"y": y}),
}


def ordinary(n_rows, n_features):
    """An ordinary table and its labels."""
    rng = np.random.default_rng([n_rows, n_features])
    return rng.normal(size=(n_rows, n_features)), np.arange(n_rows) % 2
