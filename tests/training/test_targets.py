import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, r2_score

import sktricks
from sktricks import NetClassifier, NetRegressor, OneHotTargetWarning
from sktricks.training._targets import check_probabilities, find_classes, read_classification

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
EVENTS = (X[:, :3] > 0).astype(int)
FAST = {"max_epochs": 15, "batch_size": 20, "lr": 1e-2, "net_params": {"module__width": 16}, "random_state": 0}


def classifier(**params):
    return NetClassifier(**{**FAST, **params})


def regressor(**params):
    return NetRegressor(**{**FAST, **params})


# the pure functions


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        ([0, 1, 2], "classes"),
        (["a", "b", "a"], "classes"),
        ([0.0, 1.0, 2.0], "classes"),
        ([True, False, True], "classes"),
        ([[1, 0], [0, 1], [1, 1]], "multilabel"),
        ([[0.5, 0.5], [0.1, 0.9]], "soft"),
    ],
)
def test_kinds(y, kind):
    assert read_classification(np.array(y))[0] == kind


@pytest.mark.parametrize(
    "y",
    [
        [[0.5, 0.6], [0.1, 0.9]],
        [[-0.1, 1.1], [0.5, 0.5]],
    ],
)
def test_probabilities_that_are_none(y):
    with pytest.raises(ValueError, match="sum to 1 in each row; got numbers from"):
        read_classification(np.array(y))
    with pytest.raises(ValueError, match="class probabilities"):
        check_probabilities(np.array(y))


def test_values_are_no_labels():
    with pytest.raises(ValueError, match="continuous"):
        read_classification(np.array([0.3, 1.7, 2.2]))


def test_classes_are_sorted():
    classes = find_classes("classes", np.array(["b", "a", "b"]), None, "Net")
    np.testing.assert_array_equal(classes, ["a", "b"])


# labels


@pytest.mark.parametrize(
    "names",
    [
        np.array(["low", "mid", "high"]),
        np.array(["low", "mid", "high"], object),
        np.array([-5, 10, 3]),
        np.array([0.0, 2.0, 1.0]),
    ],
)
def test_labels_of_every_kind_come_back(names):
    y = names[LABELS]
    net = classifier().fit(X, y)
    np.testing.assert_array_equal(net.classes_, np.unique(names))
    assert net.predict(X).dtype == y.dtype and net.score(X, y) > 0.9
    proba = net.predict_proba(X)
    assert proba.shape == (80, 3)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(net.classes_[proba.argmax(1)], net.predict(X))


def test_order_of_the_names_does_not_matter_to_what_is_learned():
    plain, named = classifier().fit(X, LABELS), classifier().fit(X, np.array(["a", "b", "c"])[LABELS])
    np.testing.assert_array_equal(plain.predict_proba(X), named.predict_proba(X))


def test_booleans():
    net = classifier().fit(X, LABELS > 0)
    assert net.predict(X).dtype == bool and net.score(X, LABELS > 0) > 0.9


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="at least two classes in y, got one class: 7"):
        classifier().fit(X, np.full(80, 7))


def test_weights_that_leave_one_class_are_an_error():
    with pytest.raises(ValueError, match="must leave at least two classes, got .* only for the class 1"):
        classifier().fit(X, LABELS, sample_weight=LABELS == 1)


def test_one_row_is_an_error():
    with pytest.raises(ValueError, match="minimum of 2"):
        classifier().fit(X[:1], LABELS[:1])
    with pytest.raises(ValueError, match="minimum of 2"):
        regressor().fit(X[:1], X[:1, 0])


@pytest.mark.parametrize("y", [LABELS[:-1], np.r_[LABELS, 0]])
def test_lengths_that_differ(y):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier().fit(X, y)


