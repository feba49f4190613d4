import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EpochScoring

from sktricks import FineTuneClassifier, NetClassifier, NetEnsembleClassifier, NetRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
IMAGES = RNG.integers(0, 256, (2, 8, 8)).astype(np.uint8)


def width_of(net):
    return net.net_.module_.embed.out_features


def test_get_params_shows_what_net_params_holds():
    net = NetClassifier(net_params={"module__width": 16})
    assert net.get_params()["module__width"] == 16
    assert net.get_params(deep=False)["net_params"] == {"module__width": 16}
    assert "module__width" not in net.get_params(deep=False)


def test_set_params_replaces_the_dict():
    mine = {"module__width": 16}
    net = NetClassifier(net_params=mine)
    copy = clone(net).set_params(module__width=8, optimizer__betas=(0.8, 0.9))
    assert mine == {"module__width": 16} and net.net_params is mine
    assert copy.net_params == {"module__width": 8, "optimizer__betas": (0.8, 0.9)}
    assert NetClassifier().set_params(module__depth=1).net_params == {"module__depth": 1}


def test_set_params_still_refuses_unknown_names():
    with pytest.raises(ValueError, match="widht"):
        NetClassifier().set_params(widht=3)


def test_they_reach_module_and_optimizer():
    net = NetClassifier(net_params={"module__width": 16, "module__depth": 1, "optimizer__betas": (0.8, 0.9)})
    net.set_params(max_epochs=1).fit(X, Y)
    assert width_of(net) == 16 and len(net.net_.module_.blocks) == 1
    assert net.net_.optimizer_.param_groups[0]["betas"] == (0.8, 0.9)


def test_they_reach_the_loader():
    net = NetClassifier(max_epochs=1, net_params={"iterator_train__shuffle": False}, random_state=0).fit(X, Y)
    assert net.net_.get_params()["iterator_train__shuffle"] is False


def test_a_module_argument_beats_the_one_from_the_data():
    class Narrow(torch.nn.Linear):
        def __init__(self, n_features, n_outputs, bias=True):
            super().__init__(n_features, n_outputs, bias=bias)

    net = NetClassifier(Narrow, max_epochs=1, net_params={"module__bias": False}).fit(X, Y)
    assert net.net_.module_.bias is None and net.net_.module_.weight.shape == (2, 4)


def test_grid_search_over_the_width():
    net = NetClassifier(max_epochs=2, net_params={"module__depth": 1}, random_state=0)
    search = GridSearchCV(net, {"module__width": [3, 12], "lr": [1e-3, 1e-2]}, cv=2).fit(X, Y)
    assert width_of(search.best_estimator_) == search.best_params_["module__width"]
    assert len(search.best_estimator_.net_.module_.blocks) == 1
    assert {params["module__width"] for params in search.cv_results_["params"]} == {3, 12}
    assert net.net_params == {"module__depth": 1}


@pytest.mark.parametrize(
    ("key", "knob"),
    [
        ("optimizer__weight_decay", "weight_decay"),
        ("optimizer__lr", "lr"),
        ("lr", "lr"),
        ("max_epochs", "max_epochs"),
        ("iterator_train__batch_size", "batch_size"),
        ("callbacks", "callbacks"),
        ("train_split", "validation_fraction"),
        ("criterion", "loss"),
        ("criterion__reduction", "loss"),
    ],
)
def test_a_key_that_a_knob_sets_is_an_error(key, knob):
    with pytest.raises(ValueError, match=rf"net_params must not have '{key}'.*{knob}"):
        NetClassifier(max_epochs=1, net_params={key: 1}).fit(X, Y)


def test_a_key_that_nobody_knows_is_an_error():
    with pytest.raises((TypeError, ValueError), match="widht"):
        NetClassifier(max_epochs=1, net_params={"module__widht": 3}).fit(X, Y)
    with pytest.raises((TypeError, ValueError), match="batch_sise"):
        NetClassifier(max_epochs=1, net_params={"batch_sise": 3}).fit(X, Y)


