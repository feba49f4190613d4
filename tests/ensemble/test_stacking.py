import pickle
import warnings

import numpy as np
import pytest
import sklearn
from _members import Centroid, Fails, Mean, Plain
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import ensemble
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks.ensemble import (
    MissingClassesWarning,
    RowsWithoutPredictionWarning,
    SampleWeightIgnoredWarning,
    StackingClassifier,
    StackingRegressor,
)

X, codes = make_classification(240, n_classes=3, n_informative=5, flip_y=0.2, random_state=0)
X_test = np.random.default_rng(0).normal(size=(300, X.shape[1]))
Xr, yr = make_regression(150, 5, noise=20, random_state=0)
Xm, Ym = make_multilabel_classification(150, 6, n_classes=4, random_state=0)

CLASSIFIERS = [
    ("bayes", GaussianNB()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ("ridge", RidgeClassifier()),
    ("plain", Plain()),
]
REGRESSORS = [
    ("line", Ridge()),
    ("tree", DecisionTreeRegressor(max_depth=3, random_state=0)),
    ("mean", DummyRegressor()),
]
PROBABLE = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3, random_state=0))]
TREES = [(f"t{depth}", DecisionTreeClassifier(max_depth=depth, random_state=0)) for depth in (1, 3)]
FINAL = DecisionTreeClassifier(max_depth=3, random_state=0)
LABELS = {
    "zero to two": np.array([0, 1, 2]),
    "one and two": np.array([1, 2]),
    "signed": np.array([-1, 0, 1]),
    "strings": np.array(["cat", "elephant", "owl"]),
    "booleans": np.array([False, True]),
}


# -- equal to scikit-learn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "predict"])
@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_stack_is_scikit_learns(labels, passthrough, method):
    y = labels[codes % len(labels)]
    settings = {"final_estimator": FINAL, "cv": 3, "passthrough": passthrough, "stack_method": method}
    ours = StackingClassifier(CLASSIFIERS, **settings).fit(X, y)
    theirs = ensemble.StackingClassifier(CLASSIFIERS, **settings).fit(X, y)
    assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    assert ours.predict(X_test).dtype == theirs.predict(X_test).dtype
    assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test))
    assert_allclose(ours.transform(X_test), theirs.transform(X_test), atol=1e-12)
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    assert ours.stack_method_ == theirs.stack_method_


def test_the_default_final_estimators_are_scikit_learns():
    ours, theirs = (kind(PROBABLE, cv=3).fit(X, codes) for kind in (StackingClassifier, ensemble.StackingClassifier))
    assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test))
    assert_allclose(ours.decision_function(X_test), theirs.decision_function(X_test))
    ours, theirs = (kind(REGRESSORS).fit(Xr, yr) for kind in (StackingRegressor, ensemble.StackingRegressor))
    assert_allclose(ours.predict(Xr), theirs.predict(Xr))
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


def test_weights_of_rows_are_scikit_learns():
    weight = np.arange(1.0, len(X) + 1)
    ours, theirs = (
        kind(PROBABLE, FINAL, cv=3).fit(X, codes, sample_weight=weight)
        for kind in (StackingClassifier, ensemble.StackingClassifier)
    )
    assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test))


def test_regressors_among_classifiers_are_scikit_learns():
    members = [("tree", FINAL), ("line", Ridge())]
    y = LABELS["strings"][codes]
    ours, theirs = (kind(members, FINAL, cv=3).fit(X, y) for kind in (StackingClassifier, ensemble.StackingClassifier))
    assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    assert set(np.unique(ours.predict_members(X_test))) <= set(LABELS["strings"])


def test_several_labels_are_scikit_learns():
    forest = RandomForestClassifier(5, random_state=0)
    ours, theirs = (
        kind(TREES, forest, cv=3, passthrough=True).fit(Xm, Ym)
        for kind in (StackingClassifier, ensemble.StackingClassifier)
    )
    assert_array_equal(ours.predict(Xm), theirs.predict(Xm))
    assert_allclose(ours.transform(Xm), theirs.transform(Xm))


# -- right where scikit-learn is not -----------------------------------------------------------------------------------


