"""The cost of ``compare`` relative to its slowest estimator, and the coverage of its 95 % intervals.

``--part cost``: eight estimators on images, of an ``.npz`` file as in ``bench_recipe.py``, all with the same frozen
backbone, with which ``compare`` encodes each image only once. The cost is compared with the cross-validation of only
the slowest of them plus that of the others on precomputed features, all in processor time of this process.

``--part coverage``: data sets are drawn from a known generator, cheap estimators are cross-validated on each, and the
intervals of a ``Comparison`` are compared with the truth: the difference of the expected scores of estimators that are
fitted on as many rows as in a fold, a mean over many training sets, each with thousands of new test rows. The coverage
is measured for the difference of each estimator to the best one on these folds, as in the table of ``compare``, and for
two estimators that were chosen beforehand. Both are compared with the interval of the usual t test, which treats folds
as independent::

    python benchmarks/bench_compare.py --part cost CIFAR10.npz
    python benchmarks/bench_compare.py --part coverage
"""

import time

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, RepeatedKFold, StratifiedKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks import FineTuneClassifier, PretrainedFeatures, clear_cache, compare
from sktricks.inspection._comparison import Compared, Comparison
from sktricks.inspection._corrected_interval import corrected_interval

# -- cost --------------------------------------------------------------------------------------------------------------


def image_estimators():
    """Return eight estimators by name; the last two are nets, the others models on pretrained features."""
    models = {
        "logistic regression": LogisticRegression(max_iter=1000),
        "ridge": RidgeClassifier(),
        "SVM": SVC(),
        "neighbors": KNeighborsClassifier(),
        "forest": RandomForestClassifier(random_state=0),
        "Bayes": GaussianNB(),
    }
    net = FineTuneClassifier("tiny32", strategy="linear-probe", device="cpu", random_state=0)
    on_features = {
        name: make_pipeline(PretrainedFeatures("tiny32"), StandardScaler(), model) for name, model in models.items()
    }
    return {**on_features, "probe": net, "probe, decay 0.1": clone(net).set_params(weight_decay=0.1)}


def seconds(function):
    """Return the processor seconds of a call."""
    before = time.process_time()
    function()
    return time.process_time() - before


def measure_heads(estimators, X, y, folds):
    """Return the seconds of each cross-validation on precomputed features.

    Models get the features as an array; nets read them from the cache.
    """
    features, found = PretrainedFeatures("tiny32").fit_transform(X), {}
    for name, estimator in estimators.items():
        head, rows = (estimator[1:], features) if hasattr(estimator, "steps") else (estimator, X)
        found[name] = seconds(lambda head=head, rows=rows: cross_validate(head, rows, y, cv=folds))
    return found


def run_cost(path, n_rows, repeats):
    """Print the cost of ``compare`` as a ratio to that of the slowest estimator and the heads of the others."""
    X, y = read_arrays(path)
    rows = np.random.default_rng(0).permutation(len(y))[:n_rows]
    X, y, folds, estimators = X[rows], y[rows], StratifiedKFold(5), image_estimators()
    compare({"probe": estimators["probe"]}, X[:100], y[:100], cv=2)  # torch loads its libraries
    clear_cache()
    seconds(lambda: cross_validate(estimators["probe"], X, y, cv=folds))  # encodes the images
    heads = measure_heads(estimators, X, y, folds)
    slowest = max(heads, key=heads.get)  # since all encode the same images
    print({name: round(time, 2) for name, time in heads.items()}, flush=True)
    table = []
    for _ in range(repeats):
        clear_cache()
        together = seconds(lambda: compare(estimators, X, y, cv=folds))
        clear_cache()
        one = seconds(lambda: cross_validate(estimators[slowest], X, y, cv=folds))
        heads = measure_heads(estimators, X, y, folds)
        others = sum(time for name, time in heads.items() if name != slowest)
        table.append((together, one, others, together / (one + others)))
        print(*table[-1], flush=True)
    print(f"{n_rows} images, five folds; the slowest is {slowest!r}")
    header = ["compare, s", "slowest, s", "heads of the others, s", "ratio"]
    print_table(header, [[f"{value:.2f}" for value in row] for row in table])
    print(f"median ratio: {np.median([row[-1] for row in table]):.3f}")


# -- coverage ----------------------------------------------------------------------------------------------------------

CLASSIFIERS = {
    "LDA": LinearDiscriminantAnalysis(),
    "Bayes": GaussianNB(),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "ridge": RidgeClassifier(alpha=100.0),
    "neighbors": KNeighborsClassifier(),
}
PROBABLE = {name: CLASSIFIERS[name] for name in ("LDA", "Bayes")} | {"logistic": LogisticRegression()}
REGRESSORS = {
    "linear": LinearRegression(),
    "ridge": Ridge(alpha=30.0),
    "tree": DecisionTreeRegressor(max_depth=4, random_state=0),
    "neighbors": KNeighborsRegressor(),
}


def draw_classes(n, rng):
    """Return rows of three classes with eight columns: two have linear effects, two have nonlinear ones."""
    X = rng.normal(size=(n, 8))
    margin = X[:, 0] + 0.5 * X[:, 1] + 0.7 * X[:, 2] * X[:, 3] + rng.normal(size=n)
    return X, np.digitize(margin, [-0.6, 0.6])


def draw_values(n, rng):
    """Return rows of Friedman's first function with noise."""
    return make_friedman1(n, n_features=7, noise=2.0, random_state=int(rng.integers(2**31)))


