import copy
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from torch import nn

import sktricks.training._inputs
import sktricks.training._make_net
from sktricks import (
    ColorJitter,
    FineTuneClassifier,
    FineTuneRegressor,
    FreezeLayers,
    FrozenPrefixNotCachedWarning,
    MixUp,
    NoPretrainedBackboneWarning,
    PretrainedFeatures,
    RandomCrop,
    RandomRotation,
    TrainingInterruptedWarning,
    ValueRangeWarning,
    load,
    load_backbone,
    make_augmentation_pipeline,
    save,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 2
NAMES = np.array(["dark", "light"])[LABELS]
NOISE = RNG.random((40, 8, 8)) * 100
GREY = (NOISE + np.where(LABELS == 1, 130, 25)[:, None, None]).astype(np.uint8)
COLOUR = np.stack([GREY, GREY // 2, 255 - GREY], 3)


class Conv(nn.Module):
    """A backbone with fixed weights."""

    seen = []  # the rows of each forward pass that hold anything

    def __init__(self, channels=1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(4, 6, 3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        Conv.seen.append(int((x.flatten(1) != 0).any(1).sum()))
        return self.second(self.drop(self.norm(self.first(x)).relu())).mean((2, 3))


def net(**params):
    return FineTuneClassifier(**{"backbone": Conv, "max_epochs": 5, "random_state": 0, **params})


def regressor(**params):
    return FineTuneRegressor(**{"backbone": Conv, "max_epochs": 5, "random_state": 0, **params})


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


STRATEGIES = pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune", "lp-ft", "gradual"])


# -- what it is for ----------------------------------------------------------------------------------------------------


@pytest.mark.pretrained
def test_the_bundled_net_beats_a_linear_model_on_a_few_digits():
    X, y = load_digits(return_X_y=True)
    few, rest = np.arange(50), slice(1000, 1300)
    pretrained = FineTuneClassifier(image_shape=(8, 8), random_state=0).fit(X[few], y[few])
    assert pretrained.backbone_.name == "tiny32" and pretrained.strategy_ == "linear-probe"
    linear = LogisticRegression(max_iter=1000).fit(X[few] / 16, y[few])
    assert pretrained.score(X[rest], y[rest]) > linear.score(X[rest] / 16, y[rest])


@STRATEGIES
def test_every_strategy_learns(strategy):
    fitted = net(strategy=strategy, max_epochs=20).fit(GREY, NAMES)
    assert fitted.strategy_ == strategy and fitted.score(GREY, NAMES) > 0.95
    np.testing.assert_array_equal(fitted.classes_, ["dark", "light"])


@STRATEGIES
def test_values(strategy):
    y = GREY.mean((1, 2)) * 10.0
    fitted = regressor(strategy=strategy, max_epochs=200).fit(GREY, y)
    assert fitted.score(GREY, y) > 0.5  # the mean alone scores 0
    assert regressor(strategy=strategy).fit(GREY, np.c_[y, -y]).predict(GREY).shape == (40, 2)


def test_several_labels_and_soft_targets():
    events = np.c_[LABELS, 1 - LABELS, LABELS]
    assert net(max_epochs=30).fit(GREY, events).predict(GREY).shape == (40, 3)
    soft = np.c_[0.1 + 0.8 * LABELS, 0.9 - 0.8 * LABELS]
    proba = net(max_epochs=200, lr=0.01).fit(GREY, soft).predict_proba(GREY)
    np.testing.assert_allclose(proba, soft, atol=0.15)


# -- layouts, dtypes, channels -----------------------------------------------------------------------------------------


@STRATEGIES
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_every_layout_gives_the_same(strategy, images):
    shape = images.shape[1:]
    layouts = [(images.reshape(40, -1), shape), (images.reshape(40, 8, 8, -1), None)]
    layouts += [(images, None), (images, shape)]
    results = [net(strategy=strategy, image_shape=shape).fit(X, LABELS).predict_proba(X) for X, shape in layouts]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_rows_at_fit_and_images_at_prediction():
    fitted = net(image_shape=(8, 8)).fit(GREY.reshape(40, 64), LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(GREY), fitted.predict_proba(GREY.reshape(40, 64)))


@STRATEGIES
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_dtypes_and_read_only(strategy, dtype):
    expected = net(strategy=strategy).fit(GREY, LABELS).predict_proba(GREY)
    images = GREY.astype(dtype)
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proba = net(strategy=strategy).fit(images, LABELS).predict_proba(images)
    np.testing.assert_array_equal(proba, expected)


def test_the_value_range_makes_no_difference_to_the_net():
    expected = net(value_range=(0, 255)).fit(GREY, LABELS).predict_proba(GREY)
    unit = net(value_range=(0, 1)).fit(GREY / 255, LABELS).predict_proba(GREY / 255)
    np.testing.assert_allclose(unit, expected, atol=1e-4)


def test_a_net_for_colour_takes_grey_and_the_reverse():
    three = net(backbone=lambda: Conv(3)).fit(GREY, LABELS)
    assert three.backbone_.model.first.in_channels == 3 and three.predict(GREY).shape == (40,)
    grey = net(backbone=lambda: Conv(1)).fit(COLOUR, LABELS)
    assert grey.predict(COLOUR).shape == (40,)


# -- the choice of the strategy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "freeze_until", "expected"),
    [
        (20, None, "linear-probe"),
        (400, None, "gradual"),
        (20, 0, "fine-tune"),
        (20, 0.5, "fine-tune"),
        (20, "second", "fine-tune"),
        (400, "head", "linear-probe"),
        (400, 1.0, "linear-probe"),
    ],
)
def test_auto(n_rows, freeze_until, expected):
    X = np.resize(GREY, (n_rows, 8, 8))
    fitted = net(freeze_until=freeze_until, max_epochs=1).fit(X, np.arange(n_rows) % 2)
    assert fitted.strategy_ == expected


def test_auto_counts_the_labels_of_a_class():
    X = np.resize(GREY, (400, 8, 8))
    assert net(max_epochs=1).fit(X, np.arange(400) % 40).strategy_ == "linear-probe"


def test_auto_of_a_regressor():
    assert regressor(max_epochs=1).fit(GREY, LABELS).strategy_ == "linear-probe"
    large = np.resize(GREY, (2000, 4, 4))
    small = lambda: nn.Sequential(nn.Conv2d(1, 2, 3))  # noqa: E731
    assert regressor(backbone=small, max_epochs=1).fit(large, np.arange(2000.0)).strategy_ == "gradual"


@pytest.mark.parametrize(
    ("strategy", "freeze_until"),
    [("linear-probe", 0), ("linear-probe", 0.5), ("linear-probe", "second"), ("fine-tune", 1.0), ("lp-ft", 1.0)],
)
def test_conflicts(strategy, freeze_until):
    with pytest.raises(ValueError, match=f"'{strategy}' cannot be combined with freeze_until={freeze_until!r}"):
        net(strategy=strategy, freeze_until=freeze_until).fit(GREY, LABELS)


@pytest.mark.parametrize("strategy", ["fine-tune", "lp-ft", "gradual"])
def test_head_turns_any_strategy_into_the_probe(strategy):
    fitted = net(strategy=strategy, freeze_until="head", max_epochs=3).fit(GREY, LABELS)
    probe = net(strategy="linear-probe", max_epochs=3).fit(GREY, LABELS)
    assert fitted.strategy_ == "linear-probe" and fitted.strategy == strategy
    np.testing.assert_array_equal(fitted.predict_proba(GREY), probe.predict_proba(GREY))


def test_a_grid_over_strategies_and_freezing():
    grid = {"strategy": ["auto", "fine-tune", "lp-ft", "gradual"], "freeze_until": [None, "second", "head"]}
    search = GridSearchCV(net(max_epochs=1), grid, cv=2, error_score="raise").fit(GREY, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("strategy", "freeze_until"), [("linear-probe", "head"), ("linear-probe", 1.0), ("fine-tune", 0), ("fine-tune", 1)]
)
def test_agreement(strategy, freeze_until):
    fitted = net(strategy=strategy, freeze_until=freeze_until, max_epochs=1).fit(GREY, LABELS)
    assert fitted.strategy_ == strategy


def test_settings_are_the_strategys_unless_they_are_given():
    probe, tuned = (net(strategy=s, max_epochs=None).fit(GREY, LABELS) for s in ("linear-probe", "fine-tune"))
    assert isinstance(probe.net_.optimizer_, torch.optim.SGD) and isinstance(tuned.net_.optimizer_, torch.optim.AdamW)
    assert probe.n_iter_ > tuned.n_iter_ > 1 and probe.lr is None and probe.max_epochs is None
    own = net(strategy="linear-probe", optimizer="adam", lr=0.3, weight_decay=0.2, batch_size=7).fit(GREY, LABELS)
    maps, biases = own.net_.optimizer_.param_groups
    assert isinstance(own.net_.optimizer_, torch.optim.Adam) and own.net_.batch_size == 7 and own.n_iter_ == 5
    assert maps["initial_lr"] == biases["initial_lr"] == 0.3
    assert (maps["weight_decay"], biases["weight_decay"]) == (0.2, 0.0)


def test_a_linear_probe_has_no_rates_for_the_backbone():
    for name, value in {"backbone_lr_scale": 0.5, "layer_decay": 0.9}.items():
        with pytest.raises(ValueError, match=f"{name}={value} cannot be combined with the strategy 'linear-probe'"):
            net(**{name: value}).fit(GREY, LABELS)
        assert net(strategy="fine-tune", **{name: value}).fit(GREY, LABELS).n_iter_ == 5


def test_the_head_is_trained_before_the_rest():
    """After the first phase, one epoch at a tiny rate suffices; without it, the head would still be zero."""
    scores = {
        s: net(strategy=s, max_epochs=1, lr=1e-9).fit(GREY, LABELS).score(GREY, LABELS) for s in ("lp-ft", "fine-tune")
    }
    assert scores["lp-ft"] > 0.9 > scores["fine-tune"]


def test_the_first_phase_trains_the_head_alone_and_only_once():
    fitted = net(strategy="lp-ft", max_epochs=1, lr=1e-12, weight_decay=0.0, optimizer="sgd", warm_start=True)
    fitted.fit(GREY, LABELS)
    torch.testing.assert_close(fitted.backbone_.model.first.weight, Conv().first.weight)
    head = state(fitted.net_.module_.head)
    again = state(fitted.fit(GREY, LABELS).net_.module_.head)
    assert all(torch.allclose(head[name], again[name], atol=1e-9) for name in head)
    assert fitted.n_iter_ == 2 and len(fitted.net_.history) == 2


def test_an_interruption_of_the_first_phase_ends_both(monkeypatch):
    import sktricks.transfer._probe

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(sktricks.transfer._probe, "make_net", interrupt)
    fitted = net(strategy="lp-ft")
    with pytest.warns(TrainingInterruptedWarning, match="after 0 of 5 epochs"):
        fitted.fit(GREY, LABELS)
    assert fitted.predict(GREY).shape == (40,)


class Watch(Callback):
    """Records the number of trainable layers of the backbone in each epoch."""

    def on_batch_begin(self, net, training=None, **kwargs):
        if training:
            model = net.module_.backbone.model
            parts = [part for part in model.modules() if list(part.parameters(recurse=False))]
            trained = [type(part).__name__ for part in parts if next(part.parameters(recurse=False)).requires_grad]
            net.history.record("trained", trained)


@pytest.mark.parametrize(
    ("freeze_until", "expected"),
    [
        (None, {0: [], 1: ["Conv2d"], 3: ["BatchNorm2d", "Conv2d"], 4: ["Conv2d", "BatchNorm2d", "Conv2d"]}),
        ("norm", {0: [], 2: ["Conv2d"], 4: ["BatchNorm2d", "Conv2d"]}),
    ],
)
def test_gradual_thaws_stage_by_stage(freeze_until, expected):
    fitted = net(strategy="gradual", freeze_until=freeze_until, max_epochs=8, callbacks=[Watch()]).fit(GREY, LABELS)
    trained = fitted.net_.history[:, "trained"]
    changes = {k: now for k, now in enumerate(trained) if k == 0 or now != trained[k - 1]}
    assert changes == expected


def test_gradual_goes_on_thawing_over_several_fits():
    once = net(strategy="gradual", max_epochs=4, schedule="constant", callbacks=[Watch()]).fit(GREY, LABELS)
    fitted = net(strategy="gradual", max_epochs=4, callbacks=[Watch()])
    for _ in range(4):
        fitted.partial_fit(GREY, LABELS)
    assert fitted.net_.history[:, "trained"] == once.net_.history[:, "trained"]
    assert len({len(names) for names in once.net_.history[:, "trained"]}) > 2


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"batch_size": 16}, "batch"),
        ({"batch_size": 15}, "running"),
        ({"batch_size": 15, "freeze_until": "second"}, None),
        ({"strategy": "linear-probe"}, None),
    ],
)
def test_batch_norm_trains_on_batches_that_are_large_enough(params, expected):
    fitted = net(**{"strategy": "fine-tune", **params}).fit(GREY, LABELS)
    before, norm = Conv().norm, fitted.backbone_.model.norm
    assert fitted.batch_norm_ == expected
    assert torch.equal(norm.running_mean, before.running_mean) == (expected != "batch")
    assert torch.equal(norm.weight, before.weight) == (expected is None)