def test_multilabel_probabilities_are_of_one_not_of_zero():
    forest = RandomForestClassifier(5, random_state=0)
    stack = StackingClassifier(TREES, forest, cv=3).fit(Xm, Ym)
    likely = stack.predict_proba(Xm)
    assert likely.shape == Ym.shape
    assert_array_equal(stack.predict(Xm), likely > 0.5)
    assert log_loss(Ym.ravel(), likely.ravel()) < log_loss(Ym.ravel(), 1 - likely.ravel())


def test_members_that_give_a_matrix_of_two_labels():
    """Two columns for two labels differ from two columns for two classes."""
    members = [("net", MLPClassifier([4], max_iter=3, random_state=0)), ("tree", TREES[1][1])]
    with pytest.warns(UserWarning, match="iterations"):
        stack = StackingClassifier(members, cv=2).fit(Xm, Ym[:, :2])
    assert stack.transform(Xm).shape == (150, 4)
    assert stack.predict_proba(Xm).shape == (150, 2)
    assert stack.predict_members(Xm).shape == (2, 150, 2)
    assert stack.contributions_.shape == (2,) and stack.diversity().disagreement.shape == (2, 2)


def test_the_frozen_leak_is_refused():
    members = [("frozen", FrozenEstimator(GaussianNB().fit(X, codes))), ("tree", FINAL)]
    with pytest.raises(
        ValueError, match="member 'frozen' is a FrozenEstimator, which cv=3 cannot fit again.*cv='prefit'"
    ):
        StackingClassifier(members, cv=3).fit(X, codes)
    piped = make_pipeline(StandardScaler(), members[0][1])
    with pytest.raises(ValueError, match="member 'piped' is a FrozenEstimator, which cv=None"):
        StackingClassifier([("piped", piped)]).fit(X, codes)


def test_fitted_members_on_held_out_rows():
    fitted = [(name, clone(member).fit(X[:120], codes[:120])) for name, member in CLASSIFIERS]
    frozen = [(name, FrozenEstimator(member)) for name, member in fitted]
    theirs = ensemble.StackingClassifier(fitted, FINAL, cv="prefit").fit(X[120:], codes[120:])
    for members in (fitted, frozen):
        ours = StackingClassifier(members, FINAL, cv="prefit").fit(X[120:], codes[120:])
        assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test))
        assert_allclose(ours.oof_predictions_, ours.transform(X[120:]))


def test_fitted_members_with_string_labels_in_another_order():
    y = LABELS["strings"][codes]
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    few = GaussianNB().fit(X[codes != 1], y[codes != 1])
    stack = StackingClassifier([("tree", tree), ("few", few)], FINAL, cv="prefit").fit(X, y)
    said = stack.predict_members(X)
    assert_array_equal(said[1][:, 1], 0)
    assert_allclose(said[1][:, [0, 2]], few.predict_proba(X))
    assert_array_equal(
        stack.predict(X), FINAL.fit(said.transpose(1, 0, 2).reshape(240, 6), y).predict(stack.transform(X))
    )


def test_class_subsets_in_folds():
    rows = np.concatenate([np.flatnonzero(codes == label)[:60] for label in range(3)])
    members = [*PROBABLE, ("ridge", RidgeClassifier())]
    with pytest.warns(MissingClassesWarning, match="fold . of 3 trains without the classes"):
        stack = StackingClassifier(members, FINAL, cv=KFold(3)).fit(X[rows], codes[rows])
    for label in range(3):
        own = stack.oof_predictions_[60 * label : 60 * (label + 1)]
        assert_array_equal(own[:, [label, 3 + label]], 0)  # impossible for members that have never seen the class
        assert_array_equal(own[:, 6 + label], own[:, 6:].min(axis=1))  # and least likely
    assert stack.predict_proba(X).shape == (240, 3)


def test_members_and_final_estimators_with_and_without_sample_weight():
    weight = np.arange(1.0, len(X) + 1)
    members = [("bayes", GaussianNB()), ("centroid", Centroid())]
    with pytest.warns(SampleWeightIgnoredWarning) as caught:
        stack = StackingClassifier(members, KNeighborsClassifier(5), cv=3).fit(X, codes, sample_weight=weight)
    assert ["centroid" in str(warning.message) for warning in caught] == [True, False]
    assert "final_estimator" in str(caught[1].message)
    assert caught[0].filename == __file__
    expected = GaussianNB().fit(X, codes, sample_weight=weight).predict_proba(X)
    assert_allclose(stack.predict_members(X)[0], expected)


