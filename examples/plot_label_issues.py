"""
Wrong labels and duplicates
===========================

Labels are made by people, and some are wrong. This example plants wrong labels in scikit-learn's digits, so their
positions are known. ``find_label_issues`` searches for them, ``LabelIssuesDisplay`` shows them, and clean test images
show what a correction gains. The second half plants copies of training images in the test set, which make a model look
better than it is; ``find_duplicates`` finds them. ::

    python examples/plot_label_issues.py

It takes some seconds, without network or GPU, and writes three figures, ``label_issues.png``,
``corrected_labels.png`` and ``duplicates.png``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import FineTuneClassifier, LabelIssuesDisplay, find_duplicates, find_label_issues, show_images

SEEDS = range(3)
SHAPE = (8, 8)
X, y = load_digits(return_X_y=True)

# %%
# Plant wrong labels
# ------------------
# One in ten of 1,000 training digits gets a random wrong label. The other 797 digits are the test set and keep their
# labels, because an improvement that is measured with wrong labels means little.


def plant(labels, fraction, seed):
    """Return labels of which a fraction is replaced by other classes, and the mask of the replaced ones."""
    rng = np.random.default_rng(seed)
    is_wrong = np.zeros(len(labels), bool)
    is_wrong[rng.choice(len(labels), int(fraction * len(labels)), replace=False)] = True
    others = (labels + rng.integers(1, 10, len(labels))) % 10
    return np.where(is_wrong, others, labels), is_wrong


X_train, X_test, y_true, y_test = train_test_split(X, y, train_size=1000, stratify=y, random_state=0)
y_given, is_wrong = plant(y_true, 0.1, seed=0)

# %%
# Find them
# ---------
# The issues are found by cross-validation: each of five copies of the classifier judges the fifth of the rows that it
# was not trained on. Use the best classifier you have, since its own errors are reported as issues, too. Two are
# compared here: a pretrained net with a linear head, and a logistic regression on the pixels.

judge = FineTuneClassifier(image_shape=SHAPE, strategy="linear-probe", random_state=0)
logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
issues = find_label_issues(judge, X_train, y_given)
print(issues[issues.is_label_issue].sort_values("label_quality").head(), "\n")


def describe(issues, is_wrong):
    """Return as text the recall and the precision of the findings."""
    found = issues.is_label_issue.to_numpy()
    return f"finds {np.mean(found[is_wrong]):.0%} of them; {np.mean(is_wrong[found]):.0%} of its findings are right"


print(f"{is_wrong.sum()} labels are wrong.")
print(f"The pretrained net {describe(issues, is_wrong)}.")
print(f"The logistic regression {describe(find_label_issues(logistic, X_train, y_given), is_wrong)}.")

# %%
# Look at the images before you change a label. The most suspicious rows come first.

LabelIssuesDisplay.from_issues(X_train, issues, image_shape=SHAPE).figure_.savefig("label_issues.png", dpi=100)

# %%
# Correct them
# ------------
# In practice, look at each finding and decide. This example replaces the label of each finding by the predicted label,
# or leaves these rows out. Three models are trained on each version of the labels, for three splits. The last column
# has the true labels: an upper limit for any correction.

models = {
    "logistic": logistic,
    "SVC": SVC(C=10),
    "pretrained net": judge,
}
versions = ["wrong", "left out", "corrected", "true"]
scores = {name: {version: [] for version in versions} for name in models}
for seed in SEEDS:
    X_train, X_test, y_true, y_test = train_test_split(X, y, train_size=1000, stratify=y, random_state=seed)
    y_given, is_wrong = plant(y_true, 0.1, seed)
    issues = find_label_issues(judge, X_train, y_given)
    found = issues.is_label_issue.to_numpy()
    training = {
        "wrong": (X_train, y_given),
        "left out": (X_train[~found], y_given[~found]),
        "corrected": (X_train, np.where(found, issues.predicted_label, y_given)),
        "true": (X_train, y_true),
    }
    for name, model in models.items():
        for version, (rows, labels) in training.items():
            scores[name][version].append(100 * clone(model).fit(rows, labels).score(X_test, y_test))

print(f"\nAccuracy in % on clean test images, mean and standard deviation of {len(SEEDS)} splits")
print(f"{'labels to learn from':22}" + "".join(f"{version:>14}" for version in versions))
for name, by_version in scores.items():
    cells = [f"{np.mean(by_version[version]):.1f} ± {np.std(by_version[version], ddof=1):.1f}" for version in versions]
    print(f"{name:22}" + "".join(f"{cell:>14}" for cell in cells))

# %%
# Both correcting the labels and leaving the rows out improve every model by about the same amount. Neither repairs the
# errors that were not found. A poor classifier does not help: fewer findings of the logistic regression are right, and
# correcting the others would damage good labels.

COLORS = ["#D55E00", "#E69F00", "#56B4E9", "0.5"]  # safe for color-blind readers, on white and on black
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for number, version in enumerate(versions):
    means = [np.mean(by_version[version]) for by_version in scores.values()]
    spread = [np.std(by_version[version], ddof=1) for by_version in scores.values()]
    places = np.arange(len(models)) + 0.15 * (number - 1.5)
    ax.errorbar(places, means, spread, fmt="osD^"[number], capsize=3, color=COLORS[number], label=version)
ax.set_xticks(range(len(models)), models)
ax.set(ylabel="accuracy on clean images, %", title="One label in ten was wrong")
ax.grid(axis="y", alpha=0.3)
figure.legend(loc="outside lower center", ncols=4, frameon=False, title="labels to learn from")
figure.savefig("corrected_labels.png", dpi=100)

# %%
# Find copies
# -----------
# 100 training images are added to the test set with their labels, a tenth of which are wrong. A model that memorizes
# rows, such as the nearest neighbor, predicts all of these labels. ``find_duplicates`` receives the split of each row
# and reports the leaks.

leaked = np.random.default_rng(0).choice(len(X_train), 100, replace=False)
X_leaky = np.concatenate([X_test[:400], X_train[leaked]])
y_leaky = np.concatenate([y_test[:400], y_given[leaked]])
split = np.repeat(["train", "test"], [len(X_train), len(X_leaky)])
X_both = np.concatenate([X_train, X_leaky])
copies = find_duplicates(X_both, split=split, image_shape=SHAPE)
print(f"\n{copies}")

is_clean = ~np.asarray(copies.leaks)[split == "test"]
neighbor = KNeighborsClassifier(1).fit(X_train, y_given)
print("Accuracy of the nearest neighbor")
for title, rows in {"with the copies in the test set": slice(None), "without them": is_clean}.items():
    print(f"  {title:34}{100 * neighbor.score(X_leaky[rows], y_leaky[rows]):.1f} %")

# %%
# Some pairs are "re-encoded": similar, but not equal. Such pairs of photos are copies that were resized or saved again
# as JPEG. Such pairs of digits of 8 x 8 pixels are two drawings that look alike, as the figure shows.

similar = copies.pairs[copies.kinds == "re-encoded"][:6]
exact = copies.pairs[copies.kinds == "exact"][: 8 - len(similar)]
first, second = np.concatenate([similar, exact]).T
names = np.repeat(["first", "second"], len(first))
figure = show_images(X_both[np.concatenate([first, second])], names, n_per_class=8, image_shape=SHAPE)
figure.savefig("duplicates.png", dpi=100)
