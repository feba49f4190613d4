import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from sktricks import AverageWeights, FineTuneClassifier, NetClassifier, NetRegressor, load, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype(np.float32)
Y = (X[:, 0] + 0.3 * RNG.normal(size=48) > 0).astype(np.int64)
IMAGES = RNG.integers(0, 256, (48, 8, 8), dtype=np.uint8)


class Normed(nn.Module):
    """A linear layer, a BatchNorm, a linear layer."""

    def __init__(self, n_features=3, n_outputs=2):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(n_features, 4), nn.BatchNorm1d(4), nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


class Keep(Callback):
    """The weights after each update, and after each epoch."""

    def __init__(self):
        self.updates, self.epochs = [], []

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.updates.append([p.detach().clone() for p in net.module_.parameters()])

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(self.updates[-1])


def classifier(module=Normed, **params):
    settings = {"max_epochs": 8, "batch_size": 16, "lr": 0.05, "random_state": 0, "callbacks": [Keep()]}
    return NetClassifier(module, **{**settings, **params}).fit(X, Y)


def weights_of(net):
    return list(net.net_.module_.parameters())


def kept(net):
    return next(callback for _, callback in net.net_.callbacks_ if isinstance(callback, Keep))


def ema(weights, decay):
    mean = weights[0]
    for number, now in enumerate(weights[1:], 1):
        share = min(decay, (1 + number) / (10 + number))
        mean = [share * a + (1 - share) * b for a, b in zip(mean, now, strict=True)]
    return mean


def assert_close(one, other):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=1e-6)


def test_swa_is_the_mean_over_the_ends_of_the_last_quarter():
    net = classifier(average="swa")
    last = kept(net).epochs[6:]
    assert_close(weights_of(net), [sum(some) / 2 for some in zip(*last, strict=True)])


def test_ema_moves_with_every_update():
    net = classifier(average="ema")
    assert len(kept(net).updates) == 24
    assert_close(weights_of(net), ema(kept(net).updates, 0.99))


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_decay(decay):
    net = classifier(callbacks=[Keep(), AverageWeights(decay=decay)])
    assert_close(weights_of(net), ema(kept(net).updates, decay))


def test_start():
    net = classifier(callbacks=[Keep(), AverageWeights("swa", start=0.5, n_epochs=8)])
    assert_close(weights_of(net), [sum(some) / 4 for some in zip(*kept(net).epochs[4:], strict=True)])


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_statistics_are_renewed_for_the_mean(average):
    module = classifier(average=average, batch_size=48).net_.module_
    seen = module.first(torch.tensor(X))
    torch.testing.assert_close(module.norm.running_mean, seen.mean(0).detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.norm.running_var, seen.var(0).detach(), rtol=1e-4, atol=1e-5)
    assert module.norm.momentum == 0.1


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_what_is_frozen_stays_to_the_last_bit(average):
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    )
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    net = FineTuneClassifier(
        backbone, freeze_until=2, average=average, max_epochs=4, batch_size=16, cache=None, random_state=0
    )
    after = net.fit(IMAGES, Y).backbone_.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name[0] in "01")
    assert not torch.equal(before["3.weight"], after["3.weight"])
    assert not torch.equal(before["4.running_mean"], after["4.running_mean"])


def test_under_a_plain_skorch_net():
    def train(callbacks):
        torch.manual_seed(0)
        net = NeuralNetClassifier(
            Normed, criterion=nn.CrossEntropyLoss, max_epochs=8, lr=0.1, batch_size=16, verbose=0, callbacks=callbacks
        )
        return net.fit(X, Y)

    keep = Keep()
    averaged = train([("keep", keep), ("average", AverageWeights("swa"))])
    assert_close(averaged.module_.parameters(), [sum(some) / 2 for some in zip(*keep.epochs[6:], strict=True)])
    assert averaged.predict(X).shape == (48,)
    part, _ = averaged.get_split_datasets(X, Y)
    seen = averaged.module_.first(torch.tensor(np.stack([x for x, _ in part]))).detach()
    assert (averaged.module_.norm.running_mean - seen.mean(0)).abs().max() < 0.1 * seen.std()


def test_a_second_fit_averages_anew():
    net = classifier(average="ema", warm_start=True)
    net.fit(X, Y)
    assert_close(weights_of(net), ema(kept(net).updates[24:], 0.99))


def test_partial_fit_does_not_average():
    net = classifier(average="ema", callbacks=[Keep()])
    net.partial_fit(X, Y)
    assert_close(weights_of(net), kept(net).updates[-1])


def test_an_interrupted_training_has_the_mean_so_far():
    class Interrupt(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    with pytest.warns(match="interrupted after 3 of 8 epochs"):
        net = classifier(average="ema", callbacks=[Keep(), Interrupt()])
    assert_close(weights_of(net), ema(kept(net).updates, 0.99))
    with pytest.warns(match="interrupted after 3 of 8 epochs"):  # before swa begins
        net = classifier(average="swa", callbacks=[Keep(), Interrupt()])
    assert_close(weights_of(net), kept(net).updates[-1])


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_the_default_net_of_tables(average, tmp_path):
    params = {"average": average, "max_epochs": 30, "random_state": 0}
    net = NetClassifier(**params).fit(X, Y)
    assert net.score(X, Y) > 0.8
    save(net, tmp_path / "net")
    np.testing.assert_array_equal(load(tmp_path / "net").predict_proba(X), net.predict_proba(X))
    values = NetRegressor(**params).fit(X, X[:, 0])
    assert values.score(X, X[:, 0]) > 0.8


@pytest.mark.parametrize("params", [{"kind": "mean"}, {"decay": 1.0}, {"decay": -0.1}, {"kind": "swa", "start": 1.0}])
def test_wrong_parameters(params):
    name, value = list(params.items())[-1]
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value!r}"):
        classifier(callbacks=[AverageWeights(**params)])


def test_early_stopping_is_another_thing():
    with pytest.raises(ValueError, match="average='ema' .* early_stopping=True"):
        classifier(average="ema", early_stopping=True)
