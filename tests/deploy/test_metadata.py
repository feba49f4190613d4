"""The metadata of a file: conversion to text and back, and the checksum."""

import numpy as np
import pytest

from sktricks.deploy._metadata import FORMAT_KEY, MODEL_KEY, Check, Metadata, is_intact, read_metadata, read_seal, seal
from sktricks.deploy._metadata import write_metadata as write


def make(**changes):
    outputs = {"label": np.array(["a", "ü"], dtype=object), "probabilities": np.array([[0.1, np.nan]], np.float32)}
    check = Check(1e-5, outputs, [{"name": "X", "low": [0.1]}], 3)
    return Metadata(
        **{"kind": "classifier", "estimator": "Tree", "check": check, "classes": np.array(["a", "ü"]), **changes}
    )


def test_everything_comes_back():
    metadata = make(
        missing={"X": [1, 2]}, decodings={"path": {"shape": [8, 8, 3], "resize_mode": "crop"}}, n_features=np.int64(3)
    )
    again = read_metadata(write(metadata, "1.2.3"), "file")
    assert again.classes.dtype == metadata.classes.dtype and again.classes.tolist() == ["a", "ü"]
    assert again.check.outputs["probabilities"].dtype == np.float32
    np.testing.assert_array_equal(again.check.outputs["probabilities"], metadata.check.outputs["probabilities"])
    assert again.check.outputs["label"].tolist() == ["a", "ü"]
    assert again.missing == {"X": [1, 2]} and again.n_features == 3
    assert (again.decodings, again.check.description, again.check.seed) == (
        metadata.decodings,
        [{"name": "X", "low": [0.1]}],
        3,
    )


@pytest.mark.parametrize(
    "classes", [np.array([True, False]), np.array([2, 5]), np.array([0.5, 1.5]), np.array(["a", "bc"], object)]
)
def test_classes_keep_their_dtype(classes):
    again = read_metadata(write(make(classes=classes), "1"), "file").classes
    assert again.dtype == classes.dtype and again.tolist() == classes.tolist()


def test_foreign_newer_and_damaged_files_are_told_apart():
    props = write(make(), "9.9")
    with pytest.raises(ValueError, match="path='a' must be a file of export_onnx, got another ONNX file"):
        read_metadata({}, "path='a'")
    with pytest.raises(
        ValueError, match=r"format 2, but this version of sktricks reads formats up to 1: install sktricks 9\.9"
    ):
        read_metadata({**props, FORMAT_KEY: "2"}, "path='a'")
    for text in ("{", "[]", '{"kind": 1}', props[MODEL_KEY][:-40]):
        with pytest.raises(ValueError, match="path='a' is damaged"):
            read_metadata({**props, MODEL_KEY: text}, "path='a'")


def test_the_checksum_finds_every_changed_byte():
    sealed = seal(b"any content")
    assert is_intact(sealed) and len(read_seal(sealed)) == 64
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert not is_intact(bytes(changed))
    assert read_seal(sealed[:-1]) is None and read_seal(b"") is None
