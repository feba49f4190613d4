"""Find the smallest batch size at which a net computes the same bits as in its usual batches, for a few images.

Libraries choose kernels by the batch size, so the last bits of a row's result may depend on the number of rows. Padding
one image to a batch of 64 avoids this, but takes the time of 64 images. Most kernels do not differ, however: for a net
and an image size, a trial with noise shows the smallest batch size with equal bits.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

SMALLEST = 2  # a single row is a matrix-vector product, for which there are special kernels
ENOUGH = 64  # numbers to compare, so that they are not equal by chance
# By module, whether batches of a size have the bits of the usual ones: by (size, usual size, shape and dtype of images,
# number of threads, setting).
AGREES: WeakKeyDictionary[torch.nn.Module, dict[tuple, bool]] = WeakKeyDictionary()


def smallest_batch(function, module, images, usual, setting):
    """Return the batch size to which a few images are padded.

    Parameters
    ----------
    function : callable
        Prepares a batch of images and returns the outputs of the module, (n, outputs).
    module : torch.nn.Module
    images : Tensor of shape (n, height, width, channels), or LazyImages
    usual : int
        The batch size for many images.
    setting : hashable
        Other settings that affect the module's computation, such as its precision.

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
    """Return True if a row has the same bits in a batch of this size as in a usual one; the trial is memoized."""
    key = size, usual, *images.shape[1:], images.dtype, torch.get_num_threads(), setting
    known = AGREES.setdefault(module, {})
    if key not in known:
        agrees = try_out(function, make_noise(usual, images), size)
        if agrees is None:
            return False
        known[key] = agrees
    return known[key]


def make_noise(n, images):
    """Return n images of noise with the shape and dtype of given images."""
    shape, generator = (n, *images.shape[1:]), torch.Generator().manual_seed(0)
    if images.dtype == torch.uint8:
        return torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return torch.rand(shape, generator=generator, dtype=torch.float32).to(images.dtype)


def try_out(function, images, size):
    """Return True if batches of a size have the bits of one batch with all images; None if all rows are equal."""
    expected = function(images)
    if (expected == expected[:1]).all():  # for example, if the head is zero
        return None
    n_rows = max(size, -(-ENOUGH // max(1, expected[0].numel())))
    starts = range(0, min(n_rows, len(images) - size + 1), size)
    return all(torch.equal(function(images[start : start + size]), expected[start : start + size]) for start in starts)
