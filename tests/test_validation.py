import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from sktricks import (
    AugmentedClassifier,
    ColorJitter,
    FineTuneClassifier,
    ImageShapeWarning,
    NetClassifier,
    RandomFlip,
    ValueRangeWarning,
    make_augmentation_pipeline,
)
from sktricks._layout import Layout, check_image_shape, find_layout
from sktricks._sample_weight import check_weights
from sktricks._validation import check_X
from sktricks._value_range import check_value_range, guess_value_range

# shapes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((8, 9), (8, 9, 1)),
        ([8, 9, 3], (8, 9, 3)),
        (np.array([2, 2]), (2, 2, 1)),
        ((4, 4, 7), (4, 4, 7)),
        (8, (8, 8, 1)),
        (np.int64(2), (2, 2, 1)),
    ],
)
def test_image_shape(given, expected):
    shape = check_image_shape(given)
    assert shape == expected and all(type(side) is int for side in shape)


@pytest.mark.parametrize("wrong", [True, 8.0, (8,), (8, 8, 3, 1), (8.0, 8), "ab", ("a", "b"), None])
def test_invalid_image_shape(wrong):
    with pytest.raises(ValueError, match="image_shape must be a pair.*got"):
        check_image_shape(wrong)


@pytest.mark.parametrize("small", [(0, 8), (8, 0), (1, 8), (8, 1), (-3, 8), (8, 8, 0), 1, -8])
def test_too_small_image_shape(small):
    with pytest.raises(ValueError, match=rf"at least 2 .*got {re.escape(repr(small))}$"):
        check_image_shape(small)


@pytest.mark.parametrize(
    ("shape", "image_shape", "expected"),
    [
        ((5, 64), None, Layout(2, None, 64)),
        ((5, 64), (8, 8), Layout(2, (8, 8, 1), 64)),
        ((5, 192), (8, 8, 3), Layout(2, (8, 8, 3), 192)),
        ((5, 8, 9), None, Layout(3, (8, 9, 1), 72)),
        ((5, 8, 9, 3), None, Layout(4, (8, 9, 3), 216)),
        ((5, 8, 9, 3), (8, 9, 3), Layout(4, (8, 9, 3), 216)),
        ((30, 30, 3), (30, 3), Layout(3, (30, 3, 1), 90)),  # an explicit image_shape is accepted
        ((4, 4, 3), None, Layout(3, (4, 3, 1), 12)),
        ((5, 8, 9, 3), (8, 9), Layout(4, (8, 9, 3), 216)),  # a pair fits any number of channels
        ((5, 64), 8, Layout(2, (8, 8, 1), 64)),
        ((5, 8, 8, 3), 8, Layout(4, (8, 8, 3), 192)),
        ((5, 8, 9), (8, 9), Layout(3, (8, 9, 1), 72)),
        ((5, 3, 8, 10), (3, 8, 10), Layout(4, (3, 8, 10), 240)),
        ((5, 3, 8, 10), (3, 8), Layout(4, (3, 8, 10), 240)),
        # Channels come last in all of these.
        ((5, 3, 224, 3), None, Layout(4, (3, 224, 3), 2016)),
        ((5, 4, 4, 8), None, Layout(4, (4, 4, 8), 128)),
        ((5, 3, 3, 64), None, Layout(4, (3, 3, 64), 576)),
        ((5, 7, 7, 512), None, Layout(4, (7, 7, 512), 7 * 7 * 512)),
        ((5, 9, 9, 200), None, Layout(4, (9, 9, 200), 16200)),
        ((5, 64, 48, 48), None, Layout(4, (64, 48, 48), 64 * 48 * 48)),
    ],
)
def test_layout(shape, image_shape, expected):
    assert find_layout(shape, image_shape) == expected


