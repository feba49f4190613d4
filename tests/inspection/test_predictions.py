from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktricks import FineTuneClassifier, ImageLoader, PredictionsDisplay, UnreadableImageWarning
from sktricks.inspection._predictions_display import choose_rows

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
pandas = pytest.importorskip("pandas")

DIGITS, NUMBERS = load_digits(return_X_y=True)
IRIS, KINDS = load_iris(return_X_y=True, as_frame=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[KINDS]

PROBA = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.4, 0.6, 0.0], [0.1, 0.0, 0.9], [0.3, 0.7, 0.0], [0.0, 0.6, 0.4]])
CODES = np.array([0, 0, 0, 2, 1, 2])


def fit(X, y):
    return LogisticRegression(max_iter=1000).fit(X, y)


def test_top_losses_come_first():
    assert choose_rows("top-losses", PROBA, CODES, 3, None).tolist() == [1, 2, 5]


def test_the_most_frequent_confusion_comes_first_and_its_surest_row():
    assert choose_rows("confused", PROBA, CODES, 9, None).tolist() == [1, 2, 5]


def test_each_confused_pair_has_a_line_of_at_most_four_rows():
    truth = np.repeat([3, 3, 5], [6, 2, 3])
    wrong = np.repeat([8, 1, 6], [6, 2, 3])
    model = fit(DIGITS, NUMBERS)
    model.predict_proba = lambda X: np.eye(10)[wrong] * 0.8 + 0.02
    display = PredictionsDisplay.from_estimator(model, DIGITS[:11], truth, kind="confused", image_shape=8, n_columns=3)
    assert display.pairs == ["3 predicted as 8: 6"] * 4 + ["5 predicted as 6: 3"] * 3 + ["3 predicted as 1: 2"] * 2
    starts = [ax.get_subplotspec().num1 for ax in display.axes_]
    assert starts == [0, 1, 2, 3, 6, 7, 8, 9, 10]
    labels = [ax.get_ylabel() for ax in display.axes_]
    assert labels == ["3 predicted as 8: 6", "", "", "3 predicted as 8: 6", "5 predicted as 6: 3", "", "",
                      "3 predicted as 1: 2", ""]  # fmt: skip


def test_few_confused_pairs_show_more_rows_each():
    wrong = np.eye(2)[np.zeros(20, int)]
    assert len(choose_rows("confused", wrong, np.ones(20, int), 12, None)) == 12
    model = fit(DIGITS, NUMBERS)
    model.predict_proba = lambda X: np.eye(10)[[8, 1, 6]]
    display = PredictionsDisplay.from_estimator(model, DIGITS[:3], [3, 3, 5], kind="confused", image_shape=8)
    assert display.axes_[0].get_gridspec().get_geometry() == (3, 1)


def test_random_rows_are_any_and_follow_the_seed():
    one, same, other = (choose_rows("random", PROBA, CODES, 4, np.random.RandomState(s)).tolist() for s in (0, 0, 1))
    assert one == same != other and len(set(one)) == 4


def test_nothing_confused_is_an_error():
    with pytest.raises(ValueError, match="kind='confused' needs rows .*: use kind='random'"):
        choose_rows("confused", PROBA, PROBA.argmax(axis=1), 3, None)


@pytest.mark.parametrize("kind", ["top-losses", "confused", "random"])
def test_images_as_rows(kind):
    model = fit(DIGITS[:100] / 16, NUMBERS[:100])
    display = PredictionsDisplay.from_estimator(
        model, DIGITS[100:] / 16, NUMBERS[100:], kind=kind, n_rows=7, image_shape=(8, 8), random_state=0, title="digits"
    )
    assert display.rows.shape == (7, 8, 8, 1) and len(display.axes_) == 7
    assert display.figure_.get_suptitle() == "digits"
    for ax, true, said, sure in zip(display.axes_, display.truth, display.predicted, display.likely, strict=True):
        assert ax.get_title().split() == f"predicted {said} ({sure:.0%}), true {true}".split()
        assert (ax.title.get_color() == "tab:red") == (true != said)
        assert ax.images[0].get_array().shape == (8, 8)
    proba = model.predict_proba(DIGITS[100:] / 16)
    own = proba[np.arange(len(proba)), NUMBERS[100:]]
    if kind == "top-losses":
        assert display.truth[0] == NUMBERS[100:][own.argmin()]


def test_the_shape_of_a_net_is_known_and_pixels_have_its_range():
    images = np.repeat(DIGITS.reshape(-1, 8, 8, 1), 3, axis=3).astype(np.uint8) * 15
    net = FineTuneClassifier(strategy="linear-probe", max_epochs=5, random_state=0).fit(images[:60], NUMBERS[:60])
    display = PredictionsDisplay.from_estimator(net, images[60:100], NUMBERS[60:100])
    assert display.rows.shape == (12, 8, 8, 3) and display.rows.max() <= 1
    rows = FineTuneClassifier(strategy="linear-probe", max_epochs=5, image_shape=(8, 8), random_state=0)
    rows.fit(DIGITS[:60], NUMBERS[:60])
    assert PredictionsDisplay.from_estimator(rows, DIGITS[60:90], NUMBERS[60:90]).rows.shape == (12, 8, 8, 1)


