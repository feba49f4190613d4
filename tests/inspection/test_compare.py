"""compare: shared folds, corrected intervals, rows for failures."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from sktricks import NetClassifier, NetRegressor, SeenRowsWarning, compare
from sktricks.inspection._compare import holds_classes, measure_size
from sktricks.inspection._comparison import Comparison
from sktricks.inspection._corrected_interval import corrected_interval
from sktricks.inspection._usual_estimators import usual_estimators

X, y = load_iris(return_X_y=True)


class Broken(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise RuntimeError("no disk\nsecond line")


def test_scores_are_those_of_cross_validate():
    models = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(random_state=0)}
    comparison = compare(models, X, y, scoring="neg_log_loss", cv=StratifiedKFold(4))
    by_name = {result.name: result for result in comparison.results}
    for name, model in models.items():
        expected = cross_validate(model, X, y, cv=StratifiedKFold(4), scoring="neg_log_loss")["test_score"]
        np.testing.assert_array_equal(by_name[name].scores, expected)
    assert comparison.scoring == "neg_log_loss"
    assert comparison.test_fraction == pytest.approx(1 / 3, rel=0.02)
    means = [result.scores.mean() for result in comparison.results]
    assert means == sorted(means, reverse=True)


def test_estimators_are_not_changed_and_share_folds_of_a_random_splitter():
    model = GaussianNB()
    comparison = compare([("a", model), ("b", GaussianNB())], X, y, cv=StratifiedKFold(3, shuffle=True))
    first, second = (result.scores for result in comparison.results[:2])
    np.testing.assert_array_equal(first, second)
    assert not hasattr(model, "classes_")
    assert comparison.difference(comparison.results[1]) == (0, 0, 0)


def test_groups_reach_the_splitter():
    groups = np.arange(150) % 3
    comparison = compare({"bayes": GaussianNB()}, X, y, cv=GroupKFold(3), groups=groups)
    expected = cross_validate(GaussianNB(), X, y, cv=GroupKFold(3), groups=groups)["test_score"]
    np.testing.assert_array_equal(comparison.results[0].scores, expected)


@pytest.mark.parametrize(("model", "target", "kind"), [
    (GaussianNB(), y, StratifiedGroupKFold), (LinearRegression(), X[:, 0], GroupKFold)
], ids=["classes", "values"])  # fmt: skip
def test_a_number_of_folds_keeps_groups_together(model, target, kind):
    groups = [f"patient {row // 4}" for row in range(150)]
    comparison = compare({"model": model}, X[:, 1:], target, cv=3, groups=groups)
    expected = cross_validate(model, X[:, 1:], target, cv=kind(3), groups=groups)["test_score"]
    np.testing.assert_array_equal(comparison.results[0].scores, expected)
    with pytest.raises(ValueError, match="cv=5 needs at least 5 groups, got 3: choose fewer folds"):
        compare({"model": model}, X, target, groups=np.arange(150) % 3)


def test_wrong_groups():
    with pytest.raises(TypeError, match="groups must have labels of one sortable type, got NoneType, str"):
        compare({"bayes": GaussianNB()}, X, y, groups=[None, "a", "b"] * 50)
    with pytest.raises(ValueError, match="groups must have one value per row of X, got the string 'patient'"):
        compare({"bayes": GaussianNB()}, X, y, groups="patient")
    with pytest.raises(ValueError, match=r"groups must have one value per row of X, 150, got an array of shape"):
        compare({"bayes": GaussianNB()}, X, y, groups=X)


def test_the_baseline_is_there_once():
    names = [result.name for result in compare({"bayes": GaussianNB()}, X, y, cv=2).results]
    assert names == ["bayes", "DummyClassifier"]
    mine = DummyClassifier(strategy="uniform", random_state=0)
    assert [result.name for result in compare({"mine": mine}, X, y, cv=2).results] == ["mine"]
    assert "DummyRegressor" in str(compare({"line": LinearRegression()}, *load_diabetes(return_X_y=True), cv=2))


def test_a_failure_is_a_row_with_its_reason():
    comparison = compare({"broken": Broken(), "bayes": GaussianNB()}, X, y, cv=2)
    last = comparison.results[-1]
    assert (last.name, last.error) == ("broken", "RuntimeError: no disk")
    assert "broken failed: RuntimeError: no disk" in str(comparison)
    assert "no disk" in comparison._repr_html_()
    assert np.isnan(last.scores).all()


def test_a_score_of_nan_is_a_failure():
    def score(estimator, X, y):
        return np.nan if isinstance(estimator, DecisionTreeClassifier) and y[0] == 0 else estimator.score(X, y)

    even, odd = np.arange(0, 150, 2), np.arange(149, 0, -2)
    cv = [(odd, even), (even, odd)]
    comparison = compare({"tree": DecisionTreeClassifier(), "bayes": GaussianNB()}, X, y, cv=cv, scoring=score)
    assert comparison.best == "bayes"
    assert comparison.results[-1].name == "tree"
    assert comparison.results[-1].error == "the score is NaN in 1 of 2 folds"


def test_table_and_frame_agree():
    pytest.importorskip("pandas")
    comparison = compare({"bayes": GaussianNB(), "tree <1>": DecisionTreeClassifier(max_depth=1)}, X, y)
    frame = comparison.to_frame()
    assert list(frame.index) == ["bayes", "tree <1>", "DummyClassifier"]
    assert list(frame.columns) == [
        "test_score", "test_score_se", "difference", "difference_low", "difference_high", "fit_time", "score_time",
        "size", "error",
    ]  # fmt: skip
    assert frame.loc["bayes", "difference"] == 0
    assert np.isnan(frame.loc["bayes", "difference_low"])
    row = frame.loc["tree <1>"]
    assert row.difference_low < row.difference < row.difference_high < 0
    assert (frame.fit_time > 0).all()
    assert (frame["size"] > 100).all()
    line = str(comparison).splitlines()[2]
    assert f"{row.difference:+.3g} [{row.difference_low:+.3g}, {row.difference_high:+.3g}]" in line
    assert "tree &lt;1&gt;" in comparison._repr_html_()


def test_interval_is_that_of_nadeau_and_bengio():
    differences = np.array([0.01, 0.03, -0.02, 0.04, 0.02])
    low, high = corrected_interval(differences, 0.25)
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert (low, high) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert np.isnan(corrected_interval(differences[:1], 0.25)).all()


def test_intervals_cover_the_expected_difference():
    """The expected difference of two fixed rules is known, since they do not learn."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(300):
        scores = rng.random((200, 2)) < [0.8, 0.7]
        parts = np.array_split(scores[:, 0].astype(float) - scores[:, 1], 5)
        low, high = corrected_interval(np.array([part.mean() for part in parts]), 0.25)
        covered.append(low <= 0.1 <= high)
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize(
    ("estimators", "error", "message"),
    [
        ({}, ValueError, "at least one"),
        ([("a", GaussianNB()), ("a", GaussianNB())], ValueError, "names must differ, got a more than once"),
        ({1: GaussianNB(), "1": GaussianNB()}, ValueError, "names must differ, got 1 more than once"),
        (GaussianNB(), TypeError, r"must be a dict, or a list of \(name, estimator\) pairs, got GaussianNB"),
        ({"a": GaussianNB}, TypeError, r"estimators\['a'\] must be an estimator"),
        ([GaussianNB()], TypeError, "pairs"),
        (
            {"a": GaussianNB(), "b": LinearRegression()},
            ValueError,
            "all classifiers or all regressors, got regressors b",
        ),
        ({"DummyClassifier": GaussianNB()}, ValueError, "is that of the baseline"),
        ({"a": Broken(), "d": DummyClassifier(strategy="constant", constant=7)}, ValueError, "all estimators failed"),
    ],
)
def test_unfit_estimators(estimators, error, message):
    with pytest.raises(error, match=message):
        compare(estimators, X, y, cv=2)


