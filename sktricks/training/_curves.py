"""Values in the history of a net in addition to losses: validation scores, learning rates, gradient norms."""

from __future__ import annotations

import torch
from skorch.callbacks import Callback


class ValidationScore(Callback):
    """Record the score of the validation rows in each epoch as ``valid_score``.

    Parameters
    ----------
    score : callable
        Returns a float for outputs (n, outputs) and targets.
    """

    def __init__(self, score):
        self.score = score

    def on_epoch_begin(self, net, **kwargs):
        self.seen_ = []

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        if not training:
            self.seen_.append((y_pred.detach().cpu(), batch[1]))

    def on_epoch_end(self, net, **kwargs):
        if self.seen_:
            outputs, targets = (torch.cat(parts) for parts in zip(*self.seen_, strict=True))
            net.history.record("valid_score", float(self.score(outputs, targets)))
        self.seen_ = []


def accuracy(outputs, y):
    """Return the accuracy; y is codes, or probabilities whose largest one is the class."""
    return (outputs.argmax(1) == (y.argmax(1) if y.ndim == 2 else y)).double().mean()


def subset_accuracy(outputs, y):
    """Return the fraction of rows whose labels are all correct; an output above 0 predicts a label."""
    return ((outputs > 0) == (y > 0.5)).all(1).double().mean()


def r2(outputs, y):
    """Return the mean coefficient of determination over the columns; it is 1 or 0 for a constant column."""
    outputs, y = outputs.double(), y.double()
    error, spread = (y - outputs).square().sum(0), (y - y.mean(0)).square().sum(0)
    share = torch.where(spread > 0, error / spread, (error > 0).double())
    return (1 - share).mean()


class GradientNorms(Callback):
    """A skorch callback that records the mean norm of the gradient in each epoch as ``gradient_norm``.

    The norm is that before clipping by ``clip_norm``. The callback works with any ``skorch.NeuralNet``;
    :class:`TrainingDisplay` plots the values.

    See Also
    --------
    TrainingDisplay : Draw the norms, losses, scores and learning rates.
    diagnose : Look for common faults of a net and its rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import GradientNorms, NetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=5, callbacks=[GradientNorms()], random_state=0).fit(X, y)
    >>> len(net.net_.history[:, "gradient_norm"])
    5
    """

    def on_epoch_begin(self, net, **kwargs):
        """Forget the norms of the epoch before.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        self.norms_ = []

    def on_grad_computed(self, net, named_parameters=None, training=False, **kwargs):
        """Note the norm of the gradient of a batch.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        named_parameters : iterable, default=None
            Not used: parameters of the loss count as well.
        training : bool, default=False
            Not used.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        gradients = [p.grad for _, p in net.get_all_learnable_params() if p.grad is not None]
        if gradients:
            self.norms_.append(torch.stack([gradient.norm() for gradient in gradients]).norm())

    def on_epoch_end(self, net, **kwargs):
        """Record the mean of the norms in the history.

        Parameters
        ----------
        net : NeuralNet
            The skorch net that is trained.
        **kwargs : dict
            Whatever else skorch passes, ignored.
        """
        if self.norms_:
            net.history.record("gradient_norm", float(torch.stack(self.norms_).mean()))
        self.norms_ = []


def curve(history, name):
    """Return the recorded value of each epoch that has it, as a list of floats."""
    return [float(epoch[name]) for epoch in history if name in epoch]


def rates(history):
    """Return the mean learning rate over the steps of each epoch."""
    means = []
    for epoch in history:
        each = [batch["event_lr"] for batch in epoch["batches"] if "event_lr" in batch]
        means.append(sum(each) / len(each) if each else float(epoch["lr"]))
    return means
