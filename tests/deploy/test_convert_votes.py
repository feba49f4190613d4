"""Converters of the votes of sktricks."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktricks.deploy._graph import Graph
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.deploy.converters._registry import CONVERTERS, find_converter, transform
from sktricks.ensemble import VotingClassifier, VotingRegressor

from ._agreement import assert_agrees

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]


def make_members():
    """Members with ties and contradictions."""
    return [
        ("line", LogisticRegression(max_iter=500)),
        ("stump", DecisionTreeClassifier(max_depth=1, random_state=0)),
        ("scaled", make_pipeline(StandardScaler(), LogisticRegression(C=0.01))),
        ("tree", DecisionTreeClassifier(max_depth=2, max_features=1, random_state=0)),
    ]


@pytest.mark.parametrize("voting", ["hard", "soft", "geometric"])
@pytest.mark.parametrize("weights", [None, [1, 2, 1, 0], [0.3, 0.3, 0.3, 0.6]])
def test_votes(voting, weights):
    vote = VotingClassifier(make_members(), voting=voting, weights=weights).fit(X, NAMES)
    assert_agrees(vote, X, 1e-9)


def test_learned_weights():
    vote = VotingClassifier(make_members(), voting="soft", weights="greedy", cv=2).fit(X, NAMES)
    assert_agrees(vote, X, 1e-9)


@pytest.mark.parametrize("weights", [None, [0.3, 0.3, 0.3, 0.6]])
def test_ties_by_probability(weights):
    vote = VotingClassifier(make_members(), tie_break="probability", weights=weights).fit(X, NAMES)
    assert_agrees(vote, X, 1e-9)
    assert_agrees(vote, X.astype(np.float32), 1e-5)


@pytest.mark.parametrize("voting", ["soft", "geometric"])
def test_temperatures(voting):
    members = [("naive", GaussianNB()), *make_members()]
    vote = VotingClassifier(members, voting=voting, calibration="temperature", cv=2).fit(X, NAMES)
    vote.temperatures_[:2] = 2.5, 1  # independent of the fit
    assert_agrees(vote, X, 1e-5)


def test_members_that_know_other_classes_or_none():
    some = DecisionTreeClassifier(max_depth=2).fit(X[y > 0], NAMES[y > 0])
    single = DecisionTreeClassifier().fit(X[y == 1], NAMES[y == 1])
    members = [
        ("some", FrozenEstimator(some)),
        ("single", FrozenEstimator(single)),
        ("line", LogisticRegression(max_iter=500)),
    ]
    for voting in ("hard", "soft"):
        vote = VotingClassifier([*members, ("gone", "drop")], voting=voting).fit(X, NAMES)
        assert_agrees(vote, X, 1e-9)
    prefit = VotingClassifier(
        [("line", LogisticRegression(max_iter=500).fit(X, NAMES)), members[0]], prefit=True, voting="soft"
    )
    assert_agrees(prefit.fit(X, NAMES), X, 1e-9)


class OnlyCodes(LogisticRegression):
    """A classifier that rejects labels unless they are 0..K-1."""

    def fit(self, X, y):
        if not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
            raise ValueError("labels must be 0..K-1")
        return super().fit(X, y)


def test_members_fitted_on_codes(monkeypatch):
    monkeypatch.setitem(CONVERTERS, f"{__name__}.OnlyCodes", find_converter(LogisticRegression()))
    for voting in ("hard", "soft"):
        vote = VotingClassifier([("codes", OnlyCodes(max_iter=500)), *make_members()], voting=voting).fit(X, NAMES)
        assert_agrees(vote, X, 1e-9)


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_labels_of_any_kind(voting):
    for labels in (y + 5, y == 1, NAMES.astype(object)):
        assert_agrees(VotingClassifier(make_members(), voting=voting).fit(X, labels), X, 1e-9)


@pytest.mark.parametrize("voting", ["hard", "soft", "geometric"])
def test_transform(voting):
    vote = VotingClassifier(make_members(), voting=voting).fit(X, y)
    assert_agrees(make_pipeline(vote, StandardScaler()).fit(X, y), X, 1e-6)


def test_transform_into_a_cube_is_refused():
    vote = VotingClassifier(make_members(), voting="soft", flatten_transform=False).fit(X, y)
    graph = Graph()
    with pytest.raises(UnsupportedForOnnxError, match="flatten_transform=False"):
        transform(graph, vote, graph.add_input("X", X.dtype, X.shape[1:]))


@pytest.mark.parametrize("voting", ["hard", "soft", "geometric"])
def test_several_labels(voting):
    rows, labels = make_multilabel_classification(n_samples=60, n_features=4, n_classes=3, random_state=0)
    members = [(f"m{C}", MultiOutputClassifier(LogisticRegression(C=C))) for C in (0.001, 0.1, 10)]
    ties = {"tie_break": "probability"} if voting == "hard" else {"calibration": "temperature", "cv": 2}
    for options in ({}, ties):
        vote = VotingClassifier(members[:2], voting=voting, **options).fit(rows, labels)
        assert_agrees(vote, rows, 1e-9)
    assert_agrees(VotingClassifier(members, voting=voting).fit(rows, labels), rows, 1e-9)
    assert_agrees(make_pipeline(vote, StandardScaler()).fit(rows, labels), rows, 1e-9)


@pytest.mark.parametrize("average", ["mean", "median"])
@pytest.mark.parametrize("weights", [None, [1, 2, 0, 1], [0.5, 0.2, 0.2, 0.1]])
def test_votes_of_regressors(average, weights):
    rows, values = load_diabetes(return_X_y=True)
    members = [("line", LinearRegression()), *((f"ridge{a}", Ridge(alpha=a)) for a in (0.1, 1, 10))]
    for some in (members, [members[0], ("gone", "drop"), *members[1:]]):
        given = weights
        if len(some) == 5 and isinstance(weights, list):
            given = [weights[0], 3, *weights[1:]]
        vote = VotingRegressor(some, average=average, weights=given).fit(rows, values)
        assert_agrees(vote, rows, 1e-9)
    assert_agrees(make_pipeline(vote, StandardScaler()).fit(rows, values), rows, 1e-9)
    assert_agrees(vote, rows.astype(np.float32), 1e-5)


def test_median_of_three_members():
    rows, values = load_diabetes(return_X_y=True)
    members = [(f"ridge{a}", Ridge(alpha=a)) for a in (0.1, 1, 10)]
    assert_agrees(VotingRegressor(members, average="median").fit(rows, values), rows, 1e-9)


class Unknown(ClassifierMixin, BaseEstimator):
    """A classifier without a converter."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))


