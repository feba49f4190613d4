import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktricks import (
    ChannelsKeptWarning,
    DistilledClassifier,
    FineTuneClassifier,
    FineTuneRegressor,
    NetClassifier,
    NetRegressor,
    RandomCrop,
    load,
    prune,
    save,
)
from sktricks.deploy._prune import split_amount
from sktricks.training._narrow import parameters_replaced

X, y = load_digits(return_X_y=True)
X, y, X_new = X[:200].astype(np.float32), y[:200], X[200:300].astype(np.float32)
IMAGES = X.reshape(-1, 8, 8).astype(np.uint8)
ANY = {"max_score_drop": 1.0, "max_epochs": 1}  # whatever the score is


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU())

    def forward(self, x):
        return self.body(self.stem(x)).mean((2, 3))


def on_table(**params):
    return NetClassifier(**{"max_epochs": 4, "random_state": 0, **params})


def on_images(**params):
    return FineTuneClassifier(Small, **{"strategy": "fine-tune", "max_epochs": 2, "random_state": 0, **params})


@pytest.fixture(scope="module")
def net():
    return on_table().fit(X, y)


@pytest.fixture(scope="module")
def small(net):
    return prune(net, X, y, amount=0.5, **ANY)


def test_what_is_returned(net, small):
    report = small.pruning_
    n_before, n_after = (sum(p.numel() for p in one.net_.module_.parameters()) for one in (net, small))
    assert (report.amount, report.n_parameters_before, report.n_parameters_after) == (0.5, n_before, n_after)
    assert n_after < 0.3 * n_before and type(small) is NetClassifier and report.kept_layers == []
    assert [amount for amount, _ in report.scores] == [0.0, 0.25, 0.5]
    assert small.n_iter_ == net.n_iter_ + 2 and small.max_epochs == 4
    assert small.score(X, y) > 0.9


def test_the_estimator_stays_as_it_was(net):
    before, content = net.predict_proba(X), pickle.dumps(net)
    prune(net, X, y, amount=0.5, **ANY)
    assert pickle.dumps(net) == content and np.array_equal(net.predict_proba(X), before)


def test_the_result_is_reproducible(net, small):
    assert np.array_equal(prune(net, X, y, amount=0.5, **ANY).predict_proba(X_new), small.predict_proba(X_new))


def test_scores_are_those_of_a_net_that_has_not_seen_the_rows(net):
    seen = []

    def score(model, rows, labels):
        seen.append((model, rows, labels))
        return model.score(rows, labels)

    report = prune(net, X, y, scoring=score, validation_fraction=0.25, **ANY).pruning_
    trial, rows, labels = seen[0]
    assert len(rows) == 50 and np.bincount(labels).min() >= 4  # of each class
    others = np.array([not (row == rows).all(1).any() for row in X])
    assert np.array_equal(trial.predict_proba(X_new), clone(net).fit(X[others], y[others]).predict_proba(X_new))
    assert report.scores[0] == (0.0, trial.score(rows, labels))


def test_a_frozen_estimator_is_judged_and_pruned_itself(net):
    report = prune(FrozenEstimator(net), X, y, scoring=lambda model, *rows: float(model is net), **ANY).pruning_
    assert [score for _, score in report.scores] == [1.0, 0.0, 0.0]


def test_the_steps_end_where_the_score_falls(net):
    scores = iter([0.9, 0.89, 0.88])
    with pytest.warns(ChannelsKeptWarning, match="25% of the channels instead of amount=0.5: at 50% .*0.9000 to 0.88"):
        pruned = prune(net, X, y, amount=0.5, scoring=lambda *given: next(scores), max_score_drop=0.015)
    assert pruned.pruning_.amount == 0.25
    assert pruned.pruning_.scores == [(0.0, 0.9), (0.25, 0.89), (0.5, 0.88)]
    assert pruned.net_.module_.embed.out_features == 96


def test_no_step_is_good_enough(net):
    scores = iter([0.9, float("nan")])
    with pytest.warns(ChannelsKeptWarning, match="removed 0% of the channels"):
        pruned = prune(net, X, y, amount=0.5, scoring=lambda *given: next(scores))
    assert pruned is not net and np.array_equal(pruned.predict_proba(X), net.predict_proba(X))
    report = pruned.pruning_
    assert report.amount == 0 and report.n_parameters_before == report.n_parameters_after
    assert not hasattr(net, "pruning_")


def test_without_held_out_rows(net):
    pruned = prune(net, X, y, amount=0.25, max_score_drop=None, max_epochs=1)
    assert pruned.pruning_.scores == [] and pruned.n_iter_ == net.n_iter_ + 1


def test_max_epochs_auto_is_half_of_those_of_fit(net):
    assert prune(net, X, y, amount=0.25, max_score_drop=None).n_iter_ == net.n_iter_ + 2


@pytest.mark.parametrize(("amount", "steps"), [(0.2, [0.2]), (0.3, [0.15, 0.3]), (0.75, [0.25, 0.5, 0.75])])
def test_steps(amount, steps):
    assert split_amount(amount) == pytest.approx(steps)