def test_weights_of_several_labels_reach_all_parts():
    weight = np.arange(150) % 3 + 0.0
    stack = StackingClassifier(TREES, cv=3).fit(Xm, Ym, sample_weight=weight)
    assert_array_equal(stack.predict_members(Xm)[1], as_matrix(clone(TREES[1][1]).fit(Xm, Ym, sample_weight=weight)))
    line = LogisticRegression().fit(stack.oof_predictions_, Ym[:, 0], sample_weight=weight)
    assert_allclose(stack.predict_proba(Xm)[:, 0], line.predict_proba(stack.transform(Xm))[:, 1])


def as_matrix(tree):
    return np.column_stack([likely[:, 1] for likely in tree.predict_proba(Xm)])


def test_groups_reach_the_splitter():
    groups = np.arange(len(X)) % 7
    cv = GroupKFold(3)
    stack = StackingClassifier(PROBABLE, FINAL, cv=cv).fit(X, codes, groups=groups)
    expected = [
        cross_val_predict(member, X, codes, groups=groups, cv=cv, method="predict_proba") for _, member in PROBABLE
    ]
    assert_allclose(stack.oof_predictions_, np.hstack(expected))
    with pytest.raises(ValueError, match=r"requires groups, one per row, but fit\(X, y, groups=...\) got none"):
        StackingClassifier(PROBABLE, FINAL, cv=cv).fit(X, codes)


def test_the_out_of_fold_matrix_is_kept():
    stack = StackingClassifier(CLASSIFIERS, FINAL, cv=3).fit(X, codes)
    expected = [
        cross_val_predict(member, X, codes, cv=3, method=method).reshape(240, -1)
        for (_, member), method in zip(CLASSIFIERS, stack.stack_method_, strict=True)
    ]
    assert_allclose(stack.oof_predictions_, np.hstack(expected), atol=1e-12)
    regressor = StackingRegressor(REGRESSORS).fit(Xr, yr)
    assert_allclose(regressor.oof_predictions_[:, 1], cross_val_predict(REGRESSORS[1][1], Xr, yr))


@pytest.mark.parametrize(
    "cv", [TimeSeriesSplit(4), ShuffleSplit(3, test_size=0.2, random_state=0)], ids=["time series", "shuffle"]
)
def test_splitters_that_are_no_partition(cv):
    with pytest.warns(RowsWithoutPredictionWarning, match="of 150 rows without an out-of-fold prediction"):
        stack = StackingRegressor(REGRESSORS, cv=cv).fit(Xr, yr)
    times, total = np.zeros(150), np.zeros(150)
    for train, test in cv.split(Xr):
        total[test] += Ridge().fit(Xr[train], yr[train]).predict(Xr[test])
        times[test] += 1
    known = times > 0
    assert_allclose(stack.oof_predictions_[known, 0], total[known] / times[known])
    assert np.isnan(stack.oof_predictions_[~known]).all()
    assert stack.final_estimator_.n_features_in_ == 3


def test_repeated_splitters_give_means_and_majorities():
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0)
    members = [("plain", Plain()), ("bayes", GaussianNB())]
    stack = StackingClassifier(members, FINAL, cv=cv).fit(X, codes)
    votes, likely = np.zeros((240, 3)), np.zeros((240, 3))
    for train, test in cv.split(X, codes):
        votes[test, Plain().fit(X[train], codes[train]).predict(X[test])] += 1
        likely[test] += GaussianNB().fit(X[train], codes[train]).predict_proba(X[test]) / 3
    assert_array_equal(stack.oof_predictions_[:, 0], votes.argmax(axis=1))
    assert_allclose(stack.oof_predictions_[:, 1:], likely)


def test_a_splitter_without_a_seed_splits_once_for_all():
    cv = StratifiedKFold(3, shuffle=True)
    stack = StackingClassifier([("a", GaussianNB()), ("b", GaussianNB())], FINAL, cv=cv).fit(X, codes)
    assert_array_equal(stack.oof_predictions_[:, :3], stack.oof_predictions_[:, 3:])


