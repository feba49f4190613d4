import pickle

import numpy as np
import pytest
from _members import WantsCodes
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from sktricks._coded import CodedClassifier, are_codes, fit_model
from sktricks._errors import DivergenceError
from sktricks.ensemble import CascadeClassifier, MissingClassesWarning, StackingClassifier, VotingClassifier

X, codes = make_classification(240, 6, n_classes=3, n_informative=4, class_sep=2, random_state=0)
LABELS = {
    "strings": np.array(["cat", "elephant", "owl"]),
    "objects": np.array(["cat", "elephant", "owl"], dtype=object),
    "from one": np.array([1, 2, 3]),
    "floats": np.array([1.0, 2.0, 7.0]),
}
OTHER = ("line", LogisticRegression())
ENSEMBLES = {
    "hard": lambda one: VotingClassifier([("one", one), OTHER], tie_break="probability"),
    "learned": lambda one: VotingClassifier([("one", one), OTHER], weights="greedy", cv=3),
    "soft": lambda one: VotingClassifier([("one", one), OTHER], voting="soft", weights="simplex", cv=3),
    "stack": lambda one: StackingClassifier([("one", one), OTHER], cv=3),
    "stack of labels": lambda one: StackingClassifier([("one", one), OTHER], cv=3, stack_method="predict"),
    "without a refit": lambda one: StackingClassifier([("one", one), OTHER], cv=3, refit=False),
    "final": lambda one: StackingClassifier([OTHER], one, cv=3),
    "cascade": lambda one: CascadeClassifier([("one", one), OTHER], cv=3, tolerance=0.05),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("make", ENSEMBLES.values(), ids=ENSEMBLES)
def test_a_member_that_refuses_its_labels_gets_codes_and_answers_in_labels(make, labels):
    y, weight = labels[codes], np.arange(1.0, 241)
    refused, plain = (make(one).fit(X, y, sample_weight=weight) for one in (WantsCodes(), GaussianNB()))
    assert_array_equal(refused.classes_, labels)
    assert_array_equal(refused.predict(X), plain.predict(X))
    assert refused.predict(X).dtype == labels.dtype
    assert_array_equal(refused.predict_proba(X), plain.predict_proba(X))
    assert_array_equal(refused.predict_members(X), plain.predict_members(X))
    assert_array_equal(pickle.loads(pickle.dumps(refused)).predict(X), plain.predict(X))
    assert refused.score(X, y) > 0.7


def test_labels_that_are_codes_already_reach_the_member_itself():
    vote = VotingClassifier([("one", WantsCodes()), OTHER]).fit(X, codes)
    assert type(vote.estimators_[0]) is WantsCodes


def test_the_member_is_found_inside_its_wrapper():
    vote = VotingClassifier([("one", WantsCodes()), OTHER]).fit(X, LABELS["strings"][codes])
    one = vote.named_estimators_.one
    assert one is vote.estimators_[0] and type(one.estimator_) is WantsCodes
    assert_array_equal(one.theta_, one.estimator_.theta_)
    assert_array_equal(one.estimator_.classes_, [0, 1, 2])
    assert_array_equal(one.classes_, LABELS["strings"])
    assert one.n_features_in_ == X.shape[1]
    check_is_fitted(one)
    frozen = VotingClassifier([("one", FrozenEstimator(one)), OTHER]).fit(X, LABELS["strings"][codes])
    assert_array_equal(frozen.predict(X), vote.predict(X))
    assert_array_equal(clone(one).fit(X, LABELS["strings"][codes]).predict(X), one.predict(X))


def test_pipelines_and_searches_around_such_a_member():
    y, groups = LABELS["strings"][codes], np.arange(240) % 5
    for wrap in (
        lambda one: make_pipeline(StandardScaler(), one),
        lambda one: GridSearchCV(one, {"var_smoothing": [1e-9, 1e-2]}, cv=3),
    ):
        with parallel_config("threading"):
            stacks = [
                StackingClassifier([("one", wrap(one)), OTHER], cv=GroupKFold(3), n_jobs=2).fit(X, y, groups=groups)
                for one in (WantsCodes(), GaussianNB())
            ]
        assert_array_equal(*(stack.predict_proba(X) for stack in stacks))


def test_a_fold_that_lacks_a_class_has_codes_without_a_gap():
    y = LABELS["strings"][codes]
    rest = np.flatnonzero(codes != 1)
    ones, halves = np.flatnonzero(codes == 1), (rest[::2], rest[1::2])
    cv = [(rest, ones), *((np.r_[ones, train], test) for train, test in (halves, halves[::-1]))]
    with pytest.warns(MissingClassesWarning):
        refused, plain = (
            VotingClassifier([("one", one), OTHER], voting="soft", weights="nnls", cv=cv).fit(X, y)
            for one in (WantsCodes(), GaussianNB())
        )
    assert_array_equal(refused.oof_predictions_, plain.oof_predictions_)


class FailsAnyway(GaussianNB):
    fits = 0

    def fit(self, X, y):
        FailsAnyway.fits += 1
        raise ValueError(f"cannot fit {np.asarray(y)[0]!r}")


@pytest.mark.parametrize("make", [VotingClassifier, StackingClassifier, CascadeClassifier])
def test_if_codes_fail_too_the_first_error_is_raised(make):
    with pytest.raises(ValueError, match="cannot fit (np.str_\\()?'(cat|elephant|owl)'") as caught:
        make([("one", FailsAnyway()), OTHER]).fit(X, LABELS["strings"][codes])
    second, whose = caught.value.__notes__
    assert second.startswith("Fitting on integer codes of the labels failed too: ValueError: cannot fit")
    assert whose == "This happened in member 'one'."


def test_codes_are_tried_only_after_a_value_error(monkeypatch):
    def fit(self, X, y):
        FailsAnyway.fits += 1
        raise TypeError("no")

    monkeypatch.setattr(FailsAnyway, "fits", 0)
    with pytest.raises(ValueError, match="cannot fit"):
        fit_model(FailsAnyway(), X, codes, {}, classes=True)  # the labels are already codes
    assert FailsAnyway.fits == 1
    monkeypatch.setattr(FailsAnyway, "fit", fit)
    with pytest.raises(TypeError, match="no"):
        fit_model(FailsAnyway(), X, LABELS["strings"][codes], {}, classes=True)
    assert FailsAnyway.fits == 2


def test_a_training_that_diverges_is_not_tried_again(monkeypatch):
    def fit(self, X, y):
        FailsAnyway.fits += 1
        raise DivergenceError("the training loss is nan")

    monkeypatch.setattr(FailsAnyway, "fits", 0)
    monkeypatch.setattr(FailsAnyway, "fit", fit)
    with pytest.raises(DivergenceError):
        fit_model(FailsAnyway(), X, LABELS["strings"][codes], {}, classes=True)
    assert FailsAnyway.fits == 1


def test_labels_that_the_weights_of_classes_name_stay_labels():
    y = LABELS["strings"][codes]
    member = SVC(class_weight={"cat": 2})
    vote = VotingClassifier([("one", member)]).fit(X, y)
    assert type(vote.estimators_[0]) is SVC
    assert_array_equal(vote.predict(X), clone(member).fit(X, y).predict(X))


def test_the_weights_of_classes_never_mean_codes():
    with pytest.raises(ValueError, match="class_weight"):
        VotingClassifier([("one", SVC(class_weight={0: 2}))]).fit(X, LABELS["strings"][codes])


def test_codes():
    assert are_codes([2, 0, 1]) and are_codes(np.array([0, 1], np.uint8))
    assert not any(are_codes(y) for y in ([1, 2], [0, 2], [0.0, 1.0], ["0", "1"], [False, True]))


def test_a_wrapper_has_what_its_estimator_has():
    y = LABELS["strings"][codes]
    coded = CodedClassifier(SVC()).fit(X, y)
    plain = SVC().fit(X, y)
    assert not hasattr(coded, "predict_proba")
    assert_allclose(coded.decision_function(X), plain.decision_function(X))
    assert_array_equal(coded.support_, plain.support_)
    with pytest.raises(AttributeError, match="has no attribute 'support_'"):
        _ = CodedClassifier(SVC()).support_
    with pytest.raises(NotFittedError):
        check_is_fitted(CodedClassifier(SVC()))


@pytest.mark.parametrize("kind", ["strings", "floats"])
@pytest.mark.parametrize("make", ENSEMBLES.values(), ids=ENSEMBLES)
def test_xgboost_takes_labels_of_any_kind(make, kind):
    xgboost = pytest.importorskip("xgboost")
    member = xgboost.XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1)
    labels = LABELS[kind]
    y = labels[codes]
    named, coded = (make(member).fit(X, labels_) for labels_ in (y, codes))
    assert_array_equal(named.predict(X), labels[coded.predict(X)])
    assert_array_equal(named.predict_proba(X), coded.predict_proba(X))
    pipeline = make(make_pipeline(StandardScaler(), member)).fit(X, y)
    assert_array_equal(pipeline.classes_, labels)