@pytest.mark.filterwarnings("ignore:backbone Conv looks pretrained")
@pytest.mark.parametrize(("batch_size", "expected"), [(127, "running"), (128, "batch")])
def test_batch_norm_keeps_what_it_brought_unless_batches_are_large(batch_size, expected):
    pretrained = Conv()
    pretrained.norm.running_mean += 0.5
    images, labels = np.repeat(GREY, 4, axis=0), np.repeat(LABELS, 4)
    fitted = net(backbone=pretrained, strategy="fine-tune", batch_size=batch_size).fit(images, labels)
    norm = fitted.backbone_.model.norm
    assert fitted.batch_norm_ == expected
    assert torch.equal(norm.running_mean, pretrained.norm.running_mean) == (expected == "running")
    assert not torch.equal(norm.weight, pretrained.norm.weight)


def test_an_untrained_batch_norm_goes_on_by_batches_when_it_has_seen_some(tmp_path):
    fitted = net(strategy="fine-tune", batch_size=16).fit(GREY, LABELS)
    save(fitted, tmp_path / "net")
    loaded = load(tmp_path / "net", backbone=Conv)
    before = fitted.backbone_.model.norm.running_mean.clone()
    for one in (fitted, loaded):
        assert one.partial_fit(GREY, LABELS).batch_norm_ == "batch"
        assert not torch.equal(one.backbone_.model.norm.running_mean, before)


