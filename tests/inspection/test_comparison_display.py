"""ComparisonDisplay."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from sktricks import ComparisonDisplay, compare

pytest.importorskip("matplotlib").use("Agg")
X, y = load_iris(return_X_y=True)


def test_shows_all_folds_in_order_of_the_means():
    display = ComparisonDisplay.from_estimators({"bayes": GaussianNB()}, X, y, cv=3)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["bayes", "DummyClassifier"]
    shown = display.ax_.lines[0].get_xdata()
    np.testing.assert_array_equal(shown, display.comparison.results[0].scores)
    assert display.ax_.get_xlabel() == "accuracy"
    assert display.ax_.yaxis_inverted()


def test_failures_are_named_and_axes_are_used():
    from matplotlib.figure import Figure

    comparison = compare({"bayes": GaussianNB(), "bad": DecisionTreeClassifier(max_depth=-1)}, X, y, cv=2)
    ax = Figure(layout="constrained").subplots()
    display = ComparisonDisplay.from_comparison(comparison, ax=ax)
    assert display.ax_ is ax
    assert ax.get_yticklabels()[-1].get_text() == "bad (failed)"


def test_what_is_no_comparison_is_an_error():
    with pytest.raises(TypeError, match="comparison must be the result of compare, got list"):
        ComparisonDisplay.from_comparison([])