@pytest.mark.parametrize(
    ("shape", "image_shape", "message"),
    [
        ((5, 65), (8, 8), r"image_shape=\(8, 8\) needs 64 columns, X has 65"),
        ((5, 64), (8, 8, 3), r"image_shape=\(8, 8, 3\) needs 192 columns, X has 64"),
        ((5, 65), 8, "image_shape=8 needs 64 columns, X has 65"),
        ((224, 224, 3), None, r"\(224, 224, 3\) looks like a single color image.*X\[None\]"),
        ((32, 32, 4), None, r"X\[None\]"),
        ((5, 3, 16, 16), None, r"channels first.*X.transpose\(0, 2, 3, 1\)"),
        ((5, 1, 28, 28), None, r"channels first.*X.transpose\(0, 2, 3, 1\)$"),
        ((4, 3, 224, 180), None, r"channels first.*image_shape=\(3, 224, 180\)"),
        ((4, 4, 32, 32), None, "channels first"),
        ((4, 2, 100, 60), None, "channels first"),
        ((4, 13, 64, 64), None, "channels first"),
        ((4, 3, 40, 40), (40, 40), "channels first"),
        ((5, 192), (8, 8), r"X has 192: for images of 3 channels, set image_shape=\(8, 8, 3\)"),
        ((5, 8, 8), (8, 8, 3), r"image_shape=\(8, 8, 3\), got images of shape \(8, 8, 1\)"),
        ((5, 9, 8, 3), (8, 8), r"X must hold images of image_shape=\(8, 8\), got images of shape \(9, 8, 3\)"),
        ((5, 1, 8), None, r"at least 2, got \(5, 1, 8\)"),
        ((5, 8, 1, 3), None, "at least 2"),
        ((5, 0, 8), None, "at least 2"),
        ((5, 8, 8, 0), None, "X must have images"),
        ((5,), None, r"X must be \(n, features\).*1 dimensions"),
        ((2, 3, 4, 5, 6), None, "5 dimensions"),
    ],
)
def test_layout_that_does_not_fit(shape, image_shape, message):
    with pytest.raises(ValueError, match=message):
        find_layout(shape, image_shape)


@pytest.mark.parametrize(
    ("shape", "image_shape", "canonical"),
    [
        ((5, 64), None, (5, 1, 64, 1)),
        ((5, 64), (8, 8), (5, 8, 8, 1)),
        ((5, 36), (3, 4, 3), (5, 3, 4, 3)),
        ((5, 8, 9), None, (5, 8, 9, 1)),
        ((5, 8, 9, 3), None, (5, 8, 9, 3)),
    ],
)
def test_canonical_and_back(shape, image_shape, canonical):
    X = np.arange(np.prod(shape)).reshape(shape)
    layout = find_layout(shape, image_shape)
    images = layout.to_images(X)
    assert images.shape == canonical and np.shares_memory(images, X)
    np.testing.assert_array_equal(layout.restore(images), X)


def test_rows_are_row_major_with_channels_last():
    row = np.arange(12)[None]
    image = find_layout(row.shape, (2, 2, 3)).to_images(row)[0]
    np.testing.assert_array_equal(image[0, 1], [3, 4, 5])
    np.testing.assert_array_equal(image[1, 0], [6, 7, 8])


# X as a whole


def test_check_X_learns_and_compares():
    estimator = BaseEstimator()
    X, layout = check_X(estimator, np.zeros((5, 4, 6, 3), np.uint8), reset=True)
    assert X.dtype == np.uint8 and layout.ndim == 4
    assert estimator.n_features_in_ == 72 and estimator.image_shape_ == (4, 6, 3)
    with pytest.raises(ValueError, match=r"fitted on images of shape \(4, 6, 3\), but X has \(6, 4, 3\)"):
        check_X(estimator, np.zeros((5, 6, 4, 3)), reset=False)
    with pytest.raises(ValueError, match="rows of 72 columns"):
        check_X(estimator, np.zeros((5, 72)), reset=False)
    with pytest.raises(ValueError, match=r"fitted on images of shape \(4, 6, 3\), but X has \(4, 4, 3\)"):
        check_X(estimator, np.zeros((5, 4, 4, 3)), reset=False)
    _, layout = check_X(estimator, np.zeros((5, 72)), reset=False, image_shape=(4, 6, 3))
    assert layout == Layout(2, (4, 6, 3), 72)


