import io

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, load_iris

from sktricks import find_duplicates
from sktricks.inspection import _similar_images

DIGITS = load_digits().data
RNG = np.random.default_rng(0)


def smooth_images(n, side=32, channels=3):
    """Random images whose large shapes differ, as those of photos do."""
    coarse = RNG.random((n, 4, 4, channels))
    weights = _similar_images.interpolate(4, side)
    fine = RNG.random((n, side, side, channels))
    return np.uint8(np.einsum("ah,nhwc,bw->nabc", weights, coarse, weights) * 200 + fine * 50)


IMAGES = smooth_images(40)


@pytest.fixture
def image_module():
    return pytest.importorskip("PIL.Image")


def as_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def as_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_equal_images_are_pairs_with_the_first_of_them():
    X = DIGITS[:60].copy()
    X[[20, 50]] = X[4]
    found = find_duplicates(X, image_shape=(8, 8))
    assert found.pairs.tolist() == [[4, 20], [4, 50]] and found.kinds.tolist() == ["exact", "exact"]
    assert len(np.unique(found.groups)) == 58 and len(set(found.groups[[4, 20, 50]])) == 1
    assert found.leaks is None and found.split is None


def test_copies_with_small_differences_are_similar():
    noise = RNG.integers(-4, 5, IMAGES.shape)
    X = np.concatenate([IMAGES, np.clip(IMAGES[:10] + noise[:10], 0, 255).astype(np.uint8)])
    found = find_duplicates(X)
    assert found.pairs.tolist() == [[row, row + 40] for row in range(10)]
    assert set(found.kinds) == {"re-encoded"}


@pytest.mark.parametrize("side", [32, 100])
def test_files_resized_and_saved_again(side, image_module):
    images = [image_module.fromarray(image) for image in smooth_images(30, side)]
    files = [as_png(image) for image in images]
    half, double = ((side // 2, side // 2), (2 * side, 2 * side))
    copies = [
        as_jpeg(images[0], 50), as_jpeg(images[1], 90), files[2], as_png(images[3].resize(half)),
        as_png(images[4].resize(double)), as_jpeg(images[5].resize(half), 75),
    ]  # fmt: skip
    found = find_duplicates(files + copies)
    assert found.pairs.tolist() == [[row, row + 30] for row in range(6)]
    assert found.kinds.tolist() == ["re-encoded", "re-encoded", "exact", "resized", "resized", "resized"]


def test_the_table_of_a_folder(tmp_path, image_module):
    pandas = pytest.importorskip("pandas")
    paths = [str(tmp_path / f"{row}.png") for row in range(8)]
    for row, path in enumerate(paths):
        image_module.fromarray(IMAGES[row % 6]).save(path)
    table = pandas.DataFrame({"path": paths, "label": "a", "split": ["train"] * 6 + ["test"] * 2})
    found = find_duplicates(table, split=table.split)
    assert found.pairs.tolist() == [[0, 6], [1, 7]]
    assert found.leaks.tolist() == [True, True, False, False, False, False, True, True]
    frame = found.to_frame()
    assert frame.columns.tolist() == ["first", "second", "kind", "group", "split_of_first", "split_of_second"]
    assert frame.loc[1].tolist() == [1, 7, "exact", 1, "train", "test"]
    with pytest.raises(ValueError, match="gone.png"):
        find_duplicates([*paths, str(tmp_path / "gone.png")])


def test_leaks_lie_in_several_parts_and_rows_without_a_part_in_none():
    X = DIGITS[:30].copy()
    X[[10, 11, 12]] = X[[0, 1, 2]]
    split = ["train"] * 10 + ["test", "train", None] + ["test"] * 17
    found = find_duplicates(X, image_shape=(8, 8), split=split)
    assert np.flatnonzero(found.leaks).tolist() == [0, 10]
    assert str(found) == (
        "30 rows: 3 groups of 6 copies (3 pairs: 3 exact); 2 rows with a copy in another part of the split "
        "(1 in test, 1 in train)"
    )
    clean = find_duplicates(DIGITS[:30], image_shape=(8, 8), split=split)
    assert repr(clean) == "<Duplicates among 30 rows: no duplicates>" and not clean.leaks.any()


def test_rows_of_a_table_are_equal_up_to_rounding():
    X, _ = load_iris(return_X_y=True)
    X = np.unique(X, axis=0)
    X = np.concatenate([X, X[:3] * (1 + 1e-15), X[3:6] * (1 + 1e-6)])
    assert find_duplicates(X).pairs.tolist() == [[row, len(X) - 6 + row] for row in range(3)]
    zeros = np.array([[0.0, np.nan], [-0.0, np.nan], [0.0, 1.0]])
    assert find_duplicates(zeros).pairs.tolist() == [[0, 1]]
    large = np.array([[2**60], [2**60 + 1], [2**60]])
    assert find_duplicates(large).pairs.tolist() == [[0, 2]]


def test_rows_of_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.5, 1.5, None, None], "b": ["x", "x", "y", "y"], "c": [1, 2, 3, 3]})
    frame["b"] = frame["b"].astype("category")
    assert find_duplicates(frame).pairs.tolist() == [[2, 3]]
    assert find_duplicates(frame[["a", "b"]]).pairs.tolist() == [[0, 1], [2, 3]]
    pixels = pandas.DataFrame(DIGITS[[0, 1, 2, 0]])
    assert find_duplicates(pixels, image_shape=8).pairs.tolist() == [[0, 3]]


