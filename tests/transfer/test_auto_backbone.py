import io
import warnings

import numpy as np
import pytest

from sktricks import (
    BackboneConfigWarning,
    FineTuneClassifier,
    FineTuneRegressor,
    PretrainedFeatures,
    SmallBackboneWarning,
    load,
    save,
)
from sktricks.transfer import _auto_backbone
from sktricks.transfer._auto_backbone import LOOKED_AT, PHOTO_SIDE, auto_backbone, choose_backbone, typical_size
from sktricks.transfer.backbones import _bundled, _lite0_weights
from sktricks.transfer.cache import _pool

Image = pytest.importorskip("PIL.Image")
LABELS = np.arange(4) % 2


def make_file(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def column(sources):
    found = np.empty(len(sources), object)
    found[:] = sources
    return found


PHOTOS = column([make_file(PHOTO_SIDE, PHOTO_SIDE + 9 * n, n) for n in range(4)])
SMALL = column([make_file(PHOTO_SIDE - 1, 2 * PHOTO_SIDE, n) for n in range(4)])


@pytest.fixture(autouse=True)
def lite0_is_untrained(monkeypatch, tmp_path):
    """A substitute for lite0 that loads fast and has its input size."""
    import torch

    path = tmp_path / "lite0.pth"
    torch.save(_lite0_weights.Lite0().state_dict(), path)
    monkeypatch.setenv("SKTRICKS_LITE0", str(path))


@pytest.fixture
def no_weights(monkeypatch):
    monkeypatch.delenv("SKTRICKS_LITE0")
    monkeypatch.setattr(_lite0_weights, "is_installed", lambda name: False)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (8, 8, "tiny32"),
        (32, 32, "tiny32"),
        (100, 100, "tiny32"),
        (PHOTO_SIDE - 1, 4000, "tiny32"),
        (4000, PHOTO_SIDE, "lite0"),
        (3000, 4000, "lite0"),
    ],
)
def test_the_shorter_side_decides(height, width, expected):
    assert auto_backbone(height, width) == choose_backbone("auto", height, width) == expected


def test_a_backbone_that_is_given_stays(no_weights):
    assert choose_backbone("tiny32", 500, 500) == "tiny32" and choose_backbone(np.mean, 500, 500) is np.mean


def test_the_median_of_the_shorter_sides_counts():
    sizes = [(20, 500), (300, 90), (90, 30), (7, 7), (200, 200)]
    assert typical_size(column([make_file(*size) for size in sizes])) == (90, 30)


def test_only_some_headers_are_read(monkeypatch):
    read = []
    monkeypatch.setattr(_auto_backbone, "read_raw_size", lambda source: read.append(source) or (9, 9))
    assert typical_size(column([b"%d" % n for n in range(1000)])) == (9, 9)
    assert len(read) == LOOKED_AT and read[0] == b"0" and read[-1] == b"999"


def test_files_that_cannot_be_read_do_not_count():
    assert typical_size(column([b"nothing", make_file(50, 60), b""])) == (50, 60)
    assert typical_size(column([b"nothing"])) is None
    with pytest.raises(ValueError, match="cannot be read as an image"):
        PretrainedFeatures().fit_transform(column([b"nothing"]))


@pytest.mark.parametrize("make", [PretrainedFeatures, FineTuneClassifier, FineTuneRegressor])
@pytest.mark.parametrize(("files", "name", "side"), [(PHOTOS, "lite0", 224), (SMALL, "tiny32", 32)])
def test_files(make, files, name, side):
    fitted = make().fit(files[:2], LABELS[:2])
    assert fitted.backbone_name_ == name and fitted.image_shape_ == (side, side, 3)


def test_image_shape_counts_for_files_and_rows():
    assert PretrainedFeatures(image_shape=40).fit(PHOTOS).backbone_name_ == "tiny32"
    assert PretrainedFeatures(image_shape=PHOTO_SIDE).fit(SMALL).backbone_name_ == "lite0"
    rows = np.zeros((2, PHOTO_SIDE * PHOTO_SIDE), np.uint8)
    assert PretrainedFeatures(image_shape=(PHOTO_SIDE, PHOTO_SIDE)).fit(rows).backbone_name_ == "lite0"


