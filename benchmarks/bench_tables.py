"""Tables, untuned: NetClassifier() and NetRegressor() against models of scikit-learn and skorch with their defaults.

No parameter is tuned or set except the seed. Models that do not accept raw tables get the usual preprocessing: numbers
are standardized, missing values imputed, categories one-hot encoded, and y is standardized for the other nets. The
peers are LogisticRegression or Ridge, RandomForest, HistGradientBoosting, scikit-learn's MLP, and skorch's plain net
with a hidden layer of 100 units, like scikit-learn's MLP, Adam, and otherwise skorch's defaults.

Each seed draws other training and test rows (80 and 20 %) and other initial weights. The score is the accuracy or R²
on the test rows; the rank is that among the models for one data set and seed, the best being 1.

At the end, or only this with ``--same``, NetClassifier with a module of one hidden layer is timed against
scikit-learn's MLP of the same size, with the same number of epochs, batch size and optimizer, on standardized data.
"""

import time
import warnings
from functools import partial

import numpy as np
import torch
from _common import make_parser, print_table, start
from scipy.stats import rankdata
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_friedman1,
    make_moons,
    make_regression,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from torch import nn, optim

from sktricks import NetClassifier, NetRegressor

HIDDEN = 100  # as scikit-learn's MLP has by default

# -- data --------------------------------------------------------------------------------------------------------------


def make_mixed(n_rows=4000):
    """Return numbers and categories of low and high cardinality, with informative missing values in both."""
    import pandas as pd

    rng = np.random.default_rng(0)
    number, gaps = rng.normal(size=(n_rows, 6)), rng.random((n_rows, 6)) < 0.1
    sizes = (3, 8, 60)
    codes = np.stack([rng.integers(size, size=n_rows) for size in sizes])
    effects = [rng.normal(size=size) for size in sizes]
    score = number[:, 0] * effects[0][codes[0]] + np.sin(2 * number[:, 1]) + number[:, 2] * number[:, 3] + gaps[:, 4]
    score += sum(effect[code] for effect, code in zip(effects, codes, strict=True)) + rng.logistic(0, 0.3, n_rows)
    X = pd.DataFrame(np.where(gaps, np.nan, number), columns=[f"number{k}" for k in range(6)])
    for k, code in enumerate(codes):
        labels = np.array([f"{k}.{value}" for value in range(sizes[k])], dtype=object)[code]
        labels[rng.random(n_rows) < 0.05] = None
        X[f"kind{k}"] = pd.Categorical(labels)
    return X, (score > np.median(score)).astype(int)


CLASSES = {
    "breast_cancer": partial(load_breast_cancer, return_X_y=True),
    "wine": partial(load_wine, return_X_y=True),
    "digits": partial(load_digits, return_X_y=True),
    "classification 50,000": partial(make_classification, 50_000, 30, n_informative=12, random_state=0),
    "moons": partial(make_moons, 2000, noise=0.3, random_state=0),
    "mixed": make_mixed,
}
VALUES = {
    "diabetes": partial(load_diabetes, return_X_y=True),
    "friedman1": partial(make_friedman1, 2000, random_state=0),
    "regression": partial(make_regression, 5000, 50, noise=10, random_state=0),
}

# -- models ------------------------------------------------------------------------------------------------------------


def prepare():
    """Return preprocessing of tables to float32: standardization, imputation and one-hot encoding."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    kinds = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        make_column_transformer(
            (kinds, make_column_selector(dtype_include="category")),
            (numbers, make_column_selector(dtype_exclude="category")),
        ),
        FunctionTransformer(np.float32),
    )


class Hidden(nn.Sequential):
    def __init__(self, n_features=1, n_outputs=1):
        super().__init__(nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_outputs))


class SetWidth(Callback):
    """Set the number of input columns of the module, as skorch's documentation shows."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        net.set_params(module__n_features=X.shape[1])


class PlainRegressor(NeuralNetRegressor):
    """Return skorch's net with standardized y."""

    def fit(self, X, y):
        self.y_mean_, self.y_scale_ = y.mean(), y.std()
        return super().fit(X, ((y - self.y_mean_) / self.y_scale_).astype(np.float32).reshape(-1, 1))

    def predict(self, X):
        return super().predict(X)[:, 0] * self.y_scale_ + self.y_mean_


def plain_skorch(cls, n_outputs, seed, **settings):
    """skorch's plain net; the user sets its seed by torch's."""
    torch.manual_seed(seed)
    settings |= {"module__n_outputs": n_outputs, "optimizer": optim.Adam, "lr": 1e-3, "callbacks": [SetWidth()]}
    return cls(Hidden, verbose=0, **settings)


def classifiers(seed, n_classes):
    skorch = plain_skorch(NeuralNetClassifier, n_classes, seed, criterion=nn.CrossEntropyLoss)
    return {
        "NetClassifier()": NetClassifier(random_state=seed),
        "LogisticRegression": make_pipeline(prepare(), LogisticRegression(max_iter=1000)),
        "RandomForest": make_pipeline(prepare(), RandomForestClassifier(random_state=seed)),
        "HistGradientBoosting": HistGradientBoostingClassifier(random_state=seed),
        "MLPClassifier": make_pipeline(prepare(), MLPClassifier(random_state=seed)),
        "skorch": make_pipeline(prepare(), skorch),
    }


def regressors(seed, _):
    mlp = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    return {
        "NetRegressor()": NetRegressor(random_state=seed),
        "Ridge": make_pipeline(prepare(), Ridge()),
        "RandomForest": make_pipeline(prepare(), RandomForestRegressor(random_state=seed)),
        "HistGradientBoosting": HistGradientBoostingRegressor(random_state=seed),
        "MLPRegressor": make_pipeline(prepare(), mlp),
        "skorch": make_pipeline(prepare(), plain_skorch(PlainRegressor, 1, seed)),
    }


