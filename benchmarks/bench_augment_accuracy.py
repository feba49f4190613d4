"""Accuracy with few labels, without augmentation and with each way to use it.

Images: digits are always included; MNIST and CIFAR-10 (or parts of them) come from ``.npz`` files with ``X`` (uint8
images) and ``y``. Digits and MNIST are slightly rotated, shifted and scaled, photos are flipped and shifted. Each model
is trained

- without augmentation;
- in a Pipeline after the augmenter, on one static copy;
- in ``AugmentedClassifier``, on the rows and several copies; nets instead use new draws in every epoch, and the
  pretrained net, whose backbone is frozen, uses fixed views;
- in the same way, with predictions averaged over several views.

Tables: swap noise, dropout, Gaussian noise and MixUp, in ``AugmentedClassifier`` or in the net, on standardized
columns of scikit-learn's breast cancer, wine and digits, with few labels and with half of all rows.

Every number is a mean over random splits. Beside it is the gain over the same model without augmentation, on the same
splits, with its standard error, and a star if the gain is more than twice this error.
"""

import time
import warnings
from functools import partial

import numpy as np
from _common import make_parser, print_table, start
from bench_few_shot import LEFT, Scratch, read_sets, split
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import (
    AugmentedClassifier,
    FeatureDropout,
    FineTuneClassifier,
    GaussianNoise,
    MixUp,
    NetClassifier,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    SlowFitWarning,
    SwapNoise,
    make_augmentation_pipeline,
)

VIEWS = 8  # per image, at prediction and for a frozen backbone


# -- images ------------------------------------------------------------------------------------------------------------


def image_augmenter(name, shape, seed):
    """Return augmentations that keep the class of an image."""
    if name == "cifar10":
        return make_augmentation_pipeline(RandomFlip(), RandomCrop(padding=4), image_shape=shape, random_state=seed)
    return RandomAffine(max_angle=10, shift=0.1, scale=0.1, image_shape=shape, random_state=seed)


def classical(seed):
    return {
        "LogisticRegression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "SVC": SVC(C=10),
        "RandomForest": RandomForestClassifier(300, random_state=seed),
    }


