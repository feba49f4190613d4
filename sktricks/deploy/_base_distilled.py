"""The base class of distilled estimators: fit a teacher, and a student on its out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.validation import _num_samples, check_consistent_length, check_is_fitted

from .._naming import RenamedMethodsMixin
from .._progress import progress
from .._project import LinksToDocs
from .._sample_weight import check_weights, weight_keyword
from .._typing import fit_context
from .._validation import check_finite
from ..augment.copies._inner_estimator import first_reader
from ..ensemble._base_ensemble import warn_of_unweighted
from ..ensemble._fits import fit_members, predict_checked
from ..ensemble._members import Member, check_kind, is_frozen, naming
from ..ensemble._oof import join_folds, one_split
from ._row_folds import fold_rows
from ._unlabeled_rows import check_unlabeled, shape_of_rows, stack_rows


@dataclass
class Rows:
    """The training rows of the student.

    Parameters
    ----------
    X : array-like
        The labeled rows, followed by the unlabeled ones.
    folds : ndarray of shape (n,)
        The fold of each labeled row.
    weight : ndarray of shape (n,)
        The weights of the labeled rows; they sum to 1.
    params : dict
        Further arguments of the student's ``fit``, for all rows.
    """

    X: object
    folds: np.ndarray
    weight: np.ndarray
    params: dict


class BaseDistilled(RenamedMethodsMixin, LinksToDocs, MetaEstimatorMixin, BaseEstimator):
    """Base class of students that are trained on the predictions of a teacher.

    Subclasses define these hooks:

    - ``_fit(X, y, X_unlabeled, sample_weight) -> self``;
    - ``_default_student(images) -> estimator``: the student for ``student="auto"``;
    - ``_check_student(student)``: raise an error for a student that cannot learn from the targets;
    - ``_agreement(student, X, known, weight) -> float``: how well the student agrees with the teacher's predictions.
    """

    _parameter_constraints: dict = {
        "teacher": [HasMethods(["fit", "predict"])],
        "student": [StrOptions({"auto"}), HasMethods(["fit", "predict"])],
        "verbose": ["verbose"],
    }

    def __init__(self, teacher: Any, student: Any = "auto", *, verbose: int = 0):
        self.teacher = teacher
        self.student = student
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = [self.teacher, self._student(images=False)]
        both = [get_tags(part) for part in parts]
        first = [get_tags(first_reader(part)) if isinstance(part, Pipeline) else get_tags(part) for part in parts]
        # A Pipeline does not pass on the tag allow_nan of its first step.
        tags.input_tags.allow_nan = all(one.input_tags.allow_nan for one in first)
        for name in ("sparse", "three_d_array", "string", "categorical"):
            setattr(tags.input_tags, name, all(getattr(one.input_tags, name) for one in both))
        tags.target_tags.multi_output = all(one.target_tags.multi_output for one in both)
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "student_")

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the estimator itself, the teacher and the student.

        Returns
        -------
        routing : MetadataRouter
            ``fit`` itself uses ``X_unlabeled`` and ``sample_weight``, and passes the weights to the ``fit`` of teacher
            and student if they request them; the student ``"auto"`` does.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        parts = {"teacher": self.teacher, "student": self.student}
        for name, part in parts.items():
            if not isinstance(part, str):
                router.add(**{name: part}, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        return router

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_unlabeled: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the teacher on y, and the student on the teacher's predictions.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Labeled rows, in a form that both teacher and student accept.
        y : array-like of shape (n,) or (n, outputs)
            For a classifier, labels of any kind, one per row. For a regressor, values; several per row if both teacher
            and student support them.
        X_unlabeled : array-like of shape (m, ...), default=None
            Unlabeled rows in the same form as X. The student learns from them as well.
        sample_weight : array-like of shape (n,), default=None
            Weights of the labeled rows, for the teacher, the temperature and the student; rows of weight 0 are left
            out. Each row of ``X_unlabeled`` has weight 1.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, X_unlabeled, sample_weight)

    # -- fitting -------------------------------------------------------------------------------------------------------

    def _student(self, *, images):
        return self._default_student(images) if isinstance(self.student, str) else self.student

    def _read(self, X, y, X_unlabeled, sample_weight):
        """Validate the input; return X and y without rows of weight 0, and the weights or None."""
        check_consistent_length(X, y)
        check_kind(self, self.teacher, "teacher")
        if is_frozen(self.teacher):
            check_is_fitted(self.teacher)
        if not isinstance(self.student, str):
            check_kind(self, self.student, "student")
            self._check_student(self.student)
        weight = check_weights(sample_weight, len(y))
        check_unlabeled(X, X_unlabeled)
        if weight is not None and not weight.all():
            (X,) = indexable(X)
            kept = np.flatnonzero(weight)
            X, y, weight = _safe_indexing(X, kept), y[kept], weight[kept]
        if len(y) < 2:
            raise ValueError(
                f"{type(self).__name__} holds out some rows and requires at least 2 with positive weight, got "
                f"n_samples={len(y)}"
            )
        return X, y, weight

    def _weight_keywords(self, student, weight):
        """Return the names of the weight arguments of teacher and student, None where no weights are passed."""
        if weight is None:
            return None, None
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=weight)
            gets = ["sample_weight" in routed.get(role, {"fit": {}})["fit"] for role in ("teacher", "student")]
            gets[1] |= isinstance(self.student, str)
            return tuple("sample_weight" if one else None for one in gets)
        keywords = weight_keyword(self.teacher), weight_keyword(student)
        without = [role for role, word in zip(("teacher", "student"), keywords, strict=True) if word is None]
        without = [role for role in without if role == "student" or not is_frozen(self.teacher)]
        if without:
            warn_of_unweighted(without)
        return keywords

    def _teach(self, X, y, codes, X_unlabeled, weight, target, method):
        """Fit the teacher.

        Returns
        -------
        teacher : estimator
        known, unknown : ndarray
            Its predictions for the labeled rows, out of fold, and for the unlabeled rows (or None).
        student : estimator
            Not fitted.
        rows : Rows
            The training rows of the student.
        """
        (X,) = indexable(X)  # converts sparse formats that cannot be indexed by row
        student = clone(self._student(images=len(shape_of_rows(X)) != 1))
        of_teacher, of_student = self._weight_keywords(student, weight)
        folds, everything = fold_rows(X, codes), np.arange(len(y))
        frozen = is_frozen(self.teacher)
        splits = [(everything[folds != fold], everything[folds == fold]) for fold in np.unique(folds)]
        splits = one_split(X) if frozen else splits
        params = {of_teacher: weight} if of_teacher else {}
        member = Member("teacher", self.teacher, target, method, y, params, frozen)
        (teacher,), (parts,) = fit_members([member], X, splits, verbose=self.verbose)
        known, unknown = join_folds(parts, splits, len(y)), None
        if X_unlabeled is not None:
            unknown = predict_checked(member, teacher, X_unlabeled, "X_unlabeled")
        n_more = 0 if X_unlabeled is None else _num_samples(X_unlabeled)
        weight = np.ones(len(y)) if weight is None else weight
        params = {of_student: np.concatenate([weight, np.ones(n_more)])} if of_student else {}
        return teacher, known, unknown, student, Rows(stack_rows(X, X_unlabeled), folds, weight / weight.sum(), params)

    def _learn(self, student, rows, targets, known):
        """Return the student, fitted on all rows, and its agreement with the teacher.

        The agreement is measured on the first fold, with a student that is fitted on the other folds.
        """
        trial = clone(student)
        n, held_out = _num_samples(rows.X), np.flatnonzero(rows.folds == 0)
        seen = np.setdiff1d(np.arange(n), held_out)
        with naming("student"), progress(2, "student", "fit", self.verbose) as done:
            some = {name: value[seen] for name, value in rows.params.items()}
            trial.fit(_safe_indexing(rows.X, seen), targets[seen], **some)
            agreement = self._agreement(trial, _safe_indexing(rows.X, held_out), known[held_out], rows.weight[held_out])
            done.step(1, f"agreement={agreement:.4f}")
            student.fit(rows.X, targets, **rows.params)
            done.step()
        return student, agreement

    def _keep(self, student, results):
        """Set all fitted attributes at once, so that an interrupted fit changes nothing."""
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
            if hasattr(student, name):
                results[name] = getattr(student, name)
        vars(self).update(results, student_=student, _allow_nan=get_tags(self).input_tags.allow_nan)
        return self

    def _check_rows(self, X):
        """Raise an error for missing values if the teacher rejects them: the student has never seen any."""
        check_is_fitted(self)
        if self._allow_nan or issparse(X):
            return
        array = np.asarray(X)
        if array.dtype.kind == "f":
            check_finite(self, array)
