"""K nets of one architecture: NetEnsembleClassifier, its own loop, and a loop of skorch fits.

2,000 rows of 20 columns, ten classes, a multilayer perceptron of one hidden layer, AdamW at a constant rate, float32.
The members have different initial weights and shuffles, so each way trains K separate nets. skorch has its defaults
(DataLoader, callbacks), but neither prints nor validates.

The script measures CPU time of fits of several epochs, including preparation: the minimum of several rounds in which
the three alternate. There is one table per K with the speedup of the ensemble over skorch and over our own loop.
"""

import time

import numpy as np
import skorch
import torch
from _common import make_parser, print_table, start
from sklearn.datasets import make_classification
from torch import nn

from sktricks import NetClassifier, NetEnsembleClassifier

N_ROWS, N_FEATURES, N_CLASSES, LR, WEIGHT_DECAY = 2000, 20, 10, 2e-3, 1e-2


def mlp(n_features=N_FEATURES, n_outputs=N_CLASSES, width=64):
    return nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_outputs))


def ours(mode, X, y, K, width, batch, epochs):
    settings = {"lr": LR, "weight_decay": WEIGHT_DECAY, "schedule": "constant", "batch_size": batch}
    net = NetClassifier(mlp, max_epochs=epochs, net_params={"module__width": width}, **settings)
    return NetEnsembleClassifier(net, K, mode=mode, random_state=0).fit(X, y).predict_proba


def with_skorch(X, y, K, width, batch, epochs):
    nets = []
    for seed in range(K):
        torch.manual_seed(seed)
        net = skorch.NeuralNetClassifier(
            mlp(width=width),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=WEIGHT_DECAY,
            lr=LR,
            max_epochs=epochs,
            batch_size=batch,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        nets.append(net.fit(X, y))
    return lambda X: np.mean([torch.from_numpy(net.forward(X).numpy()).softmax(1).numpy() for net in nets], axis=0)


FITS = {
    "skorch": with_skorch,
    "loop": lambda *args: ours("loop", *args),
    "batched": lambda *args: ours("batched", *args),
}


def measure(data, K, width, batch, epochs, rounds):
    """Return the CPU seconds of each way, and the accuracies."""
    X, y, X_test, y_test = data
    seconds, scores = {name: [] for name in FITS}, {}
    for _ in range(rounds):
        for name, fit in FITS.items():
            started = time.process_time()
            predict = fit(X, y, K, width, batch, epochs)
            seconds[name].append(time.process_time() - started)
            scores[name] = float((predict(X_test).argmax(1) == y_test).mean())
    return {name: min(times) for name, times in seconds.items()}, scores


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which the three alternate (default: 3)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per fit (default: 10)")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64, 128, 256, 512], help="hidden units")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="batch sizes")
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4, 8, 16], help="nets per ensemble")
    args = parser.parse_args()
    start("K nets of one architecture", args.threads)
    X, y = make_classification(N_ROWS + 2000, N_FEATURES, n_informative=12, n_classes=N_CLASSES, random_state=0)
    X = X.astype(np.float32)
    data = X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:]
    measure(tuple(part[:200] for part in data), 2, 16, 64, 1, 1)  # imports and first calls
    for K in args.members:
        rows = []
        for width in args.widths:
            for batch in args.batches:
                seconds, scores = measure(data, K, width, batch, args.epochs, args.rounds)
                gains = [f"{seconds[name] / seconds['batched']:.2f}" for name in ("skorch", "loop")]
                rows.append([width, batch, f"{seconds['batched']:.2f}", *gains])
                rows[-1] += [f"{100 * scores[name]:.1f}" for name in ("batched", "skorch")]
                gained = f"{gains[0]} times skorch, {gains[1]} the loop"
                print(f"K = {K}, {width} hidden units, batches of {batch}: {gained}", flush=True)
        header = [f"K = {K}: hidden units", "batch", "CPU s", "times faster than skorch", "than our own loop"]
        print_table([*header, "accuracy, %", "skorch's, %"], rows)


if __name__ == "__main__":
    main()