def nets(shape, n_rows, seed):
    """Return the nets of bench_few_shot.py: from scratch, with at least 200 updates, and pretrained."""
    epochs = max(30, round(200 / -(-n_rows // 32)))
    scratch = NetClassifier(Scratch, image_shape=shape, batch_size=32, max_epochs=epochs, random_state=seed)
    return {
        "NetClassifier": scratch,
        "FineTuneClassifier": FineTuneClassifier(strategy="linear-probe", image_shape=shape, random_state=seed),
    }


IMAGE_MODELS = ("LogisticRegression", "SVC", "RandomForest", "NetClassifier", "FineTuneClassifier")
WAYS = ("without", "in a Pipeline", "copies or new draws", f"and {VIEWS} views")


def make_images(name, shape, args, model, way, n_rows, seed):
    """Return a model for images, augmented in one of the ways."""
    augmenter = image_augmenter(name, shape, seed)
    inner = (classical(seed) | nets(shape, n_rows, seed))[model]
    if way == "without":
        return inner
    if way == "in a Pipeline":
        return make_pipeline(augmenter, inner)
    views = VIEWS if way == WAYS[-1] else 0
    if model not in ("NetClassifier", "FineTuneClassifier"):
        augmented = {"n_copies": args.copies, "predict_views": views, "image_shape": shape, "random_state": seed}
        return AugmentedClassifier(inner, augmenter, **augmented)
    inner.set_params(augmenter=augmenter, predict_views=views)
    return inner.set_params(n_views=VIEWS) if model == "FineTuneClassifier" else inner


def measure_images(name, X, y, shape, args):
    smallest = np.unique(y, return_counts=True)[1].min()
    for labels in args.labels:
        if smallest - labels < LEFT[name]:
            print(f"{name:8} {labels:4} skipped: fewer than {LEFT[name]} test images per class would remain")
            continue
        splits = [split(y, labels, args.test_rows, seed) for seed in range(args.splits)]
        make = partial(make_images, name, shape, args)
        title = f"{name}, {' x '.join(map(str, shape))}, {labels} labels per class"
        measure(title, make, IMAGE_MODELS, WAYS, X, y, splits, args)


# -- tables ------------------------------------------------------------------------------------------------------------

TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits as a table": load_digits}
TABLE_MODELS = ("LogisticRegression", "SVC", "RandomForest", "NetClassifier")
TRICKS = {
    "without": None,
    "SwapNoise(0.15)": SwapNoise(0.15),
    "FeatureDropout(0.1)": FeatureDropout(0.1),
    "GaussianNoise(0.1)": GaussianNoise(0.1),
    "MixUp(0.2)": MixUp(0.2),
    "MixUp(1)": MixUp(1.0),
}


def make_table(model, trick, n_rows, seed, args):
    """Return a model for a table, standardized first so that 0 is the mean of every column."""
    augmenter = TRICKS[trick]
    if model == "NetClassifier":
        inner = NetClassifier(augmenter=augmenter, random_state=seed)
    else:
        inner = classical(seed)[model]
        inner = AugmentedClassifier(inner, augmenter, n_copies=args.copies, random_state=seed) if augmenter else inner
    return make_pipeline(StandardScaler(), inner)


def measure_tables(args):
    for name, read in TABLES.items():
        X, y = read(return_X_y=True)
        smallest = np.unique(y, return_counts=True)[1].min()
        for labels in [*(labels for labels in args.labels if smallest >= 2 * labels), "half"]:
            if labels == "half":
                rows, half = np.arange(len(y)), {"test_size": 0.5, "stratify": y}
                splits = [train_test_split(rows, random_state=seed, **half) for seed in range(args.splits)]
            else:
                splits = [split(y, labels, args.test_rows, seed) for seed in range(args.splits)]

            def make(model, trick, n_rows, seed):
                return make_table(model, trick, n_rows, seed, args)

            title = f"{name}, {'half of the rows' if labels == 'half' else f'{labels} labels per class'}"
            measure(title, make, TABLE_MODELS, list(TRICKS), X, y, splits, args)


# -- measuring ---------------------------------------------------------------------------------------------------------


def accuracies(make, model, way, X, y, splits):
    """Return the accuracy in % on each split."""
    scores = []
    for seed, (train, test) in enumerate(splits):
        fitted = make(model, way, len(train), seed).fit(X[train], y[train])
        scores.append(100 * float(fitted.score(X[test], y[test])))
    return np.array(scores)


def cell(scores, plain):
    """Return the mean and the gain as text, with a star if the gain is more than twice its standard error."""
    if scores is plain:
        return f"{scores.mean():.1f}"
    gain = scores - plain
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    star = " *" if abs(gain.mean()) > 2 * error else ""
    return f"{scores.mean():.1f} ({gain.mean():+.1f} ± {error:.1f}){star}"


def measure(title, make, models, ways, X, y, splits, args):
    """Print a table with one row per model and one column per way, and a line as soon as a cell is done."""
    rows = []
    for model in models:
        if model not in args.models:
            continue
        results = {}
        for way in ways:
            started = time.perf_counter()
            results[way] = accuracies(make, model, way, X, y, splits)
            seconds = (time.perf_counter() - started) / len(splits)
            text = cell(results[way], results[ways[0]])
            print(f"{title:45} {model:18} {way:22} {text:22} {seconds:6.1f} s per split", flush=True)
        rows.append([model, *(cell(scores, results[ways[0]]) for scores in results.values())])
    print(f"\n{title}: accuracy in %, mean over {len(splits)} splits (gain ± standard error; *: more than two)")
    print_table(["", *ways], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--mnist", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--cifar10", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--sets", nargs="*", choices=LEFT, default=list(LEFT), help="image data sets (default: all)")
    parser.add_argument("--no-tables", action="store_true", help="images only")
    parser.add_argument("--labels", nargs="+", type=int, default=(10, 50), help="labels per class (default: 10 50)")
    parser.add_argument("--models", nargs="+", choices=IMAGE_MODELS, default=IMAGE_MODELS, help="default: all")
    parser.add_argument("--splits", type=int, default=5, help="default: 5")
    parser.add_argument("--copies", type=int, default=8, help="copies per row for AugmentedClassifier (default: 8)")
    parser.add_argument("--test-rows", type=int, default=2000, help="maximum number (default: 2000)")
    args = parser.parse_args()
    start("The gain of augmentation", args.threads)
    warnings.simplefilter("ignore", SlowFitWarning)  # the printed lines show the time of each fit
    for name, X, y, shape in read_sets(args):
        measure_images(name, X, y, shape, args)
    if not args.no_tables:
        measure_tables(args)


if __name__ == "__main__":
    main()
