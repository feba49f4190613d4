from collections import namedtuple
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from sktricks import MixUp, NetClassifier, NetEnsembleClassifier, NetRegressor

X, Y = make_classification(60, 6, n_informative=4, n_clusters_per_class=1, class_sep=2, random_state=0)
LABELS = np.array(["ink", "paper"])[Y]
Outputs = namedtuple("Outputs", "logits auxiliary")


class Linear(nn.Module):
    """A linear layer that returns its outputs in a given form in training."""

    def __init__(self, n_features, n_outputs=2, finish=lambda x: x):
        super().__init__()
        self.linear, self.finish = nn.Linear(n_features, n_outputs), finish

    def forward(self, x):
        x = self.linear(x)
        return self.finish(x) if self.training else x


class Always(Linear):
    """The same, in prediction too."""

    def forward(self, x):
        return self.finish(self.linear(x))


def classifier(module, **params):
    return NetClassifier(module, max_epochs=30, lr=5e-2, weight_decay=0, random_state=0, **params)


@pytest.mark.parametrize(
    ("net", "y", "message"),
    [
        (NetClassifier(nn.Linear(6, 1000)), LABELS, "module must return 2 outputs per row, one for each class.* 1000:"),
        (NetClassifier(nn.Linear(6, 1)), np.arange(60) % 3, "module must return 3 outputs .* class in y, got 1:"),
        (NetClassifier(nn.Linear(6, 5)), np.eye(3, 6)[Y][:, :3] < 1, "3 outputs per row, one for each label .* got 5:"),
        (NetRegressor(nn.Linear(6, 3)), X[:, 0], "module must return 1 output per row, one for each column .* got 3:"),
        (NetRegressor(nn.Linear(6, 1)), X[:, :2], "module must return 2 outputs .* got 1:"),
        (NetClassifier(partial(Linear, finish=lambda x: x[:, None])), LABELS, r"got shape \(60, 1, 2\) for 60 rows"),
        (NetClassifier(partial(Linear, finish=lambda x: x.flatten())), LABELS, r"got shape \(120, 1\) for 60 rows"),
        (NetClassifier(partial(Linear, finish=lambda x: x.repeat(1, 2))), LABELS, "2 outputs per row.* got 4"),
    ],
)
def test_outputs_that_do_not_fit_y_are_an_error_in_fit(net, y, message):
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)
    assert not hasattr(net, "classes_")
    with pytest.raises(ValueError, match=message):
        net.partial_fit(X, y)


def test_nets_that_train_together_are_refused_like_one_alone():
    net = NetClassifier(partial(Linear, finish=lambda x: x.repeat(1, 3)), max_epochs=2)
    with pytest.raises(ValueError, match="2 outputs per row, one for each class in y, got 6"):
        NetEnsembleClassifier(net, n_members=2).fit(X, Y)


def test_outputs_without_a_tensor_are_an_error():
    with pytest.raises(TypeError, match="module must return a tensor .* got an object of type dict"):
        NetClassifier(partial(Linear, finish=lambda x: {"logits": x})).fit(X, Y)


@pytest.mark.parametrize("module", [nn.Linear(6, 1), nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))])
@pytest.mark.parametrize("loss", ["auto", "bce", nn.functional.binary_cross_entropy_with_logits])
def test_one_logit_is_that_of_the_second_class(module, loss):
    net = classifier(module, loss=loss).fit(X, LABELS)
    proba = net.predict_proba(X)
    with torch.no_grad():
        fitted = net.net_.module_
        logits = fitted(torch.tensor(X, dtype=next(fitted.parameters()).dtype)).flatten()
    np.testing.assert_allclose(proba[:, 1], logits.sigmoid(), rtol=1e-5)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert net.score(X, LABELS) > 0.85
    np.testing.assert_array_equal(net.predict(X), net.classes_[proba.argmax(1)])


@pytest.mark.parametrize("module", ["mlp", nn.Linear(6, 1), nn.Linear(6, 2)])
@pytest.mark.parametrize("y", [LABELS, 0.9 * np.eye(2)[Y] + 0.05], ids=["labels", "probabilities"])
def test_binary_cross_entropy_on_two_classes_is_cross_entropy(module, y):
    one, other = (classifier(module, loss=loss).fit(X, y) for loss in ("bce", "auto"))
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-3, atol=1e-5)
    assert (one.predict_proba(X).argmax(1) == Y).mean() > 0.85


