import pickle

import numpy as np
import pytest
from _members import Centroid, SaysProba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from sktricks.ensemble import CascadeClassifier, VotingClassifier
from sktricks.ensemble._cascade import choose_threshold, find_thresholds

X, y = load_digits(return_X_y=True)
X, y, X_test, y_test = X[:600], y[:600], X[600:1200], y[600:1200]
MEMBERS = [
    ("bayes", GaussianNB(var_smoothing=1e-2)),
    ("tree", DecisionTreeClassifier(max_depth=8, random_state=0)),
    ("forest", RandomForestClassifier(15, random_state=0)),
]


def test_a_threshold_spends_no_more_than_the_budget_with_its_standard_error():
    sure = np.array([0.9, 0.5, 0.8, 0.7, 0.6])
    cost = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    assert choose_threshold(sure, cost, 0.9, 1.0) == (np.inf, 0.0)  # one additional costly row is always included
    assert choose_threshold(sure, cost, 1.0, 1.0) == (0.9, 1.0)
    assert choose_threshold(sure, cost, 2.5, 1.0) == (0.7, pytest.approx(1 + np.sqrt(2)))
    assert choose_threshold(sure, cost, 9.0, 1.0) == (0.5, pytest.approx(3 + 2))
    assert choose_threshold(sure[:0], cost[:0], 0.5, 0.1) == (np.inf, 0.0)


def test_a_threshold_does_not_wait_for_luck():
    # Later rows that reduce the cost do not matter once it has exceeded the budget.
    sure, cost = np.arange(9, 0, -1) / 10, np.array([1.0, 1, 1, 1, -1, -1, -1, -1, -1])
    assert choose_threshold(sure, cost, 2.5, 1.0) == (0.9, pytest.approx(1 + np.sqrt(2)))


def test_rows_that_are_equally_sure_are_decided_together():
    sure, cost = np.array([0.9, 0.8, 0.8]), np.array([0.0, 0.0, 9.0])
    assert choose_threshold(sure, cost, 2.0, 1.0) == (0.9, 1.0)


def test_thresholds_of_known_members():
    # The first member is sure and right on rows 0 and 1, sure and wrong on none, unsure on 2 and 3.
    first = np.array([[0.95, 0.05], [0.1, 0.9], [0.55, 0.45], [0.55, 0.45]])
    second = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
    probabilities, codes = np.stack([first, second]), np.array([0, 1, 1, 0])
    thresholds, escalated = find_thresholds(probabilities, codes, np.full(4, 0.25), 0.25)
    assert thresholds == [0.9] and escalated == 0.5
    thresholds, escalated = find_thresholds(probabilities, codes, np.full(4, 0.25), 0.7)
    assert thresholds == [0.55] and escalated == 0
    assert find_thresholds(probabilities[:1], codes, np.full(4, 0.25), 0.0)[1] == 0


def test_rows_without_probabilities_are_left_to_the_next_member():
    first = np.array([[0.95, 0.05], [np.nan, np.nan], [0.05, 0.95], [0.95, 0.05]])
    second = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
    thresholds, escalated = find_thresholds(np.stack([first, second]), np.array([0, 1, 1, 0]), np.full(4, 0.25), 0.3)
    assert thresholds == [0.95] and escalated == 0.25


@pytest.mark.parametrize("tolerance", [0.01, 0.03])
def test_the_out_of_fold_accuracy_falls_by_no_more_than_the_tolerance(tolerance):
    cascade = CascadeClassifier(MEMBERS, tolerance=tolerance, cv=3).fit(X, y)
    means = cascade.oof_predictions_.cumsum(axis=0) / np.arange(1, 4)[:, None, None]
    decided = np.column_stack([mean.max(axis=1) >= t for mean, t in zip(means, [*cascade.thresholds_, 0], strict=True)])
    labels = means.argmax(axis=2)[decided.argmax(axis=1), np.arange(600)]
    assert np.mean(labels == y) >= np.mean(means[-1].argmax(axis=1) == y) - tolerance - 1e-9
    assert cascade.escalated_fraction_ == pytest.approx(np.mean(~decided[:, 0]))
    assert 0 < cascade.escalated_fraction_ < 1
    assert_allclose(cascade.oof_predictions_[0], cross_val_predict(MEMBERS[0][1], X, y, cv=3, method="predict_proba"))


def test_a_larger_tolerance_escalates_fewer_rows():
    fractions = [CascadeClassifier(MEMBERS, tolerance=t, cv=3).fit(X, y).escalated_fraction_ for t in (0, 0.02, 0.5)]
    assert fractions[0] >= fractions[1] > fractions[2] == 0


class CountsRows(GaussianNB):
    rows = 0

    def predict_proba(self, X):
        CountsRows.rows += len(X)
        return super().predict_proba(X)


