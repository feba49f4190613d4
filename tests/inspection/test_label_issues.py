import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, KFold, RepeatedStratifiedKFold, TimeSeriesSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktricks import AugmentedClassifier, ImageLoader, NetClassifier, SeenRowsWarning, find_label_issues
from sktricks.inspection._confident_learning import count_confident, estimate_joint, find_wrong_labels
from sktricks.inspection._label_issues import find_copies, split_rows

pandas = pytest.importorskip("pandas")

DIGITS, NUMBERS = load_digits(return_X_y=True)
IRIS, KINDS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[KINDS]

PROBA = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.5, 0.5], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3], [0.1, 0.9]])
CODES = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def test_confident_joint_by_hand():
    # thresholds: (0.9 + 0.8 + 0.1 + 0.5) / 4 = 0.575 and (0.8 + 0.7 + 0.3 + 0.9) / 4 = 0.675; row 3 reaches neither
    assert count_confident(CODES, PROBA).tolist() == [[2, 1], [1, 3]]
    np.testing.assert_allclose(estimate_joint(CODES, PROBA), [[8 / 3, 4 / 3], [1, 3]])
    assert np.flatnonzero(find_wrong_labels(CODES, PROBA)).tolist() == [2, 6]


def test_the_most_probable_of_several_likely_classes_counts():
    proba = np.array([[0.4, 0.35, 0.25], [0.45, 0.15, 0.4], [0.2, 0.2, 0.6], [0.1, 0.3, 0.6]])
    # thresholds 0.4, 0.15, 0.6 of one row, one row, two rows
    assert count_confident(np.array([0, 1, 2, 2]), proba).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 2]]


def test_a_class_whose_rows_all_look_like_another_keeps_some():
    proba = np.tile([[0.9, 0.1]], (6, 1))
    joint = estimate_joint(np.array([0, 0, 0, 1, 1, 1]), proba)
    np.testing.assert_allclose(joint.sum(axis=1), 3)
    assert find_wrong_labels(np.array([0, 0, 0, 1, 1, 1]), proba)[:3].tolist() == [False] * 3


def test_planted_errors_have_the_lowest_quality():
    y = NUMBERS[:600].copy()
    wrong = np.random.default_rng(0).choice(600, 30, replace=False)
    y[wrong] = (y[wrong] + 1) % 10
    issues = find_label_issues(KNeighborsClassifier(5), DIGITS[:600], y)
    assert issues.columns.tolist() == ["is_label_issue", "label_quality", "given_label", "predicted_label"]
    assert average_precision_score(y != NUMBERS[:600], -issues.label_quality) > 0.65  # by chance 0.05
    assert issues.is_label_issue[wrong].sum() >= 24 and issues.is_label_issue.sum() <= 40
    assert (issues.given_label == y).all() and (issues.predicted_label[wrong] == NUMBERS[wrong]).sum() >= 28


def test_probabilities_are_out_of_fold():
    X = np.unique(IRIS, axis=0)[:140]
    y = np.arange(140) % 3
    issues = find_label_issues(GaussianNB(), X, y, cv=4)
    expected = cross_val_predict(GaussianNB(), X, y, cv=4, method="predict_proba")
    np.testing.assert_allclose(issues.label_quality, expected[np.arange(140), y])
    given = find_label_issues(None, X, y, pred_probs=expected)
    pandas.testing.assert_frame_equal(given, issues)
    pandas.testing.assert_frame_equal(find_label_issues(None, None, y, pred_probs=expected), issues)


def test_labels_and_index_are_kept():
    frame = pandas.DataFrame(IRIS, index=[f"flower {row}" for row in range(150)])
    issues = find_label_issues(GaussianNB(), frame, pandas.Series(NAMES, index=frame.index))
    assert issues.index.equals(frame.index) and set(issues.predicted_label) == set(NAMES)
    series = pandas.Series(NAMES, index=range(5, 155))
    assert find_label_issues(GaussianNB(), IRIS, series).index.tolist() == list(range(5, 155))
    assert find_label_issues(GaussianNB(), IRIS.tolist(), series).index.tolist() == list(range(5, 155))
    assert find_label_issues(GaussianNB(), IRIS.tolist(), NAMES.tolist()).index.tolist() == list(range(150))


def test_the_estimator_is_not_fitted():
    model = GaussianNB()
    find_label_issues(model, IRIS, KINDS)
    assert not hasattr(model, "classes_")


