"""ImageLoader: a transformer from a column of image files to an array of pixels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions

from .._layout import as_sides
from .._text import name_some
from .._typing import fit_context
from .._warnings import BitDepthWarning, UnreadableImageWarning, warn
from ._bit_depth import describe_depth
from ._image_column import as_column, check_files_exist
from ._read_images import common_size, read_pixels
from ._resize import RESIZE_MODES


class ImageLoader(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turn a column of image files into an array of images.

    Images come out upright, whatever their EXIF orientation, in 8 bits. Transparent parts are white, gray of more than
    8 bits is scaled, and the first image of an animation or of a file of several pages counts. Nothing is learned from
    X.

    A pretrained net needs no loader: :class:`FineTuneClassifier` and :class:`PretrainedFeatures` take the column
    itself, and read it batch by batch.

    Parameters
    ----------
    size : int or tuple of int, default=None
        (height, width) to resize to, or the side of a square. None: images stay as large as they are, and must be of
        one size.
    resize_mode : {"squash", "crop"}, default="squash"
        How an image of another aspect ratio is resized: ``"squash"`` keeps all of it and changes the aspect ratio,
        ``"crop"`` resizes the shorter side and takes the center. Without ``size`` it has no effect.
    mode : {"RGB", "L"}, default="RGB"
        Color or gray.
    on_error : {"raise", "warn"}, default="raise"
        What to do with an image that is missing or damaged: raise an error that names it, or put a gray image in its
        row and warn.
    white_level : float, default=None
        The value that is white (255) in gray images of more than 8 bits: 1023 for 10 bits, 4095 for 12 bits, 1.0 for
        floats from 0 to 1. Larger values become white. None is 65535, the white of 16 bits; floats are then an error.
        Images of 8 bits are read as they are.
    n_jobs : int, default=None
        Threads; None is 1 outside a :obj:`joblib.parallel_config` context. The result does not depend on it.

    Warns
    -----
    BitDepthWarning
        If images of more than 8 bits use at most a quarter of the range up to 65535, or exceed ``white_level``.
    UnreadableImageWarning
        Names the images that are gray instead.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktricks import ImageLoader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, "wide.png"), Path(folder, "high.jpg")]
    ...     Image.new("RGB", (40, 20), "red").save(paths[0])
    ...     Image.new("L", (20, 30), "white").save(paths[1])
    ...     images = ImageLoader(size=(16, 24)).fit_transform(paths)
    >>> images.shape, images.dtype
    ((2, 16, 24, 3), dtype('uint8'))
    """

    _parameter_constraints: dict = {
        "size": [Integral, "array-like", None],
        "resize_mode": [StrOptions(set(RESIZE_MODES))],
        "mode": [StrOptions({"RGB", "L"})],
        "on_error": [StrOptions({"raise", "warn"})],
        "white_level": [Interval(Real, 0, 2**32, closed="neither"), None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        resize_mode: str = "squash",
        mode: str = "RGB",
        on_error: str = "raise",
        white_level: float | None = None,
        n_jobs: int | None = None,
    ):
        self.size = size
        self.resize_mode = resize_mode
        self.mode = mode
        self.on_error = on_error
        self.white_level = white_level
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []  # always uint8
        tags.requires_fit = False
        return tags

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: images are always returned as an array, also within a Pipeline whose output is set.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : object
        """
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Check the parameters and that X is a column of image files; no file is opened.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths or bytes.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        check_size(self.size)
        check_column(X)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Read images.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths (str or os.PathLike) or bytes: a list, an array, a Series or a DataFrame of one column.

        Returns
        -------
        images : ndarray of shape (n, height, width, 3), or (n, height, width) for ``mode="L"``
            uint8.
        """
        self._validate_params()
        size, sources, tolerant = check_size(self.size), check_column(X), self.on_error == "warn"
        if not tolerant:
            check_files_exist(sources)
        size = size or common_size(sources, tolerant)
        images, peaks, errors = read_pixels(
            sources, size, self.mode, self.white_level, self.resize_mode, n_jobs=self.n_jobs, tolerant=tolerant
        )
        if errors:
            warn_of_unreadable(errors, "gray instead")
        if problem := describe_depth(peaks, self.white_level):
            warn(problem, BitDepthWarning)
        return images


def check_size(size):
    """Return ``size`` as (height, width), or None."""
    if size is None:
        return None
    sides = as_sides(size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and side >= 1 for side in sides):
        raise ValueError(f"size must be None, a positive integer or a pair (height, width) of them, got {size!r}")
    return int(sides[0]), int(sides[1])


def check_column(X):
    """Return the paths or bytes in X, at least one."""
    sources = as_column(X)
    if sources is None:
        what = f" of length {len(X)}" if isinstance(X, list) else ""
        what = f" of shape {tuple(X.shape)}" if hasattr(X, "shape") else what
        raise ValueError(f"X must be one column of paths, or of the bytes of image files, got {type(X).__name__}{what}")
    return sources


def warn_of_unreadable(errors, fate):
    """Warn of the images that cannot be read; ``fate`` says what happens to them."""
    warn(f"unreadable images are {fate}, {len(errors)} in all: {name_some(errors)}", UnreadableImageWarning)
