import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from sktricks import (
    CascadeClassifier,
    FineTuneClassifier,
    FineTuneRegressor,
    NetClassifier,
    NetEnsembleClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    cache_info,
    clear_cache,
    load,
    save,
)
from sktricks.ensemble import _fits
from sktricks.training.engines import stacked

X, codes = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
y = np.array(["ant", "bee", "cow"])[codes]
Xr, yr = make_regression(90, 4, noise=5, random_state=0)
Xm, Ym = make_multilabel_classification(80, 5, n_classes=3, random_state=0)
IMAGES = np.random.default_rng(0).integers(0, 256, (36, 8, 8)).astype(np.uint8)
SMALL = {"net_params": {"module__width": 8}, "max_epochs": 4, "batch_size": 32}
NET = NetClassifier(**SMALL)
PROBE = {"strategy": "linear-probe", "stages": ["stage1"], "max_epochs": 3, "batch_size": 16}
HEAD = FineTuneClassifier(**PROBE)


@pytest.fixture
def batches(monkeypatch):
    """How many nets were trained together each time."""
    sizes, train = [], stacked.train

    def count(runs):
        sizes.append(len(runs))
        return train(runs)

    monkeypatch.setattr(stacked, "train", count)
    return sizes


@pytest.fixture
def one_by_one(monkeypatch):
    """Make a fit train one member after the other."""

    def fit(ensemble, *args, **params):
        with monkeypatch.context() as patch:
            patch.setattr(_fits, "fit_together", lambda *args: {})
            return ensemble.fit(*args, **params)

    return fit


# -- NetEnsemble -------------------------------------------------------------------------------------------------------


def test_batched_is_the_loop_in_one_go(batches):
    both = {mode: NetEnsembleClassifier(NET, 4, mode=mode, random_state=0).fit(X, y) for mode in ("batched", "loop")}
    assert batches == [4]
    assert_allclose(both["batched"].predict_members(X), both["loop"].predict_members(X), atol=1e-9)


def test_members_start_and_shuffle_differently():
    members = NetEnsembleClassifier(NET, 3, random_state=0).fit(X, y).predict_members(X)
    assert all(np.abs(members[a] - members[b]).max() > 1e-3 for a, b in [(0, 1), (0, 2), (1, 2)])


def test_an_int_fixes_all_and_none_does_not():
    first, again = (NetEnsembleClassifier(NET, 2, random_state=3).fit(X, y).predict_proba(X) for _ in range(2))
    assert_array_equal(first, again)
    others = [NetEnsembleClassifier(NET, 2).fit(X, y).predict_proba(X) for _ in range(2)]
    assert np.abs(others[0] - others[1]).max() > 1e-6


def test_n_jobs_changes_nothing():
    alone, jobs = (NetEnsembleClassifier(NET, 2, n_jobs=n, random_state=0).fit(X, y) for n in (None, 2))
    assert_array_equal(alone.predict_proba(X), jobs.predict_proba(X))


def test_what_it_predicts():
    nets = NetEnsembleClassifier(NET, 3, random_state=0).fit(X, y)
    members = nets.predict_members(X)
    assert members.shape == (3, 120, 3)
    assert_allclose(members[1], nets.estimators_[1].predict_proba(X))
    assert_allclose(nets.predict_proba(X), members.mean(axis=0))
    assert_array_equal(nets.predict(X), nets.classes_[members.mean(axis=0).argmax(axis=1)])
    assert_array_equal(nets.classes_, ["ant", "bee", "cow"])
    unsure = nets.predict_uncertainty(X)
    assert unsure.entropy.shape == unsure.mutual_information.shape == (120,)
    assert (unsure.mutual_information > 0).all() and (unsure.mutual_information < unsure.entropy).all()
    assert nets.diversity(X).disagreement.shape == (3, 3)
    with pytest.raises(ValueError, match="out-of-fold predictions"):
        nets.diversity()


