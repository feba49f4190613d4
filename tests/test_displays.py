"""Every Display draws in the given axes, shows its name, and has legible text."""

import inspect

import _displays
import numpy as np
import pytest
from _pictures import find_unreadable

import sktricks

plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("pandas")
plt.switch_backend("agg")

DISPLAYS = sorted(name for name in sktricks.__all__ if name.endswith("Display"))
makers = pytest.mark.parametrize("make", _displays.ONE_PER_CLASS)


def parameter_of_axes(display):
    """The name of the parameter of ``plot`` for axes: ``ax`` or ``axes``."""
    return next(iter(inspect.signature(display.plot).parameters))


def axes_of(display):
    return [display.ax_] if hasattr(display, "ax_") else display.axes_


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(plt.Text)]


@pytest.mark.parametrize("name", DISPLAYS)
def test_signatures(name):
    kind = getattr(sktricks, name)
    assert sorted(type(make()).__name__ for make in _displays.ONE_PER_CLASS) == DISPLAYS
    constructor = inspect.signature(kind).parameters
    assert constructor["name"].default is None
    assert {parameter.kind for parameter in constructor.values()} == {inspect.Parameter.KEYWORD_ONLY}
    creators = [getattr(kind, one) for one in dir(kind) if one.startswith("from_")]
    assert creators
    axes = next(one for one in ("ax", "axes") if one in inspect.signature(kind.plot).parameters)
    plot = list(inspect.signature(kind.plot).parameters.values())[1:]
    assert plot[0].name == axes
    assert {parameter.kind for parameter in plot[1:]} == {inspect.Parameter.KEYWORD_ONLY}
    for function in (*creators, kind.plot):
        parameters = inspect.signature(function).parameters
        assert parameters["name"].default is None is parameters[axes].default
        assert ("figure" in parameters) == (axes == "axes")


@makers
def test_a_new_figure_without_axes(make):
    display = make()
    before = dict(vars(display))
    figures = []
    for _ in range(2):
        assert display.plot() is display
        assert all(ax.figure is display.figure_ for ax in axes_of(display))
        figures.append(display.figure_)
    assert [figure.number for figure in figures] == plt.get_fignums()
    assert {name: vars(display)[name] for name in before} == before


@makers
def test_given_axes_are_used_and_titles_of_the_caller_stay(make):
    display = make()
    n = len(axes_of(make().plot()))
    plt.close("all")
    figure, axes = plt.subplots(n, 1, squeeze=False)
    figure.suptitle("the caller's")
    given = axes[0, 0] if parameter_of_axes(display) == "ax" else axes  # an array of any shape
    display.plot(given)
    assert axes_of(display) == axes.ravel().tolist() and display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    if not isinstance(display, sktricks.ExplanationDisplay):
        assert figure.get_suptitle() == "the caller's"


@makers
def test_wrong_axes(make):
    display = make()
    name = parameter_of_axes(display)
    figure, ax = plt.subplots()
    axes = np.full((4, 5), ax)
    expected = "a matplotlib Axes" if name == "ax" else "a list of matplotlib Axes"
    for wrong in (figure, "left"):
        with pytest.raises(TypeError, match=f"{name} must be {expected}, got {type(wrong).__name__}"):
            display.plot(wrong)
    if name == "ax":
        with pytest.raises(TypeError, match="ax must be a matplotlib Axes, got ndarray"):
            display.plot(axes)
        return
    with pytest.raises(ValueError, match="axes must have .* Axes, one .*, got 20"):
        display.plot(axes)
    with pytest.raises(TypeError, match="figure must be a matplotlib Figure or SubFigure, got Axes"):
        display.plot(figure=ax)
    with pytest.raises(ValueError, match="axes and figure cannot be combined: got both"):
        display.plot(axes, figure=figure)
    part = plt.figure().subfigures(1, 2)[1]
    assert display.plot(figure=part).figure_ is part


@makers
def test_the_name_is_shown(make):
    assert any("some name" in text for text in texts_of(make(name="some name").plot().figure_))
    display = make(name="some name")
    shown = texts_of(display.plot(name="another").figure_)
    assert any("another" in text for text in shown) and not any("some name" in text for text in shown)
    assert display.name == "some name"


@makers
def test_a_title_replaces_the_name(make):
    if "title" in inspect.signature(make().plot).parameters:
        shown = texts_of(make(name="some name").plot(title="a title").figure_)
        assert "a title" in shown


def test_predictions_of_an_ensemble():
    labels = {"a": list("xxyy"), "b": list("xyyy"), 3: list("yyyy")}
    display = sktricks.EnsembleDisplay.from_predictions(labels, name="three")
    np.testing.assert_array_equal(display.disagreement, [[0, 0.25, 0.5], [0.25, 0, 0.25], [0.5, 0.25, 0]])
    assert display.names == ["a", "b", "3"] and display.unit == "fraction of rows"
    values = sktricks.EnsembleDisplay.from_predictions({"a": [0.5, 1.0], "b": [3.5, 1.0]})
    assert values.disagreement[0, 1] == pytest.approx(4.5**0.5) and values.unit.startswith("root mean square")
    with pytest.raises(TypeError, match="predictions must be a dict from names to predictions, got list"):
        sktricks.EnsembleDisplay.from_predictions([[1, 2]])
    for wrong in ({}, {"a": [1], "b": [1, 2]}, {"a": [[1]]}):
        with pytest.raises(ValueError, match=r"predictions must contain arrays of one shape \(n,\), got the shapes"):
            sktricks.EnsembleDisplay.from_predictions(wrong)


@pytest.mark.parametrize("make", _displays.ALL)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_text_is_legible(make, style):
    with plt.style.context(style):
        assert find_unreadable(make(name="A name of some length, as people give it").plot().figure_) == []


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_text_of_show_images_is_legible(style):
    labels = np.array(_displays.CLASSES)[np.arange(9) % 3]
    with plt.style.context(style):
        figure = sktricks.show_images(np.random.default_rng(0).random((9, 8, 8)), labels, n_per_class=2)
        assert find_unreadable(figure) == []


def test_text_that_is_not_legible_is_found():
    figure = plt.figure(figsize=(3, 1), facecolor="white")
    figure.text(0.1, 0.5, "first", color="black")
    assert find_unreadable(figure) == []
    figure.text(0.12, 0.5, "second", color="0.8")
    figure.text(0.95, 0.1, "third", color="black")
    found = find_unreadable(figure)
    assert found[:2] == ["'third' leaves the figure", "'first' overlaps 'second'"]
    assert len(found) == 3 and found[2].startswith("'second' has the contrast 1.")
