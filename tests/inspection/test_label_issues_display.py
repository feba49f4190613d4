import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktricks import ImageLoader, LabelIssuesDisplay, find_label_issues

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
pandas = pytest.importorskip("pandas")

DIGITS, NUMBERS = load_digits(return_X_y=True)
DIGITS, NUMBERS = DIGITS[:200], NUMBERS[:200].copy()
NUMBERS[[7, 30, 55]] = 1
ISSUES = pandas.DataFrame(
    {
        "is_label_issue": [False, True, True, False],
        "label_quality": [0.05, 0.3, 0.1, 0.9],
        "given_label": list("abcd"),
        "predicted_label": list("wxyz"),
    }
)


def test_issues_come_first_the_lowest_quality_before_others():
    display = LabelIssuesDisplay.from_issues(DIGITS[:4], ISSUES, image_shape=(8, 8), title="digits")
    assert [ax.get_title() for ax in display.axes_] == [
        "given c (10%), predicted y",
        "given b (30%), predicted x",
        "given a (5%), predicted w",
        "given d (90%), predicted z",
    ]
    assert [ax.title.get_color() == "tab:red" for ax in display.axes_] == [True, True, False, False]
    np.testing.assert_allclose(display.axes_[0].images[0].get_array(), DIGITS[2].reshape(8, 8) / DIGITS[:4].max())
    assert display.figure_.get_suptitle() == "digits" and display.issues.index.tolist() == [2, 1, 0, 3]


def test_from_estimator_and_from_predictions_show_the_same_rows():
    model = LogisticRegression(max_iter=500)
    display = LabelIssuesDisplay.from_estimator(model, DIGITS / 16, NUMBERS, n_rows=6, image_shape=8, cv=4)
    issues = find_label_issues(model, DIGITS / 16, NUMBERS, cv=4)
    assert {7, 30, 55} <= set(display.issues.index) and len(display.axes_) == 6
    proba = np.full((200, 10), 0.01)
    proba[np.arange(200), issues.predicted_label] = 0.91
    shown = LabelIssuesDisplay.from_predictions(DIGITS / 16, NUMBERS, proba, n_rows=4, image_shape=8)
    assert set(shown.issues.given_label != shown.issues.predicted_label) == {True}


def test_image_files_are_named_and_damaged_ones_too(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, path in enumerate(paths):
        image_module.new("L", (8, 8), 60 * number).save(path)
    (tmp_path / "3.png").write_bytes(b"")
    for X in (paths, pandas.DataFrame({"path": paths, "label": 0})):
        display = LabelIssuesDisplay.from_issues(X, ISSUES)
        assert display.files == ["2.png", "1.png", "0.png", "3.png: cannot be read"]
        assert [ax.get_xlabel() for ax in display.axes_] == display.files
    assert display.axes_[0].get_title() == "given c (10%), predicted y"


def test_files_from_an_estimator(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    for number, path in enumerate(paths):
        image_module.fromarray(DIGITS[number].reshape(8, 8).astype(np.uint8) * 15).save(path)
    model = make_pipeline(ImageLoader(8, mode="L", flatten=True), GaussianNB())
    display = LabelIssuesDisplay.from_estimator(model, paths, np.arange(20) % 2, n_rows=3, cv=2)
    assert len(display.rows) == 3 and set(display.files) <= {f"{number}.png" for number in range(20)}


def test_rows_of_a_table():
    X, y = load_iris(return_X_y=True, as_frame=True)
    display = LabelIssuesDisplay.from_estimator(GaussianNB(), X, y, n_rows=5)
    assert display.rows.shape == (5, 4) and display.names == list(X.columns)
    assert len(display.axes_[0].get_yticklabels()) == 3


def test_a_figure_of_ones_own():
    figure = matplotlib.figure.Figure()
    display = LabelIssuesDisplay.from_issues(DIGITS[:4], ISSUES, image_shape=8, figure=figure, n_columns=2)
    assert display.figure_ is figure and len(figure.axes) == 4


def test_wrong_input():
    with pytest.raises(ValueError, match="n_rows must be at least 1, got 0"):
        LabelIssuesDisplay.from_issues(DIGITS[:4], ISSUES, n_rows=0)
    with pytest.raises(ValueError, match="issues must have a row for each row of X, 5, got 4"):
        LabelIssuesDisplay.from_issues(DIGITS[:5], ISSUES)
    for issues in (DIGITS[:4], pandas.DataFrame({"is_label_issue": [True] * 4})):
        with pytest.raises(TypeError, match="issues must be the table of find_label_issues, got"):
            LabelIssuesDisplay.from_issues(DIGITS[:4], issues)
