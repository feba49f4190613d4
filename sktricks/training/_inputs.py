"""Convert validated rows and images to the tensors that a net is called with."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import numpy as np
import torch

from .._progress import SILENT
from ..augment._plan import split_weights, weight_targets
from ..augment.copies._views import apply_view
from ..images._image_files import ImageFiles
from ..images._read_ahead import read_ahead

KEPT_BYTES = 2**28  # maximum size of decoded images that are kept from one epoch to the next
LARGE = 4_000_000  # number of parameters from which reading them takes long
LEVELS = 2**12  # number of pixel values that float32 must distinguish
STATISTICS_OF = 64  # images at once if a BatchNorm uses batch statistics


def pick_device(device, images):
    """Return the torch device: ``"auto"`` is the CPU for tables; for images, CUDA or MPS if available."""
    if not (isinstance(device, str) and device == "auto"):
        return check_device(device)
    if images and torch.cuda.is_available():
        return torch.device("cuda")
    if images and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(device):
    """Return a torch device that can be used here, or raise an error."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda', 'cuda:0', 'mps' or a torch.device, got {device!r}: use 'cuda' for "
            "a GPU by NVIDIA or AMD, 'mps' for one by Apple"
        ) from error
    try:
        torch.zeros(1, device=found).tolist()  # fails for the device "meta"
        return torch.zeros(0, device=found).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must exist on this machine, got {device!r} ({reason}): use 'auto'") from error


