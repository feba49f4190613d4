"""ExplanationDisplay: maps that find what a net looks at, and a check that finds maps that do not."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from torch import nn

from sktricks import ExplanationDisplay, FineTuneClassifier, NetClassifier
from sktricks.inspection._grad_cam import explained_stage, grad_cam_maps
from sktricks.inspection._occlusion import (
    blurred,
    find_drops,
    grid_shape,
    hide,
    mean_colors,
    mean_of_cells,
    occlusion_maps,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


def make_images(n=60, side=32, seed=0):
    """Gray images with noise; class 1 has a bright square at a random place, whose corner is returned as well."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, (n, side, side, 1), dtype=np.uint8)
    corners = rng.integers(0, side - 8, (n, 2))
    y = np.arange(n) % 2
    for image, (i, j), label in zip(images, corners, y, strict=True):
        if label:
            image[i : i + 8, j : j + 8] = 250
    return images, y, corners


@pytest.fixture(scope="module")
def fitted():
    images, y, _ = make_images()
    return FineTuneClassifier("tiny32", strategy="linear-probe", random_state=0, device="cpu").fit(images, y)


def brightest_parts(maps, corners, side=32):
    """The fraction of images whose largest cell lies on the square, or next to it."""
    n_cells = maps.shape[1]
    places = np.array([np.unravel_index(one.argmax(), one.shape) for one in maps])
    centers = (places + 0.5) * side / n_cells
    return np.mean(np.abs(centers - (corners + 4)).max(1) <= 8)


def test_both_methods_find_the_square(fitted):
    images, y, corners = make_images(seed=1)
    images, corners = images[y == 1], corners[y == 1]
    ones = np.ones(len(images), int)
    maps = mean_of_cells(grad_cam_maps(fitted, images, ones))
    assert brightest_parts(maps, corners) > 0.7
    maps = occlusion_maps(fitted.predict_proba, images[:10], ones[:10])
    assert brightest_parts(maps, corners[:10]) > 0.7


def test_the_check_tells_a_map_from_a_random_one(fitted):
    images, y, _ = make_images(seed=2)
    images, ones = images[y == 1], np.ones(30, int)
    maps = mean_of_cells(grad_cam_maps(fitted, images, ones))
    rng = np.random.RandomState(0)
    good = find_drops(fitted.predict_proba, images, ones, maps, rng)
    assert good["brightest"].mean() > max(0.02, 1.5 * good["random"].mean(), 1.5 * good["center"].mean())
    other = find_drops(fitted.predict_proba, images, ones, rng.random_sample(maps.shape), rng)
    assert other["brightest"].mean() < 0.5 * good["brightest"].mean()


@pytest.mark.pretrained
def test_a_map_depends_on_the_weights(fitted):
    """Adebayo et al. (2018): a map that stays as it is after the weights are shuffled shows the image, not the net."""
    images, _, _ = make_images(n=12, seed=3)
    ones = np.ones(12, int)
    before = grad_cam_maps(fitted, images, ones)
    other, generator = copy.deepcopy(fitted), torch.Generator().manual_seed(0)
    module = other.net_.module_
    for part in (module.head, module.backbone.model.stage3):
        for weight in part.parameters():
            weight.data = weight.data.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight)
    after = grad_cam_maps(other, images, ones)
    assert np.mean([spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(before, after, strict=True)]) < 0.5


@pytest.mark.parametrize(
    ("stages", "explained"), [("auto", "stage2"), (["stage3"], "stage2"), (["stage3", "stage1"], "stage1")]
)
def test_the_last_fine_stage_that_all_read_stages_depend_on_is_explained(stages, explained):
    images, y, _ = make_images(n=12)
    net = FineTuneClassifier("tiny32", strategy="linear-probe", stages=stages, device="cpu")
    assert explained_stage(net.fit(images, y)) == explained


