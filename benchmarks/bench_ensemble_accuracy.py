"""Accuracy and log loss of six different models, alone, averaged, weighted and stacked.

The six members are logistic regression, a support vector machine, nearest neighbors, a random forest, boosted trees and
a ``NetClassifier``, with common settings. The weights of a ``VotingClassifier`` and the final model of a
``StackingClassifier`` are learned from out-of-fold predictions (five folds). They are compared with the net alone and
with ``NetEnsembleClassifier`` of eight nets. The best single member is the one with the highest out-of-fold accuracy,
which a user would choose, not the one with the highest test accuracy.

The data are scikit-learn's digits, breast cancer and wine, two tables of ``make_classification``, and, if an ``.npz``
file with ``X`` and ``y`` is given, tiny32 features of CIFAR-10 photos: their first 50 principal components, with which
boosted trees take only seconds. Each seed draws other training and test rows.
"""

import time

import joblib
import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import NetClassifier, NetEnsembleClassifier, PretrainedFeatures
from sktricks.ensemble import StackingClassifier, VotingClassifier

TABLES = {
    "digits": lambda: load_digits(return_X_y=True),
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "four classes": lambda: make_classification(2000, n_classes=4, n_informative=6, random_state=0),
    "flipped labels": lambda: make_classification(5000, flip_y=0.1, n_informative=8, random_state=1),
}
WEIGHTS = ("uniform", "greedy", "simplex", "nnls")
WAYS = ("best member", *WEIGHTS, "stacking", "one net", "eight nets", "eight snapshots")


class Once(ClassifierMixin, BaseEstimator):
    """A member that is fitted only once for the same rows, so that all votes and stacks share its fits."""

    fitted = {}

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        key = joblib.hash((self.estimator, X, y))
        if key not in self.fitted:
            self.fitted[key] = clone(self.estimator).fit(X, y)
        self.estimator_ = self.fitted[key]
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X):
        return self.estimator_.predict(X)

    def predict_proba(self, X):
        return self.estimator_.predict_proba(X)


def make_members(seed):
    scaled = {
        "logistic": LogisticRegression(max_iter=1000),
        "svm": CalibratedClassifierCV(SVC(C=10), ensemble=False),
        "neighbors": KNeighborsClassifier(),
        "net": NetClassifier(random_state=seed),
    }
    trees = {
        "forest": RandomForestClassifier(200, random_state=seed),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    models = {name: make_pipeline(StandardScaler(), model) for name, model in scaled.items()} | trees
    return [(name, Once(model)) for name, model in models.items()]


def fit_all(X, y, seed):
    """Return all fitted models of the comparison, by name."""
    folds, members = StratifiedKFold(5, shuffle=True, random_state=seed), make_members(seed)
    fitted = {}
    for weights in WEIGHTS:
        vote = VotingClassifier(members, voting="soft", weights=None if weights == "uniform" else weights, cv=folds)
        fitted[weights] = vote.fit(X, y)
    final = LogisticRegression(max_iter=1000)
    fitted["stacking"] = StackingClassifier(members, final, cv=folds, stack_method="predict_proba").fit(X, y)
    right = vote.classes_[vote.oof_predictions_.argmax(axis=2)] == y
    fitted["best member"] = vote.estimators_[right.mean(axis=1).argmax()]
    Once.fitted.clear()
    fitted["one net"] = vote.named_estimators_["net"]
    for name, mode in {"eight nets": "batched", "eight snapshots": "snapshot"}.items():
        nets = NetEnsembleClassifier(NetClassifier(), n_members=8, mode=mode, random_state=seed)
        fitted[name] = make_pipeline(StandardScaler(), nets).fit(X, y)
    return fitted


def measure(name, X, y, args):
    """Return accuracies in % and log losses by model, one value per seed."""
    scores, losses = {way: [] for way in WAYS}, {way: [] for way in WAYS}
    for seed in range(args.seeds):
        started = time.perf_counter()
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        fitted = fit_all(X_train, y_train, seed)
        for way in WAYS:
            probabilities = fitted[way].predict_proba(X_test)
            scores[way].append(100 * np.mean(fitted[way].classes_[probabilities.argmax(axis=1)] == y_test))
            losses[way].append(log_loss(y_test, probabilities))
        said = ", ".join(f"{way} {scores[way][-1]:.1f}" for way in WAYS)
        print(f"{name}, seed {seed}, {time.perf_counter() - started:.0f} s: {said}", flush=True)
    return scores, losses


def cell(values, digits, best):
    values = np.array(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    mark = "**" if f"{values.mean():.{digits}f}" == f"{best:.{digits}f}" else ""
    return f"{mark}{values.mean():.{digits}f} ± {error:.{digits}f}{mark}"


def show(title, results, digits, choose):
    """Print a table with one row per model and one column per data set; the best in bold."""
    best = [choose(np.mean(values) for values in one.values()) for one in results.values()]
    ways = [
        [way, *(cell(one[way], digits, top) for one, top in zip(results.values(), best, strict=True))] for way in WAYS
    ]
    print_table([title, *results], ways)


def show_gains(results):
    """Print the gains of learned weights and stacking over uniform weights, on the same splits."""
    rows = []
    for way in (*WEIGHTS[1:], "stacking"):
        gains = [np.array(one[way]) - np.array(one["uniform"]) for one in results.values()]
        all_of_them = np.mean([gain.mean() for gain in gains])
        rows.append([way, *(f"{g.mean():+.2f} ± {g.std(ddof=1) / np.sqrt(len(g)):.2f}" for g in gains)])
        rows[-1].append(f"{all_of_them:+.2f}")
    print_table(["accuracy over uniform weights", *results, "mean"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--cifar10", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--photos", type=int, default=2000, help="maximum number (default: 2000)")
    parser.add_argument("--sets", nargs="*", choices=TABLES, default=list(TABLES), help="tables (default: all)")
    parser.add_argument("--seeds", type=int, default=8, help="default: 8")
    args = parser.parse_args()
    start("The accuracy of ensembles", args.threads)
    data = {name: TABLES[name]() for name in args.sets}
    if args.cifar10:
        X, y = read_arrays(args.cifar10)
        rows = np.random.default_rng(0).permutation(len(y))[: args.photos]
        features = make_pipeline(PretrainedFeatures(), PCA(50, random_state=0)).fit_transform(X[rows])
        data["tiny32's features of photos"] = features, y[rows]
    results = {name: measure(name, X, y, args) for name, (X, y) in data.items()}
    scores, losses = ({name: both[number] for name, both in results.items()} for number in (0, 1))
    show("accuracy, %", scores, 1, max)
    show("log loss", losses, 3, min)
    if args.seeds > 1:
        show_gains(scores)


if __name__ == "__main__":
    main()