def supports_float64(device):
    """Return True if a device supports float64, as all except Apple's MPS do."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def table_dtype(dtype, device):
    """Return the torch dtype that represents a table without rounding: float32 or, if the device has it, float64."""
    exact = np.can_cast(dtype, np.float32) or not supports_float64(device)
    return torch.float32 if exact else torch.float64


def as_tensor(array, dtype=None):
    """Return a tensor; a read-only array is copied, since torch would warn about sharing its memory."""
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if dtype is None else tensor.to(dtype)


def images_to_tensor(images, value_range):
    """Return canonical images as a tensor: uint8 unchanged, others as float32; files are not read yet.

    Images become float64 if their range is so small compared with its distance from zero that float32 would merge pixel
    values.
    """
    if isinstance(images, ImageFiles):
        return LazyImages(images)
    if images.dtype == np.uint8:
        return as_tensor(images)
    low, high = value_range
    n_levels = (high - low) / (max(abs(low), abs(high)) * float(np.finfo(np.float32).eps))
    coarse = n_levels < LEVELS and not np.can_cast(images.dtype, np.float32)
    return as_tensor(images.astype(np.float64, copy=False) if coarse else to_float32(images))


def to_float32(images):
    """Return images as float32, or raise an error for pixels out of its range."""
    with np.errstate(over="ignore"):
        rounded = images.astype(np.float32, copy=False)
    if images.dtype.itemsize > 4 and not np.isfinite([rounded.min(initial=0), rounded.max(initial=0)]).all():
        largest, got = np.finfo(np.float32).max, np.abs(images).max()
        raise ValueError(
            f"X must have pixels of at most {largest:.2g}, since nets compute images in float32, got {got:.3g}: divide "
            "the images by a constant"
        )
    return rounded


class LazyImages:
    """Images that are read from files batch by batch, used in place of a uint8 tensor of the same shape.

    Images that are taken by index, as in every epoch of a training, are kept in memory if all of them fit into
    ``KEPT_BYTES``; a single pass by ``split`` keeps none.

    Parameters
    ----------
    files : ImageFiles
    """

    ndim, dtype = 4, torch.uint8

    def __init__(self, files):
        self.files, self.shape = files, torch.Size(files.shape)
        self._kept = torch.empty(self.shape, dtype=self.dtype) if self.shape.numel() <= KEPT_BYTES else None
        self._is_kept = np.zeros(len(files), bool)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, rows):
        rows = np.arange(len(self))[rows]
        if self._kept is None:
            return self._read(rows)
        new = rows[~self._is_kept[rows]]
        if len(new):
            self._kept[new] = self._read(new)
            self._is_kept[new] = True
        return self._kept[rows]

    def index_select(self, dim, rows):
        """Return the images of these rows; ``dim`` is 0."""
        return self[rows.numpy()]

    def split(self, size):
        """Return an iterator over all images in batches of ``size``, which reads ahead."""
        slices = [slice(start, start + size) for start in range(0, len(self), size)]
        with closing(read_ahead(self._read, slices)) as parts:
            for part in parts:
                self.files.warn_of_odd_shapes()
                yield part

    def reads_files(self):
        """Return True if some images are not in memory."""
        return self._kept is None or not self._is_kept.all()

    def digests(self):
        """Return 16 bytes per row that are equal only if the pixels are, without decoding the files."""
        return self.files.digests(torch.get_num_threads())

    def _read(self, rows):
        return torch.from_numpy(self.files[rows].read(torch.get_num_threads()))


def images_at_once(module, prepare, images, device):
    """Return the number of images per forward pass.

    On a CPU, it is small enough for the caches, but large enough to make reading the weights worthwhile, in particular
    for large nets. A large image is already many rows of a matrix, and predicting one photo should not take the time of
    64.
    """
    if device.type != "cpu":
        return 128
    most = 128 if sum(p.numel() for p in module.parameters()) > LARGE else 64
    blank = torch.zeros(1, *images.shape[1:], dtype=images.dtype)
    height, width = prepare(blank)[0].shape[2:]
    return max(8, min(most, most * 32 * 32 // (height * width)))


def map_images(function, images, at_once, progress=SILENT):
    """Return the outputs of a net for images, on the CPU; a number of images goes through the net at once.

    ``progress`` counts the images.

    Every batch has the same size, the last is filled up with zeros, since the size of a batch may decide the last bits
    of a row's result: see :mod:`~sktricks.training._batch_ladder`.
    """
    outputs, place = None, 0
    with closing(iterate(images, at_once)) as parts:
        for part in parts:
            filled = torch.cat([part, part.new_zeros(at_once - len(part), *part.shape[1:])])
            output = function(filled)[: len(part)]
            if outputs is None:
                outputs = torch.empty(len(images), *output.shape[1:], dtype=output.dtype)
            outputs[place : place + len(part)] = output
            place += len(part)
            progress.step(len(part))
    return outputs


def iterate(images, size):
    """Yield images in batches of ``size``; closing this generator ends the thread that reads files ahead."""
    yield from images.split(size)


def some_rows(n_rows, at_most=1024):
    """Return the number of distinct rows, and their evenly spaced indices, repeated to fill the last batch."""
    n_some = min(n_rows, at_most)
    places = np.arange(-(-n_some // STATISTICS_OF) * STATISTICS_OF) % n_some
    return n_some, places * n_rows // n_some


def select_images(images, rows):
    """Return some of the images; files are not read yet."""
    return LazyImages(images.files[rows]) if isinstance(images, LazyImages) else images[rows]


def prepare_images(value_range, augmenter=None, rng=None, finish=None):
    """Return a function that prepares a batch (images, targets, weights) for the net.

    It augments the canonical images, scales them to 0..1 and moves the channels first.

    Parameters
    ----------
    value_range : tuple of float
    augmenter : augmenter or None
        With ``rng``, it draws again for every batch; otherwise, its deterministic counterpart is applied.
    rng : numpy Generator or None
    finish : callable or None
        The backbone's preprocessing of a float tensor (n, channels, height, width).
    """
    return partial(_prepare_images, value_range=value_range, augmenter=augmenter, rng=rng, finish=finish)


def _prepare_images(x, y=None, weight=None, *, value_range, augmenter, rng, finish):
    if x.ndim != 4:  # features or values of frozen layers, computed from images before
        return x, y, weight
    x, y, weight = augment_batch(x, y, weight, augmenter, rng, value_range)
    low, high = value_range
    x = x.permute(0, 3, 1, 2)
    x = ((x if x.dtype == torch.float64 else x.float()) - low).float() / (high - low)
    return (x if finish is None else finish(x)), y, weight


def prepare_table(augmenter, rng=None, columns=None):
    """Return a function that prepares a batch (rows, targets, weights) for the net.

    It augments the rows as signals with one channel, then encodes the columns.
    """
    return partial(_prepare_table, augmenter=augmenter, rng=rng, columns=columns)


def _prepare_table(x, y=None, weight=None, *, augmenter, rng, columns):
    signals, y, weight = augment_batch(x[:, None, :, None], y, weight, augmenter, rng, None)
    x = signals[:, 0, :, 0]
    return (x if columns is None else torch.from_numpy(columns.apply(x.numpy()))), y, weight


def augment_batch(x, y, weight, augmenter, rng, value_range):
    """Return an augmented batch, with a new draw if ``rng`` is given, otherwise by the deterministic counterpart.

    If rows are mixed, so are targets and weights: see :func:`~sktricks.augment._plan.weight_targets`.
    """
    if augmenter is None:
        return x, y, weight
    if rng is None:
        return torch.from_numpy(augmenter.center_images(x.numpy(), value_range)), y, weight
    if augmenter._mixing_target() is None:
        return torch.from_numpy(augmenter._augment_images(x.numpy(), rng, value_range)), y, weight
    targets = y.numpy() if weight is None else weight_targets(y.numpy(), weight.numpy())
    images, targets = augmenter._augment_images(x.numpy(), rng, value_range, targets)
    if weight is not None:
        targets, weight = split_weights(targets, y.shape[1:])
        weight = torch.from_numpy(weight)
    return torch.from_numpy(images), torch.from_numpy(targets), weight


def view_of(x, view, value_range, augmenter):
    """Return a view of images or a table as a tensor, by default as at prediction time; files are read."""
    images = x[:].numpy() if x.ndim == 4 else x[:, None, :, None].numpy()
    if view is None:
        images = augmenter.center_images(images, value_range)
    else:
        images = apply_view(view, images, value_range, augmenter.n_jobs)
    images = torch.from_numpy(np.ascontiguousarray(images))
    return images if x.ndim == 4 else images[:, 0, :, 0]


def pick_view(x, y=None, weight=None, *, rng):
    """Return a random view of each row of x, (n, views, features)."""
    views = torch.from_numpy(rng.integers(x.shape[1], size=len(x)))
    return x[torch.arange(len(x)), views], y, weight


def first_view(x, y=None, weight=None):
    """Return each row as at prediction time: the first of its views, if there are several."""
    return (x[:, 0] if x.ndim == 3 else x), y, weight
