"""Predictions of members, aligned with the ensemble's classes.

Members are fitted on the original labels, and may have the classes in any order or only some of them. Labels become
codes, the indices of the sorted classes; probabilities and decision values get one column per class. Multilabel
targets have a 0 or 1, or a probability, per label.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples

from .._labels import align_columns, encode_labels
from .._progress import FEW, progress
from ._members import naming


def predict_member(estimator, X, method, target):
    """Return the predictions of a fitted member.

    Parameters
    ----------
    estimator : estimator
    X : array-like
    method : {"predict", "predict_proba", "decision_function"}
    target : Target

    Returns
    -------
    predictions : ndarray
        For ``predict``, values or codes, (n,), or multilabel 0 and 1, (n, labels); for ``predict_proba``,
        (n, classes) or (n, labels); for ``decision_function``, (n, columns).
    """
    output = getattr(estimator, method)(X)
    classes = getattr(estimator, "classes_", None)
    if method == "predict":
        return read_predictions(output, target)
    if method == "predict_proba" and target.kind == "multilabel":
        return positive_probabilities(output, classes)
    if target.kind != "classes":
        return np.asarray(output)
    align = align_columns if method == "predict_proba" else decision_columns
    return align(np.asarray(output), classes, target.classes)


def predict_members(estimators, names, X, methods, targets, *, finite=True, verbose=0):
    """Return the predictions of all members, a list; errors name the member.

    Unless ``finite`` is False, predictions of NaN or infinity raise an error.
    """
    (X,) = indexable(X)  # converts sparse formats that cannot be indexed by row, as fit does
    predictions = []
    with progress(len(names), "predict", "member", verbose if verbose and _num_samples(X) > FEW else 0) as done:
        for estimator, name, method, target in zip(estimators, names, methods, targets, strict=True):
            with naming(f"member {name!r}"):
                output = predict_member(estimator, X, method, target)
            predictions.append(check_finite(output, f"member {name!r}", method) if finite else output)
            done.step(1, name)
    return predictions


def read_predictions(output, target):
    """Return the output of ``predict`` as codes, multilabel 0 and 1, or values."""
    output = output.toarray() if issparse(output) else np.asarray(output)
    if target.kind == "classes":
        return encode_labels(output, target.classes, "the output of predict")
    if target.kind == "multilabel":
        return (output > 0.5).astype(np.intp)  # some members return floats, some booleans
    return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output


def positive_probabilities(output, classes):
    """Return the probability of each label, (n, labels), from either of the two forms that scikit-learn uses.

    Some classifiers return the matrix itself, others a list with one matrix (n, classes of the label) per label, with
    columns according to ``classes``: a label that was constant in ``fit`` has one column.
    """
    if not isinstance(output, list):
        return np.asarray(output)
    columns = [align_columns(np.asarray(one), own, np.array([0, 1])) for one, own in zip(output, classes, strict=True)]
    return np.stack([one[:, 1] for one in columns], axis=1)


def decision_columns(values, member_classes, classes):
    """Return decision values in the order of ``classes``; classes that a member lacks get its lowest value."""
    if member_classes is None or np.array_equal(member_classes, classes):
        return values.reshape(len(values), -1)
    if values.ndim == 1:
        values = np.stack([-values, values], axis=1)
    return align_columns(values, member_classes, classes, fill=values.min(axis=1))


def check_finite(predictions, who, method):
    """Return predictions unchanged, or raise an error if some rows contain NaN or infinity."""
    with np.errstate(all="ignore"):
        if predictions.dtype.kind != "f" or np.isfinite(predictions.sum()):  # usually one pass suffices
            return predictions
    wrong = ~finite_rows(predictions)
    if wrong.any():
        raise ValueError(
            f"{who}: {method} must return finite values, got NaN or infinity in {wrong.sum()} of {len(wrong)} rows, "
            f"the first one is row {wrong.argmax()}: fix this member or drop it"
        )
    return predictions


def finite_rows(predictions):
    """Return True for each row without NaN and infinity, (rows,)."""
    return np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1)
