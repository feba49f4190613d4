import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import accuracy_score, f1_score, get_scorer, make_scorer, mean_absolute_error
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sktricks import FineTuneClassifier, GaussianNoise, MixUp, NetClassifier, NetRegressor, find_lr

X, Y = make_classification(240, 6, n_informative=4, n_classes=3, random_state=0)
LABELS = np.array(["ink", "paper", "stone"])[Y]
VALUES = 1000 + 50 * X[:, 0] + 20 * X[:, 1]
SEVERAL = np.stack([Y == 0, X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
TRAIN, VALID = slice(0, 160), slice(160, 240)
SCORES = ["accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr", "balanced_accuracy"]


def history(net, name):
    return net.net_.history[:, name]


def fitted(net, *callbacks, y=LABELS, sample_weight=None, **params):
    net = net(max_epochs=3, callbacks=list(callbacks), random_state=0, **params)
    return net.fit(X[TRAIN], y[TRAIN], sample_weight, X_val=X[VALID], y_val=y[VALID])


@pytest.mark.parametrize("scoring", SCORES)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": {"ink": 2, "paper": 1, "stone": 3}, "sample_weight": np.linspace(0.5, 2, 160)},
        {"augmenter": MixUp(alpha=0.4)},
        {"augmenter": GaussianNoise(0.1), "label_smoothing": 0.1},
    ],
    ids=["plain", "weights", "mixed", "smoothed"],
)
def test_scores_of_an_epoch_are_those_of_the_estimator(scoring, params):
    net = fitted(NetClassifier, EpochScoring(scoring, lower_is_better=False), **params)
    expected = get_scorer(scoring)(net, X[VALID], LABELS[VALID])
    name = {"neg_log_loss": "log_loss", "roc_auc_ovr": "roc_auc_score"}.get(scoring, scoring)
    assert history(net, name if name in net.net_.history[-1] else scoring)[-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc", "f1", "average_precision", accuracy_score, None])
def test_two_classes_have_the_labels_of_y(scoring):
    y = 1 + (Y > 0)  # of which f1 takes label 1 as the positive one
    net = fitted(NetClassifier, EpochScoring(scoring, name="it"), y=y)
    scorer = make_scorer(scoring) if callable(scoring) else get_scorer(scoring or "accuracy")
    assert history(net, "it")[-1] == pytest.approx(scorer(net, X[VALID], y[VALID]), rel=1e-5)


@pytest.mark.parametrize(
    ("y", "of", "score"),
    [
        (0.9 * np.eye(3)[Y] + 0.1 / 3, lambda y: y.argmax(1), accuracy_score),
        (SEVERAL, lambda y: y, lambda y, found: f1_score(y, found, average="macro")),
    ],
    ids=["probabilities", "several labels"],
)
def test_other_kinds_of_targets(y, of, score):
    net = fitted(NetClassifier, EpochScoring(make_scorer(score), name="it"), y=y, label_smoothing=0.1)
    assert history(net, "it")[-1] == pytest.approx(score(of(y[VALID]), net.predict(X[VALID])))


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error", None])
@pytest.mark.parametrize("y", [VALUES, np.stack([VALUES, 7 * X[:, 2]], axis=1)], ids=["one", "two"])
@pytest.mark.parametrize("augmenter", [None, MixUp()], ids=["plain", "mixed"])
def test_scores_of_values_are_in_the_units_of_y(scoring, y, augmenter):
    net = fitted(NetRegressor, EpochScoring(scoring, name="it"), y=y, augmenter=augmenter)
    expected = get_scorer(scoring or "r2")(net, X[VALID], y[VALID])
    assert history(net, "it")[-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("augmenter", [None, MixUp()], ids=["plain", "mixed"])
def test_scores_of_training_rows_and_of_batches(augmenter):
    callbacks = [
        EpochScoring("accuracy", on_train=True, name="train"),
        BatchScoring("accuracy", name="batch"),
        BatchScoring("accuracy", on_train=True, name="train_batch"),
    ]
    net = fitted(NetClassifier, *callbacks, augmenter=augmenter, lr=1e-2)
    assert history(net, "batch")[-1] == pytest.approx(net.score(X[VALID], LABELS[VALID]))
    assert history(net, "train") == pytest.approx(history(net, "train_batch"))
    assert history(net, "train")[-1] > 0.5


def test_an_extractor_and_a_score_of_the_users_own():
    def mean_error(net, rows, y):
        return mean_absolute_error(y, net.predict(rows)[:, None])

    seen = []

    def extract(y):
        seen.append(y)
        return y.numpy() * 0

    net = fitted(NetRegressor, EpochScoring(mean_error, target_extractor=extract), y=VALUES)
    assert history(net, "mean_error")[-1] == pytest.approx(np.abs(net.predict(X[VALID])).mean(), rel=1e-5)
    assert isinstance(seen[0], torch.Tensor)


def test_scores_of_a_fine_tuned_net():
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8)).astype(np.uint8)
    labels = np.array(["ink", "paper"])[np.arange(24) % 2]
    net = FineTuneClassifier(strategy="linear-probe", max_epochs=3, callbacks=[EpochScoring("accuracy")])
    net.fit(images, labels, X_val=images, y_val=labels)
    assert history(net, "accuracy")[-1] == net.score(images, labels)


