"""The first phase of ``"lp-ft"``: train only the head, so that its initial errors do not distort the backbone."""

from __future__ import annotations

import torch
from skorch.callbacks import Callback

from ..training._loader import ArrayDataset
from ..training._make_net import make_net
from ..training.run import TrainingRun, train
from ._strategies import raise_bias_rate


class ProbeFirst(Callback):
    """Train the head on the features of the pretrained backbone before the first epoch of the whole net.

    Parameters
    ----------
    features : Tensor of shape (n, features)
        Features of the training rows; deleted after use.
    seed : int
        Seed for shuffling the rows.
    settings : dict
        Parameters of the training, by name.
    """

    def __init__(self, features, seed, settings):
        self.features, self.seed, self.settings = features, seed, settings

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Train the head before the first epoch."""
        if self.features is None:
            return
        head = net.module_.head
        with torch.no_grad():
            x = head.prepare(self.features.to(net.device)).cpu()
        rows, self.features = ArrayDataset(x, dataset_train.y, dataset_train.weight), None
        settings = dict(self.settings)
        epochs = settings.pop("max_epochs")
        probe = make_net(head.linear, net.criterion_, **settings, device=net.device, callbacks=[], params={})
        raise_bias_rate(probe.optimizer_, head.linear.in_features)
        run = TrainingRun(probe, head.linear, rows, epochs=epochs, seed=self.seed)
        train([run], interruptible=False)  # an interruption ends both phases
        run.check()

    def on_train_end(self, net, **kwargs):
        """Delete features that remain after an interruption, since they belong to the rows of this training."""
        self.features = None
