"""read_image_folder: list the image files in a folder with their labels and splits."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from .._optional import import_optional
from .._text import count, name_some
from .._warnings import ImageFolderWarning, warn
from ._decode import read_header
from ._folder_layout import ORDER, Tree, find_layout, labels_without_training
from ._image_column import printable
from ._image_loader import warn_of_unreadable
from ._unreadable_image import UnreadableImageError, attempt

EXTENSIONS = {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
EXTENSIONS |= {".tga", ".tif", ".tiff", ".webp"}
# Files that describe the images; they are reported as skipped only inside class folders.
METADATA = {"", ".csv", ".db", ".htm", ".html", ".ini", ".ipynb", ".json", ".log", ".mat", ".md", ".pdf", ".py", ".rst"}
METADATA |= {".gz", ".names", ".rtf", ".tar", ".tgz", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"}
# Folders and files that operating systems and programs leave behind, in lower case; hidden files are skipped as well.
DEBRIS = {"$recycle.bin", "#recycle", "#snapshot", "@eadir", "__macosx", "__pycache__", "lost+found"}
DEBRIS |= {"system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"}

OUTSIDE = "outside the class folders and skipped"


def read_image_folder(path: str | os.PathLike, *, labels: bool = True):
    """List the images in a folder that has one subfolder per class, or, with ``labels=False``, in any folder.

    Split folders may be above or below the class folders. These names are recognized, in any case and within longer
    names: train, training; val, valid, validation, dev; test, testing, eval, evaluation, holdout::

        photos/cat/1.jpg         photos/train/cat/1.jpg         photos/cat/train/1.jpg
        photos/cat/2.png         photos/train/dog/2.jpg         photos/dog/train/2.jpg
        photos/dog/old/3.jpg     photos/test/cat/3.jpg          photos/cat/test/3.jpg

    Folders around the whole data set (``archive/photos/train/cat``), repeated splits (``seg_train/seg_train/cat``) and
    container folders (``train/images/cat``, ``train/cat/images``) are ignored. Folders below a class folder belong to
    that class. Folders with the names of splits are splits if one of them is for training and has class folders;
    otherwise they are classes.

    Images are recognized by their extension (``.jpg``, ``.png``, ``.gif``, ``.bmp``, ``.tif``, ``.webp`` and similar,
    in any case). Only the header of each image is read, which takes about 0.1 ms. Damage after the header is found when
    the pixels are read.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; ``~`` is the home directory.
    labels : bool, default=True
        True: the folder must have one subfolder per class. False: list all images in the folder and below, for example
        new photos to predict; the table then has no column ``label``.

    Returns
    -------
    images : pandas.DataFrame
        One row per image, sorted by split (train, valid, test), label and path. The columns are ``path`` (str, starting
        with the given path, ``~`` expanded), ``label`` (str, the name of the class; only with ``labels=True``) and
        ``split`` (``"train"``, ``"valid"``, ``"test"``, or None without splits). Names that are not UTF-8 are decoded
        by :func:`os.fsdecode`, in a column of dtype object.

    Raises
    ------
    ValueError
        If ``path`` does not exist or is not a folder, if there is no image in a class folder or, with ``labels=False``,
        anywhere in the folder, or if no image is readable.
    TypeError
        If ``path`` is not a path, or ``labels`` is not True or False.
    ImportError
        If pandas or Pillow is missing; ``pip install "sktricks[images]"`` installs both.

    Warns
    -----
    UnreadableImageWarning
        If files with an image extension are not images. It names these files, which are skipped.
    ImageFolderWarning
        If there are empty classes, images outside the class folders, or other files, which are counted by extension.
        Hidden files and system files (``Thumbs.db``, ``@eaDir``, ``__MACOSX`` and similar) are not reported. Also if
        the labels are ambiguous: class folders have subfolders with the same names, all classes have names of splits,
        labels differ only in case, or a label of another split does not occur in training.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktricks import read_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("sea/1.png", "sea/2.png", "sky/1.png"):
    ...         file = Path(folder, name)
    ...         file.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (8, 8), "blue").save(file)
    ...     images = read_image_folder(folder)
    ...     to_predict = read_image_folder(Path(folder, "sea"), labels=False)
    >>> images.label.tolist()
    ['sea', 'sea', 'sky']
    >>> to_predict.columns.tolist(), len(to_predict)
    (['path', 'split'], 2)
    """
    if not isinstance(labels, bool):
        raise TypeError(f"labels must be True or False, got {labels!r:.200}")
    try:
        root = Path(os.path.expanduser(Path(path)))
    except TypeError:
        raise TypeError(f"path must be a str or os.PathLike, got {path!r}") from None
    check_is_folder(root)
    pandas = import_optional("pandas", "images")
    content = scan(root)
    layout = find_layout(Tree({file[:-1] for file in content.images}))
    rows, problems = (labeled_rows if labels else unlabeled_rows)(layout, content)
    if not rows:
        refuse_empty(root, content, labels, problems)
    rows = without_unreadable(
        root, [(root.joinpath(*file), label, split) for split, label, file in sorted(rows, key=rank)]
    )
    doubts = [*layout.doubts, *describe_splits(rows), *describe_labels(rows)] if labels else describe_splits(rows)
    for problem in [*filter(None, ["; ".join(problems)]), *doubts]:
        warn(printable(problem), ImageFolderWarning)
    columns = dict(zip(["path", "label", "split"], zip(*rows, strict=True), strict=True))
    if not labels:
        del columns["label"]
    return pandas.DataFrame({name: as_series(pandas, column) for name, column in columns.items()})


def check_is_folder(root):
    """Raise an error if a path is not a folder."""
    name = printable(str(root))
    if root.is_dir():
        return
    if os.path.lexists(root):
        raise ValueError(f"path must be a folder of images, got the file {name!r}: pass the folder that contains it")
    cwd = "" if root.is_absolute() else f" (the current directory is {os.getcwd()})"
    raise ValueError(f"path must be an existing folder, got {name!r}, which does not exist{cwd}")


def labeled_rows(layout, content):
    """Return rows (split, label, file) of the images in classes, and sentences about skipped files and folders."""
    placed = [(layout.place(file[:-1]), file) for file in content.images]
    rows = [(*place, file) for place, file in placed if place]
    outside = [file for place, file in placed if not place] if rows else []  # without rows, refuse_empty counts them
    return rows, describe_skipped(layout, content, outside)


def unlabeled_rows(layout, content):
    """Return rows (split, "", file) of all images, and sentences about skipped files and folders."""
    others = [file for file in content.others if extension(file) not in METADATA]
    return [(layout.find_split(file[:-1]), "", file) for file in content.images], describe_others(content, others)


def refuse_empty(root, content, labels, problems):
    """Raise the error for a folder without images to list, with the cure if images are outside class folders."""
    what = "a folder with one subfolder of images per class" if labels else "a folder of images"
    found, cure = "contains no images", ""
    if content.images:
        found = f"has {count(len(content.images), 'image')} but no class subfolders"
        cure = ". For unlabeled images, pass labels=False"
    reasons = f" ({'; '.join(problems)})" if problems else ""
    raise ValueError(printable(f"path must be {what}: {str(root)!r} {found}{reasons}{cure}"))


def rank(row):
    """Return the sort key of a row (split, label, file)."""
    split, label, file = row
    return ORDER.index(split) if split else len(ORDER), label, file


def as_series(pandas, values):
    """Return a column of strings, of dtype object if one of them is not valid UTF-8, which pyarrow rejects."""
    try:
        for value in values:
            (value or "").encode()
    except UnicodeEncodeError:
        return pandas.Series(values, dtype=object)
    return pandas.Series(values)


# -- scanning ----------------------------------------------------------------------------------------------------------


class Content(NamedTuple):
    """The files and folders below a folder, as tuples of names, without hidden and system files."""

    images: list
    others: list
    folders: list
    skipped: list  # unreadable folders, and links to folders that are scanned already, as text


def scan(root):
    """Return the :class:`Content` of a folder.

    A symbolic link to a folder is followed at most once, and never to one of its parents, so every scan terminates.
    """
    content, pending, followed = Content([], [], [], []), [()], {os.path.realpath(root)}
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(root.joinpath(*folder)))
        except OSError as error:
            content.skipped.append(f"{os.path.join(*folder, '')} ({error.strerror})")
            continue
        for entry in entries:
            name = (*folder, entry.name)
            if entry.name.startswith(".") or entry.name.lower() in DEBRIS:
                continue
            is_link = entry.is_symlink()
            if not (os.path.isdir(entry.path) if is_link else entry.is_dir()):
                (content.images if is_image(entry.name) else content.others).append(name)
            elif is_link and is_known(entry.path, followed):
                content.skipped.append(f"{os.path.join(*name)} (a link to a folder that is already included)")
            else:
                content.folders.append(name)
                pending.append(name)
    return content


def is_known(link, followed):
    """Return True if the target of a link is a parent of it or in ``followed``; otherwise add the target to these."""
    target, parents = Path(os.path.realpath(link)), Path(os.path.realpath(os.path.dirname(link)))
    if str(target) in followed or target == parents or target in parents.parents:
        return True
    followed.add(str(target))
    return False


def is_image(name):
    """Return True if a file has the extension of an image."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def without_unreadable(root, rows):
    """Return the rows of readable images, with their path as str; warn of the others."""
    readable, errors = [], []
    for path, *others in rows:
        try:
            attempt(read_header, path, 0)
            readable.append((str(path), *others))
        except UnreadableImageError as error:
            errors.append(error)
    if errors:
        warn_of_unreadable(errors, "skipped")
    if not readable:
        raise ValueError(printable(f"path must be a folder of images: no image in {str(root)!r} is readable"))
    return readable


