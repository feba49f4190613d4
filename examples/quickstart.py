"""
Quickstart
==========

This example measures three tricks: a pretrained net, augmentation, and an ensemble. Each is compared with the plain
alternative on the same rows, for ten random splits: in one situation where it helps, and in one where it helps little
or does harm. The first two are trained on scikit-learn's digits of 8 x 8 pixels, with ten labels per class, and tested
on 1,000 other digits.

It takes about a minute, without network or GPU, and writes a figure, ``quickstart.png``::

    python examples/quickstart.py
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_friedman1
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sktricks import (
    FineTuneClassifier,
    NetClassifier,
    NetRegressor,
    PretrainedFeatures,
    RandomRotation,
    VotingClassifier,
    VotingRegressor,
)

SEEDS, SHAPE = range(10), (8, 8)
X, y = load_digits(return_X_y=True)  # a row is an image: 64 columns

# %%
# Transfer
# --------
# ``FineTuneClassifier`` comes with a small net that was pretrained on photos and letters, but not on digits. Here the
# net stays frozen, and a linear layer on top of it is trained, which is the default for few labels. Each image passes
# through the net only once.


def pretrained(seed):
    return FineTuneClassifier(image_shape=SHAPE, strategy="linear-probe", random_state=seed)


# %%
# Augmentation
# ------------
# Augmentation adds variation that a few training images lack. Here all training images are upright, and the test images
# are rotated by up to 20 degrees, as in photos of a form. Augmentation rotates the training images by new random angles
# in each epoch. The net is a custom one, given as a function that returns a torch module, and is trained from scratch.

augmenter = RandomRotation(20, image_shape=SHAPE)


def small_cnn(n_outputs):
    def block(n_in, n_out):
        return nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()

    body = *block(1, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 128), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(512, n_outputs))


def own_net(seed, augmenter=None):
    settings = {"image_shape": SHAPE, "batch_size": 16, "max_epochs": 30}
    return NetClassifier(small_cnn, augmenter=augmenter, random_state=seed, **settings)


def learn_digits(seed):
    """Return the accuracy in % of each model, trained on one split."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=100, test_size=1000, stratify=y, random_state=seed
    )
    models = {
        "SVC": SVC(C=10),
        "pretrained": pretrained(seed),
        "own net": own_net(seed),
        "own net, augmented": own_net(seed, augmenter),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "trees": ExtraTreesClassifier(100, random_state=seed),
    }
    fitted = {name: model.fit(X_train, y_train) for name, model in models.items()}
    members = [(name, fitted[name]) for name in ("pretrained", "logistic", "trees")]
    fitted["vote"] = VotingClassifier(members, voting="soft", prefit=True).fit(X_train, y_train)  # fitted above
    scores = {name: 100 * model.score(X_test, y_test) for name, model in fitted.items()}
    X_turned = augmenter.augment(X_test, random_state=1000 + seed)
    for name in ("own net", "own net, augmented"):
        scores[f"{name}, turned"] = 100 * fitted[name].score(X_turned, y_test)

    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=1000, stratify=y, random_state=seed)
    for name in ("SVC", "pretrained"):
        scores[f"{name}, 1,000 labels"] = 100 * models[name].fit(X_train, y_train).score(X_test, y_test)
    return scores


# %%
# Ensemble
# --------
# An ensemble predicts the mean of several predictions. It helps if its members are about equally good and err on
# different rows, such as a net and boosted trees on 200 noisy rows of a smooth function of ten columns (Friedman 1991).
# It does harm if some members are much worse than the best one, such as the two models of pixels beside the pretrained
# net above.


def learn_function(seed):
    """Return 100 times the coefficient of determination of each model, trained on one split."""
    rows = make_friedman1(1200, noise=1.0, random_state=seed)
    X_train, X_test, y_train, y_test = train_test_split(*rows, train_size=200, random_state=seed)
    members = [
        ("boosting", GradientBoostingRegressor(random_state=seed)),
        ("net", NetRegressor(max_epochs=30, random_state=seed)),
    ]
    models = {**dict(members), "mean of both": VotingRegressor(members)}
    return {name: 100 * model.fit(X_train, y_train).score(X_test, y_test) for name, model in models.items()}


# %%
# Ten splits
# ----------

