"""
Good practice in training, measured
===================================

Normalization between layers, initial weights, a learning-rate schedule, weight decay, dropout and gradient clipping
each solve a problem, and each is one argument of ``NetClassifier`` or one line of your module. This example measures
each of them on its problem, with and without it, for the same net, rows and three seeds. Then it measures all six
without a problem, where most of them change little. The situations were chosen before any result was known. ::

    python examples/plot_training_practice.py

It takes less than a minute, without network or GPU, and writes three figures: ``training_schedule.png`` and
``training_practice.png`` with curves, and ``training_gains.png`` with the gains.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sktricks import NetClassifier, TrainingDisplay

SEEDS = range(3)
X, y = load_digits(return_X_y=True)
X = X / 16

# %%
# A custom net
# ------------
# The net consists of linear layers and ReLUs. Its depth, width, normalization and dropout are parameters, which
# ``net_params`` sets as ``module__depth`` and so on.


def make_net(n_features, n_outputs, depth=10, width=64, normalize=False, dropout=0.0):
    steps: list[nn.Module] = []
    for n_inputs in [n_features, *[width] * (depth - 1)]:
        steps += [nn.Linear(n_inputs, width)]
        steps += [nn.BatchNorm1d(width)] if normalize else []
        steps += [nn.ReLU()]
        steps += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*steps, nn.Linear(width, n_outputs))


# %%
# Six situations
# --------------
# - **Initial weights, normalization.** Ten layers are trained by SGD. With torch's default initialization, activations
#   and gradients shrink from layer to layer, and nothing is learned. He initialization preserves their scale at the
#   start; BatchNorm restores it in every layer and step.
# - **Schedule.** The learning rate is ten times the default. Warm-up avoids large first steps, when gradients are
#   unreliable, and the decay at the end lets the net converge.
# - **Clipping.** SGD trains at a learning rate at which a single large gradient can move the weights far away. Clipping
#   limits such a step.
# - **Weight decay, dropout.** A wide net is trained on 200 rows with every fifth label wrong, and memorizes them. Both
#   practices make this harder.

deep_sgd: dict[str, Any] = {"optimizer": "sgd", "schedule": "constant", "lr": 0.05, "weight_decay": 0.0}
wide: dict[str, Any] = {"module__depth": 2, "module__width": 256}
he_sgd = {**deep_sgd, "init": "he", "lr": 0.1}
too_fast = {"init": "he", "lr": 0.02, "schedule": "constant", "weight_decay": 0.0}
memorizes = {"max_epochs": 60, "weight_decay": 0.0, "net_params": wide}

situations: dict[str, tuple[str, int, float, dict, dict]] = {
    # practice: (situation, rows, fraction of wrong labels, parameters without it, parameters that it changes)
    "initial weights": ("10 layers, SGD", 500, 0.0, deep_sgd, {"init": "he"}),
    "normalization": ("10 layers, SGD", 500, 0.0, deep_sgd, {"net_params": {"module__normalize": True}}),
    "schedule": ("10 layers, lr too high", 500, 0.0, too_fast, {"schedule": "warmup-cosine"}),
    "clipping": ("10 layers, SGD, lr too high", 500, 0.0, he_sgd, {"clip_norm": 1.0}),
    "weight decay": ("200 rows, wrong labels", 200, 0.2, memorizes, {"weight_decay": 1.0}),
    "dropout": ("200 rows, wrong labels", 200, 0.2, memorizes, {"net_params": {**wide, "module__dropout": 0.5}}),
}


def train(params, n_rows, wrong, seed, *, validate=False):
    """Return a trained net and its accuracy in % on 500 other rows with correct labels."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=n_rows, test_size=500, stratify=y, random_state=seed
    )
    rng = np.random.default_rng(seed)
    is_wrong = rng.random(n_rows) < wrong
    y_train = np.where(is_wrong, (y_train + rng.integers(1, 10, n_rows)) % 10, y_train)
    net = NetClassifier(make_net, batch_size=32, random_state=seed, **{"max_epochs": 30, **params})
    validation = {"X_val": X_test, "y_val": y_test} if validate else {}  # for the curves only
    try:
        net.fit(X_train, y_train, **validation)
    except ValueError as error:
        if "the training diverged" not in str(error):
            raise
        return None, 10.0  # the accuracy of guessing
    return net, 100 * net.score(X_test, y_test)