@pytest.mark.parametrize("outputs", [1, 2])
def test_regression(outputs, batches):
    values = yr if outputs == 1 else np.stack([yr, -yr], axis=1)
    nets = NetEnsembleRegressor(NetRegressor(**SMALL), 3, random_state=0).fit(Xr, values)
    assert batches == [3]
    members = nets.predict_members(Xr)
    assert members.shape == (3, *values.shape)
    assert_allclose(nets.predict(Xr), members.mean(axis=0))
    assert_allclose(nets.predict_uncertainty(Xr).std, members.std(axis=0))
    assert nets.diversity(Xr).correlation.shape == (3, 3)


def test_several_labels():
    nets = NetEnsembleClassifier(NET, 2, random_state=0).fit(Xm, Ym)
    assert nets.predict_members(Xm).shape == (2, 80, 3)
    assert_array_equal(nets.predict(Xm), (nets.predict_proba(Xm) > 0.5).astype(int))
    assert nets.predict_uncertainty(Xm).entropy.shape == (80, 3)


def test_snapshots_are_one_training_in_cycles():
    net = clone(NET).set_params(max_epochs=9)
    nets = NetEnsembleClassifier(net, 3, mode="snapshot", random_state=0).fit(X, y)
    assert [one.n_iter_ for one in nets.estimators_] == [3, 6, 9]
    histories = [one.net_.history[:, "train_loss"] for one in nets.estimators_]
    assert histories[2][:3] == histories[0] and histories[2][:6] == histories[1]
    rates = [batch["event_lr"] for epoch in nets.estimators_[2].net_.history for batch in epoch["batches"]]
    assert rates[:12] == rates[12:24] == rates[24:] and max(rates[1:12]) > 10 * rates[11]
    members = nets.predict_members(X)
    assert np.abs(members[0] - members[2]).max() > 1e-3
    assert all(one.max_epochs == 9 and not one.warm_start for one in nets.estimators_)


def test_weights_and_validation_rows_reach_the_members():
    weights = np.where(y == "ant", 0.0, 1.0)
    nets = NetEnsembleClassifier(NET, 2, random_state=0).fit(X, y, sample_weight=weights)
    assert nets.predict_proba(X)[:, 0].max() < nets.fit(X, y).predict_proba(X)[:, 0].max()
    stopped = NetEnsembleClassifier(clone(NET).set_params(early_stopping=True), 2, random_state=0)
    assert "valid_loss" in stopped.fit(X, y, X_val=X, y_val=y).estimators_[0].net_.history[0]


def test_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        nets = NetEnsembleClassifier(clone(NET).set_fit_request(sample_weight=True), 2, random_state=0)
        routed = nets.fit(X, y, sample_weight=np.linspace(0.1, 1, 120)).predict_proba(X)
    given = NetEnsembleClassifier(NET, 2, random_state=0).fit(X, y, sample_weight=np.linspace(0.1, 1, 120))
    assert_array_equal(routed, given.predict_proba(X))


def test_images_and_heads_on_one_encoding(batches):
    nets = NetEnsembleClassifier(HEAD, 3, random_state=0).fit(IMAGES, np.arange(36) % 3)
    assert batches == [3]
    assert cache_info().encoded == 36
    assert nets.predict(IMAGES).shape == (36,)
    assert nets.image_shape_ == (8, 8, 1)
    assert cache_info().encoded == 36
    rest = 255 - IMAGES
    nets.predict_members(rest)
    assert cache_info().encoded == 72  # also at prediction, once for all members


def test_nets_that_cannot_be_batched_are_fitted_all_the_same(batches):
    class Normed(nn.Sequential):
        def __init__(self, n_features, n_outputs):
            super().__init__(nn.Linear(n_features, 4), nn.BatchNorm1d(4), nn.Linear(4, n_outputs))

    nets = NetEnsembleClassifier(NetClassifier(Normed, max_epochs=1), 2, random_state=0).fit(X, y)
    assert batches == [] and len(nets.estimators_) == 2


def test_any_classifier_with_a_random_state():
    scaled = make_pipeline(StandardScaler(), clone(NET))
    nets = NetEnsembleClassifier(scaled, 2, random_state=0).fit(X, y)
    assert np.ptp(nets.predict_members(X), axis=0).max() > 1e-3
    assert NetEnsembleClassifier(MLPClassifier(solver="lbfgs"), 2, random_state=0).fit(X, y).score(X, y) > 0.6