# -- what a frozen backbone saves --------------------------------------------------------------------------------------


NOISE = 2  # images that a new backbone and its folded copy are compared on


def rows_seen(function):
    Conv.seen.clear()
    function()
    return sum(Conv.seen)


@pytest.mark.parametrize("freeze_until", [None, "head", 1.0])
def test_a_frozen_backbone_encodes_each_row_once_a_fit(freeze_until):
    fitted = net(
        backbone=lambda: Conv(), freeze_until=freeze_until, max_epochs=20, cache=None
    )  # called by no other test
    assert rows_seen(lambda: fitted.fit(GREY, LABELS)) == 40 + NOISE
    fitted.predict(GREY[:7])  # which finds out how small a batch may be
    assert rows_seen(lambda: fitted.predict(GREY[:7])) == 7
    assert rows_seen(lambda: fitted.partial_fit(GREY[:10], LABELS[:10])) == 10


def test_validation_rows_are_encoded_once_too():
    stopped, validated = (
        net(backbone=lambda: Conv(), early_stopping=early, max_epochs=20, cache=None) for early in (True, False)
    )
    assert rows_seen(lambda: stopped.fit(GREY, LABELS)) == 40 + NOISE
    assert rows_seen(lambda: validated.fit(GREY, LABELS, X_val=GREY[:5], y_val=LABELS[:5])) == 45 + NOISE


def test_a_trained_backbone_sees_each_row_in_each_epoch():
    seen = rows_seen(lambda: net(strategy="fine-tune", max_epochs=6).fit(GREY, LABELS))
    assert 6 * 40 <= seen <= 6 * 40 + 64  # a full batch more, for the standardisation of the head


