"""
Debugging a net
===============

A net that does not learn raises no error. This is the search that finds out why, in the order in which it is quickest:
can it overfit one batch, do gradients reach every layer, what does ``diagnose`` say, and how do two trainings compare.
Two bugs are planted here, which a reader of the code may well overlook. ::

    python examples/plot_debugging.py

It takes some seconds, without network or GPU, and leaves two figures, ``gradients_by_layer.png`` and
``trainings.png``. With a folder, ``python examples/plot_debugging.py runs``, it also writes logs for TensorBoard,
which must be installed for that.
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
# The patient
# -----------
# Eight hidden layers and an output of probabilities. It learns nothing: one digit in ten is guessed.


def broken(n_features, n_outputs):
    steps: list[nn.Module] = [nn.Linear(n_features, 64), nn.Sigmoid()]
    for _ in range(7):
        steps += [nn.Linear(64, 64), nn.Sigmoid()]
    return nn.Sequential(*steps, nn.Linear(64, n_outputs), nn.Softmax(dim=1))


net = NetClassifier(broken, max_epochs=20, batch_size=32, callbacks=[GradientNorms()], random_state=0)
patient = clone(net).fit(X_train, y_train, X_val=X_test, y_val=y_test)
print(f"The net: {100 * patient.score(X_test, y_test):.1f} %, the loss went from {patient.loss_curve_[0]:.2f} to "
      f"{patient.loss_curve_[-1]:.2f}")  # fmt: skip

# %%
# Overfit one batch
# -----------------
# Any net with more parameters than pixels must be able to learn 16 images by heart: if it is not, more rows, epochs or
# regularization will not help, something is broken. The check takes a second. Leave out whatever acts against it, here
# the weight decay and the schedule.


def overfit_one_batch(net, n_rows=16, n_steps=200):
    """Return the loss and the accuracy in % after many steps on the same few rows."""
    only = clone(net).set_params(max_epochs=n_steps, batch_size=n_rows, weight_decay=0.0, schedule="constant")
    only.fit(X_train[:n_rows], y_train[:n_rows])
    return only.loss_curve_[-1], 100 * only.score(X_train[:n_rows], y_train[:n_rows])


print("After 200 steps on 16 rows the loss is {:.3f}, and {:.0f} % of them are right.".format(*overfit_one_batch(net)))

# %%
# Gradients by layer
# ------------------
# One backward pass before the training. Each sigmoid multiplies the gradient by a quarter at most, so that next to
# nothing is left of it at the first layer.


def gradients_by_layer(net):
    """Return the norm of the gradient of each layer's weights, relative to the weights, at the start."""
    start = clone(net).set_params(max_epochs=1, lr=1e-12).fit(X_train, y_train).net_.module_.train()  # as drawn
    loss = nn.functional.cross_entropy(start(torch.tensor(X_train, dtype=torch.float32)), torch.tensor(y_train))
    loss.backward()
    layers = [layer for layer in start.modules() if isinstance(layer, nn.Linear)]
    return [float(layer.weight.grad.norm() / layer.weight.detach().norm()) for layer in layers]


before = gradients_by_layer(net)
print(f"The gradient of the first layer is {before[0] / before[-1]:.0e} times that of the last.")

# %%
# Diagnose
# --------
# ``diagnose`` makes these tests and others on copies of the net, and names causes and cures. The first finding is the
# softmax: the loss takes logits, and has a softmax of its own. Not every finding needs a cure: the columns that it
# calls small are pixels at the margin, which hardly ever have ink.

print(f"\n{diagnose(net, X_train, y_train)}\n")

# %%
# Mend, and look again
# --------------------
# One change at a time, each checked. Without the softmax alone the gradients still vanish; ReLUs with He's weights let
# them through.


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
# Names of runs, and all that was recorded about each. The same goes into TensorBoard, one folder per run, by another
# callback; ``examples/log_to_tensorboard.py`` has more of it.


def loggers(run):
    """Return the callback that writes a run into the folder on the command line, if there is one."""
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
