"""
Compare models honestly
=======================

``compare`` cross-validates several estimators on the same folds, with the baseline that ignores X, and says how sure it
is of the differences. Two questions are answered here: is the winner really better? And what do the folds hide, if some
rows belong together? ::

    python examples/plot_compare.py

It takes some seconds, without network or GPU, and leaves two figures, ``comparison.png`` and ``groups.png``.
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
# Is the winner better?
# ---------------------
# 569 tumors, 30 measurements. (``compare(None, X, y)`` would take the usual models for the kind of rows at hand.)

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
# The column "difference to the best" has a 95 % interval. The models are tested on the same rows, so a fold that is
# hard for one is hard for all: the difference is more certain than the two scores. The folds share rows to train on,
# which the interval takes into account (Nadeau & Bengio 2003). If it contains 0, these rows do not tell the two apart:
# take the model that is faster, smaller, or easier to explain.

equal = [one.name for one in comparison.results[1:] if comparison.difference(one)[2] >= 0]
print(f"\nBest: {comparison.best}. Not told apart from it: {', '.join(equal) or 'none'}.")
ComparisonDisplay.from_comparison(comparison).figure_.savefig("comparison.png", dpi=100)

# %%
# Rows that belong together
# -------------------------
# 60 digits, each recorded five times, slightly shifted and turned, as five photos of one object would be. If photos of
# one object are on both sides of a split, a model that remembers objects seems to know classes. ``groups`` keeps them
# on one side. The other 1,737 digits, all of them new objects, show who is right.

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
# Without groups every model looks nearly perfect, and the nearest neighbor as good as any. With groups the scores are
# close to those on new objects.

figure, axes = plt.subplots(1, 2, figsize=(12, 3.6), sharex=True, layout="constrained")
for ax, (title, comparison) in zip(axes, comparisons.items(), strict=True):
    ComparisonDisplay.from_comparison(comparison, ax=ax, name=f"{title} (star: new objects)")
    for row, result in enumerate(comparison.results):
        if result.name in truth:
            ax.plot(truth[result.name], row, "*", color="#009E73", markersize=13, zorder=3)
figure.savefig("groups.png", dpi=100)
print("\nThe figures are in comparison.png and groups.png")