def test_copies_share_a_fold():
    X = np.concatenate([DIGITS[:200], DIGITS[:20]])
    y = np.concatenate([NUMBERS[:200], NUMBERS[:20]])
    y[[3, 203]] = 9  # the same wrong label twice
    issues = find_label_issues(KNeighborsClassifier(1), X, y)
    assert issues.label_quality[[3, 203]].tolist() == [0, 0]
    for train, test in split_rows(KNeighborsClassifier(1), X, y, np.unique(y), 5, None):
        assert set(train % 200).isdisjoint(test % 200)


def test_copies_of_images_share_a_fold():
    images = DIGITS[:100].reshape(-1, 8, 8).astype(np.uint8) * 15
    lighter = images[:5] - (images[:5] > 100)
    model = NetClassifier(image_shape=(8, 8))
    for X in (np.concatenate([images, lighter]), np.concatenate([images, lighter]).reshape(105, 64)):
        groups = find_copies(model, X)
        assert (groups[:5] == groups[100:]).all()
    assert find_copies(make_pipeline(model), np.concatenate([images, lighter])) is not None
    assert find_copies(RandomForestClassifier(), np.concatenate([images, lighter]).reshape(105, 64)) is None


def test_signals_are_compared_exactly():
    signals = np.random.default_rng(0).normal(size=(60, 20, 3))  # which are no images
    signals[50] = signals[4]
    signals[7, 3, 1] = np.nan
    groups = find_copies(GaussianNB(), signals)
    assert groups[50] == groups[4] and len(np.unique(groups)) == 59


def test_equal_rows_of_a_table_with_few_different_rows_are_no_copies():
    X = np.arange(120).reshape(-1, 1) % 7
    assert find_copies(GaussianNB(), X) is None
    assert find_copies(GaussianNB(), np.append(X + np.arange(120)[:, None] * 10, [[0]], axis=0)) is not None


def test_given_groups_and_splitters_are_used():
    groups = np.arange(150) // 2
    for train, test in split_rows(GaussianNB(), IRIS, NAMES, np.unique(NAMES), 5, groups):
        assert set(groups[train]).isdisjoint(groups[test])
    shuffled = KFold(3, shuffle=True, random_state=0)
    issues = find_label_issues(GaussianNB(), IRIS, KINDS, cv=shuffled)
    expected = cross_val_predict(GaussianNB(), IRIS, KINDS, cv=shuffled, method="predict_proba")
    np.testing.assert_allclose(issues.label_quality, expected[np.arange(150), KINDS])
    groups = np.arange(150) % 10
    assert len(find_label_issues(GaussianNB(), IRIS, KINDS, cv=GroupKFold(5), groups=groups)) == 150
    repeated = find_label_issues(GaussianNB(), IRIS, KINDS, cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=2))
    assert repeated.label_quality.between(0, 1).all()


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(IRIS, schema=list("abcd"))
    assert len(find_label_issues(GaussianNB(), frame, polars.Series(NAMES))) == 150


def test_texts():
    texts = ["good film", "great film", "bad play", "poor play", "good play", "awful play", "good film", "bad film"] * 2
    y = np.array([1, 1, 0, 0, 1, 0, 1, 0] * 2)
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    issues = find_label_issues(make_pipeline(CountVectorizer(), MultinomialNB()), texts, y, cv=3)
    assert "path" not in issues and len(issues) == 16
    sparse = CountVectorizer().fit_transform(texts)
    assert len(find_label_issues(MultinomialNB(), sparse, y, cv=3)) == 16


