import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktricks._warnings import ImageShapeWarning
from sktricks.augment import (
    AugmentationPipeline,
    ColorJitter,
    CutMix,
    GaussianNoise,
    MixUp,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    UnmixedRowsWarning,
    make_augmentation_pipeline,
)

X = np.random.default_rng(0).random((20, 8, 9, 3))
y = np.arange(20) % 2


def test_a_single_step_equals_the_step():
    for step in (RandomFlip(), RandomRotation(), ColorJitter(), RandomCrop(4), MixUp()):
        alone = clone(step).set_params(random_state=0).fit_transform(X, y)
        assert_array_equal(make_augmentation_pipeline(step, random_state=0).fit_transform(X, y), alone)


def test_steps_are_applied_in_order():
    steps = [RandomFlip(), RandomCrop(6), ColorJitter(), GaussianNoise(), RandomRotation(border="edge"), CutMix()]
    pipeline = make_augmentation_pipeline(*steps, random_state=0)
    expected, rng = X, pipeline._make_rng()[0]
    pipeline.fit(X, y)
    for step in clone(pipeline, safe=False).named_steps.values():
        expected, _ = step.set_params(value_range=(0, 1)).augment(expected, y, random_state=rng)
    assert_array_equal(pipeline.augment(X, y)[0], expected)
    assert_array_equal(pipeline.transform(X), X[:, 1:7, 1:7])


def test_integers_are_rounded_once():
    images = (X * 255).astype(np.uint8)
    steps = [RandomRotation(30), RandomRotation(30), ColorJitter(), RandomRotation(30)]
    pipeline = make_augmentation_pipeline(*steps, random_state=0, value_range=(0, 255))
    exact = pipeline.fit_transform(images.astype(np.float64))
    assert_allclose(pipeline.fit_transform(images), exact, rtol=0, atol=0.5 + 1e-3)


def test_mixing_in_the_middle():
    steps = [RandomRotation(), MixUp(1.0), RandomFlip(), MixUp(0.5), RandomCrop(5)]
    pipeline = make_augmentation_pipeline(*steps, random_state=0).fit(X, y)
    images, P, rng = X, np.eye(2)[y], pipeline._make_rng()[0]
    for step in steps:
        images, P = step._augment_images(images, rng, (0, 1), P)
    new, mixed = pipeline.augment(X, y)
    assert_array_equal(new, images)
    assert_array_equal(mixed, P)
    assert_array_equal(pipeline.classes_, [0, 1])


def test_fit_transform_mixes_within_classes():
    images = np.broadcast_to(y[:, None, None, None] * 0.5, X.shape) + 0.1 * X
    new = make_augmentation_pipeline(RandomFlip(), MixUp(1.0), random_state=0).fit_transform(images, y)
    assert_array_equal(new >= 0.5, images >= 0.5)
    with pytest.warns(UnmixedRowsWarning, match="AugmentationPipeline"):
        make_augmentation_pipeline(RandomFlip(), MixUp(1.0)).fit_transform(X)


def test_y_is_unchanged_without_a_mixing_step():
    pipeline = make_augmentation_pipeline(RandomFlip())
    assert pipeline.augment(X, y)[1] is y
    assert not hasattr(pipeline, "target_")


def test_random_states():
    steps = [("own", RandomRotation(random_state=7)), ("driven", ColorJitter())]
    images = X.astype(np.float32)
    first, second = (AugmentationPipeline(steps, random_state=seed).fit_transform(images) for seed in (0, 1))
    assert (first != second).any()
    flat = np.full_like(images, 0.5)  # without the draws of the step with its own random state
    steps[1] = ("driven", ColorJitter(0, 0))
    masks = [AugmentationPipeline(steps, random_state=seed).fit_transform(flat) for seed in (0, 1)]
    assert_array_equal(*masks)


