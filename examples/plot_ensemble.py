"""
Ensemble
========

Nets and classical models vote, with weights learned from out-of-fold predictions. Whether the vote is better than its
best member depends on the task. This example compares two tasks: a table, for which two members are good in different
ways, and digits, for which one member, the pretrained net, is far ahead. ::

    python examples/plot_ensemble.py

It takes about half a minute, without network or GPU, and writes a figure, ``ensemble.png``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import EnsembleDisplay, FineTuneClassifier, NetClassifier, VotingClassifier

SEEDS = range(3)
of_tables = [
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
    ("neighbors", make_pipeline(StandardScaler(), KNeighborsClassifier(7))),
    ("trees", ExtraTreesClassifier(100, random_state=0)),
    ("net", NetClassifier(max_epochs=30, random_state=0)),
]
of_images = [*of_tables, ("pretrained", FineTuneClassifier(image_shape=(8, 8), random_state=0))]
table = make_classification(3000, 20, n_informative=8, n_classes=4, n_clusters_per_class=2, flip_y=0.05, random_state=0)
tasks = {
    "A table, 1,000 rows to learn from": (*table, of_tables, 1000),
    "Digits, 200 images to learn from": (*load_digits(return_X_y=True), of_images, 200),
}

# %%
# Votes
# -----
# ``weights="simplex"`` minimizes the log loss of out-of-fold predictions over all nonnegative weights that sum to 1.
# ``calibration="temperature"`` first calibrates the members, since some, such as the net, are overconfident. Each
# member is fitted five times for this, and once more on all rows. The other vote gives the same fitted members equal
# weights.


def compare(X, y, members, n_train):
    """Return the accuracies in % of the members and of both votes, one per split, and the vote of the last split."""
    scores = {}
    for seed in SEEDS:
        X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=n_train, stratify=y, random_state=seed)
        learned = VotingClassifier(members, voting="soft", weights="simplex", calibration="temperature")
        fitted = list(learned.fit(X_train, y_train).named_estimators_.items())
        equal = VotingClassifier(fitted, voting="soft", prefit=True).fit(X_train, y_train)
        for name, model in [*fitted, ("equal vote", equal), ("learned vote", learned)]:
            scores.setdefault(name, []).append(100 * model.score(X_test, y_test))
    return {name: np.array(found) for name, found in scores.items()}, learned


def conclude(scores, members):
    best = max(dict(members), key=lambda name: scores[name].mean())
    ahead = scores["learned vote"] - scores[best]
    return f"learned vote against the best member, {best}: {ahead.mean():+.1f} ± {ahead.std():.1f} points"


# %%
# On the table, the vote is better than each of its members. On digits, the learned weights favor the pretrained net,
# and equal weights reduce the accuracy. An ensemble helps if its members correct errors of the best one.

figure = plt.figure(figsize=(15, 8), layout="constrained")
parts = figure.subfigures(2, 2, squeeze=False, width_ratios=[1, 3])
for (title, (X, y, members, n_train)), (left, right) in zip(tasks.items(), parts, strict=True):
    scores, vote = compare(X, y, members, n_train)
    weights = dict(zip(dict(members), vote.weights_, strict=True))
    print(f"{title}: accuracy in % on all others, {len(SEEDS)} splits; weights of the last")
    for name, found in scores.items():
        weight = f"{weights[name]:8.2f}" if name in weights else ""
        print(f"    {name:14}{found.mean():6.1f} ± {found.std():.1f}{weight}")
    print(f"{conclude(scores, members)}\n", flush=True)

    ax = left.subplots()
    for number, (name, found) in enumerate(scores.items()):
        marker, color = ("D", "C1") if "vote" in name else ("o", "C0")
        ax.plot(found, [number] * len(found), marker, color=color, alpha=0.7)
    ax.set_yticks(range(len(scores)), scores)
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel="accuracy in %, a point per split", ylabel="votes and their members")
    left.suptitle(title)
    EnsembleDisplay.from_estimator(vote, figure=right)
figure.savefig("ensemble.png", dpi=100)
print("The figure is in ensemble.png")
