"""Checks of all public estimators: scikit-learn's, without expected failures, and ours."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from _adapters import (
    OneAffine,
    OneNoise,
    RowsFineTuneClassifier,
    RowsFineTuneRegressor,
    RowsImageLoader,
    RowsPretrainedFeatures,
    float64_backbone,
)
from _augmenters import other_augmenters
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

import sktricks
from sktricks import (
    AugmentationPipeline,
    AugmentedClassifier,
    AugmentedRegressor,
    CascadeClassifier,
    ColorJitter,
    CutMix,
    DistilledClassifier,
    DistilledRegressor,
    FeatureDropout,
    FineTuneClassifier,
    FineTuneRegressor,
    GaussianBlur,
    GaussianNoise,
    ImageLoader,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    PretrainedFeatures,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomRotation,
    StackingClassifier,
    StackingRegressor,
    SwapNoise,
    TrivialAugment,
    VotingClassifier,
    VotingRegressor,
    compare,
    diagnose,
    export_onnx,
    find_duplicates,
    find_label_issues,
    find_lr,
    make_augmentation_pipeline,
    prune,
)

AUGMENTERS = [
    RandomFlip(p=0.5),
    RandomCrop(padding=1),
    RandomRotation(max_angle=15),
    ColorJitter(brightness=0.2, contrast=0.2),
    RandomAffine(),
    RandomResizedCrop(scale=(0.5, 1)),
    RandomGrayscale(p=0.5),
    RandomErasing(p=0.5),
    GaussianNoise(std=0.1),
    GaussianBlur(sigma=1.0),
    FeatureDropout(p=0.1),
    SwapNoise(p=0.15),
    TrivialAugment(),
    MixUp(alpha=0.4),
    CutMix(alpha=1.0),
    RandomApply(RandomFlip(p=1), p=0.5),
    make_augmentation_pipeline(RandomFlip(), RandomRotation(), ColorJitter()),
]
AUGMENTERS += other_augmenters(AUGMENTERS)
AUGMENTED = [
    AugmentedClassifier(LogisticRegression(), MixUp(alpha=0.2)),
    AugmentedClassifier(LogisticRegression(), GaussianNoise(std=0.1), predict_views=2),
    AugmentedClassifier(SGDClassifier(random_state=0), GaussianNoise(std=0.1), predict_views=2),
    AugmentedRegressor(Ridge(), GaussianNoise(std=0.1), predict_views=2),
    AugmentedRegressor(SGDRegressor(random_state=0), MixUp(alpha=0.2), n_copies=2),
]
NETS = [
    NetClassifier(max_epochs=30),
    NetClassifier(max_epochs=30, average="swa"),
    NetRegressor(max_epochs=30),
    NetRegressor(max_epochs=30, average="ema"),
    NetClassifier(max_epochs=30, augmenter=OneNoise(std=0.1), predict_views=2),
    NetRegressor(max_epochs=30, augmenter=OneNoise(std=0.1), predict_views=2),
]
TUNED_ON_TABLES = [FineTuneClassifier(max_epochs=30), FineTuneRegressor(max_epochs=30), PretrainedFeatures()]
TUNED_ON_IMAGES = [
    RowsPretrainedFeatures(),
    RowsFineTuneClassifier(strategy="linear-probe", max_epochs=30),
    RowsFineTuneRegressor(strategy="linear-probe", max_epochs=50),
]
SMALL = {"backbone": float64_backbone, "max_epochs": 20}
SMALL_CLASSIFIER = {**SMALL, "lr": 0.01}
# AdamW normalizes gradients. In regression the gradient of the bias is only rounding error, which it would amplify.
SMALL_REGRESSOR = {**SMALL, "optimizer": "sgd", "lr": 0.005, "clip_norm": 1.0}
STRATEGIES = ["linear-probe", "fine-tune", "lp-ft", "gradual", "auto"]
AFFINE = {"augmenter": OneAffine(shift=0.02), "predict_views": 2}
TUNED_BY_STRATEGY = [
    *[RowsFineTuneClassifier(strategy=strategy, **SMALL_CLASSIFIER) for strategy in STRATEGIES],
    *[RowsFineTuneRegressor(strategy=strategy, **SMALL_REGRESSOR) for strategy in STRATEGIES],
    RowsFineTuneClassifier(strategy="fine-tune", **AFFINE, **SMALL_CLASSIFIER),
    RowsFineTuneRegressor(strategy="fine-tune", **AFFINE, **SMALL_REGRESSOR),
]
LOADERS = [ImageLoader(), RowsImageLoader(mode="L")]  # the first takes only files, so few checks apply
CLASSIFIERS = [(f"tree{depth}", DecisionTreeClassifier(max_depth=depth, random_state=0)) for depth in (5, 9)]
FINAL = DecisionTreeClassifier(max_depth=5, random_state=0)
REGRESSORS = [("tree", DecisionTreeRegressor(random_state=0)), ("line", Ridge())]
# Together these have each value of each parameter that affects predictions, several per instance.
ENSEMBLES = [
    VotingClassifier(CLASSIFIERS),
    VotingClassifier(CLASSIFIERS, weights=[2, 1], store_oof=False),
    VotingClassifier(CLASSIFIERS, voting="geometric", weights="simplex", cv=2),
    VotingClassifier(CLASSIFIERS, weights="greedy", cv=2, tie_break="probability"),
    VotingRegressor(REGRESSORS, average="median", weights=[2, 1]),
    VotingRegressor(REGRESSORS, weights="nnls", cv=2),
    StackingClassifier(CLASSIFIERS, FINAL, cv=2, stack_method="predict"),
    StackingClassifier(CLASSIFIERS, FINAL, cv=2, stack_method="predict_proba", passthrough=True),
    StackingRegressor(REGRESSORS, Ridge(), cv=2, refit=False),
    CascadeClassifier(CLASSIFIERS, cv=2, tolerance=0.05),
    VotingClassifier(CLASSIFIERS, tie_break="probability"),
    VotingClassifier(CLASSIFIERS, voting="soft", weights="greedy", calibration="temperature", cv=2),
    VotingRegressor(REGRESSORS, weights="simplex", cv=2),
    StackingClassifier(CLASSIFIERS, cv=2),
    StackingClassifier(CLASSIFIERS, DecisionTreeClassifier(max_depth=5, random_state=0), cv=2, refit=False),
    StackingRegressor(REGRESSORS, cv=2, passthrough=True),
    CascadeClassifier(CLASSIFIERS, cv=2),
]
NET_ENSEMBLES = [
    NetEnsembleClassifier(NetClassifier(max_epochs=10, lr=1e-2), n_members=2),
    NetEnsembleClassifier(NetClassifier(max_epochs=10, lr=1e-2), n_members=2, mode="snapshot"),
    NetEnsembleRegressor(NetRegressor(max_epochs=10, lr=1e-2), n_members=2),
    NetEnsembleRegressor(NetRegressor(max_epochs=10, lr=1e-2), n_members=2, mode="loop"),
]
DISTILLED = [
    DistilledClassifier(LogisticRegression(), NetClassifier(max_epochs=10, lr=1e-2, random_state=0)),
    DistilledClassifier(
        DecisionTreeClassifier(max_depth=5, random_state=0),
        make_pipeline(MinMaxScaler(), NetClassifier(max_epochs=10, lr=1e-2, random_state=0)),
        temperature=2.0,
        hard_label_weight=0.5,
    ),
    DistilledRegressor(Ridge(), NetRegressor(max_epochs=10, lr=1e-2, random_state=0)),
    DistilledRegressor(DecisionTreeRegressor(random_state=0), Ridge()),
]
TUNED = [*TUNED_ON_TABLES, *TUNED_ON_IMAGES, *TUNED_BY_STRATEGY]
ALL = [*AUGMENTERS, *AUGMENTED, *NETS, *TUNED, *LOADERS, *ENSEMBLES, *NET_ENSEMBLES, *DISTILLED]

# Checks that scikit-learn skips by a tag. Ours below replace them.
RANDOM_SKIPS = {"check_pipeline_consistency", "check_transformer_data_not_an_array", "check_transformer_general"}
NO_DECISION_FUNCTION = {"check_classifiers_multilabel_output_format_decision_function"}


def name_of(estimator):
    return type(estimator).__name__


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning", "ignore::sktricks.NoPretrainedBackboneWarning")
@pytest.mark.filterwarnings("ignore::sktricks.UnmixedRowsWarning")
def test_scikit_learns_checks(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # provoked by the checks
        results = check_estimator(estimator, on_skip=None, on_fail="raise")
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    if hasattr(estimator, "augment"):
        assert skipped == RANDOM_SKIPS
    elif hasattr(estimator, "predict_proba") and estimator not in [*AUGMENTED, *ENSEMBLES, *DISTILLED]:
        assert skipped == NO_DECISION_FUNCTION
    else:
        assert skipped == set()
    assert not any(result["expected_to_fail"] for result in results)


@pytest.mark.parametrize(
    "estimator",
    [*AUGMENTERS, *AUGMENTED, *NETS, *TUNED_ON_TABLES, ImageLoader(), *ENSEMBLES, *NET_ENSEMBLES, *DISTILLED],
    ids=name_of,
)
def test_every_parameter_is_validated(estimator):
    estimator_checks.check_param_validation(name_of(estimator), estimator)


def test_every_public_estimator_is_checked():
    checked = {type(part) for estimator in ALL for part in type(estimator).__mro__ if isinstance(part, type)}
    public = {
        getattr(sktricks, name)
        for name in sktricks.__all__
        if isinstance(getattr(sktricks, name), type) and hasattr(getattr(sktricks, name), "get_params")
    }
    tested = {base for estimator in ALL for base in type(estimator).__mro__}
    # these have skorch's parameters, not scikit-learn's
    callbacks = {sktricks.AverageWeights, sktricks.FreezeLayers, sktricks.GradientNorms}
    fitted = {sktricks.OnnxClassifier, sktricks.OnnxRegressor}  # read from a file, with the columns of that file
    assert public - callbacks - fitted <= tested and checked


SLOW = [compare, diagnose, export_onnx, find_duplicates, find_label_issues, find_lr, prune]
SLOW_ESTIMATORS = [*AUGMENTED, *NETS, *TUNED_ON_TABLES, *ENSEMBLES, *NET_ENSEMBLES, *DISTILLED, ImageLoader()]
SLOW += dict.fromkeys(map(type, SLOW_ESTIMATORS))


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.__name__)
def test_what_may_take_long_has_verbose_which_is_silent_by_default(slow):
    assert inspect.signature(slow).parameters["verbose"].default in (0, False)
    assert "verbose" in slow.__doc__


# -- ours: what the skipped checks would have done, and what scikit-learn does not know of -----------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
LABELS = np.array(["ink", "paper"])[np.arange(24) % 2]
LAYOUTS = {
    "images with channels": (IMAGES, None),
    "images": (IMAGES[..., 0], None),
    "rows": (IMAGES.reshape(24, 64), (8, 8)),
    "rows of squares": (IMAGES.reshape(24, 64), 8),
}
ON_IMAGES = [
    FineTuneClassifier(max_epochs=3, random_state=0),
    FineTuneRegressor(max_epochs=3, random_state=0),
    FineTuneClassifier(augmenter=RandomRotation(), n_views=3, predict_views=2, max_epochs=3, random_state=0),
    PretrainedFeatures(),
    AugmentedClassifier(LogisticRegression(), RandomRotation(), predict_views=2, random_state=0),
    AugmentedRegressor(Ridge(), RandomCrop((6, 6)), predict_views=2, random_state=0),
    *[clone(augmenter).set_params(random_state=0) for augmenter in AUGMENTERS],
]


def target_for(estimator):
    return np.arange(24.0) if hasattr(estimator, "predict") and not hasattr(estimator, "predict_proba") else LABELS


def run(estimator, X):
    """Fit a clone, and return its output for X."""
    fitted = clone(estimator)
    if hasattr(estimator, "augment"):
        return fitted.fit_transform(X, target_for(estimator))
    fitted.fit(X, target_for(estimator))
    method = next(name for name in ("predict_proba", "transform", "predict") if hasattr(fitted, name))
    return getattr(fitted, method)(X)


@pytest.mark.parametrize("estimator", ON_IMAGES, ids=name_of)
def test_every_layout_gives_the_same(estimator):
    results = [run(clone(estimator).set_params(image_shape=shape), X) for X, shape in LAYOUTS.values()]
    for (X, _), result in zip(LAYOUTS.values(), results, strict=True):
        np.testing.assert_array_equal(result.reshape(24, -1), results[0].reshape(24, -1))
        if hasattr(estimator, "augment"):
            assert result.shape == X.shape and result.dtype == X.dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("estimator", ON_IMAGES, ids=name_of)
def test_dtypes_read_only_and_memory_mapped(estimator, dtype, tmp_path):
    X = IMAGES.astype(dtype)
    before = X.copy()
    expected = run(estimator, X)
    np.testing.assert_array_equal(X, before)
    X.flags.writeable = False
    np.testing.assert_array_equal(run(estimator, X), expected)
    np.save(tmp_path / "X.npy", X)
    np.testing.assert_array_equal(run(estimator, np.load(tmp_path / "X.npy", mmap_mode="r")), expected)


@pytest.mark.parametrize("estimator", [*ON_IMAGES, *NETS], ids=name_of)
def test_an_int_gives_the_same_and_leaves_the_global_generators_alone(estimator):
    import torch

    estimator = clone(estimator).set_params(**({"random_state": 3} if "random_state" in estimator.get_params() else {}))
    X = IMAGES if "image_shape" in estimator.get_params() and estimator not in NETS else IMAGES.reshape(24, 64) / 255
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second = run(estimator, X), run(estimator, X)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize("estimator", [*ON_IMAGES, *NETS], ids=name_of)
def test_pickles(estimator):
    assert len(pickle.dumps(estimator)) < 10_000
    fitted = clone(estimator).fit(IMAGES, target_for(estimator))
    again = pickle.loads(pickle.dumps(fitted))
    method = next(name for name in ("predict_proba", "transform", "predict") if hasattr(fitted, name))
    np.testing.assert_array_equal(getattr(again, method)(IMAGES), getattr(fitted, method)(IMAGES))


def test_string_labels_are_predicted():
    fitted = FineTuneClassifier(max_epochs=3, random_state=0).fit(IMAGES, LABELS)
    assert set(fitted.predict(IMAGES)) <= set(LABELS)
    np.testing.assert_array_equal(fitted.classes_, ["ink", "paper"])


def test_a_pipeline_of_augmenters_passes_parameters_to_its_steps():
    pipeline = AugmentationPipeline([("rotate", RandomRotation(5)), ("flip", RandomFlip())])
    assert clone(pipeline).set_params(rotate__max_angle=9).get_params()["rotate__max_angle"] == 9
