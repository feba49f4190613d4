"""The skorch net inside an estimator, with weighted rows and prepared batches, and without printing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import skorch
import torch
from sklearn.metrics import get_scorer
from skorch.callbacks import PassthroughScoring

from ._decay import split_by_decay
from ._outputs import as_matrix, refuse_shape
from ._precision import FLOAT32, HALF, computing_in


class PreparedBatch(tuple):
    """Prepared inputs and targets of a batch."""


def prepared(batch, prepare):
    """Return the prepared batch."""
    inputs, y = batch
    x, y, weight = prepare(inputs["x"], y, inputs.get("weight"))
    inputs = {**inputs, "x": x} if weight is None else {**inputs, "x": x, "weight": weight}
    return PreparedBatch((inputs, y))


def computes_elsewhere(device):
    """Return True if the CPU is idle while a device trains; on a CPU, another thread would slow down the training."""
    return device.type != "cpu"


class PreparedAhead:
    """Iterate over batches, preparing each in another thread while the net trains on the previous one."""

    def __init__(self, batches, prepare):
        self.batches, self.prepare = batches, prepare

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        with ThreadPoolExecutor(1) as thread:
            waiting = None
            for batch in self.batches:
                coming = thread.submit(prepared, batch, self.prepare)
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
            if waiting is not None:
                yield waiting.result()


def is_first_batch(history):
    """Return True until the first batch of a net's first training is finished."""
    return len(history) == 0 or (len(history) == 1 and len(history[0]["batches"]) <= 1)


class InnerNet(skorch.NeuralNet):
    """A skorch net over :class:`~sktricks.training._loader.ArrayDataset`.

    ``prepare_train_`` and ``prepare_valid_`` take x, y and weight (or None) of each batch, and return all three as the
    module and the loss take them. If ``prepares_ahead_``, ``prepare_train_`` runs ahead in another thread.
    """

    outputs_: Any = None  # an Outputs, which checks the outputs of the module; None disables the check
    prepare_train_ = prepare_valid_ = None
    prepares_ahead_ = False
    precision_ = FLOAT32  # or bfloat16, by autocast
    input_dtype_ = None  # dtype of a user's module; None for modules of this package, which cast their inputs

    @property
    def _default_callbacks(self):
        return [
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring("valid_loss")),
        ]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = None if self.outputs_ is None else self.outputs_.estimator_type
        return tags

    @property
    def classes_(self):
        """The classes of a classifier, in the order of :meth:`predict_proba`; others lack the attribute."""
        return self.outputs_.classes

    def _get_predict_nonlinearity(self):
        if self.predict_nonlinearity != "auto" or self.outputs_ is None:
            return super()._get_predict_nonlinearity()
        return self.outputs_.finish

    def predict(self, X):
        """Return the predictions of the estimator for rows as skorch takes them."""
        outputs = self.predict_proba(X)
        return outputs if self.outputs_ is None else self.outputs_.decide(outputs)

    def score(self, X, y):
        """Return the accuracy or the coefficient of determination, for callbacks."""
        name = "accuracy" if self.outputs_.estimator_type == "classifier" else "r2"
        return get_scorer(name)(self, X, y)

    def get_params_for_optimizer(self, prefix, named_parameters):
        (groups,), settings = super().get_params_for_optimizer(prefix, named_parameters)
        if settings.get("weight_decay"):
            groups = [part for group in groups for part in split_by_decay(group)]
        return (groups,), settings

    def get_iterator(self, dataset, training=False):
        batches = super().get_iterator(dataset, training)
        return PreparedAhead(batches, self.prepare_train_) if training and self.prepares_ahead_ else batches

    def train_step(self, batch, **fit_params):
        return super().train_step(self._prepared(batch, self.prepare_train_), **fit_params)

    def validation_step(self, batch, **fit_params):
        return super().validation_step(self._prepared(batch, self.prepare_valid_), **fit_params)

    def evaluation_step(self, batch, training=False):
        prepare = self.prepare_train_ if training else self.prepare_valid_
        return super().evaluation_step(self._prepared(batch, prepare), training)

    def _prepared(self, batch, prepare):
        inputs, y = batch if prepare is None or isinstance(batch, PreparedBatch) else prepared(batch, prepare)
        x = inputs["x"]
        return {**inputs, "x": x.to(self.device)}, y.to(self.device)

    def _set_training(self, training=True):
        if self.module_.training != training:  # setting the mode of all modules for each batch takes too long
            super()._set_training(training)

    def infer(self, x, **fit_params):
        y = self.call_module(x["x"], **fit_params)
        return y if self.outputs_ is None else self.outputs_.read(y, len(x["x"]))

    def call_module(self, x, **fit_params):
        """Return the outputs of the module, unchecked, as a tensor of at least two dimensions."""
        x = x if self.input_dtype_ is None else x.to(self.input_dtype_)
        try:
            with computing_in(self.precision_, self.device):
                y = as_matrix(self.module_(x, **fit_params))
        except RuntimeError as error:
            if self.input_dtype_ is not None and self.module_.training and is_first_batch(self.history):
                refuse_shape(x, error)
            raise
        return y.float() if y.dtype in HALF else y

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss, weight = self.criterion_(y_pred, y_true), X.get("weight")
        if not isinstance(loss, torch.Tensor):
            raise TypeError(f"loss must return a tensor, got an object of type {type(loss).__name__}")
        if loss.ndim == 0:
            if weight is not None:
                raise ValueError("loss must return one value per row if rows are weighted, got one for the whole batch")
            return loss
        loss = loss.flatten(1).mean(1) if loss.ndim > 1 else loss
        return loss.mean() if weight is None else (loss * weight.to(loss.device)).mean()