def test_a_pair_accepts_any_channels_in_fit():
    estimator, how = BaseEstimator(), {"image_shape": (4, 6)}
    check_X(estimator, np.zeros((5, 4, 6, 3)), reset=True, **how)
    assert estimator.image_shape_ == (4, 6, 3)
    assert check_X(estimator, np.zeros((5, 72)), reset=False, **how)[1] == Layout(2, (4, 6, 3), 72)
    with pytest.raises(ValueError, match=r"fitted on images of shape \(4, 6, 3\), but X has \(4, 6, 4\)"):
        check_X(estimator, np.zeros((5, 4, 6, 4)), reset=False, **how)
    with pytest.raises(ValueError, match=r"image_shape=\(4, 6\) needs 24 columns, X has 72"):  # rows always need it
        check_X(BaseEstimator(), np.zeros((5, 72)), reset=True, **how)


FILES = ["a/cat.JPG", "b/dog.jpeg"]


@pytest.mark.parametrize(
    "X",
    [
        FILES,
        FILES[0],
        np.array(FILES),
        np.array(FILES)[:, None],
        np.array(FILES, object),
        [[file] for file in FILES],
        [Path(file) for file in FILES],
        pd.Series(FILES),
        pd.DataFrame({"age": [3, 4], "file": FILES}),
        pd.DataFrame({"file": [Path(file) for file in FILES]}),
    ],
)
@pytest.mark.parametrize("make", [RandomFlip, NetClassifier, lambda: AugmentedClassifier(LogisticRegression())])
def test_paths_instead_of_images(make, X):
    estimator = make()
    name = type(estimator).__name__
    told = rf"X of {name} must hold numbers, got the path of an image file: 'a.cat.JPG'.*ImageLoader.*, {name}\("
    with pytest.raises(ValueError, match=told):
        estimator.fit(X, [0, 1])


@pytest.mark.parametrize("X", [pd.DataFrame({"left": FILES, "right": FILES}), [[file, 3] for file in FILES]])
def test_two_columns_instead_of_one_column_of_files(X):
    told = "X of FineTuneClassifier must be one column of image files, got 2 columns: pass only the column of files"
    with pytest.raises(ValueError, match=told):
        FineTuneClassifier().fit(X, [0, 1])


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([(8, 8), (8, 8, 3)], r"\(8, 8\), \(8, 8, 3\): some are color and some are gray. Convert all to one of these$"),
        (
            [(8, 8, 1), (9, 8, 4)],
            "some are gray and some are transparent. Convert all to one of these and resize all to the same size$",
        ),
        ([(8, 8), (8, 8, 1)], "all must have an axis of channels, or none$"),
        ([(8, 8, 3), (9, 8, 3)], r"the same shape, got \(8, 8, 3\), \(9, 8, 3\): resize all to the same size$"),
        ([(3,), (4,)], "make all of the same shape$"),
    ],
)
def test_images_of_several_shapes(shapes, told):
    with pytest.raises(ValueError, match=told):
        NetClassifier().fit([np.zeros(shape) for shape in shapes], [0, 1])


def test_words_are_not_paths():
    for X in ([["red"], ["blue"]], np.array([["v1.2"], ["3.x"]], object)):
        with pytest.raises(ValueError) as caught:
            check_X(BaseEstimator(), X, reset=True)
        assert "ImageLoader" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(5, 8), (5, 4, 4), (5, 4, 4, 3)])
def test_nan_and_infinity(shape, bad):
    X = np.zeros(shape)
    X.flat[7] = bad
    with pytest.raises(ValueError, match="X contains (NaN|infinity)"):
        check_X(BaseEstimator(), X, reset=True)


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
BITS = PIXELS > 99
WHITE = np.arange(40) % 2