# -- what can be pruned ------------------------------------------------------------------------------------------------


def test_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), on_table()).fit(X, y)
    pruned = prune(pipeline, X, y, amount=0.5, **ANY)
    assert pruned is not pipeline and pruned[0] is not pipeline[0] and not hasattr(pipeline[-1], "pruning_")
    assert pruned[-1].pruning_.amount == 0.5 and pruned.score(X, y) > 0.9


def test_the_best_of_a_search():
    search = GridSearchCV(on_table(), {"lr": [2e-3]}, cv=2).fit(X, y)
    pruned = prune(search, X, y, **ANY)
    assert type(pruned) is NetClassifier and pruned.pruning_.amount == 0.3


def test_a_regressor_of_several_outputs():
    table, values = load_diabetes(return_X_y=True)
    targets = np.column_stack([values, -values])
    pruned = prune(NetRegressor(max_epochs=4, random_state=0).fit(table, targets), table, targets, amount=0.5, **ANY)
    assert pruned.predict(table).shape == targets.shape and pruned.score(table, targets) > 0.3


def test_several_labels_per_row():
    table, labels = make_multilabel_classification(100, random_state=0)
    pruned = prune(NetClassifier(max_epochs=2, random_state=0).fit(table, labels), table, labels, **ANY)
    assert pruned.predict(table).shape == labels.shape


def test_views_augmenters_and_early_stopping_stay():
    net = on_images(augmenter=RandomCrop(padding=1), predict_views=2, early_stopping=True, validation_fraction=0.2)
    net.fit(IMAGES, y)
    pruned = prune(net, IMAGES, y, amount=0.5, max_score_drop=None, max_epochs=1)
    assert pruned.predict_proba(IMAGES).shape == (200, 10) and len(pruned._views) == 2


@pytest.mark.parametrize("strategy", ["fine-tune", "lp-ft", "gradual"])
def test_fine_tuned_nets(strategy, tmp_path):
    net = on_images(strategy=strategy, stages=["stem", "body"], max_epochs=6, batch_size=25, lr=5e-3)
    pruned = prune(net.fit(IMAGES, y), IMAGES, y, amount=0.5, max_score_drop=None)
    assert pruned.strategy_ == strategy and pruned.score(IMAGES, y) > 0.6
    save(pruned, tmp_path / "net")
    again = load(tmp_path / "net", backbone=Small)
    assert np.array_equal(again.predict_proba(IMAGES), pruned.predict_proba(IMAGES))
    assert again.pruning_ == pruned.pruning_ and again.n_trainable_parameters_ == pruned.n_trainable_parameters_


def test_a_fine_tuned_net_on_a_table():
    net = FineTuneRegressor(max_epochs=2, random_state=0)
    with pytest.warns(UserWarning, match="no pretrained net exists"):
        net.fit(X, y)
    assert prune(net, X, y, amount=0.5, max_score_drop=None).pruning_.amount == 0.5


# -- afterwards --------------------------------------------------------------------------------------------------------


def test_saved_loaded_and_pickled(small, tmp_path):
    save(small, tmp_path / "net")
    for again in (load(tmp_path / "net"), pickle.loads(pickle.dumps(small))):
        assert np.array_equal(again.predict_proba(X_new), small.predict_proba(X_new))
        assert again.pruning_ == small.pruning_
        again.partial_fit(X, y)
        assert again.net_.module_.embed.out_features == 64


def test_a_forged_archive_does_not_build_a_large_net(small, tmp_path):
    forged = pickle.loads(pickle.dumps(small))
    forged.set_params(net_params={"module__width": 2**14})
    forged._built_with["net_params"] = "{'module__width': 16384}"
    save(forged, tmp_path / "net")
    with pytest.raises(ValueError, match="must have all weights of its net"):
        load(tmp_path / "net")


def test_an_archive_whose_layers_do_not_fit_each_other_is_an_error(small, tmp_path):
    forged = pickle.loads(pickle.dumps(small))
    block = forged._net.module_.blocks[0]
    with parameters_replaced(forged._net):
        block.contract = nn.Linear(100, block.contract.out_features)
    save(forged, tmp_path / "net")
    with pytest.raises(ValueError, match="is not a valid archive"):
        load(tmp_path / "net")


def test_training_goes_on_with_the_pruned_net_and_fit_starts_a_whole_one(net, small):
    again = pickle.loads(pickle.dumps(small))
    again.set_params(warm_start=True).fit(X, y)
    assert again.net_.module_.embed.out_features == 64 and again.pruning_ == small.pruning_
    again.set_params(warm_start=False).fit(X, y)
    assert not hasattr(again, "pruning_") and np.array_equal(again.predict_proba(X), net.predict_proba(X))
    assert not hasattr(clone(small), "pruning_")


