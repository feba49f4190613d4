"""Batches for few images: the smallest at which a net computes the same bits as in its usual batches.

Kernels are chosen by the size of a batch, so the last bits of a row's result may depend on how many rows come with it.
To pad one image to a batch of 64 avoids that, and costs 64 images. But most kernels do not differ: for a net and a size
of images, a trial with noise shows from which size of batches on.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

SMALLEST = 2  # a row alone is a product of a matrix with a vector, which has kernels of its own
ENOUGH = 64  # numbers to compare: few would be equal by chance
# By module, if batches of a size have the bits of the usual ones: by (size, usual size, shape and dtype of images,
# number of threads, setting).
AGREES: WeakKeyDictionary[torch.nn.Module, dict[tuple, bool]] = WeakKeyDictionary()


def smallest_batch(function, module, images, usual, setting):
    """Return the size of the batch that some images are filled up to.

    Parameters
    ----------
    function : callable
        What the module makes of a batch of images, prepared first: a tensor (n, outputs).
    module : torch.nn.Module
    images : Tensor of shape (n, height, width, channels), or LazyImages
    usual : int
        The size of the batches of many images.
    setting : hashable
        What else decides how the module computes, such as its precision.

    Returns
    -------
    size : int
        A power of 2, at least 2, or the usual size.
    """
    size = max(SMALLEST, 1 << (len(images) - 1).bit_length())
    while size < usual:
        if has_usual_bits(function, module, images, size, usual, setting):
            return size
        size *= 2
    return usual


def has_usual_bits(function, module, images, size, usual, setting):
    """Return True if a row has the same bits in a batch of this size as in a usual one, tried out once."""
    key = size, usual, *images.shape[1:], images.dtype, torch.get_num_threads(), setting
    known = AGREES.setdefault(module, {})
    if key not in known:
        agrees = try_out(function, make_noise(usual, images), size)
        if agrees is None:
            return False
        known[key] = agrees
    return known[key]


def make_noise(n, images):
    """Return n images of noise like some others."""
    shape, generator = (n, *images.shape[1:]), torch.Generator().manual_seed(0)
    if images.dtype == torch.uint8:
        return torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return torch.rand(shape, generator=generator, dtype=torch.float32).to(images.dtype)


def try_out(function, images, size):
    """Return True if batches of a size have the bits of one of all images; None if rows cannot be told apart."""
    expected = function(images)
    if (expected == expected[:1]).all():  # as those of a head that is zero
        return None
    n_rows = max(size, -(-ENOUGH // max(1, expected[0].numel())))
    starts = range(0, min(n_rows, len(images) - size + 1), size)
    return all(torch.equal(function(images[start : start + size]), expected[start : start + size]) for start in starts)
