"""A stack of three nets over five folds: StackingClassifier of sktricks, and scikit-learn's over skorch nets.

Small nets on a table: three multilayer perceptrons with one hidden layer of 64 units and different seeds, on
scikit-learn's digits as 64 columns. Both need 18 trainings, with the same architecture, optimizer, epochs, batches and
final estimator.

Heads on a frozen backbone: three linear heads on a net of ResNet-18's size with random weights, images of 32 x 32.
FineTuneClassifier encodes each image once for all heads, folds and epochs; skorch's nets, with the backbone frozen and
in evaluation mode, encode it in every epoch of every fold.

The script measures the CPU time of fits; accuracies are means over seeds, each with its own split of the rows.
"""

import time

import numpy as np
import skorch
import torch
from _common import make_parser, print_table, start
from _nets import make_backbone, make_images
from sklearn import ensemble
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, StackingClassifier, clear_cache

N_MEMBERS, N_FOLDS, WIDTH = 3, 5, 64


def mlp(n_features=64, n_outputs=10):
    return nn.Sequential(nn.Linear(n_features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, n_outputs))


class Seeded(skorch.NeuralNetClassifier):
    """A skorch net with its own seed for initial weights and shuffles."""

    def __init__(self, *args, seed=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.seed = seed

    def fit(self, X, y, **fit_params):
        torch.manual_seed(self.seed)
        return super().fit(X, y, **fit_params)


def skorch_net(module, seed, epochs, batch, lr, **params):
    return Seeded(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=1e-2,
        lr=lr,
        max_epochs=epochs,
        batch_size=batch,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        seed=seed,
        **params,
    )


def stack(cls, nets, seed):
    """Return a stack of probabilities with a final LogisticRegression, with the same folds for both."""
    members = [(f"net{number}", net) for number, net in enumerate(nets)]
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    return cls(members, LogisticRegression(max_iter=1000), cv=folds, stack_method="predict_proba")


# -- small nets on a table ---------------------------------------------------------------------------------------------


def table_nets(kind, seed, epochs):
    seeds = [seed * N_MEMBERS + number for number in range(N_MEMBERS)]
    if kind == "skorch":
        return [skorch_net(mlp, one, epochs, batch=32, lr=2e-3) for one in seeds]
    own = {"max_epochs": epochs, "batch_size": 32, "lr": 2e-3, "weight_decay": 1e-2, "schedule": "constant"}
    return [NetClassifier(mlp, random_state=one, **own) for one in seeds]


def table():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, lambda X: X


# -- heads on a frozen backbone ----------------------------------------------------------------------------------------


class Standardize(nn.Module):
    """Standardize features by the statistics of the batch, in evaluation by their mean over all batches.

    As in FineTuneClassifier, which uses the statistics of all rows, features of small variance are not scaled up fully.
    """

    def __init__(self, n_features):
        super().__init__()
        self.register_buffer("moments", torch.zeros(2, n_features))
        self.n_batches = 0

    def forward(self, x):
        if self.training:
            moments = torch.stack([x.mean(0), x.var(0, correction=0)])
            self.n_batches += 1
            self.moments += (moments - self.moments) / self.n_batches
        mean, variance = moments if self.training else self.moments
        return (x - mean) / variance.clamp(min=variance.mean()).sqrt()


class HeadOnBackbone(nn.Module):
    """The head of FineTuneClassifier on a frozen backbone in evaluation mode."""

    def __init__(self, backbone, n_outputs=10):
        super().__init__()
        self.backbone, self.linear = backbone, nn.Linear(512, n_outputs)
        self.norm = Standardize(512)
        self.backbone.requires_grad_(False)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        self.backbone.eval()
        with torch.no_grad():
            features = self.backbone(x)
        return self.linear(self.norm(features / (features.abs() + 1e-3).sqrt()))


def head_nets(kind, seed, epochs):
    backbone = make_backbone()
    seeds = [seed * N_MEMBERS + number for number in range(N_MEMBERS)]
    if kind == "skorch":
        settings = {"epochs": epochs, "batch": 64, "lr": 1e-2, "module__backbone": backbone}
        return [skorch_net(HeadOnBackbone, one, **settings) for one in seeds]
    own = {"max_epochs": epochs, "batch_size": 64, "lr": 1e-2, "weight_decay": 1e-2, "schedule": "constant"}
    frozen = {"strategy": "linear-probe", "device": "cpu", "optimizer": "adamw"}
    return [FineTuneClassifier(backbone, random_state=one, **frozen, **own) for one in seeds]


def images(n_rows):
    X, y = make_images(n_rows, 10)
    return X, y, lambda X: (X.transpose(0, 3, 1, 2) / 255).astype(np.float32)


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(title, data, nets, seeds, epochs):
    X, y, for_skorch = data
    stacks = {
        "scikit-learn over skorch": (ensemble.StackingClassifier, "skorch", for_skorch),
        "sktricks": (StackingClassifier, "sktricks", lambda X: X),
    }
    seconds, scores = {name: [] for name in stacks}, {name: [] for name in stacks}
    for seed in range(seeds):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        for name, (cls, kind, prepare) in stacks.items():
            clear_cache()  # each seed includes its own encoding
            model, ready = stack(cls, nets(kind, seed, epochs), seed), prepare(X_train)
            started = time.process_time()
            model.fit(ready, y_train)
            seconds[name].append(time.process_time() - started)
            scores[name].append(model.score(prepare(X_test), y_test))
            print(f"{title}, seed {seed}: {name} {seconds[name][-1]:.1f} s, {100 * scores[name][-1]:.1f} %", flush=True)
    own, rows = np.median(seconds["sktricks"]), []
    for name in stacks:
        took, error = np.median(seconds[name]), np.std(scores[name]) / np.sqrt(max(1, seeds - 1))
        rows.append([name, f"{took:.1f}", f"{took / own:.1f}"])
        rows[-1].append(f"{100 * np.mean(scores[name]):.1f} ± {100 * error:.1f}")
    print_table([title, "CPU s", "times as long", "accuracy, %"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="splits of the rows (default: 5)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of the nets on the table (default: 30)")
    parser.add_argument("--head-epochs", type=int, default=10, help="epochs of the heads (default: 10)")
    parser.add_argument(
        "--images", type=int, default=600, help="images for the heads, of which 30 %% are held out (default: 600)"
    )
    parser.add_argument("--parts", nargs="+", choices=["table", "heads"], default=["table", "heads"])
    args = parser.parse_args()
    start("A stack of three nets over five folds", args.threads)
    if "table" in args.parts:
        measure("three nets on digits", table(), table_nets, args.seeds, args.epochs)
    if "heads" in args.parts:
        measure("three heads on a ResNet-18", images(args.images), head_nets, args.seeds, args.head_epochs)


if __name__ == "__main__":
    main()
