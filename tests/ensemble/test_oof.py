import numpy as np
import pytest
from _members import SaysProba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score

from sktricks.ensemble import VotingClassifier
from sktricks.ensemble._learned_weights import ErrorRate, MixtureLogLoss, leave_one_out, non_negative
from sktricks.ensemble._oof import as_array, compact_votes, join_folds, join_votes, make_splits, spread_out
from sktricks.ensemble._target import Target
from sktricks.ensemble._votes import one_hot

N, K = 40, 30
rng = np.random.default_rng(0)
codes = rng.integers(0, K, N)
SPLITS = [(None, np.arange(0, 25)), (None, np.arange(15, 38))]  # some rows twice, two never
covered = np.arange(N) < 38
SAID = [[np.where(rng.random(len(test)) < 0.6, codes[test], rng.integers(0, K, len(test))) for _, test in SPLITS]] * 3
SAID = [[np.where(rng.random(len(one)) < 0.3, 0, one) for one in said] for said in SAID]


def test_joined_votes_are_the_mean_of_votes():
    for said in SAID:
        joined = join_votes(said, SPLITS, N, K)
        dense = join_folds([one_hot(one, K) for one in said], SPLITS, N)
        assert_array_equal(as_array(joined, covered), dense)
    assert as_array(dense, covered) is dense


def test_votes_of_few_options_tell_the_same_as_those_of_all_classes():
    votes = [join_votes(said, SPLITS, N, K)[covered] for said in SAID]
    dense = np.stack([vote.toarray() for vote in votes])
    compact, true, options = compact_votes(votes, codes[covered])
    assert compact.shape[:2] == (3, 38) and compact.shape[2] <= 7
    assert_array_equal(options[np.arange(38), true], codes[covered])
    assert (np.diff(options, axis=1) >= 0).all()  # of tied classes the first one wins
    assert_array_equal([spread_out(one, options, K) for one in compact], dense)
    shares = np.full(38, 1 / 38)
    for kind in (ErrorRate, MixtureLogLoss):
        few, all_ = kind(compact, true, shares), kind(dense, codes[covered], shares)
        for weights in rng.dirichlet(np.ones(3), 20):
            assert_array_equal(few.of_rows(weights), all_.of_rows(weights))
        assert_array_equal(leave_one_out(few, np.ones(3)), leave_one_out(all_, np.ones(3)))
    assert_allclose(
        non_negative(compact, one_hot(true, compact.shape[2]), shares),
        non_negative(dense, one_hot(codes[covered], K), shares),
    )


def test_splits_may_be_any_iterable_of_indices_or_masks():
    X, y = np.zeros((6, 1)), np.arange(6)
    even = np.arange(6) % 2 == 0
    splits = make_splits(((train, ~train) for train in (even, ~even)), X, y, Target("values"), {})
    assert_array_equal(splits[0], [[0, 2, 4], [1, 3, 5]])
    assert_array_equal(splits[1], [[1, 3, 5], [0, 2, 4]])
    assert_array_equal(make_splits([([0, 1], [2]), ([-1], [3])], X, y, Target("values"), {})[1][0], [5])


@pytest.mark.parametrize("cv", [[1, 2], ["ab"], [([0, 1], [6])], [([0.0], [1])], [([0], [1], [2])], [(None, None)]])
def test_splits_that_are_none_are_an_error(cv):
    with pytest.raises(ValueError, match=r"cv must be .* indices of the 6 rows, got .* as split 1"):
        make_splits(cv, np.zeros((6, 1)), np.arange(6), Target("values"), {})


@pytest.mark.parametrize("weights", ["greedy", "simplex", "nnls"])
def test_weights_of_thousands_of_classes(weights):
    n, n_classes = 6000, 3000  # votes as an array of all classes would be 432 MB
    y, rows = np.arange(n) % n_classes, np.arange(n)[:, None]
    members = []
    for skill in (0.9, 0.5, 0.1):
        labels = np.where(rng.random(n) < skill, y, rng.integers(0, n_classes, n))
        members.append((f"skill{skill}", FrozenEstimator(SaysProba(labels).fit(rows, y))))
    vote = VotingClassifier(members, weights=weights, store_oof=False).fit(rows, y)
    assert vote.weights_accepted_ and vote.weights_.argmax() == 0
    assert vote.contributions_[0] > 0.3


def test_scorers_see_all_classes_of_a_hard_vote():
    y, rows = np.arange(60) % 6, np.arange(60)[:, None]
    seen = []

    def scorer(estimator, X, y):
        seen.append(X)
        return accuracy_score(y, estimator.predict(X))

    labels = [np.where(np.arange(60) < good, y, (y + 1) % 6) for good in (50, 30)]
    members = [(f"m{k}", FrozenEstimator(SaysProba(one).fit(rows, y))) for k, one in enumerate(labels)]
    vote = VotingClassifier(members, weights="greedy", scoring=scorer).fit(rows, y)
    assert vote.weights_[0] > 0.5
    assert_array_equal(seen[0], one_hot(labels[0], 6))
