"""The gain of each ingredient of the recipe: all of them, and all but one, which is removed or replaced.

There are five tables and two sets of images of at most 2,000 rows: scikit-learn's digits, and 1,000 photos of CIFAR-10
if there is a file with them, otherwise the digits at twice the size. Tables use the default module, images a small
convolutional net of this script. Each seed draws other training and test rows (67 and 33 %), the same for all recipes,
so the gain of a change is a mean of differences. The score is the accuracy or R² on the test rows, in percent.

The last row is ``NetClassifier()`` or ``NetRegressor()`` with its defaults, on images with the module of this script.
"""

import time
from functools import partial

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from bench_tables import make_mixed
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_friedman1, make_moons
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import nn

from sktricks import NetClassifier, NetRegressor

ROWS, PHOTOS = 2000, 1000  # at most
DROPOUT = 0.1

# -- data --------------------------------------------------------------------------------------------------------------


def few(load, at_most=ROWS):
    """Return at most so many rows, always the same ones."""
    X, y = load()
    rows = np.random.default_rng(0).permutation(len(y))[:at_most]
    return (X.iloc[rows] if hasattr(X, "iloc") else X[rows]), y[rows]


TABLES = {
    "breast_cancer": (NetClassifier, partial(load_breast_cancer, return_X_y=True)),
    "moons": (NetClassifier, partial(make_moons, 1000, noise=0.3, random_state=0)),
    "mixed": (NetClassifier, partial(few, make_mixed)),
    "diabetes": (NetRegressor, partial(load_diabetes, return_X_y=True)),
    "friedman1": (NetRegressor, partial(make_friedman1, 1000, noise=1.0, random_state=0)),
}