def test_image_files_are_named(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    paths = [str(tmp_path / f"{number}.png") for number in range(40)]
    for number, path in enumerate(paths):
        image_module.fromarray(DIGITS[number].reshape(8, 8).astype(np.uint8) * 15).save(path)
    y = NUMBERS[:40] > 4
    model = make_pipeline(ImageLoader(8, mode="L", flatten=True), StandardScaler(), LogisticRegression())
    for X in (paths, pandas.DataFrame({"path": paths})):
        issues = find_label_issues(model, X, y, cv=3)
        assert issues.path.tolist() == paths
    contents = [(tmp_path / f"{number}.png").read_bytes() for number in range(40)]
    assert "path" not in find_label_issues(model, contents, y, cv=3)


class OneClass(GaussianNB):
    def predict_proba(self, X):
        return super().predict_proba(X) * 2


THREE = np.full((150, 3), 1 / 3)


@pytest.mark.parametrize(
    ("estimator", "y", "params", "match"),
    [
        (LinearRegression(), KINDS, {}, "estimator must be a classifier with predict_proba, got LinearRegression"),
        (LinearSVC(), KINDS, {}, r"estimator must have predict_proba, LinearSVC has none: CalibratedClassifierCV"),
        (None, KINDS, {}, "estimator must be a classifier with predict_proba, got None"),
        (GaussianNB(), KINDS[:9], {}, "y must have one label per row of X, 150, got 9"),
        (GaussianNB(), KINDS * 0, {}, r"y must have at least two classes, got only \[0\]"),
        (GaussianNB(), KINDS + 0.5, {}, "y must hold classes, got continuous values such as 0.5"),
        (GaussianNB(), np.where(KINDS > 1, np.nan, KINDS), {}, "y must have a label for each row"),
        (GaussianNB(), np.where(KINDS > 1, None, NAMES), {}, "y must have a label for each row"),
        (GaussianNB(), np.zeros((150, 2), int), {}, "y should be a 1d array"),
        (GaussianNB(), np.where(np.arange(150) < 3, 3, KINDS), {}, r"cv=5 needs at least 5 rows .* fewer of 3 \(3\)"),
        (GaussianNB(), KINDS, {"cv": 1}, "cv must be at least 2 folds, got 1"),
        (GaussianNB(), KINDS, {"cv": "five"}, "cv must be a number of folds, a splitter, or pairs .*, got 'five'"),
        (GaussianNB(), KINDS, {"cv": 2.5}, "cv must be a number of folds, a splitter, or pairs .*, got 2.5"),
        (GaussianNB(), KINDS, {"cv": []}, "cv must predict every row, got 150 of 150"),
        (GaussianNB(), KINDS, {"cv": KFold(3)}, "fold 1 of 3 trains without the classes 0"),
        (GaussianNB(), KINDS, {"cv": TimeSeriesSplit(3)}, "cv must predict every row, got 39 of 150"),
        (GaussianNB(), KINDS, {"cv": [(range(150), range(150))]}, "150 rows in both parts of split 1"),
        (GaussianNB(), KINDS, {"groups": KINDS}, "cv=5 needs at least 5 groups, got 3"),
        (GaussianNB(), KINDS, {"groups": KINDS, "cv": 3}, "trains without the classes"),
        (GaussianNB(), KINDS, {"groups": [1, 2]}, "groups must have one value per row of X, 150"),
        (OneClass(), KINDS, {}, "the output of predict_proba must hold probabilities"),
        (None, KINDS, {"pred_probs": THREE[:, :2]}, r"pred_probs must have .* \(150, 3\), got \(150, 2\)"),
        (None, KINDS, {"pred_probs": THREE[:9]}, r"pred_probs must have .* \(150, 3\), got \(9, 3\)"),
        (None, KINDS, {"pred_probs": np.full((150, 3), "a")}, "pred_probs must hold numbers"),
        (None, KINDS, {"pred_probs": THREE * 0.9}, "pred_probs must hold probabilities, .* got the sum 0.9 in row 0"),
        (None, KINDS, {"pred_probs": THREE - [[2, -1, -1]]}, "which are not negative"),
        (None, KINDS, {"pred_probs": THREE * np.nan}, "pred_probs must be finite, got NaN .* in row 0"),
        (None, KINDS, {"pred_probs": THREE, "groups": KINDS}, "pass one of them"),
    ],
)  # fmt: skip
def test_wrong_input(estimator, y, params, match):
    with pytest.raises(ValueError, match=match):
        find_label_issues(estimator, IRIS, y, **params)


def test_a_frozen_estimator_is_warned_of():
    X, y = load_digits(return_X_y=True)
    frozen = FrozenEstimator(LogisticRegression(max_iter=2000).fit(X[:200], y[:200]))
    with pytest.warns(SeenRowsWarning, match="^estimator: a FrozenEstimator"):
        find_label_issues(frozen, X[:200], y[:200], cv=2)


def test_bars_of_folds_and_of_images(bars):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8)).astype(np.uint8)
    labels = np.arange(30) % 2
    rows = images.reshape(30, -1)
    find_label_issues(GaussianNB(), rows, labels, cv=3, verbose=1)
    assert bars == [("find_label_issues", 3, 3)]
    find_label_issues(AugmentedClassifier(GaussianNB(), image_shape=8), rows, labels, cv=3, verbose=1)
    assert bars[1:] == [("comparing", 30, 30), ("find_label_issues", 3, 3)]