def test_arrays():
    photos = np.zeros((2, PHOTO_SIDE, PHOTO_SIDE, 3), np.uint8)
    assert PretrainedFeatures().fit(photos).backbone_name_ == "lite0"
    assert PretrainedFeatures().fit(photos[:, :32, :32]).backbone_name_ == "tiny32"


@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
def test_a_table_has_no_backbone():
    rows = np.random.default_rng(0).random((4, 3))
    assert FineTuneClassifier(max_epochs=1).fit(rows, LABELS).backbone_name_ is None
    assert PretrainedFeatures().fit(rows).backbone_name_ is None


@pytest.mark.parametrize("make", [PretrainedFeatures, FineTuneClassifier])
@pytest.mark.parametrize("as_files", [True, False])
def test_without_weights_a_warning_says_what_to_install(no_weights, make, as_files):
    X = PHOTOS if as_files else np.zeros((4, PHOTO_SIDE, PHOTO_SIDE + 18, 3), np.uint8)
    message = rf'photos of {PHOTO_SIDE} x {PHOTO_SIDE + 18} pixels are resized to 32 x 32 .*pip install "sktricks\[im'
    with pytest.warns(SmallBackboneWarning, match=message) as found:
        fitted = make().fit(X, LABELS)
    assert len(found) == 1 and fitted.backbone_name_ == "tiny32"


@pytest.fixture
def no_tiny32(monkeypatch, tmp_path):
    """A build with SKTRICKS_NO_WEIGHTS=1."""
    monkeypatch.delenv("SKTRICKS_TINY32", raising=False)
    monkeypatch.setattr(_bundled, "WEIGHTS", tmp_path / "tiny32.safetensors")
    monkeypatch.setattr(_pool, "WEIGHTS", tmp_path / "tiny32.safetensors")


@pytest.mark.parametrize("make", [PretrainedFeatures, FineTuneClassifier])
@pytest.mark.parametrize("as_files", [True, False])
def test_lite0_stands_in_for_tiny32_with_a_warning(no_tiny32, make, as_files):
    X = SMALL[:2] if as_files else np.zeros((2, 32, 32), np.uint8)
    with pytest.warns(BackboneConfigWarning, match=r"are seen by backbone='lite0'.* lacks the weights of 'tiny32'"):
        fitted = make().fit(X, LABELS[:2])
    assert fitted.backbone_name_ == "lite0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_backbone("auto", PHOTO_SIDE, PHOTO_SIDE) == choose_backbone("lite0", 32, 32) == "lite0"


@pytest.mark.parametrize("backbone", ["auto", "tiny32"])
@pytest.mark.parametrize("side", [32, PHOTO_SIDE])
def test_without_any_weights_the_error_says_what_to_install(no_tiny32, no_weights, backbone, side):
    X = np.zeros((2, side, side), np.uint8)
    with pytest.raises(ImportError, match=r"SKTRICKS_NO_WEIGHTS=1.*SKTRICKS_TINY32.*pip install \"sktricks\[images"):
        PretrainedFeatures(backbone).fit(X)


def test_an_untrained_tiny32_needs_no_weights(no_tiny32):
    assert PretrainedFeatures("untrained:tiny32").fit(np.zeros((2, 8, 8), np.uint8)).backbone_name_


def test_no_warning_where_tiny32_was_asked_for_or_is_right(no_weights):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PretrainedFeatures("tiny32").fit(PHOTOS).backbone_name_ == "tiny32"
        assert PretrainedFeatures().fit(SMALL).backbone_name_ == "tiny32"


def test_folds_agree():
    files = column([*PHOTOS, *SMALL[:1], *PHOTOS])
    names = {PretrainedFeatures().fit(files[fold::3]).backbone_name_ for fold in range(3)}
    assert names == {"lite0"}


def test_a_loaded_net_keeps_the_choice_without_weights(no_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("SKTRICKS_LITE0", str(tmp_path / "lite0.pth"))
    fitted = PretrainedFeatures().fit(PHOTOS)
    save(fitted, tmp_path / "features.skt")
    expected = fitted.transform(PHOTOS[:1])
    monkeypatch.delenv("SKTRICKS_LITE0")
    loaded = load(tmp_path / "features.skt")
    assert loaded.backbone == "auto" and loaded.backbone_name_ == "lite0"
    np.testing.assert_array_equal(loaded.transform(PHOTOS[:1]), expected)