def digits(side=8):
    """Return scikit-learn's digits, enlarged by repeated pixels."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8).repeat(side // 8, 1).repeat(side // 8, 2)
    return np.round(images * 255 / 16).astype(np.uint8), y


def image_sets(path):
    if path is None:
        return {"digits": digits, "digits, 16 x 16": partial(digits, 16)}
    return {"digits": digits, "CIFAR-10": partial(few, partial(read_arrays, path), PHOTOS)}


# -- modules -----------------------------------------------------------------------------------------------------------


class Convolutions(nn.Sequential):
    """Three convolutions with BatchNorm and ReLU, average pooling, and a linear layer."""

    def __init__(self, channels=1, n_outputs=10, dropout=0.0, norm=nn.BatchNorm2d):
        widths = [channels, 16, 32, 64]
        parts = [
            part
            for k in range(3)
            for part in (nn.Conv2d(*widths[k : k + 2], 3, 1 + (k > 0), 1), norm(widths[k + 1]), nn.ReLU())
        ]
        super().__init__(
            *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], n_outputs)
        )


class Change(Callback):
    """Change the module before the first update."""

    def __init__(self, change):
        self.change = change

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.change(net.module_)


def leave_inputs(module):
    """Leave out the standardization of inputs."""
    module.standardize.mean.zero_()
    module.standardize.scale.fill_(1)


def leave_norms_out(module):
    for block in module.blocks:
        block.norm = nn.Identity()
    module.norm = nn.Identity()


def leave_sums_out(module):
    """Leave out the residual connections of blocks."""
    for k, block in enumerate(module.blocks):
        nn.init.kaiming_normal_(block.contract.weight)
        module.blocks[k] = nn.Sequential(block.norm, block.expand, nn.ReLU(), block.dropout, block.contract)


# -- recipes -----------------------------------------------------------------------------------------------------------

TABLE = {
    "schedule": "warmup-cosine",
    "average": "ema",
    "label_smoothing": 0.1,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "lr": 2e-3,
    "max_epochs": 20,
    "batch_size": 128,
    "net_params": {"module__dropout": DROPOUT},
}
IMAGE = {**TABLE, "batch_size": 64}


def everywhere(**changes):
    """Return the same change for both recipes."""
    return changes, changes


def decaying_all(recipe):
    """Apply weight decay to all parameters, including biases and norms."""
    group = ("*", {"weight_decay": recipe["weight_decay"]})
    return {"net_params": {**recipe["net_params"], "optimizer__param_groups": [group]}}


# Changes of the recipe for tables and of that for images; None if it does not apply.
CHANGES = {
    "one-cycle": everywhere(schedule="one-cycle"),
    "plateau": everywhere(schedule="plateau"),
    "constant rate": everywhere(schedule="constant"),
    "no average of the weights": everywhere(average=None),
    "SWA instead of EMA": everywhere(average="swa"),
    "no label smoothing": everywhere(label_smoothing=0.0),
    "no weight decay": everywhere(weight_decay=0.0),
    "weight decay 1": everywhere(weight_decay=1.0),
    "weight decay of biases and norms": (decaying_all(TABLE), decaying_all(IMAGE)),
    "no clipping": everywhere(clip_norm=None),
    "no dropout": everywhere(net_params={"module__dropout": 0.0}),
    'init="he"': everywhere(init="he"),
    'init="xavier"': everywhere(init="xavier"),
    "inputs not standardized": ({"callbacks": [Change(leave_inputs)]}, None),
    "no norms inside": (
        {"callbacks": [Change(leave_norms_out)]},
        {"net_params": {"module__dropout": DROPOUT, "module__norm": nn.Identity}},
    ),
    "no residual sums": ({"callbacks": [Change(leave_sums_out)]}, None),
    "early stopping instead of the average": everywhere(average=None, early_stopping=True),
    "half the epochs": everywhere(max_epochs=10),
    "three times the epochs": everywhere(max_epochs=60),
    "a quarter of the batch": ({"batch_size": 32}, {"batch_size": 16}),
}
FULL, DEFAULTS = "full recipe, score", "defaults"


def settings_of(recipe, net_class):
    """Return the parameters of a recipe that a class supports: label smoothing is only for classifiers."""
    return {name: value for name, value in recipe.items() if name in net_class._get_param_names()}


def make_net(name, net_class, images, seed):
    """Return the net of a row of the table, or None if the change does not apply to it."""
    recipe, changes = (IMAGE, 1) if images is not None else (TABLE, 0)
    change = {} if name == FULL else None if name == DEFAULTS else CHANGES[name][changes]
    net = net_class(random_state=seed)
    if images is not None:
        net.set_params(module=Convolutions, module__channels=1 if images.ndim == 3 else images.shape[3])
    if name == DEFAULTS:
        return net
    if change is None or (net_class is NetRegressor and "label_smoothing" in change):
        return None
    inner = {**(net.net_params or {}), **recipe["net_params"], **change.get("net_params", {})}
    return net.set_params(**settings_of({**recipe, **change, "net_params": inner}, net_class))


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(task, net_class, X, y, names, args):
    """Return the scores of each recipe, one per seed, and the longest fit in seconds."""
    images, longest = (X if isinstance(X, np.ndarray) and X.ndim > 2 else None), 0.0
    scores = {name: [] for name in names}
    for seed in range(args.seeds):
        stratify = y if net_class is NetClassifier else None
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.33, stratify=stratify, random_state=seed)
        for name in names:
            net = make_net(name, net_class, images, seed)
            if net is None:
                continue
            started = time.perf_counter()
            net.fit(X_train, y_train)
            longest = max(longest, time.perf_counter() - started)
            scores[name].append(100 * net.score(X_test, y_test))
        said = ", ".join(f"{name} {values[-1]:.1f}" for name, values in scores.items() if values)
        print(f"{task}, seed {seed}: {said}", flush=True)
    print(f"{task}: the longest fit took {longest:.1f} s", flush=True)
    return {name: np.array(values) for name, values in scores.items()}


def mean_and_error(values):
    """Return the mean and its standard error as text."""
    return values.mean(), values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0


def row_of(name, results):
    """Return the cells of a recipe: the score of the full recipe, or the difference to it."""
    cells, changes = [name], []
    for scores in results.values():
        if not len(scores[name]):
            cells.append("")
            continue
        values = scores[name] if name == FULL else scores[name] - scores[FULL]
        mean, error = mean_and_error(values)
        changes.append(mean)
        cells.append(f"{mean:.1f} ± {error:.1f}" if name == FULL else f"{mean:+.1f} ± {error:.1f}")
    return [*cells, f"{np.mean(changes):.1f}" if name == FULL else f"{np.mean(changes):+.1f}"]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--cifar10", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per task (default: 3)")
    parser.add_argument("--only", nargs="+", metavar="TASK", help="tasks (default: all)")
    args = parser.parse_args()
    start("The recipe", args.threads)
    names = [FULL, *CHANGES, DEFAULTS]
    tasks = {**TABLES, **{name: (NetClassifier, load) for name, load in image_sets(args.cifar10).items()}}
    results = {
        task: measure(task, net_class, *load(), names, args)
        for task, (net_class, load) in tasks.items()
        if args.only is None or task in args.only
    }
    print(f"\nMean ± standard error of {args.seeds} seeds; below the first row the gain of each change, in points.")
    print_table(["", *results, "mean"], [row_of(name, results) for name in names])


if __name__ == "__main__":
    main()
