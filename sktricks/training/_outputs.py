"""Convert the outputs of a module to labels, probabilities and values, and the targets of the loss back to y."""

from __future__ import annotations

import re

import numpy as np
import torch

F = torch.nn.functional


class Outputs:
    """Base class for reading the outputs of a module, with one subclass per kind of y.

    Parameters
    ----------
    n_outputs : int
        Expected number of outputs per row.
    """

    estimator_type = "classifier"
    unit = "class"  # the item of y that corresponds to one output

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs

    def read(self, outputs, n_rows):
        """Return outputs with at least two dimensions as (n, n_outputs), or raise an error if they do not fit y."""
        if outputs.shape == (n_rows, self.n_outputs):
            return outputs
        plural = "output" if self.n_outputs == 1 else "outputs"
        raise ValueError(
            f"module must return {self.n_outputs} {plural} per row, one for each {self.unit} in y, got "
            f"{describe_shape(outputs.shape, n_rows)}: replace its last layer, or add n_outputs to its constructor"
        )

    def adapt_loss(self, loss):
        """Return the loss for outputs of this kind, or raise an error if there is none."""
        if self.estimator_type == "classifier" and is_loss(loss, torch.nn.BCELoss, F.binary_cross_entropy):
            raise ValueError(
                "loss must take the logits that the module returns, but BCELoss takes probabilities: use loss='bce', "
                "and a module without a final sigmoid"
            )
        return loss

    def finish(self, outputs):
        """Return the probabilities or values for the outputs."""
        raise NotImplementedError

    def decide(self, finished):
        """Return the predictions, an array, for the result of :meth:`finish`."""
        raise NotImplementedError

    def restore(self, y):
        """Return the user's y, an array, for targets of the loss."""
        raise NotImplementedError


class ClassOutputs(Outputs):
    """One logit per class, or for two classes a single logit, that of the second class."""

    def __init__(self, classes):
        super().__init__(len(classes))
        self.classes = classes

    def read(self, outputs, n_rows):
        if self.n_outputs == 2 and outputs.shape == (n_rows, 1):
            return torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        return super().read(outputs, n_rows)

    def adapt_loss(self, loss):
        if not is_loss(loss, torch.nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits):
            return super().adapt_loss(loss)
        if self.n_outputs != 2:
            raise ValueError(
                "loss='bce' requires two classes, or 0/1 columns of several labels, but y has "
                f"{self.n_outputs} classes: use loss='cross_entropy'"
            )
        return BinaryLoss(loss)

    def finish(self, outputs):
        return outputs.softmax(1)

    def decide(self, finished):
        return self.classes[finished.argmax(1)]

    def restore(self, y):
        return self.classes[(y.argmax(1) if y.ndim == 2 else y).cpu().numpy()]


class LabelOutputs(Outputs):
    """One logit for each of several labels."""

    unit = "label"

    def __init__(self, classes):
        super().__init__(len(classes))
        self.classes = classes

    def finish(self, outputs):
        return outputs.sigmoid()

    def decide(self, finished):
        return (finished > 0.5).astype(int)

    def restore(self, y):
        return (y > 0.5).long().cpu().numpy()  # undoes label smoothing


class ValueOutputs(Outputs):
    """One value for each column of y, which is standardized for the loss.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_outputs,)
        For a constant output, the scale is the result of :func:`resolution_of`.
    several : bool
        True if y has two dimensions.
    """

    estimator_type = "regressor"
    unit = "column"

    def __init__(self, mean, scale, several):
        super().__init__(len(mean))
        self.mean, self.scale, self.several = mean, scale, several

    def finish(self, outputs):
        return outputs.cpu().double() * torch.as_tensor(self.scale) + torch.as_tensor(self.mean)

    def decide(self, finished):
        return finished if self.several else finished[:, 0]

    def restore(self, y):
        return self.decide(y.cpu().double().numpy() * unit_of_targets(self.mean, self.scale) + self.mean)


def resolution_of(mean):
    """Return the scale of a constant output: the distance by which rounding may change its mean in float64."""
    return np.maximum(np.finfo(np.float64).eps * np.abs(mean), np.finfo(np.float64).tiny)


def unit_of_targets(mean, scale):
    """Return the divisor for the targets of the loss: the scale, or for a constant output its magnitude.

    Validation rows, or rows of a later training, may differ from the constant by far more than its resolution.
    """
    magnitude = np.where(mean == 0, 1.0, np.abs(mean))
    return np.where(scale <= resolution_of(mean), magnitude, scale)


def as_matrix(outputs):
    """Return the outputs of a module as a tensor of at least two dimensions.

    If the module returns a tuple, as GoogLeNet does in training, the first item is used.
    """
    if isinstance(outputs, (tuple, list)) and len(outputs):
        outputs = outputs[0]
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(
            "module must return a tensor of shape (n, outputs), or a tuple that begins with one, got an object of "
            f"type {type(outputs).__name__}: wrap it in a module that returns only the logits or values"
        )
    return outputs.unsqueeze(1) if outputs.ndim == 1 else outputs


def refuse_shape(x, error):
    """If a user's module raised an error about shapes, raise an error that describes its input."""
    text = " ".join(str(error).split())
    if not re.search(r"shape|size|dimension|channel", text) or re.search(r"memory|alloc", text):
        return
    got, cure = f"X of {x.shape[-1]} columns", "add n_features to its constructor, or pass other columns"
    if x.ndim == 4:
        got = f"images of shape (n, channels, height, width) = {tuple(x.shape)}"
        cure = "change the module, or the size and the number of channels of the images"
    raise ValueError(f"module cannot take {got} ({text}): {cure}") from error


def describe_shape(shape, n_rows):
    """Return the number of outputs per row as text, or the whole shape if it is not (n, outputs)."""
    return str(shape[1]) if len(shape) == 2 and shape[0] == n_rows else f"shape {tuple(shape)} for {n_rows} rows"


class BinaryLoss(torch.nn.Module):
    """Apply a loss for one logit to the outputs of two classes, whose difference is the logit of the second class."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, outputs, y):
        positive = y[:, 1] if y.ndim == 2 else y
        return self.loss(outputs[:, 1] - outputs[:, 0], positive.to(outputs.dtype))


def is_loss(loss, cls, function):
    """Return True if a loss is an instance of a class, or wraps a function."""
    inner = getattr(loss, "function", None)
    return isinstance(loss, cls) or getattr(inner, "func", inner) is function