def accuracy(model, X, y):
    return np.mean(model.predict(X) == y)


def negative_log_loss(model, X, y):
    return -log_loss(y, model.predict_proba(X), labels=[0, 1, 2])


def r_squared(model, X, y):
    return r2_score(y, model.predict(X))


SETTINGS = {
    "accuracy, 100 rows, 5 folds": (CLASSIFIERS, draw_classes, accuracy, 100, StratifiedKFold(5)),
    "accuracy, 500 rows, 5 folds": (CLASSIFIERS, draw_classes, accuracy, 500, StratifiedKFold(5)),
    "accuracy, 100 rows, 10 folds": (CLASSIFIERS, draw_classes, accuracy, 100, StratifiedKFold(10)),
    "log loss, 100 rows, 5 folds": (PROBABLE, draw_classes, negative_log_loss, 100, StratifiedKFold(5)),
    "R^2, 100 rows, 5 folds": (REGRESSORS, draw_values, r_squared, 100, KFold(5)),
    "R^2, 500 rows, 5 folds": (REGRESSORS, draw_values, r_squared, 500, KFold(5)),
    "R^2, 100 rows, 5 folds, 3 times": (
        REGRESSORS, draw_values, r_squared, 100, RepeatedKFold(n_splits=5, n_repeats=3, random_state=0)
    ),
}  # fmt: skip


def expected_scores(models, draw, score, n_train, n_sets, n_test, rng):
    """Return the scores of models that are fitted on ``n_train`` rows, (sets, models), each on new test rows."""
    found = []
    for _ in range(n_sets):
        (X, y), (X_test, y_test) = draw(n_train, rng), draw(n_test, rng)
        found.append([score(clone(model).fit(X, y), X_test, y_test) for model in models.values()])
    return np.array(found)


def compare_once(models, draw, score, n, cv, rng):
    """Return the comparison of models on new data, without times and sizes, which would take most of the time."""
    X, y = draw(n, rng)
    splits = list(cv.split(X, y))
    scores = {
        name: np.array([score(clone(model).fit(X[train], y[train]), X[test], y[test]) for train, test in splits])
        for name, model in models.items()
    }
    results = sorted((Compared(name, own) for name, own in scores.items()), key=lambda one: -np.mean(one.scores))
    return Comparison(results, "", float(np.mean([len(test) / len(train) for train, test in splits])))


def count_covered(comparison, truth):
    """Return the numbers of intervals, to the best and of a pair, that contain the truth, and the mean width."""
    best, others = comparison.results[0], comparison.results[1:]
    named = {result.name: result for result in comparison.results}
    first, second = list(truth)[:2]
    to_best = [(comparison.difference(one)[1:], truth[one.name] - truth[best.name]) for one in others]
    plain = [(corrected_interval(one.scores - best.scores, 0.0), truth[one.name] - truth[best.name]) for one in others]
    pair, difference = named[first].scores - named[second].scores, truth[first] - truth[second]
    fixed = [
        (corrected_interval(pair, comparison.test_fraction), difference),
        (corrected_interval(pair, 0.0), difference),
    ]
    covered = [[low <= true <= high for (low, high), true in found] for found in (to_best, plain, fixed)]
    width = np.mean([high - low for (low, high), _ in to_best])
    return np.mean(covered[0]), np.mean(covered[1]), *covered[2], width


def run_coverage(part_of_name, repeats, n_sets, n_test):
    """Print the fraction of intervals that contain the truth."""
    rows = []
    for name, (models, draw, score, n, cv) in SETTINGS.items():
        if part_of_name not in name:
            continue
        rng = np.random.default_rng(0)
        n_train = n - n // (10 if cv.get_n_splits() == 10 else 5)
        with config_context(assume_finite=True, skip_parameter_validation=True):
            found = expected_scores(models, draw, score, n_train, n_sets, n_test, rng)
            truth = dict(zip(models, found.mean(0), strict=True))
            error = np.std(found[:, 0] - found[:, 1], ddof=1) / np.sqrt(n_sets)
            counted = [count_covered(compare_once(models, draw, score, n, cv, rng), truth) for _ in range(repeats)]
        to_best, plain, pair, plain_pair, width = np.mean(counted, axis=0)
        rows.append(
            [name, *(f"{value:.1%}" for value in (to_best, pair, plain, plain_pair)), f"{width:.3f}", f"{error:.4f}"]
        )
        print(rows[-1], flush=True)
    header = [
        "setting",
        "to the best",
        "of a pair",
        "to the best, t test",
        "of a pair, t test",
        "width",
        "error of the truth",
    ]
    print_table(header, rows)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("path", nargs="?", help="images as an .npz file, for --part cost")
    parser.add_argument("--part", choices=["cost", "coverage"], required=True)
    parser.add_argument("--rows", type=int, default=600, help="images")
    parser.add_argument("--repeats", type=int, help="default: 3 comparisons of the cost, 2000 of the coverage")
    parser.add_argument("--setting", default="", help="part of the names of settings to run, such as 'R^2'")
    parser.add_argument("--sets", type=int, default=400, help="training sets for the truth")
    parser.add_argument("--test-rows", type=int, default=5000, help="test rows per training set for the truth")
    given = parser.parse_args()
    start(f"compare: {given.part}", given.threads)
    if given.part == "cost":
        run_cost(given.path, given.rows, given.repeats or 3)
    else:
        run_coverage(given.setting, given.repeats or 2000, given.sets, given.test_rows)