def test_later_members_see_only_the_rows_that_are_not_decided(monkeypatch):
    members = [MEMBERS[2], ("count", CountsRows(var_smoothing=1e-2))]
    cascade = CascadeClassifier(members, cv=3, tolerance=0.01).fit(X, y)
    unsure = cascade.estimators_[0].predict_proba(X_test).max(axis=1) < cascade.thresholds_[0]
    monkeypatch.setattr(CountsRows, "rows", 0)
    likely = cascade.predict_proba(X_test)
    assert CountsRows.rows == unsure.sum() < len(X_test)
    said = cascade.predict_members(X_test)
    assert_allclose(likely[~unsure], said[0][~unsure])
    assert_allclose(likely[unsure], said.mean(axis=0)[unsure])


def test_it_loses_little_against_the_vote():
    cascade = CascadeClassifier(MEMBERS, cv=3).fit(X, y)
    vote = VotingClassifier(MEMBERS, voting="soft").fit(X, y)
    assert cascade.score(X_test, y_test) > vote.score(X_test, y_test) - 0.02


def test_labels_weights_groups_and_images():
    names = np.array([f"digit {digit}" for digit in y])
    groups, weight = np.arange(600) % 7, np.arange(1.0, 601)
    cascade = CascadeClassifier(MEMBERS[:2], cv=GroupKFold(3)).fit(X, names, groups=groups, sample_weight=weight)
    assert set(cascade.predict(X_test)) <= set(names)
    assert_array_equal(cascade.classes_, np.unique(names))
    images = X.reshape(600, 8, 8)
    stages = CascadeClassifier([("a", Centroid()), ("b", Centroid())], cv=3).fit(images, y)
    assert_allclose(stages.predict_proba(images), Centroid().fit(images, y).predict_proba(images))


def test_fitted_members():
    rows = np.arange(4)[:, None].astype(float)
    unsure = [[0.95, 0.05], [0.1, 0.9], [0.55, 0.45], [0.55, 0.45]]
    a = SaysProba([0], unsure, ["no", "yes"]).fit(rows, None)
    b = SaysProba([0], [[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], ["yes", "no"]).fit(rows, None)
    members = [("a", FrozenEstimator(a)), ("b", FrozenEstimator(b))]
    cascade = CascadeClassifier(members, tolerance=0.25).fit(rows, ["no", "yes", "yes", "no"])
    assert cascade.escalated_fraction_ == 0.5
    assert_array_equal(cascade.predict(rows), ["no", "yes", "yes", "no"])


def test_insight_clones_and_pickles():
    cascade = CascadeClassifier(MEMBERS, cv=3).set_params(forest="drop").fit(X, y)
    assert cascade.named_estimators_.forest == "drop" and len(cascade.estimators_) == 2
    assert cascade.contributions_.shape == (2,) and cascade.diversity().names == ["bayes", "tree"]
    assert cascade.predict_uncertainty(X_test).entropy.shape == (600,)
    again = pickle.loads(pickle.dumps(cascade))
    assert_array_equal(again.predict(X_test), clone(cascade).fit(X, y).predict(X_test))
    assert "GaussianNB" in cascade._repr_html_()


def test_a_single_member():
    cascade = CascadeClassifier(MEMBERS[:1], cv=3).fit(X, y)
    assert_array_equal(cascade.predict(X_test), cascade.estimators_[0].predict(X_test))
    assert cascade.escalated_fraction_ == 0 and cascade.thresholds_.shape == (0,)


def test_bad_input():
    with pytest.raises(ValueError, match="member 'ridge' must have predict_proba for a cascade"):
        CascadeClassifier([("ridge", RidgeClassifier())]).fit(X, y)
    with pytest.raises(ValueError, match="requires one class per row in y, got 3 labels"):
        CascadeClassifier(MEMBERS).fit(*make_multilabel_classification(30, 4, n_classes=3, random_state=0))
    with pytest.raises(ValueError, match="tolerance"):
        CascadeClassifier(MEMBERS, tolerance=-0.1).fit(X, y)
    with pytest.raises(ValueError, match="not unique"):
        CascadeClassifier([MEMBERS[0], MEMBERS[0]]).fit(X, y)
    with pytest.raises(ValueError, match="requires groups"):
        CascadeClassifier(MEMBERS, cv=GroupKFold(3)).fit(X, y)
    with pytest.raises(NotFittedError):
        CascadeClassifier(MEMBERS).predict(X)
    assert not hasattr(CascadeClassifier(MEMBERS), "n_features_in_")


def test_bars_of_fits_and_of_decided_rows(bars):
    cascade = CascadeClassifier(MEMBERS[:2], tolerance=0.1, cv=3, verbose=1).fit(X, y)
    cascade.predict(X)
    assert bars == [("members", 8, 8), ("predict", len(X), len(X))]
