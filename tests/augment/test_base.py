import itertools
import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
import sklearn
from _augmenters import other_augmenters
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from sktricks._warnings import ImageShapeWarning
from sktricks.augment import (
    AugmentationPipeline,
    BaseAugmenter,
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
from sktricks.augment._pixel_values import from_float

AUGMENTERS = [
    RandomFlip(),
    RandomFlip(direction="vertical"),
    RandomCrop(padding=2),
    RandomCrop((5, 6), padding=1),
    RandomRotation(40),
    ColorJitter(0.5, 0.5),
    MixUp(1.0),
    CutMix(),
    RandomAffine(),
    RandomResizedCrop(scale=(0.3, 1)),
    RandomGrayscale(0.5),
    RandomErasing(),
    RandomErasing(fill="noise"),
    GaussianNoise(0.2),
    GaussianBlur(),
    FeatureDropout(),
    SwapNoise(),
    TrivialAugment(),
    RandomApply(RandomRotation(40)),
    RandomApply(make_augmentation_pipeline(RandomFlip(), SwapNoise(), MixUp(), ColorJitter())),
    make_augmentation_pipeline(RandomFlip(), SwapNoise(), GaussianBlur(), RandomErasing()),
    make_augmentation_pipeline(RandomFlip(), RandomRotation(), MixUp(1.0), RandomCrop(padding=1), ColorJitter()),
]
LAYOUTS = {"rows": (12, 192), "grey": (12, 8, 8), "one channel": (12, 8, 8, 1), "color": (12, 8, 8, 3)}
DTYPES = [np.uint8, np.int16, np.int64, np.bool_, np.float16, np.float32, np.float64]
y = np.arange(12) % 2
AUGMENTERS += other_augmenters(AUGMENTERS)

every_augmenter = pytest.mark.parametrize("augmenter", AUGMENTERS, ids=lambda augmenter: repr(augmenter)[:30])


def make_X(layout="color", dtype=np.uint8, seed=0):
    X = np.random.default_rng(seed).random(LAYOUTS[layout])
    if np.issubdtype(dtype, np.floating):
        return X.astype(dtype)
    return X > 0.5 if np.issubdtype(dtype, np.bool_) else (X * 255).astype(dtype)


def prepare(augmenter, layout="color", **params):
    params = {"image_shape": (8, 8, 3) if layout == "rows" else None, "random_state": 0, **params}
    return clone(augmenter).set_params(**params)


# scikit-learn's own checks


class TurnedRows(RandomRotation):
    """An augmenter that rotates a row as an image of two equal rows, and keeps the first."""

    def _augment_images(self, images, *others, **named):
        return super()._augment_images(images.repeat(2, axis=1), *others, **named)[:, :1]

    def wants_images(self):
        return False


CHECKED = [
    RandomFlip(),
    RandomCrop(padding=1),
    RandomCrop(1, padding=1),
    RandomFlip(direction="vertical"),
    RandomRotation(),
    TurnedRows(),
    ColorJitter(),
    MixUp(),
    AugmentationPipeline([("flip", RandomFlip()), ("crop", RandomCrop(padding=1)), ("mix", MixUp())]),
]
SKIPPED = {"check_pipeline_consistency", "check_transformer_data_not_an_array", "check_transformer_general"}


@parametrize_with_checks(CHECKED)
@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")  # the checks use tables
@pytest.mark.filterwarnings("ignore::sktricks.UnmixedRowsWarning")  # and some without classes
def test_sklearn_checks(estimator, check):
    name = getattr(check, "func", check).__name__
    try:
        check(estimator)
    except BaseException as error:
        if type(error).__name__ != "SkipTest":
            raise
        assert name in SKIPPED and "non deterministic" in str(error)


@pytest.mark.parametrize("augmenter", CHECKED, ids=lambda augmenter: repr(augmenter)[:30])
def test_parameters_are_validated(augmenter):
    check_param_validation(type(augmenter).__name__, augmenter)


# layouts and dtypes


@every_augmenter
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_layout_and_dtype_are_kept(augmenter, layout, dtype):
    X = make_X(layout, dtype)
    before = X.copy()
    X.setflags(write=False)
    augmenter = prepare(augmenter, layout)
    new = augmenter.fit_transform(X, y)
    shape = list(X.shape)
    if getattr(augmenter, "size", None):
        shape[1:] = [90] if layout == "rows" else [5, 6, *shape[3:]]
    for result in (new, augmenter.transform(X), augmenter.augment(X, y)[0]):
        assert (result.shape, result.dtype, type(result)) == (tuple(shape), X.dtype, np.ndarray)
    assert_array_equal(X, before)
    if shape == list(X.shape):
        assert_array_equal(augmenter.transform(X), X)
        grey = isinstance(augmenter, RandomGrayscale) and layout in ("grey", "one channel")
        if not grey and not (dtype == np.bool_ and isinstance(augmenter, ColorJitter)):  # True times 0.5 is True
            assert (new != X).any()


@every_augmenter
def test_layout_does_not_change_the_draws(augmenter):
    X = make_X("rows", np.float32)
    rows = prepare(augmenter, "rows").fit_transform(X, y)
    images = prepare(augmenter).fit_transform(X.reshape(-1, 8, 8, 3), y)
    assert_array_equal(images.reshape(len(X), -1), rows)
    fortran = np.asfortranarray(X.reshape(-1, 8, 8, 3))
    assert_array_equal(prepare(augmenter).fit_transform(fortran, y), images)


@every_augmenter
def test_memmap(augmenter, tmp_path):
    X = make_X()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_array_equal(prepare(augmenter).fit_transform(mapped, y), prepare(augmenter).fit_transform(X, y))


def test_wide_integers_keep_their_values():
    X = np.array([[2**60 + 1, 2**62 + 3], [-(2**63), 2**63 - 1]])
    assert_array_equal(RandomFlip(1).fit_transform(X), X[:, ::-1])
    for dtype, kind in itertools.product((np.int64, np.uint64, np.int32, np.int8), (np.float32, np.float64)):
        limits = np.iinfo(dtype)
        held = from_float(np.array([-1e30, 1e30], kind), dtype)
        assert held[0] == limits.min and held[1] > limits.max * 0.999


def test_integers_are_rounded_not_truncated():
    assert_array_equal(from_float(np.array([0.6, 1.4, -3.0, 300.0]), np.uint8), [1, 1, 0, 255])


# random states


@every_augmenter
def test_threads_and_chunks_do_not_change_a_bit(augmenter, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.random((300, 9, 11, 3)).astype(np.float32)
    targets = rng.integers(0, 3, 300)
    expected = prepare(augmenter).fit_transform(X, targets)
    for floats in (1, 900, 7_000):
        monkeypatch.setattr(plan, "CHUNK_FLOATS", floats)
        for n_jobs in (None, 2, 3):
            assert_array_equal(prepare(augmenter, n_jobs=n_jobs).fit_transform(X, targets), expected)


@every_augmenter
def test_random_state(augmenter):
    X = make_X()
    fitted = prepare(augmenter).fit(X, y)
    first = fitted.augment(X, y)[0]
    assert_array_equal(fitted.augment(X, y)[0], first)
    assert_array_equal(fitted.augment(X, y, random_state=0)[0], first)
    assert (fitted.augment(X, y, random_state=1)[0] != first).any()
    state = np.random.RandomState(0)
    assert_array_equal(fitted.augment(X, y, random_state=state)[0], first)
    assert (fitted.augment(X, y, random_state=state)[0] != first).any()
    fresh = prepare(augmenter, random_state=None).fit(X, y)
    assert (fresh.augment(X, y)[0] != fresh.augment(X, y)[0]).any()
    generators = [np.random.default_rng(3) for _ in range(2)]
    assert_array_equal(*(fitted.augment(X, y, random_state=generator)[0] for generator in generators))


@every_augmenter
@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_state_is_left_alone(augmenter, random_state):
    before = np.random.get_state()  # noqa: NPY002
    first = prepare(augmenter, random_state=random_state).fit_transform(make_X(), y)
    after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    if random_state == 0:
        try:
            np.random.seed(99)  # noqa: NPY002
            assert_array_equal(prepare(augmenter).fit_transform(make_X(), y), first)
        finally:
            np.random.set_state(before)  # noqa: NPY002


@pytest.mark.parametrize(
    "augmenter", [RandomFlip(), RandomRotation(), ColorJitter(), RandomCrop(padding=3)], ids=lambda a: type(a).__name__
)
def test_draws_are_independent_by_row(augmenter):
    params = augmenter.draw(np.random.default_rng(0), 20_000, (32, 32, 3))
    for draws in params.values():
        flat = draws.reshape(len(draws), -1)[:, -1].astype(float)
        if flat.std() > 0:
            assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < 0.03
    X = make_X()
    changed = X.copy()
    changed[0] = 255 - changed[0]
    augmenter = prepare(augmenter).fit(X)
    assert_array_equal(augmenter.augment(X)[1:], augmenter.augment(changed)[1:])


def test_memory_is_bounded():
    X = np.zeros((4_000, 32, 32, 1), dtype=np.uint8)
    pipeline = make_augmentation_pipeline(RandomRotation(), MixUp(), ColorJitter(), random_state=0)
    targets = np.zeros(len(X))
    pipeline.fit(X[:10], targets[:10])
    tracemalloc.start()
    pipeline.augment(X, targets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes + 8e6  # the whole batch in float32 alone would be 16 MB


def test_images_that_are_not_contiguous_are_not_copied_whole():
    images = np.zeros((3, 40_000, 16, 16), dtype=np.uint8).transpose(1, 2, 3, 0)
    chain = make_augmentation_pipeline(RandomFlip(), RandomRotation(15), ColorJitter()).fit(images[:10])
    tracemalloc.start()
    out = chain.augment(images, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out.nbytes + 25 * 2**20  # a copy takes 29


def test_memory_is_bounded_for_many_small_images():
    images = np.zeros((700_000, 6, 6), dtype=np.uint8)
    chain = make_augmentation_pipeline(RandomFlip(), RandomCrop(padding=1), RandomRotation(15), ColorJitter())
    chain.fit(images)
    tracemalloc.start()
    out = chain.augment(images, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out.nbytes + 40 * 2**20


# the estimator


def test_augment_fits_first_and_returns_y_unchanged():
    labels = ["a", "b"] * 6
    augmenter = RandomFlip(random_state=0)
    X_new, y_new = augmenter.augment(make_X(), labels)
    assert y_new is labels
    assert augmenter.image_shape_ == (8, 8, 3)
    assert augmenter.n_features_in_ == 192
    assert_array_equal(X_new, RandomFlip(random_state=0).fit_transform(make_X()))
    with pytest.raises(NotFittedError):
        RandomFlip().transform(make_X())


@every_augmenter
def test_clone_and_pickle(augmenter):
    X = make_X()
    fitted = prepare(augmenter).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.augment(X, y)[0], fitted.augment(X, y)[0])
    assert not hasattr(clone(fitted), "image_shape_")


def test_tags():
    for augmenter in AUGMENTERS:
        tags = get_tags(augmenter)
        assert tags.non_deterministic
        assert tags.input_tags.three_d_array and tags.input_tags.two_d_array
        assert not tags.input_tags.sparse
        assert not tags.target_tags.required


def test_grid_search_over_a_pipeline():
    X, digits = load_digits(n_class=3, return_X_y=True)
    pipeline = make_pipeline(RandomRotation(image_shape=(8, 8), random_state=0), LogisticRegression(max_iter=50))
    search = GridSearchCV(pipeline, {"randomrotation__max_angle": [0, 10]}, cv=2).fit(X[:200] / 16, digits[:200])
    assert search.best_score_ > 0.9


@pytest.mark.parametrize("everywhere", [False, True])
def test_pandas_output(everywhere):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(make_X("rows", np.float32), columns=[f"pixel{i}" for i in range(192)]).iloc[::-1]
    rotate = RandomRotation(image_shape=(8, 8, 3), random_state=0)
    crop = RandomCrop(4, image_shape=(8, 8, 3), random_state=0)
    images = RandomRotation(random_state=0)
    if not everywhere:
        for augmenter in (rotate, crop, images):
            augmenter.set_output(transform="pandas")
    with sklearn.config_context(transform_output="pandas" if everywhere else "default"):
        kept, cut = rotate.fit_transform(frame), crop.fit_transform(frame)
        assert list(kept.columns) == list(frame.columns) and kept.index.equals(frame.index)
        assert list(cut.columns) == [f"randomcrop{i}" for i in range(48)]
        assert (kept.dtypes == np.float32).all()
        assert list(rotate.transform(frame).columns) == list(frame.columns)
        assert list(crop.transform(frame).columns) == list(cut.columns)
        for layout in ("grey", "color"):
            assert type(images.fit_transform(make_X(layout))) is np.ndarray
            assert type(images.transform(make_X(layout))) is np.ndarray
        make_pipeline(images, "passthrough").fit(make_X())
    assert_array_equal(kept, RandomRotation(image_shape=(8, 8, 3), random_state=0).fit_transform(frame))


@every_augmenter
def test_html_repr(augmenter):
    assert type(augmenter).__name__ in augmenter._repr_html_()


@every_augmenter
def test_joblib_settings_choose_the_threads(augmenter, monkeypatch):
    monkeypatch.setattr(plan, "CHUNK_FLOATS", 300)
    with joblib.parallel_backend("loky", n_jobs=2):  # threads in any case, because the chunks share memory
        new = prepare(augmenter).fit_transform(make_X(), y)
    assert_array_equal(new, prepare(augmenter).fit_transform(make_X(), y))


def test_feature_names():
    assert list(RandomFlip().fit(np.zeros((2, 3))).get_feature_names_out()) == ["x0", "x1", "x2"]
    assert list(RandomCrop((1, 2)).fit(np.zeros((2, 3))).get_feature_names_out()) == ["randomcrop0", "randomcrop1"]
    assert len(RandomCrop(3).fit(make_X()).get_feature_names_out()) == 27


# ranges and signals


def test_value_range_is_learned():
    X = make_X(dtype=np.float64)
    ranges = [
        (X, (0, 1)),
        (X * 255, (0, 255)),
        (make_X(dtype=np.uint8), (0, 255)),
        (make_X(dtype=np.bool_), (0, 1)),
        (np.full((2, 2, 2), 7, dtype=np.int32), (0, 255)),
        (np.array([[[0, 60_000], [1, 2]]], dtype=np.uint16), (0, 60_000)),
        (np.array([[[-1.0, 2.5], [1, 2]]]), (-1, 2.5)),
    ]
    for images, expected in ranges:
        assert RandomFlip().fit(images).value_range_ == expected
    assert RandomFlip(value_range=[-1, 1]).fit(X).value_range_ == (-1, 1)


def test_signals_are_not_clipped_unless_a_range_is_given():
    X = make_X("rows", np.float64)
    free, held = (ColorJitter(2.0, value_range=r, random_state=0).fit(X) for r in (None, (0, 1)))
    assert free.value_range_ is None and free.image_shape_ is None
    assert free.augment(X).max() > 1
    assert_array_equal(held.augment(X), np.clip(free.augment(X), 0, 1))


@pytest.mark.parametrize("augmenter", [RandomRotation(180), RandomFlip(1, "vertical")])
def test_geometry_has_no_effect_on_signals_and_warns(augmenter):
    X = make_X("rows", np.float64)[:, :64]
    with pytest.warns(ImageShapeWarning, match=r"64 columns.*has no effect.*image_shape=\(8, 8\)") as caught:
        assert_array_equal(augmenter.fit_transform(X), X)
    assert caught[0].filename == __file__


# errors


@pytest.mark.parametrize(
    ("augmenter", "X", "message"),
    [
        (RandomFlip(), np.full((2, 3, 3), np.nan), "X contains NaN"),
        (RandomFlip(), np.empty((0, 3, 3)), r"0 sample\(s\)"),
        (RandomFlip(), np.zeros(3), "1D array"),
        (RandomFlip(), np.zeros((1, 2, 3, 3, 3)), "got 5 dimensions"),
        (RandomFlip(), np.zeros((224, 224, 3)), r"X\[None\]"),
        (RandomFlip(image_shape=(8, 8)), np.zeros((2, 65)), r"image_shape=\(8, 8\) needs 64 columns, X has 65"),
        (RandomFlip(image_shape=(8, 8)), np.zeros((2, 9, 8)), r"image_shape=\(8, 8\), got images of shape \(9, 8, 1\)"),
        (RandomFlip(image_shape=8.0), np.zeros((2, 64)), "'image_shape' parameter"),
        (RandomFlip(image_shape=(1, 64)), np.zeros((2, 64)), r"at least 2 .*got \(1, 64\)"),
        (RandomFlip(image_shape=(0, 64)), np.zeros((2, 64)), r"at least 2 .*got \(0, 64\)"),
        (RandomFlip(), np.zeros((2, 1, 8)), r"at least 2, got \(2, 1, 8\)"),
        (RandomFlip(), np.zeros((2, 8, 0, 3)), r"at least 2, got \(2, 8, 0, 3\)"),
        (RandomFlip(), np.zeros((2, 0)), r"0 feature\(s\)"),
        (RandomFlip(value_range=(1, 0)), np.zeros((2, 64)), r"low < high, got \(1, 0\)"),
        (RandomFlip(random_state="x"), np.zeros((2, 64)), "'random_state' parameter"),
    ],
)
def test_errors(augmenter, X, message):
    with pytest.raises(ValueError, match=message):
        augmenter.fit(X)


CHAIN = make_augmentation_pipeline(RandomCrop((5, 4)), RandomRotation(10), ColorJitter(), value_range=(0, 1))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize(
    "augmenter",
    [
        *AUGMENTERS,
        CHAIN,
        clone(CHAIN).set_params(n_jobs=2),
        make_augmentation_pipeline(RandomRotation(10), GaussianBlur(), RandomFlip()),
        make_augmentation_pipeline(RandomFlip(p=0), ColorJitter(0, 0)),  # without effect
    ],
)
def test_augment_checks_every_number(augmenter, value, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK_ROWS", 8)
    for dtype in (np.float32, np.float64):
        X = make_X(dtype=dtype)
        fitted = clone(augmenter).fit(X, y)
        for where in (0, X.size - 1):
            bad = X.copy()
            bad.reshape(-1)[where] = value
            with pytest.raises(ValueError, match="Input X contains (NaN|infinity).") as error:
                fitted.augment(bad, y)
            with pytest.raises(ValueError) as expected:
                fitted.transform(bad)
            assert str(error.value) == str(expected.value)


def test_no_warnings_of_assume_finite():
    bad = make_X(dtype=np.float32)
    bad[0, 0, 0] = np.nan
    with sklearn.config_context(assume_finite=True):
        for augmenter in (clone(CHAIN), RandomFlip(), GaussianBlur()):
            assert augmenter.set_params(value_range=(0, 1)).fit(bad).augment(bad).dtype == np.float32


class Divided(BaseAugmenter):
    """An augmenter whose division may fail."""

    _parameter_constraints: dict = {}

    def apply(self, images, params, value_range):
        return images / np.zeros_like(images)


def test_errors_of_a_step_are_raised_unchanged():
    X = make_X(dtype=np.float32) + 1
    for augment in (Divided().fit_transform, Divided().fit(X).augment):
        with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
            augment(X)


@pytest.mark.parametrize("constraints", [{}, {"value_range": "no_validation"}, {"image_shape": ["array-like", None]}])
def test_few_constraints(constraints):
    kind = type("Own", (RandomFlip,), {"_parameter_constraints": constraints})
    assert_array_equal(kind(1, image_shape=(8, 8, 3)).fit_transform(make_X()), make_X()[:, :, ::-1])


def test_errors_after_fit():
    augmenter = RandomFlip().fit(make_X())
    for other in (make_X("grey"), np.zeros((2, 8, 4, 6)), np.zeros((2, 192))):
        with pytest.raises(ValueError, match="fitted on images|features"):
            augmenter.transform(other)
        with pytest.raises(ValueError, match="fitted on images|features"):
            augmenter.augment(other)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        augmenter.augment(make_X(), y[:5])
    with pytest.raises(ValueError, match="'p' parameter"):
        augmenter.set_params(p=3).augment(make_X())
    with pytest.raises(TypeError, match="[Ss]parse"):
        RandomFlip().fit(sparse.csr_matrix(np.eye(3)))


# the protocol for nets


@every_augmenter
def test_protocol_without_fit(augmenter):
    images = make_X(dtype=np.float32)
    augmenter = prepare(augmenter, random_state=None)
    before = images.copy()
    shape = augmenter._check_images(images.shape[1:], (0, 1))
    targets = np.eye(2)[y]
    new, mixed = augmenter._augment_images(images, augmenter._make_rng(0), (0, 1), targets)
    assert new.shape == (12, *shape) and new.dtype == np.float32
    assert mixed.shape == targets.shape and np.allclose(mixed.sum(axis=1), 1)
    assert augmenter.center_images(images, (0, 1)).shape == new.shape
    assert_array_equal(images, before)
    assert not [name for name in vars(augmenter) if name.endswith("_")]
    assert_array_equal(augmenter.augment(images, targets, random_state=0)[0], new)


def test_one_generator_serves_all_batches():
    images = make_X(dtype=np.float32)
    for augmenter in (RandomRotation(random_state=3), make_augmentation_pipeline(RandomRotation(random_state=3))):
        rng = augmenter._make_rng(0)
        first, second = (augmenter._augment_images(images, rng, (0, 1)) for _ in range(2))
        assert (first != second).any()
        assert_array_equal(first, augmenter._augment_images(images, augmenter._make_rng(99), (0, 1)))


def test_own_shape_and_range_must_match():
    RandomFlip(image_shape=(8, 8, 3), value_range=(0, 1))._check_images((8, 8, 3), (0.0, 1.0))
    RandomFlip(image_shape=(8, 8))._check_images((8, 8, 3), (0, 1))
    for other in ((8, 9), (8, 8, 1)):
        with pytest.raises(ValueError, match=r"\(8, .*\) of RandomFlip does not match .* shape is \(8, 8, 3\)"):
            RandomFlip(image_shape=other)._check_images((8, 8, 3), (0, 1))
    with pytest.raises(
        ValueError, match=r"value_range=\(0, 2\) of RandomFlip does not match the images, whose value range is \(0"
    ):
        RandomFlip(value_range=(0, 2))._check_images((8, 8, 3), (0, 1))


def test_a_class_without_apply_raises_an_error():
    with pytest.raises(NotImplementedError, match="must define apply"):
        BaseAugmenter().fit_transform(make_X())


def test_a_custom_augmenter_with_a_parameter_without_constraint():
    class Darken(BaseAugmenter):
        _parameter_constraints = {**BaseAugmenter._parameter_constraints, "by": "no_validation"}

        def __init__(self, by=2, *, image_shape=None, value_range=None, n_jobs=None, random_state=None):
            super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
            self.by = by

        def apply(self, images, params, value_range):
            return images / self.by

    X = make_X(dtype=np.float32)
    assert_array_equal(Darken().fit_transform(X), X / 2)


class TakeOther(BaseAugmenter):
    """An augmenter that replaces each row by another one."""

    mixes_rows = True
    needs_float = False

    def draw(self, rng, n, shape, y=None):
        return {"other": rng.permutation(n)}

    def mix(self, images, params, read):
        return read(params["other"])


def test_an_augmenter_reads_other_rows_as_before_its_step():
    X = np.arange(40, dtype=np.uint8).reshape(20, 2)
    new = TakeOther(random_state=0).fit_transform(X)
    assert new.dtype == np.uint8 and not (new == X).all()
    assert_array_equal(np.sort(new, axis=0), X)
    mixed = make_augmentation_pipeline(RandomFlip(p=1), TakeOther(), random_state=0)
    assert mixed.mixes_rows and RandomApply(mixed).mixes_rows and not RandomApply(RandomFlip()).mixes_rows
    assert_array_equal(np.sort(mixed.fit_transform(X), axis=0), X[:, ::-1])
