import numpy as np
import pytest
import sklearn
from _members import Blind, BlindMean, Centroid, Mean
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.naive_bayes import GaussianNB

from sktricks.ensemble import (
    CascadeClassifier,
    NetEnsembleClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sktricks.ensemble._predictions import check_finite

X, y = make_classification(160, 8, n_classes=3, n_informative=5, random_state=0)
BLIND = [("bayes", GaussianNB()), ("blind", Blind(2.0)), ("line", LogisticRegression())]
blind_rows = X[:, 0] > 2.0


class BlindRidge(RidgeClassifier):
    def decision_function(self, X):
        values = super().decision_function(X)
        values[np.asarray(X)[:, 0] > 2.0] = np.nan
        return values


# -- NaN ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(BLIND, voting="soft", weights="greedy"),
        VotingClassifier(BLIND, voting="soft", weights="simplex"),
        VotingClassifier(BLIND, voting="geometric", weights="simplex"),
        VotingClassifier(BLIND, voting="soft", weights="nnls"),
        VotingClassifier(BLIND, voting="soft", calibration="temperature"),
        StackingClassifier(BLIND),
        StackingClassifier(BLIND, HistGradientBoostingClassifier(max_iter=2)),
        StackingClassifier(BLIND, refit=False),
        CascadeClassifier(BLIND[:2]),
        StackingClassifier([("blind", BlindRidge())], stack_method="decision_function"),
        VotingRegressor([("mean", Mean()), ("blind", BlindMean())], weights="simplex"),
        StackingRegressor([("mean", Mean()), ("blind", BlindMean())]),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_predictions_out_of_fold_that_are_nan_name_the_member_and_its_fold(ensemble):
    with pytest.raises(ValueError, match=r"member 'blind', fold \d of 5: .* must return finite values, got NaN"):
        ensemble.fit(X, y)


@pytest.mark.parametrize("voting", ["soft", "geometric"])
def test_probabilities_that_are_nan_in_a_vote_name_the_member(voting):
    vote = VotingClassifier(BLIND, voting=voting).fit(X, y)
    vote.predict(X[~blind_rows])
    for method in (vote.predict, vote.predict_proba, vote.transform, vote.predict_uncertainty, vote.diversity):
        with pytest.raises(ValueError, match=f"member 'blind': predict_proba .* in {blind_rows.sum()} of 160 rows"):
            method(X)


@pytest.mark.parametrize("average", ["mean", "median"])
def test_values_that_are_nan_in_an_average_name_the_member(average):
    members = [("mean", DummyRegressor()), ("other", DummyRegressor()), ("blind", BlindMean())]
    vote = VotingRegressor(members, average=average).fit(X, y)
    with pytest.raises(ValueError, match="member 'blind': predict must return finite values"):
        vote.predict(X)


def test_hard_votes_that_break_ties_by_nan_name_the_member():
    members = [("blind", Blind(-9)), ("line", LogisticRegression())]
    with pytest.raises(ValueError, match="member 'blind': predict_proba"):
        VotingClassifier(members, tie_break="probability").fit(X, y).predict(X)


def test_a_cascade_hands_rows_without_probabilities_on():
    members = [BLIND[1], BLIND[0], BLIND[2]]
    cascade = CascadeClassifier(members, tolerance=0.5).fit(X, y)
    assert cascade.escalated_fraction_ == pytest.approx(blind_rows.mean())  # the others are decided at once
    likely = cascade.predict_proba(X)
    first, second, third = cascade.predict_members(X)
    assert np.isnan(first[blind_rows]).all()
    sure = first.max(axis=1) >= cascade.thresholds_[0]
    assert_array_equal(likely[sure], first[sure])
    left = blind_rows & (second.max(axis=1) >= cascade.thresholds_[1])
    assert left.any()
    assert_array_equal(likely[left], second[left])
    last = blind_rows & ~left
    assert_allclose(likely[last], (second[last] + third[last]) / 2)
    assert np.isfinite(cascade.contributions_).all() and np.isfinite(cascade.diversity().disagreement).all()


def test_the_last_member_of_a_cascade_must_know():
    unsure = CascadeClassifier([("bayes", GaussianNB()), ("blind", Blind(9e9))], tolerance=1e-9)
    with pytest.warns(match="too small"):
        unsure.fit(X, y)
    unsure.estimators_[1].limit = 2.0
    unsure.predict(X[~blind_rows])
    with pytest.raises(ValueError, match=f"member 'blind', the last of the cascade.* in {blind_rows.sum()} of 160"):
        unsure.predict(X)


def test_finite():
    for said in (np.array(["a", "b"]), np.arange(3), np.array([1.0, 2.0]), np.full(3, np.finfo(np.float32).max)):
        assert check_finite(said, "member 'a'", "predict") is said
    huge = np.full(3, 3e38, dtype=np.float32)  # the sum of which is infinite
    assert check_finite(huge, "member 'a'", "predict") is huge
    with pytest.raises(ValueError, match="in 2 of 4 rows, the first one is row 1"):
        check_finite(np.array([0, np.inf, -np.inf, 0]), "member 'a'", "decision_function")


# -- sparse rows -------------------------------------------------------------------------------------------------------

FORMATS = ["coo", "dia", "bsr", "csc", "lil"]
LINES = [("one", LogisticRegression(C=0.01)), ("two", LogisticRegression())]


@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix with:scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(LINES, tie_break="probability"),
        VotingClassifier(LINES, voting="soft", weights="greedy"),
        StackingClassifier(LINES, passthrough=True),
        StackingClassifier(LINES, passthrough=[0, 3]),
        StackingClassifier(LINES, passthrough=lambda rows: rows[:, :2].asformat("coo")),
        CascadeClassifier(LINES, tolerance=0.02),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_sparse_rows_of_any_format(ensemble, form):
    rows = sparse.csr_matrix(np.where(np.abs(X) > 0.5, X, 0))
    ensemble.fit(rows.asformat(form), y)
    assert_allclose(ensemble.predict_proba(rows.asformat(form)), ensemble.predict_proba(rows))
    assert_array_equal(ensemble.predict(rows.asformat(form)), ensemble.predict(rows))
    assert_allclose(
        ensemble.predict_uncertainty(rows.asformat(form)).entropy, ensemble.predict_uncertainty(rows).entropy
    )


# -- groups and names --------------------------------------------------------------------------------------------------


def test_nested_groups_say_what_to_switch_on():
    groups = np.arange(160) % 6
    inner = StackingClassifier(LINES, cv=GroupKFold(3))
    outer = StackingClassifier([("inner", inner), ("line", LogisticRegression())], cv=GroupKFold(3))
    search = GridSearchCV(inner, {"one__C": [0.1]}, cv=GroupKFold(3), error_score="raise")
    for nested in (outer, search):
        with pytest.raises(ValueError, match=r"requires groups.*sklearn.set_config\(enable_metadata_routing=True\)"):
            nested.fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        for nested in (outer, search):
            assert nested.fit(X, y, groups=groups).score(X, y) > 0.5


@pytest.mark.parametrize(
    "make", [VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor, CascadeClassifier]
)
def test_members_without_a_name_are_refused_with_the_cure(make):
    with pytest.raises(ValueError, match=r"got Centroid at position 0: name each member, as in \('centroid', Cent"):
        make([Centroid()]).fit(X, y)
    with pytest.raises(ValueError, match=r"got \('a', .*\) at position 1"):
        make([("b", Centroid()), ("a", Centroid(), 1)]).fit(X, y)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(LINES, voting="soft", weights="greedy"),
        VotingClassifier(LINES, weights="greedy"),
        VotingRegressor([("mean", Mean()), ("other", DummyRegressor())], weights="simplex"),
        StackingClassifier(LINES),
        StackingRegressor([("mean", Mean()), ("other", DummyRegressor())]),
        CascadeClassifier(LINES, tolerance=0.02),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_out_of_fold_predictions_are_kept_only_if_wanted(ensemble):
    kept = ensemble.fit(X, y)
    predicted, contributions = kept.predict(X), kept.contributions_
    assert hasattr(kept, "oof_predictions_")
    slim = kept.set_params(store_oof=False).fit(X, y)
    assert not hasattr(slim, "oof_predictions_")
    assert_array_equal(slim.predict(X), predicted)
    assert_array_equal(slim.contributions_, contributions)
    with pytest.raises(ValueError, match=r"see store_oof\): pass rows, diversity\(X\)"):
        slim.diversity()
    assert len(slim.diversity(X).names) == len(ensemble.estimators)


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(BLIND),
        VotingClassifier(BLIND, voting="soft"),
        VotingRegressor([("mean", Mean())]),
        StackingClassifier(BLIND),
        StackingRegressor([("mean", Mean())]),
        CascadeClassifier(BLIND),
        NetEnsembleClassifier(Centroid()),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "transform", "predict_members", "predict_uncertainty", "diversity"]
)
def test_methods_of_an_ensemble_that_is_not_fitted_say_so(ensemble, method):
    if not hasattr(ensemble, method):
        return
    with pytest.raises(NotFittedError):
        getattr(ensemble, method)(X)
