import io
import os
import pickle
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from torch import nn

import sktricks.images._decode
import sktricks.images._read_images
import sktricks.training._inputs
import sktricks.transfer.backbones._load_backbone
from sktricks import (
    BitDepthWarning,
    FineTuneClassifier,
    FineTuneRegressor,
    ImageLoader,
    NetClassifier,
    PretrainedFeatures,
    RandomFlip,
    UnreadableImageWarning,
    load,
    read_image_folder,
    save,
)
from sktricks.images._image_column import as_column
from sktricks.images._image_files import ImageFiles
from sktricks.training._inputs import LazyImages
from sktricks.transfer._path_columns import own_size

Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 2
PIXELS = (RNG.random((24, 8, 8, 3)) * 100 + 155 * LABELS[:, None, None, None]).astype(np.uint8)


def file_bytes(pixels, kind="PNG", **settings):
    """The bytes of an image file."""
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    image.save(file, kind, **settings)
    return file.getvalue()


def decode(*args, **kwargs):
    """Decode an image, and return only the pixels."""
    return sktricks.images._decode.decode(*args, **kwargs)[0]


def write(path, content=None):
    """A file, of a small blue image unless told; and its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_bytes(Image.new("RGB", (4, 4), "blue")) if content is None else content)
    return path


@pytest.fixture
def paths(tmp_path):
    """24 files, dark and light in turn, as a list of str."""
    return [str(write(tmp_path / f"{row:02}.png", file_bytes(pixels))) for row, pixels in enumerate(PIXELS)]


# -- decoding ----------------------------------------------------------------------------------------------------------

QUADRANTS = np.zeros((16, 32, 3), np.uint8)  # every rotation or flip changes it
QUADRANTS[:8, :16], QUADRANTS[:8, 16:], QUADRANTS[8:, :16] = [250, 10, 10], [10, 250, 10], [10, 10, 250]
STORED = {  # the pixels that a camera writes for each orientation, by the EXIF standard
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: np.rot90(upright, -1),
}
LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_rotated_upright(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    settings = LOSSLESS.get(kind, {"quality": 95, "subsampling": 0})
    content = file_bytes(np.ascontiguousarray(STORED[orientation](QUADRANTS)), kind, exif=exif, **settings)
    tolerance = 12 if kind == "JPEG" else 0
    for size in (None, (16, 32)):
        found = ImageLoader(size).transform([content])[0]
        np.testing.assert_allclose(found.astype(int), QUADRANTS, atol=tolerance)
    small = ImageLoader((4, 8)).transform([content])[0]
    np.testing.assert_allclose(
        small[[0, 0, 3, 3], [0, 7, 0, 7]].astype(int), QUADRANTS[[0, 0, 15, 15], [0, 31, 0, 31]], atol=12
    )


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_bytes(QUADRANTS, kind, exif=exif, **LOSSLESS.get(kind, {"quality": 95, "subsampling": 0}))
    for size in (None, (16, 32)):
        np.testing.assert_allclose(ImageLoader(size).transform([content])[0].astype(int), QUADRANTS, atol=12)


@pytest.mark.parametrize(("kind", "value"), [(2, b"6\0\0\0"), (7, b"6\0\0\0"), (11, struct.pack("<f", 6))])
def test_an_orientation_that_is_not_an_integer(kind, value):
    entry = struct.pack("<HHI", 0x0112, kind, len(value) if kind < 11 else 1) + value
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + entry + bytes(4)
    content = file_bytes(QUADRANTS, "JPEG", exif=exif, quality=95, subsampling=0)
    np.testing.assert_allclose(ImageLoader().transform([content])[0].astype(int), QUADRANTS, atol=12)


@pytest.mark.parametrize("exif", [b"not a header", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\x12" * 99])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own
def test_damaged_exif_is_ignored(exif):
    content = file_bytes(QUADRANTS, "JPEG", exif=b"Exif\0\0" + exif, quality=95, subsampling=0)
    np.testing.assert_allclose(decode(content).astype(int), QUADRANTS, atol=12)


def palette(transparency=None):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    return file_bytes(image, **({} if transparency is None else {"transparency": transparency}))


def one(mode, *values):
    image = Image.new(mode, (len(values), 1))
    for column, value in enumerate(values):
        image.putpixel((column, 0), value)
    return image


DEEP = np.array([[0, 257, 257 * 5 + 100, 257 * 5 + 200, 65535]], np.uint16)
KINDS = {
    "gray": (file_bytes(one("L", 7, 200)), [[7] * 3, [200] * 3]),
    "colour": (file_bytes(one("RGB", (1, 2, 3))), [[1, 2, 3]]),
    "one bit": (file_bytes(one("1", 0, 255)), [[0] * 3, [255] * 3]),
    "palette": (palette(), [[200, 0, 0], [0, 200, 0]]),
    "palette, a colour transparent": (palette(0), [[255] * 3, [0, 200, 0]]),
    "palette, degrees of transparency": (palette(bytes([255, 51])), [[200, 0, 0], [204, 244, 204]]),
    "colour, transparent": (file_bytes(one("RGBA", (9, 8, 7, 255), (9, 8, 7, 0))), [[9, 8, 7], [255] * 3]),
    "half transparent": (file_bytes(one("RGBA", (0, 100, 255, 51))), [[204, 224, 255]]),
    "grey, transparent": (file_bytes(one("LA", (9, 255), (9, 0))), [[9] * 3, [255] * 3]),
    "a grey that is transparent": (file_bytes(one("L", 9, 8), transparency=8), [[9] * 3, [255] * 3]),
    "a colour that is transparent": (
        file_bytes(one("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6)),
        [[1, 2, 3], [255] * 3],
    ),
    "CMYK": (file_bytes(one("CMYK", (0, 0, 0, 0), (0, 255, 255, 0)), "TIFF"), [[255] * 3, [255, 0, 0]]),
    "16 bits": (file_bytes(DEEP), [[0] * 3, [1] * 3, [5] * 3, [6] * 3, [255] * 3]),
    "16 bits, TIFF": (file_bytes(DEEP, "TIFF"), [[0] * 3, [1] * 3, [5] * 3, [6] * 3, [255] * 3]),
    "16 bits as integers": (file_bytes(DEEP.astype(np.int32), "TIFF"), [[0] * 3, [1] * 3, [5] * 3, [6] * 3, [255] * 3]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_images(kind):
    content, expected = KINDS[kind]
    found = ImageLoader().transform([content])
    assert found.dtype == np.uint8 and found.shape == (1, 1, len(expected), 3)
    np.testing.assert_allclose(found[0, 0].astype(int), expected, atol=1)
    grey = ImageLoader(mode="L").transform([content])
    assert grey.shape == (1, 1, len(expected))
    np.testing.assert_allclose(grey[0, 0], np.asarray(expected) @ [0.299, 0.587, 0.114], atol=2)


def test_cmyk_of_cameras_and_printers():
    content = file_bytes(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    np.testing.assert_allclose(decode(content)[8, 8].astype(int), [255, 0, 0], atol=4)


NAN = np.array([[0, np.nan]], np.float32)


@pytest.mark.parametrize(
    ("pixels", "white_level", "message"),
    [
        (np.zeros((2, 2), np.float32), None, "floats up to 0, .*pass white_level"),
        (np.full((2, 2), 70000, np.int32), None, "32-bit integers up to 70000, .*pass white_level"),
        (np.full((2, 2), -1, np.int32), None, "not negative, got values from -1 to -1"),
        (np.full((2, 2), -1, np.int32), 255, "not negative, got values from -1 to -1"),
        (NAN, 1.0, "must be finite.* got values from nan to nan"),
        (NAN + np.inf, 1.0, "must be finite"),
    ],
)
def test_pixels_of_an_unknown_range(pixels, white_level, message):
    with pytest.raises(ValueError, match="the .* bytes in row 0 cannot be read.*" + message):
        ImageLoader(white_level=white_level).transform([file_bytes(pixels, "TIFF")])


def ramp(white):
    """Return a gray ramp from 0 to ``white``, and its 8-bit version."""
    expected = np.arange(256).reshape(16, 16)
    return np.rint(expected / 255 * white), expected


@pytest.mark.parametrize("white", [1, 15, 255, 1023, 4095, 16383])
@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")])
def test_warning_of_unused_bits(white, dtype, kind):
    pixels, expected = ramp(white)
    content = file_bytes(pixels.astype(dtype), kind)
    message = f"values only up to {white}, while 65535 is white.* pass white_level={white}, or white_level=65535"
    with pytest.warns(BitDepthWarning, match=message) as caught:
        dark = ImageLoader(mode="L").transform([content])
    assert len(caught) == 1 and caught[0].filename == __file__
    np.testing.assert_allclose(dark[0], pixels / 257, atol=0.51)
    bright = ImageLoader(mode="L", white_level=white).transform([content])[0].astype(int)
    np.testing.assert_allclose(bright, expected, atol=127.5 / white if white < 255 else 0)
    np.testing.assert_array_equal(ImageLoader(mode="L", white_level=65535).transform([content]), dark)


def test_one_bright_image_shows_that_the_others_are_dark():
    contents = [file_bytes(np.full((2, 2), value, np.uint16)) for value in (1023, 40000)]
    np.testing.assert_array_equal(ImageLoader().transform(contents)[:, 0, 0, 0], [4, 156])
    black = file_bytes(np.zeros((2, 2), np.uint16))
    assert not ImageLoader().transform([black]).any()
    assert ImageLoader(white_level=1023).transform([file_bytes(np.full((2, 2), 7, np.uint8))])[0, 0, 0, 0] == 7


def test_floats_with_a_white_level():
    pixels, expected = ramp(1)
    contents = [file_bytes(array.astype(np.float32), "TIFF") for array in (expected / 255, expected)]
    for content, white in zip(contents, (1.0, 255), strict=True):
        np.testing.assert_array_equal(ImageLoader(mode="L", white_level=white).transform([content])[0], expected)


def test_values_above_white():
    content = file_bytes(np.array([[0, 1023, 4000]], np.uint16))
    with pytest.warns(BitDepthWarning, match="1 images have values above white_level=1023, .* up to 4000"):
        found = ImageLoader(white_level=1023, mode="L").transform([content])
    np.testing.assert_array_equal(found[0, 0], [0, 255, 255])


def deep_color_png(values):
    """A PNG of one pixel with 16 bits per color."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">3H", *values))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_colors_of_16_bits():
    bright, dark = deep_color_png((65535, 256, 0)), deep_color_png((4095, 256, 0))
    np.testing.assert_array_equal(ImageLoader().transform([bright, dark])[:, 0, 0], [[255, 1, 0], [15, 1, 0]])
    with pytest.warns(BitDepthWarning, match="only up to 4095.* scale them to 8 bits per channel"):
        ImageLoader().transform([dark])
    with pytest.raises(ValueError, match="white_level=4095 cannot be applied to 16-bit color images"):
        ImageLoader(white_level=4095).transform([dark])


