"""find_duplicates: rows that are copies of one another, and copies on both sides of a split."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from .._layout import find_layout
from .._optional import import_optional
from .._parameter_checks import check_verbose
from .._progress import progress
from .._text import count, name_some
from .._threads import check_array
from ..images._decode import read_size
from ..images._image_column import as_column, check_files_exist
from ..images._read_images import read_pixels
from ..images._unreadable_image import attempt
from ..tables._frames import is_frame, is_missing
from ..transfer._auto_backbone import typical_size
from ._equal_rows import number_files, number_images, number_table
from ._similar_images import SMALL, find_similar, join_pairs, thumbnails_of_images

READ = 32  # side in pixels at which files are read: at a quarter of this, fast decoding shifts some JPEG files too far
KINDS = ("exact", "resized", "re-encoded")


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The result of :func:`find_duplicates`; ``print`` shows a summary.

    Attributes
    ----------
    groups : ndarray of int, shape (n,)
        The number of the group of each row. Rows of one group are copies of one another, directly or through other
        rows; a row without copies is alone in its group. Pass them as ``groups`` to a splitter such as
        :class:`~sklearn.model_selection.GroupKFold`.
    pairs : ndarray of int, shape (pairs, 2)
        Indices of two rows that are copies, the smaller first. Each of several exactly equal rows is paired with the
        first.
    kinds : ndarray of str, shape (pairs,)
        ``"exact"``: equal files, pixels, or values. ``"resized"``: similar images whose files differ in height or
        width. ``"re-encoded"``: similar images of one height and width.
    leaks : ndarray of bool, shape (n,), or None
        True for rows that have a copy in another part of ``split``. None without ``split``.
    split : ndarray of shape (n,), or None
        The part of each row, as given.

    See Also
    --------
    find_duplicates : Find copies of images and rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks import find_duplicates
    >>> duplicates = find_duplicates(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    >>> duplicates.groups.tolist(), duplicates.pairs.tolist()
    ([0, 1, 0], [[0, 2]])
    """

    groups: np.ndarray
    pairs: np.ndarray
    kinds: np.ndarray
    leaks: np.ndarray | None = None
    split: np.ndarray | None = None

    def to_frame(self) -> Any:
        """Return the pairs as a table.

        Returns
        -------
        pairs : pandas.DataFrame
            The columns first, second, kind and group, and with ``split`` also split_of_first and split_of_second.
        """
        first, second = self.pairs.T
        columns = {"first": first, "second": second, "kind": self.kinds, "group": self.groups[first]}
        if self.split is not None:
            columns |= {"split_of_first": self.split[first], "split_of_second": self.split[second]}
        return import_optional("pandas", "images").DataFrame(columns)

    def __str__(self):
        return f"{count(len(self.groups), 'row')}: {self._summary()}"

    def __repr__(self):
        return f"<Duplicates among {self}>"

    def _repr_html_(self):
        return f"<p>{html.escape(str(self))}</p>"

    def _summary(self):
        if not len(self.pairs):
            return "no duplicates"
        sizes = np.bincount(self.groups)
        copies, kinds = sizes[sizes > 1], Counter(self.kinds.tolist())
        told = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
        text = f"{count(len(copies), 'group')} of {copies.sum()} copies ({count(len(self.pairs), 'pair')}: {told})"
        return text if self.leaks is None else f"{text}; {self._describe_leaks()}"

    def _describe_leaks(self):
        if not self.leaks.any():
            return "no copies in several parts of the split"
        parts = Counter(map(str, self.split[self.leaks]))
        told = name_some((f"{number} in {part}" for part, number in sorted(parts.items())), 5)
        return f"{count(int(self.leaks.sum()), 'row')} with a copy in another part of the split ({told})"


