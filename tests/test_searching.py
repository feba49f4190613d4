"""Searches over augmentation, freezing, the head and the ensemble, by scikit-learn and Optuna."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (which makes the next import possible)
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from sktricks import (
    FineTuneClassifier,
    NetClassifier,
    NetEnsembleClassifier,
    RandomRotation,
    StackingClassifier,
    VotingClassifier,
    cache_info,
)

X, Y = (part[:90] for part in load_digits(n_class=3, return_X_y=True))
HOPELESS = [1e-9, 2e-9, 3e-9, 4e-9, 5e-9, 6e-9]  # learning rates at which a net does not learn
GOOD = [0.01, 0.02, 0.03]


class Encoder(torch.nn.Module):
    """A backbone of two stages, small enough to be trained many times."""

    def __init__(self):
        super().__init__()
        self.low = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())
        self.high = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, stride=2), torch.nn.ReLU())

    def forward(self, x):
        return self.high(self.low(x))


def pretrained(**params):
    torch.manual_seed(0)
    return FineTuneClassifier(Encoder(), **{"image_shape": (8, 8), "max_epochs": 4, "random_state": 0, **params})


def net(**params):
    return NetClassifier(**{"image_shape": (8, 8), "max_epochs": 8, "batch_size": 32, "random_state": 0, **params})


def scores_of(search, n_candidates):
    """Return the scores of all candidates, after checking that they are finite and the best is selected."""
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == n_candidates and np.isfinite(scores).all() and np.ptp(scores) > 0
    assert search.best_score_ == scores.max()
    for name, value in search.best_params_.items():
        assert str(search.best_estimator_.get_params()[name]) == str(value)  # estimators are cloned
    return scores


def test_augmentation_freezing_head_and_ensemble_in_one_grid():
    vote = VotingClassifier([("net", pretrained()), ("neighbours", KNeighborsClassifier(1))], voting="soft")
    augmenters = [None, RandomRotation(10)]
    around = {"net__augmenter": augmenters, "neighbours": ["drop", KNeighborsClassifier(1)]}
    views = {"net__n_views": [2], "net__augmenter": [RandomRotation(5), RandomRotation(10)]}
    grid = [
        {"net__freeze_until": ["head"], "net__stages": [["high"], ["low", "high"]], **around, **views},
        {"net__freeze_until": [0, "high"], "net__lr": [HOPELESS[0], 0.01], **around},
    ]
    before = {name: value.clone() for name, value in vote.estimators[0][1].backbone.state_dict().items()}
    search = GridSearchCV(vote, grid, cv=2, error_score="raise").fit(X, Y)
    scores = scores_of(search, 8 + 16)

    params = search.cv_results_["params"]
    learns = np.array([p.get("net__lr") != HOPELESS[0] for p in params])
    alone = np.array([p["neighbours"] == "drop" for p in params])
    assert scores[alone & learns].min() > scores[alone & ~learns].max()
    assert "net__lr" not in search.best_params_ or search.best_params_["net__lr"] != HOPELESS[0]
    for place in (0, 5, 23):  # earlier fits change nothing
        again = cross_val_score(clone(vote).set_params(**params[place]), X, Y, cv=2).mean()
        assert again == pytest.approx(scores[place], abs=1e-12)

    assert not hasattr(vote, "estimators_") and not hasattr(vote.estimators[0][1], "net_")
    assert not [name for name in vars(augmenters[1]) if name.endswith("_")]
    assert all(torch.equal(before[name], value) for name, value in vote.estimators[0][1].backbone.state_dict().items())


def test_candidates_folds_and_members_share_what_is_encoded():
    heads = [("small", pretrained(freeze_until="head")), ("large", pretrained(freeze_until="head", lr=0.1))]
    stack = StackingClassifier(heads, KNeighborsClassifier(3), cv=2)
    scores_of(GridSearchCV(stack, {"small__lr": [HOPELESS[0], 0.01, 0.1], "cv": [2, 3]}, cv=2).fit(X, Y), 6)
    assert cache_info().encoded == len(X) and cache_info().reused > 50 * len(X)


def test_the_same_candidate_twice_has_the_same_score():
    model = net(module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    grid = {"batch_size": [16, 32, 16], "augmenter": [RandomRotation(20)]}
    first, other, last = scores_of(GridSearchCV(model, grid, scoring="neg_log_loss", cv=2).fit(X, Y), 3)
    assert first == last != other


def test_nested_parameters_of_an_ensemble_of_nets_and_others():
    members = [("svc", SVC()), ("net", net(augmenter=RandomRotation(5))), ("neighbours", KNeighborsClassifier(1))]
    grid = {
        "svc__C": [1e-6, 10],
        "net__augmenter__max_angle": [5, 20],
        "net__net_params": [{"module__width": 8}, {"module__width": 16, "module__depth": 1}],
        "neighbours": ["drop"],
    }
    search = GridSearchCV(VotingClassifier(members, weights=[2, 1, 1]), grid, cv=2, error_score="raise").fit(X, Y)
    scores = scores_of(search, 8)
    assert search.best_params_["svc__C"] == 10
    assert scores[[p["svc__C"] == 1e-6 for p in search.cv_results_["params"]]].max() < scores.max()
    svc, inner = search.best_estimator_.estimators_  # and no other models
    assert svc.C == 10 and inner.augmenter.max_angle == search.best_params_["net__augmenter__max_angle"]
    assert inner.net_.module_.embed.out_features == search.best_params_["net__net_params"]["module__width"]
    assert members[0][1].C == 1.0 and members[1][1].augmenter.max_angle == 5


def test_members_of_one_net_are_searched():
    grid = {"n_members": [2, 4], "mode": ["batched", "snapshot"], "estimator__lr": [HOPELESS[0], 0.01]}
    search = GridSearchCV(NetEnsembleClassifier(net(), random_state=0), grid, cv=2, error_score="raise").fit(X, Y)
    scores_of(search, 8)
    assert search.best_params_["estimator__lr"] == 0.01
    assert len(search.best_estimator_.estimators_) == search.best_params_["n_members"]


def test_parallel_and_sequential_searches_agree():
    vote = VotingClassifier([("net", net()), ("svc", SVC())], weights=[2, 1])
    grid = {"net__augmenter": [None, RandomRotation(20)], "net__lr": [HOPELESS[0], 0.01], "svc": ["drop"]}
    one = GridSearchCV(vote, grid, cv=2).fit(X, Y)
    two = GridSearchCV(vote, grid, cv=2, n_jobs=2).fit(X, Y)
    np.testing.assert_array_equal(scores_of(two, 4), scores_of(one, 4))
    assert str(two.best_params_) == str(one.best_params_) and one.best_params_["net__lr"] == 0.01


def test_halving_gives_more_epochs_to_better_candidates():
    space = {"lr": HOPELESS + GOOD, "augmenter": [RandomRotation(5)], "freeze_until": ["high"]}
    search = HalvingRandomSearchCV(
        pretrained(),
        space,
        n_candidates=9,
        resource="max_epochs",
        min_resources=12,
        max_resources=36,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, Y)
    assert search.n_resources_ == [12, 36] and search.n_candidates_ == [9, 3]
    results = search.cv_results_
    assert np.isfinite(results["mean_test_score"]).all()
    assert set(results["param_lr"][results["iter"] == 1]) == set(GOOD)
    assert search.best_estimator_.n_iter_ == 36 and search.best_params_["lr"] in GOOD


def test_halving_gives_more_rows_to_better_candidates():
    space = {"net__lr": HOPELESS[:2] + GOOD[:1], "svc": ["drop"]}
    vote = VotingClassifier([("net", net()), ("svc", SVC())], voting="soft")
    search = HalvingRandomSearchCV(vote, space, min_resources=30, n_candidates=3, cv=2, random_state=0).fit(X, Y)
    assert search.n_resources_ == [30, 90] and search.best_params_["net__lr"] == GOOD[0]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -- Optuna ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def test_optuna_over_augmentation_freezing_head_and_ensemble(optuna):
    vote = VotingClassifier([("net", pretrained(max_epochs=8)), ("neighbours", "drop")], voting="soft")

    def candidate(trial):
        frozen = trial.suggest_categorical("freeze_until", ["head", "high"])
        params = {"net__freeze_until": frozen, "net__lr": trial.suggest_categorical("lr", [HOPELESS[0], 0.02])}
        if frozen == "head":
            params["net__stages"] = [["high"], ["low", "high"]][trial.suggest_int("stages", 0, 1)]
        else:
            params["net__augmenter"] = RandomRotation(trial.suggest_float("max_angle", 1, 20))
        if trial.suggest_categorical("neighbours", [False, True]):
            params["neighbours"] = KNeighborsClassifier(trial.suggest_int("n_neighbors", 1, 5))
        return clone(vote).set_params(**params)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: cross_val_score(candidate(trial), X, Y, cv=2).mean(), n_trials=12)
    values = np.array([trial.value for trial in study.trials])
    assert len(values) == 12 and np.isfinite(values).all() and study.best_value == values.max() > values.min()
    assert study.best_params["neighbours"] or study.best_params["lr"] == 0.02
    again = cross_val_score(candidate(study.best_trial), X, Y, cv=2).mean()
    assert again == pytest.approx(study.best_value, abs=1e-12) and not hasattr(vote, "estimators_")


def test_optuna_prunes_what_does_not_learn(optuna):
    def objective(trial):
        model = net(lr=trial.suggest_categorical("lr", [HOPELESS[0], 0.01]))
        for epoch in range(8):
            score = model.partial_fit(X[:60], Y[:60], classes=[0, 1, 2]).score(X[60:], Y[60:])
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(1, 2))
    for lr in (0.01, HOPELESS[0], 0.01):
        study.enqueue_trial({"lr": lr})
    study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[0].value == study.trials[2].value  # each starts a new training


def test_optunas_own_search(optuna):
    integration = pytest.importorskip("optuna_integration")
    space = {"lr": optuna.distributions.CategoricalDistribution([HOPELESS[0], 0.01])}
    search = integration.OptunaSearchCV(net(), space, cv=2, n_trials=6, random_state=0).fit(X, Y)
    assert search.best_params_ == {"lr": 0.01} and search.best_estimator_.lr == 0.01
    assert np.isfinite([trial.value for trial in search.trials_]).all()
    assert search.score(X, Y) == search.best_estimator_.score(X, Y) > 0.9
