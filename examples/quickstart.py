"""
Quickstart
==========

How far do a few labels go? Here are scikit-learn's digits, 8 x 8 pixels, with 1, 5, 10 and 20 labels of each class
and 500 other digits to test on. Classical models learn from the pixels alone. ``FineTuneClassifier`` brings along a
net that has seen photos and letters, but never a digit.

It takes about a minute, needs no network and no GPU, and ends with a figure, ``quickstart.png``::

    python examples/quickstart.py
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sktricks import (
    FineTuneClassifier,
    NetClassifier,
    PretrainedFeatures,
    RandomCrop,
    RandomRotation,
    make_augmentation_pipeline,
)

LABELS, SPLITS, SHAPE = (1, 5, 10, 20), (0, 1, 2), (8, 8)
X, y = load_digits(return_X_y=True)  # a row is an image: 64 columns

# %%
# The models
# ----------
# A net of one's own is a function that makes a torch module. From scratch it needs many passes over few rows.


def small_cnn(n_outputs):
    def block(n_in, n_out):
        return nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()

    body = *block(1, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 128), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(512, n_outputs))


pixels = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "SVC": SVC(C=10),
    "forest": RandomForestClassifier(300, random_state=0),
    "net, scratch": NetClassifier(small_cnn, image_shape=SHAPE, batch_size=16, max_epochs=30, random_state=0),
}

# %%
# The pretrained net stays frozen here, and a linear layer on top of it is trained: the best choice for few labels, and
# the default. Each image goes through the net once.

pretrained = FineTuneClassifier(image_shape=SHAPE, strategy="linear-probe", random_state=0)

# %%
# Augmentation: beside each image eight copies, turned a little and moved by up to a pixel. (A net that is trained as a
# whole, ``strategy="fine-tune"``, takes the augmenter itself, ``augmenter=...``, and sees new copies in every epoch.)

augmenter = make_augmentation_pipeline(RandomRotation(10), RandomCrop(padding=1), image_shape=SHAPE)


def with_copies(X, y, n_copies=8):
    copies = [augmenter.augment(X, random_state=k) for k in range(n_copies)]
    return np.concatenate([X, *copies]), np.tile(y, n_copies + 1)


# %%
# Last, a soft vote of the two. They are trained already, so they go in frozen: the vote asks them, no more.


def fit_all(X, y):
    fitted = {name: model.fit(X, y) for name, model in pixels.items()}
    fitted["pretrained"] = pretrained.fit(X, y)
    fitted["+ augmented"] = clone(pretrained).fit(*with_copies(X, y))
    members = [(name, FrozenEstimator(fitted[name])) for name in ("pretrained", "+ augmented")]
    return {**fitted, "vote": VotingClassifier(members, voting="soft").fit(X, y)}


# %%
# Who learns most from few labels?
# --------------------------------

print(f"Digits, accuracy in %: mean and spread over {len(SPLITS)} splits, 500 images to test on")
truth, predictions, accuracies = [], {}, {}
for n_labels in LABELS:
    for split in SPLITS:
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, train_size=10 * n_labels, test_size=500, stratify=y, random_state=split
        )
        truth.append(y_test)
        for name, model in fit_all(X_train, y_train).items():
            predictions.setdefault(name, []).append(model.predict(X_test))
            accuracy = 100 * np.mean(predictions[name][-1] == y_test)
            accuracies.setdefault(name, {}).setdefault(n_labels, []).append(accuracy)
    if n_labels == LABELS[0]:
        print("\nlabels" + "".join(f"{name:>14}" for name in accuracies))
    cells = [f"{np.mean(scores[n_labels]):.1f} ± {np.std(scores[n_labels]):4.1f}" for scores in accuracies.values()]
    print(f"{n_labels:6}" + "".join(f"{cell:>14}" for cell in cells), flush=True)

winner = max(accuracies, key=lambda name: np.mean(list(accuracies[name].values())))
print(f"\nBest over all rows: {winner}")

# %%
# Everyday use
# ------------
# Nothing new to learn: the nets go wherever an estimator goes. What the net sees in an image can be a step of a
# ``Pipeline``, in front of any model:

X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=100, test_size=500, stratify=y, random_state=0)
pipeline = make_pipeline(PretrainedFeatures(image_shape=SHAPE), StandardScaler(), LogisticRegression(max_iter=1000))
scores = 100 * cross_val_score(pipeline, X_train, y_train, cv=5)
print(
    f"\nPipeline of pretrained features and a logistic regression, 100 labels in all: {scores.mean():.1f} % in 5 folds"
)

# %%
# And every parameter can be searched: here, which stages of the net the head looks at, and how it is trained.

grid = {"stages": ["auto", ["stage3"], ["stage2", "stage3"]], "label_smoothing": [0.0, 0.1]}
search = GridSearchCV(pretrained, grid, cv=3).fit(X_train, y_train)
print(
    f"GridSearchCV over the frozen net: {100 * search.score(X_test, y_test):.1f} % on the test, {search.best_params_}"
)

# %%
# The figure
# ----------

COLOURS = ["#b0b0b0", "#8c8c8c", "#666666", "#e39a3b", "#3b75af", "#2a9d6f", "#b5446e"]
figure = plt.figure(figsize=(14, 4.9), layout="constrained")
samples, middle, right = figure.subfigures(1, 3, squeeze=False, width_ratios=[0.8, 1.25, 1])[0]

first = [np.flatnonzero(y == digit)[0] for digit in range(6)]
columns = [X[first], *(augmenter.augment(X[first], random_state=k) for k in range(4))]
samples.suptitle("A digit, and copies of it")
for row, axes in enumerate(samples.subplots(len(first), len(columns))):
    for ax, column in zip(axes, columns, strict=True):
        ax.imshow(column[row].reshape(SHAPE), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color("#b5446e" if column is columns[0] else "#dddddd")

ax = middle.subplots()
for number, ((name, scores), colour) in enumerate(zip(accuracies.items(), COLOURS, strict=True)):
    places = np.arange(len(LABELS)) + 0.05 * (number - 3)  # side by side, so that no error bar hides another
    means, spread = [np.mean(scores[n]) for n in LABELS], [np.std(scores[n]) for n in LABELS]
    ax.errorbar(places, means, spread, color=colour, marker="o", markersize=5, capsize=2, linewidth=1.6, label=name)
ax.set(xlabel="labels per class", ylabel="accuracy, %", title="Accuracy against labels", ylim=(None, 101))
ax.set_xticks(range(len(LABELS)), LABELS)
ax.grid(axis="y", alpha=0.3)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(loc="lower right", frameon=False)

at = slice(len(SPLITS), 2 * len(SPLITS))  # the rows of the table come one after the other, with three splits each
ax = right.subplots()
ConfusionMatrixDisplay.from_predictions(
    np.concatenate(truth[at]), np.concatenate(predictions[winner][at]), ax=ax, cmap="Blues", colorbar=False
)
for text in ax.texts:
    text.set(visible=text.get_text() != "0", fontsize=9)
ax.set(title=f"“{winner}” with {LABELS[1]} labels per class", xlabel="predicted", ylabel="true")

figure.savefig("quickstart.png", dpi=120)
print("\nThe figure is in quickstart.png")
