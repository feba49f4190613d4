import pickle
import re
import warnings

import numpy as np
import pytest
import sklearn
from _members import Centroid, Dies, Fails, Mean, Says, SaysProba
from joblib import parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn import ensemble
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks._sample_weight import weight_keyword
from sktricks.ensemble import (
    MissingClassesWarning,
    RowsWithoutPredictionWarning,
    SampleWeightIgnoredWarning,
    VotingClassifier,
    VotingRegressor,
)

X, codes = make_classification(240, n_classes=3, n_informative=5, flip_y=0.2, random_state=0)
X_easy, y_easy = make_classification(240, n_classes=3, n_informative=5, class_sep=3, flip_y=0, random_state=0)
X_test = np.random.default_rng(0).normal(size=(300, X.shape[1]))
Xr, yr = make_regression(150, 5, noise=20, random_state=0)
Xm, Ym = make_multilabel_classification(150, 6, n_classes=4, random_state=0)

CLASSIFIERS = [
    ("bayes", GaussianNB()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ("stump", DecisionTreeClassifier(max_depth=1, random_state=0)),
    ("other", DecisionTreeClassifier(max_depth=2, splitter="random", random_state=3)),
]
REGRESSORS = [
    ("line", LinearRegression()),
    ("tree", DecisionTreeRegressor(max_depth=3, random_state=0)),
    ("mean", DummyRegressor()),
]
TREES = [(f"t{depth}", DecisionTreeClassifier(max_depth=depth, random_state=0)) for depth in (1, 3, 5)]
LABELS = {
    "zero to two": np.array([0, 1, 2]),
    "one and two": np.array([1, 2]),
    "signed": np.array([-1, 0, 1]),
    "strings": np.array(["cat", "elephant", "owl"]),
    "booleans": np.array([False, True]),
    "objects": np.array(["cat", "elephant", "owl"], dtype=object),
}


# -- equal to scikit-learn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 0.5], [1, 1, 1, 3]], ids=["equal", "given", "ties"])
@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_vote_is_scikit_learns(labels, voting, weights):
    y = labels[codes % len(labels)]
    ours = VotingClassifier(CLASSIFIERS, voting=voting, weights=weights).fit(X, y)
    theirs = ensemble.VotingClassifier(CLASSIFIERS, voting=voting, weights=weights).fit(X, y)
    assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict(X_test).dtype == theirs.predict(X_test).dtype
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    if voting == "soft":
        assert_array_equal(ours.predict_proba(X_test), theirs.predict_proba(X_test))
        assert_array_equal(ours.transform(X_test), theirs.transform(X_test))
        stacked = [one.set_params(flatten_transform=False).transform(X_test) for one in (ours, theirs)]
        assert_array_equal(*stacked)
    else:
        assert_array_equal(ours.transform(X_test), labels[: len(ours.classes_)][theirs.transform(X_test)])


@pytest.mark.parametrize("weights", [None, [1, 2, 3]], ids=["equal", "given"])
def test_an_average_is_scikit_learns(weights):
    ours = VotingRegressor(REGRESSORS, weights=weights).fit(Xr, yr)
    theirs = ensemble.VotingRegressor(REGRESSORS, weights=weights).fit(Xr, yr)
    assert_allclose(ours.predict(Xr), theirs.predict(Xr), rtol=1e-12)
    assert_array_equal(ours.transform(Xr), theirs.transform(Xr))
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


@pytest.mark.parametrize("weights", [None, [1, 2, 3]], ids=["equal", "given"])
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_several_labels_are_a_vote_each(voting, weights):
    ours = VotingClassifier(TREES, voting=voting, weights=weights).fit(Xm, Ym)
    members = [tree for _, tree in TREES]
    fitted = [clone(tree).fit(Xm, Ym) for tree in members]
    for label in range(Ym.shape[1]):
        likely = np.stack([tree.predict_proba(Xm)[label][:, 1] for tree in fitted])
        votes = np.stack([tree.predict(Xm)[:, label] for tree in fitted])
        expected = np.average(likely if voting == "soft" else votes, axis=0, weights=weights)
        assert_allclose(ours.predict_proba(Xm)[:, label], expected)
        assert_array_equal(ours.predict(Xm)[:, label], expected > 0.5)
    assert ours.predict(Xm).shape == ours.predict_proba(Xm).shape == Ym.shape
    assert ours.transform(Xm).shape == (150, 12) == (150, len(ours.get_feature_names_out()))
    assert ours.predict_uncertainty(Xm).entropy.shape == Ym.shape


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_several_labels_are_scikit_learns_vote_for_each_label(voting):
    trees = [(name, tree.set_params(random_state=0)) for name, tree in TREES]
    members = [(name, MultiOutputClassifier(tree)) for name, tree in trees]
    ours = VotingClassifier(members, voting=voting, weights=[1, 1, 2]).fit(Xm, Ym)
    for label, y in enumerate(Ym.T):
        theirs = ensemble.VotingClassifier(trees, voting=voting, weights=[1, 1, 2]).fit(Xm, y)
        assert_array_equal(ours.predict(Xm)[:, label], theirs.predict(Xm))


def test_several_labels_as_members_give_them():
    """Outputs in several forms: floats from a chain, sparse matrices, a list of matrices from a tree."""
    sparse_rest = OneVsRestClassifier(GaussianNB()).fit(Xm, csr_matrix(Ym))
    members = [("chain", ClassifierChain(GaussianNB())), ("rest", FrozenEstimator(sparse_rest)), TREES[2]]
    hard, soft = (VotingClassifier(members, voting=voting).fit(Xm, Ym) for voting in ("hard", "soft"))
    assert_array_equal(hard.predict_members(Xm)[0], hard.estimators_[0].predict(Xm))
    assert_array_equal(hard.predict_members(Xm)[1], sparse_rest.predict(Xm).toarray())
    assert_array_equal(hard.predict(Xm), hard.predict_members(Xm).sum(axis=0) >= 2)
    assert_allclose(soft.predict_members(Xm)[1], sparse_rest.predict_proba(Xm))


# -- right where scikit-learn is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_prefit_hard_votes_count(labels):
    y = labels[codes % len(labels)]
    fitted = [(name, clone(member).fit(X, y)) for name, member in CLASSIFIERS]
    expected = VotingClassifier(CLASSIFIERS).fit(X, y).predict(X_test)
    frozen = VotingClassifier([(name, FrozenEstimator(member)) for name, member in fitted]).fit(X, y)
    prefit = VotingClassifier(fitted, prefit=True).fit(X, y)
    assert_array_equal(frozen.predict(X_test), expected)
    assert_array_equal(prefit.predict(X_test), expected)
    assert prefit.estimators_[0] is fitted[0][1]


def test_where_every_member_says_one_the_vote_says_one():
    members = [
        (name, FrozenEstimator(DummyClassifier(strategy="constant", constant=1).fit(X, 1 + codes % 2)))
        for name in "abc"
    ]
    assert set(VotingClassifier(members).fit(X, 1 + codes % 2).predict(X)) == {1}


def test_fitted_members_with_classes_in_any_order_or_only_some():
    rows = np.arange(4)[:, None].astype(float)
    a = SaysProba(["owl"] * 4, [[0.9, 0.1]] * 4, ["owl", "cat"]).fit(rows, None)
    b = SaysProba(["ant"] * 4, [[1.0]] * 4, ["ant"]).fit(rows, None)
    members = [("a", FrozenEstimator(a)), ("b", b)]
    vote = VotingClassifier(members, voting="soft", prefit=True).fit(rows, ["cat", "owl", "owl", "cat"])
    assert_array_equal(vote.classes_, ["ant", "cat", "owl"])  # only b knows "ant"
    assert_allclose(vote.predict_proba(rows), [[0.5, 0.05, 0.45]] * 4)
    assert_array_equal(vote.predict(rows), ["ant"] * 4)
    hard = vote.set_params(voting="hard", weights=[2, 1]).fit(rows, ["cat", "owl", "owl", "cat"])
    assert_array_equal(hard.predict(rows), ["owl"] * 4)


def test_probabilities_under_a_hard_vote():
    vote = VotingClassifier(CLASSIFIERS, weights=[1, 2, 3, 0]).fit(X, codes)
    said = vote.predict_members(X_test)
    expected = np.average(said[..., None] == np.arange(3), axis=0, weights=[1, 2, 3, 0])
    assert_allclose(vote.predict_proba(X_test), expected)
    assert_array_equal(vote.predict(X_test), vote.predict_proba(X_test).argmax(axis=1))


def test_members_with_and_without_sample_weight():
    weight = np.arange(1.0, len(X) + 1)
    members = [
        ("bayes", GaussianNB()),
        ("centroid", Centroid()),
        ("pipe", make_pipeline(StandardScaler(), GaussianNB())),
    ]
    with pytest.warns(SampleWeightIgnoredWarning, match="which they do not take: member 'centroid'$"):
        vote = VotingClassifier(members, voting="soft").fit(X, codes, sample_weight=weight)
    alone = GaussianNB().fit(X, codes, sample_weight=weight)
    assert_allclose(vote.predict_members(X)[0], alone.predict_proba(X))
    piped = clone(members[2][1]).fit(X, codes, gaussiannb__sample_weight=weight)
    assert_allclose(vote.predict_members(X)[2], piped.predict_proba(X))


def test_searches_and_nested_votes_hand_sample_weight_on():
    weight = np.arange(1.0, len(Xr) + 1)
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2)
    members = [("search", search), ("vote", VotingRegressor([("ridge", Ridge())]))]
    vote = VotingRegressor(members).fit(Xr, yr, sample_weight=weight)
    alone = Ridge().fit(Xr, yr, sample_weight=weight).predict(Xr)
    assert_allclose(vote.predict_members(Xr), [alone, alone])