def test_images_go_through():
    images = np.random.default_rng(0).normal(size=(60, 6, 5, 3))
    y = np.arange(60) % 2
    images[y == 1, :, :2] += 1
    members = [("a", Centroid()), ("b", Centroid())]
    stack = StackingClassifier(members, cv=3, passthrough=lambda X: X.mean(axis=(1, 3))).fit(images, y)
    assert stack.transform(images).shape == (60, 7)
    assert stack.score(images, y) > 0.9
    assert_array_equal(stack.get_feature_names_out()[2:], [f"passthrough{k}" for k in range(5)])
    with pytest.raises(ValueError, match=r"passthrough=True requires rows, got X of shape \(60, 6, 5, 3\): pass"):
        stack.set_params(passthrough=True).fit(images, y)


# -- models of the folds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "predict"])
def test_without_a_refit_the_models_of_the_folds_are_averaged(method):
    y = LABELS["strings"][codes]
    stack = StackingClassifier(CLASSIFIERS, FINAL, cv=3, refit=False, stack_method=method).fit(X, y)
    folds = list(StratifiedKFold(3).split(X, y))
    for name, prototype in CLASSIFIERS:
        models = [clone(prototype).fit(X[train], y[train]) for train, _ in folds]
        member = stack.named_estimators_[name]
        votes = np.stack([model.predict(X_test) for model in models])
        shares = (votes[..., None] == LABELS["strings"]).sum(axis=0)
        assert_array_equal(member.predict(X_test), LABELS["strings"][shares.argmax(axis=1)])
        if hasattr(prototype, "predict_proba"):
            assert_allclose(
                member.predict_proba(X_test), np.mean([model.predict_proba(X_test) for model in models], axis=0)
            )
        assert len(member.estimators) == 3 and member.n_features_in_ == X.shape[1]
    again = pickle.loads(pickle.dumps(stack))
    assert_array_equal(again.predict(X_test), stack.predict(X_test))


def test_without_a_refit_of_regressors_and_several_labels():
    stack = StackingRegressor(REGRESSORS, cv=3, refit=False).fit(Xr, yr)
    models = [Ridge().fit(Xr[train], yr[train]) for train, _ in KFold(3).split(Xr)]
    assert_allclose(stack.predict_members(Xr)[0], np.mean([model.predict(Xr) for model in models], axis=0))
    labels = StackingClassifier(TREES, cv=3, refit=False).fit(Xm, Ym)
    assert labels.predict(Xm).shape == Ym.shape
    models = labels.estimators_[0].estimators
    majority = np.sum([model.predict(Xm) for model in models], axis=0) >= 2
    assert_array_equal(labels.estimators_[0].predict(Xm), majority)


class Counting(GaussianNB):
    fits = 0

    def fit(self, X, y, sample_weight=None):
        Counting.fits += 1
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("refit", [True, False])
def test_a_refit_is_one_fit_more(refit, monkeypatch):
    monkeypatch.setattr(Counting, "fits", 0)
    StackingClassifier([("a", Counting())], cv=3, refit=refit).fit(X, codes)
    assert Counting.fits == 3 + refit


# -- what is passed through --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ([0, 2], [0, 2]),
        ((0, 2), [0, 2]),
        (slice(0, 3, 2), [0, 2]),
        (np.arange(20) % 9 == 0, [0, 9, 18]),
        (5, [5]),
    ],
    ids=["list", "tuple", "slice", "mask", "one"],
)
def test_some_columns_pass(columns, key):
    stack = StackingClassifier(PROBABLE, FINAL, cv=3, passthrough=columns).fit(X, codes)
    assert_array_equal(stack.transform(X)[:, 6:], X[:, key])
    assert_array_equal(stack.get_feature_names_out()[6:], [f"x{k}" for k in key])


