"""Accept a column of image files in place of an array of images."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from .._layout import as_sides, check_image_shape
from .._validation import check_columns, check_layout, check_X
from .._value_range import check_value_range
from .._warnings import BitDepthWarning, ImageSizeWarning, warn
from ..images._bit_depth import describe_depth, find_peaks
from ..images._image_column import as_column, check_files_exist
from ..images._image_files import ImageFiles
from ._auto_backbone import choose_backbone, typical_size
from .backbones._load_backbone import BUNDLED, UNTRAINED, is_ready

FILE_RANGE = (0.0, 255.0)
INSTEAD = ". A net has no white_level: add ImageLoader(white_level=...) before it in a Pipeline"


def check_inputs(estimator, X, *, reset, ensure_min_samples=1, input_name="X"):
    """Validate X for an estimator with a ``backbone``: a table, images, or a column of image files.

    Parameters
    ----------
    estimator : estimator
    X : array-like
    reset : bool
        True in ``fit``, False afterwards.
    ensure_min_samples : int
    input_name : str
        The name of X in errors.

    Returns
    -------
    X : ndarray or ImageFiles
        A table, or canonical images.
    layout : Layout
    """
    if reset:
        estimator._decoding = decoding_of(estimator)
    how = {"reset": reset, "ensure_min_samples": ensure_min_samples, "input_name": input_name}
    sources = as_column(X, input_name)
    if sources is not None:
        found = check_files(estimator, sources, **how)
        check_column(estimator, X, reset=reset, input_name=input_name)
        return found
    X, layout = check_X(estimator, X, image_shape=estimator.image_shape, **how)
    return (layout.to_images(X) if layout.image_shape else X), layout


def check_files(estimator, sources, *, reset, ensure_min_samples=1, input_name="X"):
    """Return the images in files, read lazily at the size of ``image_shape`` or ``fit``, and their layout."""
    name = type(estimator).__name__
    if len(sources) < ensure_min_samples:
        raise ValueError(
            f"{input_name} has {len(sources)} sample(s), a minimum of {ensure_min_samples} is required by {name}"
        )
    if not reset and estimator.image_shape_ is None:
        n_columns = estimator.n_features_in_
        raise ValueError(f"{input_name} must be a table of {n_columns} columns, as in fit of {name}, got image files")
    check_pixel_range(name, estimator.value_range if reset else estimator.value_range_, reset, input_name)
    shape = decoded_shape(estimator, sources) if reset else estimator.image_shape_
    if shape[2] not in (1, 3):
        raise ValueError(f"image files must be read with 1 or 3 channels, but {name} expects images of shape {shape}")
    check_files_exist(sources, input_name)
    decoding = estimator._decoding
    look_at_depth(sources, decoding["white_level"], "" if hasattr(estimator, "white_level") else INSTEAD)
    files = ImageFiles(sources, shape, **decoding)
    return files, check_layout(estimator, np.empty((0, 1)), files.shape, reset=reset, input_name=input_name)


def decoding_of(estimator):
    """Return the decoding of files; ``fit`` stores it, so that later changes do not affect predictions."""
    return {
        "white_level": getattr(estimator, "white_level", None),
        "resize_mode": str(estimator.resize_mode),
        "interpolation": getattr(preprocess_of(estimator.backbone), "interpolation", "bilinear"),
    }


def check_column(estimator, X, *, reset, input_name="X"):
    """Store the name of a column of image files, which is one feature, or compare it with that of ``fit``.

    After ``fit``, a column without a name is accepted, and so is any column if ``fit`` was given pixels.
    """
    has_name = hasattr(X, "columns")
    compares = has_name and hasattr(estimator, "feature_names_in_") and estimator.n_features_in_ == 1
    if reset or compares:
        check_columns(estimator, X if has_name else np.empty((0, 1)), reset=reset, input_name=input_name)


def look_at_depth(sources, white_level, remedy):
    """Warn if some files with more than 8 bits become very dark or too bright."""
    problem = describe_depth(find_peaks(sources, white_level), white_level, " in the files that were looked at")
    if problem:
        warn(problem + remedy, BitDepthWarning)


def check_pixel_range(name, value_range, reset, input_name="X"):
    """Raise an error unless ``value_range``, as given or as learned in ``fit``, is that of image files."""
    if value_range is None:
        return
    low, high = check_value_range(value_range)
    if (low, high) != FILE_RANGE:
        raise ValueError(
            f"value_range must be None or (0, 255) for image files, got ({low:g}, {high:g}): {name} "
            f"{'expects' if reset else 'was fitted on'} pixels in this range, and {input_name} has image files"
        )


def decoded_shape(estimator, sources):
    """Return the (height, width, channels) of decoded files: by default, color and the size of the backbone."""
    backbone, image_shape = estimator.backbone, estimator.image_shape
    if image_shape is not None:
        check_image_shape(image_shape)
        return check_image_shape((*as_sides(image_shape), 3)[:3])
    backbone = choose_backbone(backbone, *(typical_size(sources) or BUNDLED["tiny32"]))
    size = own_size(backbone) if isinstance(backbone, str) else getattr(preprocess_of(backbone), "size", None)
    if size is None:
        name = repr(backbone) if isinstance(backbone, str) else type(backbone).__name__
        raise ValueError(
            f"image_shape must be given for image files, got None: backbone={name} has no fixed input size. "
            "Set image_shape to the (height, width) at which to read files, such as image_shape=224"
        )
    return (*size, 3)


def warn_of_lost_detail(images, backbone):
    """Warn if large files are read at a size smaller than that of the backbone; never warn for arrays.

    Parameters
    ----------
    images : ImageFiles or ndarray
    backbone : Backbone
    """
    size = backbone.preprocess.size
    if size is None or not isinstance(images, ImageFiles):
        return
    height, width = images.shape[1:3]
    if height >= size[0] and width >= size[1]:
        return
    found = typical_size(images.sources)  # the EXIF orientation may swap height and width
    if found and (height < min(size[0], *found) or width < min(size[1], *found)):
        warn(
            f"image_shape={(height, width)} is smaller than the {size[0]} x {size[1]} pixels of the backbone "
            f"{backbone.name!r}: image files of about {found[0]} x {found[1]} pixels are read at {height} x {width} "
            "and then enlarged, which loses detail and saves no time. Omit image_shape",
            ImageSizeWarning,
        )


def preprocess_of(backbone):
    """Return the preprocessing of a module; None for names, classes and factories, which are not yet loaded."""
    torch = sys.modules.get("torch")  # if torch is not imported, the backbone is not a module
    if torch is None or not isinstance(backbone, torch.nn.Module):
        return None
    from .backbones._own import own_preprocess

    return own_preprocess(backbone)


def own_size(spec):
    """Return the (height, width) of the images that a backbone was trained on, None for any size."""
    if spec in BUNDLED:
        return BUNDLED[spec]
    name = spec.removeprefix(UNTRAINED)
    if is_ready(name) or name.startswith("file:"):
        return kept_size(spec, files_as_they_are(name))
    return kept_size(spec, code_as_it_is(name))


@lru_cache(maxsize=32)  # otherwise a search would load each backbone twice
def kept_size(spec, source):
    """Return the size of a backbone; ``source`` makes the cache depend on its files or on the code of its factory."""
    from ..training._randomness import kept_randomness
    from .backbones._load_backbone import load_for_images

    with kept_randomness():
        return load_for_images(spec).preprocess.size


def code_as_it_is(spec):
    """Return a value that changes if the factory named by a spec, or a value that it uses, changes."""
    from .cache._fingerprint import stamp_of
    from .cache._pool import factory_of

    factory = factory_of(spec)
    return None if factory is None else stamp_of(factory)  # with None, loading will raise an error


def files_as_they_are(spec):
    """Return a value that changes if the file or folder named by a spec changes."""
    from .cache._pool import describe_file

    name = spec.partition(":")[2].partition("::")[0]
    path = Path(os.path.expanduser(name))
    if not name or not os.path.exists(path):
        return ()
    return tuple(map(describe_file, sorted(path.iterdir()) if path.is_dir() else [path]))
