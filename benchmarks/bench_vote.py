"""A hard vote: VotingClassifier of sktricks and of scikit-learn.

The vote has 100,000 rows and 10 classes. Its members return stored labels, so only the vote itself takes time. The
script measures the whole `predict`, and only the counting of votes: scikit-learn's `bincount` per row against one flat
`bincount`. Both must return the same labels. If labels are strings, scikit-learn's members return codes, and ours
return the strings, which have to be looked up.

Figures are the minimum of several rounds in which the two alternate.

Finally, the script measures the CPU seconds of `fit` for learned weights of a hard vote of three fitted members with
thousands of classes.
"""

import time

import numpy as np
from _common import make_parser, print_table, start
from sklearn import ensemble
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator

from sktricks.ensemble import VotingClassifier
from sktricks.ensemble._votes import hard_vote

N_CLASSES = 10


class Stored(ClassifierMixin, BaseEstimator):
    """A classifier that returns stored labels."""

    def __init__(self, labels):
        self.labels = labels

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.labels


def count_row_by_row(labels, weights):
    """Count votes as scikit-learn's `predict` does."""
    return np.apply_along_axis(lambda row: np.argmax(np.bincount(row, weights=weights)), axis=1, arr=labels.T)


def best_times(rounds, *calls):
    """Return the milliseconds of each call, the minimum of the rounds."""
    times = np.full((rounds, len(calls)), np.inf)
    for turn in times:
        for k, call in enumerate(calls):
            started = time.perf_counter()
            call()
            turn[k] = 1000 * (time.perf_counter() - started)
    return times.min(axis=0)


def measure(n_rows, n_members, kind, rounds):
    rng = np.random.default_rng(0)
    names = np.array([f"class {k}" for k in range(N_CLASSES)]) if kind == "strings" else np.arange(N_CLASSES)
    X, y = np.zeros((n_rows, 1)), names[np.arange(n_rows) % N_CLASSES]
    codes = rng.integers(0, N_CLASSES, (n_members, n_rows))
    weights = rng.random(n_members) if kind == "weighted" else None
    theirs = ensemble.VotingClassifier([(f"m{k}", Stored(one)) for k, one in enumerate(codes)], weights=weights)
    ours = VotingClassifier([(f"m{k}", Stored(names[one])) for k, one in enumerate(codes)], weights=weights)
    theirs.fit(X, y)
    ours.fit(X, y)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(hard_vote(codes, N_CLASSES, weights), count_row_by_row(codes, weights))
    whole = best_times(rounds, lambda: theirs.predict(X), lambda: ours.predict(X))
    count = best_times(rounds, lambda: count_row_by_row(codes, weights), lambda: hard_vote(codes, N_CLASSES, weights))
    cells = [f"{n_members} members, {kind}"]
    for slow, fast in (whole, count):
        cells += [f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.0f}"]
    return cells


def learn(n_rows, n_classes):
    """Return the CPU seconds of a fit that learns the weights of a hard vote, by method."""
    rng = np.random.default_rng(0)
    X, y = np.zeros((n_rows, 1)), np.arange(n_rows) % n_classes
    members = []
    for skill in (0.9, 0.7, 0.5):
        labels = np.where(rng.random(n_rows) < skill, y, rng.integers(0, n_classes, n_rows))
        members.append((f"right {skill}", FrozenEstimator(Stored(labels).fit(X, y))))
    times = []
    for weights in ("greedy", "simplex", "nnls"):
        started = time.process_time()
        VotingClassifier(members, weights=weights, store_oof=False).fit(X, y)
        times.append(f"{time.process_time() - started:.2f}")
    return [f"{n_rows:,} x {n_classes:,}", *times]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to vote on (default: 100,000)")
    parser.add_argument("--members", type=int, nargs="+", default=[5, 20], help="members (default: 5 and 20)")
    parser.add_argument(
        "--classes", type=int, default=3000, help="classes of the vote with learned weights (default: 3000)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which the two alternate (default: 5)")
    args = parser.parse_args()
    start("A hard vote", args.threads)
    both = ["scikit-learn, ms", "sktricks, ms", "times faster"]
    titles = [f"{what}: {title}" for what in ("predict", "counting") for title in both]
    kinds = ("equal weights", "weighted", "strings")
    rows = [measure(args.rows, members, kind, args.rounds) for members in args.members for kind in kinds]
    print_table([f"{args.rows:,} x {N_CLASSES}", *titles], rows)
    print_table(["learned weights, s", "greedy", "simplex", "nnls"], [learn(6000, args.classes)])


if __name__ == "__main__":
    main()
