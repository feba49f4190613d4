"""A user's module computes in its own dtype, the default module in float64 if the first fit has one batch."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional as F

from sktricks import FineTuneClassifier, NetClassifier, NetRegressor, RandomFlip, load, save

X, Y = make_classification(200, 10, n_informative=8, n_classes=5, random_state=0)
IMAGES = np.random.default_rng(0).integers(0, 256, (200, 8, 8)).astype(np.uint8)
ROWS = [100, 200]
QUICK = {"max_epochs": 2, "random_state": 0}


class Own(nn.Module):
    """A module that creates float32 tensors, as most do."""

    def __init__(self, n_features, n_outputs, dtype=torch.float32):
        super().__init__()
        self.dtype, self.seen = dtype, []
        self.linear = nn.Linear(n_features, n_outputs, dtype=dtype)

    def forward(self, x):
        self.seen.append(x.dtype)
        return self.linear(x.flatten(1)) + F.linear(x.flatten(1), torch.zeros(1, x[0].numel(), dtype=self.dtype))


class OwnLoss(nn.Module):
    """A loss with a buffer, and a tensor that it creates in float32."""

    def __init__(self, n_classes=5):
        super().__init__()
        self.register_buffer("prior", torch.zeros(n_classes))

    def forward(self, outputs, y):
        return F.cross_entropy(outputs + self.prior, y, weight=torch.ones(5), reduction="none")


def weights_of(net):
    return {p.dtype for p in net.net_.module_.parameters()}


# -- modules of the user's ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("rows", [X, X.astype(np.float32), np.round(X).astype(np.int64), IMAGES, IMAGES / 255.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_computes_in_its_own_dtype(rows, n, dtype):
    net = NetClassifier(Own, net_params={"module__dtype": dtype}, **QUICK).fit(rows[:n], Y[:n])
    assert net.partial_fit(rows[n - 50 : n], Y[n - 50 : n]).predict(rows).shape == (200,)
    assert weights_of(net) == set(net.net_.module_.seen) == {dtype}


@pytest.mark.parametrize("augmenter", [None, RandomFlip()])
@pytest.mark.parametrize("n", ROWS)
def test_a_module_of_half_precision(n, augmenter):
    settings = {"net_params": {"module__dtype": torch.bfloat16}, "image_shape": (2, 5), "augmenter": augmenter, **QUICK}
    net = NetClassifier(Own, **settings).fit(X[:n], Y[:n])
    assert set(net.net_.module_.seen) == {torch.bfloat16} and np.isfinite(net.predict_proba(X)).all()


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_of_a_regressor(n, dtype):
    net = NetRegressor(Own, net_params={"module__dtype": dtype}, **QUICK).fit(X[:n], X[:n, 0])
    assert net.predict(X).dtype == np.float64 and weights_of(net) == {dtype}


# -- losses ------------------------------------------------------------------------------------------------------------

LOSSES = [
    nn.CrossEntropyLoss(weight=torch.ones(5)),
    nn.CrossEntropyLoss(weight=torch.ones(5, dtype=torch.float64)),
    OwnLoss,
    OwnLoss().double(),
    partial(F.cross_entropy, weight=torch.ones(5)),
    lambda outputs, y: F.cross_entropy(outputs, y, weight=torch.ones(5), reduction="none"),
]


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("loss", LOSSES, ids=["float32", "float64", "own class", "own float64", "partial", "lambda"])
@pytest.mark.parametrize("module", ["mlp", Own])
def test_a_loss_follows_the_net(loss, module, n):
    before = [buffer.dtype for buffer in loss.buffers()] if isinstance(loss, nn.Module) else None
    for rows in (X, X.astype(np.float32), IMAGES):
        plain = NetClassifier(module, loss="cross_entropy", **QUICK).fit(rows[:n], Y[:n]).predict_proba(rows)
        net = NetClassifier(module, loss=loss, **QUICK).fit(rows[:n], Y[:n])
        assert_allclose(net.predict_proba(rows), plain, atol=1e-4)
    assert before == ([buffer.dtype for buffer in loss.buffers()] if isinstance(loss, nn.Module) else None)


@pytest.mark.parametrize("n", [100, 140])
@pytest.mark.parametrize("loss", LOSSES[:3], ids=["float32", "float64", "own class"])
def test_a_loss_follows_a_head(loss, n, strategy="linear-probe"):
    net = FineTuneClassifier(loss=loss, strategy=strategy, **{**QUICK, "max_epochs": 1}).fit(IMAGES[:n], Y[:n])
    assert net.predict_proba(IMAGES[:8]).shape == (8, 5)


def test_a_weight_among_net_params_follows_as_well():
    weight = torch.ones(5)
    net = NetClassifier(loss="cross_entropy", net_params={"criterion__weight": weight}, **QUICK).fit(X[:100], Y[:100])
    assert net.net_.criterion_.weight.dtype == torch.float64 and weight.dtype == torch.float32


# -- ours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [X, X.astype(np.float32), IMAGES])
def test_the_default_module_computes_in_float64_if_all_rows_form_one_batch(rows):
    assert weights_of(NetClassifier(batch_size=100, **QUICK).fit(rows[:100], Y[:100])) == {torch.float64}
    assert weights_of(NetClassifier(batch_size=100, **QUICK).fit(rows[:101], Y[:101])) == {torch.float64}  # 100 + 1
    assert weights_of(NetClassifier(batch_size=100, **QUICK).fit(rows[:102], Y[:102])) == {torch.float32}


def test_rows_that_validate_or_weigh_nothing_do_not_count():
    stopping = NetClassifier(batch_size=160, early_stopping=True, validation_fraction=0.2, **QUICK).fit(X, Y)
    assert weights_of(stopping) == {torch.float64}
    weight = np.arange(200) % 2.0
    assert weights_of(NetClassifier(batch_size=100, **QUICK).fit(X, Y, sample_weight=weight)) == {torch.float64}


def test_the_dtype_is_decided_at_the_first_fit():
    small = NetClassifier(batch_size=100, warm_start=True, **QUICK).fit(X[:100], Y[:100])
    assert weights_of(small.fit(X, Y).partial_fit(X, Y)) == {torch.float64}
    large = NetClassifier(batch_size=100, warm_start=True, **QUICK).fit(X, Y)
    assert weights_of(large.fit(X[:100], Y[:100]).partial_fit(X[:100], Y[:100])) == {torch.float32}
    assert weights_of(large.set_params(warm_start=False).fit(X[:100], Y[:100])) == {torch.float64}


@pytest.mark.parametrize("n, dtype", [(100, torch.float64), (200, torch.float32)])
def test_a_head_on_frozen_features(n, dtype):
    net = FineTuneClassifier(strategy="linear-probe", batch_size=128, **QUICK).fit(IMAGES[:n], Y[:n])
    assert {p.dtype for p in net.net_.module_.head.parameters()} == {dtype}


@pytest.mark.parametrize("n", ROWS)
def test_probabilities_have_the_precision_of_the_table(n):
    net = NetClassifier(**QUICK).fit(X[:n], Y[:n])
    assert net.predict_proba(X).dtype == np.float64
    assert_allclose(net.predict_proba(X).sum(1), 1, atol=1e-15)


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_loaded_computes_as_what_was_saved(tmp_path, n, dtype):
    rows = X.astype(dtype)
    net = NetClassifier(**QUICK).fit(rows[:n], Y[:n])
    save(net, tmp_path / "net.sktricks")
    again = load(tmp_path / "net.sktricks")
    assert np.array_equal(again.predict_proba(rows), net.predict_proba(rows))
    assert weights_of(again.partial_fit(rows, Y)) == weights_of(net)
