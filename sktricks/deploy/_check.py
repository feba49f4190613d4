"""Check a graph before it is written: it must agree with the estimator on the given rows and on rows derived from them.

Where a graph computes a column before it compares it with a threshold, as after a scaler, rounding decides on which
side a row on the threshold falls. A derived row that differs is therefore accepted, and counted, if it agrees after a
shift by a millionth of each column's spread, both up and down. Given rows must always agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .._progress import SILENT, Progress
from ..ensemble._predictions import positive_probabilities
from ._compare_outputs import Difference, Outputs, compare, describe_row, sizes_of
from ._label_rule import follows_probabilities, largest
from ._made_rows import Made, make_all, make_gaps, make_missing, reorder_columns, spread_evenly
from ._onnx_errors import OnnxMismatchError

Run = Callable[[Any], Outputs]  # from rows like X to the outputs of a graph
METHODS = {
    "label": "predict",
    "prediction": "predict",
    "probabilities": "predict_proba",
    "features": "transform",
}
KINDS = {"label": "classifier", "probabilities": "classifier", "prediction": "regressor", "features": "transformer"}
N_SINGLE = 8


@dataclass
class CheckResult:
    """The result of a check.

    Parameters
    ----------
    n_given, n_made : int
        Number of given and of derived rows that were compared.
    largest_difference : float
        Largest difference in given rows; for values and features, relative to the largest of their column.
    largest_made_difference : float
        The same for derived rows.
    ties : int
        Given rows whose label differs because the two largest probabilities are equal within the tolerance.
    on_threshold : int
        Derived rows that differ because they lie on a threshold.
    refused : list of str
        Kinds of derived rows that the estimator rejects; they were not compared.
    missing : list of int
        Indices of the columns of a table in which the estimator accepts missing values.
    gaps : dict of int to list of str
        For each column of strings, the kinds of missing values that the graph treats as the estimator does.
    any_order : bool
        True if the estimator finds the columns of a DataFrame by name, in any order and among others.
    by_probability : bool
        True if the labels follow from the probabilities; derived rows are then predicted only once.
    """

    n_given: int
    n_made: int = 0
    largest_difference: float = 0.0
    largest_made_difference: float = 0.0
    ties: int = 0
    on_threshold: int = 0
    refused: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    gaps: dict[int, list[str]] = field(default_factory=dict)
    any_order: bool = False
    by_probability: bool = False


def expected_outputs(estimator, X, names, by_probability: bool = False) -> Outputs:
    """Return the estimator's predictions for the outputs of its graph, by name.

    With ``by_probability``, labels are derived from the probabilities, without a call of ``predict``.
    """
    asked = [name for name in names if not (by_probability and name == "label")]
    found = {name: getattr(estimator, METHODS[name])(X) for name in asked}
    if by_probability:
        found = {"label": largest(estimator, found["probabilities"]), **found}
    if isinstance(found.get("probabilities"), list):  # one matrix per label
        found["probabilities"] = positive_probabilities(found["probabilities"], estimator.classes_)
    return {name: as_numbers(value.toarray() if issparse(value) else value) for name, value in found.items()}


def as_numbers(values) -> np.ndarray:
    """Return an array, with a numeric dtype if possible: a ColumnTransformer may return numbers as objects."""
    array = np.asarray(values)
    if array.dtype == object and not any(isinstance(value, str) for value in array.ravel().tolist()):
        return array.astype(np.float64)
    return array


def check_graph(
    estimator,
    run: Run,
    X,
    expected: Outputs,
    atol: float,
    *,
    decodings: dict[str, dict],
    forgive: bool,
    progress: Progress = SILENT,
) -> CheckResult:
    """Compare a graph with its estimator; raise an error if they differ.

    Parameters
    ----------
    estimator : estimator
    run : callable
        Returns the outputs of the graph for some rows.
    X : array-like
        Given rows.
    expected : dict of ndarray
        The estimator's predictions for them.
    atol : float
    decodings : dict
        The decodings of the graph.
    forgive : bool
        True if a made row may lie on a threshold.
    progress : Progress
        Tells which rows are compared.
    """
    sizes = sizes_of(expected)
    given = compare(expected, run(X), atol, sizes)
    if given.bad.any():
        raise mismatch(estimator, f"row {given.worst} of X", given, expected, run(X), atol)
    result = CheckResult(len(given.bad), largest_difference=given.largest, ties=given.ties)
    result.by_probability = follows_probabilities(estimator, expected)
    check_single_rows(estimator, run, X, expected, atol, sizes)
    for name, rows, shift in make_all(X, decodings):
        progress.tell(f"check: {name}")
        if not check_made_rows(estimator, run, (name, rows, shift if forgive else None), expected, atol, result):
            result.refused.append(name)
    for index, rows in make_missing(X, decodings):
        progress.tell(f"check: missing values in column {index}")
        made = (f"missing values in column {index}", rows, None)
        if check_made_rows(estimator, run, made, expected, atol, result):
            result.missing.append(index)
    for index, by_kind in make_gaps(X, decodings):
        result.gaps[index] = [kind for kind, rows in by_kind.items() if agrees(estimator, run, rows, expected, atol)]
        if result.gaps[index] and index not in result.missing:
            result.missing.append(index)
    reordered = reorder_columns(X)
    result.any_order = reordered is not None and agrees(estimator, run, reordered, expected, atol)
    return result


def agrees(estimator, run: Run, rows, expected: Outputs, atol: float) -> bool:
    """Return True if the estimator accepts the rows and the graph predicts the same for them."""
    wanted = try_to_predict(estimator, rows, list(expected))
    return wanted is not None and not compare(wanted, run(rows), atol, sizes_of(expected, wanted)).bad.any()


def check_made_rows(estimator, run: Run, made: Made, expected: Outputs, atol: float, result: CheckResult) -> bool:
    """Compare a graph with its estimator on derived rows, and update ``result``.

    Rows that differ are accepted if they agree after a shift. Return False if the estimator rejects the rows.
    """
    name, rows, shift = made
    wanted = try_to_predict(estimator, rows, list(expected), result.by_probability)
    if wanted is None:
        return False
    found, sizes = run(rows), sizes_of(expected, wanted)
    difference = compare(wanted, found, atol, sizes)
    bad, good = np.flatnonzero(difference.bad), ~difference.bad
    if len(bad) and not (shift and agree_beside(estimator, run, shift, bad, wanted, atol)):
        raise mismatch(estimator, f"a row derived from X ({name})", difference, wanted, found, atol)
    result.n_made += len(good)
    result.on_threshold += len(bad)
    rest, same = ({key: values[good] for key, values in one.items()} for one in (wanted, found))
    result.largest_made_difference = max(result.largest_made_difference, compare(rest, same, atol, sizes).largest)
    return True


def check_single_rows(estimator, run: Run, X, expected: Outputs, atol: float, sizes: Outputs) -> None:
    """Raise an error if the outputs for a single row differ from those for the row in a batch."""
    for row in spread_evenly(len(next(iter(expected.values()))), N_SINGLE):
        wanted = {name: values[[row]] for name, values in expected.items()}
        found = run(_safe_indexing(X, [int(row)]))
        difference = compare(wanted, found, atol, sizes)
        if difference.bad.any():
            raise mismatch(estimator, f"row {row} of X, predicted alone", difference, wanted, found, atol)


def agree_beside(estimator, run: Run, shift, rows: np.ndarray, wanted: Outputs, atol: float) -> bool:
    """Return True if rows agree after a small shift upward and after one downward."""
    for sign in (1, -1):
        beside = shift(rows, sign)
        expected = try_to_predict(estimator, beside, list(wanted))
        if expected is None or compare(expected, run(beside), atol, sizes_of(expected, wanted)).bad.any():
            return False
    return True


def try_to_predict(estimator, X, names, by_probability: bool = False) -> Outputs | None:
    """Return the estimator's predictions for derived rows, None if it rejects them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about unseen values are expected here
        try:
            return expected_outputs(estimator, X, names, by_probability)
        except Exception:  # any error means that the estimator rejects the rows
            return None


def mismatch(estimator, where: str, difference: Difference, expected: Outputs, found: Outputs, atol: float):
    """Return the error for rows in which a graph and its estimator differ."""
    row = difference.worst
    cure = "" if difference.labels.any() else ": pass a larger atol if this difference does not matter to you"
    return OnnxMismatchError(
        f"the ONNX graph of {type(estimator).__name__} differs from it in {int(difference.bad.sum())} of "
        f"{len(difference.bad)} rows, most of all in {where}: {describe_row(expected, found, row)}. The largest "
        f"difference is {difference.largest:.3g}, atol={atol:g} is allowed; labels must be equal. Nothing was "
        f"written{cure}{about_ties(estimator)}"
    )


def about_ties(estimator) -> str:
    """Return a hint about neighbors at equal distances, empty if the estimator searches for none."""
    parts = [estimator, *estimator.get_params().values()]
    title = next((name for name in (type(part).__name__ for part in parts) if name.startswith("KNeighbors")), None)
    if title is None:
        return ""
    return (
        f". {title} chooses among training rows at equal distances in no defined order, whereas the graph takes the "
        "first ones: if this is the cause, remove duplicate rows, or fit with another n_neighbors"
    )