def test_y_is_needed():
    with pytest.raises(ValueError, match="requires y"):
        classifier().fit(X, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_none(bad):
    y = X[:, 0].copy()
    y[3] = bad
    with pytest.raises(ValueError, match="y contains|y must have no missing"):
        regressor().fit(X, y)


@pytest.mark.parametrize("gap", [np.nan, None, pd.NA])
def test_an_error_names_the_rows_without_a_label(gap):
    message = r"y must have no missing labels or values \(NaN, None\), got 2, in the rows 3, 5: drop these rows"
    strings = LABELS.astype(str).astype(object)
    strings[[3, 5]] = gap
    numbers = pd.Series(LABELS).astype("Int64")
    numbers[[3, 5]] = gap
    for y in (strings, pd.Series(strings), pd.Series(strings, dtype="string"), numbers):
        with pytest.raises(ValueError, match=message):
            classifier().fit(X, y)
    with pytest.raises(ValueError, match=message):
        regressor().fit(X, numbers)
    with pytest.raises(ValueError, match="^y_val must have no missing"):
        classifier().fit(X, LABELS, X_val=X, y_val=strings)


def test_a_label_that_is_missing_from_validation_rows_is_fine_and_a_new_one_an_error():
    classifier().fit(X, LABELS, X_val=X[LABELS == 1], y_val=LABELS[LABELS == 1])
    with pytest.raises(ValueError, match="not among the classes"):
        classifier().fit(X, LABELS, X_val=X, y_val=LABELS + 1)


# class weights


def test_class_weight_equals_weights_of_rows():
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    by_class = classifier(class_weight=weights).fit(X, LABELS)
    by_row = classifier().fit(X, LABELS, sample_weight=[weights[label] for label in LABELS])
    np.testing.assert_array_equal(by_class.predict_proba(X), by_row.predict_proba(X))
    assert not np.allclose(by_class.predict_proba(X), classifier().fit(X, LABELS).predict_proba(X))


def test_class_weight_by_name_and_times_sample_weight():
    y, weight = np.array(["a", "b", "c"])[LABELS], RNG.random(80)
    named = classifier(class_weight={"a": 3, "b": 1, "c": 1}).fit(X, y, sample_weight=weight)
    direct = classifier().fit(X, y, sample_weight=weight * np.where(y == "a", 3, 1))
    np.testing.assert_array_equal(named.predict_proba(X), direct.predict_proba(X))


def test_balanced_moves_a_rare_class_up():
    rare = np.arange(80) % 8 == 0  # independent of X
    proba = [classifier(class_weight=w, max_epochs=10).fit(X, rare).predict_proba(X)[:, 1] for w in (None, "balanced")]
    assert proba[0].mean() < 0.3 and 0.4 < proba[1].mean() < 0.6


# several labels


@pytest.mark.parametrize("dtype", [int, float, bool])
def test_one_hot_rows_are_several_labels_with_a_warning(dtype):
    told = r"y of NetClassifier has 0/1 columns with exactly one 1 .* treated as independent labels.*y.argmax\(axis=1\)"
    with pytest.warns(OneHotTargetWarning, match=told) as caught:
        net = classifier(max_epochs=1).fit(X, np.eye(3)[LABELS].astype(dtype))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert net.predict_proba(X).shape == (80, 3) and net.predict_proba(X).sum(axis=1).std() > 0


@pytest.mark.parametrize("y", [EVENTS, np.maximum(np.eye(3)[LABELS], np.eye(3)[::-1][LABELS]), np.eye(80, 3)])
def test_several_labels_without_a_warning(y):
    classifier(max_epochs=1).fit(X, y)


# soft targets


def test_certain_soft_targets_equal_labels():
    onehot = np.eye(3)[LABELS]
    onehot[0] = [0.999999, 5e-7, 5e-7] if LABELS[0] == 0 else onehot[0] * 0.999999 + 1e-6 / 3
    soft, hard = classifier().fit(X, onehot), classifier().fit(X, LABELS)
    np.testing.assert_allclose(soft.predict_proba(X), hard.predict_proba(X), atol=1e-3)


def test_soft_targets_are_what_is_learned():
    target = np.tile([0.2, 0.5, 0.3], (80, 1))
    net = classifier(max_epochs=40, weight_decay=0).fit(X, target)
    np.testing.assert_array_equal(net.classes_, [0, 1, 2])
    np.testing.assert_allclose(net.predict_proba(X), target, atol=0.03)
    assert set(net.predict(X)) == {1}


def test_soft_targets_of_another_width_are_an_error():
    net = classifier(max_epochs=1).partial_fit(X, np.tile([0.2, 0.5, 0.3], (80, 1)))
    with pytest.raises(ValueError, match="y must have 3 columns, one per class, got 2"):
        net.partial_fit(X, np.tile([0.4, 0.6], (80, 1)))
    with pytest.raises(ValueError, match="y must have soft targets, as in .*, got classes targets"):
        net.partial_fit(X, LABELS)


def test_label_smoothing_draws_probabilities_in():
    sharp, smooth = (classifier(label_smoothing=s, max_epochs=40).fit(X, LABELS).predict_proba(X) for s in (0, 0.3))
    assert sharp.max(1).mean() > 0.95 and smooth.max(1).max() < 0.95


# several labels


def test_several_labels():
    net = classifier(max_epochs=40).fit(X, EVENTS)
    proba, labels = net.predict_proba(X), net.predict(X)
    assert proba.shape == labels.shape == (80, 3)
    np.testing.assert_array_equal(labels, (proba > 0.5).astype(int))
    assert np.issubdtype(labels.dtype, np.integer) and (labels == EVENTS).mean() > 0.95
    assert np.ptp(proba.sum(1)) > 0.5  # they do not sum to 1
    assert net.score(X, EVENTS) == (labels == EVENTS).all(1).mean()


def test_several_labels_smoothed():
    proba = classifier(max_epochs=40, label_smoothing=0.4).fit(X, EVENTS).predict_proba(X)
    assert 0.75 < proba[EVENTS == 1].mean() < 0.85 and 0.15 < proba[EVENTS == 0].mean() < 0.25


def test_several_labels_early_stopping_and_partial_fit():
    net = classifier(early_stopping=True, n_iter_no_change=3).fit(X, EVENTS)
    assert net.predict(X).shape == EVENTS.shape
    assert classifier().partial_fit(X, EVENTS).partial_fit(X, EVENTS).predict(X).shape == EVENTS.shape


def test_several_labels_of_another_width_are_an_error():
    net = classifier(max_epochs=1).partial_fit(X, EVENTS)
    with pytest.raises(ValueError, match="y must have 3 columns"):
        net.partial_fit(X, EVENTS[:, :2])


# values


def test_shapes_of_values():
    one, several = X[:, 0] * 3 + 100, X[:, :2] @ [[1.0, 2.0, 0.0], [0.0, 1.0, -1000.0]]
    assert regressor().fit(X, one).predict(X).shape == (80,)
    assert regressor().fit(X, one[:, None]).predict(X).shape == (80, 1)
    net = regressor(max_epochs=100).fit(X, several)
    assert net.predict(X).shape == (80, 3)
    assert (r2_score(several, net.predict(X), multioutput="raw_values") > 0.95).all()  # for all scales


def test_integers_are_values():
    net = regressor(max_epochs=40).fit(X, LABELS)
    assert net.predict(X).dtype.kind == "f" and net.score(X, LABELS) > 0.8


@pytest.mark.parametrize("loss", ["auto", "squared_error", "absolute_error", "huber"])
def test_losses_do_not_care_for_the_unit(loss):
    small, large = (regressor(loss=loss).fit(X, X[:, 0] * unit + 5 * unit).predict(X) for unit in (1, 1024))
    np.testing.assert_allclose(large / 1024, small, rtol=1e-6)


def test_a_constant_target():
    np.testing.assert_allclose(regressor().fit(X, np.full(80, 3.0)).predict(X), 3, atol=0.05)
    wide = regressor().fit(X, np.full(80, 1e9)).predict(X)
    np.testing.assert_allclose(wide, 1e9, atol=1)


def test_scale_follows_the_weights():
    y = np.where(np.arange(80) < 40, X[:, 0], 1e6)
    net = regressor(max_epochs=60).fit(X, y, sample_weight=np.arange(80) < 40)
    assert net.score(X[:40], y[:40]) > 0.9


def test_targets_of_other_dimensions_are_an_error():
    net = regressor().partial_fit(X, X[:, 0])
    with pytest.raises(ValueError, match="as many dimensions as in the first fit, got shape"):
        net.partial_fit(X, X[:, :2])


def test_targets_of_another_width_are_an_error():
    net = regressor().partial_fit(X, X[:, :3])
    with pytest.raises(ValueError, match="y must have 3 columns as in the first fit, got 2"):
        net.partial_fit(X, X[:, :2])
    with pytest.raises(ValueError, match="y must have 3 columns as in the first fit, got 1"):
        net.partial_fit(X, X[:, :1])


def test_validation_loss_is_in_the_unit_of_the_training_loss():
    net = regressor().fit(X, X[:, 0] * 1000, X_val=X, y_val=X[:, 0] * 1000)
    assert net.net_.history[-1, "valid_loss"] < 1


def test_validation_loss_is_log_loss():
    net = classifier().fit(X[:60], LABELS[:60], X_val=X[60:], y_val=LABELS[60:])
    assert net.net_.history[-1, "valid_loss"] == pytest.approx(log_loss(LABELS[60:], net.predict_proba(X[60:])))


@pytest.mark.parametrize("convert", [np.asarray, list, lambda y: np.asarray(y, object)])
def test_classes_as_values_are_an_error_that_names_the_classifier(convert):
    y = convert(np.array(["ant", "bee"])[LABELS % 2])
    for name in ("Net", "FineTune"):
        expected = rf"y must contain numbers, got '(ant|bee)': for classes use {name}Classifier$"
        with pytest.raises(ValueError, match=expected):
            getattr(sktricks, f"{name}Regressor")().fit(X, y)
    assert regressor(max_epochs=1).fit(X, np.asarray(["1.5", "2"] * 40, object)).predict(X).dtype == np.float64
