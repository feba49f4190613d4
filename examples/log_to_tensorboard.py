"""
Two trainings side by side in TensorBoard
=========================================

skorch's loggers are callbacks, and every net of sktricks accepts callbacks. For each epoch the log contains the losses,
the validation score, the learning rate, and the gradient norm, which ``GradientNorms`` records. This example trains
with AdamW and with SGD on the same digits. ::

    pip install tensorboard
    python examples/log_to_tensorboard.py runs
    tensorboard --logdir runs

It takes some seconds, without network or GPU. Without a folder it writes to a temporary one; without TensorBoard it
only prints the comparison.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch.callbacks import TensorBoard

from sktricks import GradientNorms, NetClassifier

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    SummaryWriter = None

X, y = load_digits(return_X_y=True)
X, X_val, y, y_val = train_test_split(X, y, train_size=500, test_size=500, stratify=y, random_state=0)

# %%
# One folder per run
# ------------------
# TensorBoard overlays the runs of one folder. List ``GradientNorms`` before the logger, because the logger writes only
# what has been recorded when it is called.

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="runs_"))


def loggers(run):
    return [] if SummaryWriter is None else [TensorBoard(SummaryWriter(folder / run))]


settings: dict[str, dict[str, Any]] = {"adamw": {"lr": 2e-3}, "sgd": {"lr": 0.02}}
print(f"{'':8}{'loss':>8}{'validation':>12}{'accuracy':>10}{'gradient':>10}")
for optimizer, params in settings.items():
    callbacks = [GradientNorms(), *loggers(optimizer)]
    net = NetClassifier(optimizer=optimizer, max_epochs=40, callbacks=callbacks, random_state=0, **params)
    net.fit(X, y, X_val=X_val, y_val=y_val)
    norms = [epoch["gradient_norm"] for epoch in net.net_.history]
    last = net.loss_curve_[-1], net.validation_loss_curve_[-1], net.validation_scores_[-1], float(np.mean(norms))
    print("{:8}{:8.4f}{:12.3f}{:10.3f}{:10.2f}".format(optimizer, *last))

# %%
# A search
# --------
# A ``SummaryWriter`` is one run: all fits of a search would write into it, and it can be neither copied nor sent to
# another process. Therefore each fit opens its own writer when its training begins.


class OwnRun(TensorBoard):
    def __init__(self, folder):
        super().__init__(writer=None)
        self.folder = folder

    def on_train_begin(self, net, **kwargs):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writer = SummaryWriter(tempfile.mkdtemp(prefix=f"lr={net.lr:g}_", dir=self.folder))


callbacks = [] if SummaryWriter is None else [OwnRun(folder / "search")]
net = NetClassifier(max_epochs=20, callbacks=callbacks, random_state=0)
search = GridSearchCV(net, {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=2).fit(X, y)
print(f"\nA search over the learning rate: {search.best_params_}, {search.best_score_:.3f}")

# %%
# Weights & Biases works in the same way, with another callback. Its default ``save_model=True`` requires validation
# rows. ::
#
#     run = wandb.init(project="digits", mode="offline")
#     NetClassifier(callbacks=[WandbLogger(run, save_model=False)]).fit(X, y)

if SummaryWriter is None:
    print("\nTensorBoard is not installed, so no log was written: pip install tensorboard")
else:
    runs = sorted({str(path.parent.relative_to(folder)) for path in folder.glob("**/events.out.*")})
    print(f"\n{len(runs)} runs are in {folder}: {', '.join(runs)}\nLook at them with: tensorboard --logdir {folder}")