def test_names_of_columns_search_clone_pickle_and_files(tmp_path):
    table = pd.DataFrame(X, columns=[f"x{k}" for k in range(6)])
    search = GridSearchCV(NetEnsembleClassifier(NET, 2, random_state=0), {"estimator__lr": [1e-3, 1e-2]}, cv=2)
    best = search.fit(table, y).best_estimator_
    assert_array_equal(best.feature_names_in_, table.columns)
    assert best.n_features_in_ == 6
    assert_array_equal(pickle.loads(pickle.dumps(best)).predict_proba(table), best.predict_proba(table))
    save(best, tmp_path / "nets")
    assert_array_equal(load(tmp_path / "nets").predict_proba(table), best.predict_proba(table))
    assert not hasattr(clone(best), "estimators_")
    assert not hasattr(best.fit(X, y), "feature_names_in_")


BAD = {
    "a regressor": (NetEnsembleClassifier(Ridge(random_state=0)), "estimator must be a classifier"),
    "a classifier": (NetEnsembleRegressor(LogisticRegression(random_state=0)), "estimator must be a regressor"),
    "no probabilities": (NetEnsembleClassifier(LinearSVC()), "estimator must have predict_proba"),
    "no random state": (NetEnsembleClassifier(KNeighborsClassifier()), "must have a parameter random_state"),
    "no epochs": (NetEnsembleClassifier(MLPClassifier(), mode="snapshot"), "max_epochs and warm_start"),
    "few epochs": (NetEnsembleClassifier(NET, 5, mode="snapshot"), "n_members=5 cycles.*got max_epochs=4"),
    "unknown epochs": (NetEnsembleClassifier(FineTuneClassifier(), mode="snapshot"), "got max_epochs=None"),
    "no members": (NetEnsembleClassifier(NET, 0), "'n_members' parameter"),
    "mode": (NetEnsembleClassifier(NET, mode="fast"), "'mode' parameter"),
}


@pytest.mark.parametrize("nets, message", BAD.values(), ids=BAD)
def test_bad_parameters(nets, message):
    with pytest.raises(ValueError, match=message):
        nets.fit(X, codes)


def test_errors_say_whose_they_are_and_change_nothing():
    nets = NetEnsembleClassifier(clone(NET), 2, random_state=0).fit(X, y)
    before = nets.predict_proba(X)
    nets.set_params(estimator__lr=-1)
    with pytest.raises(ValueError, match="'lr' parameter") as caught:
        nets.fit(X, y)
    assert caught.value.__notes__ == ["This happened in member 'net0'."]
    assert_array_equal(nets.predict_proba(X), before)
    with pytest.raises(NotFittedError):
        NetEnsembleClassifier(NET).predict(X)


# -- votes and stacks of nets ------------------------------------------------------------------------------------------


def members(estimator, n=3):
    return [(f"m{seed}", clone(estimator).set_params(random_state=seed)) for seed in range(n)]