@pytest.mark.parametrize("module", ["mlp", nn.Linear(6, 1)])
def test_the_weight_of_positives_counts_for_the_second_class(module):
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))
    net = classifier(module, loss=loss).set_params(max_epochs=150).fit(np.zeros((60, 6)), np.arange(60) % 2)
    assert net.predict_proba(np.zeros((1, 6)))[0, 1] == pytest.approx(0.8, abs=0.01)


def test_binary_cross_entropy_of_mixed_targets_and_of_nets_trained_together():
    assert classifier("mlp", loss="bce", augmenter=MixUp(alpha=0.2)).fit(X, LABELS).score(X, LABELS) > 0.85
    nets = NetEnsembleClassifier(classifier("mlp", loss="bce"), n_members=2, random_state=0).fit(X, LABELS)
    loop = NetEnsembleClassifier(classifier("mlp", loss="bce"), n_members=2, mode="loop", random_state=0)
    np.testing.assert_allclose(nets.predict_proba(X), loop.fit(X, LABELS).predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("loss", ["bce", nn.BCEWithLogitsLoss])
def test_binary_cross_entropy_on_more_classes_is_an_error(loss):
    with pytest.raises(ValueError, match="loss='bce' requires two classes.* but y has 3 classes: use loss="):
        NetClassifier(loss=loss).fit(X, np.arange(60) % 3)


@pytest.mark.parametrize("loss", [nn.BCELoss, nn.BCELoss(), nn.functional.binary_cross_entropy])
@pytest.mark.parametrize("y", [Y, np.eye(3)[Y] + np.eye(3)[2]])
def test_a_loss_of_probabilities_is_an_error(loss, y):
    with pytest.raises(ValueError, match="loss must take the logits.* BCELoss takes probabilities: use loss='bce'"):
        NetClassifier(loss=loss).fit(X, y)


@pytest.mark.parametrize("finish", [lambda x: Outputs(x, None), lambda x: (x, x + 1), lambda x: [x]])
@pytest.mark.parametrize("module", [Linear, Always])
def test_of_several_outputs_the_first_is_used(finish, module):
    net, plain = classifier(partial(module, finish=finish)), classifier(Linear)
    np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), plain.fit(X, Y).predict_proba(X))
    nets = NetEnsembleClassifier(net, n_members=2, random_state=0).fit(X, Y)
    assert nets.score(X, Y) > 0.85


# -- inputs of another size than the module takes ----------------------------------------------------------------------


def test_a_module_for_another_number_of_columns_is_an_error_that_names_them():
    expected = r"module cannot take X of 6 columns \(mat1 and mat2 .*\): add n_features to its constructor, or pass"
    for net in (NetClassifier(nn.Linear(5, 2)), NetClassifier(nn.Linear(5, 2), optimizer=torch.optim.Adagrad)):
        with pytest.raises(ValueError, match=expected) as caught:
            net.fit(X, Y)
        assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(ValueError, match="module cannot take X of 6 columns"):  # whose members train together
        NetEnsembleClassifier(NetClassifier(lambda n_outputs: nn.Linear(5, n_outputs)), n_members=2).fit(X, Y)


def test_a_module_for_another_number_of_channels_is_an_error_that_shows_the_shape():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match=r"images of shape \(n, channels, height, width\) = \(20, 1, 4, 4\) \(Given"):
        NetClassifier(module).fit(np.zeros((20, 4, 4)), Y[:20])


@pytest.mark.parametrize("text", ["boom", "CUDA out of memory. max_split_size_mb", "can't allocate memory: size 9"])
def test_other_errors_of_a_module_stay_as_they_are(text):
    def fail(x):
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=text):
        NetClassifier(Always(6, 2, fail)).fit(X, Y)


def test_an_error_after_the_first_batch_stays_as_it_is():
    calls = []

    def fail_later(x):
        calls.append(x)
        return x if len(calls) == 1 else x @ x

    for optimizer in ("adamw", torch.optim.Adagrad):
        calls.clear()
        net = NetClassifier(partial(Always, finish=fail_later), optimizer=optimizer, batch_size=20)
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            net.fit(X, Y)