def test_encoded_once_or_in_every_epoch_is_the_same_net():
    once = net(strategy="linear-probe").fit(GREY, LABELS)
    with pytest.warns(FrozenPrefixNotCachedWarning):
        always = net(strategy="linear-probe", augmenter=RandomRotation(0)).fit(GREY, LABELS)
    np.testing.assert_allclose(once.predict_proba(GREY), always.predict_proba(GREY), atol=1e-4)


# -- augmentation ------------------------------------------------------------------------------------------------------


class Draws(ColorJitter):
    """Keeps what it drew."""

    drawn = []

    def draw(self, rng, n, shape, y=None):
        params = super().draw(rng, n, shape, y)
        Draws.drawn.append(np.ravel(params["brightness"]))
        return params


def test_fresh_draws_in_every_epoch():
    Draws.drawn.clear()
    net(strategy="fine-tune", augmenter=Draws(), max_epochs=4, batch_size=40).fit(GREY, LABELS)
    assert len(Draws.drawn) == 4 and len(np.unique(np.concatenate(Draws.drawn))) == 4 * Draws.drawn[0].size


def test_draws_follow_the_random_state_of_the_net():
    def proba(**params):
        settings = {"strategy": "fine-tune", "augmenter": ColorJitter(), **params}
        return net(**settings).fit(GREY, LABELS).predict_proba(GREY)

    np.testing.assert_array_equal(proba(), proba())
    assert not np.array_equal(proba(), proba(augmenter=ColorJitter(random_state=5)))
    assert not np.array_equal(proba(), proba(augmenter=None))


def test_an_augmented_frozen_backbone_warns():
    with pytest.warns(FrozenPrefixNotCachedWarning, match="encodes every row in every epoch") as caught:
        fitted = net(augmenter=RandomRotation(15)).fit(GREY, LABELS)
    assert caught[0].filename == __file__
    assert fitted.strategy_ == "linear-probe"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(strategy="fine-tune", augmenter=RandomRotation(15)).fit(GREY, LABELS)


def test_predictions_are_not_augmented():
    fitted = net(strategy="fine-tune", augmenter=ColorJitter(brightness=0.9)).fit(GREY, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(GREY), fitted.predict_proba(GREY))
    twin = copy.deepcopy(fitted)
    twin.augmenter = ColorJitter(brightness=0.0)
    np.testing.assert_array_equal(twin.predict_proba(GREY), fitted.predict_proba(GREY))


@pytest.mark.parametrize(
    "augmenter",
    [RandomCrop(padding=1), RandomCrop((6, 6)), MixUp(), make_augmentation_pipeline(RandomRotation(9), ColorJitter())],
)
def test_augmenters(augmenter):
    fitted = net(strategy="fine-tune", augmenter=augmenter, max_epochs=20, lr=0.01).fit(GREY, NAMES)
    assert fitted.score(GREY, NAMES) > 0.9


def test_rows_and_images_are_augmented_alike():
    settings = {"strategy": "fine-tune", "augmenter": RandomRotation(15)}
    images = net(**settings).fit(GREY, LABELS).predict_proba(GREY)
    rows = net(image_shape=(8, 8), **settings).fit(GREY.reshape(40, 64), LABELS).predict_proba(GREY.reshape(40, 64))
    np.testing.assert_array_equal(images, rows)


def test_an_augmenter_for_other_images_is_an_error():
    with pytest.raises(ValueError, match=r"image_shape=\(9, 9\) of RandomRotation does not match"):
        net(strategy="fine-tune", augmenter=RandomRotation(5, image_shape=(9, 9))).fit(GREY, LABELS)


# -- as scikit-learn's own ---------------------------------------------------------------------------------------------


def test_grid_search_over_freezing_and_the_augmenter():
    tuned = net(augmenter=RandomRotation(5), strategy="auto", max_epochs=2)
    grid = {"freeze_until": [0, 0.5], "augmenter__max_angle": [0, 15]}
    search = GridSearchCV(tuned, grid, cv=2).fit(GREY, NAMES)
    assert len(search.cv_results_["params"]) == 4 and search.best_estimator_.strategy_ == "fine-tune"
    assert tuned.augmenter.max_angle == 5


def test_grid_search_over_the_strategy_and_the_head():
    search = GridSearchCV(net(), {"strategy": ["linear-probe", "fine-tune"], "lr": [0.01, 0.1]}, cv=2)
    assert search.fit(GREY, NAMES).best_score_ > 0.9


def test_in_a_pipeline_and_in_cross_validation():
    pipeline = make_pipeline(FunctionTransformer(np.negative), net(image_shape=(8, 8), max_epochs=20))
    scores = cross_val_score(pipeline, GREY.reshape(40, 64).astype(float), NAMES, cv=2)
    assert scores.mean() > 0.9
    assert cross_val_score(net(max_epochs=20), GREY, NAMES, cv=2).mean() > 0.9


@STRATEGIES
def test_an_earlier_fit_with_an_instance_does_not_leak_into_cross_validation(strategy):
    random = np.random.default_rng(1)
    X, y = random.random((60, 8, 8)), random.integers(0, 2, 60)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 60), nn.ReLU())
    learner = net(backbone=backbone, strategy=strategy, max_epochs=40, optimizer="adamw", lr=0.02)
    assert learner.fit(X, y).score(X, y) > 0.95  # it can overfit the rows
    scores = cross_val_score(learner, X, y, cv=ShuffleSplit(8, test_size=0.5, random_state=0))
    assert abs(scores.mean() - 0.5) < 0.1


