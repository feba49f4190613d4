"""``batch_size="auto"`` and the default learning rate: grown with the rows, fixed at the first fit."""

import numpy as np
import pytest
import torch

from sktricks import NetClassifier, NetRegressor, load, save
from sktricks.training._batch_size import auto_batch_size, auto_rate

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7000, 2)).astype(np.float32), np.arange(7000) % 2
QUICK = {"max_epochs": 1, "net_params": {"module__width": 2, "module__depth": 1}, "random_state": 0}


def used(net):
    """Batch size and learning rate, according to the attributes and to the inner net."""
    assert (net.net_.batch_size, net.net_.lr) == (net.batch_size_, net.lr_)
    return net.batch_size_, net.lr_


@pytest.mark.parametrize(
    ("n_rows", "size"), [(1, 128), (6500, 128), (6600, 256), (18_000, 512), (50_000, 1024), (10**7, 1024)]
)
def test_the_batch_grows_with_the_rows(n_rows, size):
    assert auto_batch_size(n_rows) == size
    assert auto_batch_size(n_rows, images=True) == 128


def test_the_rate_grows_with_the_batch():
    assert [auto_rate(size) for size in (128, 256, 512, 1024)] == [2e-3, 4e-3, 8e-3, 8e-3]


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_defaults_follow_the_rows_that_count(cls):
    assert used(cls(**QUICK).fit(X[:300], Y[:300])) == (128, 2e-3)
    assert used(cls(**QUICK).fit(X, Y)) == (256, auto_rate(256))
    weight = np.arange(7000) < 5000
    assert used(cls(**QUICK).fit(X, Y, sample_weight=weight)) == (128, 2e-3)
    assert used(cls(early_stopping=True, validation_fraction=0.2, **QUICK).fit(X, Y)) == (128, 2e-3)


def test_a_given_number_is_never_scaled():
    assert used(NetClassifier(lr=1e-2, **QUICK).fit(X, Y)) == (256, 1e-2)
    assert used(NetClassifier(batch_size=512, **QUICK).fit(X, Y)) == (512, 2e-3)
    assert used(NetClassifier(batch_size=64, lr=1e-2, **QUICK).fit(X, Y)) == (64, 1e-2)


def test_images_keep_small_batches():
    images = np.zeros((7000, 2, 2, 1), np.float32)
    assert used(NetClassifier(value_range=(0, 1), **QUICK).fit(images, Y)) == (128, 2e-3)


def test_both_are_fixed_at_the_first_training():
    net = NetClassifier(warm_start=True, **QUICK)
    assert used(net.partial_fit(X, Y)) == (256, auto_rate(256))
    assert used(net.partial_fit(X[:300], Y[:300])) == (256, auto_rate(256))
    assert used(net.fit(X[:300], Y[:300])) == (256, auto_rate(256))
    assert used(net.set_params(batch_size=32).fit(X[:300], Y[:300])) == (32, 2e-3)
    assert used(net.set_params(batch_size="auto").fit(X[:300], Y[:300])) == (256, auto_rate(256))
    assert used(net.set_params(warm_start=False).fit(X[:300], Y[:300])) == (128, 2e-3)


def test_a_loaded_net_goes_on_with_its_batches(tmp_path):
    net = NetClassifier(warm_start=True, **QUICK).fit(X, Y)
    save(net, tmp_path / "net.sktricks")
    loaded = load(tmp_path / "net.sktricks")
    for each in (net, loaded):
        assert used(each.partial_fit(X[:300], Y[:300])) == (256, auto_rate(256))
    state, expected = (each.net_.module_.state_dict() for each in (loaded, net))
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_search_may_try_both():
    from sklearn.model_selection import GridSearchCV

    grid = {"batch_size": ["auto", 64], "lr": [None, 1e-3]}
    search = GridSearchCV(NetClassifier(**QUICK), grid, cv=2, error_score="raise").fit(X[:200], Y[:200])
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.parametrize("params", [{"batch_size": "large"}, {"batch_size": None}, {"lr": "none"}, {"lr": 0}])
def test_other_values_are_errors(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        NetClassifier(**params).fit(X[:20], Y[:20])
