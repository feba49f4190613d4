"""The learning rate from ``find_lr``: the final loss at its suggestion, compared with the best of nine rates.

There are ten tasks: tables of scikit-learn, synthetic tables, and digits as images with the bundled net. The final loss
is the mean loss of the last epoch of the training, with the estimator's own settings except for the number of epochs,
as a mean over seeds; the nine rates range from 1e-5 to 1e-1. Two columns compare the suggestion with the best rate: the
ratio of the final losses, and the missing fraction of the decrease from the loss before the training to the best. The
first is strict if a net can fit the rows perfectly: a loss of 2e-5 is twice one of 1e-5. The last column is the ratio
of the losses on held-out rows.

The nets for tables are trained for ``--epochs`` epochs; 0 means their default.
"""

import time
import warnings

import numpy as np
from _common import make_parser, print_table, start
from sklearn.base import clone, is_classifier
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_circles,
    make_classification,
    make_friedman1,
    make_moons,
    make_regression,
)
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split

from sktricks import FineTuneClassifier, FineTuneRegressor, NetClassifier, NetRegressor, SlowFitWarning, find_lr

GRID = np.geomspace(1e-5, 1e-1, 9)


def make_tasks(epochs):
    """Yield the name, the net and the rows of each task."""
    own = {"max_epochs": epochs} if epochs else {}
    classifier, regressor = NetClassifier(**own), NetRegressor(**own)
    digits, labels = (part[:600] for part in load_digits(return_X_y=True))
    yield "breast_cancer", classifier, *load_breast_cancer(return_X_y=True)
    yield "digits", classifier, *load_digits(return_X_y=True)
    yield "diabetes", regressor, *load_diabetes(return_X_y=True)
    yield "moons", classifier, *make_moons(2000, noise=0.3, random_state=0)
    yield "circles", classifier, *make_circles(2000, noise=0.2, factor=0.5, random_state=0)
    yield "classification", classifier, *make_classification(2000, 30, n_informative=12, flip_y=0.1, random_state=0)
    yield "friedman1", regressor, *make_friedman1(2000, noise=1.0, random_state=0)
    yield "regression", regressor, *make_regression(2000, 50, noise=10, random_state=0)
    yield "images, linear probe", FineTuneRegressor(image_shape=(8, 8), strategy="linear-probe"), digits, labels
    yield (
        "images, fine-tune",
        FineTuneClassifier(image_shape=(8, 8), strategy="fine-tune", max_epochs=3),
        digits,
        labels,
    )


def losses_of(net, parts):
    """Return the loss before the training, that of the last epoch, and that on held-out rows."""
    X, X_test, y, y_test = parts
    net.fit(X, y)
    if is_classifier(net):
        at_first = np.log(len(net.classes_))
        held_out = log_loss(y_test, net.predict_proba(X_test), labels=net.classes_)
    else:
        at_first = 1.0  # for a standardized target
        predicted = net.predict(X_test)
        held_out = mean_squared_error(y_test, predicted) / np.var(y) if np.isfinite(predicted).all() else np.inf
    return at_first, np.nan_to_num(net.net_.history[-1]["train_loss"], nan=np.inf), held_out


def mean_losses(net, parts, rates):
    """Return the three losses as means over the seeds; ``rates`` has one rate per seed."""
    nets = [clone(net).set_params(lr=float(rate), random_state=seed) for seed, rate in enumerate(rates)]
    return np.mean([losses_of(one, parts) for one in nets], axis=0)


def measure(net, X, y, n_seeds):
    """Return the suggestions, and the losses with them and with each rate of the grid."""
    parts = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y if is_classifier(net) else None)
    curves = [find_lr(clone(net).set_params(random_state=seed), parts[0], parts[2]) for seed in range(n_seeds)]
    suggestions = [curve.suggestion for curve in curves]
    return suggestions, mean_losses(net, parts, suggestions), [mean_losses(net, parts, [r] * n_seeds) for r in GRID]


def main():
    parser = make_parser(__doc__)
    parser.add_argument(
        "--epochs", type=int, default=10, help="epochs of the nets for tables (default: 10; 0: their default)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="default: 3")
    parser.add_argument("--tasks", nargs="+", help="names (default: all)")
    args = parser.parse_args()
    start("Learning rates", args.threads)
    warnings.simplefilter("ignore", SlowFitWarning)
    rows = []
    for name, net, X, y in make_tasks(args.epochs):
        if args.tasks and name not in args.tasks:
            continue
        started = time.perf_counter()
        rates, (at_first, final, held_out), grid = measure(net, X, y, args.seeds)
        best = min(range(len(GRID)), key=lambda k: grid[k][1])
        ratio, missing = final / grid[best][1], (final - grid[best][1]) / (at_first - grid[best][1])
        own = held_out / min(losses[2] for losses in grid)
        losses = f"{final:.3g}", f"{grid[best][1]:.3g}"
        rows.append([name, f"{np.median(rates):.1e}", f"{GRID[best]:.1e}", *losses, ratio, missing, own])
        print(f"{name}: ratio {ratio:.2f}, missing {missing:.1%}, {time.perf_counter() - started:.0f} s", flush=True)
    close, near = sum(row[5] <= 1.1 for row in rows), sum(row[6] <= 0.1 for row in rows)
    cells = [[*row[:5], f"{row[5]:.2f}", f"{row[6]:.1%}", f"{row[7]:.2f}"] for row in rows]
    header = ["task", "suggestion", "best rate", "loss", "best loss", "ratio", "missing", "ratio, held out"]
    print_table(header, cells)
    print(f"Final loss within 10 % of the best: {close} of {len(rows)}; within 10 % of the fall: {near} of {len(rows)}")


if __name__ == "__main__":
    main()
