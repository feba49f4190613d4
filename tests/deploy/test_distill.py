"""DistilledClassifier and DistilledRegressor."""

import io
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktricks import (
    AugmentedClassifier,
    DistilledClassifier,
    DistilledRegressor,
    FineTuneClassifier,
    GaussianNoise,
    NetClassifier,
    NetEnsembleClassifier,
    NetRegressor,
    SampleWeightIgnoredWarning,
    UnlabeledRowsWarning,
    load,
    save,
)

from ._agreement import assert_agrees

X, codes = make_classification(400, 8, n_informative=6, n_classes=3, random_state=0)
y = np.array(["ant", "bee", "cow"])[codes]
X, y, U, X_test, y_test = X[:150], y[:150], X[150:300], X[300:], y[300:]
Xr, yr = make_friedman1(300, random_state=0)
NET = NetClassifier(max_epochs=10, lr=1e-2, random_state=0)
REGRESSOR = NetRegressor(max_epochs=10, lr=1e-2, random_state=0)
FOREST = RandomForestClassifier(20, random_state=0)


class Watched(ClassifierMixin, BaseEstimator):
    """A teacher that is certain about its training rows, and predicts equal probabilities for others."""

    def fit(self, X, y):
        self.classes_, self.known = np.unique(y), {tuple(row): label for row, label in zip(X.tolist(), y, strict=True)}
        return self

    def predict_proba(self, X):
        flat = np.full(len(self.classes_), 1 / len(self.classes_))
        rows = [self.known.get(tuple(row)) for row in X.tolist()]
        return np.stack([flat if label is None else (self.classes_ == label) * 1.0 for label in rows])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Targets(NetClassifier):
    """A student that stores its training data."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


def spy(**params):
    return Targets(max_epochs=1, random_state=0, **params)


# -- what the student learns -------------------------------------------------------------------------------------------


def test_the_student_predicts():
    model = DistilledClassifier(FOREST, NET).fit(X, y, X_unlabeled=U)
    assert_array_equal(model.classes_, ["ant", "bee", "cow"])
    assert_array_equal(model.predict_proba(X_test), model.student_.predict_proba(X_test))
    assert_array_equal(model.predict(X_test), model.classes_[model.student_.predict(X_test)])
    assert model.score(X_test, y_test) == np.mean(model.predict(X_test) == y_test) > 0.6
    assert model.n_features_in_ == 8 and not hasattr(model, "feature_names_in_")


def test_rows_with_labels_are_taught_out_of_fold():
    model = DistilledClassifier(Watched(), spy(), hard_label_weight=0).fit(X, y, X_unlabeled=np.vstack([U, X[:10]]))
    _, targets, _ = model.student_.seen_
    assert_allclose(targets[:-10], 1 / 3)
    assert_array_equal(model.classes_[targets[-10:].argmax(axis=1)], y[:10])
    assert_array_equal(model.teacher_.predict(X), y)


def test_equal_rows_are_in_one_fold():
    model = DistilledClassifier(Watched(), spy(), hard_label_weight=0).fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    assert_allclose(model.student_.seen_[1], 1 / 3)


def test_the_order_of_the_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(len(X))
    models = [DistilledClassifier(GaussianNB(), spy()).fit(*rows) for rows in [(X, y), (X[order], y[order])]]
    assert_allclose(models[1].student_.seen_[1], models[0].student_.seen_[1][order], rtol=1e-6)
    assert models[0].temperature_ == pytest.approx(models[1].temperature_)


def test_a_temperature_below_1_for_a_forest_and_above_1_for_a_teacher_that_is_too_sure():
    flat = DistilledClassifier(RandomForestClassifier(100, random_state=0), spy()).fit(X, y)
    sure = DistilledClassifier(DecisionTreeClassifier(max_depth=4, random_state=0), spy()).fit(X, y)
    assert flat.temperature_ < 1 < sure.temperature_


def test_the_temperature_is_1_where_tuning_does_not_help():
    rng = np.random.default_rng(0)
    noise = DistilledClassifier(LogisticRegression(C=1e-9), spy()).fit(X, rng.permutation(y))
    assert noise.temperature_ == 1.0


@pytest.mark.parametrize("temperature", [0.5, 3])
def test_a_given_temperature(temperature):
    teacher = FrozenEstimator(LogisticRegression().fit(U, np.resize(["ant", "bee", "cow"], 150)))
    model = DistilledClassifier(teacher, spy(), temperature=temperature, hard_label_weight=0).fit(X, y)
    powers = teacher.predict_proba(X) ** (1 / temperature)
    assert model.temperature_ == temperature
    assert_allclose(model.student_.seen_[1], powers / powers.sum(axis=1, keepdims=True))


def test_hard_labels_are_mixed_in_where_there_are_any():
    soft, half, hard = (
        DistilledClassifier(GaussianNB(), spy(), hard_label_weight=weight).fit(X, y, U).student_.seen_[1]
        for weight in (0, 0.5, 1)
    )
    one_hot = np.eye(3)[np.unique(y, return_inverse=True)[1]]
    assert_allclose(half[:150], (soft[:150] + one_hot) / 2, atol=1e-9)
    assert_allclose(hard[:150], one_hot, atol=1e-9)
    assert_array_equal(half[150:], soft[150:])


@pytest.mark.parametrize("teacher", [DecisionTreeClassifier(random_state=0), LinearSVC(random_state=0)])
def test_certain_teachers(teacher):
    model = DistilledClassifier(teacher, spy()).fit(X, y, U)
    assert model.student_.seen_[1].shape == (300, 3)
    assert_allclose(model.student_.seen_[1].sum(axis=1), 1)
    assert model.student_._kind == "soft"
    assert hasattr(teacher, "predict_proba") or model.temperature_ == 1


def test_agreement_is_that_of_held_out_rows():
    good, bad = (
        DistilledClassifier(GaussianNB(), clone(NET).set_params(**params), hard_label_weight=0).fit(X, y, U)
        for params in ({"max_epochs": 40}, {"max_epochs": 1, "lr": 1e-9})
    )
    assert bad.agreement_ < 0.7 < 0.8 < good.agreement_ <= 1
    actual = np.mean(good.predict(X_test) == good.teacher_.predict(X_test))
    assert good.agreement_ == pytest.approx(actual, abs=0.1)


def test_unlabeled_rows_help():
    D, z = load_digits(return_X_y=True)
    few, some, test = slice(0, 100), slice(100, 1000), slice(1000, None)
    models = [
        DistilledClassifier(RandomForestClassifier(100, random_state=0), NetClassifier(random_state=0)).fit(
            D[few], z[few], X_unlabeled=more
        )
        for more in (None, D[some])
    ]
    losses = [log_loss(z[test], model.predict_proba(D[test])) for model in models]
    assert losses[1] < losses[0]
    assert models[1].score(D[test], z[test]) > models[0].score(D[test], z[test])


# -- teachers and students ---------------------------------------------------------------------------------------------


def test_a_fitted_teacher_is_used_as_it_is():
    teacher = FrozenEstimator(GaussianNB().fit(U, np.resize(["ant", "bee", "cow", "dog"], 150)))
    model = DistilledClassifier(teacher, spy()).fit(X, y)
    assert model.teacher_ is teacher
    assert_array_equal(model.classes_, ["ant", "bee", "cow", "dog"])
    assert model.predict_proba(X).shape == (150, 4)


def test_images():
    images, labels = load_digits(n_class=3, return_X_y=True)
    images = images[:60].reshape(-1, 8, 8)
    student = FineTuneClassifier("tiny32", strategy="fine-tune", max_epochs=1, random_state=0)
    teacher = AugmentedClassifier(LogisticRegression(max_iter=1000))
    model = DistilledClassifier(teacher, student).fit(images, labels[:60], X_unlabeled=images[:20])
    assert model.student_.image_shape_ == (8, 8, 1) and model.predict(images).shape == (60,)


def test_the_student_auto():
    table = DistilledClassifier(GaussianNB()).fit(X[:40], y[:40])
    images = X[:30, :, None] * X[:30, None]
    assert repr(table.student_) == "NetClassifier()"
    teacher = AugmentedClassifier(GaussianNB())
    small = DistilledClassifier(teacher)._student(images=images.ndim == 3)
    assert repr(small) == "FineTuneClassifier(backbone='tiny32', strategy='fine-tune')"
    assert repr(DistilledRegressor(Ridge()).fit(Xr[:40], yr[:40]).student_) == "NetRegressor()"


@pytest.mark.parametrize(
    "student", [make_pipeline(StandardScaler(), NET), AugmentedClassifier(NET, GaussianNoise(std=0.1), random_state=0)]
)
def test_students_inside_others(student):
    model = DistilledClassifier(GaussianNB(), student).fit(X, y, X_unlabeled=U, sample_weight=np.ones(len(X)))
    assert model.score(X_test, y_test) > 0.5


def test_the_ensemble_of_nets_as_teacher():
    model = DistilledClassifier(NetEnsembleClassifier(NET, 2, random_state=0), NET).fit(X, y, U)
    assert model.teacher_.predict_members(X[:3]).shape == (2, 3, 3)
    assert model.score(X_test, y_test) > 0.5


def test_values():
    teacher = RandomForestRegressor(20, random_state=0)
    model = DistilledRegressor(teacher, NetRegressor(max_epochs=30, random_state=0)).fit(Xr[:150], yr[:150], Xr[150:])
    assert_array_equal(model.predict(Xr), model.student_.predict(Xr))
    assert model.score(Xr[150:], yr[150:]) > 0.5 and 0 < model.agreement_ < 1
    several = DistilledRegressor(Ridge(), REGRESSOR).fit(Xr, np.stack([yr, -yr], axis=1), sample_weight=np.ones(300))
    assert several.predict(Xr).shape == (300, 2)
    assert np.isnan(DistilledRegressor(Ridge(), Ridge()).fit(Xr[:5], yr[:5]).agreement_)


# -- rows and weights --------------------------------------------------------------------------------------------------


def test_weights_reach_teacher_and_student():
    weight = np.arange(150.0)
    model = DistilledClassifier(GaussianNB(), spy()).fit(X, y, X_unlabeled=U, sample_weight=weight)
    assert_array_equal(model.student_.seen_[2], np.concatenate([weight[1:], np.ones(150)]))
    assert_allclose(model.teacher_.theta_, GaussianNB().fit(X, y, weight).theta_)


def test_a_teacher_that_takes_no_weights():
    with pytest.warns(SampleWeightIgnoredWarning, match="teacher"):
        DistilledClassifier(KNeighborsClassifier(), spy()).fit(X, y, sample_weight=np.ones(150))


def test_metadata_routing():
    weight = np.arange(150.0) + 1
    with sklearn.config_context(enable_metadata_routing=True):
        teacher = GaussianNB().set_fit_request(sample_weight=False)
        student = spy().set_fit_request(sample_weight=True)
        model = DistilledClassifier(teacher, student).set_fit_request(X_unlabeled=True, sample_weight=True)
        model.set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"hard_label_weight": [0.0, 0.5]}, cv=2)
        search.fit(X, y, X_unlabeled=U[:149], sample_weight=weight)
        best = search.best_estimator_
        assert_array_equal(best.student_.seen_[2], np.concatenate([weight, np.ones(149)]))
        assert_allclose(best.teacher_.theta_, GaussianNB().fit(X, y).theta_)
        auto = DistilledClassifier(teacher).fit(X[:60], y[:60], sample_weight=weight[:60])
        assert auto.student_.n_iter_ == 20


def test_a_search_over_the_student():
    search = GridSearchCV(DistilledClassifier(GaussianNB(), NET), {"student__max_epochs": [1, 10]}, cv=2).fit(X, y)
    assert search.best_params_ == {"student__max_epochs": 10}
    assert np.isfinite(cross_val_score(DistilledRegressor(Ridge(), Ridge()), Xr, yr, cv=2)).all()


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_tables_with_names_and_categories(name):
    library = pytest.importorskip(name)
    kind = pd.CategoricalDtype(["a", "b", "c"]) if library is pd else library.Enum(["a", "b", "c"])
    letters = np.resize(list("aabc"), 300)
    table = library.DataFrame({f"x{k}": np.vstack([X, U])[:, k] for k in range(8)})
    column = library.Series(letters, dtype=kind)
    table = table.assign(kind=column) if library is pd else table.with_columns(kind=column)
    teacher = NetEnsembleClassifier(NET, 2, random_state=0)
    model = DistilledClassifier(teacher, NET).fit(table[:150], y, X_unlabeled=table[150:])
    assert_array_equal(model.feature_names_in_, [*(f"x{k}" for k in range(8)), "kind"])
    assert model.student_.is_categorical_.tolist() == [False] * 8 + [True]
    assert model.predict(table[:5]).shape == (5,)


def test_other_categories_among_the_unlabeled_rows():
    table = pd.DataFrame({"x": X[:, 0], "kind": pd.Categorical(np.resize(list("ab"), 150))})
    more = pd.DataFrame({"x": U[:, 0], "kind": pd.Categorical(np.resize(list("bz"), 150))})
    model = DistilledClassifier(NetEnsembleClassifier(NET, 2, random_state=0), NET).fit(table, y, X_unlabeled=more)
    assert model.student_.is_categorical_.tolist() == [False, True]


def test_sparse_rows():
    model = DistilledRegressor(Ridge(), Ridge())
    dense, sparse = model.fit(Xr[:100], yr[:100], Xr[100:]).predict(Xr), csr_array(Xr)
    assert_allclose(
        model.fit(sparse[:100], yr[:100], sparse[100:]).predict(sparse), dense, rtol=0.05
    )  # the folds differ


def test_rows_that_are_all_the_same():
    model = DistilledRegressor(Ridge(), Ridge()).fit(np.ones((10, 2)), np.arange(10.0))
    assert_allclose(model.predict(np.ones((1, 2))), 4.5, atol=2)


# -- files -------------------------------------------------------------------------------------------------------------


def test_pickle_save_and_load(tmp_path):
    pytest.importorskip("skops")
    model = DistilledClassifier(GaussianNB(), NET).fit(X, y)
    for again in (pickle.loads(pickle.dumps(model)), save_and_load(model, tmp_path)):
        assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        assert_array_equal(again.teacher_.predict(X), model.teacher_.predict(X))
    del model.teacher_
    again = save_and_load(model, tmp_path)
    assert_array_equal(again.predict(X), model.predict(X))
    values = DistilledRegressor(Ridge(), REGRESSOR).fit(Xr, yr)
    assert_array_equal(save_and_load(values, tmp_path).predict(Xr), values.predict(Xr))


def save_and_load(model, folder):
    save(model, folder / "model.zip")
    return load(folder / "model.zip")


def test_export():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for student in (NET, make_pipeline(StandardScaler(), NET)):
        assert_agrees(DistilledClassifier(Watched(), student).fit(X, y), X_test)
    assert_agrees(DistilledClassifier(GaussianNB(), NET).fit(X, y == "ant"), X_test)
    assert_agrees(DistilledRegressor(Ridge(), REGRESSOR).fit(Xr, yr), Xr)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("student", [LogisticRegression(), GridSearchCV(NET, {}), NetEnsembleClassifier(NET)])
def test_a_student_that_takes_no_probabilities(student):
    with pytest.raises(ValueError, match=r"student must take class probabilities.* as NetClassifier and FineTuneClass"):
        DistilledClassifier(GaussianNB(), student).fit(X, y)


@pytest.mark.parametrize("classes", [["ant", "bee"], [0, 1]])
def test_a_teacher_with_other_classes(classes):
    teacher = FrozenEstimator(GaussianNB().fit(U, np.resize(classes, 150)))
    with pytest.raises(ValueError, match="teacher was fitted on classes other than those in y"):
        DistilledClassifier(teacher, NET).fit(X, y)


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        (U[:, :7], ValueError, r"X_unlabeled must have rows like those of X, of shape \(8,\), got of shape \(7,\)"),
        (np.ones(150), ValueError, "got one number each: sample_weight is the argument after X_unlabeled"),
        (["a.png", "b.png"], ValueError, r"X_unlabeled .* of shape \(8,\), got one file or string each$"),
        (U[:0], ValueError, "X_unlabeled must have at least one row, got none: omit it"),
        (pd.DataFrame(U), TypeError, "X_unlabeled must have the type of X, ndarray, got DataFrame"),
        (csr_array(U), TypeError, "X_unlabeled must have the type of X"),
        (U.astype(np.uint8), TypeError, "X_unlabeled must have values on the scale of X, which is float64, got uint8"),
    ],
)
def test_unlabeled_rows_of_another_form(more, error, match):
    with pytest.raises(error, match=match):
        DistilledClassifier(GaussianNB(), NET).fit(X, y, more)


def test_image_files_without_labels():
    files = [encode(seed) for seed in range(12)]
    student = FineTuneClassifier("tiny32", max_epochs=1, random_state=0)
    model = DistilledClassifier(student, student).fit(files[:8], np.arange(8) % 2, X_unlabeled=files[8:])
    assert model.predict(files).shape == (12,)
    with pytest.raises(ValueError, match=r"X_unlabeled .* one file or string each, got of shape \(16, 16, 3\)"):
        DistilledClassifier(student, student).fit(files[:8], np.arange(8) % 2, np.zeros((2, 16, 16, 3), np.uint8))


def encode(seed):
    file, Image = io.BytesIO(), pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue() + bytes(seed)  # zeros at the end, as some cameras write


def test_labels_of_minus_one_are_warned_of():
    marked = np.where(np.arange(150) < 50, -1, codes[:150])
    cure = re.escape("fit(X[y != -1], y[y != -1], X_unlabeled=X[y == -1])")
    with pytest.warns(UnlabeledRowsWarning, match=f"y holds -1, which is learned as a class: .*{cure}") as caught:
        model = DistilledClassifier(FOREST, NET).fit(X, marked)
    assert_array_equal(model.classes_, [-1, 0, 1, 2])
    assert caught[0].filename == __file__


@pytest.mark.parametrize("kind", ["two classes", "other numbers", "floats", "unlabeled rows", "frozen teacher"])
def test_labels_of_minus_one_that_are_a_class(kind):
    marked = np.where(np.arange(150) < 50, -1, codes[:150])
    marked = {"two classes": np.sign(marked * 2 + 1), "other numbers": marked * 2, "floats": marked * 1.0}.get(
        kind, marked
    )
    teacher = FrozenEstimator(clone(FOREST).fit(X, marked)) if kind == "frozen teacher" else FOREST
    model = DistilledClassifier(teacher, NET).fit(X, marked, X_unlabeled=U if kind == "unlabeled rows" else None)
    assert model.classes_[0] == marked.min()


@pytest.mark.parametrize("labels", [np.zeros(150, int), np.full(150, "ant")])
def test_one_class(labels):
    with pytest.raises(ValueError, match="DistilledClassifier requires at least two classes in y, got one class: "):
        DistilledClassifier(GaussianNB(), NET).fit(X, labels, U)


def test_a_teacher_of_several_values():
    teacher = FrozenEstimator(Ridge().fit(Xr, np.stack([yr, yr], axis=1)))
    with pytest.raises(ValueError, match="teacher must predict as many values per row as y has, 1, got 2"):
        DistilledRegressor(teacher, Ridge()).fit(Xr, yr)


def test_unlabeled_rows_with_other_names():
    table = pd.DataFrame(X, columns=list("abcdefgh"))
    with pytest.raises(ValueError, match="X_unlabeled must have the columns of X in the same order"):
        DistilledClassifier(GaussianNB(), NET).fit(table, y, table[list("bacdefgh")])


def test_errors_name_the_part():
    with pytest.raises(ValueError, match="NaN") as error:
        DistilledClassifier(GaussianNB(), NET).fit(X, y, np.full((3, 8), np.nan))
    assert "X_unlabeled" in error.value.__notes__[0]
    with pytest.raises(ValueError, match="teacher must be a classifier"):
        DistilledClassifier(Ridge(), NET).fit(X, y)
    with pytest.raises(TypeError, match="teacher must be an instance"):
        DistilledClassifier(GaussianNB, NET).fit(X, y)
    with pytest.raises(ValueError, match="y must hold one class per row, got 2 labels"):
        DistilledClassifier(GaussianNB(), NET).fit(X, np.eye(2, dtype=int)[np.arange(150) % 2])
    with pytest.raises(ValueError, match="NaN"):
        DistilledClassifier(GaussianNB(), NET).fit(X, y).predict(np.full((3, 8), np.nan))


def test_a_failed_fit_changes_nothing():
    model = DistilledClassifier(GaussianNB(), NET).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="learning rate|lr"):
        model.set_params(student__lr=-1).fit(X, y)
    assert {name: vars(model)[name] for name in before if name.endswith("_")} == {
        name: value for name, value in before.items() if name.endswith("_")
    }


def test_bars_of_teacher_and_student(bars):
    DistilledClassifier(GaussianNB(), NetClassifier(max_epochs=1), verbose=1).fit(X, y)
    assert bars == [("members", 6, 6), ("student", 2, 2)]
