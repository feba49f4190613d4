"""EMA and SWA: weights averaged over the training, which often predict better than the final weights."""

from __future__ import annotations

from numbers import Real

import torch
from skorch.callbacks import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn


class AverageWeights(Callback):
    """A skorch callback that averages the weights of any ``skorch.NeuralNet`` during training.

    The average replaces the weights when the training ends. The statistics of trained BatchNorms are then computed
    again by another pass over the training rows. Frozen layers do not change.

    Parameters
    ----------
    kind : {"ema", "swa"}, default="ema"
        ``"ema"`` is an exponential moving average over all steps (Polyak & Juditsky 1992); ``"swa"``, stochastic weight
        averaging, is the mean over the ends of the last epochs (Izmailov et al. 2018).
    decay : float, default=0.99
        Decay of ``"ema"`` per step. In early steps it is smaller, (1 + t) / (10 + t) at step t, so that the initial
        weights soon lose their influence.
    start : float, default=0.75
        Fraction of the epochs after which ``"swa"`` begins to average, in [0, 1).
    n_epochs : int, default=None
        Number of epochs of the whole training. None means ``max_epochs`` of the net.

    See Also
    --------
    NetClassifier : Its parameter ``average`` does this for nets of this package.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skorch import NeuralNetClassifier
    >>> from sktricks import AverageWeights
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     torch.nn.Linear(4, 3), criterion=torch.nn.CrossEntropyLoss, train_split=None, verbose=0,
    ...     callbacks=[AverageWeights("swa")],
    ... )
    >>> net = net.fit(X.astype("float32"), y)
    """

    def __init__(self, kind="ema", decay=0.99, start=0.75, n_epochs=None):
        self.kind = kind
        self.decay = decay
        self.start = start
        self.n_epochs = n_epochs

    def initialize(self):
        """Check the parameters.

        Returns
        -------
        self : AverageWeights
            The callback itself.
        """
        if not (isinstance(self.kind, str) and self.kind in ("ema", "swa")):
            raise ValueError(f"kind must be 'ema' or 'swa', got {self.kind!r}")
        for name, value in {"decay": self.decay, "start": self.start}.items():
            if not (isinstance(value, Real) and 0 <= value < 1):
                raise ValueError(f"{name} must be at least 0 and less than 1, got {value!r}")
        return self

    def on_train_begin(self, net, **kwargs):
        """Begin a new average.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        self.weights_ = nn.ParameterList(net.module_.parameters())
        mean = get_swa_multi_avg_fn() if self.kind == "swa" else self._move
        self.average_ = AveragedModel(self.weights_, multi_avg_fn=mean)
        self.batches_seen_ = [norm.num_batches_tracked.clone() for norm in batch_norms(net.module_)]
        self.epoch_ = 0

    @torch.no_grad()
    def _move(self, averages, weights, n_averaged):
        share = 1 - min(self.decay, float((1 + n_averaged) / (10 + n_averaged)))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, share)

    def on_batch_end(self, net, training=False, **kwargs):
        """Move the exponential average towards the weights.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        training : bool, default=False
            True for batches that are trained on; others are ignored.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        if training and self.kind == "ema":
            self.average_.update_parameters(self.weights_)

    def on_epoch_end(self, net, **kwargs):
        """Count the epoch, and include its weights in the equal average.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        self.epoch_ += 1
        if self.kind == "swa" and self.epoch_ > self.start * (self.n_epochs or net.max_epochs):
            self.average_.update_parameters(self.weights_)

    def on_train_end(self, net, X=None, y=None, **kwargs):
        """Put the average in place of the weights, and estimate the statistics of BatchNorm again.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        X, y : object, default=None
            The training data, on which the statistics are estimated.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        if self.average_.n_averaged > 0:
            with torch.no_grad():
                for weight, average in zip(self.weights_, self.average_.module, strict=True):
                    weight.copy_(average)
            trained = [
                norm
                for norm, before in zip(batch_norms(net.module_), self.batches_seen_, strict=True)
                if norm.num_batches_tracked != before
            ]
            renew_statistics(net, trained, net.get_split_datasets(X, y)[0])
        del self.weights_, self.average_, self.batches_seen_


def batch_norms(module):
    """Return the BatchNorms of a module that have running statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [part for part in module.modules() if isinstance(part, kind) and part.num_batches_tracked is not None]


def renew_statistics(net, norms, dataset):
    """Compute the running statistics of BatchNorms again over all batches of a net's training rows.

    torch's ``update_bn`` would reset the statistics of frozen layers as well.
    """
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    for batch in net.get_iterator(dataset, training=True):
        net.evaluation_step(batch, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
