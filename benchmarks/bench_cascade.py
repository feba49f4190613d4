"""A cascade: the loss of accuracy on new rows, compared with its tolerance.

There are three tasks with 20 seeds each, and every seed draws its own rows. A cascade is fitted, and its accuracy on
held-out rows is compared with that of the mean of all members. The thresholds are chosen from the same out-of-fold
predictions by two rules:

- "lowest that fits": the lowest threshold with which the loss on these rows is within the tolerance;
- "margin": CascadeClassifier, the lowest threshold with which this loss plus its standard error is within the
  tolerance.

The rule was chosen on other tasks and seeds. Figures are means over seeds with their standard errors; "rows passed on"
is the fraction of held-out rows that the first member does not decide, "members used" their mean number per row.
"""

import warnings

import numpy as np
from _common import make_parser, print_table, start
from sklearn.datasets import load_digits, make_classification, make_hastie_10_2
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from sktricks.ensemble import CascadeClassifier, SmallToleranceWarning
from sktricks.ensemble._cascade import find_thresholds, running_means

TOLERANCES = 0.002, 0.01, 0.03
FIRST_SEED = 1000


def digits(seed):
    members = [("bayes", GaussianNB(var_smoothing=1e-2)), ("trees", ExtraTreesClassifier(60, random_state=seed))]
    return load_digits(return_X_y=True), 900, members


def hastie(seed):
    members = [
        ("tree", DecisionTreeClassifier(max_depth=6, random_state=seed)),
        ("boosting", HistGradientBoostingClassifier(max_iter=40, random_state=seed)),
    ]
    return make_hastie_10_2(10_000, random_state=seed), 2000, members


def five_classes(seed):
    data = make_classification(9000, 20, n_informative=8, n_classes=5, class_sep=1.3, random_state=seed)
    members = [("bayes", GaussianNB()), ("line", LogisticRegression()), ("near", KNeighborsClassifier(15))]
    return data, 1500, members


TASKS = {"digits, 2 members": digits, "Hastie 10.2, 2 members": hastie, "five classes, 3 members": five_classes}


def lowest_that_fits(oof, codes, tolerance):
    """Return thresholds that use up the tolerance on the rows on which they are chosen."""
    means = running_means(oof, np.ones(oof.shape[:2], bool))
    right = (means.argmax(axis=2) == codes).astype(float)
    waiting, thresholds, left = np.ones(len(codes), bool), [], tolerance
    for stage in range(len(means) - 1):
        sure, cost = means[stage].max(axis=1), (right[-1] - right[stage]) / len(codes)
        order = np.argsort(-sure[waiting], kind="stable")
        ordered, total = sure[waiting][order], cost[waiting][order].cumsum()
        last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
        fits = np.flatnonzero(last & (total <= left / (len(means) - 1 - stage) + 1e-12))
        thresholds.append(ordered[fits[-1]] if len(fits) else np.inf)
        left -= max(total[fits[-1]], 0) if len(fits) else 0
        waiting &= sure < thresholds[-1]
    return np.array(thresholds)


def judge(cascade, thresholds, X, y):
    """Return the accuracy lost, the fraction of rows passed on, and the mean number of members used per row."""
    cascade.thresholds_ = thresholds
    said = cascade.predict_members(X)
    means = running_means(said, np.ones(said.shape[:2], bool))
    decided = np.stack([mean.max(axis=1) >= limit for mean, limit in zip(means, [*thresholds, 0], strict=True)])
    asked = decided.argmax(axis=0)
    lost = np.mean(cascade.classes_[means[-1].argmax(axis=1)] == y) - cascade.score(X, y)
    return lost, np.mean(asked > 0), 1 + asked.mean()


def measure(task, seed):
    """Return the figures of one seed, of shape (tolerances, rules, 3)."""
    (X, y), n_train, members = task(seed)
    X, X_test, y, y_test = train_test_split(X, y, train_size=n_train, stratify=y, random_state=seed)
    cascade = CascadeClassifier(members, tolerance=0.03).fit(X, y)
    codes, shares = np.searchsorted(cascade.classes_, y), np.full(len(y), 1 / len(y))
    oof, found = cascade.oof_predictions_, []
    for tolerance in TOLERANCES:
        rules = lowest_that_fits(oof, codes, tolerance), find_thresholds(oof, codes, shares, tolerance)[0]
        found.append([judge(cascade, thresholds, X_test, y_test) for thresholds in rules])
    return found


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="seeds per task (default: 20)")
    args = parser.parse_args()
    start("A cascade", args.threads)
    warnings.simplefilter("ignore", SmallToleranceWarning)
    rows = []
    for name, task in TASKS.items():
        found = np.array([measure(task, FIRST_SEED + seed) for seed in range(args.seeds)])
        mean, error = found.mean(axis=0), found[..., 0].std(axis=0) / np.sqrt(args.seeds)
        for k, tolerance in enumerate(TOLERANCES):
            for rule, label in enumerate(("lowest that fits", "margin")):
                lost, handed_on, asked = mean[k, rule]
                over = np.mean(found[:, k, rule, 0] > tolerance)
                cells = f"{lost:.4f} ± {error[k, rule]:.4f}", f"{over:.0%}", f"{handed_on:.0%}", f"{asked:.2f}"
                rows.append([name, tolerance, label, *cells])
    titles = ["task", "tolerance", "rule", "accuracy lost", "seeds beyond tolerance", "rows passed on", "members used"]
    print_table(titles, rows)


if __name__ == "__main__":
    main()
