"""DistilledClassifier and DistilledRegressor: train a small, fast model on the predictions of a slow one."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions

from .._labels import encode_labels
from .._warnings import UnlabeledRowsWarning, warn
from ..ensemble._learned_weights import fit_temperature
from ..ensemble._members import is_frozen
from ..ensemble._target import Target, read_classes
from ..ensemble._votes import one_hot
from ._base_distilled import BaseDistilled
from ._soft_targets import mix_labels, no_zeros, soften, takes_soft_targets


class DistilledClassifier(ClassifierMixin, BaseDistilled):
    """A small net, or another classifier, that is trained on the probabilities of a teacher instead of on labels.

    The teacher may be large and slow: a vote of forests, eight nets, a stack. The student predicts at the speed of one
    net, with better probabilities than the same net trained on the labels [1]_, [2]_. Unlabeled rows, for which only
    the teacher provides targets, make the difference [3]_: without them, the student is hardly better than the net
    alone. The alternative is to train the same net on ``teacher.predict`` of all rows. If classes overlap or labels are
    wrong, its probabilities are far worse than the student's; if nearly every row is unambiguous, as in digits, it is
    as good or better, in accuracy too.

    Parameters
    ----------
    teacher : classifier
        A clone of it is fitted. To use a fitted teacher, wrap it in a :class:`~sklearn.frozen.FrozenEstimator` and pass
        rows to ``fit`` that it was not fitted on: on its own training rows its probabilities are too close to 0 and 1.
        A teacher without ``predict_proba`` teaches its predicted labels, from which a student learns less.
    student : classifier or "auto", default="auto"
        A clone of it is fitted. It must accept class probabilities as y: :class:`NetClassifier` or
        :class:`FineTuneClassifier`, also as the last step of a Pipeline or in an :class:`AugmentedClassifier`.
        ``"auto"`` is ``NetClassifier()`` for a table and ``FineTuneClassifier("tiny32", strategy="fine-tune")`` for
        images and image files. For images given as rows, pass a student with ``image_shape``.
    temperature : float or "auto", default="auto"
        The student learns the teacher's probabilities to the power of 1 / temperature, normalized. Values above 1 make
        them flatter, values below 1 sharper. ``"auto"`` minimizes the log loss of the teacher on held-out rows: the
        result is often below 1 for forests and above 1 for nets. Unlike in [1]_, the student's own outputs are not
        divided by the temperature, so that it predicts the tempered probabilities.
    hard_label_weight : float, default=0.5
        Weight of the label in the targets of labeled rows, from 0 to 1. With 0 the student never learns where a label
        contradicts the out-of-fold teacher, and is less accurate. Raise it towards 1 if labels are reliable and most
        rows are unlabeled.
    verbose : int, default=0
        0: silent. 1: bars of the fits of the teacher and of the student. 2: a line in the log per fit instead.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels; with a frozen teacher, its labels, which may be more than those in y.
    teacher_ : classifier
        The fitted teacher. It is not needed for predictions: ``del model.teacher_`` makes a saved model small.
    student_ : classifier
        The fitted student. Its own ``predict`` returns indices of ``classes_``.
    temperature_ : float
        The temperature used; 1 if no other lowers the loss on held-out rows.
    agreement_ : float
        Fraction of held-out rows for which student and teacher predict the same class.
    n_features_in_ : int
        Number of features of the student.
    feature_names_in_ : ndarray of str
        Names of the columns, if ``fit`` was given a DataFrame.

    Raises
    ------
    ValueError, TypeError
        If the student does not accept class probabilities, if y has several labels per row or labels unknown to a
        frozen teacher, or if the rows of ``X_unlabeled`` differ in shape from those of X.

    Warns
    -----
    UnlabeledRowsWarning
        If y holds -1 besides 0, 1 and so on, which other estimators take for rows without a label, and there is no
        ``X_unlabeled``.

    See Also
    --------
    DistilledRegressor : The same for regressors.
    export_onnx : Export the student, without the teacher, to a file.

    Notes
    -----
    The teacher's probabilities for labeled rows are predicted out of fold, with five folds; those for ``X_unlabeled``
    come from a teacher that is fitted on all labeled rows. ``fit`` therefore takes six fits of the teacher (none if it
    is frozen) and two of the student: the first is fitted without the first fold, on which ``agreement_`` is measured.
    Equal rows are always in the same fold.

    A search splits ``X_unlabeled`` along with X if both have the same number of rows: add or remove a row. With
    metadata routing, request it by ``set_fit_request(X_unlabeled=True)``.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015.
    .. [2] J. Ba, R. Caruana, "Do deep nets really need to be deep?", NeurIPS 2014.
    .. [3] C. Bucila, R. Caruana, A. Niculescu-Mizil, "Model compression", KDD 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sktricks import DistilledClassifier, NetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> forest, net = RandomForestClassifier(random_state=0), NetClassifier(random_state=0)
    >>> model = DistilledClassifier(forest, net).fit(X[:500], y[:500], X_unlabeled=X[500:1500])
    >>> model.predict(X[1500:1505])
    array([1, 7, 4, 6, 3])
    >>> bool(model.temperature_ < 1), bool(model.agreement_ > 0.8)
    (True, True)
    """

    _parameter_constraints: dict = {
        **BaseDistilled._parameter_constraints,
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "hard_label_weight": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        teacher: Any,
        student: Any = "auto",
        *,
        temperature: float | str = "auto",
        hard_label_weight: float = 0.5,
        verbose: int = 0,
    ):
        self.teacher = teacher
        self.student = student
        self.temperature = temperature
        self.hard_label_weight = hard_label_weight
        self.verbose = verbose

    def _fit(self, X, y, X_unlabeled, sample_weight):
        y, target = read_classes(y)
        if target.kind == "multilabel":
            raise ValueError(f"y must hold one class per row, got {target.width} labels per row")
        X, y, weight = self._read(X, y, X_unlabeled, sample_weight)
        target = self._find_target(y)
        if X_unlabeled is None and not is_frozen(self.teacher):
            warn_of_unlabeled(target.classes)
        codes = target.encode(y)
        method = "predict_proba" if hasattr(self.teacher, "predict_proba") else "predict"
        taught = self._teach(X, y, codes, X_unlabeled, weight, target, method)
        teacher, known, unknown, student, rows = taught
        if method == "predict":
            known, unknown = (
                None if one is None else one_hot(one.astype(np.intp), target.width) for one in (known, unknown)
            )
        temperature = self._find_temperature(method, known, codes, rows)
        targets = mix_labels(soften(known, temperature), codes, self.hard_label_weight)
        if unknown is not None:
            targets = np.concatenate([targets, soften(unknown, temperature)])
        student, agreement = self._learn(student, rows, no_zeros(targets), known)
        results = {"classes_": target.classes, "teacher_": teacher}
        return self._keep(student, {**results, "temperature_": temperature, "agreement_": agreement})

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class according to the student.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,)
            Predicted labels.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the class probabilities of the student.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        self._check_rows(X)
        return self.student_.predict_proba(X)

    def _find_target(self, y):
        """Return the target with the classes in y, or with those of a frozen teacher."""
        classes = np.unique(y)
        if is_frozen(self.teacher):
            known = np.asarray(self.teacher.classes_)
            try:
                encode_labels(classes, known)
            except ValueError as error:
                raise ValueError(f"teacher was fitted on classes other than those in y: {error}") from error
            classes = known
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} requires at least two classes in y, got one class: {classes.tolist()[0]!r}"
            )
        return Target("classes", classes)

    def _find_temperature(self, method, known, codes, rows):
        if not isinstance(self.temperature, str):
            return float(self.temperature)
        if method == "predict":
            return 1.0
        return float(fit_temperature(known, codes, rows.weight, rows.folds))

    def _default_student(self, images):
        from ..training import NetClassifier
        from ..transfer import FineTuneClassifier

        return FineTuneClassifier("tiny32", strategy="fine-tune") if images else NetClassifier()

    def _check_student(self, student):
        if not takes_soft_targets(student):
            raise ValueError(
                "student must take class probabilities as y, as NetClassifier and FineTuneClassifier do, alone, as the "
                f"last step of a Pipeline or in an AugmentedClassifier, got {student!r}: pass one of these. To search "
                "over a student's parameters, search over those of DistilledClassifier, such as student__lr"
            )

    def _agreement(self, student, X, known, weight):
        same = student.predict_proba(X).argmax(axis=1) == known.argmax(axis=1)
        return float(np.average(same, weights=weight))


def warn_of_unlabeled(classes):
    """Warn of the label -1 if the other classes are numbered from 0."""
    if classes.dtype.kind == "i" and len(classes) > 2 and np.array_equal(classes, np.arange(-1, len(classes) - 1)):
        warn(
            "y holds -1, which is learned as a class: if it marks rows without a label, as in scikit-learn's "
            "SelfTrainingClassifier, pass them as X_unlabeled: fit(X[y != -1], y[y != -1], X_unlabeled=X[y == -1])",
            UnlabeledRowsWarning,
        )


class DistilledRegressor(RegressorMixin, BaseDistilled):
    """A small net, or another regressor, that is trained on the predictions of a teacher instead of on values.

    Parameters
    ----------
    teacher : regressor
        A clone of it is fitted. To use a fitted teacher, wrap it in a :class:`~sklearn.frozen.FrozenEstimator` and pass
        rows to ``fit`` that it was not fitted on.
    student : regressor or "auto", default="auto"
        A clone of it is fitted. ``"auto"`` is ``NetRegressor()`` for a table and
        ``FineTuneRegressor("tiny32", strategy="fine-tune")`` for images and image files.
    verbose : int, default=0
        0: silent. 1: bars of the fits of the teacher and of the student. 2: a line in the log per fit instead.

    Attributes
    ----------
    teacher_ : regressor
        The fitted teacher. It is not needed for predictions: ``del model.teacher_`` makes a saved model small.
    student_ : regressor
        The fitted student.
    agreement_ : float
        R² of the student's predictions on held-out rows, with the teacher's predictions as true values. NaN if only one
        row is held out.
    n_features_in_, feature_names_in_
        As in :class:`DistilledClassifier`.

    Raises
    ------
    ValueError, TypeError
        If the rows of ``X_unlabeled`` differ in shape from those of X, or if teacher or student is not a regressor.

    See Also
    --------
    DistilledClassifier : The same for classifiers; describes how rows are held out and how many fits are needed.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sktricks import DistilledRegressor, NetRegressor
    >>> X, y = make_friedman1(1000, random_state=0)
    >>> forest, net = RandomForestRegressor(50, random_state=0), NetRegressor(random_state=0)
    >>> model = DistilledRegressor(forest, net).fit(X[:300], y[:300], X_unlabeled=X[300:800])
    >>> bool(model.score(X[800:], y[800:]) > 0.7), bool(model.agreement_ > 0.7)
    (True, True)
    """

    def _fit(self, X, y, X_unlabeled, sample_weight):
        from ..training._targets import check_y

        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        values = check_y(y, "numbers", "numeric")
        X, values, weight = self._read(X, values, X_unlabeled, sample_weight)
        codes = np.zeros(len(values), dtype=np.intp)
        taught = self._teach(X, values, codes, X_unlabeled, weight, Target("values"), "predict")
        teacher, known, unknown, student, rows = taught
        expected, got = (one.size // len(values) for one in (values, known))
        if expected != got:
            raise ValueError(
                f"teacher must predict as many values per row as y has, {expected}, got {got}: fit it on the same y"
            )
        targets = known if unknown is None else np.concatenate([known, unknown])
        student, agreement = self._learn(student, rows, targets, known)
        return self._keep(student, {"teacher_": teacher, "agreement_": agreement})

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the values that the student predicts.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted values.
        """
        self._check_rows(X)
        return self.student_.predict(X)

    def _default_student(self, images):
        from ..training import NetRegressor
        from ..transfer import FineTuneRegressor

        return FineTuneRegressor("tiny32", strategy="fine-tune") if images else NetRegressor()

    def _check_student(self, student):
        """Accept any regressor, since each learns from values."""

    def _agreement(self, student, X, known, weight):
        return float(r2_score(known, student.predict(X), sample_weight=weight)) if len(known) > 1 else float("nan")
