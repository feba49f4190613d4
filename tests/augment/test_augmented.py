"""AugmentedClassifier and AugmentedRegressor: copies in fit, views in predict, any estimator."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification, make_regression
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV, SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_html_repr

from sktricks import (
    AugmentedClassifier,
    AugmentedRegressor,
    ColorJitter,
    CopiesMayLeakWarning,
    CutMix,
    FeatureDropout,
    GaussianNoise,
    ImageShapeWarning,
    MixUp,
    NetClassifier,
    NetRegressor,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    SampledLabelsWarning,
    SwapNoise,
    TrivialAugment,
    ViewsIgnoredWarning,
    VotingClassifier,
    load,
    make_augmentation_pipeline,
    save,
)
from sktricks.augment._plan import mix_targets
from sktricks.augment.copies import _base_augmented
from sktricks.augment.copies._training_copies import draw_copies, draw_labels, mixed_parts, target_codes, weighted_rows

X, y = load_iris(return_X_y=True)
names = load_iris().target_names[y]
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1)).astype(np.uint8)
SHADES = np.array(["dark", "light"])[np.arange(20) % 2]


class Spy(ClassifierMixin, BaseEstimator):
    """An estimator that records the arguments of its fits."""

    def fit(self, X, y, sample_weight=None, groups=None, note=None):
        self.classes_ = np.unique(y)
        self.seen_ = {"X": X, "y": y, "sample_weight": sample_weight, "groups": groups, "note": note}
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self.classes_ = classes
        self.batches_ = [*getattr(self, "batches_", []), (X, y, sample_weight)]
        return self

    def predict(self, X):
        self.asked_ = X
        return self.classes_[np.zeros(len(X), dtype=int)]


class Brightness(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are the first value of each row."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        share = X.reshape(len(X), -1)[:, 0] / 255
        return np.column_stack([share, 1 - share])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


class Says(Spy):
    """A classifier with a parameter that is an estimator class, not an estimator."""

    def __init__(self, kind):
        self.kind = kind


class SpyRegressor(RegressorMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.seen_ = {"X": X, "y": y, "sample_weight": sample_weight}
        return self

    def predict(self, X):
        return X.reshape(len(X), -1)[:, 0].astype(float)


def seen(augmenter, *args, estimator=None, **params):
    """Fit, and return what the wrapped estimator was fitted on."""
    rows, labels, fit_params = (*args, {})[:3] if args else (IMAGES, SHADES, {})
    model = AugmentedClassifier(estimator or Spy(), augmenter, random_state=0, **params)
    return model.fit(rows, labels, **fit_params).estimator_.seen_


# -- copies ------------------------------------------------------------------------------------------------------------


def test_rows_are_followed_by_their_copies():
    got = seen(RandomFlip(p=1), n_copies=2)
    assert_array_equal(got["X"], np.concatenate([IMAGES, IMAGES[:, :, ::-1], IMAGES[:, :, ::-1]]))
    assert_array_equal(got["y"], np.tile(SHADES, 3))
    assert got["sample_weight"] is None and got["X"].dtype == np.uint8


def test_keep_original_false():
    assert_array_equal(seen(RandomFlip(p=1), keep_original=False)["X"], IMAGES[:, :, ::-1])
    assert_array_equal(seen(RandomFlip(p=1), n_copies=0)["X"], IMAGES)


def test_each_copy_has_its_own_draws_even_if_the_augmenter_has_its_own_seed():
    for augmenter in (ColorJitter(), ColorJitter(random_state=3)):
        rows = seen(augmenter, n_copies=2)["X"]
        assert not np.array_equal(rows[20:40], rows[40:])


def test_an_int_gives_the_same_copies_whatever_n_jobs():
    augmenter = make_augmentation_pipeline(RandomRotation(), SwapNoise(), GaussianNoise(), MixUp())
    first, second, third = (seen(augmenter, n_jobs=n_jobs)["X"] for n_jobs in (None, 2, 1))
    assert_array_equal(first, second)
    assert_array_equal(first, third)


def test_nothing_that_was_passed_in_changes():
    images, augmenter, model = IMAGES.copy(), RandomErasing(p=1), Spy()
    AugmentedClassifier(model, augmenter).fit(images, SHADES)
    assert_array_equal(images, IMAGES)
    assert not hasattr(model, "seen_") and not hasattr(augmenter, "image_shape_")


def test_without_an_augmenter_it_is_the_estimator():
    model = AugmentedClassifier(LogisticRegression(max_iter=1000)).fit(X, names)
    plain = LogisticRegression(max_iter=1000).fit(X, names)
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert_array_equal(model.decision_function(X), plain.decision_function(X))
    assert_array_equal(model.classes_, plain.classes_)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"n_copies": 5, "keep_original": False, "predict_views": 3},
            "n_copies=5 and keep_original=False and predict_views=3 of AugmentedClassifier have no effect, because "
            "augmenter=None gives no views",
        ),
        ({"n_copies": 0}, None),
        ({"augmenter": MixUp(), "n_copies": 2}, None),
        ({"augmenter": MixUp(), "predict_views": 3}, "predict_views=3 .* has no effect, because MixUp only mixes rows"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_warning_of_ignored_copies_and_views(method, params, message):
    model = AugmentedClassifier(SGDClassifier(random_state=0), random_state=0, **params)
    if message is None:
        getattr(model, method)(X, y)
        return
    with pytest.warns(ViewsIgnoredWarning, match=message):
        getattr(model, method)(X, y)
    if model.augmenter is None:
        without = AugmentedClassifier(model.estimator, random_state=0)
        assert_array_equal(model.decision_function(X), getattr(without, method)(X, y).decision_function(X))


def test_original_rows_are_center_cropped_in_fit_and_predict():
    model = AugmentedClassifier(Spy(), RandomCrop((4, 4)), random_state=0).fit(IMAGES, SHADES)
    assert_array_equal(model.estimator_.seen_["X"][:20], IMAGES[:, 1:5, 1:5])
    model.predict(IMAGES)
    assert_array_equal(model.estimator_.asked_, IMAGES[:, 1:5, 1:5])


@pytest.mark.parametrize("layout", ["rows", "grey", "channels"])
def test_the_estimator_gets_the_layout_of_X(layout):
    rows = {"rows": IMAGES.reshape(20, 36), "grey": IMAGES[..., 0], "channels": IMAGES}[layout]
    got = seen(RandomFlip(p=1), rows, SHADES, image_shape=(6, 6))["X"]
    assert got.shape == (40, *rows.shape[1:])
    assert_array_equal(got[20:].reshape(20, 6, 6), IMAGES[:, :, ::-1, 0])


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), SVC()),
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=GroupKFold(2)),
        VotingClassifier([("a", LogisticRegression()), ("b", SVC())]),
    ],
)
def test_scikit_learns_estimators_get_images_as_rows(estimator):
    params = {"groups": np.arange(20) // 2} if isinstance(estimator, GridSearchCV) else {}
    images = IMAGES.astype(np.float32)
    model = AugmentedClassifier(estimator, RandomFlip(), predict_views=1, random_state=0).fit(images, SHADES, **params)
    rows = AugmentedClassifier(estimator, RandomFlip(), predict_views=1, image_shape=(6, 6), random_state=0)
    assert_array_equal(
        model.predict(images), rows.fit(images.reshape(20, 36), SHADES, **params).predict(images.reshape(20, 36))
    )


def test_a_function_transformer_gets_images():
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    model = AugmentedClassifier(make_pipeline(flatten, StandardScaler(), SVC()), RandomFlip()).fit(IMAGES, SHADES)
    assert model.predict(IMAGES).shape == (20,)


def test_a_net_inside_gets_images():
    net = NetClassifier(max_epochs=1, random_state=0)
    assert AugmentedClassifier(net, RandomFlip()).fit(IMAGES, SHADES).estimator_.image_shape_ == (6, 6, 1)


def test_wrappers_around_a_net_get_images():
    values = IMAGES.mean((1, 2, 3))
    net = TransformedTargetRegressor(NetRegressor(max_epochs=1, random_state=0), transformer=StandardScaler())
    model = AugmentedRegressor(net, RandomFlip(), predict_views=1).fit(IMAGES, values)
    assert model.estimator_.regressor_.image_shape_ == (6, 6, 1) and model.predict(IMAGES).shape == (20,)


def test_memory_is_bounded_by_the_rows_and_a_chunk():
    images = np.zeros((1000, 32, 32, 3), np.float32)
    augmenter = make_augmentation_pipeline(RandomRotation(), ColorJitter(), MixUp())
    tracemalloc.start()
    rows = seen(augmenter, images, np.arange(1000) % 10, n_copies=4)["X"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes + 64 * 2**20


# -- mixed targets -----------------------------------------------------------------------------------------------------

MIXERS = [
    MixUp(alpha=1.0),
    CutMix(),
    make_augmentation_pipeline(RandomFlip(), MixUp(alpha=1.0), CutMix()),
    RandomApply(MixUp(alpha=1.0), p=0.5),
]


def copies_of(augmenter, n, shape, n_copies=2):
    return draw_copies(augmenter, augmenter._make_rng(0), n, shape, n_copies, True)


@pytest.mark.parametrize("augmenter", MIXERS)
def test_weighted_rows_add_up_to_the_mixed_targets(augmenter):
    codes, copies = target_codes(names), copies_of(augmenter, 150, (8, 8, 1))
    places, labels, shares = weighted_rows(copies, codes)
    assert_array_equal(places[:450], np.arange(450))
    summed = np.zeros((450, 3))
    np.add.at(summed, (places, codes[labels]), shares)
    expected = np.concatenate([np.eye(3)[codes], *(mix_targets(plan, np.eye(3)[codes]) for plan in copies[1:])])
    assert_allclose(summed, expected, atol=1e-12)
    assert len(np.unique(np.column_stack([places, codes[labels]]), axis=0)) == len(places) > 450
    assert shares.min() > 0


@pytest.mark.parametrize("augmenter", MIXERS)
def test_the_log_loss_of_weighted_rows_is_that_of_mixed_targets(augmenter):
    codes, copies = target_codes(y), copies_of(augmenter, 150, (8, 8, 1))
    places, labels, shares = weighted_rows(copies, codes)
    log_q = log_softmax(np.random.default_rng(1).normal(size=(450, 3)), axis=1)
    soft = np.concatenate([np.eye(3)[codes], *(mix_targets(plan, np.eye(3)[codes]) for plan in copies[1:])])
    assert_allclose(-(shares * log_q[places, codes[labels]]).sum(), -(soft * log_q).sum(), rtol=1e-12)


def test_weighted_rows_give_the_logistic_regression_of_soft_targets():
    inner = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    mixed, probabilities = [], []

    class Soft(Spy):
        def fit(self, X, y, sample_weight=None):
            rows, place = np.unique(X, axis=0, return_inverse=True)
            soft = np.zeros((len(rows), 3))
            np.add.at(soft, (place.reshape(-1), y), sample_weight)
            mixed.append(rows)
            probabilities.append(soft)
            return super().fit(X, y)

    settings = {"keep_original": False, "random_state": 4}
    AugmentedClassifier(Soft(), MixUp(alpha=1.0), **settings).fit(X, y)
    model = AugmentedClassifier(inner, MixUp(alpha=1.0), **settings).fit(X, y)
    assert_allclose(probabilities[0].sum(), 150)
    assert ((probabilities[0] > 0.01) & (probabilities[0] < 0.99)).any()

    def objective(flat):
        weights, bias = flat[:12].reshape(3, 4), flat[12:]
        log_q = log_softmax(mixed[0] @ weights.T + bias, axis=1)
        return -(probabilities[0] * log_q).sum() + (weights**2).sum() / (2 * inner.C)

    best = minimize(objective, np.zeros(15), options={"gtol": 1e-7, "maxiter": 2000})
    assert_allclose(model.estimator_.coef_.ravel(), best.x[:12], atol=2e-4)


def test_mixed_rows_of_one_class_are_one_row():
    got = seen(MixUp(alpha=1.0), np.arange(40.0).reshape(20, 2), np.repeat(["a"], 20), keep_original=False)
    assert len(got["X"]) == 20
    assert_allclose(got["sample_weight"], 1)


def test_weights_and_groups_go_with_the_copies_and_parts():
    weight, groups = np.full(20, 3.0), np.arange(20) // 2
    got = seen(MixUp(alpha=1.0), IMAGES, SHADES, {"sample_weight": weight, "groups": groups, "note": "as it is"})
    assert got["note"] == "as it is" and len(got["X"]) > 40
    assert_allclose(np.bincount(got["groups"], got["sample_weight"]), 2 * np.bincount(groups, weight))
    assert_array_equal(got["sample_weight"][:20], weight)


@pytest.mark.parametrize("augmenter", MIXERS)
def test_each_part_of_a_mixed_row_has_the_weight_of_the_row_that_its_label_comes_from(augmenter):
    codes, weight, copies = target_codes(names), np.linspace(0.1, 5, 150), copies_of(augmenter, 150, (8, 8, 1))
    places, labels, weights = weighted_rows(copies, codes, weight)
    summed = np.zeros((450, 3))
    np.add.at(summed, (places, codes[labels]), weights)
    weighted = np.eye(3)[codes] * weight[:, None]
    assert_allclose(summed, np.concatenate([weighted, *(mix_targets(plan, weighted) for plan in copies[1:])]))


SAME = np.repeat(np.random.default_rng(0).normal(size=(1, 5)), 400, axis=0)  # equal rows with different labels
RARE = np.where(np.arange(400) < 360, "common", "rare")
BALANCED = np.where(RARE == "rare", 9.0, 1.0)


@pytest.mark.parametrize("augmenter", [MixUp(alpha=1.0), CutMix(), RandomApply(MixUp(alpha=1.0), p=0.5)])
@pytest.mark.parametrize("weighting", ["classes", "rows"])
@pytest.mark.parametrize("make", [LogisticRegression, DecisionTreeClassifier])  # the second counts rows, not weights
def test_balanced_classes_are_equally_likely_where_rows_are_mixed(make, weighting, augmenter):
    model = make_pipeline(make(class_weight="balanced" if weighting == "classes" else None))
    model = AugmentedClassifier(model, augmenter, n_copies=4, keep_original=False, random_state=0)
    model.fit(SAME, RARE, **({} if weighting == "classes" else {"sample_weight": BALANCED}))
    assert_allclose(model.predict_proba(SAME[:1]), 0.5, atol=0.03)


@pytest.mark.parametrize("labels", [names, y + 5, y == 1], ids=["strings", "integers", "booleans"])
@pytest.mark.parametrize("wrap", [lambda estimator: estimator, make_pipeline], ids=["alone", "last step"])
def test_boosting_takes_balanced_classes_of_any_labels(wrap, labels):
    boosting = HistGradientBoostingClassifier(class_weight="balanced", max_iter=5)
    model = AugmentedClassifier(wrap(boosting), MixUp(), random_state=0).fit(X, labels)
    assert_array_equal(model.classes_, np.unique(labels))
    assert model.score(X, labels) > 0.9
    assert boosting.class_weight == "balanced"


class OnlyCodes(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        if not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
            raise ValueError(f"Invalid classes, got {np.unique(y)}")
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("labels", [names, y + 5], ids=["strings", "integers"])
@pytest.mark.parametrize(
    ("augmenter", "predict_views"), [(MixUp(), 0), (GaussianNoise(std=0.1), 0), (GaussianNoise(std=0.1), 2), (None, 0)]
)
def test_a_classifier_that_rejects_labels_is_fitted_on_codes(augmenter, labels, predict_views):
    how = {"predict_views": predict_views, "random_state": 0}
    ours = AugmentedClassifier(OnlyCodes(), augmenter, **how).fit(X, labels)
    plain = AugmentedClassifier(GaussianNB(), augmenter, **how).fit(X, labels)
    assert_array_equal(ours.classes_, np.unique(labels))
    assert_array_equal(ours.predict(X), plain.predict(X))
    assert_allclose(ours.predict_proba(X), plain.predict_proba(X))


def test_float_targets_are_not_encoded():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        AugmentedClassifier(LogisticRegression(), GaussianNoise(std=0.1)).fit(X, X[:, 0] + 0.05)


def test_xgboost_takes_strings_and_is_saved(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    pytest.importorskip("skops")
    model = AugmentedClassifier(xgboost.XGBClassifier(n_estimators=5), MixUp(), random_state=0).fit(X, names)
    trusted = ["xgboost.sklearn.XGBClassifier", "xgboost.core.Booster"]
    save(model, tmp_path / "model.zip", trusted=trusted)
    assert_array_equal(load(tmp_path / "model.zip", trusted=trusted).predict(X), model.predict(X))


def test_the_mean_of_mixed_values_is_the_weighted_one():
    values = np.where(RARE == "rare", 1.0, 0.0)
    model = AugmentedRegressor(Ridge(), MixUp(alpha=1.0), n_copies=4, keep_original=False, random_state=0)
    assert_allclose(model.fit(SAME, values, sample_weight=BALANCED).predict(SAME[:1]), 0.5, atol=0.03)


def test_labels_are_drawn_for_estimators_without_sample_weight():
    with pytest.warns(SampledLabelsWarning, match="KNeighborsClassifier does not take sample_weight") as caught:
        model = AugmentedClassifier(KNeighborsClassifier(1), MixUp(alpha=1.0), random_state=0).fit(X, names)
    assert caught[0].filename == __file__
    assert len(model.estimator_._fit_X) == 300
    assert set(model.predict(X)) <= set(names)


def test_labels_are_drawn_with_their_weights_as_probabilities():
    copies = copies_of(make_augmentation_pipeline(MixUp(alpha=1.0), CutMix()), 3000, (8, 8, 1), n_copies=1)
    drawn = draw_labels(copies, 3000, np.random.default_rng(0))[3000:]
    sources, shares = mixed_parts(copies[1], 3000)
    assert (drawn[:, None] == sources).any(axis=1).all()
    own = shares[sources == np.arange(3000)[:, None]]
    chance, share = np.mean(drawn == np.arange(3000)), np.where(sources == np.arange(3000)[:, None], shares, 0).sum(1)
    assert abs(chance - share.mean()) < 0.03 and len(own) >= 3000
    sure = share > 0.95
    assert (drawn == np.arange(3000))[sure].mean() > 0.93


def test_several_labels_are_mixed_too():
    rows, labels = make_multilabel_classification(100, 5, n_classes=3, random_state=0)
    model = AugmentedClassifier(RandomForestClassifier(5, random_state=0), MixUp(), random_state=0)
    model.fit(rows, labels)
    assert model.predict(rows).shape == (100, 3)
    assert model.score(rows, labels) > 0.5
    assert [proba.shape for proba in model.predict_log_proba(rows)] == [(100, 2)] * 3


def test_values_are_mixed_as_rows_are():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    for values in (rows[:, 0], rows[:, :2]):
        model = AugmentedRegressor(SpyRegressor(), MixUp(alpha=1.0), n_copies=2, random_state=0).fit(rows, values)
        got = model.estimator_.seen_
        assert_allclose(got["y"], got["X"][:, 0] if values.ndim == 1 else got["X"][:, :2])
        assert len(got["X"]) == 150 and not np.array_equal(got["X"][50:100], rows) and got["sample_weight"] is None


def test_a_regressor_with_integers_mixes_them_as_values():
    rows = np.arange(20.0).reshape(10, 2)
    model = AugmentedRegressor(SpyRegressor(), MixUp(alpha=1.0), random_state=0).fit(rows, np.arange(10))
    assert_allclose(model.estimator_.seen_["y"], model.estimator_.seen_["X"][:, 0] / 2)


def test_integers_in_a_table_are_not_rounded():
    rows = np.arange(40).reshape(20, 2)
    got = seen(GaussianNoise(std=0.1), rows, SHADES)["X"]
    assert_array_equal(got[:20], rows)
    assert got.dtype == np.float64 and not (got[20:] == rows).any() and abs(got[20:] - rows).max() < 1
    assert seen(MixUp(), rows.astype(np.float32), SHADES)["X"].dtype == np.float32


# -- weights and metadata ----------------------------------------------------------------------------------------------


def test_weights_reach_the_last_step_of_a_pipeline():
    weight = np.arange(1.0, 21)
    model = AugmentedClassifier(make_pipeline(FunctionTransformer(), Spy()), RandomFlip(), random_state=0)
    model.fit(IMAGES, SHADES, sample_weight=weight)
    assert_array_equal(model.estimator_[-1].seen_["sample_weight"], np.tile(weight, 2))
    model.fit(IMAGES, SHADES, spy__note="hello", spy__sample_weight=weight)
    assert model.estimator_[-1].seen_["note"] == "hello"
    model.set_params(augmenter=MixUp(alpha=1.0)).fit(IMAGES, SHADES, sample_weight=weight)
    assert_allclose(model.estimator_[-1].seen_["sample_weight"].sum(), 2 * weight.sum(), rtol=0.05)


def test_rows_of_weight_zero_are_not_used():
    rows = np.zeros((20, 3))
    rows[::5] = 1000
    weight = (rows[:, 0] == 0).astype(float)
    for augmenter in (MixUp(alpha=1.0), SwapNoise(p=0.5)):
        got = seen(augmenter, rows, np.arange(20) % 3, {"sample_weight": weight})
        assert (got["X"] == 0).all() and got["sample_weight"].min() > 0


def test_weights_equal_repetitions_without_an_augmenter():
    repeat = np.arange(150) % 3
    model = AugmentedClassifier(LogisticRegression(tol=1e-10, max_iter=5000))
    weighted = clone(model).fit(X, y, sample_weight=repeat).predict_proba(X)
    assert_allclose(weighted, model.fit(X.repeat(repeat, 0), y.repeat(repeat)).predict_proba(X), atol=1e-5)


def test_metadata_routing():
    weight, groups = np.full(150, 3.0), np.arange(150)
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Spy().set_fit_request(sample_weight="importance", groups=True)
        model = AugmentedClassifier(inner, RandomApply(MixUp(alpha=1.0)), random_state=0)
        model.fit(X, y, importance=weight, groups=groups)
        got = model.estimator_.seen_
        assert_allclose(np.bincount(got["groups"], got["sample_weight"]), 2 * weight)
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1]}, cv=GroupKFold(3))
        model = AugmentedClassifier(search, GaussianNoise(std=0.1), random_state=0).fit(X, y, groups=groups)
        assert model.estimator_.best_score_ > 0.8
        with pytest.raises(TypeError, match="importance"):
            AugmentedClassifier(Spy(), RandomFlip()).fit(X, y, importance=weight)


def test_a_search_reaches_all_parameters():
    model = AugmentedClassifier(LogisticRegression(max_iter=1000), GaussianNoise(), random_state=0)
    grid = {"augmenter__std": [0.0, 0.3], "estimator__C": [0.1, 1.0], "n_copies": [0, 2]}
    assert GridSearchCV(model, grid, cv=2).fit(X, y).best_score_ > 0.9
    grid = {"augmenter": [None, MixUp()]}
    assert GridSearchCV(model, grid, cv=2).fit(X, y, sample_weight=np.ones(150)).best_score_ > 0.9


# -- splits inside the estimator ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (CalibratedClassifierCV(LogisticRegression(max_iter=1000), cv=2), "cv=2 of CalibratedClassifierCV"),
        (LogisticRegressionCV(Cs=2, cv=2, max_iter=1000), "cv=2 of LogisticRegressionCV"),
        (GridSearchCV(LogisticRegression(max_iter=1000), {}, cv=2), "cv=2 of GridSearchCV"),
        (make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=2, cv=2)), "cv=2 of LogisticRegressionCV"),
        (HistGradientBoostingClassifier(max_iter=2, early_stopping=True), "early_stopping=True of Hist"),
        (MLPClassifier((2,), early_stopping=True, random_state=0), "early_stopping=True of MLPClassifier"),
        (SGDClassifier(early_stopping=True, random_state=0), "early_stopping=True of SGDClassifier"),
        (NetClassifier(early_stopping=True, max_epochs=1), "early_stopping=True of NetClassifier"),
        (GradientBoostingClassifier(n_estimators=2, n_iter_no_change=1), "n_iter_no_change=1 of Gradient"),
        (RandomForestClassifier(30, oob_score=True, random_state=0), "oob_score=True of RandomForestClassifier"),
        (StackingClassifier([("a", LogisticRegression(max_iter=1000))], cv=2), "cv=2 of StackingClassifier"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
def test_warning_of_splits_inside_the_estimator(estimator, named):
    with pytest.warns(CopiesMayLeakWarning) as caught:
        AugmentedClassifier(estimator, GaussianNoise(std=0.1)).fit(X, y)
    (ours,) = [warning for warning in caught if warning.category is CopiesMayLeakWarning]
    assert named in str(ours.message) and ours.filename == __file__


@pytest.mark.parametrize(
    ("estimator", "cure"),
    [
        (HistGradientBoostingClassifier(early_stopping=True, max_iter=2), "set early_stopping=False"),
        (NetClassifier(early_stopping=True, max_epochs=1), "set early_stopping=False, or X_val and y_val in fit$"),
        (make_pipeline(NetClassifier(early_stopping=True, max_epochs=1)), "set early_stopping=False$"),
        (MLPClassifier(early_stopping=True), "set early_stopping=False$"),
        (GradientBoostingClassifier(n_estimators=2, n_iter_no_change=2), "set n_iter_no_change=None$"),
        (RandomForestClassifier(20, oob_score=True), "set oob_score=False$"),
        (CalibratedClassifierCV(GaussianNB()), "set cv=GroupKFold"),
        (GridSearchCV(MLPClassifier(early_stopping=True), {}, cv=2), "set cv=GroupKFold.*; early_stopping=False$"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_warning_of_splits_has_the_cure(estimator, cure):
    with pytest.warns(CopiesMayLeakWarning, match=cure):
        AugmentedClassifier(estimator, GaussianNoise(std=0.1)).fit(X, y)


def test_warning_of_splits_inside_a_regressor():
    with pytest.warns(CopiesMayLeakWarning, match="cv=None of RidgeCV"):
        AugmentedRegressor(RidgeCV(), GaussianNoise(std=0.1)).fit(X, y)


def test_boosting_stops_early_by_itself_above_ten_thousand_rows():
    rows = np.random.default_rng(0).normal(size=(5100, 1))
    model = AugmentedClassifier(HistGradientBoostingClassifier(max_iter=1), GaussianNoise(std=0.1))
    model.fit(rows[:4900], rows[:4900, 0] > 0)
    with pytest.warns(CopiesMayLeakWarning, match="early_stopping='auto'"):
        model.fit(rows, rows[:, 0] > 0)


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (GridSearchCV(LogisticRegression(max_iter=1000), {}, cv=GroupKFold(2)), {"groups": np.arange(150)}),
        (CalibratedClassifierCV(FrozenEstimator(LogisticRegression(max_iter=1000).fit(X, y))), {}),
        (NetClassifier(early_stopping=True, max_epochs=1), {"X_val": X[:10], "y_val": y[:10]}),
        (VotingClassifier([("a", LogisticRegression(max_iter=1000))]), {}),
        (ClassifierChain(LogisticRegression(max_iter=1000)), {}),
        (HistGradientBoostingClassifier(max_iter=2), {}),
        (RandomForestClassifier(2), {}),
        (SVC(), {}),
        (Says(LogisticRegressionCV), {}),
    ],
)
@pytest.mark.filterwarnings("error::sktricks.CopiesMayLeakWarning")
def test_estimators_that_do_not_split(estimator, params):
    labels = np.eye(3, dtype=int)[y] if isinstance(estimator, ClassifierChain) else y
    AugmentedClassifier(estimator, GaussianNoise(std=0.1)).fit(X, labels, **params)


def test_one_copy_instead_of_the_rows_does_not_leak_unless_it_is_mixed():
    model = AugmentedClassifier(LogisticRegressionCV(Cs=2, cv=2, max_iter=1000), keep_original=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CopiesMayLeakWarning)
        warnings.simplefilter("ignore", FutureWarning)
        clone(model).set_params(keep_original=True).fit(X, y)
        clone(model).set_params(augmenter=GaussianNoise(std=0.1)).fit(X, y)
        with pytest.raises(CopiesMayLeakWarning):
            clone(model).set_params(augmenter=MixUp()).fit(X, y)


def test_groups_keep_copies_together():
    noise, labels = np.random.default_rng(0).normal(size=(100, 20)), np.arange(100) % 2
    search = GridSearchCV(KNeighborsClassifier(1), {}, cv=GroupKFold(5))
    model = AugmentedClassifier(search, GaussianNoise(std=0.01)).fit(noise, labels, groups=np.arange(100))
    assert model.estimator_.best_score_ < 0.7
    with pytest.warns(CopiesMayLeakWarning):
        leaky = clone(model).set_params(estimator__cv=5).fit(noise, labels)
    assert leaky.estimator_.best_score_ > 0.7


# -- views -------------------------------------------------------------------------------------------------------------

VIEWED = make_augmentation_pipeline(
    RandomRotation(),
    ColorJitter(),
    RandomErasing(p=1),
    GaussianNoise(),
    TrivialAugment(),
    FeatureDropout(),
    RandomFlip(),
)


def test_probabilities_are_the_mean_over_fixed_views():
    images = np.arange(1, 21, dtype=np.uint8).repeat(36).reshape(20, 6, 6, 1) * 12
    jitter = ColorJitter(brightness=0.5, contrast=0)
    model = AugmentedClassifier(Brightness(), jitter, predict_views=3, random_state=0).fit(images, SHADES)
    factors = [view[0][1]["brightness"] for view in model._views]
    assert len({factor.item() for factor in factors}) == 3
    shades = np.mean([images[:, 0, 0, 0], *(np.rint(np.clip(images[:, 0, 0, 0] * f, 0, 255)) for f in factors)], axis=0)
    assert_allclose(model.predict_proba(images)[:, 0], shades / 255, atol=1e-2)
    assert_allclose(model.predict_log_proba(images[1:9]), np.log(model.predict_proba(images[1:9])))
    assert_array_equal(model.predict(images), model.classes_[model.predict_proba(images).argmax(1)])


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=3000), LinearSVC(), KNeighborsClassifier()])
def test_a_prediction_depends_on_its_row_only(estimator):
    images = IMAGES.astype(np.float32)
    model = AugmentedClassifier(estimator, VIEWED, predict_views=4, random_state=0).fit(images, SHADES)
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(model, method):
            whole = getattr(model, method)(images)
            assert_array_equal(whole, getattr(model, method)(images))
            one_by_one = np.concatenate([getattr(model, method)(images[k : k + 1]) for k in reversed(range(20))])
            if method == "predict":
                assert_array_equal(whole[::-1], one_by_one)
            else:
                assert_allclose(whole[::-1], one_by_one, rtol=1e-4)  # the BLAS may sum in another order
    assert len(model._views) == 4


def test_views_skip_mixing():
    augmenter = make_augmentation_pipeline(MixUp(alpha=1.0), SwapNoise(p=1.0), CutMix())
    model = AugmentedRegressor(SpyRegressor(), augmenter, predict_views=3, random_state=0)
    with pytest.warns(ViewsIgnoredWarning, match="AugmentationPipeline only mixes rows"):
        model.fit(X, y)
    assert_allclose(model.predict(X), X[:, 0])


def test_views_do_not_follow_a_changed_augmenter():
    model = AugmentedClassifier(Brightness(), ColorJitter(brightness=0.5), predict_views=2, random_state=0)
    before = model.fit(IMAGES, SHADES).predict_proba(IMAGES)
    model.set_params(augmenter__brightness=0.0)
    assert_array_equal(model.predict_proba(IMAGES), before)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_decision_values_are_consistent_with_predictions(n_classes):
    model = AugmentedClassifier(LogisticRegression(), GaussianNoise(std=2.0), predict_views=8, random_state=0)
    values = model.fit(X, np.arange(len(X)) % n_classes).decision_function(X)
    assert_array_equal(model.predict(X), values > 0 if n_classes == 2 else values.argmax(1))
    assert values.shape == ((len(X),) if n_classes == 2 else (len(X), n_classes))


def test_decision_values_and_votes_of_views():
    images = IMAGES.reshape(20, 36) / 255
    settings = {"predict_views": 2, "image_shape": (6, 6), "random_state": 0}
    two = AugmentedClassifier(LinearSVC(), RandomFlip(), **settings).fit(images, SHADES)
    assert_array_equal(two.predict(images), two.classes_[(two.decision_function(images) > 0).astype(int)])
    three = AugmentedClassifier(LinearSVC(), RandomFlip(), **settings).fit(images, np.arange(20) % 3)
    assert_array_equal(three.predict(images), three.decision_function(images).argmax(1))
    assert not hasattr(three, "predict_proba")
    votes = AugmentedClassifier(Spy(), RandomFlip(), **settings).fit(images, SHADES)
    assert set(votes.predict(images)) == {"dark"}


@pytest.mark.parametrize("estimator", [MLPClassifier((8,), max_iter=300, random_state=0), KNeighborsClassifier(1)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_labels_and_views(estimator):
    rows, labels = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    model = AugmentedClassifier(estimator, GaussianNoise(std=0.01), predict_views=2, random_state=0).fit(rows, labels)
    assert model.predict(rows).shape == (80, 3) and (model.predict(rows) == labels).mean() > 0.8


def test_several_labels_by_votes():
    class Votes(Spy):
        def predict(self, X):
            return np.tile([1, 0, 1], (len(X), 1))

    rows, labels = make_multilabel_classification(20, 6, n_classes=3, random_state=0)
    model = AugmentedClassifier(Votes(), GaussianNoise(), predict_views=2).fit(rows, labels)
    assert_array_equal(model.predict(rows), np.tile([1, 0, 1], (20, 1)))


def test_means_of_several_values():
    rows, values = make_regression(60, 4, n_targets=2, random_state=0)
    model = AugmentedRegressor(Ridge(), GaussianNoise(std=0.1), predict_views=3, random_state=0).fit(rows, values)
    assert model.predict(rows).shape == (60, 2) and model.score(rows, values) > 0.9


# -- partial_fit -------------------------------------------------------------------------------------------------------


def test_partial_fit_gives_one_chunk_of_one_copy_at_a_time(monkeypatch):
    monkeypatch.setattr(_base_augmented, "CHUNK_BYTES", 8 * 8 * IMAGES[0].size)  # eight rows
    model = AugmentedClassifier(Spy(), RandomFlip(p=1), n_copies=2, random_state=0).partial_fit(IMAGES, SHADES)
    batches = model.estimator_.batches_
    assert [len(rows) for rows, _, _ in batches] == [8, 8, 4] * 3
    assert_array_equal(model.classes_, ["dark", "light"])
    for copy in range(3):
        rows = np.concatenate([rows for rows, _, _ in batches[3 * copy : 3 * copy + 3]])
        labels = np.concatenate([labels for _, labels, _ in batches[3 * copy : 3 * copy + 3]])
        expected = IMAGES[:, :, ::-1] if copy else IMAGES
        order = [np.flatnonzero((expected == row).all(axis=(1, 2, 3))).item() for row in rows]
        assert sorted(order) == list(range(20))
        assert_array_equal(labels, SHADES[order])


def test_partial_fit_draws_new_copies_repeatably():
    def batches():
        model = AugmentedClassifier(Spy(), ColorJitter(), keep_original=False, random_state=0)
        model.partial_fit(IMAGES, SHADES).partial_fit(IMAGES, SHADES)
        return [np.sort(rows, axis=0) for rows, _, _ in model.estimator_.batches_]

    first, second = batches()
    assert not np.array_equal(first, second)
    assert_array_equal(batches(), [first, second])


def test_partial_fit_mixes_and_weighs():
    model = AugmentedClassifier(Spy(), MixUp(alpha=1.0), random_state=0)
    model.partial_fit(IMAGES, SHADES, sample_weight=np.full(20, 2.0)).partial_fit(IMAGES, SHADES)
    weights = [weight for _, _, weight in model.estimator_.batches_]
    assert_allclose([weight.sum() for weight in weights], [40, 40, 20, 20])


def test_partial_fit_learns():
    rows, labels = load_digits(return_X_y=True)
    model = AugmentedClassifier(SGDClassifier(random_state=0), RandomRotation(5), image_shape=(8, 8), random_state=0)
    for start in range(0, 1200, 300):
        model.partial_fit(rows[start : start + 300], labels[start : start + 300], classes=np.arange(10))
    assert model.score(rows[1200:], labels[1200:]) > 0.8
    model.fit(rows[:300], labels[:300]).partial_fit(rows[300:600], labels[300:600])
    regressor = AugmentedRegressor(SGDRegressor(random_state=0), MixUp(), n_copies=5, random_state=0)
    assert regressor.partial_fit(X, X[:, 0]).partial_fit(X, X[:, 0]).score(X, X[:, 0]) > 0.5


def test_partial_fit_without_an_augmenter():
    model = AugmentedClassifier(Spy()).partial_fit(IMAGES, SHADES)
    assert [len(rows) for rows, _, _ in model.estimator_.batches_] == [20]


def test_partial_fit_exists_only_if_the_estimator_has_it():
    assert not hasattr(AugmentedClassifier(LogisticRegression()), "partial_fit")
    assert not hasattr(AugmentedRegressor(Ridge()), "partial_fit")


# -- tables, copies of the estimator, archives -------------------------------------------------------------------------


def test_the_estimator_gets_a_table_with_names():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    model = AugmentedClassifier(make_pipeline(FunctionTransformer(), Spy()), MixUp()).fit(table, names)
    got = model.estimator_[-1].seen_["X"]
    assert list(got.columns) == list("abcd") and len(got) > 300
    assert_array_equal(model.feature_names_in_, list("abcd"))
    model.predict(table)
    assert list(model.estimator_[-1].asked_.columns) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"a": "e"}))


def test_cropped_tables_have_no_names():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(IMAGES.reshape(20, 36)).add_prefix("pixel")
    model = AugmentedClassifier(Spy(), RandomCrop((4, 4)), image_shape=(6, 6)).fit(table, SHADES)
    assert model.estimator_.seen_["X"].shape == (40, 16)


def test_set_output_does_not_matter():
    with sklearn.config_context(transform_output="pandas"):
        model = AugmentedClassifier(make_pipeline(StandardScaler(), LogisticRegression()), GaussianNoise(std=0.1))
        assert model.fit(X, y).predict(X).shape == (150,)


def test_pictures_clones_and_pickles():
    model = AugmentedClassifier(LogisticRegression(max_iter=1000), VIEWED, predict_views=3, image_shape=(6, 6))
    rows = IMAGES.reshape(20, 36)
    assert "LogisticRegression" in estimator_html_repr(model) and "RandomRotation" in estimator_html_repr(model)
    assert clone(model).get_params()["augmenter"].get_params()["colorjitter__brightness"] == 0.2
    fitted = model.fit(rows, SHADES)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict_proba(rows), fitted.predict_proba(rows))
    assert not hasattr(clone(fitted), "estimator_")


def test_saved_and_loaded(tmp_path):
    pytest.importorskip("skops")
    model = AugmentedClassifier(LogisticRegression(max_iter=1000), VIEWED, predict_views=3, image_shape=(6, 6))
    fitted = model.fit(IMAGES.reshape(20, 36), SHADES)
    save(fitted, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert_array_equal(again.predict_proba(IMAGES.reshape(20, 36)), fitted.predict_proba(IMAGES.reshape(20, 36)))


def test_it_helps_on_digits():
    rows, labels = load_digits(return_X_y=True)
    svc = make_pipeline(StandardScaler(with_std=False), SVC())
    augmented = AugmentedClassifier(svc, RandomRotation(15), n_copies=5, image_shape=(8, 8), random_state=0)
    scores = [model.fit(rows[:60], labels[:60]).score(rows[60:], labels[60:]) for model in (svc, augmented)]
    assert scores[1] > scores[0] + 0.01


def test_in_a_cross_validation():
    model = AugmentedClassifier(LogisticRegression(max_iter=1000), MixUp(), random_state=0)
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            AugmentedClassifier(LogisticRegression),
            TypeError,
            r"instance, such as LogisticRegression\(\), got the class",
        ),
        (AugmentedClassifier(Ridge()), ValueError, r"estimator must be a classifier, got Ridge\(\)"),
        (AugmentedClassifier(StandardScaler()), ValueError, r"must be a classifier, got StandardScaler\(\)"),
        (AugmentedClassifier("tree"), ValueError, "'estimator' parameter"),
        (AugmentedClassifier(Spy(), StandardScaler()), ValueError, "'augmenter' parameter"),
        (AugmentedClassifier(Spy(), RandomFlip(), n_copies=-1), ValueError, "'n_copies' parameter"),
        (AugmentedClassifier(Spy(), RandomFlip(), n_copies=1.5), ValueError, "'n_copies' parameter"),
        (AugmentedClassifier(Spy(), RandomFlip(), predict_views=-1), ValueError, "'predict_views' parameter"),
        (AugmentedClassifier(Spy(), RandomFlip(), keep_original="no"), ValueError, "'keep_original' parameter"),
        (
            AugmentedClassifier(Spy(), RandomFlip(), n_copies=0, keep_original=False),
            ValueError,
            "n_copies=0 and keep_original=False leave no rows to train on",
        ),
        (AugmentedClassifier(Spy(), RandomFlip(p=2)), ValueError, "'p' parameter of RandomFlip"),
        (AugmentedClassifier(Spy(), RandomFlip(image_shape=(5, 5))), ValueError, r"image_shape=\(5, 5\) of RandomFlip"),
        (AugmentedClassifier(Spy(), RandomFlip(value_range=(0, 1))), ValueError, r"value_range=\(0, 1\) of RandomFlip"),
        (AugmentedClassifier(Spy(), RandomCrop((9, 9))), ValueError, "9"),
        (
            AugmentedClassifier(Spy(), RandomFlip(), image_shape=(5, 5)),
            ValueError,
            r"X must hold images of image_shape=\(5, 5\), got",
        ),
        (AugmentedClassifier(SVC(kernel="precomputed"), GaussianNoise()), ValueError, "takes a pairwise matrix"),
    ],
)
def test_bad_parameters(model, error, message):
    with pytest.raises(error, match=message):
        model.fit(IMAGES, SHADES)


def test_a_regressor_must_be_one():
    with pytest.raises(ValueError, match=r"estimator must be a regressor, got LogisticRegression\(\)"):
        AugmentedRegressor(LogisticRegression()).fit(X, y)


@pytest.mark.parametrize(
    ("args", "params", "error", "message"),
    [
        ((X[:0], y[:0]), {}, ValueError, "minimum of 1 is required"),
        ((X, None), {}, ValueError, "AugmentedClassifier requires y to be passed"),
        ((X, y[:-1]), {}, ValueError, "inconsistent numbers of samples"),
        ((np.where(X[0, 0] == X, np.nan, X), y), {}, ValueError, "NaN"),
        ((X, y), {"sample_weight": np.ones(149)}, ValueError, r"expected shape \(150,\), got \(149,\)"),
        ((X, y), {"sample_weight": -np.ones(150)}, ValueError, "sample_weight must not be negative"),
        ((X, y), {"sample_weight": np.zeros(150)}, ValueError, "sample_weight must have a positive value"),
        ((X, y), {"sample_weight": y == 0}, ValueError, "rows of at least two classes, got only 0"),
        ((X, y), {"unknown": 1}, TypeError, "unexpected keyword argument 'unknown'"),
    ],
)
def test_bad_rows(args, params, error, message):
    with pytest.raises(error, match=message):
        AugmentedClassifier(LogisticRegression(max_iter=1000), MixUp()).fit(*args, **params)


def test_weights_that_the_estimator_does_not_take():
    with pytest.raises(ValueError, match="sample_weight is not supported by KNeighborsClassifier.fit"):
        AugmentedClassifier(KNeighborsClassifier(), GaussianNoise()).fit(X, y, sample_weight=np.ones(150))


def test_partial_fit_with_unknown_labels():
    model = AugmentedClassifier(SGDClassifier(), GaussianNoise(std=0.1)).partial_fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="labels|classes"):
        model.partial_fit(X, y)


def test_predicting_before_fit_or_on_other_images():
    model = AugmentedClassifier(Spy(), RandomFlip())
    with pytest.raises(sklearn.exceptions.NotFittedError):
        model.predict(IMAGES)
    with pytest.raises(ValueError, match="was fitted on images of shape"):
        model.fit(IMAGES, SHADES).predict(np.zeros((2, 4, 9, 1), np.uint8))


def test_rows_without_image_shape():
    with pytest.warns(ImageShapeWarning, match=r"image_shape=\(6, 6\)") as caught:
        AugmentedClassifier(Spy(), RandomRotation()).fit(IMAGES.reshape(20, 36), SHADES)
    assert caught[0].filename == __file__


def test_bars_of_copies_chunks_and_views(bars):
    X, y = np.random.default_rng(0).normal(size=(120, 3)), np.arange(120) % 2
    how = {"n_copies": 3, "predict_views": 2, "verbose": 1, "random_state": 0}
    model = AugmentedClassifier(LogisticRegression(), GaussianNoise(0.1), **how).fit(X, y)
    model.predict(X)
    model.predict(X[:5])
    AugmentedClassifier(SGDClassifier(), GaussianNoise(0.1), **how).partial_fit(X, y)
    assert bars == [("augmenting", 480, 480), ("predict", 3, 3), ("fit", 480, 480)]
