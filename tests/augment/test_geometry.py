import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, stats

from sktricks._warnings import ImageShapeWarning
from sktricks.augment import (
    ColorJitter,
    FeatureDropout,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    make_augmentation_pipeline,
)
from sktricks.augment.kernels._warp import linear_maps, rotations, warp

X = np.random.default_rng(0).random((40, 7, 10, 3))


# flips


@pytest.mark.parametrize(("direction", "axis"), [("vertical", 1), ("horizontal", 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_flip(direction, axis, dtype):
    images = (X * 255).astype(dtype)
    assert_array_equal(RandomFlip(1, direction).fit_transform(images), np.flip(images, axis))
    assert_array_equal(RandomFlip(0, direction).fit_transform(images), images)


def test_flip_reverses_signals():
    assert_array_equal(RandomFlip(1).fit_transform([[1, 2, 3]]), [[3, 2, 1]])


def test_flip_probability():
    columns = np.tile([0, 1], (4000, 1))
    flipped = RandomFlip(0.3, random_state=0).fit_transform(columns)[:, 0].sum()
    assert stats.binomtest(int(flipped), 4000, 0.3).pvalue > 0.01


# crops


def places(size, padding, n=6000):
    """Return the offsets of crops of an image whose values are its coordinates, starting at 1."""
    image = np.stack(np.meshgrid(np.arange(1, 7), np.arange(1, 6), indexing="ij"), -1).astype(np.int32)
    images = np.tile(np.concatenate([image, image[..., :1]], -1), (n, 1, 1, 1))
    return RandomCrop(size, padding, random_state=0).fit_transform(images)


def test_crop_offsets_are_uniform_and_reach_both_ends():
    new = places((4, 3), 0)
    tops, lefts = new[:, 0, 0, 0] - 1, new[:, 0, 0, 1] - 1
    counts = np.zeros((3, 3))
    np.add.at(counts, (tops, lefts), 1)  # 6 - 4 + 1 places down, 5 - 3 + 1 across
    assert stats.chisquare(counts.ravel()).pvalue > 0.01


def test_padded_crop_offsets_are_uniform_and_reach_both_ends():
    new = places(None, 2)[..., 0]  # 6 x 5 in 10 x 9: 5 x 5 places
    first_row = np.where(new.any(axis=(1, 2)), (new.max(axis=2) > 0).argmax(axis=1), -1)
    last = new.max(axis=(1, 2))
    shift = np.where(first_row > 0, -first_row, 6 - (new.max(axis=2) > 0).sum(axis=1))
    assert set(shift.tolist()) == {-2, -1, 0, 1, 2}
    assert stats.chisquare(np.bincount(shift + 2)).pvalue > 0.01
    assert_array_equal(last, np.minimum(6, 6 + shift))


@pytest.mark.parametrize("value_range", [None, (-1.0, 1.0)])
def test_crop_equals_slicing_the_padded_image(value_range):
    crop = RandomCrop((6, 4), padding=3, value_range=value_range, random_state=0).fit(X)
    params = crop.draw(crop._make_rng(), len(X), X.shape[1:])
    padded = np.pad(X, ((0, 0), (3, 3), (3, 3), (0, 0)), constant_values=-1 if value_range else 0)
    for image, row, top, left in zip(crop.augment(X), padded, params["top"], params["left"], strict=True):
        assert_array_equal(image, row[top : top + 6, left : left + 4])


def test_crop_takes_the_center():
    assert_array_equal(RandomCrop((3, 4)).fit(X).transform(X), X[:, 2:5, 3:7])
    assert_array_equal(RandomCrop((4, 5)).fit(X).transform(X), X[:, 1:5, 2:7])
    assert_array_equal(RandomCrop(padding=4).fit(X).transform(X), X)
    larger = RandomCrop((10, 10), padding=2).fit(X).transform(X)
    assert_array_equal(larger, np.pad(X, ((0, 0), (2, 1), (0, 0), (0, 0))))


def test_crop_without_size_and_padding_is_identity():
    assert_array_equal(RandomCrop().fit_transform(X), X)


def test_crop_of_signals():
    signals = np.arange(1, 6)[None].repeat(200, 0)
    with pytest.warns(ImageShapeWarning, match="RandomCrop got rows of 5 columns"):
        square = RandomCrop(3, padding=1, random_state=0).fit_transform(signals)
    new = RandomCrop((1, 3), padding=1, random_state=0).fit_transform(signals)  # a window for signals: no warning
    assert_array_equal(square, new)
    assert set(map(tuple, new.tolist())) == {(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0)}
    assert_array_equal(RandomCrop((1, 2)).fit(signals).transform(signals), signals[:, 1:3])
    with pytest.warns(ImageShapeWarning), pytest.raises(ValueError, match=r"size=\(2, 2\) is larger"):
        RandomCrop((2, 2), padding=1).fit(signals)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 12, "padding": 2}, "size=12 is larger than the padded images.*7 x 10 pixels and padding=2"),
        ({"size": (7, 11)}, "is larger"),
        ({"size": (1, 2, 3)}, r"pair \(height, width\) of them, got \(1, 2, 3\)"),
        ({"size": (1.5, 2)}, r"pair \(height, width\)"),
        ({"size": (0, 2)}, r"pair \(height, width\)"),
        ({"size": 0}, "'size' parameter"),
        ({"padding": -1}, "'padding' parameter"),
        ({"padding": 8}, "padding must be at most 7, the shorter side of the images, got 8"),
        ({"padding": 10**30}, "padding must be at most 7"),
        ({"size": 10**9}, "size must be None, an int from 1 to 16384 or a pair"),
    ],
)
def test_crop_errors(params, message):
    with pytest.raises(ValueError, match=message):
        RandomCrop(**params).fit(X)


