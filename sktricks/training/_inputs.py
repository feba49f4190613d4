"""From what the user gave to the tensors that a net is called with."""

from functools import partial

import numpy as np
import torch

IMAGES_AT_ONCE = 64  # on the way through a net: few enough for the caches of a CPU, enough for large matrices


def pick_device(device, images):
    """The torch device: ``"auto"`` is the CPU for tables, and for images CUDA, then MPS, where there is one."""
    if device != "auto":
        return torch.device(device)
    if images and torch.cuda.is_available():
        return torch.device("cuda")
    if images and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def supports_float64(device):
    """Whether a device computes in double precision; Apple's MPS does not."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def table_dtype(dtype, device):
    """The torch dtype for a table: its own if it is float32 or float64 and the device has it, else float32."""
    return torch.float64 if dtype == np.float64 and supports_float64(device) else torch.float32


def as_tensor(array, dtype=None):
    """A tensor that shares no memory with a read-only array, which torch would warn of."""
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if dtype is None else tensor.to(dtype)


def images_to_tensor(images):
    """Canonical images as a tensor of the same shape: uint8 as they are, all others as float32."""
    return as_tensor(images if images.dtype == np.uint8 else images.astype(np.float32, copy=False))


def map_images(function, images):
    """A net's outputs for images, batch by batch, on the CPU.

    Every batch has the same size, the last is filled up with zeros: kernels are chosen by the size of a batch, so the
    last bits of a row's result would otherwise depend on how many rows come with it.
    """
    outputs, place = None, 0
    for part in images.split(IMAGES_AT_ONCE):
        filled = torch.cat([part, part.new_zeros(IMAGES_AT_ONCE - len(part), *part.shape[1:])])
        output = function(filled)[: len(part)]
        if outputs is None:
            outputs = torch.empty(len(images), *output.shape[1:], dtype=output.dtype)
        outputs[place : place + len(part)] = output
        place += len(part)
    return outputs


def prepare_images(value_range, augmenter=None, rng=None, finish=None):
    """A function of a batch of canonical images and its targets: augment, scale to 0..1, put the channels first.

    Parameters
    ----------
    value_range : tuple of float
    augmenter : augmenter or None
        With ``rng`` it draws anew for every batch, without one its deterministic counterpart applies.
    rng : numpy Generator or None
    finish : callable or None
        The backbone's preprocessing of a float tensor (n, channels, height, width).
    """
    return partial(_prepare_images, value_range=value_range, augmenter=augmenter, rng=rng, finish=finish)


def _prepare_images(x, y, *, value_range, augmenter, rng, finish):
    x, y = augment_batch(x, y, augmenter, rng, value_range)
    low, high = value_range
    x = (x.permute(0, 3, 1, 2).float() - low) / (high - low)
    return (x if finish is None else finish(x)), y


def prepare_table(augmenter, rng=None):
    """A function of a batch of rows and its targets: augment them as signals of one channel."""
    return partial(_prepare_table, augmenter=augmenter, rng=rng)


def _prepare_table(x, y, *, augmenter, rng):
    signals, y = augment_batch(x[:, None, :, None], y, augmenter, rng, None)
    return signals[:, 0, :, 0], y


def augment_batch(x, y, augmenter, rng, value_range):
    """A fresh draw with ``rng``, the deterministic counterpart without one; targets are mixed where images are."""
    if augmenter is None:
        return x, y
    if rng is None:
        return torch.from_numpy(augmenter._center_images(x.numpy(), value_range)), y
    if augmenter._mixing_target() is None:
        return torch.from_numpy(augmenter._augment_images(x.numpy(), rng, value_range)), y
    images, targets = augmenter._augment_images(x.numpy(), rng, value_range, y.numpy())
    return torch.from_numpy(images), torch.from_numpy(targets)