def test_blocks_do_not_change_the_result(monkeypatch):
    X = np.concatenate([IMAGES, IMAGES[:5] // 2 * 2])
    whole = find_duplicates(X)
    monkeypatch.setattr(_similar_images, "BYTES", 1000)
    assert np.array_equal(find_duplicates(X).pairs, whole.pairs) and len(whole.pairs) == 5


def test_the_range_of_pixels_does_not_matter():
    X = np.concatenate([IMAGES, IMAGES[:5] // 2 * 2])
    for other in (X / 255.0, X.astype(np.float32) / 255 - 3, X.astype(np.uint16) * 200):
        assert find_duplicates(other).pairs.tolist() == [[row, 40 + row] for row in range(5)]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_images(n):
    assert len(find_duplicates(IMAGES[:n]).pairs) == 0
    again = np.concatenate([IMAGES[:n], IMAGES[:1] // 2 * 2])
    assert find_duplicates(again).pairs.tolist() == [[0, n]]


def test_a_large_family_of_copies_is_one_group():
    noisy = np.clip(IMAGES[:1] + RNG.integers(-2, 3, (60, 32, 32, 3)), 0, 255).astype(np.uint8)
    groups = find_duplicates(np.concatenate([IMAGES[1:], noisy])).groups
    assert len(np.unique(groups)) == 40 and len(np.unique(groups[39:])) == 1


def test_images_of_one_color():
    X = np.zeros((4, 8, 8), np.uint8)
    X[3] = 200
    assert find_duplicates(X).groups.tolist() == [0, 0, 0, 1]


def test_thumbnails_are_means_of_cells():
    image = RNG.random((1, 16, 24, 1))
    cells = image.reshape(8, 2, 8, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(_similar_images.thumbnails_of_images(image).reshape(8, 8), cells, rtol=1e-6)
    np.testing.assert_allclose(_similar_images.average_cells(5, 8).sum(axis=1), 1)
    np.testing.assert_allclose(_similar_images.interpolate(5, 11).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("X", "params", "error", "match"),
    [
        (DIGITS[:9], {"split": ["train"] * 8}, ValueError, "split must have one part per row of X, 9, got 8"),
        (DIGITS[:9], {"split": "train"}, ValueError, "split must have one part per row of X"),
        (DIGITS[:9], {"split": np.zeros((9, 2))}, ValueError, r"split must have .* got an array of shape \(9, 2\)"),
        (np.array([[{}, 1], [{}, 1]], dtype=object), {}, TypeError, "X must hold .* values that can be hashed"),
        (DIGITS[:9], {"image_shape": (8, 9)}, ValueError, "image_shape"),
        (csr_matrix(DIGITS[:9]), {}, TypeError, "X must be a dense array"),
        (np.full((3, 8, 8), np.nan), {}, ValueError, "NaN"),
    ],
    ids=["lengths", "text", "two columns", "objects", "shape", "sparse", "nan"],
)
def test_wrong_input(X, params, error, match):
    with pytest.raises(error, match=match):
        find_duplicates(X, **params)


def test_bars_of_images_that_are_read_and_compared(image_module, bars):
    find_duplicates([as_png(image_module.fromarray(image)) for image in IMAGES[:5]], verbose=1)
    assert bars == [("reading", 5, 5), ("comparing", 5, 5)]
    find_duplicates(IMAGES, verbose=0)
    assert len(bars) == 2
