"""Raise errors that name the augmenter if a net does not accept the shape of its results."""

from __future__ import annotations

from contextlib import contextmanager

import torch

ERRORS = (RuntimeError, ValueError, TypeError, IndexError)  # raised by nets for rows of a wrong shape


def check_augmented_shape(estimator, x, former):
    """Test the module on two rows if augmentation changes their shape, or if the shape differs from earlier.

    Parameters
    ----------
    estimator : BaseNet
        It contains the net to be trained.
    x : Tensor
        The rows of the dataset, before augmentation.
    former : augmenter or None
        The augmenter of the training that built the module; None if it is the present one.
    """
    net, on_images = estimator._net, estimator.image_shape_ is not None
    if on_images and x.ndim != 4:  # features of images, which were augmented before
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
    """Replace errors of the ``role`` within the context by one that describes the augmentation of ``shape``."""
    try:
        yield
    except ERRORS as error:
        found = output_shape(augmenter, shape)
        what = "rows of {1} columns" if shape[0] == shape[2] == 1 else "images of shape ({0}, {1}, {2})"
        before, after = what.format(*shape), what.format(*found)
        change = f"{before} become {after}" if before != after else f"{before} stay unchanged"
        raise ValueError(
            f"augmenter must return rows that the {role} accepts, got {join(repr(augmenter))}: {change}, for which the "
            f"{role} raises: {join(str(error))}. Use an augmenter that keeps the shape, or another {role}"
        ) from error


def join(text):
    """Return a text as a single line."""
    return " ".join(text.split())


def output_shape(augmenter, shape):
    """Return the shape of images after an augmenter; None does not change it."""
    return tuple(shape) if augmenter is None else augmenter.output_shape(tuple(shape))