def test_errors_name_the_member():
    vote = VotingClassifier([("line", LogisticRegression(max_iter=500)), ("odd", Unknown())]).fit(X, y)
    with pytest.raises(UnsupportedForOnnxError, match="the step 'odd' .* Unknown"):
        assert_agrees(vote, X)
    assert_agrees(vote.set_params(weights=[1, 0]).fit(X, y), X, 1e-9)  # a member with weight 0 is omitted


def test_pipelines_that_read_a_table_with_strings():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({"size": rng.normal(size=90), "kind": rng.choice(["x", "y", "z"], 90)})
    table.loc[::7, "size"] = np.nan
    labels = np.where(table["size"] > 0, "large", table["kind"])
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer([("n", numbers, ["size"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["kind"])])
    forest = RandomForestClassifier(10, random_state=0)
    members = [("line", make_pipeline(columns, LogisticRegression())), ("forest", make_pipeline(columns, forest))]
    for voting in ("hard", "soft"):
        vote = VotingClassifier(members, voting=voting).fit(table, labels)
        assert_agrees(vote, table, 1e-9, table.assign(kind="unknown"))


def test_float32_beside_float64_and_ties_of_forests():
    forests = [(f"forest{seed}", RandomForestClassifier(4, max_depth=2, random_state=seed)) for seed in range(3)]
    for voting, weights in (("soft", None), ("soft", [0.1, 0.2, 0.3]), ("hard", None)):
        vote = VotingClassifier(forests, voting=voting, weights=weights).fit(X, NAMES)
        assert_agrees(vote, X, 1e-12)
    single = X.astype(np.float32)
    members = [("line", LogisticRegression(max_iter=500)), *forests]
    assert_agrees(VotingClassifier(members, voting="soft").fit(single, NAMES), single)
