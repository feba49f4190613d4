"""
Ensemble
========

Nets and classical models vote, each with the weight that it earned on rows it was not trained on. Is the vote better
than its best member? That depends. So here are two tasks: a table on which two members are good in different ways,
and digits, on which one is far ahead, the pretrained net. ::

    python examples/plot_ensemble.py

It takes about half a minute, without network or GPU, and leaves a figure, ``ensemble.png``.
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
    ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier(7))),
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
# ``weights="simplex"`` minimises the log loss of out-of-fold predictions over all weights that sum to 1, and
# ``calibration="temperature"`` makes members that are too sure of themselves milder before; the net is one. Members are
# fitted five times for that, and once more on all rows. The other vote takes the same fitted members as equals.


def compare(X, y, members, n_train):
    """The accuracy in % of the members and of both votes, for each of some splits; and the vote of the last of them."""
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
# On the table the vote is ahead of all that is in it. On digits it says the opposite: leave it to the pretrained net,
# and equal weights do harm. What an ensemble brings is what its members know that the best one does not.

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
