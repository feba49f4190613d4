import colorsys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sktricks.augment import ColorJitter

X = np.random.default_rng(0).random((30, 5, 6, 3))


def jitter(images, **params):
    """Return augmented images, and the draws."""
    augmenter = ColorJitter(**params, random_state=0).fit(images)
    return augmenter.augment(images), augmenter.draw(augmenter._make_rng(), len(images), images.shape[1:])


def test_draws_are_uniform_about_one():
    draws = ColorJitter(0.3, 0.4, 1.5, 0.2).draw(np.random.default_rng(0), 5000, (4, 4, 3))
    for name, low, high in [
        ("brightness", 0.7, 1.3),
        ("contrast", 0.6, 1.4),
        ("saturation", 0, 2.5),
        ("hue", -0.2, 0.2),
    ]:
        assert stats.kstest(draws[name], stats.uniform(low, high - low).cdf).pvalue > 0.01
    correlations = np.corrcoef(list(draws.values())) - np.eye(4)
    assert np.abs(correlations).max() < 0.05


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_brightness_and_contrast(dtype):
    images = (X * 255).astype(dtype)
    new, draws = jitter(images, brightness=0.6, contrast=0.8)
    for image, old, brightness, contrast in zip(new, images, draws["brightness"], draws["contrast"], strict=True):
        bright = old.astype(float) * brightness
        expected = np.clip(bright.mean() + (bright - bright.mean()) * contrast, 0, 255)
        assert_allclose(image, expected, rtol=0, atol=0.5 + 1e-3 if dtype == np.uint8 else 1e-3)


def test_black_stays_black():
    new, draws = jitter(2 * X - 1, brightness=0.5, contrast=0, value_range=(-1, 1))
    factors = draws["brightness"][:, None, None, None]
    assert_allclose(new, np.clip(2 * X * factors - 1, -1, 1), atol=1e-12)


def test_saturation():
    new, draws = jitter(X * 0.2 + 0.4, brightness=0, contrast=0, saturation=0.9)
    old = X[7] * 0.2 + 0.4
    grey = old @ [[0.299], [0.587], [0.114]]
    assert_allclose(new[7], grey + (old - grey) * draws["saturation"][7], atol=1e-12)


def test_hue_equals_colorsys():
    new, draws = jitter(X, brightness=0, contrast=0, hue=0.5)
    for image, old, turn in zip(new, X, draws["hue"], strict=True):
        for pixel, before in zip(image.reshape(-1, 3), old.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*before)
            assert_allclose(pixel, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-10)


def test_hue_does_not_change_gray_pixels():
    grey = np.repeat(X[..., :1], 3, axis=-1)
    assert_array_equal(ColorJitter(0, 0, hue=0.5).fit_transform(grey), grey)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_zero_strength_is_identity(dtype):
    images = (X * 255).astype(dtype)
    assert_array_equal(ColorJitter(0, 0, 0, 0).fit_transform(images), images)


def test_result_is_clipped_to_the_range():
    new = ColorJitter(2.0, 2.0, 2.0, 0.5, random_state=0).fit_transform(X)
    assert new.min() == 0 and new.max() == 1
    new = ColorJitter(2.0, 2.0, random_state=0).fit_transform((X * 255).astype(np.uint8))
    assert new.min() == 0 and new.max() == 255


def test_a_strength_does_not_change_the_other_draws():
    one, other = (jitter(X, brightness=0.2, contrast=c)[1] for c in (0, 0.4))
    assert_array_equal(one["brightness"], other["brightness"])


@pytest.mark.parametrize("name", ["saturation", "hue"])
@pytest.mark.parametrize("images", [X[..., 0], X[..., :1], X[..., :2], X[:, 0, :, 0]])
def test_gray_images_have_no_saturation_and_hue(name, images):
    with pytest.raises(ValueError, match=f"{name}=0.1 requires images of 3 channels .*X has [12]"):
        ColorJitter(**{name: 0.1}).fit(images)


@pytest.mark.parametrize(
    "params", [{"brightness": -0.1}, {"contrast": -1}, {"saturation": -1}, {"hue": 0.6}, {"hue": -0.1}]
)
def test_errors(params):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter of ColorJitter must be"):
        ColorJitter(**params).fit(X)
