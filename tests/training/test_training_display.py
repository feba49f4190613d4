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
    assert panels(display) == ["loss", "accuracy", "learning rate", "norm of the gradient"]
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
    assert [text.get_text() for text in display.axes_[0].texts] == [str(frozen[0])]


def test_thawing_stage_by_stage_is_several_bands():
    net = FineTuneClassifier(strategy="gradual", max_epochs=8, random_state=0, device="cpu").fit(IMAGES, Y)
    display = TrainingDisplay.from_estimator(net)
    assert len(display.axes_[0].patches) == len(set(net.net_.history[:, "event_frozen"]) - {0}) >= 3


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