def test_unfit_rows():
    with pytest.raises(ValueError, match="same number of rows: X has 150, y has 149"):
        compare({"a": GaussianNB()}, X, y[1:])
    with pytest.raises(ValueError, match="y must have at least two classes, got only"):
        compare({"a": GaussianNB()}, X, np.ones(150))


@pytest.mark.parametrize("outputs", [np.c_[y, y], np.c_[y > 0, y > 1], np.c_[X[:, 0], X[:, 1]]])
def test_the_usual_estimators_take_one_output(outputs):
    message = "estimators=None compares estimators of one label or value per row, but y has 2: compare one column"
    with pytest.raises(ValueError, match=message):
        compare(None, X, outputs)


def test_a_name_is_one_line_of_the_table():
    lines = str(compare({"naive\nBayes": GaussianNB(), "no\ngood": Broken()}, X, y, cv=2)).splitlines()
    assert lines[1].split()[:2] == ["naive", "Bayes"]
    assert lines[3].split() == ["no", "good", "failed"]
    assert lines[4:] == ["no good failed: RuntimeError: no disk"]


@pytest.mark.parametrize("model", [GaussianNB(), LinearRegression()], ids=["classes", "values"])
@pytest.mark.parametrize("missing", [np.nan, None], ids=["nan", "none"])
def test_missing_targets(model, missing):
    target = y.astype(float if missing is not None else object)
    target[7] = missing
    for gaps in (target, None):
        with pytest.raises(ValueError, match="y must have a label or value for each row, got missing ones"):
            compare({"a": model}, X, gaps)


