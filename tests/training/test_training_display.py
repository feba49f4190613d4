import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import FineTuneClassifier, FreezeLayers, GradientNorms, NetClassifier, NetRegressor, TrainingDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=60) > 0).astype(int)
VALUES = X @ [[1.0, 2.0], [0.0, 1.0], [-1.0, 0.0]]
IMAGES = RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8)


def classifier(**params):
    return NetClassifier(**{"max_epochs": 6, "batch_size": 16, "random_state": 0, **params})


def panels(display):
    return [ax.get_ylabel() for ax in display.axes_]


def test_panels_are_what_is_known():
    assert panels(TrainingDisplay.from_estimator(classifier().fit(X, Y))) == ["loss", "learning rate"]
    net = classifier(early_stopping=True, callbacks=[GradientNorms()]).fit(X, Y)
    display = TrainingDisplay.from_estimator(net, title="a title")
    assert panels(display) == ["loss", "accuracy", "learning rate", "gradient norm"]
    assert display.figure_.get_suptitle() == "a title"
    lines = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines}
    assert list(lines["training"]) == net.loss_curve_ and list(lines["validation"]) == net.validation_loss_curve_
    values = NetRegressor(max_epochs=2, early_stopping=True).fit(X, VALUES)
    assert "R²" in panels(TrainingDisplay.from_estimator(values))


def test_frozen_epochs_are_shaded():
    net = classifier(callbacks=[FreezeLayers("head", unfreeze_at=4)]).fit(X, Y)
    display = TrainingDisplay.from_estimator(net)
    frozen = net.net_.history[:, "event_frozen"]
    assert frozen[:3] == [frozen[0]] * 3 and frozen[0] > 0 and frozen[3:] == [0] * 3
    for ax in display.axes_:
        (band,) = ax.patches
        assert (band.get_extents().x0, band.get_extents().x1) == pytest.approx(
            tuple(ax.transData.transform([(0.5, 0), (3.5, 0)])[:, 0])
        )
    labels = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert labels == ["training", f"{frozen[0]} layers frozen"]


def test_thawing_stage_by_stage_is_several_bands():
    net = FineTuneClassifier(strategy="gradual", max_epochs=8, random_state=0, device="cpu").fit(IMAGES, Y)
    display = TrainingDisplay.from_estimator(net)
    numbers = sorted(set(net.net_.history[:, "event_frozen"]) - {0}, reverse=True)
    assert len(display.axes_[0].patches) == len(numbers) >= 3
    label = display.axes_[0].get_legend().get_texts()[-1].get_text()
    assert label == f"{', '.join(map(str, numbers))} layers frozen"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: GridSearchCV(make_pipeline(StandardScaler(), net), {"netclassifier__lr": [1e-3]}, cv=2),
    ],
    ids=["pipeline", "search"],
)
def test_a_net_inside(wrap):
    assert panels(TrainingDisplay.from_estimator(wrap(classifier()).fit(X, Y))) == ["loss", "learning rate"]


def test_a_figure_of_ones_own():
    figure = matplotlib.figure.Figure()
    assert TrainingDisplay(losses=[3.0, 2.0, 1.0]).plot(figure=figure).figure_ is figure
    assert len(figure.axes) == 1


@pytest.mark.parametrize("estimator", [SVC(), make_pipeline(StandardScaler(), SVC())])
def test_no_net_is_an_error(estimator):
    with pytest.raises(TypeError, match="estimator must be a net of sktricks"):
        TrainingDisplay.from_estimator(clone(estimator).fit(X, Y))


def test_several_runs_have_a_color_each_and_one_legend():
    runs = {"slow": classifier(lr=1e-4, early_stopping=True).fit(X, Y), "fast": classifier(lr=1e-2).fit(X, Y)}
    display = TrainingDisplay.from_estimators(runs, title="two rates")
    assert panels(display) == ["loss", "accuracy", "learning rate"]
    lines = {line.get_label(): line for line in display.axes_[0].lines}
    assert list(lines) == ["slow, training", "slow, validation", "fast, training"]
    assert list(lines["fast, training"].get_ydata()) == runs["fast"].loss_curve_
    colors = [line.get_color() for line in lines.values()]
    assert colors[0] == colors[1] != colors[2]
    assert lines["slow, training"].get_linestyle() != lines["slow, validation"].get_linestyle()
    assert [line.get_label() for line in display.axes_[2].lines] == ["slow", "fast"]
    assert display.axes_[0].get_legend() is not None and display.axes_[2].get_legend() is None
    assert display.losses == {name: net.loss_curve_ for name, net in runs.items()}
    assert display.validation_losses.keys() == {"slow"}


def test_runs_drawn_one_after_the_other_look_the_same():
    runs = {"a": classifier().fit(X, Y), "b": classifier(lr=1e-2).fit(X, Y)}
    together = TrainingDisplay.from_estimators(runs)
    first = TrainingDisplay.from_estimator(runs["a"], name="a")
    both = TrainingDisplay.from_estimator(runs["b"], name="b", axes=first.axes_)
    assert both.figure_ is first.figure_
    for ax, expected in zip(both.axes_, together.axes_, strict=True):
        found = [(line.get_label(), line.get_color(), list(line.get_ydata())) for line in ax.lines]
        assert found == [(line.get_label(), line.get_color(), list(line.get_ydata())) for line in expected.lines]


def test_frozen_epochs_are_not_shaded_for_several_runs():
    net = classifier(callbacks=[FreezeLayers("head", unfreeze_at=4)]).fit(X, Y)
    assert not TrainingDisplay.from_estimators({"a": net, "b": net}).axes_[0].patches
    assert TrainingDisplay.from_estimators({"a": net}).axes_[0].patches


def test_axes_of_ones_own():
    axes = list(matplotlib.figure.Figure().subplots(2, 1))
    display = TrainingDisplay(losses=[2.0, 1.0], rates=[0.1, 0.1]).plot(axes=axes)
    assert display.axes_ == axes and panels(display) == ["loss", "learning rate"]
    with pytest.raises(ValueError, match="axes must have one axes for each of the panels loss, learning rate, got 1"):
        TrainingDisplay(losses=[2.0, 1.0], rates=[0.1, 0.1]).plot(axes=axes[:1])


def test_what_is_no_dict_of_nets():
    with pytest.raises(TypeError, match="estimators must be a dict from names to fitted estimators, got list"):
        TrainingDisplay.from_estimators([classifier()])
    with pytest.raises(ValueError, match="at least one"):
        TrainingDisplay.from_estimators({})
    with pytest.raises(TypeError, match="must be a net of sktricks"):
        TrainingDisplay.from_estimators({"a": SVC()})