def test_a_stack_trains_members_and_folds_together(batches, one_by_one):
    together = StackingClassifier(members(NET), cv=4).fit(X, y)
    assert batches == [15]
    alone = one_by_one(StackingClassifier(members(NET), cv=4), X, y)
    assert_allclose(together.oof_predictions_, alone.oof_predictions_, atol=1e-9)
    assert_allclose(together.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_a_stack_of_regressors_with_weights_that_keeps_its_folds(batches, one_by_one):
    weights = np.linspace(0.5, 2, 90)
    nets = members(NetRegressor(**SMALL), 2)
    together = StackingRegressor(nets, cv=3, refit=False).fit(Xr, yr, sample_weight=weights)
    assert batches == [6]
    alone = one_by_one(StackingRegressor(nets, cv=3, refit=False), Xr, yr, sample_weight=weights)
    assert_allclose(together.oof_predictions_, alone.oof_predictions_, atol=1e-5)
    assert_allclose(together.predict(Xr), alone.predict(Xr), atol=1e-5)


def test_a_vote_with_learned_weights_beside_other_members(batches, one_by_one):
    mixed = [*members(NET, 2), ("line", LogisticRegression())]
    settings = {"voting": "soft", "weights": "simplex", "cv": 3}
    with parallel_config(backend="threading"):
        together = VotingClassifier(mixed, n_jobs=2, **settings).fit(X, y)
    assert batches == [8]
    alone = one_by_one(VotingClassifier(mixed, **settings), X, y)
    assert_allclose(together.weights_, alone.weights_, atol=1e-6)
    assert_allclose(together.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_a_verbose_vote_shows_a_bar_of_members_and_one_of_epochs(batches, bars):
    VotingClassifier(members(NET, 2), verbose=True).fit(X, y)
    assert batches == [2]
    assert [(what, n) for what, n, _ in bars] == [("fit of 2 nets", NET.max_epochs), ("members", 2)]


@pytest.mark.parametrize("mode", ["batched", "loop", "snapshot"])
def test_bars(mode, bars):
    nets = NetEnsembleClassifier(NET, 2, mode=mode, verbose=1, random_state=0).fit(X, y)
    assert bars[-1] == ("members", 2, 2) and len(bars) == 1 + (mode == "batched")
    nets.predict(X)
    assert bars[-1] == ("predict", 2, 2)
    nets.predict(X[:5])
    assert bars[-2][0] != "predict"


def test_a_fold_at_fault_is_named(batches):
    class Fussy(nn.Linear):
        def __init__(self, n_features, n_outputs):
            super().__init__(n_features, n_outputs)
            if n_outputs < 3:
                raise RuntimeError("three classes are needed")

    order = np.argsort(codes, kind="stable")
    folds = [(order[:60], order[60:]), (order[60:], order[:60])]  # both contain two classes
    stack = StackingClassifier(members(NetClassifier(Fussy, max_epochs=1), 2), cv=folds)
    with (
        pytest.raises(RuntimeError, match="three classes") as caught,
        pytest.warns(match="trains without the classes"),
    ):
        stack.fit(X, y)
    assert caught.value.__notes__ == ["This happened in member 'm0', fold 1 of 2."]


@pytest.mark.parametrize("head", [HEAD, FineTuneRegressor(**PROBE)], ids=["classes", "values"])
def test_heads_and_folds_on_a_frozen_backbone_share_one_encoding(head, batches, one_by_one):
    stacking = StackingClassifier if head is HEAD else StackingRegressor
    together = stacking(members(head), cv=3).fit(IMAGES, np.arange(36) % 3)
    assert batches == [12]
    assert cache_info().encoded == 36
    clear_cache()
    alone = one_by_one(stacking(members(head), cv=3), IMAGES, np.arange(36) % 3)
    assert cache_info().encoded == 36
    assert_allclose(together.oof_predictions_, alone.oof_predictions_, atol=2e-6)  # of float32


@pytest.mark.parametrize(
    ("mode", "who"), [("batched", "member 'net0'"), ("loop", "member 'net0'"), ("snapshot", "cycle 1 of 2")]
)
def test_a_member_that_diverges_is_named(mode, who):
    net = NetClassifier(optimizer="sgd", lr=1e6, max_epochs=30, batch_size=30)
    nets = NetEnsembleClassifier(net, n_members=2, mode=mode)
    with pytest.raises(ValueError, match=f"^{who}: lr=1e\\+06: the training diverged in epoch"):
        nets.fit(X.astype(np.float32), y)
    assert not hasattr(nets, "estimators_")


def test_members_of_any_ensemble_that_diverge_are_named():
    good, bad = NetClassifier(max_epochs=2), NetClassifier(optimizer="sgd", lr=1e6, max_epochs=30, batch_size=30)
    for kind in (VotingClassifier, StackingClassifier, CascadeClassifier):
        with pytest.raises(ValueError, match=r"^member 'bad'(, fold 1 of 5)?: lr=1e\+06: the training diverged"):
            kind([("good", good), ("bad", bad)]).fit(X.astype(np.float32), y)
