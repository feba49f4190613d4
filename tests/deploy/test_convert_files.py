"""Columns of image files: the graph takes pixels, and its metadata describe the decoding."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sktricks import FineTuneClassifier, ImageLoader, NetClassifier, PretrainedFeatures
from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.images._decode import decode

from ._agreement import run

Image = pytest.importorskip("PIL.Image")
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photos in several formats, rotated, transparent and with 16 bits, and their labels."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for number in range(12):
        pixels = rng.integers(0, 256, (9 + number, 20 - number, 3), np.uint8) // (1 + number % 2)
        paths.append(folder / f"{number}.{'jpg' if number % 3 else 'png'}")
        exif = Image.Exif()
        exif[ORIENTATION] = 6 if number in (1, 3) else 1
        Image.fromarray(pixels).resize((300, 200)).save(paths[-1], exif=exif)
    Image.fromarray(rng.integers(0, 256, (30, 40, 4), np.uint8)).save(paths[6])
    Image.fromarray(rng.integers(0, 65536, (30, 40), np.uint16)).save(paths[9])
    return [str(path) for path in paths], np.resize(["dim", "bright"], 12)


def decode_with_pillow(path, shape, mode, white_level, resize_mode, interpolation):
    """The steps given in the documentation, with only Pillow."""
    from PIL import ImageOps

    image, (height, width) = Image.open(path), shape[:2]
    image.draft(None, (2 * max(height, width),) * 2)
    if image.mode.startswith("I"):
        scaled = np.rint(np.minimum(np.asarray(image) * (255 / (white_level or 65535)), 255))
        image = Image.fromarray(scaled.astype(np.uint8))
    turned = image.getexif().get(ORIENTATION, 1)
    upright = Image.Exif()
    upright[ORIENTATION] = turned
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)
    size, box = (height, width) if turned >= 5 else (width, height), None
    if resize_mode == "crop":
        scale = max(new / old for new, old in zip(size, image.size, strict=True))
        sides = [new / scale for new in size]
        left, top = ((old - side) / 2 for old, side in zip(image.size, sides, strict=True))
        box = (left, top, left + sides[0], top + sides[1])
    image = image.resize(size, Image.Resampling[interpolation.upper()], box=box, reducing_gap=3.0)
    image.info["exif"] = upright.tobytes()
    image._exif = None
    return np.asarray(ImageOps.exif_transpose(image)).reshape(shape)


def pixels_of(graph, paths):
    """The pixels for the only input of a graph, and its name."""
    ((name, how),) = graph.decodings.items()
    shape, options = how["shape"], {key: how[key] for key in how if key not in ("column", "shape")}
    pixels = [decode(path, shape[:2], **options)[0].reshape(shape) for path in paths]
    for path, own in zip(paths, pixels, strict=True):
        np.testing.assert_array_equal(decode_with_pillow(path, shape, **options), own)
    return name, np.stack(pixels)


def test_files_for_a_fine_tuned_net(files):
    paths, y = files
    net = FineTuneClassifier("tiny32", resize_mode="crop", strategy="linear-probe", random_state=0).fit(paths, y)
    graph, model = build_model(net, paths)
    name, pixels = pixels_of(graph, paths)
    assert pixels.shape == (12, 32, 32, 3)
    found = run(model, pixels)
    np.testing.assert_allclose(found["probabilities"], net.predict_proba(paths), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["label"], net.predict(paths))
    assert name == "path"


def test_a_column_of_a_dataframe(files):
    pd = pytest.importorskip("pandas")
    paths, _ = files
    X = pd.DataFrame({"photo": paths})
    model = PretrainedFeatures("tiny32", image_shape=(32, 32, 1)).fit(X)
    graph, onnx_model = build_model(model, X)
    name, pixels = pixels_of(graph, paths)
    assert name == "photo" and [value.name for value in graph.inputs] == ["photo"] and pixels.shape == (12, 32, 32, 1)
    np.testing.assert_allclose(run(onnx_model, pixels)["features"], model.transform(X), rtol=0, atol=1e-4)


@pytest.mark.parametrize("how", [{}, {"mode": "L", "resize_mode": "crop"}, {"mode": "L", "flatten": True}])
def test_image_loader(files, how):
    paths, y = files
    loader = ImageLoader(size=(8, 12), **how)
    graph, model = build_model(loader.fit(paths), paths)
    found = run(model, pixels_of(graph, paths)[1])["features"]
    np.testing.assert_array_equal(found, loader.transform(paths))
    net = make_pipeline(loader, NetClassifier(max_epochs=1, random_state=0)).fit(paths, y)
    graph, model = build_model(net, paths)
    found = run(model, pixels_of(graph, paths)[1])["probabilities"]
    np.testing.assert_allclose(found, net.predict_proba(paths), rtol=0, atol=1e-5)


def test_refuses_images_of_any_size(files):
    with pytest.raises(UnsupportedForOnnxError, match=r"size=None.*set ImageLoader\(size"):
        build_model(ImageLoader().fit(files[0][:1]), files[0][:1])
