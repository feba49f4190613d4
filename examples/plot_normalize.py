"""
Normalize
=========

In a net without normalization, a column of thousands dominates a column of tenths. This example classifies wines by
13 measurements, from 0.1 (flavonoids) to 1,700 (proline), with a plain net, with the same net after a
``StandardScaler``, and with the default module of ``NetClassifier``, which standardizes its inputs.

The inputs of hidden layers need suitable scales, too: the second half compares initial weights. ::

    python examples/plot_normalize.py

It takes half a minute, without network or GPU, and writes a figure, ``normalize.png``.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktricks import NetClassifier

X, y = load_wine(return_X_y=True)
folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
settings: dict[str, Any] = {"max_epochs": 60, "batch_size": 32, "random_state": 0}


def losses_and_scores(model):
    """Return the loss curve and the accuracy in % on held-out rows, for each of five folds."""
    fitted = [clone(model).fit(X[train], y[train]) for train, _ in folds]
    scores = [100 * model.score(X[test], y[test]) for model, (_, test) in zip(fitted, folds, strict=True)]
    return [model[-1].loss_curve_ for model in fitted], scores


def spread(scores):
    return "diverged" if np.isnan(scores).any() else f"{np.mean(scores):.1f} ± {np.std(scores):.1f}"


# %%
# Columns
# -------


def plain(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, n_outputs))


net = NetClassifier(plain, **settings)
models = {
    "columns as they are": make_pipeline(net),
    "columns standardized": make_pipeline(StandardScaler(), net),
    "the default module": make_pipeline(NetClassifier(**settings)),
}
by_columns = {name: losses_and_scores(model) for name, model in models.items()}
print(f"{'':24}{'loss':>6}{'accuracy in %':>16}")
for name, (losses, scores) in by_columns.items():
    print(f"{name:24}{np.mean(losses, axis=0)[-1]:6.3f}{spread(scores):>16}")

# %%
# Weights
# -------
# The net has ten layers. Its initial weights are those of He et al. (2015) times a factor. With factor 1, activations
# and gradients keep their scale from layer to layer; with other factors they vanish or explode. SGD then learns
# nothing, or diverges, which ``fit`` reports as an error. AdamW is less sensitive, since the length of its steps does
# not depend on the scale of the gradient: it works well with the small weights, which grow during the training.


def deep(n_features, n_outputs, scale=1.0):
    sizes = [n_features, *[64] * 10, n_outputs]
    layers = [nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=scale * np.sqrt(2 / layer.in_features))
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*[step for layer in layers for step in (layer, nn.ReLU())][:-1])


def scores_or_nan(model):
    """Return the accuracies of the five folds, or NaN if a training diverges."""
    try:
        return losses_and_scores(model)[1]
    except ValueError as error:
        if "the training diverged" not in str(error):
            raise
        return [np.nan] * len(folds)


scales = {"a third of He": 1 / 3, "He": 1.0, "three times He": 3.0}
optimizers = {"sgd": 0.02, "adamw": 2e-3}  # and their learning rates
by_weights = {}
print(f"\n{'accuracy in %, weights':24}" + "".join(f"{optimizer:>14}" for optimizer in optimizers))
for name, scale in scales.items():
    net = NetClassifier(deep, net_params={"module__scale": scale}, **settings)
    for optimizer, lr in optimizers.items():
        model = make_pipeline(StandardScaler(), clone(net).set_params(optimizer=optimizer, lr=lr))
        by_weights[name, optimizer] = scores_or_nan(model)
    cells = [spread(by_weights[name, optimizer]) for optimizer in optimizers]
    print(f"{name:24}" + "".join(f"{cell:>14}" for cell in cells))


def sizes_by_layer(scale):
    """Return the root mean square of the outputs of each of the ten layers before the training."""
    torch.manual_seed(0)
    x, sizes = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32), []
    for step in deep(X.shape[1], 3, scale)[:-1]:
        x = step(x).detach()
        if isinstance(step, nn.ReLU):
            sizes.append(x.square().mean().sqrt().item())
    return sizes


# %%
# The figure
# ----------

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
styles = "-", "--", ":"  # lines differ in print without color, too
for style, (name, (losses, scores)) in zip(styles, by_columns.items(), strict=True):
    left.plot(range(1, 61), np.mean(losses, axis=0), style, label=f"{name}: {np.mean(scores):.0f} %")
left.set(title="Raw and standardized columns", xlabel="epoch", ylabel="training loss", yscale="log")
left.legend(title="accuracy on held-out rows")

for marker, (name, scale) in zip("osD", scales.items(), strict=True):
    middle.plot(range(1, 11), sizes_by_layer(scale), marker=marker, label=name)
middle.set(title="Ten layers before the training", xlabel="layer", yscale="log")
middle.set(ylabel="root mean square of its outputs")
middle.legend(title="weights")

for number, optimizer in enumerate(optimizers):
    scores = [by_weights[name, optimizer] for name in scales]
    places = np.arange(len(scales)) + 0.4 * (number - 0.5)
    hatch = "//" if optimizer == "adamw" else None
    style = {"hatch": hatch, "edgecolor": "0.3", "ecolor": "0.5", "label": optimizer}
    right.bar(places, np.mean(scores, axis=1), 0.36, yerr=np.std(scores, axis=1), **style)
    for place in places[np.isnan(scores).any(axis=1)]:
        right.text(place, 3, "diverged", rotation="vertical", ha="center", va="bottom")
right.axhline(100 * np.bincount(y).max() / len(y), color="0.5", linestyle="--", label="the largest class")
right.set(title="Ten layers after the training", xlabel="weights", ylabel="accuracy on held-out rows, %", ylim=(0, 130))
right.set_xticks(range(len(scales)), scales)
right.set_yticks(range(0, 101, 20))
right.legend(ncols=3, loc="upper center")
figure.savefig("normalize.png", dpi=120)
print("\nThe figure is in normalize.png")
