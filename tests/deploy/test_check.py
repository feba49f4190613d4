"""The check finds graphs that differ, and reports where; the graphs here are substitutes that do not require onnx."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktricks import OnnxMismatchError
from sktricks.deploy import _label_rule
from sktricks.deploy._check import check_graph, expected_outputs
from sktricks.deploy._feeds import gap_kind
from sktricks.deploy._label_rule import follows_probabilities

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
NAMES = ("label", "probabilities")


def check(estimator, graph, names=NAMES, atol=1e-6, forgive=False, rows=X):
    """Check a graph that predicts as another estimator does."""
    run = graph if callable(graph) else lambda X: expected_outputs(graph, X, names)
    expected = expected_outputs(estimator, rows, names)
    return check_graph(estimator, run, rows, expected, atol, decodings={}, forgive=forgive)


def test_an_equal_graph_passes():
    estimator = LogisticRegression().fit(X, Y)
    result = check(estimator, estimator)
    assert (result.n_given, result.largest_difference, result.ties, result.on_threshold) == (60, 0, 0, 0)
    assert result.n_made > 400 and result.refused == []


def test_a_wrong_normalization_is_found():
    X_far = X + 100
    right = StandardScaler().fit(X_far)
    wrong = StandardScaler().fit(X_far)
    wrong.mean_ = wrong.mean_ + 1e-3
    with pytest.raises(
        OnnxMismatchError, match="StandardScaler differs from it in 60 of 60 rows, most of all in row .* of X"
    ):
        check(right, wrong, ["features"], rows=X_far)


def test_swapped_categories_are_found():
    rows = np.array([["a"], ["b"], ["c"]] * 4, dtype=object)
    right, wrong = OneHotEncoder(handle_unknown="ignore").fit(rows), OneHotEncoder(handle_unknown="ignore").fit(rows)
    wrong.categories_ = [np.array(["a", "c", "b"], dtype=object)]
    with pytest.raises(OnnxMismatchError, match="8 of 12 rows"):
        check(right, wrong, ["features"], rows=rows)


def trees(by):
    """A tree, and one whose first threshold is moved."""
    right, wrong = (DecisionTreeClassifier(max_depth=1, random_state=0).fit(X.astype(np.float32), Y) for _ in range(2))
    state = wrong.tree_.__getstate__()
    state["nodes"]["threshold"][0] = by(state["nodes"]["threshold"][0])
    wrong.tree_.__setstate__(state)
    assert np.array_equal(right.predict(X.astype(np.float32)), wrong.predict(X.astype(np.float32)))
    return right, wrong


def round_up(threshold):
    rounded = np.float32(threshold)
    return rounded if rounded > threshold else np.nextafter(rounded, np.float32(np.inf))


def test_a_threshold_that_is_rounded_up_is_found():
    right, wrong = trees(round_up)
    with pytest.raises(OnnxMismatchError, match=r"a row derived from X \(.*midpoints.*\): label"):
        check(right, wrong, rows=X.astype(np.float32))


def test_rows_on_a_threshold_are_forgiven_where_values_are_computed():
    right, wrong = trees(round_up)
    result = check(right, wrong, rows=X.astype(np.float32), forgive=True)
    assert 0 < result.on_threshold < 10


def test_a_threshold_that_is_moved_by_more_is_never_forgiven():
    values = np.sort(X[:, 0].astype(np.float32))
    right, wrong = trees(lambda threshold: threshold + 0.3 * np.diff(values).min())
    with pytest.raises(OnnxMismatchError):
        check(right, wrong, rows=X.astype(np.float32), forgive=True)


def test_rows_alone_are_compared():
    estimator = LogisticRegression().fit(X, Y)

    def run(rows):
        found = expected_outputs(estimator, rows, NAMES)
        return found if len(rows) > 1 else {**found, "probabilities": found["probabilities"][:, ::-1]}

    with pytest.raises(OnnxMismatchError, match="row 0 of X, predicted alone"):
        check(estimator, run)


def test_far_rows_are_compared():
    estimator = LogisticRegression().fit(X, Y)
    with pytest.raises(OnnxMismatchError, match="far outside"):
        check(estimator, lambda rows: expected_outputs(estimator, np.clip(rows, -5, 5), NAMES))


def test_images_are_compared():
    images = np.random.default_rng(0).integers(60, 90, (12, 4, 4)).astype(np.uint8)

    class Mean(StandardScaler):
        def transform(self, X):
            return np.asarray(X, float).mean(axis=(1, 2))[:, None]

    right = Mean()
    check(right, right, ["features"], rows=images)
    with pytest.raises(OnnxMismatchError, match=r"a row derived from X \(noise|patches|black"):
        check(right, lambda X: {"features": right.transform(np.clip(X, 50, 100))}, ["features"], rows=images)


def test_kinds_that_the_estimator_refuses_are_left_out():
    rows = np.array([["a", "x"], ["b", "y"]] * 3, dtype=object)
    strict = OneHotEncoder(handle_unknown="error", sparse_output=False).fit(rows)
    assert check(strict, strict, ["features"], rows=rows).refused == ["unseen categories"] * 2


def test_several_labels_with_a_list_of_probabilities():
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 9], axis=1).astype(int)
    model = DecisionTreeClassifier(max_depth=2).fit(X, labels)
    found = expected_outputs(model, X, NAMES)
    expected = [model.predict_proba(X)[0][:, 1], model.predict_proba(X)[1][:, 1], np.zeros(len(X))]
    np.testing.assert_array_equal(found["probabilities"], np.transpose(expected))
    assert check(model, model).largest_difference == 0


def test_where_missing_values_are_taken():
    tree = DecisionTreeClassifier(random_state=0).fit(X, Y)
    assert check(tree, tree).missing == [0, 1, 2]
    regression = LogisticRegression().fit(X, Y)
    assert check(regression, regression).missing == []


def test_missing_values_are_compared_where_the_estimator_takes_them():
    scaler = StandardScaler().fit(X)
    with pytest.raises(OnnxMismatchError, match=r"2 rows.*\(missing values in column 0\)"):
        check(scaler, lambda rows: {"features": np.nan_to_num(scaler.transform(rows))}, ["features"])


def test_columns_of_bools_are_left_as_they_are():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0})
    tree = DecisionTreeClassifier(random_state=0).fit(rows, Y)
    assert check(tree, tree, rows=rows, forgive=True).n_made > 100


def test_kinds_of_missing_strings_that_a_graph_treats_alike():
    rows = np.array([["a"], ["b"], [np.nan]] * 4, dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(rows)

    def graph(rows):  # does not distinguish None and empty strings from NaN
        rows = np.array([[np.nan if gap_kind(value) else value for value in row] for row in rows], dtype=object)
        return {"features": encoder.transform(rows)}

    result = check(encoder, graph, ["features"], rows=rows)
    assert (result.gaps, result.missing) == ({0: ["NaN"]}, [0])

    def wrong(rows):  # differs only in rows of missing values
        return graph([["a" if gap_kind(value) and len(rows) == 2 else value for value in row] for row in rows])

    with pytest.raises(OnnxMismatchError, match="missing values in column 0"):
        check(encoder, wrong, ["features"], rows=rows)


def test_where_columns_may_come_in_any_order():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(X, columns=["a", "b", "c"])
    by_name = ColumnTransformer([("scale", StandardScaler(), ["a", "c"])], remainder="passthrough").fit(rows)
    assert check(by_name, by_name, ["features"], rows=rows).any_order
    strict = StandardScaler().fit(rows)
    assert not check(strict, strict, ["features"], rows=rows).any_order
    unnamed = StandardScaler().fit(X)
    assert not check(unnamed, unnamed, ["features"], rows=X).any_order


def test_neighbors_at_equal_distances_are_named():
    rows = np.repeat(X, 2, axis=0)
    labels = np.where(np.arange(len(rows)) % 2, "yes", "no")
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(rows, labels)
    other = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(rows[::-1], labels[::-1])
    with pytest.raises(OnnxMismatchError, match="KNeighborsClassifier chooses among training rows at equal distances"):
        check(model, other, rows=rows)


class Counting(VotingClassifier):
    """Counts its predictions."""

    calls = 0

    def predict(self, X):
        self.calls += 1
        return super().predict(X)


@pytest.mark.parametrize("derived", [True, False])
def test_made_rows_are_predicted_once_where_probabilities_decide(derived, monkeypatch):
    vote = Counting([("line", LogisticRegression())], voting="soft").fit(X, Y)
    assert not follows_probabilities(vote, expected_outputs(vote, X, NAMES))  # a user's subclass
    if derived:
        monkeypatch.setattr(_label_rule, "PACKAGES", (Counting.__module__.partition(".")[0],))
        monkeypatch.setattr(_label_rule, "BY_PROBABILITY", {"Counting"})
    vote.calls = 0
    line = LogisticRegression().fit(X, Y)
    check(vote, line)
    assert vote.calls == 1 if derived else vote.calls > 5


def test_labels_follow_from_probabilities():
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    expected = expected_outputs(forest, X, NAMES)
    assert follows_probabilities(forest, expected)
    assert follows_probabilities(make_pipeline(StandardScaler(), forest), expected)
    assert follows_probabilities(FrozenEstimator(forest), expected)
    swapped = {**expected, "label": np.where(expected["label"] == "yes", "no", "yes")}
    assert not follows_probabilities(forest, swapped)
    assert not follows_probabilities(LogisticRegression().fit(X, Y), expected)
    assert not follows_probabilities(VotingClassifier([("forest", forest)], voting="hard").fit(X, Y), expected)
    found = expected_outputs(forest, X, NAMES, by_probability=True)
    assert list(found) == ["label", "probabilities"]
    np.testing.assert_array_equal(found["label"], expected["label"])