def test_early_stopping_by_a_score():
    callbacks = [EpochScoring("accuracy", lower_is_better=False), EarlyStopping("accuracy", patience=1, threshold=10)]
    net = fitted(NetClassifier, *callbacks)
    assert net.n_iter_ == 2


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (EarlyStopping(), r"EarlyStopping\(monitor='valid_loss'\) requires .* monitor='train_loss'"),
        (Checkpoint(), r"Checkpoint\(monitor='valid_loss_best'\) requires .* monitor='train_loss_best'"),
        (LRScheduler(ReduceLROnPlateau, monitor="valid_loss"), r"LRScheduler\(monitor='valid_loss'\) requires"),
        (("score", EpochScoring("accuracy")), r"EpochScoring\('accuracy'\) requires .* on_train=True"),
        (BatchScoring("accuracy"), r"BatchScoring\('accuracy'\) requires .* on_train=True"),
    ],
)
def test_what_needs_validation_rows_is_an_error_without_them(callback, message):
    net = NetClassifier(callbacks=[callback], max_epochs=2)
    message = "callbacks: " + message.replace(
        "requires .*", "requires validation rows, but this training has none: use early_stopping=True, or fit.*"
    )
    with pytest.raises(ValueError, match=message):
        net.fit(X, LABELS)
    with pytest.raises(ValueError, match=message):
        net.partial_fit(X, LABELS)


@pytest.mark.parametrize("callback", [EarlyStopping(), EpochScoring("accuracy")])
def test_a_range_test_leaves_out_what_needs_validation_rows(callback):
    net = NetClassifier(callbacks=[callback], early_stopping=True, lr="auto", max_epochs=2, random_state=0)
    assert net.fit(X, LABELS).lr_ > 0
    assert find_lr(net, X, LABELS).suggestion == net.lr_


@pytest.mark.parametrize("callback", [EarlyStopping("loss"), Checkpoint("loss"), EarlyStopping("accuracy")])
def test_a_monitor_that_nothing_records_is_an_error(callback):
    scoring = EpochScoring("accuracy", on_train=True)  # too late
    with pytest.raises(ValueError, match=f"callbacks: {type(callback).__name__} must monitor .*'train_loss'"):
        NetClassifier(callbacks=[callback, scoring], max_epochs=2).fit(X, LABELS)


def test_an_error_of_a_callback_itself_stays():
    class Broken(Callback):
        monitor = "train_loss"

        def on_epoch_end(self, net, **kwargs):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        NetClassifier(callbacks=[Broken()], max_epochs=2).fit(X, LABELS)


def test_scores_without_the_targets_of_an_epoch_are_an_error():
    with pytest.raises(ValueError, match=r"EpochScoring\('accuracy'\) must have use_caching=True, got"):
        fitted(NetClassifier, EpochScoring("accuracy", use_caching=False))


def test_checkpoints_are_written_and_the_best_comes_back(tmp_path):
    callbacks = [
        Checkpoint(dirname=str(tmp_path), load_best=True),
        TrainEndCheckpoint(dirname=str(tmp_path)),
        EpochScoring("accuracy"),
    ]
    noise = np.random.default_rng(0).permutation(LABELS)  # a net soon overfits it
    net = NetClassifier(max_epochs=30, lr=1e-2, callbacks=callbacks, random_state=0)
    net.fit(X[TRAIN], noise[TRAIN], X_val=X[VALID], y_val=noise[VALID])
    best = net.validation_loss_curve_[-1]  # whose epoch is the last one of the history that comes back
    assert len(net.validation_loss_curve_) < 30 and best == min(net.validation_loss_curve_)
    loss = -get_scorer("neg_log_loss")(net, X[VALID], noise[VALID])
    assert loss == pytest.approx(best, rel=1e-4)
    assert (tmp_path / "params.pt").exists() and (tmp_path / "train_end_params.pt").exists()


def test_a_table_is_printed_and_only_by_the_callback(capsys):
    fitted(NetClassifier, EpochScoring("accuracy"))
    assert capsys.readouterr().out == ""
    fitted(NetClassifier, EpochScoring("accuracy"), PrintLog())
    lines = capsys.readouterr().out.splitlines()
    assert {"epoch", "train_loss", "valid_loss", "accuracy", "lr"} <= set(lines[0].split()) and len(lines) == 5


def test_a_bar_over_the_batches(capsys):
    fitted(NetClassifier, ProgressBar(detect_notebook=False), batch_size=32)
    assert capsys.readouterr().err.count("| 0/8 [") == 3


@pytest.mark.parametrize("monitor", ["train_loss", "valid_loss"])
def test_a_schedule_that_monitors(monitor):
    callback = LRScheduler(ReduceLROnPlateau, monitor=monitor, patience=0, threshold=10, threshold_mode="abs")
    net = fitted(NetClassifier, callback, schedule="constant")
    assert net.lr_curve_ == pytest.approx([2e-3, 2e-3, 2e-4])


def test_the_users_callbacks_stay_as_they_are():
    mine = EpochScoring("accuracy")
    before = dict(vars(mine))
    fitted(NetClassifier, mine)
    assert vars(mine) == before


def test_diabetes_in_its_own_units():
    rows, y = load_diabetes(return_X_y=True)
    score = EpochScoring("neg_mean_absolute_error", on_train=True)
    net = NetRegressor(max_epochs=5, callbacks=[score], random_state=0).fit(rows, y)
    assert 30 < -history(net, "neg_mean_absolute_error")[-1] < 80