@pytest.mark.parametrize(
    ("fitted_on", "given"),
    [
        (PIXELS / 255, PIXELS),
        (PIXELS, PIXELS / 255),
        (PIXELS, PIXELS / 127.5 - 1),
        (PIXELS / 255, PIXELS / 127.5 - 1),
        (PIXELS, PIXELS - 128.0),
        (PIXELS / 127.5 - 1, PIXELS),
        (PIXELS, PIXELS.astype(np.uint16) * 257),
        (PIXELS.astype(np.uint16) * 257, PIXELS),
        (PIXELS, BITS),
        (BITS, PIXELS),
    ],
)
def test_pixels_on_another_scale(fitted_on, given):
    augmenter = make_augmentation_pipeline(RandomFlip(), ColorJitter(), random_state=0).fit(fitted_on)
    model = AugmentedClassifier(DecisionTreeClassifier(), augmenter).fit(fitted_on, WHITE)
    (low, high), message = augmenter.value_range_, r"{} was fitted on pixels from {:g} to {:g}, but X has pixels from"
    for act, name in (
        (augmenter.transform, "AugmentationPipeline"),
        (augmenter.augment, "AugmentationPipeline"),
        (model.predict, "AugmentedClassifier"),
    ):
        with pytest.warns(ValueRangeWarning, match=message.format(name, low, high)) as caught:
            act(given)
        assert len(caught) == 1 and caught[0].filename == __file__
    clone(augmenter).set_params(value_range=(low, high)).fit(fitted_on).transform(given)  # never warns


@pytest.mark.parametrize(
    ("fitted_on", "given"),
    [
        (PIXELS, PIXELS // 64),
        (PIXELS, np.zeros_like(PIXELS)),
        (PIXELS, PIXELS.astype(float)),
        (PIXELS, BITS.astype(float)),
        (PIXELS / 255, PIXELS / 2550),
        (PIXELS / 255, PIXELS / 200 - 0.1),  # as after bicubic resizing
        (PIXELS.astype(np.uint16) * 257, PIXELS.astype(np.uint16)),
        (PIXELS.astype(np.uint16) * 4, PIXELS),
        (PIXELS[:20] / 64 - 2, PIXELS / 32 - 4),
    ],
)
def test_pixels_in_another_part_of_the_range(fitted_on, given):
    augmenter = ColorJitter().fit(fitted_on)
    assert augmenter.augment(given).shape == given.shape  # without a warning, which would be an error


def test_later_rows_of_a_net_on_another_scale():
    net = NetClassifier(max_epochs=1, random_state=0)
    with pytest.warns(ValueRangeWarning, match="NetClassifier was fitted on pixels from 0 to 255") as caught:
        net.fit(PIXELS, WHITE, X_val=PIXELS / 255, y_val=WHITE)
    assert len(caught) == 1
    with pytest.warns(ValueRangeWarning, match="NetClassifier was fitted on pixels from 0 to 255"):
        net.partial_fit(PIXELS / 255, WHITE)


@pytest.mark.parametrize(
    "estimator", [ColorJitter(value_range=(0, 1)), NetClassifier(value_range=(0, 1), max_epochs=1)]
)
def test_a_value_range_far_below_the_pixels(estimator):
    with pytest.warns(ValueRangeWarning, match=r"value_range=\(0, 1\) does not fit X, which has pixels up to 25"):
        estimator.fit(PIXELS, WHITE)


def test_names_of_columns():
    estimator = BaseEstimator()
    frame = pd.DataFrame(np.zeros((3, 4)), columns=list("abcd"))
    check_X(estimator, frame, reset=True)
    np.testing.assert_array_equal(estimator.feature_names_in_, list("abcd"))
    with pytest.raises(ValueError, match="feature names"):
        check_X(estimator, frame[list("dcba")], reset=False)


def test_a_failed_fit_leaves_nothing_behind():
    estimator = BaseEstimator()
    with pytest.raises(ValueError, match="needs 64 columns"):
        check_X(estimator, np.zeros((3, 65)), reset=True, image_shape=(8, 8))
    assert not hasattr(estimator, "n_features_in_") and not hasattr(estimator, "image_shape_")


@pytest.mark.parametrize(
    ("n_features", "guess"), [(64, "image_shape=(8, 8)"), (192, "image_shape=(8, 8, 3)"), (65, ""), (1, "")]
)
def test_warning_of_rows_guesses_squares(n_features, guess):
    with pytest.warns(ImageShapeWarning, match=f"rows of {n_features} columns") as caught:
        check_X(BaseEstimator(), np.zeros((3, n_features)), reset=True, expects_images=True)
    (message,) = [str(warning.message) for warning in caught]
    assert message.endswith(guess or "has no effect")


# value ranges


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (np.array([0, 16], np.uint8), (0, 255)),
        (np.array([0, 3], np.int64), (0, 255)),
        (np.array([-5, 300]), (-5, 300)),
        (np.array([0, 65535], np.uint16), (0, 65535)),
        (np.array([True, False]), (0, 1)),
        (np.array([0.0, 0.4]), (0, 1)),
        (np.array([0.0, 1.0], np.float32), (0, 1)),
        (np.array([0.0, 16.0]), (0, 16)),  # scikit-learn's digits
        (np.array([0.0, 17.0]), (0, 255)),
        (np.array([0.0, 256.0]), (0, 256)),
        (np.array([-1.0, 1.0]), (-1, 1)),
        (np.array([7.0, 7.0]), (7, 8)),
        (np.array([-2.0, -2.0]), (-2, -1)),
    ],
)
def test_inferred_value_range(X, expected):
    assert guess_value_range(X) == expected == check_value_range(None, X)