def test_how_a_given_module_is_set_by_now_counts():
    module = Conv()
    model = net(backbone=module, strategy="fine-tune", max_epochs=1)

    def trained():
        return {name for name, p in model.fit(GREY, LABELS).backbone_.model.named_parameters() if p.requires_grad}

    assert "first.weight" in trained()
    module.first.requires_grad_(False)
    assert not {"first.weight", "first.bias"} & trained() and "second.weight" in trained()


@STRATEGIES
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_nothing_of_the_users_changes(strategy, method):
    class WithHead(Conv):
        def __init__(self):
            super().__init__()
            self.classifier = nn.Linear(6, 9)

        def forward(self, x):
            return self.classifier(super().forward(x))

    backbone, callback, x, y = WithHead().train(), FreezeLayers("head"), GREY.copy(), NAMES.copy()
    callbacks, net_params = [callback], {"optimizer__momentum": 0.5}
    before, names = state(backbone), set(vars(callback))
    fitted = net(
        backbone=backbone, strategy=strategy, callbacks=callbacks, net_params=net_params, optimizer="sgd", lr=0.1
    )
    getattr(fitted, method)(x, y)
    assert same(before, state(backbone)) and all(part.training for part in backbone.modules())
    assert all(p.requires_grad and p.grad is None for p in backbone.parameters())
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in backbone.modules())
    assert callbacks == [callback] and set(vars(callback)) == names and net_params == {"optimizer__momentum": 0.5}
    assert x.tobytes() == GREY.tobytes() and y.tobytes() == NAMES.tobytes()
    assert fitted.backbone is backbone and fitted.backbone_.model is not backbone


def test_each_estimator_has_a_frozen_backbone_of_its_own():
    module = Conv()
    one, other = (net(backbone=module, strategy="linear-probe").fit(GREY, NAMES) for _ in range(2))
    before = one.predict_proba(GREY)
    assert one.backbone_ is one.net_.module_.backbone is not other.backbone_
    np.testing.assert_array_equal(one.predict_proba(GREY), before)
    assert one.n_trainable_parameters_ == 14 and not any(p.requires_grad for p in one.backbone_.parameters())
    assert one.net_.module_.train() and not one.backbone_.features(torch.zeros(2, 1, 8, 8)).requires_grad
    assert all(p.requires_grad for p in module.parameters())
    one.backbone_.model.first.weight.data += 1
    assert not np.allclose(one.predict_proba(GREY), before)
    np.testing.assert_array_equal(other.predict_proba(GREY), before)
    np.testing.assert_array_equal(
        net(backbone=module, strategy="linear-probe").fit(GREY, NAMES).predict_proba(GREY), before
    )
    assert one.partial_fit(GREY, NAMES).n_iter_ == other.partial_fit(GREY, NAMES).n_iter_ == 6


@pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune"])
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, copy.copy])
def test_copies_have_one_backbone(strategy, again):
    fitted = net(backbone="tiny32", strategy=strategy, max_epochs=1).fit(GREY, NAMES)
    other = again(fitted)
    assert other._prefix.backbone is other.net_.module_.backbone
    assert fitted._prefix.backbone is fitted.net_.module_.backbone
    if strategy == "linear-probe":  # otherwise an optimizer takes more
        assert len(pickle.dumps(fitted)) < 1.5 * sum(p.nbytes for p in fitted.backbone_.parameters())


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_of_two_estimators_have_two_backbones(again):
    module = Conv()
    for make in (partial(net, strategy="linear-probe"), PretrainedFeatures):
        one, other = again([make(backbone=module).fit(GREY, NAMES) for _ in range(2)])
        assert one.backbone_ is not other.backbone_
        weight = other.backbone_.model.first.weight
        one.backbone_.model.first.weight.data.zero_()
        assert weight.any() and other.backbone_.model.first.weight is weight


def test_a_shallow_copy_has_the_same_net():
    fitted = net(strategy="linear-probe").fit(GREY, NAMES)
    other = copy.copy(fitted)
    assert other.backbone_ is fitted.backbone_ and other.net_ is fitted.net_


def test_callbacks_see_the_backbone_of_a_linear_probe():
    class Look(Callback):
        def on_train_begin(self, net, **kwargs):
            self.names = {name for name, _ in net.module_.named_parameters()}

    fitted = net(strategy="linear-probe", callbacks=[Look()]).fit(GREY, NAMES)
    seen = next(callback for _, callback in fitted.net_.callbacks_ if isinstance(callback, Look)).names
    assert "backbone.model.first.weight" in seen and seen == dict(fitted.net_.module_.named_parameters()).keys()


