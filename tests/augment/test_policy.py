import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sktricks._warnings import ImageShapeWarning
from sktricks.augment import TrivialAugment
from sktricks.augment.transforms._policy import CHANGES, equalize, posterize, sharpen, solarize, stretch

X = np.random.default_rng(0).integers(0, 256, (700, 8, 8, 3)).astype(np.uint8)


def run(images):
    augmenter = TrivialAugment(random_state=0)
    return augmenter.fit_transform(images), augmenter.draw(
        augmenter._make_rng(), len(images), (*images.shape[1:], 1)[:3]
    )


def test_operations_are_equally_likely_and_strengths_uniform():
    params = TrivialAugment().draw(np.random.default_rng(1), 14_000, (8, 8, 3))
    assert len(CHANGES) == 14
    assert stats.chisquare(np.bincount(params["change"], minlength=14)).pvalue > 0.01
    assert stats.kstest(params["strength"], stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_one_operation_per_image():
    new, params = run(X)
    none = params["change"] == CHANGES.index("identity")
    assert_array_equal(new[none], X[none])
    for name in CHANGES[1:]:
        rows = (params["change"] == CHANGES.index(name)) & (np.abs(params["strength"]) > 0.3)
        assert (new[rows] != X[rows]).any(), name


def test_color_operations_equal_their_formulas():
    new, params = run(X)
    for name, about in (
        ("brightness", lambda image: 0.0),
        ("contrast", lambda image: image.mean()),
        ("saturation", lambda image: image @ [[0.299], [0.587], [0.114]]),
    ):
        for k in np.flatnonzero(params["change"] == CHANGES.index(name)):
            image, center = X[k].astype(float), about(X[k].astype(float))
            expected = np.clip(center + (image - center) * (1 + 0.99 * params["strength"][k]), 0, 255)
            assert_allclose(new[k], expected, atol=0.501)


@pytest.mark.parametrize("seed", range(3))
def test_functions_equal_pillow(seed):
    ops = pytest.importorskip("PIL.ImageOps")
    pil, enhance = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageEnhance")
    image = np.random.default_rng(seed).integers(20, 200, (16, 16, 3)).astype(np.uint8)
    picture, share = pil.fromarray(image), image / 255
    pairs = [
        (posterize(share, 0.5), ops.posterize(picture, 5), 1e-6),
        (solarize(share, 99.5 / 255), ops.solarize(picture, 156), 1e-6),
        (stretch(share), ops.autocontrast(picture), 1.0),  # Pillow truncates
        (sharpen(share, 0.8)[1:-1, 1:-1], np.asarray(enhance.Sharpness(picture).enhance(1.8))[1:-1, 1:-1], 2.0),
    ]
    for ours, theirs, tolerance in pairs:
        assert_allclose(np.clip(ours, 0, 1) * 255, np.asarray(theirs), rtol=0, atol=tolerance)


def test_equalize_gives_a_uniform_histogram():
    skewed = (np.random.default_rng(0).random((64, 64, 2)) ** 3 * 255).astype(np.uint8) / 255
    assert stats.kstest(equalize(skewed)[..., 0].ravel(), "uniform").statistic < 0.2
    assert equalize(skewed).min() == 0 and equalize(skewed).max() == 1
    flat = np.full((4, 4, 1), 0.3)
    assert_array_equal(equalize(flat), flat)
    assert_array_equal(stretch(flat), flat)


def test_gray_images_and_any_value_range():
    grey = X[..., 0]
    new, params = run(grey)
    saturation = params["change"] == CHANGES.index("saturation")
    assert_array_equal(new[saturation], grey[saturation])
    floats = TrivialAugment(value_range=(-1, 1), random_state=0).fit_transform(X / 127.5 - 1)
    whole, _ = run(X)
    assert np.median(np.abs((floats + 1) * 127.5 - whole)) < 0.51
    assert floats.min() >= -1 and floats.max() <= 1


def test_signals_are_unchanged_with_a_warning():
    with pytest.warns(ImageShapeWarning):
        new = TrivialAugment(random_state=0).fit_transform(X[:, 0, :, 0] / 1.0)
    assert new.shape == (700, 8)