@pytest.mark.parametrize("white_level", [0, -1, "255", [255], np.inf, np.nan])
def test_invalid_white_levels(white_level, paths):
    for estimator in (ImageLoader(white_level=white_level), PretrainedFeatures(white_level=white_level)):
        with pytest.raises(ValueError, match="'white_level' parameter"):
            estimator.fit(paths)


def test_the_first_frame_of_several():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(ImageLoader().transform([content])[0, 0, 0], [255, 0, 0])


def test_shrinking_averages_and_equal_sizes_are_unchanged():
    stripes = np.zeros((32, 32), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_allclose(decode(file_bytes(stripes), (4, 4), "L"), 100, atol=20)  # not subsampled
    np.testing.assert_array_equal(decode(file_bytes(stripes), (32, 32), "L"), stripes)
    assert decode(file_bytes(stripes), (5, 9)).shape == (5, 9, 3)


def test_a_jpeg_decoded_at_a_smaller_scale_is_nearly_the_same():
    waves = np.sin(np.arange(512) / 20)[:, None, None] * np.cos(np.arange(768) / 30)[None, :, None] * [90, 60, 30] + 128
    content = file_bytes(waves.astype(np.uint8), "JPEG", quality=95)
    slow = np.asarray(Image.open(io.BytesIO(content)).resize((48, 32), Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(decode(content, (32, 48)), slow, atol=4)


# -- ImageLoader -------------------------------------------------------------------------------------------------------

COLUMNS = {
    "list": list,
    "paths": lambda paths: [Path(path) for path in paths],
    "bytes": lambda paths: [Path(path).read_bytes() for path in paths],
    "tuple": tuple,
    "rows of one": lambda paths: [[path] for path in paths],
    "array": np.array,
    "array of objects": lambda paths: np.array(paths, dtype=object),
    "array of one column": lambda paths: np.array(paths)[:, None],
    "Series": lambda paths: pd.Series(paths, index=range(100, 100 + len(paths))),
    "Series of categories": lambda paths: pd.Series(paths, dtype="category"),
    "Series of strings": lambda paths: pd.Series(paths, dtype="string"),
    "DataFrame": lambda paths: pd.DataFrame({"file": paths}),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_of_files(column, paths):
    X = COLUMNS[column](paths)
    np.testing.assert_array_equal(ImageLoader().fit_transform(X), PIXELS)
    assert ImageLoader(5, mode="L").fit(X).transform(X).shape == (24, 5, 5)


@pytest.mark.parametrize("n_jobs", [2, 5, -1])
def test_threads_change_nothing(n_jobs, paths, monkeypatch):
    monkeypatch.setattr(sktricks.images._read_images, "MAX_PENDING", 7)
    np.testing.assert_array_equal(ImageLoader(n_jobs=n_jobs).transform(paths), PIXELS)


def test_files_of_different_sizes(tmp_path):
    sides = [(8, 6), (8, 6), (9, 6)]
    files = [write(tmp_path / f"{n}.png", file_bytes(np.zeros(side, np.uint8))) for n, side in enumerate(sides)]
    with pytest.raises(ValueError, match=r"size must be set.*0\.png has \(8, 6\), .*2\.png has \(9, 6\)"):
        ImageLoader().transform(files)
    assert ImageLoader((7, 3)).transform(files).shape == (3, 7, 3, 3)
    assert ImageLoader(size=[7, 3]).transform(files).shape == (3, 7, 3, 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_the_size_of_an_image_is_that_of_the_upright_one(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = file_bytes(np.zeros((10, 20), np.uint8), kind, exif=exif)
    assert ImageLoader().transform([turned, file_bytes(np.zeros((20, 10), np.uint8))]).shape == (2, 20, 10, 3)


BROKEN = {
    "cut off": lambda path: path.write_bytes(file_bytes(RNG.integers(0, 256, (64, 64)).astype(np.uint8), "JPEG")[:900]),
    "empty": lambda path: path.write_bytes(b""),
    "no image": lambda path: path.write_bytes(b"once upon a time"),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("n_jobs", [None, 3])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_among_many_is_named(broken, n_jobs, paths):
    for row in (17, 20):
        BROKEN[broken](Path(paths[row]))
    with pytest.raises(ValueError, match=r"17\.png") as caught:
        ImageLoader(size=8, n_jobs=n_jobs).fit_transform(paths)
    if "cannot be read" in str(caught.value):
        assert str(caught.value).endswith(
            "To find all damaged files, run ImageLoader(size=8, on_error='warn').transform(X)"
        )
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert "cannot be read as an image" in str(caught.value) or "do not exist" in str(caught.value)


@pytest.mark.parametrize("size", [8, None])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_replaced_by_gray(broken, size, paths):
    for row in (0, 17):  # the first file determines the size
        BROKEN[broken](Path(paths[row]))
    if broken == "cut off" and size is None:
        Path(paths[0]).write_bytes(b"")  # otherwise its header would say 64 x 64
        Path(paths[17]).write_bytes(file_bytes(PIXELS[17])[:120])
    with pytest.warns(
        UnreadableImageWarning, match=r"^2 unreadable images are replaced by gray: .*00\.png.*17\.png"
    ) as caught:
        images = ImageLoader(size, on_error="warn", n_jobs=2).transform(paths)
    assert len(caught) == 1 and caught[0].filename == __file__
    expected = PIXELS.copy()
    expected[[0, 17]] = 128
    np.testing.assert_array_equal(images, expected)


def test_names_that_no_file_can_have():
    names = ["\0.jpg", "\ud800.jpg", "a" * 5000 + ".jpg"]
    with pytest.warns(UnreadableImageWarning, match=r"3 unreadable images .* gray: .*ud800\.jpg") as caught:
        assert (ImageLoader(2, on_error="warn").transform(names) == 128).all()
    str(caught[0].message).encode()


def test_no_readable_image_to_infer_the_size(tmp_path):
    with pytest.raises(ValueError, match="no readable image, so size must be set.*lost.png"):
        ImageLoader(on_error="warn").transform([tmp_path / "lost.png"])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((3, 4)), ValueError, r"X must be one column of paths.*got ndarray of shape \(3, 4\)"),
        (np.array([["a", "b"]]), ValueError, r"got ndarray of shape \(1, 2\)"),
        ([], ValueError, "X must have at least one row, got an empty column"),
        ([1, 2], ValueError, "got list of length 2$"),
        ("photo.jpg", ValueError, r"got the single path 'photo.jpg': pass a list, \['photo.jpg'\]"),
        (Path("photo.jpg"), ValueError, r"pass a list, \['photo.jpg'\]"),
        (b"GIF89a", ValueError, r"got the bytes of one file: pass a list, \[X\]"),
        (os.curdir, ValueError, r"got the folder '\.': pass .* read_image_folder\('\.'\)\.path"),
        (["a.jpg", None], TypeError, "path or the bytes of an image in each row, got None in row 1"),
        (pd.Series(["a.jpg", np.nan]), TypeError, "got nan in row 1"),
        (np.array([b"abc"]), TypeError, "drops trailing zeros"),
        (["\ud800.jpg", "\0.jpg"], ValueError, r"2 of 2 do not exist: \\ud800\.jpg, \0\.jpg \(the current directory"),
        (
            ["lost.jpg", "", "lost.png", "lost", "gone"],
            ValueError,
            "5 of 5 do not exist: lost.jpg, , lost.png and 2 more \\(the current directory is .*\\)$",
        ),
    ],
)
def test_values_that_are_not_a_column_of_files(X, error, message):
    with pytest.raises(error, match=message):
        ImageLoader().fit_transform(X)


@pytest.mark.parametrize("size", [0, -3, (4,), (4, 0), (4, 4, 3), "44", (2.0, 2), 1.5])
def test_invalid_sizes(size, paths):
    with pytest.raises(ValueError, match="size|'size'"):
        ImageLoader(size).fit(paths)
    with pytest.raises(ValueError, match="size|'size'"):
        ImageLoader(size).transform(paths)


def test_flattened_images_are_named_columns_of_a_table(paths):
    images = ImageLoader(size=(4, 6)).fit_transform(paths)
    loader = ImageLoader(size=(4, 6), flatten=True)
    flat, names = loader.fit_transform(paths), loader.get_feature_names_out()
    np.testing.assert_array_equal(flat, images.reshape(len(paths), -1))
    assert (
        names[0] == "pixel_0_0_red" and names[-1] == "pixel_3_5_blue" and names[6 * 3 + 2 * 3 + 1] == "pixel_1_2_green"
    )
    assert ImageLoader(size=2, mode="L", flatten=True).get_feature_names_out()[-1] == "pixel_1_1"
    frame = loader.set_output(transform="pandas").fit_transform(
        pd.DataFrame({"path": paths}, index=range(7, 7 + len(paths)))
    )
    assert list(frame.columns) == list(names) and frame.index[0] == 7 and frame.dtypes.iloc[0] == np.uint8
    assert isinstance(ImageLoader(size=4).set_output(transform="pandas").fit_transform(paths), np.ndarray)
    columns = ColumnTransformer([("photo", loader, ["path"])]).fit(pd.DataFrame({"path": paths}))
    assert columns.get_feature_names_out()[0] == "photo__pixel_0_0_red"
    RandomForestClassifier(5).fit(frame, np.arange(len(paths)) % 2).predict(frame)


def test_names_of_pixels_require_a_size(paths):
    with pytest.raises(ValueError, match="size must be set to name the pixels, got None"):
        ImageLoader(flatten=True).fit(paths).get_feature_names_out()


def test_a_loader_in_a_pipeline(paths):
    pipeline = make_pipeline(ImageLoader((32, 32)), PretrainedFeatures(), LogisticRegression(max_iter=1000))
    assert pipeline.fit(paths, LABELS).score(paths, LABELS) == 1
    assert cross_val_score(pipeline, np.array(paths), LABELS, cv=3).mean() > 0.8
    framed = clone(pipeline)[:2].set_output(transform="pandas").fit_transform(paths, LABELS)
    assert isinstance(framed, pd.DataFrame) and isinstance(clone(pipeline)[0].fit_transform(paths), np.ndarray)


@pytest.mark.parametrize("missing", ["PIL.Image", "pandas"])
def test_a_package_that_is_missing(missing, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    name = {"PIL.Image": "Pillow", "pandas": "pandas"}[missing]
    with pytest.raises(ImportError, match=f"{name} is required"):
        ImageLoader(on_error="warn").transform(paths) if name == "Pillow" else read_image_folder(Path(paths[0]).parent)


# -- nets on columns of files ------------------------------------------------------------------------------------------


class Conv(nn.Module):
    """A backbone for any image size, with the same weights at every call."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


def net(**params):
    settings = {"backbone": Conv, "image_shape": (8, 8), "max_epochs": 4, "random_state": 0, **params}
    return FineTuneClassifier(**settings)


STRATEGIES = pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune"])


@STRATEGIES
@pytest.mark.parametrize("column", COLUMNS)
def test_files_give_the_same_results_as_their_pixels(column, strategy, paths):
    expected = net(strategy=strategy, image_shape=None).fit(PIXELS, LABELS).predict_proba(PIXELS)
    X = COLUMNS[column](paths)
    fitted = net(strategy=strategy).fit(X, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert fitted.image_shape_ == (8, 8, 3) and fitted.n_features_in_ == 1
    assert list(getattr(fitted, "feature_names_in_", [])) == (["file"] if "DataFrame" in column else [])


@pytest.mark.parametrize("columns", [["path"], "path"])
def test_a_column_of_files_in_a_column_transformer(columns, paths):
    index = range(100, 124) if columns == ["path"] else None  # scikit-learn 1.6 loses the index of a Series
    frame = pd.DataFrame({"weight": np.arange(24.0), "path": paths}, index=index)
    encoder = PretrainedFeatures(Conv, image_shape=(8, 8))
    both = ColumnTransformer([("images", encoder, columns), ("rest", "passthrough", ["weight"])])
    names = [*(f"images__pretrainedfeatures{n}" for n in range(4)), "rest__weight"]
    table = both.set_output(transform="pandas").fit_transform(frame)
    assert list(table.columns) == names and list(table.index) == list(frame.index)
    assert list(both.get_feature_names_out()) == names
    np.testing.assert_array_equal(table.iloc[:, :4], encoder.fit_transform(paths))
    assert table["rest__weight"].equals(frame["weight"])
    pd.testing.assert_frame_equal(both.transform(frame[:3]), table[:3])


def test_a_column_of_files_is_one_feature_with_a_name(paths):
    frame = pd.DataFrame({"path": paths})
    encoder = PretrainedFeatures(Conv, image_shape=(8, 8)).fit(frame)
    assert encoder.n_features_in_ == 1 and list(encoder.feature_names_in_) == ["path"]
    expected = [f"pretrainedfeatures{n}" for n in range(4)]
    assert list(encoder.get_feature_names_out()) == list(encoder.get_feature_names_out(["path"])) == expected
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        encoder.get_feature_names_out(["file"])
    assert list(encoder.set_output(transform="pandas").transform(frame).columns) == expected
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(frame.rename(columns={"path": "file"}))
    for fitted in (encoder, PretrainedFeatures(Conv).fit(PIXELS)):
        for X in (paths, frame, frame.path, PIXELS):
            assert fitted.transform(X).shape == (24, 4)


def test_estimators_fitted_on_files_are_saved_and_loaded(paths, tmp_path):
    encoder = PretrainedFeatures("tiny32").fit(pd.DataFrame({"path": paths}))
    save(encoder, tmp_path / "encoder.sktricks")
    loaded = load(tmp_path / "encoder.sktricks")
    assert loaded.n_features_in_ == 1 and list(loaded.feature_names_in_) == ["path"]
    np.testing.assert_array_equal(loaded.transform(paths[:2]), encoder.transform(paths[:2]))


def test_pixels_and_files_in_turn(paths):
    from_pixels, from_files = net(image_shape=None).fit(PIXELS, LABELS), net().fit(paths, LABELS)
    expected = from_pixels.predict_proba(PIXELS)
    for fitted in (from_pixels, from_files, pickle.loads(pickle.dumps(from_files))):
        np.testing.assert_array_equal(fitted.predict_proba(paths), expected)
        np.testing.assert_array_equal(fitted.predict_proba(PIXELS), expected)
        one = fitted.predict_proba(paths[3:4])
        np.testing.assert_array_equal(one, fitted.predict_proba(PIXELS[3:4]))
        np.testing.assert_allclose(one, expected[3:4], rtol=1e-12)  # a single row may be summed differently
    features = PretrainedFeatures(Conv, image_shape=(8, 8)).fit(paths)
    np.testing.assert_array_equal(features.transform(PIXELS), features.transform(paths))
    assert features.transform(paths).dtype == np.float32


def test_files_are_read_at_the_size_of_the_backbone_in_color(paths):
    features = PretrainedFeatures().fit(paths)
    assert features.image_shape_ == (32, 32, 3)
    np.testing.assert_array_equal(features.transform(paths), features.transform(ImageLoader(32).transform(paths)))
    assert FineTuneClassifier(max_epochs=1).fit(paths, LABELS).image_shape_ == (32, 32, 3)


def test_files_are_decoded_to_image_shape(paths):
    for shape, expected in (((6, 5), (6, 5, 3)), ([6, 5, 3], (6, 5, 3)), ((6, 5, 1), (6, 5, 1))):
        fitted = net(image_shape=shape).fit(paths, LABELS)
        assert fitted.image_shape_ == expected
        images = ImageLoader((6, 5), mode="RGB" if expected[2] == 3 else "L").transform(paths)
        np.testing.assert_array_equal(fitted.predict_proba(images), fitted.predict_proba(paths))


def test_scikit_learns_tools(paths):
    frame = pd.DataFrame({"path": paths, "label": LABELS})
    train, test = train_test_split(frame, stratify=frame.label, random_state=0)
    assert net(max_epochs=20).fit(train.path, train.label).score(test.path, test.label) == 1
    assert cross_val_score(net(max_epochs=20), paths, LABELS, cv=3).mean() == 1
    assert cross_val_score(net(max_epochs=20), frame[["path"]], LABELS, cv=3).mean() == 1
    search = GridSearchCV(net(), {"image_shape": [(8, 8), (4, 4)], "strategy": ["linear-probe", "fine-tune"]}, cv=2)
    assert search.fit(frame.path, frame.label).predict(test.path).shape == (6,)
    pipeline = make_pipeline(PretrainedFeatures(Conv, image_shape=(8, 8)), LogisticRegression())
    assert pipeline.fit(train.path, train.label).score(test.path, test.label) == 1


@STRATEGIES
@pytest.mark.parametrize("share", [0.25, ShuffleSplit(1, random_state=0)])
def test_early_stopping(strategy, share, paths):
    settings = {"strategy": strategy, "early_stopping": True, "validation_fraction": share, "max_epochs": 3}
    expected = net(**settings, image_shape=(8, 8, 3)).fit(PIXELS, LABELS)
    fitted = net(**settings).fit(paths, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(paths), expected.predict_proba(PIXELS))
    assert fitted.net_.history[:, "valid_loss"] == expected.net_.history[:, "valid_loss"]


def test_weights_validation_rows_more_rows_and_augmentation(paths):
    weight = np.arange(24) % 3
    for strategy in ("linear-probe", "fine-tune"):
        one, other = net(strategy=strategy, image_shape=(8, 8, 3)), net(strategy=strategy)
        one.fit(PIXELS, LABELS, weight, PIXELS[:4], LABELS[:4])
        other.fit(paths, LABELS, weight, paths[:4], LABELS[:4])
        one.partial_fit(PIXELS[:8], LABELS[:8])
        other.partial_fit(paths[:8], LABELS[:8])
        np.testing.assert_array_equal(other.predict_proba(paths), one.predict_proba(PIXELS))
    first = net().partial_fit(paths[:4], LABELS[:4])
    assert first.n_iter_ == 1 and first.image_shape_ == (8, 8, 3)
    flipped = net(strategy="fine-tune", augmenter=RandomFlip())
    expected = clone(flipped).set_params(image_shape=(8, 8, 3)).fit(PIXELS, LABELS).predict_proba(PIXELS)
    np.testing.assert_array_equal(flipped.fit(paths, LABELS).predict_proba(paths), expected)


def test_values(paths):
    y = PIXELS.mean((1, 2, 3)).astype(float)
    params = {"max_epochs": 30, "random_state": 0}
    expected = FineTuneRegressor(Conv, **params).fit(PIXELS, y).predict(PIXELS)
    np.testing.assert_array_equal(
        FineTuneRegressor(Conv, image_shape=(8, 8), **params).fit(paths, y).predict(paths), expected
    )


@pytest.fixture
def reads(monkeypatch):
    """Record the number of images in each call of the decoder."""
    seen, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, *args: (seen.append(len(self)), read(self, *args))[1])
    return seen


def test_files_are_read_batch_by_batch(paths, reads, monkeypatch):
    many = paths * 10
    features = PretrainedFeatures(Conv, image_shape=(8, 8), cache=None).fit(many)
    assert reads == []
    features.transform(many)
    assert sum(reads) == 240 and max(reads) == 64
    reads.clear()
    fitted = net(strategy="fine-tune", batch_size=50, max_epochs=3).fit(many, np.tile(LABELS, 10))
    assert sum(reads) == 256 + 240 and max(reads) == 64  # full batches for the features, once for all epochs
    monkeypatch.setattr(sktricks.training._inputs, "KEPT_BYTES", 1000)
    reads.clear()
    again = net(strategy="fine-tune", batch_size=50, max_epochs=3).fit(many, np.tile(LABELS, 10))
    assert sum(reads) == 256 + 3 * 240 and max(reads) == 64
    np.testing.assert_array_equal(again.predict_proba(paths), fitted.predict_proba(paths))


def test_lazy_images_can_replace_a_tensor(paths):
    import torch

    files = ImageFiles(as_column(paths), (8, 8, 3))
    assert files[LABELS == 1].shape == (12, 8, 8, 3) and files.dtype == np.uint8
    np.testing.assert_array_equal(files[LABELS == 1][2:4].read(), PIXELS[[5, 7]])
    for lazy in (LazyImages(files), LazyImages(files)):
        assert lazy.shape == (24, 8, 8, 3) and len(lazy) == 24 and lazy.ndim == 4
        rows = torch.tensor([5, 0, 5, 9])
        np.testing.assert_array_equal(lazy.index_select(0, rows), PIXELS[rows])
        np.testing.assert_array_equal(lazy[3:9], PIXELS[3:9])
        np.testing.assert_array_equal(lazy[3:9], PIXELS[3:9])
        np.testing.assert_array_equal(torch.cat(list(lazy.split(10))), PIXELS)
        lazy._kept = None


def test_digests_are_those_of_the_bytes(paths, tmp_path):
    files = ImageFiles(as_column(paths), (8, 8, 3))
    digests = files.digests()
    assert len(set(digests)) == 24 and {len(digest) for digest in digests} == {16}
    assert files.digests(3) == digests == LazyImages(files).digests()
    assert files[[4, 2]].digests() == [digests[4], digests[2]]
    assert ImageFiles(as_column(COLUMNS["bytes"](paths)), (8, 8, 3)).digests() == digests
    assert not set(ImageFiles(as_column(paths), (8, 8, 1)).digests()) & set(digests)
    copy = write(tmp_path / "elsewhere" / "copy.png", Path(paths[0]).read_bytes())
    assert ImageFiles(as_column([copy]), (8, 8, 3)).digests() == digests[:1]
    copy.write_bytes(file_bytes(PIXELS[1], compress_level=1))
    assert ImageFiles(as_column([copy]), (8, 8, 3)).digests()[0] not in digests
    copy.unlink()
    with pytest.raises(ValueError, match=r"copy\.png cannot be read"):
        ImageFiles(as_column([copy]), (8, 8, 3)).digests()


@pytest.fixture
def dim_paths(tmp_path):
    """The files of ``paths`` in 10-bit gray, stored in 16 bits."""
    gray = [np.rint(pixels.mean(-1) / 255 * 1023).astype(np.uint16) for pixels in PIXELS]
    return [str(write(tmp_path / f"dim{row:02}.png", file_bytes(pixels))) for row, pixels in enumerate(gray)]


def test_features_of_files_with_few_bits(dim_paths):
    images = ImageLoader(white_level=1023).transform(dim_paths)
    assert abs(images[..., 0] - PIXELS.mean(-1)).max() <= 1
    features = PretrainedFeatures(Conv, image_shape=(8, 8), white_level=1023)
    np.testing.assert_array_equal(features.fit_transform(dim_paths), features.transform(images))
    with pytest.warns(BitDepthWarning, match="pass white_level=1023, or white_level=65535"):
        dark = features.set_params(white_level=None).fit_transform(dim_paths)
    assert dark.max() < features.transform(images).max()
    np.testing.assert_array_equal(features.set_params(white_level=65535).fit_transform(dim_paths), dark)
    with pytest.warns(BitDepthWarning, match="images in the files .* above white_level=255"):
        features.set_params(white_level=255).fit(dim_paths)


def test_floats_have_no_white_level_of_their_own(tmp_path):
    pixels, _ = ramp(1)
    paths = [write(tmp_path / "float.tif", file_bytes(pixels.astype(np.float32), "TIFF"))]
    features = PretrainedFeatures(Conv, image_shape=(8, 8)).fit(paths)
    with pytest.raises(ValueError, match=r"float\.tif cannot be read .* floats up to 1, .*pass white_level"):
        features.transform(paths)
    images = ImageLoader(8, white_level=1.0).transform(paths)
    features.set_params(white_level=1.0).fit(paths)
    np.testing.assert_array_equal(features.transform(paths), features.transform(images))


@STRATEGIES
def test_nets_on_files_with_few_bits(strategy, dim_paths):
    with pytest.warns(BitDepthWarning, match=r"white_level=1023.* add ImageLoader\(white_level=\.\.\.\) before it"):
        fitted = net(strategy=strategy).fit(dim_paths, LABELS)
    with pytest.warns(BitDepthWarning, match="white_level=1023"):
        fitted.predict(dim_paths)
    cured = make_pipeline(ImageLoader(white_level=1023), net(strategy=strategy, image_shape=None))
    cured.fit(dim_paths, LABELS).predict(dim_paths)


def test_digests_depend_on_the_white_level(dim_paths):
    sources = as_column(dim_paths)
    plain, white, again = (ImageFiles(sources, (8, 8, 3), white_level=white) for white in (None, 1023, 1023.0))
    assert white.digests() == again.digests() and not set(plain.digests()) & set(white.digests())
    assert white[3:5].digests() == white.digests()[3:5]


ESTIMATORS = pytest.mark.parametrize(
    "estimator",
    [net(), net(strategy="fine-tune"), PretrainedFeatures(Conv, image_shape=(8, 8))],
    ids=["linear-probe", "fine-tune", "features"],
)


def use(estimator, X):
    return estimator.predict(X) if hasattr(estimator, "predict") else estimator.transform(X)


@ESTIMATORS
def test_missing_and_damaged_files_are_named(estimator, paths):
    fitted = clone(estimator).fit(paths, LABELS)
    BROKEN["cut off"](Path(paths[21]))
    with pytest.raises(ValueError, match=r"21\.png cannot be read as an image"):
        use(clone(estimator).fit(paths, LABELS), paths)
    with pytest.raises(ValueError, match=r"21\.png cannot be read as an image"):
        use(fitted, paths[::-1])
    Path(paths[21]).unlink()
    with pytest.raises(ValueError, match=r"1 of \d+ do not exist: .*21\.png"):
        clone(estimator).fit(paths, LABELS)
    with pytest.raises(ValueError, match=r"1 of \d+ do not exist: .*21\.png"):
        use(fitted, paths)


@ESTIMATORS
def test_a_single_path_and_values_without_paths(estimator, paths):
    fitted = clone(estimator).fit(paths, LABELS)
    images = pd.DataFrame({"path": paths, "split": "train"})
    none = images[images.split == "valid"]
    for act in (lambda X: use(fitted, X), lambda X: clone(estimator).fit(X, LABELS)):
        with pytest.raises(ValueError, match=r"got the single path .*: pass a list, \['.*00\.png'\]"):
            act(paths[0])
        for X in (none.path, none[["path"]], none.path.to_numpy(), []):
            with pytest.raises(ValueError, match=r"at least one row, got an empty column.*images\.split\.unique\(\)"):
                act(X)


@ESTIMATORS
def test_strings_that_are_not_files(estimator):
    table = np.array([["a", "1"], ["b", "2"]] * 12, dtype=object)
    for X in (table, table.tolist(), pd.DataFrame(table)):
        with pytest.raises(
            ValueError, match="could not convert string to float|not compatible with arrays of bytes/strings"
        ):
            clone(estimator).fit(X, LABELS)
    with pytest.raises(TypeError, match="got 3.5 in row 2"):
        clone(estimator).fit(["a", "b", 3.5], LABELS[:3])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array|could not convert|incompatible"):
        NetClassifier(max_epochs=1).fit(np.array(["a", "b"], dtype=object), [0, 1])


@STRATEGIES
def test_pixels_with_another_range_than_files(strategy, paths):
    told = r"value_range must be None or \(0, 255\) for image files, got \(0, 1\): .* expects pixels"
    for wrong in (net(strategy=strategy), PretrainedFeatures(Conv, image_shape=(8, 8))):
        with pytest.raises(ValueError, match=told):
            wrong.set_params(value_range=(0, 1)).fit(paths, LABELS)
    for given in (None, (0, 1)):
        scaled = net(strategy=strategy, image_shape=None, value_range=given).fit(PIXELS / 255, LABELS)
        features = PretrainedFeatures(Conv, value_range=given).fit(PIXELS / 255)
        for use_files in (scaled.predict, features.transform, lambda X, net=scaled: net.partial_fit(X, LABELS)):
            with pytest.raises(ValueError, match=told.replace("expects", "was fitted on")):
                use_files(paths)
    expected = net(strategy=strategy).fit(paths, LABELS).predict_proba(paths)
    found = net(strategy=strategy, value_range=[0, 255]).fit(paths, LABELS).predict_proba(paths)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def loaded(monkeypatch):
    """Record the backbones loaded for their size, which is the content of the file ``weights``, if it exists."""
    specs = []

    def load_backbone(spec):
        specs.append(spec)
        weights = Path(spec.partition(":")[2].partition("::")[0])
        size = (int(weights.read_text()),) * 2 if weights.is_file() else (7, 7)
        return SimpleNamespace(preprocess=SimpleNamespace(size=size))

    monkeypatch.setattr(sktricks.transfer.backbones._load_backbone, "load_for_images", load_backbone)
    return specs


def test_a_backbones_size_is_looked_up_once_while_its_files_stay(tmp_path, loaded):
    file = tmp_path / "weights"
    for size in (8, 8, 16):
        file.write_text(str(size))
        os.utime(file, ns=(size, size))
        assert own_size(f"file:{file}::timm:resnet18") == (size, size)
    assert len(loaded) == 2
    for content in ("{}", "{}", "{ }"):
        (tmp_path / "config.json").write_text(content)
        os.utime(tmp_path / "config.json", ns=(1, 1))
        assert own_size(f"untrained:hf:{tmp_path}") == (7, 7)
    assert len(loaded) == 4


WIDTH = 3  # a global variable that a factory reads


def make_conv():
    return nn.Conv2d(1, WIDTH, 3)


def test_a_factorys_size_is_looked_up_once_while_its_code_stays(loaded, monkeypatch):
    spec = f"{__name__}:make_conv"
    assert own_size(spec) == own_size(spec) == (7, 7) and len(loaded) == 1
    monkeypatch.setitem(globals(), "WIDTH", 4)
    assert own_size(spec) == own_size(spec) == (7, 7) and len(loaded) == 2
    with pytest.raises(ValueError, match="os has no class or factory 'no_factory'"):
        own_size("os:no_factory")


def test_fitted_on_something_else(paths):
    many = net(image_shape=None, backbone=nn.Conv2d(5, 4, 3)).fit(np.zeros((24, 8, 8, 5), np.uint8), LABELS)
    with pytest.raises(ValueError, match=r"1 or 3 channels, .* shape \(8, 8, 5\)"):
        many.predict(paths)
    with pytest.warns(sktricks.NoPretrainedBackboneWarning):
        table = net(image_shape=None).fit(PIXELS.reshape(24, -1), LABELS)
    with pytest.raises(ValueError, match="X must be a table of 192 columns, .* got image files"):
        table.predict(paths)


def test_a_table_with_a_column_of_files_raises_an_error(paths):
    frame = pd.DataFrame({"path": paths, "label": LABELS})
    with pytest.raises(
        ValueError, match=r"columns \['path', 'label'\]: pass only the column of image files, X\[\['path'\]\]"
    ):
        net().fit(frame, LABELS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"image_shape": None},
            "image_shape must be given for image files, got None: .* has no fixed input size.*=224$",
        ),
        ({"image_shape": (8, 8, 4)}, r"1 or 3 channels, .* shape \(8, 8, 4\)"),
        ({"image_shape": 1}, "image_shape must have a height and a width of at least 2 .*got 1$"),
        ({"image_shape": (8,)}, "image_shape must be a pair"),
        ({"image_shape": (1, 8)}, "at least 2"),
        ({"image_shape": None, "backbone": "tiny64"}, "backbone='tiny64' is unknown"),
    ],
)
def test_shapes_that_files_cannot_have(params, message, paths):
    with pytest.raises(ValueError, match=message):
        net(**params).fit(paths, LABELS)


def test_too_few_files(paths):
    with pytest.raises(ValueError, match=r"1 sample\(s\), a minimum of 2 is required"):
        net().fit(paths[:1], LABELS[:1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        net().fit(paths, LABELS[:5])


def test_a_bar_of_images_that_are_read(paths, bars):
    loader = ImageLoader(8, n_jobs=2, verbose=1)
    np.testing.assert_array_equal(loader.fit_transform(paths), ImageLoader(8).fit_transform(paths))
    assert bars == [("reading", len(paths), len(paths))]
    loader.set_params(size=None).fit_transform(paths)
    assert bars[1:] == [("reading sizes", len(paths), len(paths)), ("reading", len(paths), len(paths))]
