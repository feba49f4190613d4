"""Synthetic rows: reproducible, in range, and described without any of the given rows."""

import hashlib
import json

import numpy as np
import pytest

from sktricks.deploy._sample_rows import N_IMAGES, N_ROWS, UNSEEN, describe_input, round_outward, sample_rows


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (1234.5, 1200, 1300),
        (-1234.5, -1300, -1200),
        (0.0, 0, 0),
        (0.00991, 0.0099, 0.01),
        (99.5, 99, 100),
        (12, 12, 12),
    ],
)
def test_ranges_are_rounded_outward_to_two_digits(value, low, high):
    assert (round_outward(value, -1), round_outward(value, 1)) == (low, high)


def test_numbers_keep_range_kind_and_gaps():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=200), rng.integers(0, 5, 200), rng.normal(1e6, 1, 200)]).astype(np.float32)
    X[:60, 0] = np.nan
    entry = json.loads(json.dumps(describe_input("X", X, ())))
    found = sample_rows([entry])["X"]
    assert found.shape == (N_ROWS, 3) and found.dtype == np.float32
    assert set(found[:, 1]) <= set(range(6)) and len(set(found[:, 1])) > 3
    assert 0 < np.isnan(found[:, 0]).mean() < 0.7 and not np.isnan(found[:, 1:]).any()
    assert entry["low"][2] == 9.9e5 and entry["high"][2] == 1.1e6
    assert not any(f"{value:.6g}" in json.dumps(entry) for value in X[:, 2])


def test_only_known_texts_are_described():
    column = np.array([["red"], ["blue"], ["Ada Lovelace"], [""]], dtype=object)
    entry = describe_input("color", column, {"red", "blue", "green"})
    assert entry["texts"] == ["blue", "red"] and "Ada" not in json.dumps(entry)
    assert set(sample_rows([entry])["color"].ravel()) == {"red", "blue", UNSEEN, ""}


def test_pixels_booleans_and_integers():
    images = np.full((3, 8, 8, 3), 7, np.uint8)
    entries = [describe_input("image", images, ()), describe_input("flag", np.array([[True]]), ())]
    found = sample_rows(entries)
    assert found["image"].shape == (N_ROWS, 8, 8, 3) and found["image"].dtype == np.uint8
    assert found["flag"].dtype == bool and set(found["flag"].ravel()) == {True, False}
    large = describe_input("photo", np.zeros((2, 224, 224, 3), np.uint8), ())
    assert sample_rows([large])["photo"].shape == (N_IMAGES, 224, 224, 3)
    entry = describe_input("x", np.array([[-128], [127]], np.int8), ())
    assert sample_rows([entry])["x"].dtype == np.int8


def test_the_bits_never_change():
    """The outputs in files depend on these rows: any change would make existing files fail their check."""
    entries = [
        {"name": "X", "dtype": "<f4", "shape": [2], "low": [0, -3], "high": [1, 9], "integer": [False, True],
         "missing": [0.1, 0]},
        {"name": "s", "dtype": "|O", "shape": [1], "texts": ["a", "b"], "missing": True},
        {"name": "p", "dtype": "|u1", "shape": [8, 8, 3], "low": [0], "high": [255], "integer": [True], "missing": [0]},
    ]  # fmt: skip
    found = sample_rows(entries, 7)
    content = found["X"].tobytes() + "|".join(found["s"].ravel()).encode() + found["p"].tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "a25165c14d12b0aa"