# -- measuring ---------------------------------------------------------------------------------------------------------


def as_frame(X):
    """Return the rows in a form from which a ColumnTransformer can select columns."""
    import pandas as pd

    return X if hasattr(X, "columns") else pd.DataFrame(X, columns=[f"x{number}" for number in range(X.shape[1])])


def measure(name, X, y, make_models, seeds):
    """Return scores and seconds by model, one value per seed."""
    scores, seconds = {}, {}
    classes = make_models is classifiers
    for seed in range(seeds):
        X_train, X_test, y_train, y_test = train_test_split(
            as_frame(X), y, test_size=0.2, stratify=y if classes else None, random_state=seed
        )
        for model_name, model in make_models(seed, len(np.unique(y))).items():
            started = time.perf_counter()
            model.fit(X_train, y_train)
            seconds.setdefault(model_name, []).append(time.perf_counter() - started)
            scores.setdefault(model_name, []).append(100 * model.score(X_test, y_test))
        said = ", ".join(f"{model} {values[-1]:.1f}" for model, values in scores.items())
        print(f"{name}, seed {seed}: {said}", flush=True)
    return scores, seconds


def ranks_of(scores):
    """Return the mean rank of each model, the best being 1; ties share ranks."""
    table = np.array(list(scores.values()))  # (models, seeds)
    return dict(zip(scores, rankdata(-table, axis=0).mean(axis=1), strict=True))


def compare(title, datasets, make_models, args):
    """Print a table of scores and ranks and one of seconds; return the mean ranks in the order of the models."""
    results = {name: measure(name, *load(), make_models, args.seeds) for name, load in datasets.items()}
    ranks = {name: ranks_of(scores) for name, (scores, _) in results.items()}
    models = list(next(iter(ranks.values())))
    mean_rank = {model: np.mean([own[model] for own in ranks.values()]) for model in models}
    rows = []
    for model in models:
        cells = [f"{np.mean(scores[model]):.1f} ({ranks[name][model]:.1f})" for name, (scores, _) in results.items()]
        rows.append([model, *cells, f"{mean_rank[model]:.2f}"])
    print_table([title, *results, "mean rank"], rows)
    rows = [[model, *(f"{np.median(seconds[model]):.2f}" for _, seconds in results.values())] for model in models]
    print_table(["seconds per fit, median", *results], rows)
    return [mean_rank[model] for model in models], len(results)


def show_total(parts):
    """Print the mean rank over all data sets; models at the same index of both lists are of one kind."""
    kinds = ["sktricks", "linear", "RandomForest", "HistGradientBoosting", "scikit-learn's MLP", "skorch"]
    weights = [n_datasets for _, n_datasets in parts]
    total = np.average([ranks for ranks, _ in parts], axis=0, weights=weights)
    print_table(["", "mean rank over all"], [[kind, f"{rank:.2f}"] for kind, rank in zip(kinds, total, strict=True)])


# -- the same size, the same epochs ------------------------------------------------------------------------------------


def time_same(n_rows, epochs, rounds):
    """Return the seconds per fit of two alternating models, which both run all epochs."""
    X, y = make_classification(n_rows, 30, n_informative=12, random_state=0)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    settings = {"max_epochs": epochs, "batch_size": 200, "lr": 1e-3, "schedule": "constant", "optimizer": "adam"}
    models = {
        "NetClassifier": NetClassifier(Hidden, weight_decay=0, random_state=0, **settings),
        "MLPClassifier": MLPClassifier(
            HIDDEN, max_iter=epochs, batch_size=200, n_iter_no_change=epochs, alpha=0, random_state=0
        ),
    }
    models["NetClassifier"].set_params(max_epochs=1).fit(X[:400], y[:400]).set_params(max_epochs=epochs)  # imports
    seconds = {name: [] for name in models}
    for number in range(rounds):
        for name, model in models.items():
            started = time.perf_counter()
            model.fit(X, y)
            seconds[name].append(time.perf_counter() - started)
        said = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
        print(f"{n_rows} rows, {epochs} epochs, round {number + 1} of {rounds}: {said}", flush=True)
    return [np.median(values) for values in seconds.values()]


def show_same(args):
    sizes = [(2000, 50), (50_000, 5)]
    rows = [[f"{n:,} rows, {epochs} epochs", *time_same(n, epochs, args.rounds)] for n, epochs in sizes]
    rows = [[name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"] for name, ours, theirs in rows]
    print_table(["the same size, seconds per fit", "NetClassifier", "MLPClassifier", "ratio"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="seeds per data set (default: 5)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison of times (default: 5)")
    parser.add_argument("--only", nargs="+", default=[*CLASSES, *VALUES], help="data sets (default: all)")
    parser.add_argument("--same", action="store_true", help="only the time against scikit-learn's MLP of the same size")
    args = parser.parse_args()
    start("Tables, untuned", args.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's MLP stops after its 200 epochs
    parts = []
    for title, datasets, make_models in (
        ("accuracy, % (rank)", CLASSES, classifiers),
        ("R², % (rank)", VALUES, regressors),
    ):
        chosen = {} if args.same else {name: load for name, load in datasets.items() if name in args.only}
        if chosen:
            parts.append(compare(title, chosen, make_models, args))
    if len(parts) > 1:
        show_total(parts)
    show_same(args)


if __name__ == "__main__":
    main()
