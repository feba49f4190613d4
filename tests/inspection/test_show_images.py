import numpy as np
import pytest
from sklearn.datasets import load_digits

from sktricks import read_image_folder, show_images

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
pandas = pytest.importorskip("pandas")
image_module = pytest.importorskip("PIL.Image")

DIGITS, NUMBERS = load_digits(return_X_y=True)


def shown(figure):
    return [ax for ax in figure.axes if ax.images]


@pytest.fixture
def folder(tmp_path):
    for name, sizes in {"cat": [(500, 300), (8, 8), (300, 500)], "dog": [(64, 64)]}.items():
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            image_module.new("RGB", size, "white" if number else "red").save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_each_class_is_a_row_with_its_number_of_images():
    figure = show_images(DIGITS[:200], NUMBERS[:200], n_per_class=3, image_shape=(8, 8))  # as in its docstring
    assert len(figure.axes) == len(shown(figure)) == 30
    labels = [ax.get_ylabel() for ax in figure.axes[::3]]
    assert labels == [f"{digit} ({(NUMBERS[:200] == digit).sum()})" for digit in range(10)]
    first, last = np.flatnonzero(NUMBERS[:200] == 4)[[0, -1]]
    for ax, row in zip((figure.axes[12], figure.axes[14]), (first, last), strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), DIGITS[row].reshape(8, 8) / 16)


def test_a_folder_of_photos_in_their_own_aspect_ratio(folder):
    images = read_image_folder(folder)
    for figure in (
        show_images(images),
        show_images(images.path, images.label),
        show_images(images[["path"]], images.label),
    ):
        assert [ax.images[0].get_array().shape for ax in shown(figure)] == [
            (154, 256, 3), (8, 8, 3), (256, 154, 3), (64, 64, 3)
        ]  # fmt: skip
        assert [ax.get_xlabel() for ax in shown(figure)] == ["0.png", "1.png", "2.png", "0.png"]
        assert [ax.get_ylabel() for ax in figure.axes[::4]] == ["cat (3)", "dog (1)"]
        assert not any(ax.get_frame_on() for ax in figure.axes if not ax.images)


def test_images_without_classes():
    assert len(shown(show_images(DIGITS, n_per_class=5, image_shape=(8, 8)))) == 25
    figure = show_images(DIGITS[:3].reshape(-1, 8, 8), figure=matplotlib.figure.Figure())
    assert len(shown(figure)) == 3 and len(figure.axes) == 4


def test_many_classes_are_cut_and_the_title_says_so():
    figure = show_images(DIGITS[:50], np.arange(50), n_per_class=1, image_shape=(8, 8))
    assert len(shown(figure)) == 20 and figure.get_suptitle() == "the first 20 of 50 classes"


@pytest.mark.parametrize(
    ("X", "y", "params", "match"),
    [
        (DIGITS, NUMBERS, {}, r"X must hold images or image files, got a table of shape \(1797, 64\)"),
        (DIGITS, NUMBERS[:9], {"image_shape": (8, 8)}, "y must have one class per image of X, 1797, got 9"),
        (DIGITS, NUMBERS + 0.5, {"image_shape": (8, 8)}, "y must hold classes, got continuous values such as 0.5"),
        (DIGITS, NUMBERS, {"n_per_class": 0}, "n_per_class must be at least 1, got 0"),
        (DIGITS, None, {"image_shape": (8, 9)}, "image_shape"),
    ],
    ids=["table", "lengths", "values", "none", "shape"],
)
def test_wrong_input(X, y, params, match):
    with pytest.raises(ValueError, match=match):
        show_images(X, y, **params)


def test_rows_are_as_high_as_their_photos(folder):
    images = read_image_folder(folder)
    figure = show_images(images[images.label == "cat"].iloc[:1], n_per_class=1)
    width, height = figure.get_size_inches()
    assert width == 2 and height == pytest.approx(1.5 * 154 / 256 + 0.55)
    assert show_images(images).axes[0].get_gridspec().get_height_ratios() == [1, 1]  # the medians


def test_many_classes_of_few_pictures_stand_in_two_columns():
    figure = show_images(DIGITS[:200], NUMBERS[:200], n_per_class=2, image_shape=(8, 8))
    assert figure.axes[0].get_gridspec().get_geometry() == (5, 4)
    labels = [ax.get_ylabel().split()[0] for ax in figure.axes[::2]]
    assert labels == ["0", "5", "1", "6", "2", "7", "3", "8", "4", "9"]
    row = np.flatnonzero(NUMBERS[:200] == 8)[0]
    np.testing.assert_allclose(figure.axes[14].images[0].get_array(), DIGITS[row].reshape(8, 8) / 16)


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "cut off"])
def test_a_damaged_file_is_gray_and_named(content, folder):
    images = read_image_folder(folder)
    file = folder / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:-100] if content is None else content)
    first, *others = shown(show_images(images))
    assert first.get_xlabel() == "0.png: cannot be read"
    assert (first.images[0].get_array() == 128 / 255).all()
    assert [ax.get_xlabel() for ax in others] == ["1.png", "2.png", "0.png"]


def test_a_table_with_files_in_another_column_says_which_to_pass(folder):
    images = read_image_folder(folder).assign(number=1)
    with pytest.raises(ValueError, match=r"pass the column of files, such as X\['file'\], and the classes as y"):
        show_images(images.rename(columns={"path": "file"})[["label", "file", "number"]])


def test_a_missing_file_is_named(folder):
    with pytest.raises(ValueError, match="gone.png"):
        show_images([str(folder / "gone.png")])


def test_a_wrong_figure_is_an_error():
    with pytest.raises(TypeError, match="figure must be a matplotlib Figure or SubFigure, got str"):
        show_images(DIGITS[:3], image_shape=8, figure="mine")
