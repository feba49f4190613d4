"""Errors that name the augmenter if a net cannot take rows of the shape that it returns."""

from __future__ import annotations

from contextlib import contextmanager

import torch

ERRORS = (RuntimeError, ValueError, TypeError, IndexError)  # of a net that gets other rows than it is made for


def check_augmented_shape(estimator, x, former):
    """Send two rows through the module if they change their shape on the way, or another one than so far.

    Parameters
    ----------
    estimator : BaseNet
        With the net that it is about to train.
    x : Tensor
        The rows of the dataset, before they are augmented.
    former : augmenter or None
        The augmenter of the training that made the module; None if that is this one.
    """
    net, on_images = estimator._net, estimator.image_shape_ is not None
    if on_images and x.ndim != 4:  # features of images that are augmented
        return
    shape = tuple(x.shape[1:]) if on_images else (1, x.shape[1], 1)
    if output_shape(estimator._augmenter, shape) == output_shape(former, shape):
        return
    modes = [(part, part.training) for part in net.module_.modules()]
    net.module_.eval()
    try:
        with naming_augmenter(estimator.augmenter, shape, "module"), torch.no_grad():
            rows = x[:2] if net.prepare_valid_ is None else net.prepare_valid_(x[:2], None, None)[0]
            net.call_module(rows.to(net.device))
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def naming_augmenter(augmenter, shape, role):
    """Replace errors inside by one that says what becomes of images of ``shape``; ``role`` is what raises them."""
    try:
        yield
    except ERRORS as error:
        found = output_shape(augmenter, shape)
        what = "rows of {1} columns" if shape[0] == shape[2] == 1 else "images of shape ({0}, {1}, {2})"
        before, after = what.format(*shape), what.format(*found)
        change = f"{before} become {after}" if before != after else f"{before} stay"
        raise ValueError(
            f"augmenter must return what the {role} takes, got {join(repr(augmenter))}: {change}, for which the {role} "
            f"raises: {join(str(error))}. Use an augmenter that keeps the shape, or a {role} for what it returns"
        ) from error


def join(text):
    """Return a text in one line."""
    return " ".join(text.split())


def output_shape(augmenter, shape):
    """Return the shape of images after an augmenter; None leaves them as they are."""
    return tuple(shape) if augmenter is None else augmenter.output_shape(tuple(shape))
