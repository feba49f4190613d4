"""Properties of all augmenters, for any images: shape, dtype, range, repeatability, identity with zero strength."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sktricks.augment import (
    ColorJitter,
    CutMix,
    FeatureDropout,
    GaussianBlur,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomRotation,
    SwapNoise,
    TrivialAugment,
    make_augmentation_pipeline,
)
from sktricks.augment import _plan as plan

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
given = hypothesis.given
settings = hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)

shares = st.floats(0, 1)
borders = st.fixed_dictionaries({"border": st.sampled_from(["constant", "edge", "reflect"])})
pairs = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted).map(tuple)


def build(augmenter, *values, **named):
    return st.builds(augmenter, *values, **named)


def augmenters(height, width, channels):
    """A strategy for any augmenter for images of this shape."""
    colour = st.floats(0, 2 if channels == 3 else 0)
    sizes = st.tuples(st.integers(1, height), st.integers(1, width))
    paddings = st.integers(0, width if height == 1 else min(height, width))
    single = [
        build(RandomFlip, shares, st.sampled_from(["horizontal", "vertical"])),
        build(lambda size, padding, k: RandomCrop(size, padding, **k), sizes, paddings, borders),
        build(lambda angle, k: RandomRotation(angle, **k), st.floats(0, 180), borders),
        build(
            lambda *v: RandomAffine(*v[:4], **v[4]),
            st.floats(0, 180),
            st.floats(0, 1),
            st.floats(0, 0.9),
            st.floats(0, 80),
            borders,
        ),
        build(RandomResizedCrop, st.tuples(st.integers(1, 20), st.integers(1, 20)), pairs),
        build(ColorJitter, st.floats(0, 3), st.floats(0, 3), colour, colour.map(lambda c: c / 4)),
        build(RandomErasing, shares, pairs, fill=st.sampled_from([None, 0.3, "mean", "noise"])),
        build(GaussianNoise, st.floats(0, 3)),
        build(GaussianBlur, st.floats(0.01, 4)),
        build(FeatureDropout, shares),
        build(SwapNoise, shares),
        build(MixUp, st.floats(0, 5)),
        build(CutMix, st.floats(0, 5)),
        build(TrivialAugment),
        build(lambda angle, p: RandomApply(RandomRotation(angle), p), st.floats(0, 180), shares),
        *([build(RandomGrayscale, shares)] if channels in (1, 3) else []),
    ]
    keeping = st.one_of(*single[:1], *single[2:4], *single[5:])
    chain = st.lists(keeping, min_size=2, max_size=4).map(lambda steps: make_augmentation_pipeline(*steps))
    return st.one_of(*single, chain)


@st.composite
def cases(draw):
    """A strategy for an augmenter with a seed, images, and their labels."""
    shape = draw(st.tuples(st.integers(2, 12), st.integers(2, 12), st.sampled_from([1, 2, 3, 4, 5])))
    n = draw(st.integers(1, 7))
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.float32, np.float64]))
    images = np.random.default_rng(draw(st.integers(0, 99))).random((n, *shape))
    images = (images * 255).astype(dtype) if np.issubdtype(dtype, np.integer) else images.astype(dtype)
    value_range = (0, 255 if np.issubdtype(dtype, np.integer) else 1)
    augmenter = draw(augmenters(*shape)).set_params(value_range=value_range, random_state=draw(st.integers(0, 99)))
    return augmenter, images, np.arange(n) % 2


@settings
@given(case=cases())
def test_shape_dtype_and_range_are_kept(case):
    augmenter, images, labels = case
    before = images.copy()
    new = augmenter.fit_transform(images, labels)
    assert new.shape == (len(images), *augmenter.output_shape(images.shape[1:]))
    assert new.dtype == images.dtype
    low, high = augmenter.value_range_
    slack = 0 if np.issubdtype(images.dtype, np.integer) else 1e-5
    assert new.min() >= low - slack and new.max() <= high + slack
    assert_array_equal(images, before)
    assert augmenter.transform(images).shape == new.shape


@settings
@given(case=cases(), chunk=st.integers(1, 500), threads=st.integers(1, 3))
def test_the_same_seed_gives_the_same_bits(case, chunk, threads):
    augmenter, images, labels = case
    expected = augmenter.fit_transform(images, labels)
    sizes = plan.CHUNK_FLOATS, plan.CHUNK_COMPILED
    try:
        plan.CHUNK_FLOATS = plan.CHUNK_COMPILED = chunk
        again = clone(augmenter).set_params(n_jobs=threads).fit_transform(images, labels)
    finally:
        plan.CHUNK_FLOATS, plan.CHUNK_COMPILED = sizes
    assert_array_equal(again, expected)


@settings
@given(case=cases())
def test_layouts_agree(case):
    augmenter, images, labels = case
    expected = augmenter.fit_transform(images, labels)
    rows = (
        clone(augmenter).set_params(image_shape=images.shape[1:]).fit_transform(images.reshape(len(images), -1), labels)
    )
    assert_array_equal(rows, expected.reshape(len(images), -1))


@settings
@given(case=cases(), row=st.integers(0, 6))
def test_rows_are_independent(case, row):
    augmenter, images, labels = case
    names = repr(augmenter)
    hypothesis.assume(row < len(images) and not any(mixes in names for mixes in ("MixUp", "CutMix", "SwapNoise")))
    augmenter.fit(images, labels)
    changed = images.copy()
    changed[row] = images.max() - images[row]
    first, second = augmenter.augment(images, labels)[0], augmenter.augment(changed, labels)[0]
    others = np.arange(len(images)) != row
    assert_array_equal(first[others], second[others])


WITHOUT_STRENGTH = [
    RandomFlip(0),
    RandomCrop(),
    RandomRotation(0),
    RandomAffine(0, 0, 0, 0),
    ColorJitter(0, 0, 0, 0),
    RandomErasing(0),
    GaussianNoise(0),
    FeatureDropout(0),
    SwapNoise(0),
    MixUp(0),
    CutMix(0),
    RandomApply(RandomRotation(90), 0),
    make_augmentation_pipeline(RandomFlip(0), RandomRotation(0), ColorJitter(0, 0), MixUp(0)),
]


@pytest.mark.parametrize("augmenter", WITHOUT_STRENGTH, ids=lambda augmenter: repr(augmenter)[:30])
@hypothesis.settings(settings, max_examples=20)
@given(case=cases())
def test_zero_strength_changes_nothing(augmenter, case):
    _, images, labels = case
    assert_array_equal(clone(augmenter).fit_transform(images, labels), images)