def find_duplicates(
    X: ArrayLike,
    *,
    split: ArrayLike | None = None,
    image_shape: int | tuple | None = None,
    verbose: int = 0,
) -> Duplicates:
    """Find rows that are copies of one another, such as test images that are also in the training set.

    Images are copies if they are equal, or if one was resized or saved again with loss (JPEG). Cropped, rotated,
    mirrored, brightened or otherwise edited copies are not found. Two photos of one scene, taken a moment apart, may
    count as copies, too. Rows of a table are copies if all values are equal up to rounding.

    Parameters
    ----------
    X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
        Images, a table, one column of image files, or the table of :func:`read_image_folder`.
    split : array-like of shape (n,), default=None
        The part of each row, such as ``"train"`` or ``"test"``: copies in several parts are leaks. Rows with a missing
        value belong to no part.
    image_shape : int or tuple, default=None
        (height, width) or (height, width, channels) of images that come as rows.
    verbose : int, default=0
        0: silent. 1: bars of images that are read and compared. 2: lines in the log instead.

    Returns
    -------
    duplicates : Duplicates
        ``groups`` has a number per row, ``pairs`` and ``kinds`` list the copies, ``leaks`` marks rows with a copy in
        another part of ``split``, and ``to_frame()`` makes a table of the pairs.

    Raises
    ------
    ValueError
        If ``split`` and X differ in length, images contain NaN, or image files are missing or damaged.
    ImportError
        If X has image files, and Pillow is not installed.

    See Also
    --------
    find_label_issues : Find wrong labels; copies share a fold there.

    Notes
    -----
    Images are reduced to 8 x 8 cells. Two images are similar if the root mean square difference of their cells is at
    most 0.35 times that to the eighth nearest image of either (a nearer one for fewer than 128 images), so that the
    threshold adapts to the similarity of the images in general. Images with a side below 64 pixels are also compared
    after blurring, with 0.45 instead of 0.35. Images that differ by less than 0.04 standard deviations of all cells are
    always similar. All pairs of images are compared, block by block, in memory that is proportional to the number of
    images.

    Images of a few pixels contain too little information: resized copies of 8 x 8 digits are not found.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import find_duplicates
    >>> X, y = load_iris(return_X_y=True)
    >>> duplicates = find_duplicates(X, split=["train", "test"] * 75)
    >>> duplicates.to_frame()
       first  second   kind  group split_of_first split_of_second
    0    101     142  exact    101           test           train
    >>> X_train = X[::2][~duplicates.leaks[::2]]  # without copies of test rows
    >>> len(X_train)
    74
    """
    check_verbose(verbose)
    rows: Any = X
    if "path" in getattr(rows, "columns", ()):
        rows = rows["path"]
    sources = as_column(rows)
    if sources is not None:
        pairs, kinds = compare_files(sources, verbose)
        n = len(sources)
    else:
        pairs, kinds, n = compare_array(rows, image_shape, verbose)
    parts = None if split is None else check_split(split, n)
    groups = join_pairs(pairs, n)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    leaks = None if parts is None else find_leaks(groups, parts)
    return Duplicates(groups, pairs[order], kinds[order], leaks, parts)


def compare_files(sources, verbose=0):
    """Return the pairs of copies among image files, and their kinds."""
    check_files_exist(sources)
    numbers = number_files(sources)
    firsts = np.unique(numbers, return_index=True)[1]
    size = typical_size(sources[firsts]) or (READ, READ)
    is_small = min(size) < SMALL
    with progress(len(firsts), "reading", "image", verbose) as done:
        images = read_pixels(sources[firsts], size if is_small else (READ, READ), "RGB", progress=done)[0]
    similar = firsts[compare_images(images, is_small, verbose)]
    sizes = {row: attempt(read_size, sources[row], row) for row in np.unique(similar)}
    kinds = ["resized" if sizes[first] != sizes[second] else "re-encoded" for first, second in similar]
    return join_kinds(numbers, similar, kinds)


def compare_array(X, image_shape, verbose=0):
    """Return the pairs of copies among images or rows of a table, their kinds, and the number of rows."""
    if issparse(X):
        raise TypeError("X must be a dense array or a DataFrame, got a sparse matrix: pass X.toarray()")
    values = X if is_frame(X) and image_shape is None else np.asarray(X)
    layout = find_layout(values.shape, image_shape)
    if layout.image_shape is None:
        numbers = number_table(values)
        return *join_kinds(numbers, np.empty((0, 2), np.intp), []), len(numbers)
    images = layout.to_images(check_array(values, allow_nd=True))
    numbers = number_images(images)
    firsts = np.unique(numbers, return_index=True)[1]
    similar = firsts[compare_images(images[firsts], min(layout.image_shape[:2]) < SMALL, verbose)]
    return *join_kinds(numbers, similar, ["re-encoded"] * len(similar)), len(images)


def compare_images(images, is_small, verbose=0):
    """Return the pairs of similar images, (n, height, width, channels); small ones are also compared after blurring."""
    blurred = thumbnails_of_images(images, blur=True) if is_small else None
    with progress(len(images), "comparing", "image", verbose) as done:
        return find_similar(thumbnails_of_images(images), blurred, done)


def join_kinds(numbers, similar, kinds):
    """Return pairs of equal rows, each with the first of them, and pairs of similar rows, with their kinds."""
    rows, firsts = np.arange(len(numbers)), np.unique(numbers, return_index=True)[1]
    exact = np.column_stack([firsts[numbers], rows])[firsts[numbers] != rows]
    return np.concatenate([exact, similar]), np.array([*["exact"] * len(exact), *kinds], dtype="U10")


def check_split(split, n):
    """Return the parts of a split as an array of objects, with None for missing ones."""
    if isinstance(split, str) or np.ndim(split) != 1:
        found = repr(split) if isinstance(split, str) else f"an array of shape {np.shape(split)}"
        raise ValueError(f"split must have one part per row of X, such as 'train' or 'test', got {found}")
    if len(split) != n:
        raise ValueError(f"split must have one part per row of X, {n}, got {len(split)}")
    parts = np.empty(n, dtype=object)
    parts[:] = [None if is_missing(part) else part for part in np.asarray(split, dtype=object).tolist()]
    return parts


def find_leaks(groups, parts):
    """Return True for each row that has a copy in another part; rows with None belong to no part."""
    known = {part: code for code, part in enumerate(dict.fromkeys(part for part in parts if part is not None))}
    codes = np.array([known.get(part, -1) for part in parts])
    placed = codes >= 0
    n_groups = groups.max() + 1
    low, high = np.full(n_groups, len(known)), np.full(n_groups, -1)
    np.minimum.at(low, groups[placed], codes[placed])
    np.maximum.at(high, groups[placed], codes[placed])
    return placed & (low < high)[groups]
