"""Parameters that are changed between trainings cause a warning if they have no effect."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge, SGDClassifier, SGDRegressor
from torch import nn

from sktricks import (
    AugmentedClassifier,
    AugmentedRegressor,
    FineTuneClassifier,
    FineTuneRegressor,
    GaussianNoise,
    NetClassifier,
    NetRegressor,
    ParametersIgnoredWarning,
    RandomFlip,
    load,
    save,
)
from sktricks._kept_params import warn_of_changes

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 2
TABLE = RNG.normal(size=(12, 4))
IMAGES = RNG.integers(0, 256, (12, 8, 8)).astype(np.uint8)
QUICK = {"max_epochs": 1, "random_state": 0}


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.second(self.first(x).relu()).mean((2, 3))


CASES = {
    "classifier": (NetClassifier(**QUICK), TABLE),
    "regressor": (NetRegressor(**QUICK), TABLE),
    "probe": (FineTuneClassifier(Conv, strategy="linear-probe", **QUICK), IMAGES),
    "fine-tuned": (FineTuneRegressor(Conv, strategy="fine-tune", **QUICK), IMAGES),
    "copies": (AugmentedClassifier(SGDClassifier(random_state=0), GaussianNoise(0.1), random_state=0), TABLE),
    "copies for values": (AugmentedRegressor(SGDRegressor(random_state=0), GaussianNoise(0.1), random_state=0), TABLE),
}
CHANGES = {
    "module": "nothing",
    "backbone": "lite0",
    "init": "he",
    "image_shape": 2,
    "value_range": (0, 9),
    "categorical_features": None,
    "predict_views": 3,
    "loss": "huber",
    "label_smoothing": 0.1,
    "optimizer": torch.optim.Adagrad,
    "callbacks": [("stop", None)],
    "net_params": {"module__width": 7},
    "device": "cuda",
    "precision": "bfloat16",
    "random_state": 5,
    "resize_mode": "crop",
    "strategy": "lp-ft",
    "freeze_until": 1,
    "stages": ["second"],
    "backbone_lr_scale": 0.5,
    "layer_decay": 0.5,
    "n_views": 5,
    "estimator": Ridge(),
    "augmenter": RandomFlip(),
}
FOLLOWED = {
    *("lr", "weight_decay", "clip_norm", "schedule", "average", "max_epochs", "batch_size", "class_weight"),
    *("early_stopping", "validation_fraction", "n_iter_no_change", "warm_start", "verbose", "cache", "augmenter"),
    *("n_copies", "keep_original", "n_jobs"),
}


def go_on(fitted, X):
    """Continue a training, and return the messages about ignored parameters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ParametersIgnoredWarning)
        fitted.partial_fit(X, LABELS)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("case", CASES)
def test_each_parameter_has_effect_or_causes_a_warning(case):
    estimator, X = CASES[case]
    fitted = clone(estimator).partial_fit(X, LABELS)
    names, kept = set(fitted.get_params(deep=False)), set(fitted._kept_params)
    assert names <= {*kept, *FOLLOWED}
    assert ("augmenter" in kept) == (case in ("probe", "copies", "copies for values"))
    for name in names & kept:
        before = getattr(fitted, name)
        setattr(fitted, name, CHANGES[name])
        with pytest.warns(ParametersIgnoredWarning, match=rf"parameters that .* {name}=.* \(was .*or call fit"):
            warn_of_changes(fitted, "call fit")
        setattr(fitted, name, before)
    assert go_on(fitted, X) == []


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_one_warning_per_call_names_all_of_them(way):
    net = NetClassifier(**QUICK, warm_start=True).fit(TABLE, LABELS)
    net.set_params(optimizer="sgd", loss="bce", lr=0.1, module__width=7, callbacks=[])
    train = net.fit if way == "warm_start" else net.partial_fit
    for _ in range(2):
        with pytest.warns(ParametersIgnoredWarning) as caught:
            train(TABLE, LABELS)
        assert [str(one.message) for one in caught] == [
            "NetClassifier continues training with the previous values of parameters that were changed since: "
            "loss='bce' (was 'auto'), optimizer='sgd' (was 'adamw'), net_params={'module__width': 7} (was None). Set "
            "them back, or call fit with warm_start=False"
        ]
        assert caught[0].filename == __file__
    net.set_params(warm_start=False).fit(TABLE, LABELS)
    assert isinstance(net.net_.optimizer_, torch.optim.SGD) and go_on(net, TABLE) == []


def test_no_warning_if_a_parameter_has_effect():
    several = np.c_[LABELS, 1 - LABELS, LABELS]  # label smoothing applies to these targets
    net = NetClassifier(**QUICK).partial_fit(TABLE, several)
    net.set_params(label_smoothing=0.2, lr=0.5, max_epochs=3, augmenter=GaussianNoise(0.1), weight_decay=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.partial_fit(TABLE, several)


def test_parameters_of_a_nested_estimator():
    model = clone(CASES["copies"][0]).partial_fit(TABLE, LABELS)
    message = (
        r"AugmentedClassifier continues .*: estimator__alpha=0.5 \(was 0.0001\), augmenter__std=2 \(was 0.1\). Set"
    )
    with pytest.warns(ParametersIgnoredWarning, match=message):
        model.set_params(estimator__alpha=0.5, augmenter__std=2).partial_fit(TABLE, LABELS)
    model.fit(TABLE, LABELS)
    assert go_on(model, TABLE) == []


@pytest.mark.parametrize("case", ["classifier", "probe", "copies"])
def test_after_load(case, tmp_path):
    estimator, X = CASES[case]
    if case == "copies":
        estimator = AugmentedClassifier(NetClassifier(**QUICK), GaussianNoise(0.1), random_state=0)
    fitted = clone(estimator).partial_fit(X, LABELS)
    save(fitted, tmp_path / "net")
    again = load(tmp_path / "net", **({"backbone": Conv} if case == "probe" else {}))
    assert again._built_with == fitted._built_with
    assert go_on(again, X) == []
    name = {"classifier": "optimizer", "probe": "stages", "copies": "augmenter"}[case]
    (message,) = go_on(again.set_params(**{name: CHANGES[name]}), X)
    assert f" {name}=" in message
