"""Splits with a row in both parts raise an error, wherever splits are passed."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import GaussianNB

from sktricks import CascadeClassifier, NetClassifier, StackingClassifier, VotingClassifier, compare, find_label_issues
from sktricks._splits import check_apart, read_split

X, y = load_iris(return_X_y=True)
ROWS, ODD = np.arange(150), np.arange(150) % 2 == 1
TWICE = [(ROWS[~ODD], ROWS[ODD]), (ROWS[ODD], np.r_[ROWS[~ODD], 7, 9])]
MEMBERS = [("a", GaussianNB()), ("b", GaussianNB(var_smoothing=0.1))]
CALLERS = {
    "compare": lambda cv: compare(dict(MEMBERS), X, y, cv=cv),
    "find_label_issues": lambda cv: find_label_issues(GaussianNB(), X, y, cv=cv),
    "stack": lambda cv: StackingClassifier(MEMBERS, cv=cv).fit(X, y),
    "vote": lambda cv: VotingClassifier(MEMBERS, voting="soft", weights="simplex", cv=cv).fit(X, y),
    "cascade": lambda cv: CascadeClassifier(MEMBERS, cv=cv).fit(X, y),
}


class Splitter:
    """A splitter that returns given splits."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def split(self, X, y=None, groups=None):
        return iter(self.pairs)

    def get_n_splits(self, X=None, y=None, groups=None):
        return len(self.pairs)


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("cv", [TWICE, Splitter(*TWICE)], ids=["pairs", "splitter"])
def test_rows_in_both_parts_raise_an_error(name, cv):
    if name in ("compare", "find_label_issues"):
        pytest.importorskip("pandas")
    match = "cv must test models on rows that they have not seen, got 2 rows in both parts of split 2, such as row 7"
    with pytest.raises(ValueError, match=match):
        CALLERS[name](cv)


@pytest.mark.parametrize("part", [ROWS[:9], ODD], ids=["indices", "mask"])
def test_validation_rows_are_not_trained_on(part):
    net = NetClassifier(early_stopping=True, validation_fraction=Splitter((ROWS, part)), max_epochs=1)
    match = "validation_fraction must test .*, got (9|75) rows in both parts of its first split, such as row (0|1)"
    with pytest.raises(ValueError, match=match):
        net.fit(X, y)
    apart = PredefinedSplit(np.where(ODD, 0, -1))
    assert len(net.set_params(validation_fraction=apart).fit(X, y).validation_loss_curve_) == 1


def test_negative_indices_and_masks_are_rows():
    train, test = read_split(([-1, 0], np.arange(4) == 2), 4, 1)
    assert train.tolist() == [3, 0] and test.tolist() == [2]
    with pytest.raises(ValueError, match="got 1 row in both parts of split 5, such as row 3"):
        read_split(([-1, 0], [3]), 4, 5)


def test_rows_may_be_trained_on_twice():
    check_apart(np.array([0, 0, 1]), np.array([2, 2]), "cv", "split 1")