print(f"Digits, 100 labels in all, {len(SEEDS)} splits", flush=True)
found = []
for seed in SEEDS:
    found.append(learn_digits(seed) | learn_function(seed))
    told = ", ".join(f"{name} {found[-1][name]:.1f} %" for name in ("SVC", "pretrained", "own net"))
    print(f"  split {len(found):2}: {told}", flush=True)
scores = {name: np.array([one[name] for one in found]) for name in found[0]}

# %%
# The gain of each trick
# ----------------------
# The gain is the mean of the differences on the same rows, with its standard error. The mean of two models has to beat
# the better one of them.

better = max("boosting", "net", key=lambda name: scores[name].mean())
comparisons = {
    "transfer, 100 labels": ("SVC", "pretrained"),
    "transfer, 1,000 labels": ("SVC, 1,000 labels", "pretrained, 1,000 labels"),
    "augmentation, turned images": ("own net, turned", "own net, augmented, turned"),
    "augmentation, upright images": ("own net", "own net, augmented"),
    "ensemble of equals (R² in %)": (better, "mean of both"),
    "ensemble with weak members": ("pretrained", "vote"),
}
gains = {title: scores[name] - scores[plain] for title, (plain, name) in comparisons.items()}


def with_error(values, sign=""):
    return f"{values.mean():{sign}.1f} ± {values.std(ddof=1) / np.sqrt(len(values)):.1f}"


print(f"\n{'accuracy in %, mean ± standard error':38}{'plain':>13}{'with it':>13}{'gain':>13}")
for title, (plain, name) in comparisons.items():
    cells = with_error(scores[plain]), with_error(scores[name]), with_error(gains[title], "+")
    print(f"{title:38}" + "".join(f"{cell:>13}" for cell in cells))

# %%
# None of the three helps everywhere. With 1,000 labels an SVC on pixels is nearly as good as the pretrained net. If all
# test images are upright, rotated copies do not help. Nor did rotated and shifted copies help when the pretrained net
# was fine-tuned on these 100 digits (0.0 ± 0.3 points). Weak members make a vote worse.

# %%
# Everyday use
# ------------
# The nets work wherever an estimator works. Pretrained features can be a step of a ``Pipeline``, before any model:

X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=100, test_size=1000, stratify=y, random_state=0)
pipeline = make_pipeline(PretrainedFeatures(image_shape=SHAPE), StandardScaler(), LogisticRegression(max_iter=1000))
accuracy = 100 * cross_val_score(pipeline, X_train, y_train, cv=5)
print(f"\nPipeline of pretrained features and a logistic regression, 100 labels: {accuracy.mean():.1f} % in 5 folds")

# %%
# Every parameter can be searched, here the stages of the net whose features the head receives, and label smoothing.

grid = {"stages": ["auto", ["stage3"], ["stage2", "stage3"]], "label_smoothing": [0.0, 0.1]}
search = GridSearchCV(pretrained(0), grid, cv=3).fit(X_train, y_train)
print(
    f"GridSearchCV over the frozen net: {100 * search.score(X_test, y_test):.1f} % on the test, {search.best_params_}"
)

# %%
# The figure
# ----------

figure = plt.figure(figsize=(12, 4), layout="constrained")
samples, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[0.5, 1])[0]

first = [np.flatnonzero(y == digit)[0] for digit in range(5)]
columns = [X[first], *(augmenter.augment(X[first], random_state=k) for k in range(4))]
samples.suptitle("Digits (framed), and augmented copies")
for row, axes in enumerate(samples.subplots(len(first), len(columns))):
    for ax, column in zip(axes, columns, strict=True):
        ax.imshow(column[row].reshape(SHAPE), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color="#D55E00" if column is columns[0] else "0.7", linewidth=2 if column is columns[0] else 1)

ax = right.subplots()
for row, values in enumerate(gains.values()):
    ax.plot(values, [row - 0.15] * len(values), "o", color="#56B4E9", alpha=0.7)
    error = values.std(ddof=1) / np.sqrt(len(values))
    ax.errorbar(values.mean(), row + 0.15, xerr=error, fmt="D", color="#D55E00", capsize=4)
ax.axvline(0, color="0.5", linewidth=1)
ax.set_yticks(range(len(gains)), gains)
ax.set_ylim(len(gains) - 0.5, -0.5)
ax.set(title="Gain: each split, mean and standard error", xlabel="points")
ax.grid(axis="x", alpha=0.3)

figure.savefig("quickstart.png", dpi=120)
print("\nThe figure is in quickstart.png")
