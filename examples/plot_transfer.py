"""
Transfer
========

Pretrained weights help most if there are few labels. This example compares four models on digits, with 5, 10 and 20
labels per class:

- an SVC on the pixels;
- a convolutional net that is trained from scratch;
- a linear probe on the bundled net, tiny32, with random weights, which shows the effect of its architecture;
- a linear probe on tiny32 with its pretrained weights, which were learned from photos and letters, without digits. ::

    python examples/plot_transfer.py

It takes half a minute, without network or GPU, and writes a figure, ``transfer.png``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, PretrainedFeatures

LABELS, SEEDS, SHAPE = (5, 10, 20), range(5), (8, 8)
X, y = load_digits(return_X_y=True)


def small_cnn(n_outputs):
    def block(n_in, n_out):
        return nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()

    body = *block(1, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 128), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(512, n_outputs))


def models(seed):
    common = {"image_shape": SHAPE, "random_state": seed}
    frozen = {"strategy": "linear-probe", **common}
    return {
        "SVC": SVC(C=10),
        "net from scratch": NetClassifier(
            small_cnn, image_shape=SHAPE, batch_size=16, max_epochs=30, random_state=seed
        ),
        "tiny32, random": FineTuneClassifier("untrained:tiny32", **frozen),
        "tiny32, pretrained": FineTuneClassifier("tiny32", **frozen),
    }


# %%
# Each seed draws other training images, which are the same for all models.

scores = {}
for n_labels in LABELS:
    for seed in SEEDS:
        split = train_test_split(X, y, train_size=10 * n_labels, test_size=500, stratify=y, random_state=seed)
        X_train, X_test, y_train, y_test = split
        for name, model in models(seed).items():
            score = 100 * model.fit(X_train, y_train).score(X_test, y_test)
            scores.setdefault(name, {}).setdefault(n_labels, []).append(score)

print(f"accuracy in %, mean ± standard deviation of {len(SEEDS)} draws")
print(f"{'labels per class':20}" + "".join(f"{n_labels:14}" for n_labels in LABELS))
for name, found in scores.items():
    cells = [f"{np.mean(found[n_labels]):.1f} ± {np.std(found[n_labels]):.1f}" for n_labels in LABELS]
    print(f"{name:20}" + "".join(f"{cell:>14}" for cell in cells))
ahead = [np.mean(np.subtract(scores["tiny32, pretrained"][n], scores["net from scratch"][n])) for n in LABELS]
print(f"gain of pretrained over from scratch: {', '.join(f'{points:+.1f}' for points in ahead)} points")

# %%
# The figure
# ----------
# The right panels show why: they project 600 images on the first two principal components of their pixels, and of the
# features of the net. Neither projection uses labels.

features = PretrainedFeatures(image_shape=SHAPE).fit_transform(X[:600])
figure, (left, *maps) = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
for number, (name, found) in enumerate(scores.items()):
    places = np.arange(len(LABELS)) + 0.06 * (number - 1.5)  # side by side, so that error bars do not overlap
    means, spread = np.mean(list(found.values()), axis=1), np.std(list(found.values()), axis=1)
    left.errorbar(
        places, means, spread, marker="os^D"[number], linestyle=["-", "--", ":", "-."][number], capsize=2, label=name
    )
left.set(title="Accuracy, mean and standard deviation", xlabel="labels per class", ylabel="accuracy, %")
left.set_xticks(range(len(LABELS)), LABELS)
left.grid(axis="y", alpha=0.3)
left.legend()
for ax, title, columns in zip(maps, ("Pixels", "Features of tiny32"), (X[:600], features), strict=True):
    places = make_pipeline(StandardScaler(), PCA(2)).fit_transform(columns)
    for digit in range(10):
        ax.scatter(*places[y[:600] == digit].T, s=60, marker=f"${digit}$", color=plt.cm.tab10(digit), linewidth=0.3)
    ax.set(title=title, xticks=[], yticks=[], xlabel="first component", ylabel="second component")
figure.savefig("transfer.png", dpi=120)
print("\nThe figure is in transfer.png")
