"""Converter of ImageLoader: the input of its graph is the pixels that it would read.

An estimator that is exported with an X of image files gets an input of pixels, uint8 (n, height, width, channels), at
the size at which ``fit`` read the files, and the metadata of the model tell how: ``shape`` (height, width, channels),
``mode``, ``white_level``, ``resize_mode`` and ``interpolation``. Whoever runs the model without this package repeats
these steps with Pillow:

1. Open the file, of several frames or pages the first one. ``image.draft(None, (side, side))`` with
   ``side = 2 * max(height, width)`` lets a JPEG be decoded at a smaller scale, as training did.
2. A gray image of more than 8 bits: multiply by 255 / ``white_level`` (65535 if that is None), round, at most 255. One
   with transparent parts: ``image.convert("RGBA")``, then ``Image.alpha_composite`` on white.
3. ``image.convert(mode)``, ``"RGB"`` or ``"L"``.
4. Unless it has that size: ``image.resize((width, height), resample, box=box, reducing_gap=3.0)``, where ``resample``
   is bilinear or bicubic by ``interpolation``. With ``resize_mode`` ``"squash"`` the box is None, the whole image; with
   ``"crop"`` it is the largest centered box with the aspect ratio of the result, (left, top, right, bottom) in floats.
   Where the EXIF orientation (5 to 8) swaps the sides, this step takes (height, width).
5. Turn the image upright by its EXIF orientation, as ``ImageOps.exif_transpose`` does.
"""

from __future__ import annotations

from .._graph import Graph, Table, Value
from ._pixels import is_column_of_files
from ._registry import converts


@converts("sktricks.ImageLoader")
def convert_image_loader(graph: Graph, loader, X: Table) -> Value:
    """Take pixels in place of files; ``flatten`` makes rows of them."""
    settings = loader._settings_in_use()
    if settings["size"] is None:
        raise graph.refuse("size=None, where files may be of any one size", "set ImageLoader(size=(height, width))")
    if not is_column_of_files(X):
        raise graph.refuse("an X without image files", "export it with a column of paths as X")
    height, width = settings["size"]
    channels = 3 if settings["mode"] == "RGB" else 1
    how = {name: settings[name] for name in ("mode", "white_level", "resize_mode")}
    images = graph.decode(X, (height, width, channels), interpolation="bilinear", **how)
    if settings["flatten"]:
        return graph.reshape(images, (height * width * channels,))
    return images if channels == 3 else graph.reshape(images, (height, width))
