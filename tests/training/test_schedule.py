import numpy as np
import pytest
from skorch.callbacks import Callback
from torch import nn

from sktricks import NetClassifier
from sktricks.training._schedule import WarmupCosine, make_schedule

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def factors(n_steps, warm_up=0.1):
    schedule = WarmupCosine(n_steps, warm_up)
    return np.array([schedule(step) for step in range(n_steps)])


def test_up_in_a_line_and_down_along_a_cosine():
    up, down = np.split(factors(100), [10])
    np.testing.assert_allclose(up, np.arange(1, 11) / 10)
    np.testing.assert_allclose(down, 0.5 + 0.5 * np.cos(np.pi * np.arange(90) / 90))


@pytest.mark.parametrize("n_steps", [1, 2, 5, 10, 1000])
def test_every_length_reaches_one_and_stays_positive(n_steps):
    values = factors(n_steps)
    assert values.max() == 1 and values.min() > 0
    assert (np.diff(values[values.argmax() :]) <= 0).all()


def test_past_the_end_it_stays_at_zero():
    schedule = WarmupCosine(10)
    assert schedule(10) == pytest.approx(0) and schedule(99) == pytest.approx(0)


def test_share_of_the_warm_up():
    assert factors(100, 0.5).argmax() == 49


def test_constant_needs_no_callback():
    assert make_schedule("constant", 10, [0.1], "train_loss", 5) is None


class NoteRates(Callback):
    """The learning rate of each step."""

    def __init__(self):
        self.rates = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


def rates_of(net):
    return np.array(next(callback for _, callback in net.net_.callbacks_ if isinstance(callback, NoteRates)).rates)


def make(schedule, **params):
    params = {"max_epochs": 5, "batch_size": 10, "lr": 0.2, "random_state": 0, **params}
    return NetClassifier(schedule=schedule, callbacks=[NoteRates()], **params)


def test_a_fit_follows_it_update_by_update():
    np.testing.assert_allclose(rates_of(make("warmup-cosine").fit(X, Y)), 0.2 * factors(20))


def test_one_cycle_goes_up_and_further_down():
    rates = rates_of(make("one-cycle").fit(X, Y))
    assert rates.argmax() == 5 and rates.max() == pytest.approx(0.2)
    assert rates[0] == pytest.approx(0.2 / 25) and rates[-1] < 1e-4 * rates[0]


@pytest.mark.parametrize("max_epochs", [1, 2, 3])
def test_one_cycle_of_a_few_updates(max_epochs):
    rates = rates_of(make("one-cycle", batch_size=40, max_epochs=max_epochs).fit(X, Y))
    assert len(rates) == max_epochs and (rates > 0).all() and rates.max() <= 0.2


def test_a_plateau_divides_the_rate_by_ten():
    net = make("plateau", max_epochs=12, n_iter_no_change=4, batch_size=40, loss=Flat).fit(X, Y)
    np.testing.assert_allclose(rates_of(net), 0.2 * np.repeat([1, 0.1, 0.01, 0.001], [4, 3, 3, 2]))


def test_a_plateau_watches_the_validation_loss_where_there_is_one():
    learns = make("plateau", max_epochs=12, n_iter_no_change=4, batch_size=40, lr=0.01)
    easy = np.where(Y == 0, -1, 1)[:, None] * np.ones(3)
    assert (rates_of(learns.fit(easy, Y)) == 0.01).all()
    assert rates_of(learns.fit(easy, Y, X_val=easy, y_val=1 - Y)).min() < 0.01


class Flat(nn.Module):
    """A loss that never falls."""

    def forward(self, y_pred, y_true):
        return 0 * y_pred.sum(1) + 1


def test_a_constant_rate_is_constant():
    np.testing.assert_allclose(rates_of(make("constant").fit(X, Y)), np.full(20, 0.2))


@pytest.mark.parametrize("schedule", ["warmup-cosine", "one-cycle"])
def test_a_warm_start_begins_a_new_schedule(schedule):
    net = make(schedule, warm_start=True).fit(X, Y).fit(X, Y)
    first, second = np.split(rates_of(net), 2)
    np.testing.assert_allclose(first, second)


def test_schedules_may_follow_each_other():
    net = make("one-cycle", warm_start=True).fit(X, Y)
    rates = rates_of(net.set_params(schedule="warmup-cosine").fit(X, Y).set_params(lr=0.1).fit(X, Y))
    np.testing.assert_allclose(rates[20:], [*0.2 * factors(20), *0.1 * factors(20)])


@pytest.mark.parametrize("schedule", ["warmup-cosine", "one-cycle", "plateau"])
def test_partial_fit_trains_at_the_full_rate_even_after_a_schedule_ended(schedule):
    net = make(schedule).fit(X, Y).partial_fit(X, Y)
    np.testing.assert_allclose(rates_of(net)[-4:], np.full(4, 0.2))


def test_an_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="schedule"):
        make("cosine").fit(X, Y)