def test_image_files(tmp_path):
    paths = []
    for number in range(20):
        paths.append(str(tmp_path / f"{number}.png"))
        digit = Image.fromarray(DIGITS[number].reshape(8, 8).astype(np.uint8) * 15)
        digit.resize((600, 300) if number % 2 else (8, 8)).save(paths[-1])
    net = FineTuneClassifier(strategy="linear-probe", max_epochs=5, random_state=0).fit(paths, NUMBERS[:20])
    for X in (paths, pandas.DataFrame({"path": paths})):
        display = PredictionsDisplay.from_estimator(net, X, NUMBERS[:20], n_rows=20)
        for ax, row, file in zip(display.axes_, display.rows, display.files, strict=True):
            assert (
                row.shape == ((128, 256, 3) if int(file[:-4]) % 2 else (8, 8, 3)) and 0 <= row.min() <= row.max() <= 1
            )
            assert ax.get_xlabel() == file and file in {f"{number}.png" for number in range(20)}
        assert sorted(display.files) == sorted(f"{number}.png" for number in range(20))


def test_a_damaged_image_file_is_gray_and_named(tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, path in enumerate(paths):
        Image.new("L", (8, 8), 60 * number).save(path)
    model = make_pipeline(ImageLoader(4, flatten=True, on_error="warn"), DecisionTreeClassifier(random_state=0))
    model.fit(paths, [0, 0, 1, 1])
    Path(paths[2]).write_bytes(b"")
    with pytest.warns(UnreadableImageWarning, match="1 unreadable image is replaced by gray"):
        display = PredictionsDisplay.from_estimator(model, paths, [0, 0, 1, 1], kind="random", random_state=0)
    assert sorted(display.files) == ["0.png", "1.png", "2.png: cannot be read", "3.png"]
    assert (display.rows[display.files.index("2.png: cannot be read")] == 128 / 255).all()


def test_rows_of_a_table_show_what_stands_out():
    frame = IRIS.assign(place="here")
    model = fit(IRIS, NAMES)
    model.predict_proba = lambda X: LogisticRegression.predict_proba(model, X[list(IRIS.columns)])
    display = PredictionsDisplay.from_estimator(model, frame, NAMES, n_rows=5)
    assert display.rows.shape == (5, 4) and display.names == list(IRIS.columns)
    labels = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    largest = np.argsort(-np.abs(display.rows[0]))[:3]
    assert labels[::-1] == [IRIS.columns[column] for column in largest]
    array = PredictionsDisplay.from_estimator(fit(IRIS.to_numpy(), NAMES), IRIS.to_numpy(), NAMES, n_rows=2)
    assert array.axes_[0].get_yticklabels()[0].get_text().startswith("column ")


def test_missing_values_are_drawn_as_the_mean():
    X = IRIS.copy()
    X.iloc[0, 0] = np.nan
    model = fit(IRIS, NAMES)
    model.predict_proba = lambda X: LogisticRegression.predict_proba(model, X.fillna(0))
    display = PredictionsDisplay.from_estimator(model, X, NAMES, kind="random", n_rows=150, random_state=0)
    assert np.isfinite(display.rows).all() and display.rows.shape == (150, 4)


def test_a_figure_of_ones_own():
    figure = matplotlib.figure.Figure()
    display = PredictionsDisplay(
        rows=np.zeros((5, 4, 4, 1)), truth=np.arange(5), predicted=np.arange(5), likely=np.ones(5)
    )
    assert display.plot(figure=figure, n_columns=2).figure_ is figure and len(display.axes_) == 5


def test_from_predictions_shows_what_from_estimator_shows():
    model = fit(IRIS, NAMES)
    proba = model.predict_proba(IRIS)
    expected = PredictionsDisplay.from_estimator(model, IRIS, NAMES, n_rows=5)
    found = PredictionsDisplay.from_predictions(IRIS, NAMES, proba, n_rows=5)
    names = ["virginica", "setosa", "versicolor"]  # in any order
    other = PredictionsDisplay.from_predictions(IRIS, NAMES, proba[:, [2, 0, 1]], classes=names, n_rows=5)
    for display in (found, other):
        for name in ("rows", "truth", "predicted", "likely"):
            np.testing.assert_array_equal(getattr(display, name), getattr(expected, name))
    with pytest.raises(ValueError, match=r"classes must hold each class once, got \['a', 'b', 'a'\]"):
        PredictionsDisplay.from_predictions(IRIS, NAMES, proba, classes=["a", "b", "a"])
    with pytest.raises(ValueError, match="pred_probs must have a row per sample and a column per class"):
        PredictionsDisplay.from_predictions(IRIS, NAMES, proba[:, :2])


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"kind": "worst"}, r"kind must be one of \('top-losses', 'confused', 'random'\), got 'worst'"),
        ({"n_rows": 0}, "n_rows must be at least 1, got 0"),
    ],
)
def test_wrong_parameters(params, match):
    with pytest.raises(ValueError, match=match):
        PredictionsDisplay.from_estimator(fit(IRIS, NAMES), IRIS, NAMES, **params)


@pytest.mark.parametrize("estimator", [LinearRegression(), LinearSVC()])
def test_no_probabilities(estimator):
    with pytest.raises(ValueError, match="estimator must (be a classifier with|have) predict_proba"):
        PredictionsDisplay.from_estimator(estimator.fit(IRIS, KINDS), IRIS, KINDS)


def test_unknown_labels():
    with pytest.raises(ValueError, match=r"labels that are not among the classes .*: \['rose'\]"):
        PredictionsDisplay.from_estimator(fit(IRIS, NAMES), IRIS[:2], ["rose", "setosa"])


def test_several_labels_a_row():
    with pytest.raises(ValueError, match="y should be a 1d array"):
        PredictionsDisplay.from_estimator(fit(IRIS, NAMES), IRIS, np.zeros((150, 2), dtype=int))