def test_pruned_again(net):
    once = prune(net, X, y, amount=0.25, max_score_drop=None, max_epochs=1)
    with pytest.raises(ValueError, match="must not have been pruned before"):
        prune(once, X, y)
    twice = prune(once, X, y, amount=0.25, max_score_drop=None, max_epochs=1)
    assert twice.pruning_.amount == pytest.approx(1 - 0.75**2)
    assert twice.pruning_.n_parameters_before == once.pruning_.n_parameters_before
    assert twice.net_.module_.embed.out_features == 72


@pytest.mark.parametrize("fit", [lambda: on_table().fit(X, y), lambda: on_images().fit(IMAGES, y)], ids=["mlp", "own"])
def test_the_exported_net_predicts_the_same(fit, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from sktricks import export_onnx, load_onnx

    net = fit()
    rows = IMAGES if net.image_shape_ else X
    pruned = prune(net, rows, y, amount=0.5, max_score_drop=None, max_epochs=1)
    assert export_onnx(pruned, tmp_path / "net.onnx", rows[:50]).largest_difference < 1e-5
    assert np.array_equal(load_onnx(tmp_path / "net.onnx").predict(rows), pruned.predict(rows))


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        *[{"amount": value} for value in (0, -0.1, 0.91, 1, float("nan"), "half", None, True)],
        *[{"max_score_drop": value} for value in (-0.1, float("nan"), "none", True)],
        *[{"validation_fraction": value} for value in (0, 1, 1.5, None)],
        *[{"max_epochs": value} for value in (0, 1.5, None, "all", True)],
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_an_error(net, params):
    ((name, value),) = params.items()
    with pytest.raises(ValueError, match=f"{name} must .*got {value!r}"):
        prune(net, X, y, **params)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        NetClassifier,
        make_pipeline(StandardScaler(), LogisticRegression()),
        FrozenEstimator(LogisticRegression()),
    ],
    ids=["linear", "class", "pipeline", "frozen"],
)
def test_what_is_no_net_is_an_error(estimator):
    with pytest.raises(
        TypeError, match="estimator must be a FineTuneClassifier.* got (LogisticRegression|NetClassifier)"
    ):
        prune(estimator, X, y)


def test_the_student_of_a_distilled_model():
    teacher = LogisticRegression(max_iter=200)
    model = DistilledClassifier(teacher, on_table()).fit(X, y)
    with pytest.raises(TypeError, match=r"got DistilledClassifier: prune its net, model.student_ = prune\("):
        prune(model, X, y)
    proba = model.predict_proba(X)
    with pytest.raises(ValueError, match="scoring must be a callable for a net that was fitted on class probabilities"):
        prune(model.student_, X, proba)
    model.student_ = prune(model.student_, X, proba, max_score_drop=None, max_epochs=1)
    assert model.student_.pruning_.amount == 0.3 and model.score(X, y) > 0.8


def test_an_unfitted_net_is_an_error():
    with pytest.raises(NotFittedError):
        prune(on_table(), X, y)


@pytest.mark.parametrize("strategy", ["auto", "linear-probe"])
def test_a_linear_probe_is_an_error(strategy):
    net = on_images(strategy=strategy).fit(IMAGES[:60], y[:60])
    with pytest.raises(ValueError, match="strategy='fine-tune'"):
        prune(net, IMAGES, y)


@pytest.mark.parametrize("labels", [np.r_[y[:-1], 99], np.arange(200) // 5], ids=["one row", "many classes"])
def test_classes_that_cannot_be_held_out_are_an_error(labels):
    net = on_table(max_epochs=1).fit(X, labels)
    with pytest.raises(ValueError, match="validation_fraction must leave at least one row of each"):
        prune(net, X, labels, validation_fraction=0.1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_labels_in_a_column(net):
    """As ``fit`` takes them, too."""
    column = prune(net, X, y[:, None], **ANY).predict_proba(X_new)
    np.testing.assert_array_equal(column, prune(net, X, y, **ANY).predict_proba(X_new))


def test_rows_without_targets_are_an_error(net):
    with pytest.raises(ValueError, match="y must be the targets"):
        prune(net, X, None)


def test_layers_that_keep_their_channels_are_named():
    def make(n_features, n_outputs):
        parts = [nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, 32), nn.GroupNorm(4, 32), nn.Linear(32, n_outputs)]
        return nn.Sequential(*parts)

    net = NetClassifier(make, max_epochs=1, random_state=0).fit(X, y)
    with pytest.warns(ChannelsKeptWarning, match="could not remove channels from 2 and the layers that depend on them"):
        pruned = prune(net, X, y, **ANY)
    assert pruned.pruning_.kept_layers == ["2"]


def test_the_missing_package_is_named(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ImportError, match=r'torch-pruning is required.*pip install "sktricks\[prune\]"'):
        prune(net, X, y)


def test_bars_and_lines_of_steps(net, bars, caplog):
    prune(net, X, y, amount=0.3, verbose=1, **ANY)
    assert bars == [("prune: trial", 3, 3), ("prune", 2, 2)]
    prune(net, X, y, amount=0.2, max_score_drop=None, max_epochs=1, verbose=2)
    assert len(caplog.messages) == 1 and "20 % of the channels removed" in caplog.messages[0]