@STRATEGIES
def test_the_same_seed_gives_the_same_bits_and_moves_no_generator(strategy):
    settings = {"strategy": strategy, "early_stopping": True, "backbone": lambda: nn.Sequential(nn.Conv2d(1, 3, 3))}
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = net(**settings).fit(GREY, LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.manual_seed(99)
    second = net(**settings).fit(GREY, LABELS)
    assert same(state(first.net_.module_), state(second.net_.module_))
    other = net(**{**settings, "random_state": 1}).fit(GREY, LABELS)
    assert not same(state(first.net_.module_), state(other.net_.module_))


@STRATEGIES
def test_predictions_of_a_row_do_not_depend_on_the_other_rows(strategy):
    X = np.resize(NOISE, (150, 8, 8))
    for fitted in (net(strategy=strategy).fit(GREY, LABELS), regressor(strategy=strategy).fit(GREY, GREY.mean((1, 2)))):
        outputs = fitted.predict_proba if hasattr(fitted, "predict_proba") else fitted.predict
        whole = outputs(X)
        for size in (1, 2, 7, 33):
            np.testing.assert_allclose(outputs(X[:size]), whole[:size], rtol=1e-12)  # features to the bit, heads nearly
        np.testing.assert_allclose(outputs(X[::-1])[::-1], whole, rtol=1e-12)


@STRATEGIES
def test_pickles_and_copies(strategy):
    assert len(pickle.dumps(clone(net(backbone="tiny32")))) < 10_000
    fitted = net(strategy=strategy).fit(GREY, NAMES)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(again.predict_proba(GREY), fitted.predict_proba(GREY))
        again.partial_fit(GREY, NAMES)
    assert again.n_iter_ == 6 and fitted.n_iter_ == 5


# -- training ----------------------------------------------------------------------------------------------------------


@STRATEGIES
def test_rows_of_weight_zero_are_left_out(strategy):
    weight = np.arange(40) % 3
    spoilt = np.where(weight[:, None, None] > 0, GREY, 0)
    weighted = net(strategy=strategy).fit(spoilt, LABELS, sample_weight=weight)
    without = net(strategy=strategy).fit(GREY[weight > 0], LABELS[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_array_equal(weighted.predict_proba(GREY), without.predict_proba(GREY))


@STRATEGIES
def test_partial_fit_and_unseen_labels(strategy):
    fitted = net(strategy=strategy).partial_fit(GREY[LABELS == 1], NAMES[LABELS == 1], classes=["dark", "light", "mid"])
    assert fitted.n_iter_ == 1 and fitted.predict_proba(GREY).shape == (40, 3)
    fitted.partial_fit(GREY, NAMES)
    with pytest.raises(ValueError, match=r"not among the classes \['dark', 'light', 'mid'\]: \['grey'\]"):
        fitted.partial_fit(GREY, np.full(40, "grey"))


@STRATEGIES
def test_warm_start_goes_on(strategy):
    fitted = net(strategy=strategy, warm_start=True).fit(GREY, LABELS)
    before = fitted.net_
    assert fitted.fit(GREY, LABELS).n_iter_ == 10 and fitted.net_ is before


@STRATEGIES
def test_early_stopping_brings_the_best_weights_back(strategy):
    random = np.random.default_rng(1)
    y, settings = (
        random.integers(0, 2, 40),
        {"max_epochs": 30, "lr": 0.05, "optimizer": "adamw", "schedule": "constant"},
    )
    fitted = net(strategy=strategy, early_stopping=True, n_iter_no_change=40, **settings)
    fitted.fit(GREY[:20], y[:20], X_val=GREY[20:], y_val=y[20:])
    losses = fitted.net_.history[:, "valid_loss"]
    assert np.argmin(losses) < 29
    loss = -np.log(fitted.predict_proba(GREY[20:])[np.arange(20), y[20:]]).mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)


def float64_conv():
    return Conv().double()


WAYS = [("linear-probe", None), ("fine-tune", None), ("fine-tune", "second"), ("lp-ft", None), ("gradual", None)]


@pytest.mark.parametrize("spec", [float64_conv(), float64_conv], ids=["instance", "factory"])
@pytest.mark.parametrize("strategy, freeze_until", WAYS)
def test_a_float64_backbone_computes_in_float64(spec, strategy, freeze_until, tmp_path):
    settings = {"strategy": strategy, "freeze_until": freeze_until, "batch_size": 16, "random_state": 0}
    fitted = FineTuneClassifier(spec, max_epochs=3, **settings).fit(GREY, LABELS)
    module = fitted.net_.module_.eval()
    x = torch.from_numpy(GREY)[:, None].float() / 255
    with torch.no_grad():
        features = module.backbone.model(x.double())
        features = features / (features.abs() + 1e-3).sqrt().sqrt()
        standard = (features - module.head.standardize.mean) / module.head.standardize.scale
        expected = module.head.linear(standard).softmax(1).numpy()
    np.testing.assert_allclose(fitted.predict_proba(GREY), expected, rtol=1e-11)
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    save(fitted, tmp_path / "net")
    again = load(tmp_path / "net", backbone=float64_conv)
    np.testing.assert_array_equal(again.predict_proba(GREY), fitted.predict_proba(GREY))


def test_a_float64_backbone_on_a_device_that_refuses_float64(monkeypatch):
    monkeypatch.setattr("sktricks.transfer.cache._pool.supports_float64", lambda device: False)
    for spec in (lambda: float64_conv(), float64_conv()):
        with pytest.raises(ValueError, match=r"float32 parameters for device='cpu', got float64 in Conv: call"):
            net(backbone=spec).fit(GREY, LABELS)


def test_a_device_that_refuses_float64(monkeypatch):
    for part in (sktricks.training._inputs, sktricks.training._make_net):
        monkeypatch.setattr(part, "supports_float64", lambda device: False)
    for strategy in ("linear-probe", "fine-tune"):
        fitted = net(strategy=strategy).fit(GREY / 255, LABELS, sample_weight=np.linspace(0.5, 1, 40))
        kinds = {t.dtype for t in fitted.net_.module_.state_dict().values() if t.is_floating_point()}
        assert kinds == {torch.float32} and fitted.predict_proba(GREY / 255).shape == (40, 2)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [net(), regressor()])
def test_a_table_has_nothing_pretrained_and_warns(estimator):
    X = RNG.normal(size=(40, 5))
    with pytest.warns(NoPretrainedBackboneWarning, match=r"image_shape=\(height, width\)") as caught:
        fitted = clone(estimator).set_params(max_epochs=30).fit(X, X[:, 0] > 0)
    assert caught[0].filename == __file__
    assert fitted.strategy_ == "from-scratch" and fitted.backbone_ is None and fitted.image_shape_ is None
    assert fitted.score(X, X[:, 0] > 0) > 0.7


def test_a_table_where_images_were_fitted_is_an_error():
    fitted = net().fit(GREY, LABELS)
    with pytest.raises(ValueError, match=r"fitted on images of shape \(8, 8, 1\), but X has rows of 64 columns"):
        fitted.predict(GREY.reshape(40, 64))


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        (np.zeros((4, 65)), {"image_shape": (8, 8)}, r"image_shape=\(8, 8\) needs 64 columns, X has 65"),
        (np.zeros((4, 64)), {"image_shape": (8, 8, 3)}, "needs 192 columns, X has 64"),
        (np.zeros((30, 30, 3)), {}, r"looks like a single color image.*X\[None\]"),
        (np.zeros((4, 1, 8)), {}, "height and width at least 2"),
        (np.zeros((4, 8)), {"image_shape": (1, 8)}, "at least 2"),
        (np.zeros((4, 8)), {"image_shape": (0, 8)}, "at least 2"),
        (np.full((4, 8, 8), np.nan), {}, "X contains NaN"),
        (np.full((4, 8, 8), np.inf), {}, "X contains infinity"),
        (GREY[:4], {"value_range": (9, 3)}, "value_range"),
        (GREY[:4], {"backbone": "resnet"}, r"backbone='resnet' is unknown.*\['tiny32', 'lite0'\]"),
        (GREY[:4], {"stages": ["third"]}, r"stages must be 'auto' or some of \['first', 'norm', 'second'\], got"),
        (GREY[:4], {"stages": []}, "stages must be"),
        (
            GREY[:4],
            {"freeze_until": 4},
            "freeze_until must be at most 3, the number of layers, got 4.* first, norm, second;",
        ),
        (GREY[:4], {"freeze_until": "nope"}, "freeze_until='nope' matches no layer: the modules are first, norm, s"),
        (GREY[:4], {"freeze_until": "0.5"}, r"freeze_until='0.5' matches no layer: did you mean the number 0.5\?"),
        (GREY[:4], {"freeze_until": -1}, "freeze_until"),
        (GREY[:4], {"freeze_until": 1.5}, "as a fraction of the layers"),
        (GREY[:4], {"freeze_until": [1]}, "freeze_until"),
        (GREY[:4], {"strategy": "lp"}, "strategy"),
        (GREY[:4], {"device": "gpu"}, "device must be .*got 'gpu'"),
        ([GREY[0], GREY[1, 1:]], {}, r"same shape, got \(7, 8\), \(8, 8\)"),
        (np.zeros((4, 3, 8, 8)), {}, "channels first"),
        (np.zeros((4, 8, 8, 2)), {"backbone": "tiny32"}, "must have images of 3 channels for this backbone, got 2"),
    ],
)
def test_bad_input(X, params, message):
    with pytest.raises(ValueError, match=message):
        net(**params).fit(X, np.arange(len(X)) % 2)


