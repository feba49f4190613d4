"""compare: several estimators on the same folds."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, check_cv, cross_validate
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples

from .._coded import has_gaps
from .._labels import check_labels
from .._parameter_checks import check_verbose
from .._progress import progress
from .._splits import read_split
from .._threads import run_parallel, type_of_target
from ..tables._frames import is_missing
from ._comparison import Compared, Comparison
from ._label_issues import check_groups
from ._seen_rows import warn_of_seen_rows
from ._usual_estimators import usual_estimators

# Integers are labels unless there are more distinct ones than this, with too few rows of each for the folds.
MOST_NUMBERED, LEAST_ROWS = 20, 5


def compare(
    estimators: Mapping[str, Any] | list[tuple[str, Any]] | None,
    X: ArrayLike,
    y: ArrayLike,
    *,
    cv: Any = 5,
    scoring: str | Callable | None = None,
    groups: ArrayLike | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Comparison:
    """Cross-validate several estimators on the same folds, and compare each with the best.

    The table has the score with its standard error, the difference to the best estimator with a 95 % interval, the time
    per fit and per evaluation, and the size of the pickled estimator. It always includes a baseline that ignores X. If
    an estimator fails or has a score of NaN, its row states the reason, and the others are still compared.

    Parameters
    ----------
    estimators : dict, list of (name, estimator) pairs, or None
        Unfitted estimators, which are cloned: either classifiers or regressors. None:
        :class:`~sklearn.linear_model.LogisticRegression` or :class:`~sklearn.linear_model.Ridge`, HistGradientBoosting,
        and :class:`NetClassifier` or :class:`NetRegressor`; for images and image files a linear model and an SVM on
        :class:`PretrainedFeatures`, and :class:`FineTuneClassifier` or
        :class:`FineTuneRegressor`. y is then a regression target if it holds numbers that are not all integers, or more
        than 20 distinct numbers with fewer than five rows each on average. A :class:`~sklearn.frozen.FrozenEstimator`
        is scored without a fit: X must be rows that it was not fitted on, otherwise its score is far too high.
    X : array-like of shape (n, ...)
        Rows of a table, images, or one column of image files.
    y : array-like of shape (n,) or (n, outputs)
        Labels or values.
    cv : int, splitter or iterable, default=5
        Number of folds, or a splitter of scikit-learn. Folds of classifiers are stratified.
    scoring : str or callable, default=None
        A score of scikit-learn, of which larger values are better, such as ``"roc_auc"`` or ``"neg_log_loss"``. None:
        the accuracy, or R^2 of a regressor.
    groups : array-like of shape (n,), default=None
        Rows of one group share a fold if ``cv`` is a number; a splitter receives them.
    n_jobs : int, default=None
        Number of processes for the folds of one estimator. Each process has its own feature cache in memory: with image
        nets, pass estimators with ``cache="folder"``, or leave this at None.
    verbose : int, default=0
        0: silent. 1: a bar of fits, one per estimator and fold. 2: a line per fit in the log instead.

    Returns
    -------
    comparison : Comparison
        ``print`` shows it, ``to_frame()`` returns a DataFrame.

    Raises
    ------
    ValueError
        If ``estimators`` is empty, has a name twice, or has both classifiers and regressors; if X, y and groups differ
        in length; if y has missing values, one class, or several columns where ``estimators`` is None; if there are
        fewer groups than folds, or a row is in both parts of a split; if ``scoring`` holds several scores; or if every
        estimator fails.
    TypeError
        If ``estimators`` is neither a dict nor a list of pairs, or a value is not a classifier or regressor.

    See Also
    --------
    ComparisonDisplay : A figure of the result.
    sklearn.model_selection.cross_validate : The scores of one estimator.

    Notes
    -----
    The interval uses the corrected variance of Nadeau & Bengio [1]_, since folds share training rows. "Best" is the
    best of the compared estimators on these folds, so its score is slightly optimistic.

    Nets that encode images with the same frozen backbone share the features in the cache: the time of encoding counts
    only for the first of them.

    References
    ----------
    .. [1] Nadeau & Bengio, Inference for the Generalization Error, Machine Learning 52, 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> comparison = compare(None, X, y)
    >>> sorted(result.name for result in comparison.results)
    ['DummyClassifier', 'HistGradientBoostingClassifier', 'LogisticRegression', 'NetClassifier']
    >>> print(comparison)  # doctest: +SKIP
    """
    check_verbose(verbose)
    X, y, groups = check_rows(X, y, groups)
    check_score_is_one(scoring)
    named = check_estimators(estimators) if estimators is not None else usual(X, y)
    classify = all(map(is_classifier, named.values()))
    if classify and len(np.unique(np.asarray(y))) < 2:
        raise ValueError(f"y must have at least two classes, got only {np.unique(np.asarray(y))[0]!r}")
    warn_of_seen_rows(named)
    named = with_baseline(named, classify)
    splits = split_rows(cv, X, y, groups, classify)
    results: list[Compared] = []
    with progress(len(named) * len(splits), "compare", "fit", verbose) as done:
        for name, estimator in named.items():
            done.tell(name)
            report = partial(report_folds, done, len(results), len(splits))
            results.append(evaluate(name, estimator, X, y, splits, scoring, n_jobs, report))
            done.move(len(results) * len(splits), describe(results[-1]))
    if all(result.error for result in results):
        reasons = "; ".join(f"{result.name}: {result.error}" for result in results)
        raise ValueError(f"all estimators failed: {reasons}")
    results.sort(key=lambda result: (bool(result.error), -np.mean(result.scores) if not result.error else 0))
    test_fraction = float(np.mean([len(test) / len(train) for train, test in splits]))
    return Comparison(results, name_score(scoring, classify), test_fraction)


def check_rows(X, y, groups):
    """Return rows, targets and groups that can be indexed; raise an error for different lengths or missing y."""
    if isinstance(groups, str):
        raise ValueError(f"groups must have one value per row of X, got the string {groups!r}: pass the column itself")
    lengths = {
        name: _num_samples(rows) for name, rows in {"X": X, "y": y, "groups": groups}.items() if rows is not None
    }
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"X, y and groups must have the same number of rows: {found}")
    if y is None or holds_missing(y):
        raise ValueError("y must have a label or value for each row, got missing ones: leave out rows without one")
    return indexable(X, y, groups)


def holds_missing(y):
    """Return True if an array-like has missing values."""
    values = np.asarray(y)
    return has_gaps(values) or (values.dtype == object and any(map(is_missing, values.ravel().tolist())))


def check_score_is_one(scoring):
    """Raise an error for a collection of scores."""
    if isinstance(scoring, list | tuple | set | dict):
        raise ValueError(f"scoring must be one score, a name or a callable, got {scoring!r}: compare by one at a time")


def split_rows(cv, X, y, groups, classify):
    """Return the splits as a list of (train, test); a number of folds keeps groups together."""
    splitter = check_cv(cv, y, classifier=classify)
    if groups is not None and (cv is None or isinstance(cv, Integral)):
        check_labels(np.asarray(groups), "groups")
        n_folds, n_groups = splitter.get_n_splits(), check_groups(groups, _num_samples(X)).max() + 1
        if n_groups < n_folds:
            raise ValueError(f"cv={n_folds} needs at least {n_folds} groups, got {n_groups}: choose fewer folds")
        splitter = StratifiedGroupKFold(n_folds) if isinstance(splitter, StratifiedKFold) else GroupKFold(n_folds)
    pairs = enumerate(splitter.split(X, y, groups), start=1)
    return [read_split(pair, _num_samples(X), number) for number, pair in pairs]


def check_estimators(estimators):
    """Return estimators by name, or raise an error for an invalid name or estimator."""
    pairs = list(estimators.items()) if isinstance(estimators, Mapping) else estimators
    listed = list, tuple
    if not (isinstance(pairs, listed) and all(isinstance(pair, listed) and len(pair) == 2 for pair in pairs)):
        raise TypeError(f"estimators must be a dict, or a list of (name, estimator) pairs, got {estimators!r}")
    if not pairs:
        raise ValueError("estimators must hold at least one estimator, got none")
    names = [str(name) for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"estimators: names must differ, got {', '.join(twice)} more than once")
    for name, estimator in pairs:
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
            raise TypeError(f"estimators[{name!r}] must be an estimator, got {estimator!r}")
        if not (is_classifier(estimator) or is_regressor(estimator)):
            raise TypeError(f"estimators[{name!r}] must be a classifier or a regressor, got {estimator!r}")
    kinds = {is_classifier(estimator) for _, estimator in pairs}
    if len(kinds) > 1:
        regressors = [str(name) for name, estimator in pairs if is_regressor(estimator)]
        raise ValueError(
            f"estimators must be all classifiers or all regressors, got regressors {', '.join(regressors)}"
        )
    return {str(name): estimator for name, estimator in pairs}


def usual(X, y):
    """Return the estimators that are compared by default."""
    n_outputs = np.asarray(y).size // max(_num_samples(y), 1)
    if n_outputs > 1:
        raise ValueError(
            f"estimators=None compares estimators of one label or value per row, but y has {n_outputs}: compare one "
            "column of y at a time, or pass estimators that take several, such as NetClassifier and "
            "RandomForestClassifier for columns of 0 and 1, NetRegressor and Ridge for values"
        )
    return usual_estimators(X, classify=holds_classes(y))


def holds_classes(y):
    """Return True for labels, False for values of a regression."""
    values = np.asarray(y)
    if type_of_target(y).startswith("continuous"):
        return False
    n_distinct = len(np.unique(values)) if values.dtype.kind in "iuf" else 0
    return n_distinct <= MOST_NUMBERED or len(values) >= LEAST_ROWS * n_distinct


def with_baseline(named, classify):
    """Return the estimators, with a baseline that ignores X unless there is one."""
    kind = DummyClassifier if classify else DummyRegressor
    if any(isinstance(estimator, kind) for estimator in named.values()):
        return named
    if kind.__name__ in named:
        raise ValueError(f"estimators: the name {kind.__name__} is that of the baseline, give another one")
    return {**named, kind.__name__: kind()}


def report_folds(done, n_before, n_folds, n):
    """Count the folds of one estimator; the last counts when its score is known."""
    done.move(n_before * n_folds + min(n, n_folds - 1))


def describe(result):
    """Return the name of an estimator and its mean score, or that it failed."""
    return f"{result.name}: failed" if result.error else f"{result.name}: {np.mean(result.scores):.4f}"


def evaluate(name, estimator, X, y, splits, scoring, n_jobs, report=None):
    """Return the results of one estimator; if it fails, with the reason. ``report`` gets the number of folds done."""
    scorer = check_scoring(estimator, scoring)
    try:
        folds = run_parallel(score_fold, [(estimator, X, y, split, scorer) for split in splits], n_jobs, report)
    except Exception as error:  # estimators raise errors of all kinds, and the others are still compared
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Compared(name, np.full(len(splits), np.nan), error=reason)
    found = {key: np.array([fold[key][0] for fold in folds]) for key in ("test_score", "fit_time", "score_time")}
    bad = np.flatnonzero(np.isnan(found["test_score"]))
    if len(bad):  # the others cannot be compared with it, nor it with them
        reason = f"the score is NaN in {len(bad)} of {len(splits)} folds"
        return Compared(name, np.full(len(splits), np.nan), error=reason)
    return Compared(
        name,
        found["test_score"],
        float(np.mean(found["fit_time"])),
        float(np.mean(found["score_time"])),
        measure_size(folds[0]["estimator"][0]),
    )


def score_fold(estimator, X, y, split, scorer):
    """Return the results of scikit-learn's ``cross_validate`` for one fold."""
    return cross_validate(estimator, X, y, cv=[split], scoring=scorer, return_estimator=True, error_score="raise")


def measure_size(estimator):
    """Return the number of bytes of a pickled estimator; -1 if it cannot be pickled.

    A file of :func:`save` is not measured, since it takes half a second for the trees of a forest.
    """
    try:
        return len(pickle.dumps(estimator))
    except Exception:  # lambdas and others, with errors of any class
        return -1


def name_score(scoring, classify):
    """Return the name of a score for the table."""
    if scoring is None:
        return "accuracy" if classify else "R^2"
    return scoring if isinstance(scoring, str) else getattr(scoring, "__name__", type(scoring).__name__)
