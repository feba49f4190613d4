"""
Diagnose a training
===================

A custom net is trained on a table whose columns have very different scales, at an arbitrary learning rate. ``diagnose``
trains copies of the net for some steps and reports problems; ``find_lr`` suggests a learning rate. ::

    python examples/plot_diagnose.py

It takes half a minute, without network or GPU, and writes a figure, ``learning_rate.png``.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktricks import LearningRateDisplay, NetClassifier, diagnose, find_lr


def module(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, n_outputs))


X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=200, stratify=y, random_state=0)
net = NetClassifier(module, lr=0.5, max_epochs=20, schedule="constant", random_state=0)
print(f"{100 * net.fit(X, y).score(X_test, y_test):.1f} %\n")
print(diagnose(net, X, y))

# %%
# Fix both findings: scale the columns, and take the learning rate from a range test on the scaled columns.

scale = StandardScaler().fit(X)
curve = find_lr(net, scale.transform(X), y)
mended = make_pipeline(scale, net.set_params(lr=curve.suggestion))
print(f"\n{curve}\n{100 * mended.fit(X, y).score(X_test, y_test):.1f} % with lr={curve.suggestion:.2g}")
print(diagnose(mended, X, y))

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LearningRateDisplay.from_curve(curve, ax=ax)
figure.savefig("learning_rate.png", dpi=120)
