"""Few labels: FineTuneClassifier() with its defaults against models on raw pixels and the same net from scratch.

For each data set and number of labels per class, the table shows the mean accuracy on held-out images over several
random splits, and its standard error. scikit-learn's digits are always included; MNIST and CIFAR-10 (or parts of them)
come from ``.npz`` files with ``X`` (uint8 images) and ``y``. A row requires 200 test images per class, or 70 of the
small digits. The script prints a line for each finished model, and a table for each data set.
"""

import time
import warnings

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, SlowFitWarning
from sktricks.transfer.backbones import Tiny32

LABELS = (5, 10, 50, 100, 500)
LEFT = {"digits": 70, "mnist": 200, "cifar10": 200}  # minimum number of test images per class
SLOW = "HistGradientBoosting"


# -- the models: each from the shape of an image, the number of rows and a seed ----------------------------------------


def logistic(shape, n_rows, seed):
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def svc(shape, n_rows, seed):
    return SVC(C=10)  # its default gamma adapts to the scale


def forest(shape, n_rows, seed):
    return RandomForestClassifier(300, random_state=seed)


def boosting(shape, n_rows, seed):
    return HistGradientBoostingClassifier(random_state=seed)


class Scratch(nn.Module):
    """Tiny32 with random weights, on images resized to 32 x 32, as for the pretrained net."""

    def __init__(self, n_outputs):
        super().__init__()
        self.enlarge, self.net, self.head = (
            nn.Upsample(size=(32, 32), mode="bilinear"),
            Tiny32(),
            nn.Linear(256, n_outputs),
        )

    def forward(self, x):
        x = self.enlarge(x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1))
        return self.head(self.net(2 * x - 1))


def scratch(shape, n_rows, seed):
    """Return 30 epochs, or more for few rows, so that there are at least 200 updates."""
    epochs = max(30, round(200 / -(-n_rows // 32)))
    return NetClassifier(Scratch, image_shape=shape, batch_size=32, max_epochs=epochs, random_state=seed)


def pretrained(shape, n_rows, seed):
    return FineTuneClassifier(image_shape=shape, random_state=seed)


MODELS = {
    "LogisticRegression": logistic,
    "SVC": svc,
    "RandomForest": forest,
    SLOW: boosting,
    "from scratch": scratch,
    "FineTuneClassifier()": pretrained,
}


# -- data --------------------------------------------------------------------------------------------------------------


def read_sets(args):
    """Yield name, rows of pixels, labels and image shape of each selected data set."""
    for name in args.sets:
        if name == "digits":
            X, y = load_digits(return_X_y=True)
            shape = (8, 8)
        else:
            path = getattr(args, name)
            if path is None:
                print(f"{name}: left out, no --{name} was given\n")
                continue
            X, y = read_arrays(path)
            shape, X = X.shape[1:], X.reshape(len(X), -1)
        yield name, X, y, shape


def split(y, labels, n_test, seed):
    """Return the indices of ``labels`` training rows per class, and of some of the others as test rows."""
    order = np.random.default_rng(seed).permutation(len(y))
    train = np.concatenate([order[y[order] == label][:labels] for label in np.unique(y)])
    return train, order[~np.isin(order, train)][:n_test]


# -- measuring ---------------------------------------------------------------------------------------------------------


def accuracies(make, X, y, shape, labels, args):
    """Return the accuracy in % on each split."""
    scores = []
    for seed in range(args.splits):
        train, test = split(y, labels, args.test_rows, seed)
        model = make(shape, len(train), seed).fit(X[train], y[train])
        scores.append(100 * float(model.score(X[test], y[test])))
    return np.array(scores)


def mean_and_error(scores):
    return scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0


def measure_row(name, X, y, shape, labels, args):
    """Return mean and standard error of each model; None if it was skipped as too slow."""
    results = {}
    for model in args.models:
        if model == SLOW and X.shape[1] * labels > args.skip_slow_above:
            results[model] = None
            print(f"{name:8} {labels:4} {model:21} - (--skip-slow-above)", flush=True)
            continue
        started = time.perf_counter()
        results[model] = mean, error = mean_and_error(accuracies(MODELS[model], X, y, shape, labels, args))
        seconds = (time.perf_counter() - started) / args.splits
        print(f"{name:8} {labels:4} {model:21} {mean:5.1f} ± {error:.1f}  {seconds:7.1f} s a split", flush=True)
    return results


def cells(results):
    """Return cells with the best in bold, and a star if within one standard error (the larger of the two) of it."""
    best = max((result for result in results.values() if result), key=lambda result: result[0])
    for result in results.values():
        if result is None:
            yield "-"
            continue
        mean, error = result
        text = f"{mean:.1f} ± {error:.1f}"
        close = best[0] - mean <= max(error, best[1])
        yield f"**{text}**" if result is best else f"{text} *" if close else text


def measure_set(name, X, y, shape, args):
    rows, smallest = [], np.unique(y, return_counts=True)[1].min()
    for labels in args.labels:
        if smallest - labels < LEFT[name]:
            print(f"{name:8} {labels:4} skipped: fewer than {LEFT[name]} test images per class would remain")
            continue
        results = measure_row(name, X, y, shape, labels, args)
        rows.append([labels, *cells(results)])
    if not rows:
        return
    size = " x ".join(map(str, shape))
    print(f"\n{name}, {size}: accuracy in %, mean ± standard error over {args.splits} splits, tested on at most")
    print(f"{args.test_rows} images (at least {LEFT[name]} per class remain). Bold: best; *: within a standard error.")
    print_table(["labels per class", *args.models], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--mnist", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--cifar10", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--sets", nargs="+", choices=LEFT, default=list(LEFT), help="default: all")
    parser.add_argument(
        "--labels", nargs="+", type=int, default=LABELS, help="labels per class (default: 5 10 50 100 500)"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--splits", type=int, default=5, help="default: 5")
    parser.add_argument("--test-rows", type=int, default=2000, help="maximum number (default: 2000)")
    parser.add_argument(
        "--skip-slow-above",
        type=int,
        default=10**9,
        metavar="N",
        help=f"skip {SLOW} if pixels x labels per class is more than N",
    )
    args = parser.parse_args()
    start("Few labels", args.threads)
    warnings.simplefilter("ignore", SlowFitWarning)  # the printed lines show the time of each fit
    for data in read_sets(args):
        measure_set(*data, args)


if __name__ == "__main__":
    main()