def test_columns_pass_by_name():
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"c{k}" for k in range(20)])
    for columns in (["c3", "c1"], "c3"):
        stack = StackingClassifier(PROBABLE, FINAL, cv=3, passthrough=columns).fit(frame, codes)
        wanted = np.atleast_1d(columns).tolist()
        assert_array_equal(stack.transform(frame)[:, 6:], frame[wanted])
        assert_array_equal(stack.get_feature_names_out()[6:], wanted)
        assert_array_equal(stack.feature_names_in_, frame.columns)
    shown = stack.set_output(transform="pandas").transform(frame)
    assert_array_equal(shown.columns, stack.get_feature_names_out())
    assert "GaussianNB" in stack._repr_html_() and "final_estimator" in stack._repr_html_()


def test_sparse_rows_pass():
    members = [("a", DecisionTreeClassifier(max_depth=2)), ("b", LogisticRegression())]
    stack = StackingClassifier(members, FINAL, cv=3, passthrough=True).fit(sparse.coo_array(X), codes)
    assert sparse.issparse(stack.transform(sparse.csr_array(X)))
    dense = StackingClassifier(members, FINAL, cv=3, passthrough=True).fit(X, codes)
    assert_array_equal(stack.predict(sparse.csr_array(X)), dense.predict(X))


def test_what_a_callable_returns_is_checked():
    with pytest.raises(ValueError, match=r"passthrough must return \(240, columns\).*got an array of shape \(240,\)"):
        StackingClassifier(PROBABLE, passthrough=lambda X: X[:, 0]).fit(X, codes)
    with pytest.raises(ValueError, match=r"got an array of shape \(3, 20\)"):
        StackingClassifier(PROBABLE, passthrough=lambda X: X[:3]).fit(X, codes)


# -- insight -----------------------------------------------------------------------------------------------------------


