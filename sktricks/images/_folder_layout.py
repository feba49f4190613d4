"""Find the splits and classes in a folder of images, by pure functions of the names of its folders.

A folder is a tuple of names below the root; ``()`` is the root itself. Folders without images at or below them are
ignored. The layouts of public data sets vary in four ways, which are handled from the top down: folders around the
whole data set (``dataset/train/cat``), splits above or below the classes (``train/cat``, ``cat/train``), repeated names
(``seg_train/seg_train/cat``) and container folders (``train/images/cat``, ``cat/images``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from .._text import name_some

ORDER = ("train", "valid", "test")
WORDS = {
    **dict.fromkeys(["train", "training", "trainval"], "train"),
    **dict.fromkeys(["val", "valid", "validation", "dev"], "valid"),
    **dict.fromkeys(["test", "testing", "eval", "evaluation", "holdout"], "test"),
}
CONTAINERS = {"data", "dataset", "image", "images", "img", "imgs", "jpegimages", "photos", "pictures"}


def split_of(name):
    """Return the split that the name of a folder means, or None.

    Case, numbers, separators, other words and a suffix such as "set" do not matter: ``"Training"``, ``"seg_train"``,
    ``"trainset"`` and ``"train2017"`` all mean ``"train"``. A name with the words of two splits is ambiguous: None.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    stems = [re.sub(r"(?<=.)(data)?(set|sets|data|images?|imgs?|folder)$", "", word) for word in words]
    found = {WORDS[stem] for stem in stems if stem in WORDS}
    return found.pop() if len(found) == 1 else None


def is_container(name):
    """Return True for the name of a container of images, such as "images", which is neither a split nor a class."""
    return name.lower() in CONTAINERS


class Tree:
    """The folders with images at or below them.

    Parameters
    ----------
    folders : iterable of tuple of str
        The folders that contain images directly.
    """

    def __init__(self, folders):
        self.own, self._children = set(folders), defaultdict(set)
        for folder in self.own:
            for depth, name in enumerate(folder):
                self._children[folder[:depth]].add(name)

    def children(self, folder):
        """Return the sorted names of the subfolders of a folder."""
        return sorted(self._children.get(folder, ()))

    def only_child(self, folder):
        """Return the only subfolder of a folder that contains no images itself, or None."""
        names = self.children(folder)
        return (*folder, names[0]) if len(names) == 1 and folder not in self.own else None

    def below(self, folder):
        """Yield all folders below a folder."""
        pending = [folder]
        while pending:
            parent = pending.pop()
            inner = [(*parent, name) for name in self.children(parent)]
            pending += inner
            yield from inner


@dataclass(frozen=True)
class FolderLayout:
    """The splits and classes of a tree of folders.

    ``classes`` maps a folder to its (split, label); the split is None if there are no splits above the classes.
    ``splits_within`` is True if there are splits below the classes. ``doubts`` are sentences about guesses, for the
    user.
    """

    classes: dict
    splits_within: bool
    doubts: list

    def place(self, folder):
        """Return the (split, label) of the images in a folder, or None if it is outside the classes."""
        for depth in range(1, len(folder) + 1):
            if folder[:depth] in self.classes:
                split, label = self.classes[folder[:depth]]
                return (first_split(folder[depth:]) if self.splits_within else split), label
        return None

    def find_split(self, folder):
        """Return the split of the images in a folder, with or without labels; None if there are no splits."""
        found = self.place(folder)
        has_splits = any(split for split, _ in self.classes.values())
        only_splits = all(split_of(label) for _, label in self.classes.values())  # splits of images without classes
        if only_splits or (found is None and has_splits):
            return first_split(folder)
        return None if found is None else found[0]


def first_split(names):
    """Return the first split among the names of folders, or None."""
    return next(filter(None, map(split_of, names)), None)


def find_layout(tree):
    """Return the :class:`FolderLayout` of a :class:`Tree`."""
    top, is_guess = find_top(tree)
    splits = find_splits(tree, top)
    if splits:
        tops = [(split, skip_repeats(tree, (*top, name), split)) for name, split in splits.items()]
        classes = {(*folder, label): (split, label) for split, folder in tops for label in tree.children(folder)}
        within = False
    else:
        classes = {(*top, label): (None, label) for label in tree.children(top)}
        within = has_splits_within(tree, classes)
    doubts = find_doubts(tree, classes, splits, within)
    if is_guess and not splits:
        doubts.insert(0, f"the subfolders of {top[-1]!r} are treated as the classes, because it is the only folder")
    return FolderLayout(classes, within, doubts)


