import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sktricks._labels import align_columns, encode_labels

CLASSES = {
    "zero to two": [0, 1, 2],
    "one and two": [1, 2],
    "signed": [-1, 0, 1],
    "wide": [-(10**9), 5, 10**9],
    "unsigned": np.array([3, 200], dtype=np.uint8),
    "large": np.array([3, 2**64 - 1], dtype=np.uint64),
    "booleans": [False, True],
    "floats": [0.5, 2.0],
    "strings": ["cat", "elephant", "owl"],
    "objects": np.array(["cat", "owl"], dtype=object),
}


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
def test_labels_of_any_type_are_encoded(classes):
    classes = np.asarray(classes)
    codes = np.arange(50) % len(classes)
    assert_array_equal(encode_labels(classes[codes], classes), codes)
    assert_array_equal(encode_labels(classes[codes][:, None], classes), codes)
    assert_array_equal(encode_labels(classes[codes].tolist(), classes), codes)
    assert encode_labels(classes[:0], classes).shape == (0,)


WORDS = {
    "one letter differs": [f"class {number}" for number in range(10)],
    "several letters differ": ["aa", "ab", "ba", "bb"],
    "prefixes": ["", "a", "ab", "abc"],
    "one": ["only"],
    "other alphabets": ["кот", "кит", "猫", "犬", "cat"],
    "many": [f"{number * 7919 % 1000:03}" for number in range(200)],
    "too many for letters": [f"{number:04}" for number in range(1500)],
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_many_strings_are_encoded(words):
    classes = np.unique(words)
    codes = np.random.default_rng(0).integers(0, len(classes), 3000)
    assert_array_equal(encode_labels(classes[codes], classes), codes)
    assert_array_equal(encode_labels(classes[codes].astype("U30"), classes), codes)
    assert_array_equal(encode_labels(np.repeat(classes[:1], 2000), classes), np.zeros(2000))
    for unknown in ["unknown", "猫猫", "clasz 3", "ac", "\U0010ffff"]:
        with pytest.raises(ValueError, match="not among the classes"):
            encode_labels(np.append(classes[codes].astype("U30"), unknown), classes)


def test_labels_of_another_dtype_of_the_same_kind():
    assert_array_equal(encode_labels(np.array([2.0, 1.0]), np.array([1, 2])), [1, 0])
    assert_array_equal(encode_labels(np.array([True, False]), np.array([0, 1])), [1, 0])
    assert_array_equal(encode_labels(np.array([200], dtype=np.uint8), np.array([-1, 200])), [1])
    assert_array_equal(encode_labels(np.array(["b"], dtype=object), np.array(["a", "b"])), [1])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([0, 3], [0, 1, 2]),
        ([-1, 0], [0, 1, 2]),
        ([1], [0, 2]),
        ([5], [0, 10**9]),
        (["elephants"], ["cat", "elephant"]),
        ([1.5], [1, 2]),
    ],
)
def test_an_unknown_label_is_an_error(labels, classes):
    with pytest.raises(ValueError, match="not among the classes"):
        encode_labels(labels, np.asarray(classes))


def test_labels_of_another_kind_are_an_error():
    with pytest.raises(ValueError, match=r"labels \['1'\], which cannot be compared with the classes \[1, 2\]"):
        encode_labels(["1"], np.array([1, 2]))
    with pytest.raises(ValueError, match="cannot be compared"):
        encode_labels(np.array([1, 2], dtype=object), np.array(["a", "b"], dtype=object))
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        encode_labels([[1, 2]], np.array([1, 2]))


def test_columns_in_any_order_and_missing_columns():
    columns = np.array([[0.9, 0.1], [0.4, 0.6]], dtype=np.float32)
    aligned = align_columns(columns, np.array(["owl", "cat"]), np.array(["ant", "cat", "owl"]))
    assert_array_equal(aligned, np.array([[0, 0.1, 0.9], [0, 0.6, 0.4]], dtype=np.float32))
    assert aligned.dtype == np.float32
    assert align_columns(columns, np.array([0, 1]), np.array([0, 1])) is columns
    with pytest.raises(ValueError, match="expected 3 columns, one per class, got 2"):
        align_columns(columns, None, np.arange(3))
