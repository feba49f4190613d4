"""
Search
======

Augmentation, freezing, the head and the ensemble around a net are parameters like any other. ``GridSearchCV`` tries
all combinations, ``HalvingRandomSearchCV`` drops candidates that are poor after few epochs, and Optuna samples near
good candidates. The training set is 200 images of digits. ::

    pip install optuna  # optional, for the third search
    python examples/plot_search.py

It takes about half a minute, with Optuna a little more, without network or GPU, and writes a figure, ``search.png``.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (enables the next import)
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sktricks import FineTuneClassifier, RandomRotation, VotingClassifier, cache_info

try:
    import optuna
except ImportError:
    optuna = None

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=200, test_size=500, stratify=y, random_state=0)
net = FineTuneClassifier(image_shape=(8, 8), freeze_until="head", n_views=4, random_state=0)
vote = VotingClassifier([("net", net), ("knn", "drop")], voting="soft")

# %%
# Accuracy on 200 rows is a coarse measure: several candidates get all of them right. The log loss also measures the
# confidence of predictions.

common = {"scoring": "neg_log_loss", "cv": 3}


def report(name, n_candidates, score, best, params):
    info, loss = cache_info(), log_loss(y_test, best.predict_proba(X_test))
    params = {key: float(f"{value:.2g}") if isinstance(value, float) else value for key, value in params.items()}
    print(f"\n{name}, {3 * n_candidates} fits: log loss {-score:.3f} in the folds, {loss:.3f} on the test,", end=" ")
    print(f"{100 * best.score(X_test, y_test):.1f} % right\n    {params}")
    print(f"    {info.encoded:,} rows encoded once so far, reused {info.reused:,} times", flush=True)


# %%
# Grid search
# -----------
# A frozen backbone encodes each image, and each of its four fixed views, only once for all heads and folds. Therefore
# eight candidates cost no more than the two that also train ``stage3``, with new draws in each epoch.

knn = ["drop", KNeighborsClassifier(3)]
augmenters = [None, RandomRotation(10)]
grid = [
    {"net__augmenter": augmenters, "net__stages": [["stage3"], ["stage2", "stage3"]], "knn": knn},
    {"net__augmenter": augmenters, "net__freeze_until": ["stage3"], "net__n_views": [1], "net__max_epochs": [8]},
]
by_grid = GridSearchCV(vote, grid, **common).fit(X, y)
results = by_grid.cv_results_
report("GridSearchCV", len(results["params"]), by_grid.best_score_, by_grid.best_estimator_, by_grid.best_params_)

# %%
# Successive halving
# ------------------
# Any integer parameter can be the resource, here the number of epochs: the best third of the candidates continues with
# three times as many.

space = {
    "lr": loguniform(1e-4, 1e-1),
    "label_smoothing": [0, 0.05, 0.1],
    "augmenter": [RandomRotation(angle) for angle in (5, 10, 20)],
}
halves: dict[str, Any] = {"n_candidates": 18, "resource": "max_epochs", "min_resources": 5, "max_resources": 45}
halving = HalvingRandomSearchCV(net, space, random_state=0, **halves, **common).fit(X, y)
n_candidates = sum(halving.n_candidates_)
report("HalvingRandomSearchCV", n_candidates, halving.best_score_, halving.best_estimator_, halving.best_params_)

# %%
# Optuna
# ------
# Optuna takes a function that draws a candidate. A parameter may depend on another one: here the number of neighbors is
# drawn only if the vote has a nearest-neighbor member.


def candidate(trial):
    params = {
        "net__lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "net__label_smoothing": trial.suggest_float("label_smoothing", 0, 0.1),
        "net__augmenter": RandomRotation(trial.suggest_categorical("max_angle", [5, 10, 20])),
    }
    if trial.suggest_categorical("knn", [False, True]):
        params["knn"] = KNeighborsClassifier(trial.suggest_int("n_neighbors", 2, 10))
    return clone(vote).set_params(**params)


if optuna is None:
    print("\nOptuna is not installed, so its search is left out: pip install optuna")
else:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: cross_val_score(candidate(trial), X, y, **common).mean(), n_trials=20)
    best = candidate(study.best_trial).fit(X, y)
    report("Optuna", len(study.trials), study.best_value, best, study.best_params)

# %%
# The figure
# ----------
# The candidate that a search chose is orange, all others are gray. Some folds are harder than others for every
# candidate, so the first panel compares candidates fold by fold. With 200 rows, a search can identify bad settings, but
# hardly the best among good ones.

CHOSEN, OTHER = {"color": "C1", "marker": "D", "zorder": 3}, {"color": "0.5", "marker": "o"}


def in_words(params):
    trained = "stage3 and head" if "net__freeze_until" in params else f"head on {', '.join(params['net__stages'])}"
    rotated, voted = params["net__augmenter"] is not None, params.get("knn", "drop") != "drop"
    return trained + " + rotated" * rotated + " + knn" * voted


figure, axes = plt.subplots(1, 2 if optuna is None else 3, figsize=(14, 4.6), layout="constrained")
losses = -np.array([results[f"split{fold}_test_score"] for fold in range(3)]).T
order = np.argsort(losses.mean(axis=1))
above = losses[order] - losses[order[0]]
for row, folds in enumerate(above):
    axes[0].plot(folds, [row] * 3, linestyle="", alpha=0.6, **(OTHER if row else CHOSEN))
    axes[0].plot(folds.mean(), row, "|", color="C1" if row == 0 else "0.5", markersize=18, markeredgewidth=2)
axes[0].set_yticks(range(len(order)), [in_words(results["params"][place]) for place in order])
axes[0].invert_yaxis()
axes[0].set(title="Grid: three folds and their mean", xlabel="log loss above that of the chosen candidate")

seen = halving.cv_results_
for lr in set(seen["param_lr"]):
    own = seen["param_lr"] == lr
    style = CHOSEN if lr == halving.best_params_["lr"] else OTHER
    axes[1].plot(seen["n_resources"][own], -seen["mean_test_score"][own], **style)
axes[1].set(xscale="log", yscale="log", xlabel="epochs", ylabel="log loss", title="Halving: candidates by epochs")
axes[1].set_xticks([5, 15, 45], [5, 15, 45])
axes[1].set_yticks([0.1, 0.2, 0.5, 1, 2], [0.1, 0.2, 0.5, 1, 2])
axes[1].minorticks_off()

if optuna is not None:
    found = [-trial.value for trial in study.trials]
    axes[2].plot(found, linestyle="", label="other candidates", **OTHER)
    axes[2].plot(study.best_trial.number, min(found), linestyle="", label="the chosen one", **CHOSEN)
    axes[2].step(range(len(found)), np.minimum.accumulate(found), "--", where="post", color="0.5", label="best so far")
    axes[2].set(title="Optuna: candidates in their order", xlabel="candidate", ylabel="log loss")
    axes[2].legend()
figure.savefig("search.png", dpi=120)
print("\nThe figure is in search.png")