def test_a_signal_is_padded_up_to_its_length():
    signals = np.arange(12.0).reshape(3, 4)
    assert RandomCrop((1, 4), padding=4).fit_transform(signals).shape == (3, 4)
    with pytest.raises(ValueError, match="padding must be at most 4"):
        RandomCrop((1, 4), padding=5).fit(signals)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan])
def test_flip_errors(p):
    with pytest.raises(ValueError, match=r"'p' parameter of RandomFlip must be a float in the range \[0"):
        RandomFlip(p).fit(X)


# rotations


def turned(image, angle, fill=0.0):
    """Rotate with scipy in float64, as an independent reference: counter-clockwise, about the center."""
    height, width = image.shape[:2]
    down, right = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    # The pixel at (right, up) was at the same radius and a smaller angle.
    source = (right - 1j * down) * np.exp(-1j * np.deg2rad(angle))
    places = [-source.imag + (height - 1) / 2, source.real + (width - 1) / 2]
    channels = [
        ndimage.map_coordinates(image[..., c].astype(float), places, order=1, mode="grid-constant", cval=fill)
        for c in range(image.shape[2])
    ]
    return np.stack(channels, -1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("max_angle", [15, 180])
def test_rotation_equals_the_reference(dtype, max_angle):
    images = (X * 255).astype(dtype)
    angles = np.random.default_rng(5).uniform(-max_angle, max_angle, len(X))
    new = RandomRotation(max_angle).fit(images).augment(images, random_state=np.random.default_rng(5))
    expected = np.stack([turned(image, angle) for image, angle in zip(images, angles, strict=True)])
    assert_allclose(new, expected, rtol=0, atol={np.uint8: 0.501, np.float32: 1e-4, np.float64: 1e-10}[dtype])


@pytest.mark.parametrize("border", ["constant", "edge", "reflect"])
def test_rotation_of_large_floats_is_as_exact(border):
    images = (np.random.default_rng(0).random((4, 150, 200, 3)) * 255).astype(np.float32)
    rotation = RandomRotation(180, border=border, value_range=(0, 255)).fit(images)
    new = rotation.augment(images, random_state=1)
    exact = rotation.augment(images.astype(np.float64), random_state=1)
    assert new.dtype == np.float32 and exact.dtype == np.float64
    assert_allclose(new, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", ["compiled", "numpy"])
@pytest.mark.parametrize(("fill", "expected"), [(0, 0), (254.7, 255), (99.6, 100)])
def test_fill_of_integers_is_rounded(monkeypatch, kernel, fill, expected):
    if kernel == "numpy":
        monkeypatch.setattr("sktricks.augment.kernels._kernels.compiled", None)
    images = np.full((5, 4, 4), 100, np.uint8)
    crop = RandomCrop(padding=4, fill=fill)
    for augmenter in (crop, make_augmentation_pipeline(crop, ColorJitter(1e-4, 0))):
        assert set(np.unique(augmenter.fit(images).augment(images, random_state=0))) == {100, expected}


@pytest.mark.parametrize("augmenter", [RandomErasing(p=1, fill=np.nan), FeatureDropout(0.5, fill=np.nan)])
def test_integers_are_not_filled_with_nan(augmenter):
    images = np.ones((5, 4, 4))
    assert np.isnan(augmenter.fit_transform(images)).any()
    for dtype in (np.uint8, np.int64):
        with pytest.raises(ValueError, match=f"fill is NaN, but X is {np.dtype(dtype)}: use a finite fill"):
            augmenter.fit_transform(images.astype(dtype))


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_fill_must_be_a_number(fill):
    for augmenter in (RandomRotation(10, fill=fill), RandomCrop(padding=1, fill=fill)):
        with pytest.raises(ValueError, match="The 'fill' parameter of Random"):
            augmenter.fit(np.zeros((2, 4, 4)))


def test_rotation_fills_with_the_low_end_of_the_range():
    new = RandomRotation(45, value_range=(-1, 1)).fit(X).augment(X, random_state=np.random.default_rng(0))
    angles = np.random.default_rng(0).uniform(-45, 45, len(X))
    assert_allclose(new[3], turned(X[3], angles[3], -1), atol=1e-12)


def test_quarter_turns_are_exact_to_rounding():
    square = X[:, :7, :7]
    for turns in (-1, 1, 2):
        maps = linear_maps(rotations(np.full(len(X), 90 * turns)), square.shape[1:])
        assert_allclose(warp(square, maps, square.shape[1:3]), np.rot90(square, turns, axes=(1, 2)), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_zero_angle_is_identity(dtype):
    images = (X * 255).astype(dtype)
    assert_array_equal(RandomRotation(0).fit_transform(images), images)


def test_angles_are_uniform():
    maps = RandomRotation(30).draw(np.random.default_rng(0), 5000, (8, 8, 1))["map"]
    angles = np.rad2deg(np.arctan2(maps[:, 0, 1], maps[:, 0, 0]))
    assert stats.kstest(angles, stats.uniform(-30, 60).cdf).pvalue > 0.01


@pytest.mark.parametrize("max_angle", [-1, 181, "a"])
def test_rotation_errors(max_angle):
    with pytest.raises(ValueError, match="'max_angle' parameter"):
        RandomRotation(max_angle).fit(X)