# -- problems ----------------------------------------------------------------------------------------------------------


def describe_skipped(layout, content, outside):
    """Return sentences about empty classes, and skipped images, folders and other files."""
    level = {folder[:-1] for folder in layout.classes}
    holders = {file[: depth + 1] for file in content.images for depth in range(len(file) - 1)}
    empty = [folder for folder in content.folders if folder[:-1] in level and folder not in holders]
    classes = {*layout.classes, *empty}
    others = [file for file in content.others if extension(file) not in METADATA or is_below(file, classes)]
    return [
        *describe_names(
            [os.path.join(*folder) for folder in sorted(empty)], "folder", "contains", "contain", "no images"
        ),
        *describe_names([os.path.join(*file) for file in sorted(outside)], "image", "is", "are", OUTSIDE),
        *describe_others(content, others),
    ]


def describe_others(content, others):
    """Return sentences about skipped folders, and files of other types."""
    problems = describe_names(sorted(content.skipped), "folder", "is", "are", "skipped")
    if others:
        problems.append(f"files of other types are skipped: {count_extensions(others)}")
    return problems


def describe_names(names, noun, singular, plural, problem):
    """Return a list with one sentence about the things that have a problem, or an empty list."""
    if not names:
        return []
    return [f"{count(len(names), noun)} {singular if len(names) == 1 else plural} {problem}: {name_some(names)}"]


def is_below(file, folders):
    """Return True if a file is in one of these folders or below."""
    return any(file[:depth] in folders for depth in range(1, len(file)))


def extension(file):
    """Return the extension of a file in lower case."""
    return os.path.splitext(file[-1])[1].lower()


def count_extensions(files):
    """Return the number of files per extension as text, the most frequent first."""
    counts = sorted(Counter(map(extension, files)).items(), key=lambda pair: (-pair[1], pair[0]))
    return name_some([f"{count} {kind or 'without an extension'}" for kind, count in counts], at_most=8)


def describe_splits(rows):
    """Return a sentence about rows (path, label, split) without a split if other rows have one."""
    if len({split is None for _, _, split in rows}) < 2:
        return []
    paths = [path for path, _, split in rows if split is None]
    return describe_names(paths, "image", "is", "are", "in no split, while others are")


def describe_labels(rows):
    """Return a sentence about labels of rows (path, label, split) that do not occur in training."""
    unknown = labels_without_training({(split, label) for _, label, split in rows})
    return [f"labels occur in other splits but not in training: {name_some(unknown)}"] if unknown else []
