"""Converters of the stacks of sktricks and of scikit-learn."""

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.ensemble import StackingClassifier, StackingRegressor

from ._agreement import assert_agrees

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]
METHODS = ["auto", "predict_proba", "decision_function", "predict"]
KINDS = [StackingClassifier, ensemble.StackingClassifier]


def make_members(method="auto"):
    """Members that have the given method."""
    other = (
        ("svc", LinearSVC(C=0.1))
        if method in ("auto", "decision_function")
        else ("tree", DecisionTreeClassifier(max_depth=2))
    )
    return [("line", make_pipeline(StandardScaler(), LogisticRegression())), ("gone", "drop"), other]


def make_final():
    """A final estimator that converges."""
    return make_pipeline(StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("labels", [NAMES, y == 1], ids=["three", "two"])
def test_stacks(kind, method, labels):
    stack = kind(make_members(method), make_final(), cv=2, stack_method=method).fit(X, labels)
    assert_agrees(stack, X, 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_x_passed_through_and_as_a_transformer(kind):
    stack = kind(make_members(), make_final(), cv=2, passthrough=True).fit(X, y)
    assert_agrees(stack, X, 1e-9)
    assert_agrees(make_pipeline(stack, StandardScaler()).fit(X, y), X, 1e-9)
    assert_agrees(stack, X.astype(np.float32))


@pytest.mark.parametrize(
    "columns", [2, [0, 3], slice(1, 3), [True, False, True, False], StandardScaler().fit(X).transform]
)
def test_columns_passed_through(columns):
    assert_agrees(StackingClassifier(make_members(), make_final(), cv=2, passthrough=columns).fit(X, y), X, 1e-9)


@pytest.mark.parametrize("columns", ["petal length (cm)", ["petal length (cm)", "sepal width (cm)"], [1], True])
def test_columns_of_a_table_passed_through(columns):
    pytest.importorskip("pandas")
    table = load_iris(as_frame=True).data
    assert_agrees(
        StackingClassifier(make_members(), make_final(), cv=2, passthrough=columns).fit(table, y), table, 1e-9
    )


@pytest.mark.parametrize("columns", [lambda rows: rows[:, :1], np.log1p])
def test_functions_passed_through_are_refused(columns):
    stack = StackingClassifier(make_members(), make_final(), cv=2, passthrough=columns).fit(X, y)
    with pytest.raises(UnsupportedForOnnxError, match="a function: pass column names"):
        assert_agrees(stack, X)


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_members(kind):
    names = NAMES if kind is StackingClassifier else y
    members = [
        ("line", LogisticRegression(max_iter=500).fit(X, names)),
        ("tree", DecisionTreeClassifier().fit(X, names)),
    ]
    assert_agrees(kind(members, make_final(), cv="prefit").fit(X, names), X, 1e-9)


def test_fitted_members_that_know_some_classes():
    some = LogisticRegression(max_iter=500).fit(X[y > 0], NAMES[y > 0])
    ordered = LogisticRegression(max_iter=500).fit(X, NAMES)
    for method in ("predict_proba", "decision_function", "predict"):
        members = [("some", some), ("all", ordered)]
        stack = StackingClassifier(members, make_final(), cv="prefit", stack_method=method)
        assert_agrees(stack.fit(X, NAMES), X, 1e-9)
    stack = ensemble.StackingClassifier([("some", some)], make_final(), cv="prefit").fit(X, NAMES)
    with pytest.raises(UnsupportedForOnnxError, match="'some' .* must be 0..2"):
        assert_agrees(stack, X)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
def test_models_of_folds(method):
    members = [("line", LogisticRegression(max_iter=500)), ("less", LogisticRegression(C=0.01))]
    for labels in (NAMES, y == 1):
        stack = StackingClassifier(members, make_final(), cv=3, refit=False, stack_method=method).fit(X, labels)
        assert_agrees(stack, X, 1e-9)


def test_a_regressor_among_classifiers():
    stack = StackingClassifier([("values", Ridge()), *make_members()], make_final(), cv=2).fit(X, NAMES)
    assert_agrees(stack, X, 1e-9)


@pytest.mark.parametrize("method", ["predict_proba", "predict"])
@pytest.mark.parametrize("refit", [True, False])
def test_several_labels(method, refit):
    rows, labels = make_multilabel_classification(n_samples=60, n_features=4, n_classes=3, random_state=0)
    members = [(f"m{C}", MultiOutputClassifier(LogisticRegression(C=C))) for C in (0.001, 0.1)]
    stack = StackingClassifier(members, cv=2, stack_method=method, refit=refit).fit(rows, labels)
    assert_agrees(stack, rows, 1e-9)


@pytest.mark.parametrize("kind", [StackingRegressor, ensemble.StackingRegressor])
@pytest.mark.parametrize("passthrough", [False, True])
def test_stacks_of_regressors(kind, passthrough):
    rows, values = load_diabetes(return_X_y=True)
    members = [("line", LinearRegression()), ("gone", "drop"), ("ridge", Ridge(alpha=0.1))]
    stack = kind(members, cv=2, passthrough=passthrough).fit(rows, values)
    assert_agrees(stack, rows, 1e-9)
    assert_agrees(make_pipeline(stack, StandardScaler()).fit(rows, values), rows, 1e-9)
    if kind is StackingRegressor:
        assert_agrees(kind(members, cv=2, refit=False).fit(rows, values), rows, 1e-9)
