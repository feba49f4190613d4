"""
Freeze and thaw
===============

What is trained of a pretrained net, and when. Three ways on the same 200 images of digits: all of it at once, the head
first and then stage by stage from the top (``strategy="gradual"``), and nothing below ``stage3``, to the last bit. ::

    python examples/plot_freeze_and_thaw.py

It takes half a minute, without network or GPU, and leaves a figure, ``freeze_and_thaw.png``.
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
# Validation rows are only watched here: their loss and accuracy are in the figure.

for name, net in nets.items():
    net.fit(X, y, X_val=X_test[:300], y_val=y_test[:300])
    print(f"{name:16}{100 * net.score(X_test[300:], y_test[300:]):6.1f} %   {net.n_trainable_parameters_:9,} trained")

# %%
# All three share their axes, so that heights can be compared. The gray bands are the epochs in which some layers were
# still frozen; the legend has their numbers.

figure, axes = plt.subplots(3, 3, figsize=(11, 6), sharex=True, sharey="row", layout="constrained")
for column, (name, net) in zip(axes.T, nets.items(), strict=True):
    TrainingDisplay.from_estimator(net, axes=column)
    column[0].set_title(name)
    column[-1].set_xlabel("epoch")
for ax in axes[:, 1:].ravel():
    ax.set_ylabel("")
figure.savefig("freeze_and_thaw.png", dpi=120)

# %%
# Frozen is frozen: weights, running statistics and all are what they were when the net was loaded.

fresh, after = load_backbone("tiny32").model.state_dict(), nets["from stage3 on"].backbone_.model.state_dict()
changed = {name.split(".")[0] for name in fresh if not torch.equal(fresh[name], after[name])}
print("\nnot as it was, to the last bit:", *changed)
layer_table(nets["from stage3 on"])
