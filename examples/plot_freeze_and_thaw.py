"""
Freeze and thaw
===============

Choose which layers of a pretrained net are trained, and when. Three ways are compared on the same 200 images of digits:
train all layers at once, train the head first and then thaw stage by stage from the top (``strategy="gradual"``), or
keep all layers below ``stage3`` frozen. ::

    python examples/plot_freeze_and_thaw.py

It takes half a minute, without network or GPU, and writes a figure, ``freeze_and_thaw.png``.
"""

from typing import Any

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sktricks import FineTuneClassifier, TrainingDisplay, layer_table, load_backbone

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=200, stratify=y, random_state=0)
settings: dict[str, Any] = {"image_shape": (8, 8), "max_epochs": 12, "random_state": 0}
nets = {
    "all at once": FineTuneClassifier(strategy="fine-tune", **settings),
    "stage by stage": FineTuneClassifier(strategy="gradual", **settings),
    "from stage3 on": FineTuneClassifier(freeze_until="stage3", **settings),
}

# %%
# The validation rows do not influence the training: their loss and accuracy are in the figure.

for name, net in nets.items():
    net.fit(X, y, X_val=X_test[:300], y_val=y_test[:300])
    print(f"{name:16}{100 * net.score(X_test[300:], y_test[300:]):6.1f} %   {net.n_trainable_parameters_:9,} trained")

# %%
# All three trainings share their axes, so that curves can be compared. In the epochs of the gray bands some layers were
# still frozen; the legend shows how many.

figure, axes = plt.subplots(3, 3, figsize=(11, 6), sharex=True, sharey="row", layout="constrained")
for column, (name, net) in zip(axes.T, nets.items(), strict=True):
    TrainingDisplay.from_estimator(net, axes=column)
    column[0].set_title(name)
    column[-1].set_xlabel("epoch")
for ax in axes[:, 1:].ravel():
    ax.set_ylabel("")
figure.savefig("freeze_and_thaw.png", dpi=120)

# %%
# Frozen layers do not change: their weights and running statistics are those of the loaded net.

fresh, after = load_backbone("tiny32").model.state_dict(), nets["from stage3 on"].backbone_.model.state_dict()
changed = {name.split(".")[0] for name in fresh if not torch.equal(fresh[name], after[name])}
print("\nchanged by the training:", *changed)
layer_table(nets["from stage3 on"])
