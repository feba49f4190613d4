import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage, stats

from sktricks.augment import GaussianBlur
from sktricks.augment.transforms._blur import gaussian_weights

X = np.random.default_rng(0).random((12, 9, 11, 3))


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_blur_equals_scipy(sigma, dtype):
    images = (X * 255).astype(dtype)
    new = GaussianBlur(sigma).fit_transform(images)
    radius = int(np.ceil(3 * sigma))
    for image, after in zip(images, new, strict=True):
        expected = ndimage.gaussian_filter(
            image.astype(float), (sigma, sigma, 0), mode="mirror", radius=(radius, radius, 0)
        )
        assert_allclose(after, expected, atol={np.uint8: 0.501, np.float32: 1e-4, np.float64: 1e-10}[dtype])


def test_widths_are_uniform():
    weights = GaussianBlur((0.5, 2)).draw(np.random.default_rng(0), 4000, (8, 8, 1))["weights"]
    assert_allclose(weights.sum(axis=1), 1)
    middle = weights.shape[1] // 2
    sigmas = np.sqrt(0.5 / np.log(weights[:, middle] / weights[:, middle + 1]))
    assert stats.kstest(sigmas, stats.uniform(0.5, 1.5).cdf).pvalue > 0.01


def test_signals_are_blurred_along_their_axis():
    signals = X[:, 0, :, 0]
    expected = ndimage.gaussian_filter1d(signals, 1, axis=1, mode="mirror", radius=3)
    assert_allclose(GaussianBlur(1.0).fit_transform(signals), expected, atol=1e-12)


def test_a_narrow_kernel_is_almost_the_identity():
    assert_allclose(GaussianBlur(0.05).fit_transform(X), X, atol=1e-12)
    assert_allclose(gaussian_weights(np.array([0.01]), 2), [[0, 0, 1, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("sigma", [0, -1, (2, 1), (0, 1), (1, 2, 3), "wide"])
def test_errors(sigma):
    with pytest.raises(ValueError, match="'?sigma'? (parameter|must be a pair)"):
        GaussianBlur(sigma).fit(X)


@pytest.mark.parametrize("sigma", [16.5, 1e9, (1, 1e300)])
def test_a_kernel_wider_than_the_image(sigma):
    with pytest.raises(ValueError, match="sigma must be at most 16 for images of .*, got"):
        GaussianBlur(sigma).fit(X)