def test_one_image_is_no_batch():
    fitted = net(backbone=partial(Conv, 3)).fit(COLOUR, LABELS)
    with pytest.raises(ValueError, match=r"looks like a single color image.*X\[None\]"):
        fitted.predict(COLOUR[0])


def test_one_class_and_one_row():
    with pytest.raises(ValueError, match="at least two classes in y, got one class: 'dark'"):
        net().fit(GREY, np.full(40, "dark"))
    with pytest.raises(ValueError, match="minimum of 2"):
        net().fit(GREY[:1], LABELS[:1])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("weight", "message"), [(-np.ones(40), "must not be negative, got -1"), (np.zeros(40), "got zeros only")]
)
def test_weights_that_are_none(method, weight, message):
    with pytest.raises(ValueError, match=f"sample_weight.*{message}"):
        getattr(net(), method)(GREY, LABELS, sample_weight=weight)


def test_a_callback_of_the_wrong_type():
    with pytest.raises(TypeError, match="callbacks must contain skorch callbacks.*got 3 of type int"):
        net(callbacks=[3]).fit(GREY, LABELS)


def test_a_failed_fit_leaves_the_net_unfitted():
    broken = net(freeze_until="nope")
    with pytest.raises(ValueError, match="nope"):
        broken.fit(GREY, LABELS)
    broken.set_params(freeze_until=None).fit(GREY, LABELS)
    np.testing.assert_array_equal(broken.predict_proba(GREY), net().fit(GREY, LABELS).predict_proba(GREY))


def test_other_images_at_prediction():
    fitted = net().fit(GREY, LABELS)
    for X in (np.zeros((4, 9, 9)), COLOUR):
        with pytest.raises(ValueError, match=r"fitted on images of shape \(8, 8, 1\), but X has"):
            fitted.predict(X)
    with pytest.raises(ValueError, match=r"images of shape \(8, 8, 1\), but X has \(4, 16, 1\)"):
        fitted.predict(np.zeros((4, 4, 16)))


def test_names_of_columns():
    import pandas as pd

    frame = pd.DataFrame(GREY.reshape(40, 64), columns=[f"pixel{i}" for i in range(64)])
    fitted = net(image_shape=(8, 8)).fit(frame, NAMES)
    assert fitted.feature_names_in_[3] == "pixel3" and fitted.n_features_in_ == 64
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[frame.columns[::-1]])


def test_stages_change_what_the_head_sees():
    first, both = (net(stages=stages).fit(GREY, LABELS) for stages in (["first"], ["first", "second"]))
    assert first.net_.module_.head.linear.in_features == 4 * 5  # a mean and those of the quarters
    assert both.net_.module_.head.linear.in_features == 4 * 5 + 6 * 5
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    assert backbone.num_features == net().fit(GREY, LABELS).net_.module_.head.linear.in_features == 6


