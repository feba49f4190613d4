"""Converter of ImageLoader, whose graph takes decoded pixels as input.

The graph of an estimator that is exported with image files takes pixels, uint8 (n, height, width, channels), at the
size at which ``fit`` read the files. The metadata of the model describe the decoding: ``shape`` (height, width,
channels), ``mode``, ``white_level``, ``resize_mode`` and ``interpolation``. To run the model without this package,
repeat these steps with Pillow:

1. Open the file; use the first of several frames or pages. Call ``image.draft(None, (side, side))`` with
   ``side = 2 * max(height, width)``, so that a JPEG is decoded at a reduced scale, as in training.
2. For a gray image with more than 8 bits, multiply by 255 / ``white_level`` (65535 if that is None), round, and clip at
   255. For an image with transparency, call ``image.convert("RGBA")``, then ``Image.alpha_composite`` on white.
3. Call ``image.convert(mode)``, where ``mode`` is ``"RGB"`` or ``"L"``.
4. If the size differs, call ``image.resize((width, height), resample, box=box, reducing_gap=3.0)``, where ``resample``
   is bilinear or bicubic according to ``interpolation``. With ``resize_mode`` ``"squash"``, the box is None, the whole
   image; with ``"crop"`` it is the largest centered box with the aspect ratio of the result, (left, top, right, bottom)
   in floats. If the EXIF orientation (5 to 8) swaps the sides, pass (height, width) instead.
5. Rotate the image upright according to its EXIF orientation, as ``ImageOps.exif_transpose`` does.
"""

from __future__ import annotations

from .._graph import Graph, Table, Value
from ._pixels import is_column_of_files
from ._registry import converts


@converts("sktricks.ImageLoader")
def convert_image_loader(graph: Graph, loader, X: Table) -> Value:
    """Add an input of pixels in place of files; with ``flatten``, reshape them to rows."""
    settings = loader._settings_in_use()
    if settings["size"] is None:
        raise graph.refuse("size=None, which leaves the image size open", "set ImageLoader(size=(height, width))")
    if not is_column_of_files(X):
        raise graph.refuse("an X without image files", "pass a column of paths as X")
    height, width = settings["size"]
    channels = 3 if settings["mode"] == "RGB" else 1
    how = {name: settings[name] for name in ("mode", "white_level", "resize_mode")}
    images = graph.decode(X, (height, width, channels), interpolation="bilinear", **how)
    if settings["flatten"]:
        return graph.reshape(images, (height * width * channels,))
    return images if channels == 3 else graph.reshape(images, (height, width))
