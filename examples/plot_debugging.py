"""
Debugging a net
===============

A net that does not learn raises no error. This example searches for the cause, with the quickest checks first: can the
net overfit one batch, do gradients reach every layer, what does ``diagnose`` report, and how do two trainings compare?
The net has two planted bugs that are easy to overlook. ::

    python examples/plot_debugging.py

It takes some seconds, without network or GPU, and writes two figures, ``gradients_by_layer.png`` and
``trainings.png``. With a folder, ``python examples/plot_debugging.py runs``, it also writes logs for TensorBoard,
which must be installed.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sktricks import GradientNorms, NetClassifier, TrainingDisplay, diagnose

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=500, test_size=500, stratify=y, random_state=0
)

# %%
# The broken net
# --------------
# The net has eight hidden layers and outputs probabilities. It learns nothing: its accuracy is that of guessing.


def broken(n_features, n_outputs):
    steps: list[nn.Module] = [nn.Linear(n_features, 64), nn.Sigmoid()]
    for _ in range(7):
        steps += [nn.Linear(64, 64), nn.Sigmoid()]
    return nn.Sequential(*steps, nn.Linear(64, n_outputs), nn.Softmax(dim=1))


net = NetClassifier(broken, max_epochs=20, batch_size=32, callbacks=[GradientNorms()], random_state=0)
fitted = clone(net).fit(X_train, y_train, X_val=X_test, y_val=y_test)
print(f"The net: {100 * fitted.score(X_test, y_test):.1f} %, the loss went from {fitted.loss_curve_[0]:.2f} to "
      f"{fitted.loss_curve_[-1]:.2f}")  # fmt: skip

# %%
# Overfit one batch
# -----------------
# Any net with more parameters than pixels must be able to overfit 16 images. If it cannot, something is broken, and
# more rows, epochs or regularization will not help. The check takes a second. Disable whatever prevents overfitting,
# here the weight decay, and use a constant learning rate.


def overfit_one_batch(net, n_rows=16, n_steps=200):
    """Return the loss and the accuracy in % after many steps on the same few rows."""
    only = clone(net).set_params(max_epochs=n_steps, batch_size=n_rows, weight_decay=0.0, schedule="constant")
    only.fit(X_train[:n_rows], y_train[:n_rows])
    return only.loss_curve_[-1], 100 * only.score(X_train[:n_rows], y_train[:n_rows])


print("After 200 steps on 16 rows the loss is {:.3f}, and {:.0f} % of them are right.".format(*overfit_one_batch(net)))

# %%
# Gradients by layer
# ------------------
# Run one backward pass before the training. Each sigmoid multiplies the gradient by at most 1/4, so the gradient of the
# first layer vanishes.


def gradients_by_layer(net):
    """Return the norm of the gradient of each layer's weights, relative to the weights, at the start."""
    start = clone(net).set_params(max_epochs=1, lr=1e-12).fit(X_train, y_train).net_.module_.train()  # initial weights
    loss = nn.functional.cross_entropy(start(torch.tensor(X_train, dtype=torch.float32)), torch.tensor(y_train))
    loss.backward()
    layers = [layer for layer in start.modules() if isinstance(layer, nn.Linear)]
    return [float(layer.weight.grad.norm() / layer.weight.detach().norm()) for layer in layers]


before = gradients_by_layer(net)
print(f"The gradient of the first layer is {before[0] / before[-1]:.0e} times that of the last.")

# %%
# Diagnose
# --------
# ``diagnose`` runs these checks and others on copies of the net, and reports causes and cures. The first finding is the
# softmax: the loss expects logits and applies a softmax itself. Not every finding needs a cure: the columns that it
# reports as small are pixels at the border, which rarely have ink.

print(f"\n{diagnose(net, X_train, y_train)}\n")

# %%
# Fix and check again
# -------------------
# Make one change at a time and check each. Without the softmax the gradients still vanish; ReLUs with He initialization
# preserve them.


def without_softmax(n_features, n_outputs):
    return broken(n_features, n_outputs)[:-1]


def mended(n_features, n_outputs):
    return nn.Sequential(*[nn.ReLU() if isinstance(step, nn.Sigmoid) else step for step in without_softmax(
        n_features, n_outputs)])  # fmt: skip


nets = {
    "broken": net,
    "no softmax": clone(net).set_params(module=without_softmax),
    "no softmax, ReLU": clone(net).set_params(module=mended, init="he"),
}
for name, one in nets.items():
    loss, right = overfit_one_batch(one)
    print(f"{name:20}one batch: loss {loss:.3f}, {right:.0f} % right")

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, one), marker in zip(nets.items(), "osD", strict=True):
    found = gradients_by_layer(one)
    ax.plot(range(1, len(found) + 1), found, marker=marker, label=name)
ax.set(yscale="log", xlabel="layer", ylabel="gradient / weights (norms)")
ax.set_title("Before the first step")
ax.legend()
figure.savefig("gradients_by_layer.png", dpi=100)

# %%
# Compare two trainings
# ---------------------
# ``TrainingDisplay`` draws everything that was recorded for each run. Another callback writes the same to TensorBoard,
# with one folder per run; see ``examples/log_to_tensorboard.py``.


def loggers(run):
    """Return a callback that logs a run to the folder from the command line, or nothing without a folder."""
    if len(sys.argv) < 2:
        return []
    from skorch.callbacks import TensorBoard
    from torch.utils.tensorboard import SummaryWriter

    return [TensorBoard(SummaryWriter(Path(sys.argv[1]) / run))]


trained = {}
for name, one in nets.items():
    trained[name] = clone(one).set_params(callbacks=[GradientNorms(), *loggers(name)])
    trained[name].fit(X_train, y_train, X_val=X_test, y_val=y_test)
    print(f"{name:20}{100 * trained[name].score(X_test, y_test):.1f} % of 500 other digits")
TrainingDisplay.from_estimators(trained).figure_.savefig("trainings.png", dpi=100)
print("\nThe figures are in gradients_by_layer.png and trainings.png")