def test_the_last_map_is_explained_if_none_is_fine():
    class Coarse(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(1, 4, 3, 8, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 6, 4), nn.Flatten())

    images, y, _ = make_images(n=12)
    net = FineTuneClassifier(Coarse(), strategy="linear-probe", device="cpu").fit(images, y)
    assert explained_stage(net) == "1"
    assert grad_cam_maps(net, images, y).shape == (12, 32, 32)


def test_nothing_is_changed(fitted):
    images, _, _ = make_images(n=4)
    before = fitted.predict_proba(images)
    flags = [p.requires_grad for p in fitted.net_.module_.parameters()]
    grad_cam_maps(fitted, images, np.zeros(4, int))
    np.testing.assert_array_equal(fitted.predict_proba(images), before)
    assert [p.requires_grad for p in fitted.net_.module_.parameters()] == flags
    assert all(p.grad is None for p in fitted.net_.module_.parameters())


def test_figure(fitted):
    images, _, _ = make_images(n=6)
    display = ExplanationDisplay.from_estimator(fitted, images, n_rows=5)
    assert (display.method, len(display.axes_)) == ("grad-cam", 5)
    assert display.maps.shape == (5, 32, 32)
    assert display.axes_[0].get_title().startswith(str(fitted.predict(images)[0]))
    assert display.describe() in display.figure_.get_suptitle()
    occluded = ExplanationDisplay.from_estimator(
        fitted, images, n_rows=2, method="occlusion", labels=[1, 1, 1, 0, 0, 0]
    )
    assert occluded.method == "occlusion" and occluded.maps.shape == (2, 8, 8) and list(occluded.labels) == [1, 1]


def test_any_classifier_of_rows_is_explained_by_occlusion():
    images, y, _ = make_images()
    rows = images.reshape(60, -1)
    model = LogisticRegression(C=1e-6, max_iter=2000).fit(rows, y)
    display = ExplanationDisplay.from_estimator(model, rows, image_shape=(32, 32), n_rows=3)
    assert display.method == "occlusion" and display.images.shape == (3, 32, 32, 1)
    np.testing.assert_allclose(display.likely, model.predict_proba(rows[:3]).max(1))


def test_what_cannot_be_explained():
    images, y, _ = make_images()
    rows = images.reshape(60, -1)
    model = LogisticRegression(C=1e-6, max_iter=2000).fit(rows, y)
    assert explained_stage(model) is None
    with pytest.raises(ValueError, match="method='grad-cam' needs a FineTuneClassifier with a convolutional backbone"):
        ExplanationDisplay.from_estimator(model, rows, image_shape=(32, 32), method="grad-cam")
    with pytest.raises(ValueError, match="X must hold images, got the shape"):
        ExplanationDisplay.from_estimator(model, rows)
    with pytest.raises(ValueError, match="must be one of"):
        ExplanationDisplay.from_estimator(model, rows, method="lime")
    with pytest.raises(ValueError, match="n_rows must be at least 1"):
        ExplanationDisplay.from_estimator(model, rows, n_rows=0)
    with pytest.raises(ValueError, match="must have predict_proba"):
        ExplanationDisplay.from_estimator(make_pipeline(LinearSVC()).fit(rows, y), rows)
    with pytest.raises(ValueError, match="X must hold arrays of images for LogisticRegression"):
        ExplanationDisplay.from_estimator(model, ["a.png"])
    net = NetClassifier(max_epochs=1, random_state=0).fit(rows[:, :20], y)
    assert explained_stage(net) is None


def test_parts_of_images():
    images = np.arange(2 * 5 * 16 * 3, dtype=np.uint8).reshape(2, 5, 16, 3)
    assert grid_shape((5, 16)) == (5, 8)
    cells = np.zeros((2, 5, 8), bool)
    cells[0, 1, 2] = True
    hidden = hide(images, cells, mean_colors(images))
    changed = (hidden != images).any(-1)
    assert changed[0, 1, 4:6].all() and changed.sum() == 2
    assert blurred(images).dtype == np.uint8 and blurred(images).std() < images.std()
    np.testing.assert_allclose(mean_of_cells(np.arange(32.0).reshape(1, 4, 8)), np.arange(32.0).reshape(1, 4, 8))
