"""
Compare models honestly
=======================

``compare`` cross-validates several estimators and a baseline that ignores X on the same folds, and reports confidence
intervals of the differences. This example answers two questions: is the best model significantly better? And how do
grouped rows bias the scores? ::

    python examples/plot_compare.py

It takes some seconds, without network or GPU, and writes two figures, ``comparison.png`` and ``groups.png``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sktricks import ComparisonDisplay, NetClassifier, RandomAffine, compare

# %%
# Is the best model better?
# -------------------------
# The data are 569 tumors with 30 measurements. (``compare(None, X, y)`` compares the usual models for the kind of X.)

X, y = load_breast_cancer(return_X_y=True)
models = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "SVC": make_pipeline(StandardScaler(), SVC()),
    "forest": RandomForestClassifier(100, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
    "net": NetClassifier(random_state=0),
}
comparison = compare(models, X, y)
print(comparison)

# %%
# The column "difference to the best" has a 95 % interval. All models are tested on the same rows, and a hard fold is
# hard for all of them, so the difference is more certain than the two scores. The interval takes into account that the
# folds share training rows (Nadeau & Bengio 2003). If it contains 0, the difference is not significant: choose the
# model that is faster, smaller, or easier to explain.

equal = [one.name for one in comparison.results[1:] if comparison.difference(one)[2] >= 0]
print(f"\nBest: {comparison.best}. Not significantly worse: {', '.join(equal) or 'none'}.")
ComparisonDisplay.from_comparison(comparison).figure_.savefig("comparison.png", dpi=100)

# %%
# Rows that belong together
# -------------------------
# Each of 60 digits is recorded five times, slightly shifted and rotated, like five photos of one object. If photos of
# one object are on both sides of a split, a model that memorizes objects gets a score that is too high. ``groups``
# keeps them on one side. The other 1,737 digits are new objects: their scores show which estimate is right.

X, y = load_digits(return_X_y=True)
chosen = np.random.default_rng(0).choice(len(X), 60, replace=False)
is_new = ~np.isin(np.arange(len(X)), chosen)
camera = RandomAffine(5, 0.05, 0.05, image_shape=(8, 8))
X_photos = np.concatenate([camera.augment(X[chosen], random_state=photo) for photo in range(5)])
y_photos, objects = np.tile(y[chosen], 5), np.tile(chosen, 5)

models = {
    "1 neighbor": KNeighborsClassifier(1),
    "SVC": SVC(),
    "forest": RandomForestClassifier(100, random_state=0),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}
comparisons = {
    "without groups": compare(models, X_photos, y_photos),
    "groups=objects": compare(models, X_photos, y_photos, groups=objects),
}
truth = {name: clone(model).fit(X_photos, y_photos).score(X[is_new], y[is_new]) for name, model in models.items()}
for title, comparison in comparisons.items():
    print(f"\n{title}\n{comparison}")
print("\naccuracy on new objects: " + ", ".join(f"{name} {score:.3f}" for name, score in truth.items()))

# %%
# Without groups every model looks nearly perfect, including the nearest neighbor. With groups the scores are close to
# those on new objects.

figure, axes = plt.subplots(1, 2, figsize=(12, 3.6), sharex=True, layout="constrained")
for ax, (title, comparison) in zip(axes, comparisons.items(), strict=True):
    ComparisonDisplay.from_comparison(comparison, ax=ax, name=f"{title} (star: new objects)")
    for row, result in enumerate(comparison.results):
        if result.name in truth:
            ax.plot(truth[result.name], row, "*", color="#009E73", markersize=13, zorder=3)
figure.savefig("groups.png", dpi=100)
print("\nThe figures are in comparison.png and groups.png")