def measure(without, change, n_rows, wrong):
    """Return the nets of the first seed, and the accuracies without and with a practice, of shape (2, seeds)."""
    both = without, {**without, **change}
    runs = [[train(params, n_rows, wrong, seed, validate=seed == SEEDS[0]) for seed in SEEDS] for params in both]
    nets = {name: run[0][0] for name, run in zip(("without", "with"), runs, strict=True) if run[0][0] is not None}
    return nets, np.array([[score for _, score in run] for run in runs])


def with_error(values):
    """Return a mean and its standard error as text."""
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


gains, trained = {}, {}
print(f"Accuracy in % on 500 digits; the gain is the mean of {len(SEEDS)} paired differences and its standard error\n")
print(f"{'practice':17}{'where it belongs':29}{'without':>8}{'with':>8}{'gain':>15}")
for practice, (title, n_rows, wrong, without, change) in situations.items():
    trained[practice], scores = measure(without, change, n_rows, wrong)
    gains[practice] = scores[1] - scores[0]
    means = scores.mean(axis=1)
    print(f"{practice:17}{title:29}{means[0]:8.1f}{means[1]:8.1f}{with_error(gains[practice]):>15}", flush=True)

# %%
# The curves
# ----------
# ``TrainingDisplay.from_estimators`` draws everything that was recorded for several nets, here for the nets without and
# with a schedule.

TrainingDisplay.from_estimators(trained["schedule"]).figure_.savefig("training_schedule.png", dpi=100)

# %%
# The second figure shows the training loss and the accuracy on other rows for all six practices, for one seed.

figure = plt.figure(figsize=(13, 9), layout="constrained")
for part, (practice, nets) in zip(figure.subfigures(3, 2).ravel(), trained.items(), strict=True):
    losses = {name: net.loss_curve_ for name, net in nets.items()}
    scores = {name: net.validation_scores_ for name, net in nets.items()}
    display = TrainingDisplay(losses=losses, scores=scores, score_name="accuracy")
    display.plot(list(part.subplots(1, 2)), title=f"{practice}: {situations[practice][0]}")
    part.supxlabel("epoch", fontsize="medium")
figure.savefig("training_practice.png", dpi=80)

# %%
# Where nothing is wrong
# ----------------------
# A net of two layers is trained on 500 rows with correct labels by AdamW at its default learning rate. Normalization
# and He initialization still gain one or two points, since the net learns faster and has only 20 epochs. The schedule
# and dropout gain less than a point, clipping even less, and the strong weight decay costs a little.

easy = {"schedule": "constant", "weight_decay": 0.0, "max_epochs": 20, "net_params": wide}
changes = {practice: situation[-1] for practice, situation in situations.items()}
changes["normalization"] = {"net_params": {**wide, "module__normalize": True}}
base = np.array([train(easy, 500, 0.0, seed)[1] for seed in SEEDS])
gains_if_easy = {}
print(f"\nWhere nothing is wrong, {base.mean():.1f} % without any of them:")
for practice, change in changes.items():
    scores = np.array([train({**easy, **change}, 500, 0.0, seed)[1] for seed in SEEDS])
    gains_if_easy[practice] = scores - base
    print(f"{practice:54}{scores.mean():8.1f}{with_error(gains_if_easy[practice]):>15}", flush=True)

# %%
# The gains
# ---------

figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, found, title in zip(
    axes, (gains, gains_if_easy), ("where the practice belongs", "where nothing is wrong"), strict=True
):
    for row, values in enumerate(found.values()):
        ax.plot(values, [row] * len(values), "o", color="#56B4E9", label="one seed" if row == 0 else None)
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        ax.errorbar(np.mean(values), row + 0.25, xerr=error, fmt="D", color="#D55E00", capsize=4,
                    label="mean and standard error" if row == 0 else None)  # fmt: skip
    ax.axvline(0, color="0.5", linewidth=1)
    ax.set(title=title, xlabel="gain in accuracy, points")
    ax.grid(axis="x", alpha=0.3)
axes[0].set_yticks(range(len(gains)), gains)
axes[0].set_ylim(len(gains) - 0.4, -0.5)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
figure.savefig("training_gains.png", dpi=100)
print("\nThe figures are in training_schedule.png, training_practice.png and training_gains.png")