# -- at the seams ------------------------------------------------------------------------------------------------------


class Unordered(nn.Module):
    """Layers are registered in another order than they run."""

    def __init__(self):
        super().__init__()
        self.c, self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.c(self.b(self.a(x))).mean((2, 3))


@pytest.mark.parametrize("stages", ["auto", ["b"]])
def test_gradual_keeps_frozen_what_runs_first(stages):
    backbone = Unordered()
    before = state(backbone)
    fitted = net(backbone=backbone, strategy="gradual", freeze_until=1, stages=stages, max_epochs=6).fit(GREY, LABELS)
    moved = {name for name, tensor in state(fitted.backbone_.model).items() if not torch.equal(tensor, before[name])}
    assert "b.weight" in moved and not {"a.weight", "a.bias"} & moved


def test_gradual_without_time_to_thaw_trains_all():
    fitted = net(strategy="gradual", max_epochs=1).fit(GREY, LABELS)
    assert all(parameter.requires_grad for parameter in fitted.backbone_.model.parameters())


@pytest.mark.parametrize("strategy", ["auto", "linear-probe"])
def test_the_number_of_all_layers_is_the_whole_backbone(strategy):
    assert net(strategy=strategy, freeze_until=3).fit(GREY, LABELS).strategy_ == "linear-probe"
    with pytest.raises(ValueError, match="cannot be combined with freeze_until=3"):
        net(strategy="fine-tune", freeze_until=3).fit(GREY, LABELS)


def test_statistics_follow_the_rows_of_each_training():
    fitted = net(strategy="fine-tune").fit(GREY, LABELS)
    assert fitted.batch_norm_ == "batch"
    before = fitted.backbone_.model.norm.running_mean.clone()
    fitted.partial_fit(GREY[:5], LABELS[:5])
    assert fitted.batch_norm_ == "running" and torch.equal(fitted.backbone_.model.norm.running_mean, before)
    assert fitted.partial_fit(GREY, LABELS).batch_norm_ == "batch"


def test_a_backbone_frozen_by_a_callback_is_standardised_as_it_is():
    frozen = net(strategy="fine-tune", callbacks=[FreezeLayers("head")]).fit(GREY, LABELS)
    probe = net(strategy="linear-probe").fit(GREY, LABELS)
    mean, expected = (fitted.net_.module_.head.standardize.mean for fitted in (frozen, probe))
    torch.testing.assert_close(mean.float(), expected.float())
    assert frozen.batch_norm_ is None


def test_rates_by_stage_beside_a_loss_with_parameters():
    class Scaled(nn.CrossEntropyLoss):
        def __init__(self, reduction="mean"):
            super().__init__(reduction=reduction)
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, y_pred, y_true):
            return super().forward(y_pred * self.factor, y_true)

    fitted = net(strategy="fine-tune", loss=Scaled, layer_decay=0.5).fit(GREY, LABELS)
    assert fitted.net_.criterion_.factor != 1


def test_a_fit_that_fails_leaves_a_fitted_net_as_it_was():
    fitted = net().fit(GREY, LABELS)
    before = fitted.predict_proba(GREY)
    with pytest.raises(Exception, match="nonsense"):
        fitted.set_params(strategy="fine-tune", net_params={"nonsense": 1}).fit(GREY[:, :6], 1 - LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(GREY), before)
    assert fitted.strategy_ == "linear-probe" and fitted.image_shape_ == (8, 8, 1)


def test_an_interruption_before_the_first_phase():
    class Interrupt(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 1:
                raise KeyboardInterrupt

    fitted = net(strategy="lp-ft", callbacks=[Interrupt()])
    with pytest.warns(TrainingInterruptedWarning):
        fitted.fit(GREY, LABELS)
    assert fitted.partial_fit(GREY[:20], LABELS[:20]).n_iter_ == 1


@pytest.mark.parametrize(("fitted_on", "given"), [(GREY, GREY / 255), (GREY / 255, GREY)], ids=["shrunk", "grown"])
def test_pixels_on_another_scale_warn(fitted_on, given):
    fitted = net().fit(fitted_on, LABELS)
    with pytest.warns(ValueRangeWarning, match="FineTuneClassifier was fitted on pixels from 0 to"):
        fitted.predict(given)
    dark = np.zeros_like(fitted_on)
    assert fitted.predict(fitted_on).shape == fitted.predict(dark).shape == (40,)
    assert fitted.set_params(value_range=fitted.value_range_).predict(given).shape == (40,)  # said to be right


def test_features_of_pixels_on_another_scale_warn():
    features = PretrainedFeatures(Conv).fit(GREY)
    with pytest.warns(ValueRangeWarning, match="PretrainedFeatures was fitted on pixels from 0 to 255"):
        features.transform(GREY / 255)


@pytest.mark.parametrize(
    "augmenter", [RandomRotation, [RandomRotation()], "flip", make_pipeline(FunctionTransformer())]
)
def test_what_is_no_augmenter(augmenter):
    with pytest.raises(TypeError, match="augmenter must be None or an augmenter of sktricks, such as RandomFlip"):
        net(augmenter=augmenter).fit(GREY, LABELS)


def test_too_few_rows_to_hold_out():
    with pytest.raises(
        ValueError,
        match="must leave at least one row of each of the 8 classes .* got 0.1 of 40 rows",
    ):
        net(early_stopping=True).fit(GREY, np.arange(40) % 8)
