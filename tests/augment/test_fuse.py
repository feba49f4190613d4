"""Compare pipelines with a float64 reference: scipy's interpolation at the composed map, then the colors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from sktricks.augment import (
    ColorJitter,
    GaussianNoise,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomRotation,
    TrivialAugment,
    make_augmentation_pipeline,
)
from sktricks.augment.kernels._fuse import Pass, fuse

SHAPE = (13, 16, 3)
X = np.random.default_rng(0).random((30, *SHAPE))
TOLERANCE = {np.uint8: 0.51, np.float32: 1e-4, np.float64: 1e-9}
CHAINS = {
    "classic": [RandomFlip(), RandomCrop((9, 10)), RandomRotation(15), ColorJitter()],
    "all geometry": [RandomAffine(), RandomFlip(direction="vertical"), RandomResizedCrop((7, 18)), RandomRotation(90)],
    "padded": [RandomCrop(padding=4), RandomRotation(30), RandomFlip(), ColorJitter(0.5, 0.5, 0.5, 0.5)],
    "edge": [RandomRotation(60, border="edge"), RandomCrop(padding=6, border="edge")],
    "reflect": [RandomCrop(padding=6, border="reflect"), RandomAffine(border="reflect"), RandomGrayscale(0.5)],
    "colours": [ColorJitter(0.9, 0.9), RandomGrayscale(0.5), ColorJitter(0.5, 0.5, 0.5, 0.1)],
    "only exact": [RandomFlip(), RandomCrop((9, 10), padding=3), RandomFlip(direction="vertical")],
    "some rows": [RandomApply(RandomRotation(40)), RandomApply(ColorJitter(0.5, 0.5, 0.5, 0.2))],
}


def homogeneous(maps):
    return np.concatenate([maps, np.tile([0.0, 0, 1], (len(maps), 1, 1))], axis=1)


def read(images, maps, size, border, fill):
    """Interpolate with scipy at the positions of the maps."""
    mode = {"constant": "grid-constant", "edge": "nearest", "reflect": "mirror"}[border]
    grid = np.stack([*np.mgrid[: size[0], : size[1]], np.ones(size)])
    places = np.einsum("nij,jhw->nihw", maps, grid)
    return np.stack(
        [
            np.stack(
                [ndimage.map_coordinates(c, p, order=1, mode=mode, cval=fill) for c in np.moveaxis(image, -1, 0)], -1
            )
            for image, p in zip(images, places[:, :2], strict=True)
        ]
    )


def recolour(images, tones, high):
    """Change brightness, contrast, saturation and hue in float64, image by image."""
    import colorsys

    out = images.copy()
    for image, (brightness, contrast, saturation, turn) in zip(out, tones, strict=True):
        if (brightness, contrast, saturation, turn) == (1, 1, 1, 0):
            continue
        image *= brightness
        image[:] = image.mean() + (image - image.mean()) * contrast
        grey = image @ [[0.299], [0.587], [0.114]]
        image[:] = grey + (image - grey) * saturation
        if turn:
            low, spread = image.min(axis=-1, keepdims=True), np.ptp(image, axis=-1, keepdims=True)
            flat = ((image - low) / np.where(spread > 0, spread, 1)).reshape(-1, 3)
            hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in flat]
            turned = [colorsys.hsv_to_rgb((h + turn) % 1, s, v) for h, s, v in hsv]
            image[:] = low + np.reshape(turned, image.shape) * spread
        np.clip(image, 0, high, out=image)
    return out


def reference(pipeline, images, high):
    """Apply the steps of a pipeline in order, with a single interpolation for all geometry."""
    shape, maps, border = SHAPE, np.tile(np.eye(3), (len(images), 1, 1)), None
    images = images.astype(float)
    tones = []
    for step, params in pipeline._plan(pipeline._make_rng(), len(images), SHAPE):
        chosen = params.get("chosen", np.ones(len(images), bool))
        if step.fuses_as == "geometry":
            own = homogeneous(step.to_maps(params, shape))
            maps = maps @ np.where(chosen[:, None, None], own, np.eye(3))
            border = step.find_border(shape, (0, high)) or border
        else:
            tones.append(np.where(chosen[:, None], step.to_factors(params, shape), [1, 1, 1, 0]))
        shape = step.output_shape(shape)
    images = read(images, maps, shape[:2], *(border or ("edge", 0.0)))
    for some in tones:
        images = recolour(images, some, high)
    return images


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("chain", CHAINS)
def test_pipelines_equal_the_reference(chain, dtype):
    images = (X * 255).astype(np.uint8) if dtype == np.uint8 else X.astype(dtype)
    high = 255 if dtype == np.uint8 else 1
    pipeline = make_augmentation_pipeline(*CHAINS[chain], random_state=0, value_range=(0, high))
    assert len(fuse(pipeline._plan(pipeline._make_rng(), 30, SHAPE), SHAPE, (0, high))) == 1
    expected = reference(pipeline, images, high)
    new = pipeline.fit_transform(images)
    assert new.shape == expected.shape and new.dtype == dtype
    assert_allclose(new, expected, rtol=0, atol=TOLERANCE[dtype])
    if chain == "only exact":
        assert_array_equal(new, np.rint(expected) if dtype == np.uint8 else expected.astype(dtype))


def passes(*steps, shape=SHAPE):
    pipeline = make_augmentation_pipeline(*steps, random_state=0)
    return [step for step, _ in fuse(pipeline._plan(pipeline._make_rng(), 30, shape), shape, (0, 1))]


def test_which_steps_are_fused():
    assert len(passes(RandomFlip(), RandomRotation(), ColorJitter(), RandomGrayscale())) == 1
    assert len(passes(ColorJitter(), RandomRotation())) == 2  # contrast uses the mean of the whole image
    assert len(passes(RandomRotation(), RandomRotation(border="edge"))) == 2
    assert len(passes(RandomRotation(), RandomRotation(fill=0.5))) == 2
    assert len(passes(RandomRotation(fill=0), RandomRotation(), RandomResizedCrop(), RandomCrop(9))) == 1
    kinds = [isinstance(step, Pass) for step in passes(RandomFlip(), GaussianNoise(), RandomFlip(), ColorJitter())]
    assert kinds == [True, False, True]
    assert passes(RandomRotation(0), ColorJitter(0, 0), RandomFlip(0)) == []
    assert len(passes(TrivialAugment())) == 2


def test_corners_show_the_image_around_the_crop():
    images = np.ones((50, 40, 40, 1))
    pipeline = make_augmentation_pipeline(RandomCrop(20), RandomRotation(45), random_state=0)
    offsets = pipeline._plan(pipeline._make_rng(), 50, (40, 40, 1))[0][1]
    central = (np.abs(offsets["top"] - 10) <= 5) & (np.abs(offsets["left"] - 10) <= 5)
    new = pipeline.fit_transform(images)
    assert central.any() and (new[central] > 0.999).all()
    assert (new[~central] == 0).any()  # and the fill only where the image ends


def test_given_images_are_never_modified():
    for chain in CHAINS.values():
        images = X.astype(np.float32)
        before = images.copy()
        make_augmentation_pipeline(*chain, random_state=0).fit_transform(images)
        assert_array_equal(images, before)
