import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, stats

from sktricks._warnings import ImageShapeWarning
from sktricks.augment import RandomAffine, RandomCrop, RandomFlip, RandomResizedCrop, RandomRotation
from sktricks.augment.transforms._affine import affine_linear

X = np.random.default_rng(0).random((20, 9, 12, 3))


def read_at(image, rows, columns, mode="grid-constant", fill=0.0):
    """Interpolate with scipy, bilinearly and in float64, as an independent reference."""
    channels = [
        ndimage.map_coordinates(image[..., c].astype(float), [rows, columns], order=1, mode=mode, cval=fill)
        for c in range(image.shape[2])
    ]
    return np.stack(channels, -1)


# affine maps


def moved(image, angle, down, right, scale, shear, fill=0.0):
    """Return the input position of each output pixel, by inverting one step at a time."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    y, x = y - down, x - right
    place = (x - 1j * y) * np.exp(-1j * np.deg2rad(angle)) / scale  # rotated back: x to the right, y up
    y, x = -place.imag, place.real
    x = x - np.tan(np.deg2rad(shear)) * y
    return read_at(image, y + (height - 1) / 2, x + (width - 1) / 2, fill=fill)


def test_affine_equals_the_reference():
    augmenter = RandomAffine(40, 0.2, 0.3, 20, value_range=(-1, 1), fill=-0.5).fit(X)
    new = augmenter.augment(X, random_state=np.random.default_rng(5))
    angle, down, right, size, shear = np.random.default_rng(5).uniform(-1, 1, (5, len(X)))
    for k, image in enumerate(X):
        expected = moved(
            image, 40 * angle[k], 0.2 * 9 * down[k], 0.2 * 12 * right[k], 1 + 0.3 * size[k], 20 * shear[k], -0.5
        )
        assert_allclose(new[k], expected, atol=1e-10)


def test_the_angle_equals_that_of_random_rotation():
    angles = np.array([10.0, -30, 77])
    maps = RandomAffine(90, 0, 0, 0).draw(np.random.default_rng(0), 500, (8, 8, 1))["map"]
    linear = affine_linear(angles, np.ones(3), np.zeros(3))
    assert_allclose(np.linalg.det(linear), 1)
    assert_allclose(np.rad2deg(np.arctan2(linear[:, 0, 1], linear[:, 0, 0])), angles)
    found = np.rad2deg(np.arctan2(maps[:, 0, 1], maps[:, 0, 0]))
    assert stats.kstest(found, stats.uniform(-90, 180).cdf).pvalue > 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_zero_strength_is_identity(dtype):
    images = (X * 255).astype(dtype)
    assert_array_equal(RandomAffine(0, 0, 0, 0).fit_transform(images), images)


def test_affine_on_signals_shifts_and_scales():
    signals = np.random.default_rng(0).random((30, 50))
    with pytest.warns(ImageShapeWarning):
        RandomAffine().fit(signals)
    augmenter = RandomAffine(0, 0.1, 0.2, 0, random_state=0)
    new = augmenter.fit_transform(signals)
    maps = augmenter.draw(augmenter._make_rng(), 30, (1, 50, 1))["map"]
    for signal, after, (_, (_, step, start)) in zip(signals, new, maps, strict=True):
        expected = read_at(signal[None, :, None], np.zeros((1, 50)), (start + step * np.arange(50))[None])
        assert_allclose(after, expected[0, :, 0], atol=1e-12)
    assert np.abs(maps[:, 1, 2]).max() > 1


# borders


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("reflect", "mirror"), ("constant", None)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_borders_equal_those_of_numpy_and_scipy(border, mode, dtype):
    images = (X * 255).astype(dtype)
    rotation = RandomRotation(180, border=border, fill=7).fit(images)
    new = rotation.augment(images, random_state=np.random.default_rng(3))
    angles = np.random.default_rng(3).uniform(-180, 180, len(X))
    for image, angle, after in zip(images, angles, new, strict=True):
        y, x = np.mgrid[:9, :12] - np.array([4.0, 5.5])[:, None, None]
        place = (x - 1j * y) * np.exp(-1j * np.deg2rad(angle))
        expected = read_at(image, 4 - place.imag, 5.5 + place.real, mode or "grid-constant", 7)
        assert_allclose(after, expected, atol=0.501 if dtype == np.uint8 else 1e-9)

    crop = RandomCrop(padding=5, border=border, fill=7, random_state=0).fit(images)
    params = crop.draw(crop._make_rng(), len(X), X.shape[1:])
    values = {"constant_values": 7} if border == "constant" else {}
    padded = np.pad(images, ((0, 0), (5, 5), (5, 5), (0, 0)), mode=border, **values)
    for image, row, top, left in zip(crop.augment(images), padded, params["top"], params["left"], strict=True):
        assert_array_equal(image, row[top : top + 9, left : left + 12])
    larger = RandomCrop((13, 12), padding=5, border=border, fill=7).fit(images).transform(images)
    assert_array_equal(larger, np.pad(images, ((0, 0), (2, 2), (0, 0), (0, 0)), mode=border, **values))


# resized crops


def test_resized_crops_equal_the_reference():
    augmenter = RandomResizedCrop((5, 20), random_state=0).fit(X)
    new = augmenter.augment(X)
    maps = augmenter.draw(augmenter._make_rng(), len(X), X.shape[1:])["map"]
    for image, after, ((down, _, top), (_, right, left)) in zip(X, new, maps, strict=True):
        rows, columns = top + down * np.arange(5), left + right * np.arange(20)
        expected = read_at(image, *np.meshgrid(rows, columns, indexing="ij"), mode="nearest")
        assert_allclose(after, expected, atol=1e-10)


def test_windows_have_uniform_area_aspect_ratio_and_position():
    augmenter = RandomResizedCrop(10, scale=(0.1, 0.4), ratio=(0.8, 1.25))
    maps = augmenter.draw(np.random.default_rng(0), 5000, (40, 40, 1))["map"]
    height, width = maps[:, 0, 0] * 10, maps[:, 1, 1] * 10
    assert stats.kstest(height * width / 1600, stats.uniform(0.1, 0.3).cdf).pvalue > 0.01
    assert stats.kstest(np.log(width / height), stats.uniform(np.log(0.8), np.log(1.25 / 0.8)).cdf).pvalue > 0.01
    for axis, side in enumerate([height, width]):
        start = maps[:, axis, 2] - (side / 10 - 1) / 2
        assert stats.kstest(start / (40 - side), stats.uniform(0, 1).cdf).pvalue > 0.01


def test_sides_longer_than_the_image_are_shortened():
    maps = RandomResizedCrop(4, scale=(1, 1), ratio=(4, 4)).draw(np.random.default_rng(0), 10, (8, 8, 1))["map"]
    assert_allclose(maps[:, 1, 1] * 4, 8)
    assert_allclose(maps[:, 0, 0] * 4, 4)


def test_resized_crop_takes_the_whole_image_at_prediction():
    augmenter = RandomResizedCrop((18, 24)).fit(X)
    big = augmenter.transform(X)
    assert big.shape == (20, 18, 24, 3)
    assert_allclose(
        big.reshape(20, 9, 2, 12, 2, 3).mean(axis=(2, 4))[:, 1:-1, 1:-1].mean(), X[:, 1:-1, 1:-1].mean(), 0.02
    )
    assert_array_equal(RandomResizedCrop().fit(X).transform(X), X)
    assert_allclose(RandomResizedCrop((3, 4)).fit(X).transform(X), X[:, 1::3, 1::3])


def test_resized_crop_of_signals():
    signals = np.tile(np.arange(20.0), (50, 1))
    new = RandomResizedCrop((1, 10), scale=(0.5, 0.5), random_state=0).fit_transform(signals)
    assert_allclose(np.diff(new), 1)
    with pytest.warns(ImageShapeWarning):
        assert RandomResizedCrop(10).fit_transform(signals).shape == (50, 10)


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (RandomAffine(-1), "'max_angle' parameter"),
        (RandomAffine(shift=-1), "'shift' parameter"),
        (RandomAffine(scale=1), "'scale' parameter"),
        (RandomAffine(shear=90), "'shear' parameter"),
        (RandomAffine(border="wrap"), "'border' parameter"),
        (RandomRotation(fill="black"), "'fill' parameter"),
        (RandomCrop(fill="black"), "'fill' parameter"),
        (RandomResizedCrop(0), "'size' parameter"),
        (RandomResizedCrop((2, 3, 4)), "pair"),
        (RandomResizedCrop(scale=(0, 1)), r"scale must be a pair .* above 0 and up to 1, got \(0, 1\)"),
        (RandomResizedCrop(scale=(0.5, 2)), "scale must be"),
        (RandomResizedCrop(ratio=(2, 1)), r"ratio must be a pair .*got \(2, 1\)"),
        (RandomResizedCrop(ratio=(1, 2, 3)), "ratio must be"),
        (RandomFlip(direction="diagonal"), "'direction' parameter"),
    ],
)
def test_errors(augmenter, message):
    with pytest.raises(ValueError, match=message):
        augmenter.fit(X)