class Wrapper(RegressorMixin, BaseEstimator):
    """A third-party meta-estimator."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, **fit_params):
        return self


@pytest.mark.parametrize(
    ("estimator", "keyword"),
    [
        (Ridge(), "sample_weight"),
        (KNeighborsClassifier(), None),
        (make_pipeline(StandardScaler(), Ridge()), "ridge__sample_weight"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), None),
        (make_pipeline(StandardScaler(), "passthrough"), None),
        (GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {}), "ridge__sample_weight"),
        (GridSearchCV(KNeighborsClassifier(), {}), None),
        (TransformedTargetRegressor(Ridge()), "sample_weight"),
        (TransformedTargetRegressor(), "sample_weight"),
        (OneVsRestClassifier(GaussianNB()), None),
        (MultiOutputClassifier(GaussianNB()), "sample_weight"),
        (VotingClassifier(CLASSIFIERS), "sample_weight"),
        (ensemble.VotingClassifier(CLASSIFIERS), "sample_weight"),
        (Wrapper(Ridge()), "sample_weight"),
        (Wrapper(KNeighborsClassifier()), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_estimators_take_weights(estimator, keyword):
    assert weight_keyword(estimator) == keyword
    if keyword and not isinstance(estimator, Wrapper):
        classifier = is_classifier(estimator)
        y = Ym if isinstance(estimator, MultiOutputClassifier) else Ym[:, 0] if classifier else yr
        estimator.fit(Xm if classifier else Xr, y, **{keyword: np.ones(150)})


def test_groups_reach_the_splitter():
    groups = np.arange(len(X)) % 7
    cv = GroupKFold(3)
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="simplex", cv=cv).fit(X, codes, groups=groups)
    expected = cross_val_predict(GaussianNB(), X, codes, groups=groups, cv=cv, method="predict_proba")
    assert_allclose(vote.oof_predictions_[0], expected)


def test_images_and_memory_maps_go_through(tmp_path):
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(40, 6, 5, 3)))
    images = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(40) % 2
    vote = VotingClassifier([("a", Centroid()), ("b", Centroid())], voting="soft", weights="greedy", cv=2)
    assert_allclose(vote.fit(images, y).predict_proba(images), Centroid().fit(images, y).predict_proba(images))


# -- ties, kinds of means ----------------------------------------------------------------------------------------------


def test_ties_are_broken_as_told():
    rows = np.arange(3)[:, None].astype(float)
    a = SaysProba([0, 0, 2], [[0.5, 0.3, 0.2]] * 3)
    b = SaysProba([1, 0, 1], [[0.1, 0.8, 0.1]] * 3)
    members = [("a", a), ("b", b)]
    assert_array_equal(VotingClassifier(members).fit(rows, [0, 1, 2]).predict(rows), [0, 0, 1])
    likely = VotingClassifier(members, tie_break="probability").fit(rows, [0, 1, 2])
    assert_array_equal(likely.predict(rows), [1, 0, 1])
    heavy = likely.set_params(weights=[5, 1]).fit(rows, [0, 1, 2])
    assert_array_equal(heavy.predict(rows), [0, 0, 2])


@pytest.mark.parametrize("weights", [None, [2, 1, 1, 0], [0.3, 0.1, 0.2, 0.1]])
def test_the_label_is_the_argmax_of_the_fractions_where_ties_are_broken_by_probability(weights):
    vote = VotingClassifier(CLASSIFIERS, tie_break="probability", weights=weights).fit(X, codes)
    plain = VotingClassifier(CLASSIFIERS, weights=weights).fit(X, codes)
    fractions, counted = vote.predict_proba(X_test), plain.predict_proba(X_test)
    assert_array_equal(vote.predict(X_test), fractions.argmax(axis=1))
    assert (vote.predict(X_test) != plain.predict(X_test)).sum() > 5
    assert_allclose(fractions.sum(axis=1), 1)
    assert np.abs(fractions - counted).max() < np.diff(np.unique(counted.round(9))).min() / 2
    soft = VotingClassifier(CLASSIFIERS, voting="soft", weights=weights).fit(X, codes).predict_proba(X_test)
    tied = counted >= counted.max(axis=1, keepdims=True) - 1e-9
    assert_array_equal(vote.predict(X_test), np.where(tied, soft, -1).argmax(axis=1))


def test_ties_of_several_labels():
    members = [(name, DecisionTreeClassifier(max_depth=depth, random_state=0)) for name, depth in (("a", 1), ("b", 4))]
    first = VotingClassifier(members).fit(Xm, Ym)
    likely = VotingClassifier(members, tie_break="probability").fit(Xm, Ym)
    soft = VotingClassifier(members, voting="soft").fit(Xm, Ym)
    shares = first.predict_proba(Xm)
    assert (shares == 0.5).any()
    assert_array_equal(first.predict(Xm), shares > 0.5)
    assert_array_equal(likely.predict(Xm), np.where(shares == 0.5, soft.predict(Xm), shares > 0.5))
    assert_array_equal(likely.predict(Xm), likely.predict_proba(Xm) > 0.5)


def test_a_geometric_vote():
    rows = np.zeros((2, 1))
    members = [("a", SaysProba([0], [[0.9, 0.1]], [0, 1])), ("b", SaysProba([0], [[0.5, 0.5]], [0, 1]))]
    vote = VotingClassifier(members, voting="geometric", weights=[1, 3]).fit(rows, [0, 1])
    powers = np.array([0.9, 0.1]) ** 0.25 * 0.5**0.75
    assert_allclose(vote.predict_proba(rows), [powers / powers.sum()] * 2)
    assert_array_equal(vote.predict(rows), [0, 0])


def test_a_median_is_not_moved_by_one_member():
    members = [("a", Ridge()), ("b", Ridge(2.0)), ("wild", DummyRegressor(strategy="constant", constant=1e9))]
    vote = VotingRegressor(members, average="median").fit(Xr, yr)
    assert_allclose(vote.predict(Xr), np.median(vote.predict_members(Xr), axis=0))
    assert vote.predict(Xr).max() < 1e4


# -- learned weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voting", "weights"),
    [
        ("hard", "greedy"),
        ("hard", "simplex"),
        ("hard", "nnls"),
        ("soft", "greedy"),
        ("soft", "simplex"),
        ("soft", "nnls"),
        ("geometric", "greedy"),
        ("geometric", "simplex"),
    ],
)
def test_learned_weights_prefer_good_members(voting, weights):
    members = [("good", GaussianNB()), ("dummy", DummyClassifier(strategy="stratified", random_state=0))]
    vote = VotingClassifier(members, voting=voting, weights=weights).fit(X_easy, y_easy)
    assert vote.weights_.sum() == pytest.approx(1)
    assert vote.weights_[0] > 0.6 and vote.weights_accepted_ is True
    assert vote.contributions_[0] > 0
    assert vote.oof_predictions_.shape == (2, 240, 3)


@pytest.mark.parametrize("weights", ["greedy", "simplex", "nnls"])
def test_weights_stay_equal_where_the_members_are_equally_good(weights):
    trees = [
        (f"tree{seed}", DecisionTreeClassifier(max_depth=3, splitter="random", random_state=seed)) for seed in range(3)
    ]
    vote = VotingClassifier(trees, voting="soft", weights=weights).fit(X[:40], codes[:40])
    assert_array_equal(vote.weights_, np.full(3, 1 / 3))
    assert vote.weights_accepted_ is False
    assert not hasattr(vote.set_params(weights=None).fit(X, codes), "weights_accepted_")
    members = [(f"bag{seed}", ensemble.BaggingRegressor(Ridge(), 3, random_state=seed)) for seed in range(3)]
    vote = VotingRegressor(members, weights=weights).fit(Xr[:30], yr[:30])
    assert_array_equal(vote.weights_, np.full(3, 1 / 3))
    assert vote.weights_accepted_ is False


@pytest.mark.parametrize(
    ("average", "weights"), [("mean", "greedy"), ("mean", "simplex"), ("mean", "nnls"), ("median", "greedy")]
)
def test_learned_weights_of_regressors(average, weights):
    vote = VotingRegressor(REGRESSORS, weights=weights, average=average).fit(Xr, yr)
    assert vote.weights_.argmax() == 0 and vote.weights_.sum() == pytest.approx(1)
    assert_allclose(vote.oof_predictions_[1], cross_val_predict(REGRESSORS[1][1], Xr, yr))
    assert vote.contributions_.shape == (3,)


def test_the_out_of_fold_matrix_is_kept():
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="greedy", cv=3).fit(X, codes)
    for (_, member), said in zip(CLASSIFIERS, vote.oof_predictions_, strict=True):
        assert_allclose(said, cross_val_predict(member, X, codes, cv=3, method="predict_proba"))
    hard = VotingClassifier(CLASSIFIERS, weights="greedy", cv=3).fit(X, codes)
    assert_array_equal(hard.oof_predictions_[1].argmax(axis=1), cross_val_predict(CLASSIFIERS[1][1], X, codes, cv=3))


def test_contributions_are_losses_without_a_member():
    members = [("bayes", GaussianNB()), ("centroid", Centroid())]
    vote = VotingClassifier(members, voting="soft", weights="simplex").fit(X, codes)
    oof = vote.oof_predictions_
    whole = log_loss(codes, np.average(oof, axis=0, weights=vote.weights_))
    assert_allclose(vote.contributions_, [log_loss(codes, oof[1]) - whole, log_loss(codes, oof[0]) - whole])


def test_greedy_takes_any_scorer():
    members = [("good", GaussianNB()), ("dummy", DummyClassifier())]
    by_area = VotingClassifier(members, voting="soft", weights="greedy", scoring="roc_auc_ovr").fit(X, codes)
    oof = np.average(by_area.oof_predictions_, axis=0, weights=by_area.weights_)
    assert roc_auc_score(codes, oof, multi_class="ovr") >= roc_auc_score(
        codes, by_area.oof_predictions_[0], multi_class="ovr"
    )
    seen = []

    def scorer(estimator, X, y):
        seen.append(estimator.predict_proba(X).shape)
        return accuracy_score(y, estimator.predict(X))

    VotingClassifier(members, weights="greedy", scoring=scorer).fit(X, codes)
    assert set(seen) == {(240, 3)}
    regressor = VotingRegressor(REGRESSORS, weights="greedy", scoring="neg_mean_absolute_error").fit(Xr, yr)
    assert regressor.weights_[0] > 0.5
    labels = VotingClassifier(TREES, weights="greedy", scoring="accuracy").fit(Xm, Ym)
    assert labels.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("weights", ["greedy", "simplex", "nnls"])
def test_learned_weights_of_several_labels(weights):
    vote = VotingClassifier(TREES, voting="soft", weights=weights, calibration="temperature").fit(Xm, Ym)
    assert vote.oof_predictions_.shape == (3, 150, 4) and vote.temperatures_.shape == (3,)
    assert vote.weights_.sum() == pytest.approx(1)
    assert vote.diversity().disagreement.shape == (3, 3)


def test_weights_of_rows_count_in_what_is_learned():
    first = np.arange(len(X)) < 120
    rows = np.arange(len(X))[:, None].astype(float)
    wrong = (codes + 1) % 3
    eye = np.eye(3) * 0.8 + 0.2 / 3
    a = FrozenEstimator(SaysProba(codes, eye[np.where(first, codes, wrong)]).fit(rows, codes))
    b = FrozenEstimator(SaysProba(codes, eye[np.where(first, wrong, codes)]).fit(rows, codes))
    vote = VotingClassifier([("a", a), ("b", b)], voting="soft", weights="simplex")
    assert vote.fit(rows, codes, sample_weight=np.where(first, 1.0, 1e-3)).weights_[0] > 0.9
    assert vote.fit(rows, codes, sample_weight=np.where(first, 1e-3, 1.0)).weights_[0] < 0.1


def test_fitted_members_learn_their_weights_from_the_given_rows():
    X, codes = X_easy, y_easy
    good = GaussianNB().fit(X[:120], codes[:120])
    dummy = DummyClassifier().fit(X[:120], codes[:120])
    vote = VotingClassifier([("good", good), ("dummy", dummy)], voting="soft", weights="simplex", prefit=True)
    vote.fit(X[120:], codes[120:])
    assert_array_equal(vote.oof_predictions_[0], good.predict_proba(X[120:]))
    assert vote.weights_[0] > 0.8
    mixed = VotingClassifier([("good", FrozenEstimator(good)), ("fresh", GaussianNB())], voting="soft", weights="nnls")
    mixed.fit(X[120:], codes[120:])
    assert_array_equal(mixed.oof_predictions_[0], good.predict_proba(X[120:]))
    assert_allclose(
        mixed.oof_predictions_[1], cross_val_predict(GaussianNB(), X[120:], codes[120:], method="predict_proba")
    )


def test_calibration_is_kept_only_where_it_helps():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.full(3, 0.6), 1500)
    y = (honest.cumsum(axis=1) < rng.random((1500, 1))).sum(axis=1)
    sure = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    rows = np.arange(1500)[:, None].astype(float)
    members = [("honest", SaysProba(y, honest)), ("sure", SaysProba(y, sure))]
    fitted = [(name, FrozenEstimator(member.fit(rows, y))) for name, member in members]
    vote = VotingClassifier(fitted, voting="soft", calibration="temperature").fit(rows, y)
    assert not hasattr(vote, "weights_accepted_")
    assert vote.temperatures_[0] == 1 and vote.temperatures_[1] == pytest.approx(3, rel=0.15)
    assert_array_equal(vote.weights_, [1, 1])
    assert_allclose(vote.predict_members(rows)[0], honest)
    plain = VotingClassifier(fitted, voting="soft").fit(rows, y)
    assert log_loss(y, vote.predict_proba(rows)) < log_loss(y, plain.predict_proba(rows))


def test_splitters_that_are_no_partition():
    cv = ShuffleSplit(2, test_size=0.3, random_state=0)
    with pytest.warns(RowsWithoutPredictionWarning, match="of 240 rows without"):
        vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="simplex", cv=cv).fit(X, codes)
    seen = np.zeros(len(X))
    for _, test in cv.split(X):
        seen[test] += 1
    assert_array_equal(np.isnan(vote.oof_predictions_).any(axis=(0, 2)), seen == 0)
    assert np.isfinite(vote.diversity().correlation).all()
    twice = RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)
    vote = VotingClassifier(CLASSIFIERS, weights="simplex", cv=twice).fit(X, codes)
    assert set(np.unique(vote.oof_predictions_)) == {0, 0.5, 1}
    with pytest.raises(ValueError, match="cv must have test rows"):
        VotingClassifier(CLASSIFIERS, weights="nnls", cv=[(np.arange(240), np.array([], dtype=int))]).fit(X, codes)


def test_rows_that_count_nothing_teach_nothing():
    rows = np.arange(240)
    members = [("bayes", GaussianNB()), ("tree", CLASSIFIERS[1][1])]
    vote = VotingClassifier(members, voting="soft", weights="nnls", cv=[(rows[:120], rows[120:])])
    with (
        pytest.warns(RowsWithoutPredictionWarning),
        pytest.raises(ValueError, match="among the rows that cv predicts, got only zeros"),
    ):
        vote.fit(X, codes, sample_weight=rows < 120)


def test_a_fold_without_a_class_says_so():
    order = np.argsort(codes, kind="stable")
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="greedy", cv=KFold(3))
    with pytest.warns(MissingClassesWarning, match=r"fold 3 of 3 trains without the classes \[2\] of 3"):
        vote.fit(X[order][10:230], codes[order][10:230])
    assert np.isfinite(vote.oof_predictions_).all()


# -- insight -----------------------------------------------------------------------------------------------------------


def test_uncertainty_of_classifiers():
    rows = np.arange(3)[:, None].astype(float)
    a = SaysProba([0, 0, 0], [[1, 0], [0.5, 0.5], [1, 0]], [0, 1])
    b = SaysProba([0, 0, 1], [[1, 0], [0.5, 0.5], [0, 1]], [0, 1])
    members = [("a", a), ("b", b)]
    found = VotingClassifier(members, voting="soft").fit(rows, [0, 1, 0]).predict_uncertainty(rows)
    assert_allclose(found.entropy, [0, np.log(2), np.log(2)], atol=1e-9)
    assert_allclose(found.mutual_information, [0, 0, np.log(2)], atol=1e-9)
    hard = VotingClassifier(members).fit(rows, [0, 1, 0]).predict_uncertainty(rows)
    assert_allclose(hard.entropy, hard.mutual_information)


def test_the_entropy_of_a_geometric_vote_is_that_of_its_probabilities():
    vote = VotingClassifier(CLASSIFIERS[:2], voting="geometric", weights=[1, 3]).fit(X, codes)
    soft = VotingClassifier(CLASSIFIERS[:2], voting="soft", weights=[1, 3]).fit(X, codes)
    likely, found = vote.predict_proba(X_test), vote.predict_uncertainty(X_test)
    assert_allclose(found.entropy, -np.sum(likely * np.log(likely), axis=1), atol=1e-9)
    assert_allclose(found.mutual_information, soft.predict_uncertainty(X_test).mutual_information)
    assert np.abs(found.entropy - soft.predict_uncertainty(X_test).entropy).max() > 0.01


def test_uncertainty_of_regressors():
    vote = VotingRegressor(REGRESSORS, weights=[1, 2, 1]).fit(Xr, yr)
    said = vote.predict_members(Xr)
    spread = np.average((said - vote.predict(Xr)) ** 2, axis=0, weights=[1, 2, 1])
    assert_allclose(vote.predict_uncertainty(Xr).std, np.sqrt(spread))


def test_diversity_by_pair():
    vote = VotingClassifier(CLASSIFIERS).fit(X, codes)
    found, said = vote.diversity(X_test), vote.predict_members(X_test)
    assert found.names == ["bayes", "tree", "stump", "other"]
    assert found.disagreement[0, 1] == pytest.approx(np.mean(said[0] != said[1]))
    assert_array_equal(np.diag(found.disagreement), 0)
    assert_allclose(found.correlation, found.correlation.T)
    with pytest.raises(ValueError, match=r"diversity\(X\)"):
        vote.diversity()
    regressors = VotingRegressor(REGRESSORS).fit(Xr, yr)
    found, said = regressors.diversity(Xr), regressors.predict_members(Xr)
    assert found.disagreement[0, 1] == pytest.approx(np.sqrt(np.mean((said[0] - said[1]) ** 2)))
    assert found.correlation[0, 1] == pytest.approx(np.corrcoef(said[0], said[1])[0, 1])
    assert np.isnan(found.correlation[2]).all()  # a constant member


def test_a_constant_member_does_no_harm():
    vote = VotingRegressor([("line", Ridge()), ("constant", DummyRegressor())], weights="simplex").fit(Xr, yr)
    assert vote.weights_[1] < 0.1
    classes = VotingClassifier([("bayes", GaussianNB()), ("constant", DummyClassifier())], weights="greedy")
    assert classes.fit(X, codes).weights_[0] > 0.5


def test_a_single_member():
    vote = VotingClassifier([("only", GaussianNB())], voting="soft", weights="simplex").fit(X, codes)
    assert_array_equal(vote.weights_, [1])
    assert np.isnan(vote.contributions_).all()
    assert vote.diversity().correlation.shape == (1, 1)


# -- as scikit-learn's ensembles behave --------------------------------------------------------------------------------


def test_members_can_be_dropped():
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights=[1, 5, 2, 1]).set_params(tree="drop").fit(X, codes)
    without = [pair for pair in CLASSIFIERS if pair[0] != "tree"]
    theirs = ensemble.VotingClassifier(without, voting="soft", weights=[1, 2, 1]).fit(X, codes)
    assert_array_equal(vote.predict_proba(X_test), theirs.predict_proba(X_test))
    assert vote.named_estimators_.tree == "drop" and vote.named_estimators_["bayes"] is vote.estimators_[0]
    assert_array_equal(vote.weights_, [1, 2, 1])


def test_clones_pickles_and_parallel_fits_are_the_same():
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="simplex", cv=2)
    expected = clone(vote).fit(X, codes)
    with parallel_config(backend="threading"):
        parallel = clone(vote).set_params(n_jobs=2).fit(X, codes)
    again = pickle.loads(pickle.dumps(expected))
    for one in (parallel, again):
        assert_array_equal(one.predict_proba(X), expected.predict_proba(X))
        assert_array_equal(one.weights_, expected.weights_)


def test_names_of_columns_and_the_picture():
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"c{k}" for k in range(X.shape[1])])
    vote = VotingClassifier(CLASSIFIERS, voting="soft", weights="greedy", cv=2).fit(frame, codes)
    assert_array_equal(vote.feature_names_in_, frame.columns)
    assert "GaussianNB" in vote._repr_html_()
    names = vote.set_output(transform="pandas").transform(frame).columns
    assert_array_equal(names, vote.get_feature_names_out())
    vote.fit(X, codes)
    assert not hasattr(vote, "feature_names_in_")


def test_verbose_shows_a_bar_of_fits(bars):
    with parallel_config("threading"):
        VotingClassifier(CLASSIFIERS, verbose=True, weights="nnls", voting="soft", cv=3, n_jobs=2).fit(X, codes)
    assert bars == [("members", 16, 16)]
    vote = VotingClassifier(CLASSIFIERS, verbose=True).fit(X, codes)
    vote.predict(X)
    assert bars[1:] == [("members", 4, 4), ("predict", 4, 4)]


def test_verbose_2_tells_the_time_of_each_fit(caplog):
    VotingClassifier(CLASSIFIERS, verbose=2).fit(X, codes)
    assert len(caplog.messages) == 4
    assert re.fullmatch(r"members: 2 of 4 fits, \d+\.\d s, member 'tree'", caplog.messages[1])


def test_metadata_are_routed_to_members_and_splitter():
    groups, weight = np.arange(len(X)) % 7, np.arange(1.0, len(X) + 1)
    with sklearn.config_context(enable_metadata_routing=True):
        members = [
            ("heavy", GaussianNB().set_fit_request(sample_weight=True)),
            ("light", GaussianNB().set_fit_request(sample_weight=False)),
        ]
        vote = VotingClassifier(members, voting="soft", weights="nnls", cv=GroupKFold(3))
        vote.fit(X, codes, sample_weight=weight, groups=groups)
        with pytest.raises(TypeError, match="unexpected"):
            vote.fit(X, codes, price=weight)
        VotingClassifier(members).fit(X, codes)
    expected = cross_val_predict(
        GaussianNB(),
        X,
        codes,
        groups=groups,
        cv=GroupKFold(3),
        method="predict_proba",
        params={"sample_weight": weight},
    )
    assert_allclose(vote.oof_predictions_[0], expected)
    assert_allclose(vote.predict_members(X)[1], GaussianNB().fit(X, codes).predict_proba(X))


def test_a_search_over_votes():
    search = GridSearchCV(
        VotingClassifier(CLASSIFIERS, voting="soft"), {"weights": [None, "greedy"], "tree__max_depth": [1, 3]}, cv=2
    )
    assert search.fit(X, codes).best_score_ > 0.4


def test_learned_weights_beat_equal_ones_and_the_best_member():
    table, y = make_classification(1500, n_classes=4, n_informative=6, random_state=0)
    members = [
        ("bayes", GaussianNB()),
        ("trees", ensemble.ExtraTreesClassifier(50, random_state=0)),
        ("neighbours", KNeighborsClassifier(15)),
    ]
    equal, learned = (
        VotingClassifier(members, voting="soft", weights=weights, cv=3).fit(table[:900], y[:900])
        for weights in (None, "simplex")
    )
    assert learned.score(table[900:], y[900:]) > equal.score(table[900:], y[900:])
    loss = log_loss(y[900:], learned.predict_proba(table[900:]))
    assert loss < log_loss(y[900:], equal.predict_proba(table[900:]))
    assert loss < min(log_loss(y[900:], member.predict_proba(table[900:])) for member in learned.estimators_)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimators": []}, ValueError, "non-empty list of pairs"),
        ({"estimators": [GaussianNB()]}, ValueError, r"got GaussianNB at position 0.*\('gaussiannb', GaussianNB\(\)\)"),
        ({"estimators": [(1, GaussianNB())]}, ValueError, "names must be strings"),
        ({"estimators": [("a", GaussianNB()), ("a", GaussianNB())]}, ValueError, "not unique"),
        ({"estimators": [("weights", GaussianNB())]}, ValueError, "conflict with constructor arguments"),
        ({"estimators": [("a__b", GaussianNB())]}, ValueError, "must not contain __"),
        ({"estimators": [("a", None)]}, ValueError, "member 'a' must be a classifier, got None"),
        ({"estimators": [("a", "drop")]}, ValueError, "got only dropped ones"),
        ({"estimators": [("a", GaussianNB)]}, TypeError, r"member 'a' must be an instance, such as GaussianNB\(\)"),
        (
            {"estimators": [("a", GaussianNB()), ("b", Ridge())]},
            ValueError,
            "member 'b' must be a classifier, got Ridge",
        ),
        ({"weights": [1, 2]}, ValueError, "one value per estimator, 4, got an array of shape"),
        ({"weights": [1, 2, -1, 1]}, ValueError, "must not be negative, got -1"),
        ({"weights": [0, 0, 0, 0]}, ValueError, "only zeros"),
        ({"weights": [1, 1, 1, np.nan]}, ValueError, "weights contains NaN"),
        ({"weights": ["a", 1, 1, 1]}, ValueError, "weights must be numbers, one per estimator, got"),
        ({"weights": "best"}, ValueError, "weights"),
        ({"weights": "nnls", "voting": "geometric"}, ValueError, "cannot be combined with voting"),
        ({"calibration": "temperature"}, ValueError, "voting='soft' or 'geometric', got 'hard'"),
        ({"tie_break": "probability", "voting": "soft"}, ValueError, "requires voting='hard'"),
        ({"scoring": "accuracy"}, ValueError, "scoring requires weights='greedy', got weights=None"),
        ({"scoring": "accuracy", "weights": np.ones(4)}, ValueError, "requires weights='greedy', got weights=array"),
        ({"weights": "greedy", "scoring": "beauty"}, ValueError, "scoring"),
        (
            {"weights": "greedy", "cv": GroupKFold(2)},
            ValueError,
            r"requires groups, one per row, but fit\(X, y, groups=...\)",
        ),
        (
            {"prefit": True},
            NotFittedError,
            "'bayes' must be fitted, since it is not fitted again.*FrozenEstimator",
        ),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        VotingClassifier(CLASSIFIERS).set_params(**params).fit(X, codes)


def test_a_member_without_probabilities_is_named_before_anything_is_fitted():
    members = [("a", GaussianNB()), ("line", LinearSVC())]
    with pytest.raises(ValueError, match="member 'line' must have predict_proba for voting='soft', got"):
        VotingClassifier(members, voting="soft").fit(X, codes)
    with pytest.raises(ValueError, match="member 'line' must have predict_proba for tie_break='probability', got"):
        VotingClassifier(members, tie_break="probability").fit(X, codes)
    VotingClassifier(members, weights="nnls", cv=2).fit(X[:60], codes[:60])


def test_bad_parameters_of_regressors():
    with pytest.raises(ValueError, match="member 'b' must be a regressor"):
        VotingRegressor([("a", Ridge()), ("b", GaussianNB())]).fit(Xr, yr)
    with pytest.raises(ValueError, match="average='median': use 'greedy' or numbers"):
        VotingRegressor(REGRESSORS, weights="simplex", average="median").fit(Xr, yr)
    with pytest.raises(ValueError, match="average"):
        VotingRegressor(REGRESSORS, average="mode").fit(Xr, yr)


def test_fitted_members_with_labels_of_another_kind():
    encoded = GaussianNB().fit(X, codes)
    with pytest.raises(ValueError, match="member 'a' must have classes of the same type"):
        VotingClassifier([("a", encoded)], prefit=True).fit(X, LABELS["strings"][codes])


def test_unknown_metadata_are_an_error():
    with pytest.raises(TypeError, match=r"got \['price'\] as well.*enable_metadata_routing"):
        VotingClassifier(CLASSIFIERS).fit(X, codes, price=3)


def test_targets_that_are_none():
    with pytest.raises(ValueError, match="Unknown label type"):
        VotingClassifier(CLASSIFIERS).fit(X, np.linspace(0, 1, len(X)))
    with pytest.raises(ValueError, match="inconsistent"):
        VotingClassifier(CLASSIFIERS).fit(X, codes[:-1])


def test_a_member_that_fails_is_named_with_its_fold():
    rows = np.arange(30.0)[:, None]
    members = [("fine", Mean()), ("moody", Fails())]
    with pytest.raises(RuntimeError, match="no row 0") as caught:
        VotingRegressor(members, weights="nnls", cv=KFold(3)).fit(rows, rows[:, 0])
    assert caught.value.__notes__ == ["This happened in member 'moody', fold 1 of 3."]


def test_a_member_that_answers_with_unknown_labels_is_named():
    rows = np.zeros((4, 1))
    vote = VotingClassifier([("a", DummyClassifier()), ("odd", Says([7]))]).fit(rows, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"predict has labels .* not among the classes \[0, 1\]: \[7\]") as caught:
        vote.predict(rows)
    assert caught.value.__notes__ == ["This happened in member 'odd'."]


class Interrupted(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        raise KeyboardInterrupt


def test_an_interrupted_fit_changes_nothing():
    vote = VotingClassifier(CLASSIFIERS, voting="soft").fit(X, codes)
    before = vote.predict_proba(X)
    vote.set_params(other=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        vote.fit(X[:100], codes[:100])
    assert_array_equal(vote.predict_proba(X), before)
    fresh = VotingClassifier([("a", GaussianNB()), ("b", Interrupted())])
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X, codes)
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_a_worker_that_dies_is_an_error_and_leaves_nothing_behind():
    vote = VotingRegressor([("mean", Mean()), ("dies", Dies())], n_jobs=2)
    with pytest.raises(TerminatedWorkerError, match="unexpectedly terminated"):
        vote.fit(Xr, yr)
    with pytest.raises(NotFittedError):
        vote.predict(Xr)
    assert vote.set_params(dies="drop").fit(Xr, yr).predict(Xr[:1]) == pytest.approx(yr.mean())


def test_a_kernel_matrix_is_cut_both_ways():
    kernel = X @ X.T
    members = [("svm", SVC(kernel="precomputed")), ("line", SVC(kernel="precomputed", C=0.1))]
    vote = VotingClassifier(members, weights="nnls", cv=2).fit(kernel, codes)
    assert_array_equal(
        vote.predict(kernel), VotingClassifier(members, weights=vote.weights_).fit(kernel, codes).predict(kernel)
    )


@pytest.mark.parametrize("other", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, [0.7, 0.3], "greedy"])
def test_probabilities_of_float32_members_sum_to_one_as_exactly_as_their_dtype(weights, other):
    proba = np.random.default_rng(0).dirichlet(np.ones(5), 100).astype(np.float32)
    rows, labels = np.arange(100).reshape(-1, 1), np.arange(100) % 5
    members = [("a", SaysProba(labels, proba)), ("b", SaysProba(labels, proba[::-1].astype(other)))]
    assert abs(proba.sum(axis=1, dtype=float) - 1).max() > 1e-8  # they do not in float64
    found = VotingClassifier(members, voting="soft", weights=weights).fit(rows, labels).predict_proba(rows)
    assert found.dtype == other
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_loss(labels, found)  # which warns where they do not
