import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktricks import ImageFolderWarning, ImageLoader, UnreadableImageWarning, read_image_folder
from sktricks.images._folder_layout import Tree, find_layout, split_of

Image = pytest.importorskip("PIL.Image")


def write(path, content=None):
    """A file, of a small blue image unless told; and its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.new("RGB", (4, 4), "blue").save(path, "PNG")
    else:
        path.write_bytes(content)
    return path


def write_all(folder, names):
    for name in names.split():
        write(folder / name, None if name.rpartition(".")[2].lower() in ("png", "jpg", "jpeg", "gif") else b"text")


def listed(folder, **kwargs):
    """(path below the folder, label, split) of each image."""
    frame = read_image_folder(folder, **kwargs)
    assert list(frame.columns) == ["path", "label", "split"] and list(frame.index) == list(range(len(frame)))
    splits = [None if pd.isna(split) else split for split in frame.split]
    return [
        (os.path.relpath(path, folder).replace(os.sep, "/"), label, split)
        for path, label, split in zip(frame.path, frame.label, splits, strict=True)
    ]


# -- splits and classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "names"),
    {
        "train": "train Train TRAIN training Training training_set training-set trainset TrainingSet train_data "
        "traindata seg_train asl_alphabet_train train2017 train1 01_train train.images images_train "
        "trainval imagesTrain",
        "valid": "val VAL valid validation Validation_Set valset dev dev-set val2017 seg_val",
        "test": "test Test testing testset test_set test1 seg_test TestData eval evaluation holdout test-images",
    }.items(),
)
def test_names_of_splits(split, names):
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)
    assert split_of("test set") == "test"


@pytest.mark.parametrize(
    "name",
    ["cat", "contest", "latest", "restrained", "trainer", "value", "device", "train_val", "traintest", "", "1", "é"],
)
def test_names_that_are_not_splits(name):
    assert split_of(name) is None


ANIMALS = "{0}/cat/1.png {0}/dog/2.png {1}/cat/3.png {1}/dog/4.png"
BELOW = "cat/{0}/1.png dog/{0}/2.png cat/{1}/3.png dog/{1}/4.png"
SPLIT_LAYOUTS = {
    "splits above": ANIMALS.format("train", "test"),
    "brain MRI": ANIMALS.format("Training", "Testing"),
    "intel scenes": ANIMALS.format("seg_train/seg_train", "seg_test/seg_test"),
    "cats and dogs": ANIMALS.format("training_set/training_set", "test_set/test_set"),
    "sets": ANIMALS.format("training_set", "test_set"),
    "images within": ANIMALS.format("train/images", "test/images"),
    "images around": ANIMALS.format("images/train", "images/test"),
    "archive": ANIMALS.format("dataset/train", "dataset/test"),
    "hymenoptera": ANIMALS.format("hymenoptera_data/train", "hymenoptera_data/test"),
    "folders around folders": ANIMALS.format("archive/2024/photos/train", "archive/2024/photos/test"),
    "fruits": ANIMALS.format("fruits-360_dataset/fruits-360/Training", "fruits-360_dataset/fruits-360/Test"),
    "repeated around": ANIMALS.format("chest_xray/chest_xray/train", "chest_xray/chest_xray/test"),
    "repeated and images": ANIMALS.format("train/train/images", "test/images/test"),
    "ImageNet": ANIMALS.format("ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/test"),
    "years": ANIMALS.format("train2017", "test2017"),
    "signs": ANIMALS.format("asl_alphabet_train/asl_alphabet_train", "asl_alphabet_test/asl_alphabet_test"),
    "evaluation": ANIMALS.format("training", "evaluation"),
    "images of a class": "train/cat/images/1.png train/dog/images/2.png test/cat/images/3.png test/dog/images/4.png",
    "splits below": BELOW.format("train", "test"),
    "splits below, other names": BELOW.format("Training", "test_set"),
    "splits below, deep": BELOW.format("images/train", "images/test"),
    "splits below, in a folder": " ".join(f"images/{name}" for name in BELOW.format("train", "test").split()),
}


@pytest.mark.parametrize("layout", SPLIT_LAYOUTS)
def test_layouts_of_splits(layout, tmp_path):
    write_all(tmp_path, SPLIT_LAYOUTS[layout])
    found = {(path[-5], label, split) for path, label, split in listed(tmp_path)}
    assert found == {("1", "cat", "train"), ("2", "dog", "train"), ("3", "cat", "test"), ("4", "dog", "test")}


def test_three_splits_are_sorted(tmp_path):
    write_all(tmp_path, "test/cat/1.png Train/dog/1.png Train/cat/1.png val/cat/2.png validation/cat/1.png")
    assert listed(tmp_path) == [
        ("Train/cat/1.png", "cat", "train"),
        ("Train/dog/1.png", "dog", "train"),
        ("val/cat/2.png", "cat", "valid"),
        ("validation/cat/1.png", "cat", "valid"),
        ("test/cat/1.png", "cat", "test"),
    ]


CLASS_LAYOUTS = {
    "classes": "cat/1.png dog/2.png",
    "folders of a class": "cat/1.png dog/old/2.png dog/new/3.png",
    "a class alone": "cat/1.png",
    "a class alone, of one folder": "cat/old/1.png",
    "Stanford dogs": "Images/n01-cat/1.png Images/n02-dog/2.png Annotation/n01-cat/1",
    "food": "food-101/images/cat/1.png food-101/images/dog/2.png food-101/meta/classes.txt",
    "flowers": "photos/cat/1.png photos/dog/2.png",
    "images of each class": "cat/images/1.png dog/images/2.png",
    "a class called test": "test/a/1.png control/b/2.png",
    "classes called train and test": "train/1.png test/2.png exam/3.png",
    "a class called train, with folders": "train/a/1.png bus/b/2.png car/c/3.png",
    "a class called like a kind of train": "vehicle/train/1.png vehicle/bus/2.png animal/cat/3.png",
    "debris": "cat/1.png dog/2.png @eaDir/1.png $RECYCLE.BIN/S-1/1.png .ipynb_checkpoints/1.png __MACOSX/cat/1.png "
    "cat/@eaDir/1.png dog/.ipynb_checkpoints/2.png cat/Thumbs.db dog/desktop.ini cat/.DS_Store #recycle/1.png",
    "files about the images": "cat/1.png dog/2.png README labels.csv classes.json about/license.txt",
    "case of the extensions": "cat/1.PNG dog/2.JPeG",
}
LABELS = {
    "a class alone, of one folder": ["cat"],
    "Stanford dogs": ["n01-cat", "n02-dog"],
    "a class called test": ["control", "test"],
    "classes called train and test": ["exam", "test", "train"],
    "a class called train, with folders": ["bus", "car", "train"],
    "a class called like a kind of train": ["animal", "vehicle"],
    "a class alone": ["cat"],
}


@pytest.mark.parametrize("layout", CLASS_LAYOUTS)
def test_layouts_without_splits(layout, tmp_path):
    write_all(tmp_path, CLASS_LAYOUTS[layout])
    if layout == "files about the images":
        (tmp_path / "about" / "license.txt").unlink()  # otherwise it is the folder of an empty class
        (tmp_path / "about").rmdir()
    found = listed(tmp_path)
    assert sorted({label for _, label, _ in found}) == LABELS.get(layout, ["cat", "dog"])
    assert {split for _, _, split in found} == {None}
    if layout == "debris":
        assert [path for path, _, _ in found] == ["cat/1.png", "dog/2.png"]


DOUBTS = {
    "unknown splits": (
        "fold1/cat/1.png fold1/dog/2.png fold2/cat/3.png",
        "subfolders of fold1, fold2 have the same names: cat, dog|subfolders of fold1, fold2 .*: cat. If they",
    ),
    "domains": ("amazon/images/mug/1.png dslr/images/mug/2.png", "subfolders of amazon, dslr have the same names: mug"),
    "masks": (
        "cat/images/1.png cat/masks/1.png dog/images/1.png dog/masks/1.png",
        "subfolders of cat, dog have the same names: masks. If they are the classes, pass the folder",
    ),
    "colors": ("color/cat/1.png gray/cat/1.png", "subfolders of color, gray have"),
    "unpacked twice": (
        "cat/1.png dog/1.png flowers/cat/1.png flowers/dog/1.png",
        "subfolders of flowers have the names of classes: cat, dog",
    ),
    "a single folder": (
        "PetImages/cat/1.png PetImages/dog/2.png",
        "subfolders of 'PetImages' are treated",
    ),
    "a single class of a split": (
        "train/all/cat/1.png train/all/dog/2.png",
        "label 'all', .* subfolders: cat, dog",
    ),
    "cats against dogs": ("train/cat.0.jpg train/dog.0.jpg test1/1.jpg", "names of splits.*: test1, train"),
    "flat splits in a folder": ("images/train/1.jpg images/val/1.jpg", "names of splits.*: train, val"),
    "flat training": ("train/1.jpg", "names of splits.*: train"),
    "case": ("train/Cat/1.png train/cat/2.png", "differ only in case or spaces: 'Cat', 'cat'"),
    "other labels": ("train/cat/1.png test/cat/1.png test/dog/2.png", "not in training: dog$"),
    "other case": ("train/cat/1.png test/Cat/1.png", "not in training: Cat$|case or spaces"),
    "classes without training": ("cat/train/1.png cat/test/2.png dog/val/3.png", "not in training: dog$"),
    "some in no split": (
        "cat/train/1.png cat/test/2.png dog/train/3.png dog/4.png",
        "^1 image is in no split, while others are: .*4.png",
    ),
    "tiny ImageNet": (
        "train/n01/images/1.png train/n02/images/1.png val/images/1.png test/images/1.png "
        "train/n01/n01_boxes.txt wnids.txt",
        "^2 images are outside the class folders and skipped: test/images/1.png, val/images/1.png; .* skipped: 1 .txt$",
    ),
    "seedlings": (
        "train/cat/1.png train/dog/2.png test/3.png",
        "^1 image is outside the class folders and skipped: test/3.png$",
    ),
    "a folder beside splits": ("train/cat/1.png test/cat/2.png extra/3.png", "^1 image is outside .*: extra/3.png$"),
    "plants": (
        "plants/plants/train/a/1.png plants/plants/valid/a/1.png test/test/1.png",
        "names of splits contain folders within a class: train, valid. .* pass the folder|training: test$",
    ),
    "a test beside a folder": (
        "data/train/a/1.png data/train/b/1.png test/1.png",
        "contain folders .* train. If",
    ),
    "chest x-rays": (
        "chest/train/cat/1.png chest/val/cat/1.png chest/chest/train/cat/1.png",
        "^1 image is outside .*: chest/chest/train/cat/1.png$",
    ),
}


@pytest.mark.parametrize("layout", DOUBTS)
def test_ambiguous_layouts(layout, tmp_path):
    names, message = DOUBTS[layout]
    write_all(tmp_path, names)
    with pytest.warns(ImageFolderWarning, match=message.replace("/", "." if os.sep == "\\" else "/")) as caught:
        found = listed(tmp_path)
    assert caught[0].filename == __file__ and len(caught) == (2 if layout in ("other case", "plants") else 1)
    labels = {label for _, label, _ in found}
    if layout in ("tiny ImageNet", "seedlings", "a folder beside splits", "chest x-rays", "a single folder"):
        assert labels <= {"n01", "n02", "cat", "dog"}


def test_the_splits_of_images_in_ambiguous_layouts(tmp_path):
    write_all(tmp_path, "cat/train/1.png cat/test/2.png dog/train/3.png dog/4.png")
    with pytest.warns(ImageFolderWarning, match="in no split"):
        assert listed(tmp_path) == [
            ("cat/train/1.png", "cat", "train"),
            ("dog/train/3.png", "dog", "train"),
            ("cat/test/2.png", "cat", "test"),
            ("dog/4.png", "dog", None),
        ]


def test_layouts_of_any_depth():
    deep = ("train", *["a"] * 3000)
    layout = find_layout(Tree([deep, ("test", "a")]))
    assert layout.place(deep) == ("train", "a") and layout.place(("test", "a", "b")) == ("test", "a")
    assert layout.place(("test",)) is None and layout.place(()) is None
    assert find_layout(Tree([])).classes == {}
    assert find_layout(Tree([()])).classes == {}


def test_the_order_of_rows(tmp_path):
    write_all(tmp_path, "dog/b.JPG dog/old/a.jpeg cat/2.png cat/10.Gif")
    expected = ["cat/10.Gif", "cat/2.png", "dog/b.JPG", "dog/old/a.jpeg"]
    assert listed(tmp_path) == [(path, path.split("/")[0], None) for path in expected]
    assert listed(str(tmp_path)) == listed(tmp_path)


# -- skipped files -----------------------------------------------------------------------------------------------------


def test_empty_classes_are_named(tmp_path):
    write(tmp_path / "train" / "cat" / "1.png")
    (tmp_path / "train" / "dog" / "old").mkdir(parents=True)
    with pytest.warns(ImageFolderWarning, match=r"^1 folder contains no images: train.dog$") as caught:
        assert len(listed(tmp_path)) == 1
    assert len(caught) == 1


def test_skipped_files_are_named(tmp_path):
    write_all(tmp_path, "loose.png train/cat/1.png train/loose.jpg train/cat/cat.xml other/1.png train/2.heic cat.zip")
    with pytest.warns(ImageFolderWarning) as caught:
        assert len(listed(tmp_path)) == 1
    assert len(caught) == 1 and caught[0].filename == __file__
    assert str(caught[0].message).replace(os.sep, "/") == (
        "3 images are outside the class folders and skipped: loose.png, other/1.png, train/loose.jpg; "
        "files of other types are skipped: 1 .heic, 1 .xml"
    )


def test_other_files_are_counted_by_extension(tmp_path):
    write_all(tmp_path, "cat/1.png dog/1.png")
    for number in range(50):
        write(tmp_path / ("cat" if number % 2 else "dog") / f"{number}.HEIC", b"")
    for name in ("a.txt", "b.txt", "c.txt", "plain"):
        write(tmp_path / "cat" / "old" / name, b"")
    with pytest.warns(
        ImageFolderWarning, match="^files of other types are skipped: 50 .heic, 3 .txt, 1 without an extension$"
    ):
        assert len(listed(tmp_path)) == 2


def test_links(tmp_path):
    write(tmp_path / "elsewhere" / "1.png")
    write(tmp_path / "folder" / "cat" / "2.png")
    os.symlink(tmp_path / "elsewhere", tmp_path / "folder" / "dog")
    os.symlink(tmp_path / "elsewhere" / "1.png", tmp_path / "folder" / "cat" / "1.png")
    assert [label for _, label, _ in listed(tmp_path / "folder")] == ["cat", "cat", "dog"]
    os.symlink(tmp_path / "folder", tmp_path / "folder" / "cat" / "circle")
    os.symlink(tmp_path / "folder" / "cat", tmp_path / "folder" / "cat" / "self")
    os.symlink("nowhere", tmp_path / "folder" / "cat" / "nowhere")
    message = r"2 folders are skipped: cat.circle \(a link to a folder that is already included\), cat.self .*1 without"
    with pytest.warns(ImageFolderWarning, match=message):
        assert len(listed(tmp_path / "folder")) == 3


def test_two_folders_with_links_to_each_other(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        write(tmp_path / one / "1.png")
        for number in range(12):  # which would be 2 ** 12 paths
            os.symlink(tmp_path / other, tmp_path / one / f"to{number:02}")
    with pytest.warns(ImageFolderWarning, match="a link to a folder"):
        assert 2 <= len(listed(tmp_path)) <= 6


def test_unreadable_files_are_named(tmp_path):
    write(tmp_path / "cat" / "1.png")
    write(tmp_path / "cat" / "2.png", b"")
    write(tmp_path / "dog" / "3.jpg", b"a letter")
    os.symlink("nowhere", tmp_path / "dog" / "4.png")
    os.symlink("5.png", tmp_path / "dog" / "5.png")
    message = (
        r"^4 unreadable images are skipped: \S*2\.png, \S*3\.jpg \(it is empty.* TIFF.*\); "
        r"\S*4\.png \(the file does not exist\); \S*5\.png \([^'/]*\)$"
    )
    with pytest.warns(UnreadableImageWarning, match=message) as caught:
        assert listed(tmp_path) == [("cat/1.png", "cat", None)]
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_folders_without_permission(tmp_path):
    write_all(tmp_path, "cat/1.png dog/1.png cat/secret/2.png")
    (tmp_path / "cat" / "secret").chmod(0)
    try:
        with pytest.warns(ImageFolderWarning, match="1 folder is left out: .*secret.*Permission denied"):
            assert len(listed(tmp_path)) == 2
    finally:
        (tmp_path / "cat" / "secret").chmod(0o700)


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    names = [os.path.join(folder, os.fsdecode(b"\xff%d.png" % number)) for number in range(3)]
    for name in names[:2]:
        write(Path(name))
    write(Path(names[2]), b"broken")
    write(tmp_path / "cat" / "1.png")
    with pytest.warns(UnreadableImageWarning, match=r"caf\\udce9.\\udcff2\.png \(it is empty") as caught:
        images = read_image_folder(tmp_path)
    str(caught[0].message).encode()
    assert images.path.dtype == images.label.dtype == object
    assert images.path.tolist() == [*names[:2], str(tmp_path / "cat" / "1.png")]
    assert images.label.tolist() == [*[os.fsdecode(b"caf\xe9")] * 2, "cat"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images)).path, images.path)
    assert ImageLoader().transform(images.path).shape == (3, 4, 4, 3)
    with pytest.raises(ValueError, match=r"\\udcff2\.png cannot be read") as error:
        ImageLoader(4).transform([names[2]])
    str(error.value).encode()


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_paths_that_are_not_image_folders(content, tmp_path):
    with pytest.raises(ValueError, match="path must be an existing folder, got '.*lost', which does not exist$"):
        read_image_folder(tmp_path / "lost")
    with pytest.raises(ValueError, match="got 'lost', which does not exist .the current directory is "):
        read_image_folder("lost")
    with pytest.raises(ValueError, match="path must be a folder with one subfolder .* per class: '.*' contains no im"):
        read_image_folder(tmp_path)
    file = write(tmp_path / "1.png", content)
    with pytest.raises(ValueError, match="path must be a folder of images, got the file '.*1.png': pass the folder"):
        read_image_folder(file)
    write(tmp_path / "1.heic", b"")
    found = r"has 1 image but no class subfolders \(files of other types are skipped: 1 .heic\). For unlabeled"
    with pytest.raises(ValueError, match=found):
        read_image_folder(tmp_path)
    for wrong in (None, 3, b"photos", ["photos"]):
        with pytest.raises(TypeError, match="path must be a str or os.PathLike, got "):
            read_image_folder(wrong)


def test_a_folder_of_unreadable_images(tmp_path):
    write(tmp_path / "cat" / "1.png", b"")
    with (
        pytest.warns(UnreadableImageWarning, match="^1 unreadable image is skipped: .*1.png"),
        pytest.raises(ValueError, match="path must be a folder of images: no image in .* is readable"),
    ):
        read_image_folder(tmp_path)


def test_the_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_all(tmp_path, "photos/cat/1.png")
    assert read_image_folder("~/photos").path.tolist() == [str(tmp_path / "photos" / "cat" / "1.png")]


# -- without labels ----------------------------------------------------------------------------------------------------


def listed_unlabeled(folder):
    """(path below the folder, split) of each image."""
    frame = read_image_folder(folder, labels=False)
    assert list(frame.columns) == ["path", "split"] and list(frame.index) == list(range(len(frame)))
    paths = [os.path.relpath(path, folder).replace(os.sep, "/") for path in frame.path]
    return list(zip(paths, [None if pd.isna(split) else split for split in frame.split], strict=True))


@pytest.mark.parametrize(
    ("names", "expected"),
    {
        "2.png 1.jpg notes.txt": [("1.jpg", None), ("2.png", None)],
        "cat/1.png dog/2.png": [("cat/1.png", None), ("dog/2.png", None)],
        "cat/1.png 2.png": [("2.png", None), ("cat/1.png", None)],
        "train/cat/1.png test/cat/2.png": [("train/cat/1.png", "train"), ("test/cat/2.png", "test")],
        "train/cat/1.png test/2.png": [("train/cat/1.png", "train"), ("test/2.png", "test")],  # a competition
        "train/1.png test/2.png": [("train/1.png", "train"), ("test/2.png", "test")],
        "cat/train/1.png cat/test/2.png": [("cat/train/1.png", "train"), ("cat/test/2.png", "test")],
        "test/1.png cat/2.png": [("cat/2.png", None), ("test/1.png", None)],  # may be a class
    }.items(),
)
def test_all_images_are_listed_without_labels(tmp_path, names, expected):
    write_all(tmp_path, names)
    assert listed_unlabeled(tmp_path) == expected


def test_skipped_files_are_named_without_labels(tmp_path):
    write_all(tmp_path, "1.png film.mp4 a/readme.txt train/cat/2.png test/cat/2.png")
    write(tmp_path / "damaged.png", b"no image")
    with (
        pytest.warns(UnreadableImageWarning, match="1 unreadable image is skipped: .*damaged.png"),
        pytest.warns(ImageFolderWarning) as caught,
    ):
        frame = read_image_folder(tmp_path, labels=False)
    assert len(frame) == 3
    texts = [str(warning.message) for warning in caught if warning.category is ImageFolderWarning]
    assert texts[0] == "files of other types are skipped: 1 .mp4"
    assert len(texts) == 2 and texts[1].startswith("1 image is in no split, while others are: ")


def test_a_flat_folder_with_labels_raises_an_error_with_the_cure(tmp_path):
    write_all(tmp_path, "1.png 2.png")
    with pytest.raises(
        ValueError, match="has 2 images but no class subfolders. For unlabeled images, pass labels=False"
    ):
        read_image_folder(tmp_path)


def test_without_labels_an_empty_folder_is_an_error(tmp_path):
    write_all(tmp_path, "film.mp4")
    with pytest.raises(
        ValueError, match="path must be a folder of images: '.*' contains no images .files of other types .*mp4"
    ):
        read_image_folder(tmp_path, labels=False)


@pytest.mark.parametrize("labels", [None, "no", 0])
def test_labels_is_true_or_false(tmp_path, labels):
    with pytest.raises(TypeError, match="labels must be True or False, got"):
        read_image_folder(tmp_path, labels=labels)