def test_given_value_range():
    assert check_value_range((0, 7), np.array([100])) == (0.0, 7.0)
    assert check_value_range(np.array([-1, 1])) == (-1.0, 1.0)


@pytest.mark.parametrize("wrong", [5, (1,), (1, 1), (2, 1), (0, np.inf), (np.nan, 1), ("a", "b"), (1, 2, 3), "ab"])
def test_invalid_value_range(wrong):
    with pytest.raises(ValueError, match="value_range must be None or a pair.*got"):
        check_value_range(wrong)


# weights


def test_weights():
    assert check_weights(None, 3) is None
    weight = check_weights([1, 0, 2], 3)
    assert weight.dtype == np.float64
    np.testing.assert_array_equal(weight, [1, 0, 2])


def test_a_number_is_the_weight_of_all_rows():
    np.testing.assert_array_equal(check_weights(2, 3), [2, 2, 2])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -0.5, 1], "must not be negative, got -0.5"),
        ([0, 0, 0], "positive value, got zeros only"),
        ([1, 2], r"expected shape \(3,\), got \(2,\)"),
        ([[1], [2], [3]], "must be 1D"),
        ([1, np.nan, 1], "sample_weight contains NaN"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
    ],
)
def test_invalid_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weight, 3)


# the same through the estimators, whose errors must name the parameters

NETS = [NetClassifier(max_epochs=1), FineTuneClassifier(max_epochs=1)]


@pytest.mark.parametrize("net", NETS, ids=lambda net: type(net).__name__)
@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        (np.zeros((4, 65)), {"image_shape": (8, 8)}, "needs 64 columns, X has 65"),
        (np.zeros((4, 8, 1)), {}, "at least 2"),
        (np.zeros((4, 8)), {"image_shape": (8, 1)}, "at least 2"),
        (np.zeros((4, 0)), {"image_shape": (8, 0)}, "minimum of 1|at least 2"),
        (np.zeros((24, 24, 3)), {}, r"X\[None\]"),
        (np.full((4, 8, 8), np.nan), {}, "X contains NaN"),
        (np.full((4, 8, 8), np.inf), {}, "X contains infinity"),
        (np.zeros((4, 8, 8)), {"value_range": (1, 0)}, "value_range"),
        (np.zeros((4, 8, 8)), {"image_shape": (8, 8, 3)}, "image_shape"),
        (np.zeros((4, 8, 8)), {"image_shape": 9}, "image_shape=9|image_shape=.9, 9.*arrays are not resized"),
    ],
)
def test_nets_raise_errors(net, X, params, message):
    with pytest.raises(ValueError, match=message):
        clone(net).set_params(**params).fit(X, np.arange(len(X)) % 2)
