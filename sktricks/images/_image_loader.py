"""ImageLoader: a transformer from a column of image files to an array of pixels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import _wrap_data_with_container

from .._layout import as_sides
from .._progress import progress
from .._project import LinksToDocs
from .._text import count, name_some
from .._typing import fit_context
from .._warnings import BitDepthWarning, UnreadableImageWarning, warn
from ._bit_depth import describe_depth
from ._image_column import as_column, check_files_exist
from ._odd_shapes import OddShapes
from ._read_images import common_size, read_pixels
from ._resize import RESIZE_MODES

MAX_REASONS, MAX_NAMES = 3, 10  # per warning; per reason


class ImageLoader(LinksToDocs, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Read a column of image files into an array of images, or into columns of pixels.

    Images are uint8, rotated upright by their EXIF orientation. Transparent parts become white, gray values of more
    than 8 bits are scaled, and only the first frame of an animation or page of a file is read.

    The loader is stateless: ``transform`` does not require ``fit``. After ``fit``, it uses the parameters at the time
    of ``fit``, except ``on_error``, ``n_jobs`` and
    ``verbose``.

    ``flatten=True`` is for estimators that take tables, such as a random forest: it returns one column per pixel and
    channel, with names, and ``set_output`` applies to them.

    Pretrained nets do not require a loader: :class:`FineTuneClassifier` and :class:`PretrainedFeatures` take the column
    itself, and read it batch by batch.

    Parameters
    ----------
    size : int or tuple of int, default=None
        (height, width) to resize to, or the side of a square. None: images keep their size, and all must have the same.
    resize_mode : {"squash", "crop"}, default="squash"
        How images are resized if their aspect ratio differs from that of ``size``: ``"squash"`` keeps the whole image
        and changes its aspect ratio; ``"crop"`` resizes the shorter side and crops the center. It has no effect without
        ``size``.
    mode : {"RGB", "L"}, default="RGB"
        ``"RGB"``: read images in color; ``"L"``: in gray.
    on_error : {"raise", "warn"}, default="raise"
        How to handle an image that is missing or damaged. ``"raise"``: raise an error that names it. ``"warn"``:
        replace it by a gray image and issue an :class:`UnreadableImageWarning`.
    white_level : float, default=None
        The pixel value of white in gray images of more than 8 bits: 1023 for 10 bits, 4095 for 12 bits, 1.0 for floats
        from 0 to 1. Larger values become white. None: 65535, for 16 bits; images of floats are then an error. It has no
        effect on images of 8 bits.
    flatten : bool, default=False
        Return one row of pixel values per image, in the order of height, width and channel.
    n_jobs : int, default=None
        Number of threads; None means 1 outside a :obj:`joblib.parallel_config` context. The result does not depend on
        it.
    verbose : int, default=0
        0: silent. 1: a bar of images. 2: lines in the log instead.

    Warns
    -----
    BitDepthWarning
        If images of more than 8 bits use at most a quarter of the range up to 65535, or exceed ``white_level``.
    ImageSizeWarning
        If tiny or elongated images are resized.
    UnreadableImageWarning
        If ``on_error="warn"`` and images are missing or damaged. It names these images.

    See Also
    --------
    read_image_folder : List the images of a folder with their labels.
    FineTuneClassifier : Takes columns of image files directly.

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

    A forest takes rows of pixels:

    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(ImageLoader(size=32, flatten=True), RandomForestClassifier())
    """

    _parameter_constraints: dict = {
        "size": [Integral, "array-like", None],
        "resize_mode": [StrOptions(set(RESIZE_MODES))],
        "mode": [StrOptions({"RGB", "L"})],
        "on_error": [StrOptions({"raise", "warn"})],
        "white_level": [Interval(Real, 0, 2**32, closed="neither"), None],
        "flatten": ["boolean"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        resize_mode: str = "squash",
        mode: str = "RGB",
        on_error: str = "raise",
        white_level: float | None = None,
        flatten: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.size = size
        self.resize_mode = resize_mode
        self.mode = mode
        self.on_error = on_error
        self.white_level = white_level
        self.flatten = flatten
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []  # always uint8
        tags.requires_fit = False
        return tags

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the output columns with ``flatten=True``, such as ``"pixel_0_12_red"``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of shape (height * width * channels,), of dtype object
            Row, column and, for ``mode="RGB"``, color of each value.

        Raises
        ------
        ValueError
            If ``size`` is None.
        """
        settings = self._settings_in_use()
        size = settings["size"]
        if size is None:
            raise ValueError("size must be set to name the pixels, got None: pass size=(height, width)")
        colors = ("_red", "_green", "_blue") if settings["mode"] == "RGB" else ("",)
        pixels = [f"pixel_{row}_{column}" for row in range(size[0]) for column in range(size[1])]
        names = [pixel + color for pixel in pixels for color in colors]
        return np.array(names, dtype=object)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Check the parameters, and check that X is a column of image files, without opening any.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths or bytes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        check_column(X)
        self._fitted = self._current_settings()
        return self

    def fit_transform(self, X: ArrayLike, y: None = None) -> np.ndarray:
        """Check the parameters, and read images.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths or bytes.
        y : None
            Ignored.

        Returns
        -------
        images : ndarray of shape (n, height, width, 3), (n, height, width) or (n, height * width * channels)
            As :meth:`transform` returns them.
        """
        return self.fit(X).transform(X)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Read images.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths (str or os.PathLike) or bytes: a list, an array, a Series or a DataFrame of one column.

        Returns
        -------
        images : ndarray of shape (n, height, width, 3), or (n, height, width) for ``mode="L"``
            uint8. With ``flatten=True``, (n, height * width * channels), in the container chosen by ``set_output``.
            Images that are not flattened are always an array.
        """
        self._validate_params()
        settings, sources, tolerant = self._settings_in_use(), check_column(X), self.on_error == "warn"
        if not tolerant:
            check_files_exist(sources)
        size = settings["size"]
        if size is None:
            with progress(len(sources), "reading sizes", "image", self.verbose) as done:
                size = common_size(sources, tolerant, done)
        white_level, shapes = settings["white_level"], OddShapes()
        how = {"n_jobs": self.n_jobs, "tolerant": tolerant, "shapes": shapes}
        with progress(len(sources), "reading", "image", self.verbose) as done:
            images, peaks, errors = read_pixels(
                sources, size, settings["mode"], white_level, settings["resize_mode"], progress=done, **how
            )
        if errors:
            warn_of_unreadable(errors, "replaced by gray")
        if settings["size"] is not None:
            shapes.warn(size)
        if problem := describe_depth(peaks, white_level):
            warn(problem, BitDepthWarning)
        if not settings["flatten"]:
            return images
        return _wrap_data_with_container("transform", images.reshape(len(images), -1), X, self)

    def _current_settings(self):
        """Return the parameters that determine the pixels."""
        return {
            "size": check_size(self.size),
            "mode": str(self.mode),
            "resize_mode": str(self.resize_mode),
            "white_level": self.white_level,
            "flatten": bool(self.flatten),
        }

    def _settings_in_use(self):
        """Return the settings at the time of ``fit``, or the current ones if the loader is not fitted."""
        return vars(self).get("_fitted") or self._current_settings()


# transform applies set_output itself, and only if its result is a table, so scikit-learn must not wrap it.
ImageLoader._sklearn_auto_wrap_output_keys = {"transform"}  # type: ignore[attr-defined]


def check_size(size):
    """Return ``size`` as (height, width), or None."""
    if size is None:
        return None
    sides = as_sides(size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and side >= 1 for side in sides):
        raise ValueError(f"size must be None, a positive integer or a pair (height, width) of them, got {size!r}")
    return int(sides[0]), int(sides[1])


def check_column(X):
    """Return the paths or bytes in X, or raise an error if X is not a column of them."""
    sources = as_column(X)
    if sources is None:
        what = f" of length {len(X)}" if isinstance(X, list) else ""
        what = f" of shape {tuple(X.shape)}" if hasattr(X, "shape") else what
        raise ValueError(f"X must be one column of paths or bytes of image files, got {type(X).__name__}{what}")
    return sources


def warn_of_unreadable(errors, fate):
    """Warn of unreadable images, grouped by reason; ``fate`` describes how they are handled."""
    names: dict = {}
    for error in errors:
        names.setdefault(error.reason, []).append(error.name)
    found = "; ".join(f"{name_some(some, MAX_NAMES)} ({reason})" for reason, some in list(names.items())[:MAX_REASONS])
    more = sum(map(len, list(names.values())[MAX_REASONS:]))
    others = f"; and {more} for other reasons" if more else ""
    are = "is" if len(errors) == 1 else "are"
    warn(f"{count(len(errors), 'unreadable image')} {are} {fate}: {found}{others}", UnreadableImageWarning)
