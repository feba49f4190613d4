import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktricks.augment import AugmentationDisplay, CutMix, GaussianNoise, RandomCrop, RandomFlip, SwapNoise
from sktricks.augment._augmentation_display import make_mosaic

plt = pytest.importorskip("matplotlib.pyplot")
X = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def close_figures():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_originals_are_beside_draws():
    display = AugmentationDisplay.from_estimator(RandomFlip(1), X, n_images=3, n_draws=2, random_state=0, title="flips")
    assert_allclose(display.originals, X[:3] / 255)
    for draw in display.draws:
        assert_allclose(draw, X[:3, :, ::-1] / 255)
    picture = display.im_.get_array()
    assert picture.shape == (3 * 9 - 1, 3 * 9 - 1, 4)
    assert_allclose(picture[9:17, 9:17, :3], X[1, :, ::-1] / 255)
    assert_allclose(picture[8], plt.matplotlib.colors.to_rgba_array([display.ax_.get_facecolor()] * 26))  # a gap
    assert len(display.ax_.patches) == 9  # an edge around each picture
    assert display.ax_.figure is display.figure_ and display.ax_.get_title() == "flips"
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["original", "augmented"]


def test_it_plots_in_given_axes_and_all_draws_differ():
    figure, ax = plt.subplots()
    display = AugmentationDisplay.from_estimator(GaussianNoise(), X[..., 0], ax=ax, random_state=1, cmap="viridis")
    assert display.ax_ is ax and display.figure_ is figure
    assert display.im_.get_cmap().name == "viridis" and display.im_.get_array().ndim == 2
    assert (display.draws[0] != display.draws[1]).any()
    again = AugmentationDisplay.from_estimator(GaussianNoise(), X[..., 0], random_state=1)
    assert_array_equal(again.draws, display.draws)


def test_photos_are_read_at_a_legible_size_and_their_files_are_named(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    paths = [str(tmp_path / f"{number}.png") for number in range(70)]
    for path in paths:
        image_module.new("RGB", (300, 400), "red").save(path)
    display = AugmentationDisplay.from_estimator(RandomFlip(1), paths, n_images=3, n_draws=2)
    assert display.originals.shape == (3, 224, 224, 3) and display.files == ["0.png", "1.png", "2.png"]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == display.files
    small = AugmentationDisplay.from_estimator(RandomFlip(1, image_shape=(32, 48)), paths, n_draws=1)
    assert small.originals.shape == (4, 32, 48, 3)
    mixed = AugmentationDisplay.from_estimator(CutMix(), paths, np.arange(70) % 2, n_images=1, n_draws=1)
    assert mixed.draws[0].shape == (1, 224, 224, 3)


def test_a_fitted_augmenter_is_not_fitted_again_and_crops_are_smaller():
    crop = RandomCrop((5, 6), image_shape=(8, 8, 3), value_range=(0, 510)).fit(X)
    display = AugmentationDisplay.from_estimator(crop, X.reshape(5, -1))
    assert display.draws[0].shape == (4, 5, 6, 3) and display.originals.max() <= 0.5


def test_mixing_takes_partners_from_all_rows():
    display = AugmentationDisplay.from_estimator(CutMix(), X, np.arange(5) % 2, n_images=1, random_state=0)
    assert any(np.isin(draw[0], X[1:] / 255).any() and (draw != display.originals).any() for draw in display.draws)


def test_signals_are_lines():
    signals = np.random.default_rng(0).random((6, 20))
    display = AugmentationDisplay.from_estimator(SwapNoise(0.5), signals, n_images=2, n_draws=3, random_state=0)
    assert len(display.lines_) == 2 * 4 and not hasattr(display, "im_")
    assert_allclose(display.lines_[3].get_ydata(), signals[0])


def test_mosaic_centers_smaller_images():
    mosaic, boxes = make_mosaic([np.zeros((1, 6, 6, 1)), np.zeros((1, 2, 4, 1))])
    assert mosaic.shape == (6, 13, 1)
    assert np.isnan(mosaic[:, 7:]).sum() == 6 * 6 - 2 * 4 and not mosaic[2:4, 8:12].any()
    assert boxes == [(0, 0, 6, 6), (8, 2, 4, 2)]


def test_errors():
    for name in ("n_images", "n_draws"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            AugmentationDisplay.from_estimator(RandomFlip(), X, **{name: 0})
    with pytest.raises(ValueError, match="1, 3 .* or 4 channels, got 2"):
        AugmentationDisplay.from_estimator(RandomFlip(), X[..., :2])
