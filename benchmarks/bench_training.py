"""An epoch of a small net: NetClassifier, a loop written by hand, and plain skorch.

The task has 20,000 rows of 64 columns, batches of 128, a multilayer perceptron with one hidden layer, and AdamW with a
constant learning rate, so the computation is small and the overhead is visible. The loop is a usual PyTorch loop over
tensors in memory; skorch has its defaults (DataLoader, callbacks), but neither prints nor validates.

The time per epoch is a tenth of the difference between a fit of eleven epochs and a fit of one, the median of several
rounds in which the three alternate.
"""

import statistics
import time

import numpy as np
import skorch
import torch
from _common import make_parser, print_table, start
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional as F

from sktricks import NetClassifier

N_ROWS, N_FEATURES, N_CLASSES, BATCH, LR, WEIGHT_DECAY = 20_000, 64, 10, 128, 2e-3, 1e-2


class MLP(nn.Module):
    def __init__(self, n_features=N_FEATURES, n_outputs=N_CLASSES, width=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_outputs))

    def forward(self, x):
        return self.layers(x)


# -- the three ---------------------------------------------------------------------------------------------------------


def fit_sktricks(X, y, epochs, width):
    settings = {"lr": LR, "weight_decay": WEIGHT_DECAY, "schedule": "constant", "batch_size": BATCH}
    net = NetClassifier(MLP, max_epochs=epochs, net_params={"module__width": width}, random_state=0, **settings)
    return net.fit(X, y).net_.module_


def fit_by_hand(X, y, epochs, width):
    torch.manual_seed(0)
    x, y = torch.from_numpy(X), torch.from_numpy(y)
    module = MLP(width=width)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(epochs):
        total = torch.zeros(())
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        losses.append(total.item() / len(x))
    return module


def fit_skorch(X, y, epochs, width):
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        MLP,
        module__width=width,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=LR,
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y).module_


FITS = {"PyTorch loop by hand": fit_by_hand, "NetClassifier": fit_sktricks, "skorch": fit_skorch}


# -- measuring ---------------------------------------------------------------------------------------------------------


def seconds(fit, *args):
    started = time.perf_counter()
    module = fit(*args)
    return time.perf_counter() - started, module


def accuracy(module, X, y):
    module.eval()
    with torch.inference_mode():
        return float((module(torch.from_numpy(X)).argmax(1).numpy() == y).mean())


def measure(width, rounds):
    X, y = make_classification(N_ROWS + 5000, N_FEATURES, n_informative=20, n_classes=N_CLASSES, random_state=0)
    X, y, X_test, y_test = X[:N_ROWS].astype(np.float32), y[:N_ROWS], X[N_ROWS:].astype(np.float32), y[N_ROWS:]
    first, epoch, score = ({name: [] for name in FITS} for _ in range(3))
    for fit in FITS.values():
        fit(X[:BATCH], y[:BATCH], 1, width)  # imports and first calls
    for number in range(rounds):
        for name, fit in FITS.items():
            one, _ = seconds(fit, X, y, 1, width)
            eleven, module = seconds(fit, X, y, 11, width)
            first[name].append(one)
            epoch[name].append((eleven - one) / 10)
            score[name].append(accuracy(module, X_test, y_test))
        medians = ", ".join(f"{name} {epoch[name][-1] * 1000:.0f} ms" for name in FITS)
        print(f"{width} hidden units, round {number + 1} of {rounds}, an epoch: {medians}", flush=True)
    median = {name: statistics.median(values) for name, values in epoch.items()}
    rows = [
        [
            name,
            f"{median[name] * 1000:.1f}",
            f"{median[name] / median['PyTorch loop by hand']:.2f}",
            f"{median['skorch'] / median[name]:.2f}",
            f"{statistics.median(first[name]) * 1000:.1f}",
            f"{100 * statistics.mean(score[name]):.1f}",
        ]
        for name in FITS
    ]
    header = [f"{width} hidden units", "ms per epoch", "times the loop", "faster than skorch", "ms per 1-epoch fit"]
    print_table([*header, "accuracy after 11, %"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which the three alternate (default: 7)")
    parser.add_argument("--widths", type=int, nargs="+", default=[64], help="hidden units (default: 64)")
    args = parser.parse_args()
    start("An epoch of a small net", args.threads)
    for width in args.widths:
        measure(width, args.rounds)


if __name__ == "__main__":
    main()