@pytest.mark.parametrize("scoring", [["accuracy", "f1_macro"], {"a": "accuracy"}], ids=["list", "dict"])
def test_several_scores(scoring):
    with pytest.raises(ValueError, match="scoring must be one score, a name or a callable, got .*one at a time"):
        compare({"a": GaussianNB()}, X, y, scoring=scoring)


@pytest.mark.parametrize("scoring", ["nonsense", 3])
def test_unknown_score(scoring):
    with pytest.raises(ValueError, match="scoring"):
        compare({"a": GaussianNB()}, X, y, scoring=scoring)


def test_usual_estimators_of_a_table():
    assert list(usual_estimators(X, classify=True)) == [
        "LogisticRegression", "HistGradientBoostingClassifier", "NetClassifier"
    ]  # fmt: skip
    assert list(usual_estimators(X, classify=False)) == ["Ridge", "HistGradientBoostingRegressor", "NetRegressor"]


def test_usual_estimators_of_images():
    found = usual_estimators(np.zeros((4, 8, 8)), classify=True)
    assert list(found) == ["LogisticRegression", "SVC", "FineTuneClassifier"]
    images, labels = load_digits(return_X_y=True)
    model = found["SVC"].fit(images[:100].reshape(-1, 8, 8), labels[:100])
    assert model.score(images[100:200].reshape(-1, 8, 8), labels[100:200]) > 0.8


def test_usual_estimators_take_gaps_and_categories():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(X[:, :2], columns=["a", "b"]).assign(
        city=rng.choice(["Oslo", "Rome"], 150), kind=pandas.Categorical(np.where(y == 2, "x", "z"))
    )
    frame.loc[3, "a"], frame.loc[5, "city"] = np.nan, None
    frame["count"] = pandas.array([1, None, 2] * 50, dtype="Int64")
    for name, model in usual_estimators(frame, classify=True).items():
        if name == "NetClassifier":
            model.set_params(max_epochs=10)
        assert model.fit(frame, y).score(frame, y) > 0.8
        other = frame.assign(city="Lima")
        assert model.predict(other).shape == (150,)


@pytest.mark.parametrize(
    ("target", "expected"),
    [(y, True), (y.astype(float), True), (np.array(["a", "b"] * 9), True), (X[:, 0], False), (np.arange(99), False)],
    ids=["codes", "floats", "text", "values", "counts"],
)
def test_kind_of_target(target, expected):
    assert holds_classes(target) is expected


def test_default_compares_a_net(monkeypatch):
    from sktricks.inspection import _usual_estimators as module

    nets = {"NetClassifier": NetClassifier(max_epochs=2, random_state=0), "NetRegressor": NetRegressor(max_epochs=2)}
    for name, net in nets.items():
        monkeypatch.setattr(module, name, lambda net=net, name=name, **params: net)
    assert "NetClassifier" in str(compare(None, X[::5], y[::5], cv=2))
    assert "NetRegressor" in str(compare(None, *(rows[::9] for rows in load_diabetes(return_X_y=True)), cv=2))


def test_size_of_what_cannot_be_saved():
    model = LogisticRegression(max_iter=1000).fit(X, y)
    assert measure_size(model) > 100
    model.secret = lambda: None
    assert measure_size(model) == -1


def test_comparison_of_one_fold_has_no_interval():
    comparison = compare({"a": GaussianNB()}, X, y, cv=[(np.arange(0, 150, 2), np.arange(1, 150, 2))])
    assert isinstance(comparison, Comparison)
    assert np.isnan(comparison.difference(comparison.results[1])[1])
    assert "nan" not in str(comparison).replace("± nan", "")


def test_frozen_estimators_are_warned_of():
    frozen = FrozenEstimator(GaussianNB().fit(X, y))
    with pytest.warns(SeenRowsWarning, match="^frozen: a FrozenEstimator is not fitted in the folds"):
        compare({"bayes": GaussianNB(), "frozen": frozen}, X, y, cv=2)


def test_a_bar_of_fits(bars):
    compare({"bayes": GaussianNB(), "broken": Broken()}, X, y, cv=3, verbose=1)
    assert bars == [("compare", 9, 9)]  # with the baseline
    compare({"bayes": GaussianNB()}, X, y, cv=3)
    with pytest.raises(ValueError, match="verbose must be an int of at least 0, or a bool, got 'yes'"):
        compare({"bayes": GaussianNB()}, X, y, verbose="yes")
    assert len(bars) == 1


def test_a_line_for_each_fit(caplog):
    compare({"bayes": GaussianNB()}, X, y, cv=3, verbose=2)
    assert len(caplog.messages) == 6 and caplog.messages[2].endswith(", bayes: 0.9400")
