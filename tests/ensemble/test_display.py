import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks.ensemble import (
    CascadeClassifier,
    EnsembleDisplay,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)

X, y = load_iris(return_X_y=True)
MEMBERS = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2)), ("dummy", DummyClassifier())]
REGRESSORS = [("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))]


@pytest.fixture
def figure():
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def test_weights_contributions_and_disagreement_are_drawn(figure):
    vote = VotingClassifier(MEMBERS, voting="soft", weights="greedy", cv=2).fit(X, y)
    display = EnsembleDisplay.from_estimator(vote, figure=figure)
    assert display.figure_ is figure
    weights, contributions, matrix = display.axes_
    assert_allclose([bar.get_width() for bar in weights.patches], vote.weights_)
    assert_allclose([bar.get_width() for bar in contributions.patches], vote.contributions_)
    assert_allclose(matrix.images[0].get_array(), vote.diversity().disagreement)
    assert [label.get_text() for label in weights.get_yticklabels()] == ["bayes", "tree", "dummy"]
    assert [text.get_text() for text in matrix.texts][0] == "0"
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("ensemble", "given", "panels"),
    [
        (VotingClassifier(MEMBERS), True, 2),
        (VotingRegressor(REGRESSORS), True, 2),
        (StackingClassifier(MEMBERS, cv=2), False, 3),
        (StackingClassifier(MEMBERS, KNeighborsClassifier(), cv=2), False, 2),
        (StackingRegressor(REGRESSORS, cv=2), False, 3),
        (CascadeClassifier(MEMBERS, cv=2, tolerance=0.1), False, 2),
    ],
)
def test_what_an_ensemble_does_not_have_is_left_out(ensemble, given, panels, figure):
    data = load_diabetes(return_X_y=True) if "Regressor" in type(ensemble).__name__ else (X, y)
    ensemble.fit(*data)
    display = EnsembleDisplay.from_estimator(ensemble, data[0] if given else None, figure=figure)
    assert len(display.axes_) == panels
    figure.canvas.draw()


def test_without_out_of_fold_predictions_it_asks_for_rows():
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"diversity\(X\)"):
        EnsembleDisplay.from_estimator(VotingClassifier(MEMBERS).fit(X, y))


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib.*(pip install)"):
        EnsembleDisplay(names=["a", "b"], disagreement=np.zeros((2, 2))).plot()


def test_a_new_figure():
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    display = EnsembleDisplay(names=["a", "b"], disagreement=np.eye(2), weights=[0.7, -0.1]).plot()
    assert len(display.axes_) == 2 and display.figure_.number in pyplot.get_fignums()
    pyplot.close(display.figure_)
