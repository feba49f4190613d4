"""How images are resized: squashed or cropped, from files and from arrays."""

import io
from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sktricks import FeatureCache, FineTuneClassifier, ImageLoader, ImageSizeWarning, PretrainedFeatures, load, save
from sktricks.images._decode import decode
from sktricks.images._image_column import as_column
from sktricks.images._image_files import ImageFiles
from sktricks.images._resize import center_box

Image = pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")

from sktricks.transfer.backbones._backbone import Preprocess  # noqa: E402

RNG = np.random.default_rng(0)
SMOOTH = (
    np.sin(np.arange(60) / 7)[:, None, None] * np.cos(np.arange(96) / 9)[None, :, None] * [90, 60, 30] + 128
).astype(np.uint8)
LABELS = np.arange(8) % 2
# Twice as wide as high: images of label 1 are bright in their center.
WIDE = (RNG.random((8, 32, 64, 3)) * 60).astype(np.uint8)
WIDE[LABELS == 1, :, 16:48] += 190


def file_bytes(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def reference(pixels, size, how):
    """Resize the shorter side, then take the center, as torchvision does."""
    height, width = pixels.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    covering = round(width * scale), round(height * scale)
    left, top = (covering[0] - size[1]) // 2, (covering[1] - size[0]) // 2
    image = Image.fromarray(pixels).resize(covering, how)
    return np.asarray(image.crop((left, top, left + size[1], top + size[0]))).astype(int)


@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((96, 60), (32, 32), (18, 0, 78, 60)),
        ((60, 96), (32, 32), (0, 18, 60, 78)),
        ((64, 64), (32, 32), (0, 0, 64, 64)),
        ((96, 60), (48, 24), (0, 6, 96, 54)),
        ((5, 1), (8, 8), (2, 0, 3, 1)),
    ],
)
def test_the_box_in_the_center(size, target, box):
    np.testing.assert_allclose(center_box(size, target), box)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 20), (30, 12), (60, 60), (80, 80)])
def test_a_cropped_file_is_the_center_of_the_resized_one(size, interpolation):
    cropped = decode(file_bytes(SMOOTH), size, "RGB", None, "crop", interpolation)[0]
    expected = reference(SMOOTH, size, getattr(Image.Resampling, interpolation.upper()))
    assert cropped.shape == (*size, 3)
    assert abs(cropped - expected).mean() < 1.5 and abs(cropped - expected).max() < 12


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 20), (30, 12), (60, 60), (80, 80)])
def test_a_cropped_array_is_the_center_of_the_resized_one(size, interpolation):
    x = torch.from_numpy(SMOOTH).permute(2, 0, 1)[None] / 255
    cropped = Preprocess(size, interpolation=interpolation, resize_mode="crop")(x)[0].permute(1, 2, 0).numpy() * 255
    expected = reference(SMOOTH, size, getattr(Image.Resampling, interpolation.upper()))
    assert abs(cropped - expected).mean() < 1.5 and abs(cropped - expected).max() < 12


def test_modes_agree_on_images_with_the_aspect_ratio_of_the_net():
    x = torch.from_numpy(SMOOTH[:, :60]).permute(2, 0, 1)[None] / 255
    assert torch.equal(Preprocess((32, 32))(x), Preprocess((32, 32), resize_mode="crop")(x))
    content = file_bytes(SMOOTH[:, :60])
    np.testing.assert_array_equal(
        *(ImageLoader(32, resize_mode=mode).transform([content]) for mode in ("crop", "squash"))
    )


def test_the_center_is_that_of_the_upright_image():
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = [200, 0, 0]
    turned, file = Image.fromarray(np.rot90(pixels)), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(file, "PNG", exif=exif)
    images = ImageLoader(24, resize_mode="crop").transform([file.getvalue(), file_bytes(pixels)])
    np.testing.assert_array_equal(images[:, :, 2:-2], np.broadcast_to([200, 0, 0], (2, 24, 20, 3)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 2, 3)])
@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_files_of_any_shape_are_resized(shape, mode):
    with pytest.warns(
        ImageSizeWarning,
        match=rf"^1 image so far has almost no detail after resizing to 16 x 16.* \({shape[1]} x {shape[0]}\) ",
    ):
        images = ImageLoader(16, resize_mode=mode).transform([file_bytes(np.full(shape, 70, np.uint8))])
    np.testing.assert_array_equal(images, np.full((1, 16, 16, 3), 70))


@pytest.mark.parametrize("shape", [(2, 20_000), (20_000, 2)])
def test_long_arrays_are_cropped_in_little_memory(shape, monkeypatch):
    sizes, interpolate = [], torch.nn.functional.interpolate
    record = lambda x, size, **how: (sizes.append(size), interpolate(x, size, **how))[1]  # noqa: E731
    monkeypatch.setattr(torch.nn.functional, "interpolate", record)
    ready = Preprocess((32, 32), resize_mode="crop")(torch.full((1, 3, *shape), 0.5))
    torch.testing.assert_close(ready, torch.full((1, 3, 32, 32), 0.5))
    assert np.prod(sizes) < 10 * 32 * 32