def test_parameters_of_steps():
    pipeline = make_augmentation_pipeline(RandomFlip(), RandomFlip(), RandomRotation())
    assert [name for name, _ in pipeline.steps] == ["randomflip-1", "randomflip-2", "randomrotation"]
    pipeline.set_params(randomrotation__max_angle=3)
    assert pipeline.get_params()["randomrotation__max_angle"] == 3
    assert pipeline.named_steps["randomrotation"].max_angle == 3
    pipeline.set_params(randomrotation=ColorJitter())
    assert isinstance(pipeline.steps[2][1], ColorJitter)
    assert clone(pipeline).steps[0][1] is not pipeline.steps[0][1]
    with pytest.raises(ValueError, match="Invalid parameter"):
        pipeline.set_params(nonsense__p=1)


def test_steps_are_not_changed():
    steps = [("rotate", RandomRotation()), ("mix", MixUp())]
    before = [vars(step).copy() for _, step in steps]
    AugmentationPipeline(steps).fit_transform(X, y)
    assert [vars(step) for _, step in steps] == before


def test_nested_and_in_a_sklearn_pipeline():
    inner = make_augmentation_pipeline(RandomFlip(), RandomCrop(6))
    outer = make_augmentation_pipeline(inner, RandomRotation(), image_shape=(8, 9, 3), random_state=0)
    model = make_pipeline(outer, LogisticRegression()).fit(X.reshape(20, -1), y)
    assert model.predict(X.reshape(20, -1)).shape == (20,)
    assert list(outer.get_feature_names_out()[:2]) == ["augmentationpipeline0", "augmentationpipeline1"]
    flat = make_augmentation_pipeline(RandomFlip(), RandomCrop(6), RandomRotation(), random_state=0)
    assert_array_equal(outer.augment(X.reshape(20, -1)).reshape(20, 6, 6, 3), flat.fit_transform(X))


def test_rows_without_image_shape_warn_once():
    with pytest.warns(ImageShapeWarning, match="AugmentationPipeline") as caught:
        make_augmentation_pipeline(RandomFlip(), RandomRotation()).fit_transform(X[:, 0, :, 0])
    assert len(caught) == 1


def test_own_shape_and_range_of_a_step_must_match():
    agreeing = [RandomCrop(6, image_shape=(8, 9, 3)), RandomFlip(image_shape=(6, 6, 3), value_range=(0, 1))]
    make_augmentation_pipeline(*agreeing).fit(X)
    with pytest.raises(ValueError, match=r"\(8, 9, 3\) of RandomFlip does not match .* shape is \(6, 6, 3\)"):
        make_augmentation_pipeline(RandomCrop(6), RandomFlip(image_shape=(8, 9, 3))).fit(X)
    with pytest.raises(ValueError, match=r"value_range=\(0, 9\) of RandomFlip .*value range is \(0.0, 1.0\)"):
        make_augmentation_pipeline(RandomFlip(value_range=(0, 9))).fit(X)
    with pytest.raises(ValueError, match=r"shape is \(1, 216, 1\): set it to None, and set it on the outer estimator"):
        make_augmentation_pipeline(RandomFlip(image_shape=(8, 9, 3))).fit(X.reshape(len(X), -1))


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([], ValueError, "at least one pair"),
        ([("a", RandomFlip()), ("a", RandomFlip())], ValueError, "not unique"),
        ([("steps", RandomFlip())], ValueError, "conflict with constructor"),
        ([("a__b", RandomFlip())], ValueError, "must not contain __"),
        ([("a", LogisticRegression())], TypeError, "must contain augmenters, got LogisticRegression.* as 'a'"),
        ([RandomFlip()], TypeError, "must contain pairs"),
        ([("a", RandomFlip(2))], ValueError, "'p' parameter of RandomFlip"),
        ([("a", RandomCrop(4)), ("b", RandomCrop(5))], ValueError, "size=5 is larger .* 4 x 4"),
        ([("a", MixUp(target="values")), ("b", MixUp(target="classes"))], ValueError, "target must be the same in all"),
        ("ab", ValueError, "'steps' parameter"),
    ],
)
def test_errors(steps, error, message):
    with pytest.raises(error, match=message):
        AugmentationPipeline(steps).fit(X, y)
