"""Where images come from: a folder of files as a table of paths, and paths as an array of pixels."""

import os
import warnings
from numbers import Integral, Real
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from ._decode import read_header
from ._image_files import (
    BitDepthWarning,
    UnreadableImageError,
    as_column,
    attempt,
    check_files_exist,
    common_size,
    describe_depth,
    name_some,
    read_pixels,
)
from ._optional import import_optional
from ._warnings import warn

ENDINGS = {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
ENDINGS |= {".tga", ".tif", ".tiff", ".webp"}
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
ORDER = ("train", "valid", "test")


class ImageFolderWarning(UserWarning):
    """A folder of images has an empty class, or holds files that are left out."""


class UnreadableImageWarning(UserWarning):
    """An image is missing or damaged, and is left out or replaced."""


def read_image_folder(path: str | os.PathLike):
    """List the images in a folder that has a folder for each class.

    The images of a class may lie in folders below its own. Where ``train``, ``valid`` (or ``val``, ``validation``) and
    ``test`` stand above the classes, they are the splits::

        photos/cat/1.jpg            photos/train/cat/1.jpg
        photos/cat/2.png            photos/train/dog/2.jpg
        photos/dog/old/3.jpg        photos/test/cat/3.jpg

    Images are told by the ends of their names (``.jpg``, ``.png``, ``.gif``, ``.bmp``, ``.tif``, ``.webp`` and the
    like, in any case). Of each the header is read, which takes a tenth of a millisecond or so. A file that is whole at
    its beginning and broken further on comes to light when its pixels are read.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    images : pandas.DataFrame
        A row for each image, sorted by split (train, valid, test), label and path: ``path`` (str, beginning with the
        given path), ``label`` (str, the name of the class) and ``split`` (``"train"``, ``"valid"``, ``"test"``, or None
        where there are no splits).

    Raises
    ------
    ValueError
        If ``path`` is no folder, or no image is in it.
    ImportError
        Without pandas or Pillow; ``pip install "sktricks[images]"`` brings both.

    Warns
    -----
    UnreadableImageWarning
        Names the files that are no images in spite of their names; they are left out.
    ImageFolderWarning
        Names empty classes, images outside the classes, and files of other kinds. Names that begin with a dot do not
        count.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktricks import read_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("sea/1.png", "sea/2.png", "sky/1.png"):
    ...         file = Path(folder, name)
    ...         file.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (8, 8), "blue").save(file)
    ...     images = read_image_folder(folder)
    >>> images.label.tolist()
    ['sea', 'sea', 'sky']
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"path must be a folder with a folder of images for each class, got {str(path)!r}")
    pandas = import_optional("pandas", "images")
    classes, outside = find_classes(root)
    rows = []
    for split, folder in classes:
        images, others = files_below(folder)
        outside += others
        rows += [(str(image), folder.name, split) for image in images]
        if not images:
            warn_of_folder(f"class {folder.name!r} is empty: no image is in {folder}")
    if outside:
        warn_of_folder(f"left out as no images in the folder of a class, {len(outside)} in all: {name_some(outside)}")
    rows = without_unreadable(rows)
    if not rows:
        raise ValueError(
            f"path must be a folder with a folder of images for each class, no image is in one in {str(path)!r}"
        )
    return pandas.DataFrame(rows, columns=["path", "label", "split"])


def find_classes(root):
    """Pairs of a split and the folder of a class, sorted, and the images that lie outside of them."""
    folders = subfolders(root)
    splits = find_splits(folders)
    if not splits:
        return [(None, folder) for folder in folders], images_in(root)
    outside = [image for folder in (root, *splits) for image in images_in(folder)]
    outside += [image for folder in folders if folder not in splits for image in files_below(folder)[0]]
    classes = [(split, folder) for parent, split in splits.items() for folder in subfolders(parent)]
    return sorted(classes, key=lambda pair: (ORDER.index(pair[0]), pair[1].name, pair[1])), outside


def find_splits(folders):
    """The split of each of the folders that stand above classes; none where all may be classes of such names."""
    splits = {folder: SPLITS[folder.name.lower()] for folder in folders if folder.name.lower() in SPLITS}
    splits = {folder: split for folder, split in splits.items() if subfolders(folder)}
    return splits if "train" in splits.values() or len(splits) == len(folders) else {}


def subfolders(folder):
    """The folders in a folder, sorted; not the hidden ones."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def is_image(file):
    """Whether a file is an image by its name."""
    return file.suffix.lower() in ENDINGS


def images_in(folder):
    """The images that lie in a folder itself, sorted."""
    return sorted(entry for entry in folder.iterdir() if is_image(entry) and entry.is_file())


def files_below(folder):
    """The images in a folder and below it, and the other files, each sorted; not the hidden ones."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(parent, name).is_symlink()]  # not followed: it may be a circle
        files += [Path(parent, name) for name in names + links if not name.startswith(".")]
    files.sort()
    return [file for file in files if is_image(file)], [file for file in files if not is_image(file)]


def without_unreadable(rows):
    """The rows whose first value is the path of an image, after a warning that names the others."""
    readable, errors = [], []
    for row in rows:
        try:
            attempt(read_header, row[0], 0)
            readable.append(row)
        except UnreadableImageError as error:
            errors.append(str(error))
    if errors:
        warn_of_unreadable(errors, "left out")
    return readable


def warn_of_folder(message):
    """Say what of a folder is left out."""
    warnings.warn(message, ImageFolderWarning, stacklevel=3)


def warn_of_unreadable(errors, fate):
    """Name the images that cannot be read, and say what becomes of them."""
    warn(f"unreadable images are {fate}, {len(errors)} in all: {name_some(errors)}", UnreadableImageWarning)


class ImageLoader(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Turn a column of image files into an array of images.

    Images come out upright, whatever their EXIF orientation, in 8 bits. Transparent parts are white, gray of more than
    8 bits is scaled, and the first image of an animation or of a file of several pages counts. Nothing is learned from
    X.

    A pretrained net needs no loader: :class:`FineTuneClassifier` and :class:`PretrainedFeatures` take the column
    itself, and read it batch by batch.

    Parameters
    ----------
    size : int or tuple of int, default=None
        (height, width) to resize to, or the side of a square; whatever the shape was, all of the image is kept. None:
        images stay as large as they are, and must be of one size.
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
        "mode": [StrOptions({"RGB", "L"})],
        "on_error": [StrOptions({"raise", "warn"})],
        "white_level": [Interval(Real, 0, 2**32, closed="neither"), None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        mode: str = "RGB",
        on_error: str = "raise",
        white_level: float | None = None,
        n_jobs: int | None = None,
    ):
        self.size = size
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
        """Do nothing, for the sake of a Pipeline's: images come as an array whatever it says.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : object
        """
        return self

    @_fit_context(prefer_skip_nested_validation=True)
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
            sources, size, self.mode, self.white_level, n_jobs=self.n_jobs, tolerant=tolerant
        )
        if errors:
            warn_of_unreadable(errors, "gray instead")
        if problem := describe_depth(peaks, self.white_level):
            warn(problem, BitDepthWarning)
        return images


def check_size(size):
    """``size`` as (height, width), None as it is."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, Integral) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and side >= 1 for side in sides):
        raise ValueError(f"size must be None, a positive integer or a pair (height, width) of them, got {size!r}")
    return int(sides[0]), int(sides[1])


def check_column(X):
    """The paths or bytes in X, at least one."""
    sources = as_column(X)
    if sources is None:
        what = (
            f" of shape {tuple(X.shape)}"
            if hasattr(X, "shape")
            else f" of length {len(X)}"
            if isinstance(X, list)
            else ""
        )
        raise ValueError(f"X must be one column of paths, or of the bytes of image files, got {type(X).__name__}{what}")
    return sources
