"""Files are read ahead of the net, in order and at most two batches, and no thread outlives an error."""

import threading

import numpy as np
import pytest

from sktricks import FineTuneClassifier, PretrainedFeatures
from sktricks.images._read_ahead import read_ahead

Image = pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")

LABELS = np.arange(40) % 2
PIXELS = (np.random.default_rng(0).random((40, 8, 8, 3)) * 100 + 155 * LABELS[:, None, None, None]).astype(np.uint8)


def names_of_threads():
    return [thread.name for thread in threading.enumerate() if "read-ahead" in thread.name]


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{row:02}.png" for row in range(len(PIXELS))]
    for path, pixels in zip(paths, PIXELS, strict=True):
        Image.fromarray(pixels).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr("sktricks.training._inputs.images_at_once", lambda *args: 8)
    monkeypatch.setattr("sktricks.transfer._prefix.images_at_once", lambda *args: 8)


@pytest.mark.parametrize("n_parts", [0, 1, 2, 5])
def test_parts_are_yielded_in_order(n_parts):
    assert list(read_ahead(lambda part: part**2, list(range(n_parts)))) == [part**2 for part in range(n_parts)]
    assert names_of_threads() == []


def test_only_the_next_part_is_read_ahead():
    started, go_on = [threading.Event() for _ in range(4)], threading.Event()

    def read(part):
        started[part].set()
        assert part == 0 or go_on.wait(60)
        return part

    parts = read_ahead(read, list(range(4)))
    assert next(parts) == 0
    assert started[1].wait(60)  # although it was not requested
    assert not started[2].is_set()
    go_on.set()
    assert list(parts) == [1, 2, 3]


def test_an_error_is_raised_when_its_part_is_due():
    def read(part):
        if part == 2:
            raise ValueError("damaged")
        return part

    parts = read_ahead(read, list(range(5)))
    assert next(parts) == 0 and next(parts) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(parts)
    assert names_of_threads() == []


def test_closing_waits_for_the_thread():
    parts = read_ahead(lambda part: part, list(range(5)))
    next(parts)
    parts.close()
    assert names_of_threads() == []


def test_features_do_not_depend_on_reading_ahead(paths, small_batches):
    ahead = PretrainedFeatures("tiny32", image_shape=8, cache=None).fit_transform(paths)
    at_once = PretrainedFeatures("tiny32", image_shape=8, cache=None).fit_transform(PIXELS)
    np.testing.assert_array_equal(ahead, at_once)


@pytest.mark.parametrize("strategy", ["linear-probe", "fine-tune"])
def test_a_damaged_file_in_a_later_batch_is_named_and_no_thread_remains(paths, strategy, small_batches):
    with open(paths[37], "wb") as file:
        file.write(b"no image")
    net = FineTuneClassifier("tiny32", strategy=strategy, batch_size=8, max_epochs=2, cache=None, random_state=0)
    with pytest.raises(ValueError, match=r"37\.png cannot be read as an image"):
        net.fit(paths, LABELS)
    assert names_of_threads() == []


def test_no_thread_remains_after_an_interrupt(paths, small_batches, monkeypatch):
    features = PretrainedFeatures("tiny32", image_shape=8, cache=None).fit(paths)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(features.backbone_), "features", interrupt)
    with pytest.raises(KeyboardInterrupt):
        features.transform(paths)
    assert names_of_threads() == []


def test_training_on_files_equals_training_on_their_pixels(paths):
    settings = {"strategy": "fine-tune", "batch_size": 8, "max_epochs": 2, "random_state": 0, "image_shape": 8}
    files = FineTuneClassifier("tiny32", **settings).fit(paths, LABELS)
    arrays = FineTuneClassifier("tiny32", **settings).fit(PIXELS, LABELS)
    np.testing.assert_array_equal(files.predict_proba(paths), arrays.predict_proba(PIXELS))
    np.testing.assert_array_equal(files.predict_proba(PIXELS), arrays.predict_proba(PIXELS))