def find_top(tree):
    """Return the folder that contains the splits or classes, and True if it might be a class itself."""
    top = ()
    while (child := tree.only_child(top)) is not None and is_container(child[-1]):
        top = child
    inner = top
    while (child := tree.only_child(inner)) is not None and split_of(child[-1]) is None:
        inner = child
    if inner in tree.own or not tree.children(inner):  # one class, in folders of its own
        return top, False
    return inner, inner != top and not is_container(inner[-1])


def find_splits(tree, top):
    """Return the split of each subfolder of ``top``, as a dict, or an empty dict if the subfolders may be classes.

    A folder named "test" may be a class. It is a split if it contains folders of images, and so does a folder named
    "train" beside it, or if all folders beside it have names of splits.
    """
    names = tree.children(top)
    named = {name: split for name in names if (split := split_of(name))}
    splits = {name: split for name, split in named.items() if tree.children(skip_repeats(tree, (*top, name), split))}
    others = len(names) - len(named)
    if "train" in splits.values():
        return splits if others <= 1 or len(set(named.values())) > 1 else {}
    return splits if len(splits) == len(names) else {}


def skip_repeats(tree, folder, split):
    """Return the folder that contains the classes of a split, below containers and repetitions of its name."""
    while (child := tree.only_child(folder)) is not None and (is_container(child[-1]) or split_of(child[-1]) == split):
        folder = child
    return folder


def has_splits_within(tree, classes):
    """Return True if the classes contain folders for training and for another split."""
    found = {first_split(folder[len(known) :]) for folder in tree.own for known in prefixes(folder, classes)}
    return "train" in found and len(found - {None}) > 1


def prefixes(folder, classes):
    """Return the class folder at or above a folder, as a list of one folder, or an empty list."""
    return [folder[:depth] for depth in range(1, len(folder) + 1) if folder[:depth] in classes]


# -- doubts ------------------------------------------------------------------------------------------------------------


def find_doubts(tree, classes, splits, splits_within):
    """Return sentences about labels that indicate a misread level of folders."""
    labels = {label for _, label in classes.values()}
    doubts = [doubt_of_levels(tree, classes, splits_within), doubt_of_splits(tree, classes), doubt_of_case(labels)]
    if not splits and labels and all(map(split_of, labels)):
        names = name_some(sorted(labels))
        doubts.append(f"all classes have names of splits, but split folders must have one subfolder per class: {names}")
    return [doubt for doubt in doubts if doubt]


def doubt_of_levels(tree, classes, splits_within):
    """Return a sentence if class folders have subfolders with equal names, or with names of classes, or None."""
    below = defaultdict(set)
    for folder, (_, label) in classes.items():
        below[label] |= {inner[-1] for inner in tree.below(folder) if not is_container(inner[-1])}
    if splits_within:
        below = {label: {name for name in names if not split_of(name)} for label, names in below.items()}
    if len(below) == 1 and len(names := min(below.values())) > 1:
        (label,) = below
        return f"all images have the label {label!r}, whose folder has subfolders: {name_some(sorted(names))}"
    holders = defaultdict(set)
    for label, names in below.items():
        for name in names:
            holders[name].add(label)
    shared = {name for name, labels in holders.items() if len(labels) > 1 or (name in below and labels != {name})}
    if not shared:
        return None
    within = set().union(*(holders[name] for name in shared))
    has = "have the names of classes" if shared <= below.keys() else "have the same names"
    return (
        f"subfolders of {name_some(sorted(within))} {has}: {name_some(sorted(shared))}. If they are the classes, pass "
        "the folder that contains them as path"
    )


def doubt_of_splits(tree, classes):
    """Return a sentence if folders with names of splits contain folders within a class, or None."""
    inner = [folder for known in classes for folder in tree.below(known) if split_of(folder[-1])]
    splits = {folder[-1] for folder in inner if not all(map(is_container, tree.children(folder)))}
    if not splits:
        return None
    return (
        f"folders with names of splits contain folders within a class: {name_some(sorted(splits))}. If these are the "
        "classes, pass the folder that contains the splits as path"
    )


def doubt_of_case(labels):
    """Return a sentence if labels differ only in case or spaces, or None."""
    alike = defaultdict(set)
    for label in labels:
        alike[label.strip().casefold()].add(label)
    alike = [sorted(names) for names in alike.values() if len(names) > 1]
    return f"labels differ only in case or spaces: {name_some(map(repr, sum(alike, [])))}" if alike else None


def labels_without_training(pairs):
    """Return the labels in (split, label) pairs that occur in another split but not in training, sorted."""
    known = {label for split, label in pairs if split == "train"}
    return sorted({label for split, label in pairs if split and label not in known}) if known else []
