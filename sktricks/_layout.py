"""The layout of X: a table, images as rows, or images. Results are returned in the same layout."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from numbers import Integral

from ._warnings import ImageShapeWarning, warn


@dataclass(frozen=True)
class Layout:
    """The layout of X.

    Attributes
    ----------
    ndim : int
        2 for rows, 3 for images without channels, 4 for images with channels.
    image_shape : tuple of int or None
        (height, width, channels); None for a table.
    n_features : int
        Values per row.
    """

    ndim: int
    image_shape: tuple | None
    n_features: int

    def to_images(self, X):
        """Return X as ``(n, height, width, channels)``; a table as signals of one channel, ``(n, 1, features, 1)``."""
        return X.reshape(len(X), *(self.image_shape or (1, self.n_features, 1)))

    def restore(self, images):
        """Convert canonical images back to the layout of X; their height and width may have changed."""
        if self.ndim == 2:
            return images.reshape(len(images), -1)
        return images[..., 0] if self.ndim == 3 else images


def find_layout(shape, image_shape=None, input_name="X"):
    """Return the :class:`Layout` of an X of this shape.

    Parameters
    ----------
    shape : tuple of int
    image_shape : int, tuple or None
        (height, width), (height, width, channels), or the side of a square.
    input_name : str
        The name of X in errors.
    """
    if len(shape) == 2:
        if image_shape is not None:
            image_shape = check_n_columns(image_shape, shape[1], input_name)
        return Layout(2, image_shape, shape[1])
    if len(shape) not in (3, 4):
        raise ValueError(
            f"{input_name} must be (n, features), (n, height, width) or (n, height, width, channels), "
            f"got {len(shape)} dimensions: {tuple(shape)}"
        )
    found = (*shape[1:], 1)[:3]
    fits = image_shape is not None and fits_image_shape(image_shape, found)
    if not fits:
        check_orientation(shape, input_name)
    if min(found[:2]) < 2 or found[2] < 1:
        raise ValueError(f"{input_name} must have images of height and width at least 2, got {tuple(shape)}")
    if image_shape is not None and not fits:
        raise ValueError(
            f"{input_name} must hold images of image_shape={as_sides(image_shape)}, got images of shape {found}: "
            "arrays are not resized"
        )
    return Layout(len(shape), found, prod(found))


def as_sides(value):
    """Return a shape or size as a tuple: an integer gives a square, a value that is not iterable an empty tuple."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return value, value
    try:
        return tuple(value)
    except TypeError:
        return ()


def check_image_shape(image_shape):
    """Return ``image_shape`` as (height, width, channels), with 1 channel if it has only height and width."""
    shape = as_sides(image_shape)
    if len(shape) not in (2, 3) or not all(isinstance(side, Integral) for side in shape):
        raise ValueError(
            "image_shape must be a pair (height, width) or a triple (height, width, channels) of integers, or one "
            f"integer, the side of a square, got {image_shape!r}"
        )
    height, width, channels = (int(side) for side in (*shape, 1)[:3])
    if height < 2 or width < 2 or channels < 1:
        raise ValueError(
            f"image_shape must have a height and a width of at least 2 and at least 1 channel, got {image_shape!r}"
        )
    return height, width, channels


def fits_image_shape(image_shape, shape):
    """Return True if ``image_shape`` describes images of this shape; a pair fits any number of channels."""
    checked = check_image_shape(image_shape)
    n_given = len(as_sides(image_shape))
    return checked[:n_given] == tuple(shape)[:n_given]


def check_n_columns(image_shape, n_columns, input_name="X"):
    """Return ``image_shape`` as a triple, or raise an error unless rows with this many columns are such images."""
    shape = check_image_shape(image_shape)
    if prod(shape) == n_columns:
        return shape
    height, width, channels = shape
    hint = next((c for c in (3, 4) if channels == 1 and height * width * c == n_columns), None)
    hint = f": for images of {hint} channels, set image_shape=({height}, {width}, {hint})" if hint else ""
    given = image_shape if isinstance(image_shape, Integral) else shape[:2] if channels == 1 else shape
    raise ValueError(f"image_shape={given} needs {prod(shape)} columns, {input_name} has {n_columns}{hint}")


def check_orientation(shape, input_name="X"):
    """Raise an error if an X of this shape looks like a single image, or like images with channels first.

    No image has a height of at most four pixels and eight or more channels. If the second axis is longer than four, it
    is taken for channels only if the last two are equal, as height and width are in most batches.
    """
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        raise ValueError(
            f"{input_name} of shape {tuple(shape)} looks like a single color image. Pass a batch of images, "
            f"(n, height, width, channels): {input_name}[None] is a batch of one"
        )
    if len(shape) == 4 and min(shape[2:]) >= 8 and (shape[1] <= 4 or shape[1] < shape[2] == shape[3]):
        as_is = f"; for a height of {shape[1]} and {shape[3]} channels, set image_shape={tuple(shape[1:])}"
        raise ValueError(
            f"{input_name} of shape {tuple(shape)} looks like images with channels first. Pass (n, height, "
            f"width, channels): {input_name}.transpose(0, 2, 3, 1){as_is if shape[1] > 1 else ''}"
        )


def warn_of_rows(estimator, n_features):
    """Warn that X has rows but there is no ``image_shape``; suggest one if the rows could be square images."""
    gray, color = round(n_features**0.5), round((n_features / 3) ** 0.5)
    guesses = [shape for shape in ((gray, gray), (color, color, 3)) if shape[0] > 1 and prod(shape) == n_features]
    hint = f"; if the rows are square images, set image_shape={guesses[0]}" if guesses else ""
    warn(
        f"{type(estimator).__name__} got rows of {n_features} columns and no image_shape: each row is treated as a "
        f"signal, on which two-dimensional geometry has no effect{hint}",
        ImageShapeWarning,
    )