def test_contributions_tell_good_members_from_bad_ones():
    members = [("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=1)), ("mean", DummyRegressor())]
    stack = StackingRegressor(members).fit(Xr, yr)
    assert stack.contributions_[0] > 10 * abs(stack.contributions_[2])
    assert stack.weights_[0] > 0.8 and stack.weights_.sum() == pytest.approx(1)
    trees = StackingRegressor(members, DecisionTreeRegressor(max_depth=4, random_state=0)).fit(Xr, yr)
    assert trees.weights_[0] > 0.8
    assert np.isnan(StackingRegressor(members[:1]).fit(Xr, yr).contributions_).all()


def test_what_a_final_estimator_does_not_tell_is_not_there():
    stack = StackingClassifier(PROBABLE, KNeighborsClassifier(150), cv=3).fit(X, codes)
    assert not hasattr(stack, "weights_")
    assert np.isnan(stack.contributions_).all()  # half of the rows are fewer than 150 neighbours
    stack.set_params(final_estimator=RidgeClassifier()).fit(X, codes)
    assert np.isfinite(stack.contributions_).all()
    assert not hasattr(stack, "predict_proba")


class WarnsOfFewRows(LogisticRegression):
    """A final estimator that warns unless it is fitted on all rows."""

    def fit(self, X, y):
        if len(X) < len(codes):
            warnings.warn("few rows", ConvergenceWarning, stacklevel=2)
        return super().fit(X, y)


def test_a_warning_of_what_is_learned_besides_that_is_an_error_leaves_it_unknown():
    with pytest.warns(ConvergenceWarning, match="few rows"):
        stack = StackingClassifier(PROBABLE, WarnsOfFewRows(), cv=3).fit(X, codes)
    assert np.isfinite(stack.contributions_).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        stack.fit(X, codes)
    assert np.isnan(stack.contributions_).all()


def test_members_with_probabilities_and_without():
    stack = StackingClassifier(PROBABLE, FINAL, cv=3).fit(X, codes % 2)
    likely = stack.predict_members(X)
    assert_allclose(likely[0], GaussianNB().fit(X, codes % 2).predict_proba(X))
    found = stack.predict_uncertainty(X)
    mean = likely.mean(axis=0)
    assert_allclose(found.entropy, -(mean * np.log(np.clip(mean, 1e-12, None))).sum(axis=1), atol=1e-9)
    mixed = StackingClassifier(CLASSIFIERS, FINAL, cv=3).fit(X, LABELS["strings"][codes])
    said = mixed.predict_members(X)
    for name, member, labels in zip(dict(CLASSIFIERS), mixed.estimators_, said, strict=True):
        assert_array_equal(labels, member.predict(X), err_msg=name)
    oof = [cross_val_predict(member, X, LABELS["strings"][codes], cv=3) for _, member in CLASSIFIERS]
    assert mixed.diversity().disagreement[0, 2] == pytest.approx(np.mean(oof[0] != oof[2]))
    assert_allclose(mixed.diversity(X).disagreement[0, 2], np.mean(said[0] != said[2]))


def test_uncertainty_and_diversity_of_regressors():
    stack = StackingRegressor(REGRESSORS).fit(Xr, yr)
    assert_allclose(stack.predict_uncertainty(Xr).std, stack.predict_members(Xr).std(axis=0))
    said = stack.oof_predictions_
    assert stack.diversity().disagreement[0, 1] == pytest.approx(np.sqrt(np.mean((said[:, 0] - said[:, 1]) ** 2)))


# -- as scikit-learn's ensembles behave --------------------------------------------------------------------------------


def test_members_can_be_dropped():
    stack = StackingClassifier(CLASSIFIERS, FINAL, cv=3).set_params(plain="drop", tree="drop").fit(X, codes)
    theirs = ensemble.StackingClassifier([CLASSIFIERS[0], CLASSIFIERS[2]], FINAL, cv=3).fit(X, codes)
    assert_array_equal(stack.predict(X_test), theirs.predict(X_test))
    assert stack.named_estimators_.plain == "drop"


def test_clones_and_parallel_fits_are_the_same():
    stack = StackingClassifier(CLASSIFIERS, FINAL, cv=3)
    expected = clone(stack).fit(X, codes).oof_predictions_
    with parallel_config(backend="threading"):
        assert_array_equal(clone(stack).set_params(n_jobs=2).fit(X, codes).oof_predictions_, expected)


def test_fit_transform_is_transform():
    stack = StackingRegressor(REGRESSORS, passthrough=True)
    assert_allclose(stack.fit_transform(Xr, yr), stack.transform(Xr))


def test_parameters_of_predict_reach_the_final_estimator():
    stack = StackingRegressor(REGRESSORS, BayesianRidge()).fit(Xr, yr)
    mean, std = stack.predict(Xr, return_std=True)
    assert mean.shape == std.shape == yr.shape


def test_metadata_are_routed_to_all_parts():
    groups, weight = np.arange(len(X)) % 7, np.arange(1.0, len(X) + 1)
    with sklearn.config_context(enable_metadata_routing=True):
        members = [
            ("heavy", GaussianNB().set_fit_request(sample_weight=True)),
            ("light", GaussianNB().set_fit_request(sample_weight=False)),
        ]
        final = DecisionTreeClassifier(max_depth=2, random_state=0).set_fit_request(sample_weight="price")
        stack = StackingClassifier(members, final, cv=GroupKFold(3))
        stack.fit(X, codes, sample_weight=weight, price=weight, groups=groups)
        StackingClassifier(PROBABLE, FINAL).fit(X, codes)
    settings = {"cv": GroupKFold(3), "groups": groups, "method": "predict_proba"}
    heavy = cross_val_predict(GaussianNB(), X, codes, params={"sample_weight": weight}, **settings)
    light = cross_val_predict(GaussianNB(), X, codes, **settings)
    assert_allclose(stack.oof_predictions_, np.hstack([heavy, light]))
    expected = clone(FINAL).set_params(max_depth=2).fit(stack.oof_predictions_, codes, sample_weight=weight)
    assert_allclose(
        stack.final_estimator_.predict_proba(light.repeat(2, axis=1)), expected.predict_proba(light.repeat(2, axis=1))
    )


@pytest.mark.parametrize("several", [False, True], ids=["classes", "labels"])
def test_the_default_final_estimator_gets_the_weights_of_rows_where_metadata_are_routed(several):
    rows, y = (Xm, Ym) if several else (X, codes)
    weight = np.arange(1.0, len(rows) + 1) ** 2
    plain = StackingClassifier([("tree", DecisionTreeClassifier(max_depth=3, random_state=0))], cv=3)
    expected = plain.fit(rows, y, sample_weight=weight).predict_proba(rows)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(plain)
        routed.estimators[0][1].set_fit_request(sample_weight=True)
        assert_array_equal(routed.fit(rows, y, sample_weight=weight).predict_proba(rows), expected)
        searched = clone(routed).set_score_request(sample_weight=False)
        search = GridSearchCV(searched, {"tree__max_depth": [3]}, cv=2).fit(rows, y, sample_weight=weight)
        assert_array_equal(search.predict_proba(rows), expected)
        routed.fit(rows, y)
        if not several:
            theirs = ensemble.StackingClassifier(routed.estimators, cv=3).fit(rows, y, sample_weight=weight)
            assert_allclose(theirs.predict_proba(rows), expected)


def test_a_search_over_stacks():
    grid = {"passthrough": [False, True], "refit": [True, False], "final_estimator__max_depth": [1, 3]}
    assert GridSearchCV(StackingClassifier(PROBABLE, FINAL, cv=2), grid, cv=2).fit(X, codes).best_score_ > 0.4


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimators": []}, ValueError, "non-empty list of pairs"),
        ({"estimators": [("a", GaussianNB()), ("a", GaussianNB())]}, ValueError, "not unique"),
        ({"estimators": [("final_estimator", GaussianNB())]}, ValueError, "conflict with constructor arguments"),
        ({"estimators": [("a", StandardScaler())]}, ValueError, "member 'a' must be a classifier"),
        ({"estimators": [("a", GaussianNB)]}, TypeError, "must be an instance"),
        ({"estimators": [("a", None)]}, ValueError, "member 'a' must be a classifier, got None"),
        ({"final_estimator": GaussianNB}, TypeError, r"final_estimator must be an instance, such as GaussianNB\(\)"),
        ({"final_estimator": Ridge()}, ValueError, "final_estimator must be a classifier, got Ridge"),
        ({"stack_method": "predict_proba"}, ValueError, "member 'ridge' must have predict_proba for stack_method"),
        ({"cv": "prefit"}, NotFittedError, "member 'bayes' must be fitted, since it is not fitted again"),
        ({"cv": "prefit", "refit": False}, ValueError, "refit=False cannot be combined with cv"),
        ({"passthrough": [25]}, ValueError, r"passthrough=\[25\] does not fit X of 20 columns"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        StackingClassifier(CLASSIFIERS).set_params(**params).fit(X, codes)


@pytest.mark.parametrize("passthrough", [True, [0], "a"])
def test_X_without_columns(passthrough):
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(240, 0\)\) while a minimum of 1 is required"):
        StackingClassifier(PROBABLE, passthrough=passthrough).fit(X[:, :0], codes)


def test_bad_parameters_of_regressors():
    with pytest.raises(ValueError, match="member 'b' must be a regressor"):
        StackingRegressor([("a", Ridge()), ("b", GaussianNB())]).fit(Xr, yr)
    with pytest.raises(ValueError, match="final_estimator must be a regressor"):
        StackingRegressor(REGRESSORS, GaussianNB()).fit(Xr, yr)


def test_unknown_metadata_are_an_error():
    with pytest.raises(TypeError, match=r"got \['price'\] as well"):
        StackingRegressor(REGRESSORS).fit(Xr, yr, price=3)


@pytest.mark.parametrize("refit", [True, False])
def test_a_member_that_fails_in_a_fold_is_named_with_it(refit):
    rows = np.arange(30.0)[:, None]
    members = [("fine", Mean()), ("moody", Fails())]
    with pytest.raises(RuntimeError, match="no row 0") as caught:
        StackingRegressor(members, cv=KFold(3), refit=refit).fit(rows, rows[:, 0])
    assert caught.value.__notes__ == ["This happened in member 'moody', fold 1 of 3."]


def test_a_final_estimator_that_fails_is_named():
    with pytest.raises(RuntimeError, match="no row 0") as caught:
        StackingRegressor([("mean", Mean())], Fails()).fit(Xr, yr)
    assert caught.value.__notes__ == ["This happened in final_estimator."]


class Interrupted(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        raise KeyboardInterrupt


def test_an_interrupted_fit_changes_nothing():
    stack = StackingClassifier(PROBABLE, FINAL, cv=3).fit(X, codes)
    before = stack.predict_proba(X)
    stack.set_params(tree=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        stack.fit(X[:100], codes[:100])
    assert_array_equal(stack.predict_proba(X), before)
