"""Accuracy from a handful of labelled images: a pretrained net against classical models and a net from scratch.

The classical models see raw pixels; the net from scratch is tiny32's architecture without its weights;
``FineTuneClassifier()`` has its defaults. Digits come with scikit-learn; MNIST and CIFAR-10 from ``.npz`` files with
``X`` (uint8 images) and ``y``, of which any part will do::

    python benchmarks/bench_few_shot.py --mnist mnist.npz --cifar10 cifar10.npz

A number of labels is measured where at least 200 a class are left to test on (of the digits, of which there are no more
than 180 a class, 70). Each split draws its labels anew; the spread is the standard error over the splits.
"""

import time

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import FineTuneClassifier
from sktricks.transfer.backbones import Tiny32


def on_pixels(model):
    """A classical model, whose pixels are standardised where they vary."""
    return make_pipeline(StandardScaler(), model)


def from_scratch(seed, n_rows):
    """tiny32 without its weights, trained for at least 100 updates."""
    epochs = max(10, 6000 // n_rows)
    return FineTuneClassifier(
        Tiny32, strategy="fine-tune", stages=["stage2", "stage3"], max_epochs=epochs, random_state=seed
    )


MODELS = {
    "LogisticRegression": lambda seed, n_rows: on_pixels(LogisticRegression(C=0.1, max_iter=300)),
    "SVC": lambda seed, n_rows: on_pixels(SVC(C=10)),
    "RandomForest": lambda seed, n_rows: RandomForestClassifier(300, random_state=seed),
    "HistGradientBoosting": lambda seed, n_rows: HistGradientBoostingClassifier(random_state=seed),
    "from scratch": from_scratch,
    "FineTuneClassifier": lambda seed, n_rows: FineTuneClassifier(random_state=seed),
}
NETS = ("from scratch", "FineTuneClassifier")


def read_data(args):
    digits = load_digits()
    data = {"digits": (digits.images, digits.target, 70)}
    for name in ("mnist", "cifar10"):
        if getattr(args, name):
            data[name] = (*read_arrays(getattr(args, name)), 200)
    return {name: data[name] for name in args.sets if name in data}


def split(y, n_labels, seed, n_test):
    """Rows to train on, ``n_labels`` of each class, and rows to test on."""
    rng = np.random.default_rng(seed)
    train = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n_labels] for label in np.unique(y)])
    return train, rng.permutation(np.setdiff1d(np.arange(len(y)), train))[:n_test]


def score(name, X, y, train, test, seed):
    X = X if name in NETS else X.reshape(len(X), -1)
    return MODELS[name](seed, len(train)).fit(X[train], y[train]).score(X[test], y[test])


def measure(data, args):
    """{(data set, labels): {model: accuracies}}, a line for each as it comes."""
    results = {}
    for name, (X, y, n_left) in data.items():
        for n_labels in args.labels:
            if np.bincount(y).min() - n_labels < n_left:
                continue
            row = results[name, n_labels] = {}
            for model in args.models:
                if model == "HistGradientBoosting" and n_labels * X[0].size > args.hist_up_to:
                    continue
                started = time.perf_counter()
                row[model] = [
                    score(model, X, y, *split(y, n_labels, seed, args.test_rows), seed) for seed in range(args.splits)
                ]
                seconds = (time.perf_counter() - started) / args.splits
                print(f"{name}, {n_labels} labels, {model}: {show(row[model])}, {seconds:.1f} s a fit", flush=True)
    return results


def error(scores):
    return np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0


def show(scores):
    return f"{100 * np.mean(scores):.1f} ± {100 * error(scores):.1f}"


def print_results(results, models):
    """A row for each task, the best model in bold, and whatever is within one standard error of it in italics."""
    rows = []
    for (name, n_labels), row in results.items():
        best = max(row, key=lambda model: np.mean(row[model]))
        cells = []
        for model in models:
            text = show(row[model]) if model in row else "–"
            near = model in row and np.mean(row[best]) - np.mean(row[model]) <= error(row[best])
            cells.append(f"**{text}**" if model == best else f"*{text}*" if near else text)
        rows.append([name, n_labels, *cells])
    print_table(["data", "labels a class", *models], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--mnist", help="an .npz file")
    parser.add_argument("--cifar10", help="an .npz file")
    parser.add_argument("--sets", nargs="+", default=["digits", "mnist", "cifar10"])
    parser.add_argument("--labels", nargs="+", type=int, default=[5, 10, 50, 100, 500])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument(
        "--hist-up-to",
        type=int,
        default=400_000,
        help="labels a class x columns up to which HistGradientBoosting takes part; it takes minutes a fit beyond",
    )
    args = parser.parse_args()
    start("Accuracy from a handful of labels", args.threads)
    print_results(measure(read_data(args), args), args.models)


if __name__ == "__main__":
    main()