@pytest.mark.parametrize(
    ("net_params", "error", "message"),
    [
        ({0: 1}, TypeError, "net_params must have strings as keys, .* got the key 0 of type int"),
        ({b"module__width": 1}, TypeError, "net_params must have strings as keys, .* of type bytes"),
        (
            {"width": 1},
            ValueError,
            "net_params must contain parameters of skorch's net, .* got 'width': use a prefix of",
        ),
        ({"modul__width": 1}, ValueError, "net_params must contain parameters of skorch's net, .* got 'modul__width'"),
    ],
)
@pytest.mark.parametrize("net", [NetClassifier, FineTuneClassifier])
def test_keys_that_are_no_parameters_of_the_net(net, net_params, error, message):
    with pytest.raises(error, match=message):
        net(max_epochs=1, net_params=net_params).fit(IMAGES, [0, 1])
    with pytest.raises(error, match=message):
        NetEnsembleClassifier(net(max_epochs=1, net_params=net_params), n_members=2).fit(IMAGES, [0, 1])


def test_module_params_do_not_fit_an_instance():
    with pytest.raises(ValueError, match="module__width.*instance"):
        NetClassifier(torch.nn.Linear(4, 2), max_epochs=1, net_params={"module__width": 3}).fit(X, Y)


class Count(Callback):
    def __init__(self, start=0):
        self.start = start

    def initialize(self):
        self.n_epochs_ = self.start
        return self

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1


def counts(net):
    return [callback.n_epochs_ for _, callback in net.net_.callbacks_ if isinstance(callback, Count)]


def test_callbacks_come_as_instances_classes_and_pairs_and_are_copied():
    mine = [Count(), ("named", Count(5)), Count]
    net = NetClassifier(max_epochs=2, callbacks=mine).fit(X, Y)
    assert sorted(counts(net)) == [2, 2, 7]
    assert not hasattr(mine[0], "n_epochs_") and not hasattr(mine[1][1], "n_epochs_")


def test_a_named_callback_is_reached_through_net_params():
    net = NetClassifier(max_epochs=1, callbacks=[("mine", Count())], net_params={"callbacks__mine__start": 4})
    assert counts(net.fit(X, Y)) == [5]
    search = GridSearchCV(net, {"callbacks__mine__start": [10]}, cv=2).fit(X, Y)
    assert counts(search.best_estimator_) == [11]


def test_skorchs_scoring_callback_works():
    scoring = EpochScoring("neg_mean_squared_error", lower_is_better=False, on_train=True, name="mse")
    net = NetRegressor(max_epochs=3, callbacks=[scoring], random_state=0).fit(X, X[:, 0])
    assert np.isfinite(net.net_.history[:, "mse"]).all()


@pytest.mark.parametrize("wrong", [3, None, "early", object(), ("a",), ("name", 3), ["a", Count()], (3, Count()), dict])
@pytest.mark.parametrize("net", [NetClassifier, FineTuneClassifier])
def test_a_callback_of_the_wrong_type_is_an_error(net, wrong):
    with pytest.raises(
        TypeError, match="callbacks must contain skorch callbacks, or pairs of a name and a callback.* got"
    ):
        clone(net(max_epochs=1, callbacks=[wrong])).fit(IMAGES, [0, 1])


@pytest.mark.parametrize("net", [NetClassifier, FineTuneClassifier])
def test_a_name_with_none_is_no_callback(net):
    fitted = clone(net(max_epochs=1, callbacks=[("a", None), ("b", Count())])).fit(IMAGES, [0, 1])
    assert counts(fitted) == [1] and "a" not in dict(fitted.net_.callbacks_)


def test_names_of_our_own_callbacks_are_taken():
    with pytest.raises(ValueError, match="callbacks must not have names that start with own_, got 'own_schedule'"):
        NetClassifier(max_epochs=1, callbacks=[("own_schedule", Count())]).fit(X, Y)


def test_callbacks_must_be_a_list():
    with pytest.raises(ValueError, match="callbacks"):
        NetClassifier(max_epochs=1, callbacks=Count()).fit(X, Y)