def test_a_cache_distinguishes_the_modes():
    content, X = [file_bytes(image) for image in WIDE], WIDE
    for images in (content, X):
        cache = FeatureCache()
        squash, crop = (
            PretrainedFeatures(resize_mode=mode, image_shape=None if images is X else 32, cache=cache).fit_transform(
                images
            )
            for mode in ("squash", "crop")
        )
        assert cache.info().encoded == 16 and not np.allclose(squash, crop)
    assert (
        ImageFiles(as_column(content), (8, 8, 3)).digests()
        != ImageFiles(as_column(content), (8, 8, 3), resize_mode="crop").digests()
    )


def test_a_subset_of_files_is_read_in_the_same_way():
    files = ImageFiles(as_column([file_bytes(image) for image in WIDE]), (32, 32, 3), resize_mode="crop")
    np.testing.assert_array_equal(files[2:4].read(), WIDE[2:4, :, 16:48])


def test_a_fitted_net_sees_cropped_images_everywhere(tmp_path):
    net = FineTuneClassifier("tiny32", resize_mode="crop", max_epochs=5, random_state=0).fit(WIDE, LABELS)
    centers = FineTuneClassifier("tiny32", max_epochs=5, random_state=0).fit(WIDE[:, :, 16:48], LABELS)
    np.testing.assert_allclose(net.predict_proba(WIDE), centers.predict_proba(WIDE[:, :, 16:48]), atol=1e-5)
    assert net.backbone_.preprocess.resize_mode == "crop"
    save(net, tmp_path / "net.sktricks")
    again = load(tmp_path / "net.sktricks")
    assert again.resize_mode == again.backbone_.preprocess.resize_mode == "crop"
    np.testing.assert_array_equal(again.predict_proba(WIDE), net.predict_proba(WIDE))


def test_a_search_compares_the_modes():
    net = FineTuneClassifier("tiny32", max_epochs=3, random_state=0)
    search = GridSearchCV(net, {"resize_mode": ["squash", "crop"]}, cv=2).fit([file_bytes(i) for i in WIDE], LABELS)
    assert search.best_estimator_.backbone_.preprocess.resize_mode == search.best_params_["resize_mode"]


@pytest.mark.parametrize("make", [partial(FineTuneClassifier, max_epochs=1), PretrainedFeatures])
def test_files_that_are_read_at_less_than_the_size_of_the_backbone_warn(make):
    files = [file_bytes(image) for image in WIDE]
    message = r"image_shape=\(16, 16\) is smaller than the 32 x 32 pixels .*'tiny32': image files of about 32 x 64"
    with pytest.warns(ImageSizeWarning, match=message):
        make("tiny32", image_shape=16).fit(files, LABELS)
    make("tiny32", image_shape=32).fit(files, LABELS)  # of its own size
    make("tiny32", image_shape=16).fit([file_bytes(image[::2, ::4]) for image in WIDE], LABELS)  # are no larger
    make("tiny32").fit(WIDE[:, ::2, ::2], LABELS)  # an array


@pytest.mark.parametrize("estimator", [FineTuneClassifier(), PretrainedFeatures(), ImageLoader()])
def test_an_unknown_mode_is_an_error(estimator):
    X = [file_bytes(image) for image in WIDE]
    with pytest.raises(ValueError, match="'resize_mode' parameter.*'(crop|squash)'.*Got 'fit'"):
        estimator.set_params(resize_mode="fit").fit(X, LABELS)


@pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune"])
def test_a_net_names_photos_of_odd_shapes_once(strategy):
    shapes = [(40, 30), (1, 1), (30, 40), (300, 20), (60, 60), (64, 48), (41, 400), (8, 8)]  # mixed sizes are fine
    content = [file_bytes(RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)) for shape in shapes]
    net = FineTuneClassifier("tiny32", strategy=strategy, max_epochs=2, batch_size=4, random_state=0)
    with pytest.warns(ImageSizeWarning, match=r"in row 1 \(1 x 1\), .* in row 3 \(20 x 300\) .*Remove them") as caught:
        net.fit(content, LABELS)
    assert len(caught) == 1 and caught[0].filename == __file__
    net.fit([content[k] for k in (0, 2, 4, 5, 6, 7)], LABELS[:6])


def test_photos_that_are_not_resized_are_not_reported():
    assert ImageLoader().transform([file_bytes(np.zeros((1, 300, 3), np.uint8))] * 2).shape == (2, 1, 300, 3)
