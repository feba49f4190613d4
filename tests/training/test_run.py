"""What every training has in common, whichever engine runs it."""

import copy

from sklearn.datasets import make_classification
from skorch.callbacks import Callback

from sktricks import NetClassifier

X, y = make_classification(200, 8, random_state=0)


def test_a_second_training_that_goes_on_steps_before_its_schedule():  # else torch warns
    net = NetClassifier(max_epochs=2, warm_start=True, random_state=0).fit(X, y)
    copy.deepcopy(net).fit(X, y)
    net.partial_fit(X, y)


class Listener(Callback):
    """Notes what it is told, at batches and beside them."""

    def initialize(self):
        self.told = []
        self.on_batch_end = self.note  # by an attribute, which shadows the method
        return self

    def note(self, net, **kwargs):
        self.told.append("on_batch_end")

    def on_grad_computed(self, net, **kwargs):
        self.told.append("on_grad_computed")

    def on_epoch_end(self, net, **kwargs):
        self.told.append("on_epoch_end")


def test_callbacks_hear_of_each_batch_in_every_training():
    net = NetClassifier(max_epochs=2, batch_size=100, callbacks=[("mine", Listener())], random_state=0).fit(X, y)
    told = dict(net.net_.callbacks_)["mine"].told
    assert told == (["on_grad_computed", "on_batch_end"] * 2 + ["on_epoch_end"]) * 2
    net.partial_fit(X, y)
    assert len(told) > 10


class Late(Callback):
    """Begins to listen in the second epoch, and brings another callback along."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            self.heard, self.friend = [], Listener().initialize()
            self.on_batch_end = lambda net, **kwargs: self.heard.append(1)
            net.callbacks_.append(("friend", self.friend))


def test_callbacks_that_come_later_hear_of_each_batch_from_then_on():
    net = NetClassifier(max_epochs=3, batch_size=100, callbacks=[("mine", Late())], random_state=0).fit(X, y)
    late = dict(net.net_.callbacks_)["mine"]
    assert len(late.heard) == 4 and late.friend.told.count("on_batch_end") == 4
