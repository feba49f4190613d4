import copy
import errno
import json
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sktricks import (
    FeatureCache,
    FeatureCacheWarning,
    FeaturesNotSharedWarning,
    FineTuneClassifier,
    FineTuneRegressor,
    PretrainedFeatures,
    cache_info,
    clear_cache,
)
from sktricks.transfer import _prefix
from sktricks.transfer.cache import _feature_cache, _feature_folder
from sktricks.transfer.cache._feature_folder import FeatureFolder

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8)
KNOWN = {image.tobytes() for image in GREY}
LABELS = np.arange(40) % 2
COST = 5 * 4 + 250  # bytes per row of five features in memory


class Conv(nn.Module):
    """A backbone with fixed weights that counts the images of GREY, but not padding and noise."""

    seen = []

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.norm, self.second = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
        self.register_buffer("scale", torch.ones(1), persistent=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        pixels = (x[:, 0] * 255).round().to(torch.uint8)
        Conv.seen.append(sum(image.numpy().tobytes() in KNOWN for image in pixels.contiguous()))
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3)) * self.scale


def net(cache, **params):
    settings = {"backbone": Conv, "strategy": "linear-probe", "max_epochs": 3, "random_state": 0, **params}
    return FineTuneClassifier(cache=cache, **settings)


def rows_seen(function):
    Conv.seen.clear()
    function()
    return sum(Conv.seen)


def encoder(calls):
    """Return five features per row, and record the number of rows."""

    def encode_rows(images):
        calls.append(len(images))
        return np.asarray(images, dtype=np.float32).reshape(len(images), -1)[:, :5] / 3

    return encode_rows


def encoded(cache, images, fingerprint="net", fill=True, n_features=None):
    """Return the features of images and the number of rows that were encoded for them."""
    calls = []
    features = cache.encode(images, fingerprint, encoder(calls), fill, n_features)
    return features, sum(calls)


def plain(images):
    return images.reshape(len(images), -1)[:, :5].astype(np.float32) / 3


# -- each row once -----------------------------------------------------------------------------------------------------


def test_features_come_back_in_their_places():
    cache, images = FeatureCache(), np.concatenate([GREY[:7], GREY[3:10], GREY[:2]])
    features, n_encoded = encoded(cache, images)
    np.testing.assert_array_equal(features, plain(images))
    assert n_encoded == 10 and features.dtype == np.float32
    features, n_encoded = encoded(cache, torch.from_numpy(GREY[::-1].copy()))
    np.testing.assert_array_equal(features, plain(GREY[::-1]))
    assert n_encoded == 30
    assert (cache.info().rows, cache.info().encoded, cache.info().reused) == (40, 40, 16)


def test_content_dtype_shape_and_net_make_the_difference():
    cache = FeatureCache()
    assert encoded(cache, GREY)[1] == 40
    for other in (GREY.astype(np.float32), GREY.reshape(40, 64), GREY ^ 1):
        assert encoded(cache, other)[1] == 40
    assert encoded(cache, GREY, fingerprint="another")[1] == 40
    assert encoded(cache, GREY.copy())[1] == 0


def test_images_that_know_their_digests():
    class Lazy:
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def __getitem__(self, rows):
            return Lazy(self.images[rows])

        def __array__(self, dtype=None, copy=None):
            return self.images.astype(dtype)

        def digests(self):
            return [image.tobytes()[:16] for image in self.images]

    features, n_encoded = encoded(FeatureCache(), Lazy(GREY[[0, 1, 0]]))
    np.testing.assert_array_equal(features, plain(GREY[[0, 1, 0]]))
    assert n_encoded == 2


@pytest.mark.parametrize("backbone", [Conv, Conv()], ids=["class", "instance"])
def test_a_search_encodes_each_row_once_and_scores_alike(backbone):
    cache, grid = FeatureCache(), {"lr": [0.001, 0.01, 0.1]}
    with_cache = GridSearchCV(net(cache, backbone=backbone), grid, cv=4)
    assert rows_seen(lambda: with_cache.fit(GREY, LABELS)) == 40
    assert (cache.info().encoded, cache.info().reused) == (40, 12 * 40 + 40 - 40)
    assert rows_seen(lambda: clone(with_cache).fit(GREY, LABELS)) == 0
    without = GridSearchCV(net(None, backbone=backbone), grid, cv=4)
    assert rows_seen(lambda: without.fit(GREY, LABELS)) == 13 * 40
    for split in range(4):
        name = f"split{split}_test_score"
        np.testing.assert_array_equal(with_cache.cv_results_[name], without.cv_results_[name])
    np.testing.assert_array_equal(with_cache.predict_proba(GREY), without.predict_proba(GREY))


def test_all_estimators_share_by_default():
    clear_cache()
    features = PretrainedFeatures(Conv)
    assert rows_seen(lambda: features.fit_transform(GREY[:30])) == 30
    assert rows_seen(lambda: FineTuneClassifier(Conv, max_epochs=2).fit(GREY, LABELS)) == 10
    assert rows_seen(lambda: FineTuneRegressor(Conv, max_epochs=2).fit(GREY, LABELS).predict(GREY)) == 0
    model = make_pipeline(PretrainedFeatures(Conv), LogisticRegression())
    assert rows_seen(lambda: cross_val_score(model, GREY, LABELS, cv=2)) == 0
    assert cache_info().rows == 40 and cache_info().max_bytes == 512 * 2**20
    clear_cache()
    assert cache_info()[:2] == (0, 0) and cache_info().encoded == 0
    assert rows_seen(lambda: features.fit_transform(GREY)) == 40


def test_without_a_cache_nothing_is_kept():
    clear_cache()
    for _ in range(2):
        assert rows_seen(lambda: net(None).fit(GREY, LABELS)) == 40
        assert rows_seen(lambda: PretrainedFeatures(Conv, cache=None).fit_transform(GREY)) == 40
    assert cache_info().rows == 0


def test_a_trained_backbone_is_not_served_from_the_cache():
    cache = FeatureCache()
    tuned = net(cache, strategy="fine-tune").fit(GREY, LABELS)
    assert rows_seen(lambda: tuned.predict(GREY)) == 40 and cache.info().encoded == 0


def test_partial_fit_and_warm_start():
    cache = FeatureCache()
    fitted = net(cache, warm_start=True).partial_fit(GREY, LABELS)
    assert rows_seen(lambda: fitted.partial_fit(GREY, LABELS).fit(GREY, LABELS)) == 0


def test_threads_encode_each_row_once():
    cache, calls = FeatureCache(), []

    def slow(images):
        time.sleep(0.01)
        return encoder(calls)(images)

    def work(seed):
        rows = np.random.default_rng(seed).permutation(40)[:30]
        np.testing.assert_array_equal(cache.encode(GREY[rows], "net", slow), plain(GREY[rows]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    info = cache.info()
    assert sum(calls) == info.encoded == info.rows == 40 and info.reused == 24 * 30 - 40


def test_estimators_in_threads():
    module = Conv()
    expected = PretrainedFeatures(module, cache=None, stages=["first"]).fit_transform(GREY)

    def work(stages):
        return PretrainedFeatures(module, cache=FeatureCache(), stages=stages).fit_transform(GREY)

    with ThreadPoolExecutor(4) as pool:
        for stages, features in zip(
            [["first"], ["second"]] * 4, pool.map(work, [["first"], ["second"]] * 4), strict=True
        ):
            if stages == ["first"]:
                np.testing.assert_array_equal(features, expected)


def test_an_error_while_encoding_leaves_the_cache_usable():
    cache = FeatureCache()
    with pytest.raises(RuntimeError, match="out of memory"):
        cache.encode(GREY, "net", lambda images: (_ for _ in ()).throw(RuntimeError("out of memory")))
    np.testing.assert_array_equal(encoded(cache, GREY)[0], plain(GREY))


def test_verbose_says_what_was_reused(caplog):
    GridSearchCV(net(FeatureCache(), verbose=1), {"lr": [0.01, 0.1]}, cv=4).fit(GREY, LABELS)
    assert caplog.messages[-1] == "40 rows encoded once, reused 320 times"
    caplog.clear()
    net(FeatureCache()).fit(GREY, LABELS)
    net(None, verbose=1).fit(GREY, LABELS)
    assert "encoded" not in caplog.text
    net(FeatureCache(max_bytes=0), verbose=1).fit(GREY, LABELS)
    assert caplog.messages[-1] == "40 rows encoded, reused 0 times; 40 no longer stored"


# -- how much memory ---------------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_the_oldest_goes_first():
    cache = FeatureCache(max_bytes=25 * COST)
    encoded(cache, GREY[:20])
    encoded(cache, GREY[:5])  # used again
    encoded(cache, GREY[20:30])
    info = cache.info()
    assert info.rows == 25 and info.n_bytes <= info.max_bytes and info.dropped == 5
    assert encoded(cache, GREY[20:30])[1] == 0 and encoded(cache, GREY[:5])[1] == 0
    assert encoded(cache, GREY[5:10])[1] == 5


def test_more_rows_than_there_is_room_for_are_there_in_part():
    cache = FeatureCache(max_bytes=30 * COST)
    assert [encoded(cache, GREY)[1] for _ in range(3)] == [40, 10, 10]
    np.testing.assert_array_equal(encoded(cache, GREY)[0], plain(GREY))
    assert cache.info().n_bytes <= 30 * COST


def test_another_net_drives_out_what_is_not_used():
    cache = FeatureCache(max_bytes=40 * COST)
    encoded(cache, GREY)
    encoded(cache, GREY, fingerprint="another")
    assert cache.info().rows == 40 and cache.info().dropped == 40
    assert "no longer stored" in cache.report("net") and "once" in cache.report("another")


def test_predictions_keep_little():
    cache = FeatureCache(max_bytes=8 * 10 * COST)
    encoded(cache, GREY[:1])
    assert encoded(cache, GREY[:8], fill=False)[1] == 7
    assert encoded(cache, GREY[:8], fill=False)[1] == 0  # the fold is in the cache
    assert encoded(cache, GREY, fill=False)[1] == 32
    assert cache.info().rows == 11 and encoded(cache, GREY, fill=False)[1] == 29  # a stream is not stored
    encoded(cache, GREY[:1])
    assert encoded(cache, GREY, fill=False)[1] == 29 and cache.info().rows == 21
    other = FeatureCache()
    assert encoded(other, GREY, fill=False)[1] == 40 and other.info().rows == 0  # nothing was fitted


@pytest.mark.parametrize("kind", ["predict", "transform"])
def test_predicting_needs_no_more_memory_for_more_rows(kind):
    def wide():
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 500), nn.ReLU())

    torch.manual_seed(0)
    X = RNG.integers(0, 256, (40_000, 2, 2)).astype(np.uint8)
    if kind == "predict":
        run = net(FeatureCache(max_bytes=2**20), backbone=wide).fit(X[:40], LABELS).predict
    else:
        run = PretrainedFeatures(wide, cache=FeatureCache(max_bytes=2**20)).fit(X[:40]).transform
    run(X[:5000])
    tracemalloc.start()
    result = run(X)
    peak = tracemalloc.get_traced_memory()[1] - result.nbytes
    tracemalloc.stop()
    assert peak < 16 * 2**20  # the features of all rows are 80 MB


def test_half_precision():
    cache, images = FeatureCache(dtype="float16"), RNG.normal(size=(40, 5)).astype(np.float32)
    images[0, 2] = 1e6  # beyond float16
    cold, warm = encoded(cache, images)[0], encoded(cache, images)[0]
    np.testing.assert_array_equal(cold, warm)
    np.testing.assert_array_equal(cold[0], plain(images)[0])
    np.testing.assert_allclose(cold, plain(images), rtol=5e-4)
    assert not np.array_equal(cold, plain(images)) and cold.dtype == np.float32
    assert cache.info().n_bytes == 39 * (COST - 10) + COST


@pytest.mark.parametrize("in_folder", [False, True])
@pytest.mark.parametrize("dtype, rtol", [("float32", 0), ("float16", 5e-4)])
def test_features_in_float64(tmp_path, in_folder, dtype, rtol):
    images, cache, calls = RNG.normal(size=(40, 5)), FeatureCache(dtype=dtype), []
    for _ in range(2):
        cache = FeatureCache(tmp_path, dtype=dtype) if in_folder else cache
        features = cache.encode(images, "float64", lambda rows: calls.extend(rows) or rows / 3, dtype=np.float64)
        np.testing.assert_allclose(features, images / 3, rtol=rtol)
        assert features.dtype == np.float64 and len(calls) == 40


# -- a folder ----------------------------------------------------------------------------------------------------------


def files_in(folder):
    return sorted(folder.glob("*/*.safetensors"))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_outlives_the_process(tmp_path, dtype):
    images = np.concatenate([GREY.astype(np.float32), np.full((1, 8, 8), 1e6, np.float32)])
    first = FeatureCache(tmp_path / "new" / "folder", dtype=dtype)
    features, n_encoded = encoded(first, images)
    assert n_encoded == 41
    second = FeatureCache(str(tmp_path / "new" / "folder"), dtype=dtype)
    again, n_encoded = encoded(second, images)
    np.testing.assert_array_equal(again, features)
    assert n_encoded == 0 and second.info().rows_in_folder == 41
    assert second.info().bytes_in_folder == sum(path.stat().st_size for path in files_in(tmp_path / "new" / "folder"))
    assert (
        encoded(
            FeatureCache(tmp_path / "new" / "folder", dtype="float16" if dtype == "float32" else "float32"), images
        )[1]
        == 41
    )


def test_what_others_write_is_seen(tmp_path):
    one, other = FeatureCache(tmp_path), FeatureCache(tmp_path)
    assert encoded(one, GREY[:10])[1] == 10
    assert encoded(other, GREY[:20])[1] == 10
    assert encoded(one, GREY[:30])[1] == 10
    assert encoded(other, GREY, fingerprint="another")[1] == 40
    assert encoded(one, GREY, fingerprint="another")[1] == 0
    assert one.info().rows_in_folder == 70


def test_memory_may_be_smaller_than_the_folder(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=10 * COST)
    encoded(cache, GREY)
    features, n_encoded = encoded(cache, GREY)
    np.testing.assert_array_equal(features, plain(GREY))
    assert n_encoded == 0 and cache.info().rows == 10 and cache.info().dropped == 0


def test_a_path_is_one_cache_in_a_process(tmp_path):
    assert rows_seen(lambda: net(tmp_path).fit(GREY, LABELS)) == 40
    assert rows_seen(lambda: PretrainedFeatures(Conv, cache=str(tmp_path)).fit_transform(GREY)) == 0
    assert _feature_cache.resolve_cache(tmp_path) is _feature_cache.resolve_cache(str(tmp_path))
    assert os.listdir(tmp_path) == [files_in(tmp_path)[0].parent.name]


def test_clear_leaves_what_is_not_ours(tmp_path):
    cache = FeatureCache(tmp_path)
    encoded(cache, GREY)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.safetensors").write_text("mine")
    other = FeatureCache(tmp_path)
    encoded(other, GREY[:5])
    cache.clear()
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "other"] and os.listdir(tmp_path / "other") == [
        "a.safetensors"
    ]
    assert cache.info()[:2] == (0, 0) and cache.info().rows_in_folder == 0
    assert encoded(cache, GREY)[1] == 40
    np.testing.assert_array_equal(encoded(other, GREY)[0], plain(GREY))


@pytest.mark.parametrize("what", ["row", "checksum", "end", "header", "size of the header", "empty"])
def test_a_damaged_entry_is_encoded_again(tmp_path, what):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = files_in(tmp_path)
    content = bytearray(path.read_bytes())
    if what == "checksum":
        content[content.index(b'":"') + 3] ^= 1
    elif what not in ("end", "empty"):
        content[{"row": -3, "header": 10, "size of the header": 7}[what]] ^= 255
    path.write_bytes({"end": content[:-1], "empty": b""}.get(what, content))
    is_row = what in ("row", "checksum")
    with pytest.warns(FeatureCacheWarning, match=r"1 rows in .* are damaged" if is_row else "are ignored: "):
        features, n_encoded = encoded(FeatureCache(tmp_path), GREY)
    np.testing.assert_array_equal(features, plain(GREY))
    assert n_encoded == (1 if is_row else 40)
    if is_row:
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 0  # the new row counts, without a warning


def test_an_unwritable_folder_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = FeatureCache(tmp_path / "file" / "features")
    with pytest.warns(FeatureCacheWarning, match=r"not stored in .*features, which cannot be written to") as caught:
        assert encoded(cache, GREY)[1] == 40
        assert encoded(cache, GREY)[1] == 0  # found in memory
        assert encoded(cache, GREY ^ 1)[1] == 40
    assert len(caught) == 1
    with pytest.warns(FeatureCacheWarning):
        fitted = net(tmp_path / "file").fit(GREY, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(GREY), net(None).fit(GREY, LABELS).predict_proba(GREY))


def test_a_full_folder_is_done_without(tmp_path, monkeypatch):
    encoded(FeatureCache(tmp_path), GREY[:10])

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache = FeatureCache(tmp_path)
    with pytest.warns(FeatureCacheWarning, match="No space left on device"):
        features, n_encoded = encoded(cache, GREY)
    np.testing.assert_array_equal(features, plain(GREY))
    assert n_encoded == 30 and encoded(cache, GREY)[1] == 0
    assert not list(tmp_path.glob("*/*.part"))


WRITER = """
import itertools, sys
import numpy as np
from sktricks import FeatureCache

for number in itertools.count(int(sys.argv[2])):
    images = np.arange(100 * number, 100 * number + 300).reshape(-1, 1, 1, 1)
    FeatureCache(sys.argv[1]).encode(images, "net", lambda some: np.repeat(some[:, 0, 0], 1000, axis=1))
    print(number, flush=True)
"""


def test_kills_lose_nothing_that_was_stored(tmp_path):
    """Two processes store overlapping rows, and are killed meanwhile."""
    stored = set()
    for start in range(0, 40, 10):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(start)], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for writer in writers:
            stored |= {int(writer.stdout.readline()) for _ in range(start // 10 + 1)}
        for writer in writers:
            writer.kill()
            writer.communicate()
    cache, calls = FeatureCache(tmp_path), []

    def encode_rows(images):
        calls.append(len(images))
        return np.repeat(images[:, 0, 0], 1000, axis=1)

    for number in range(50):  # a damaged file would warn, which is an error here
        images = np.arange(100 * number, 100 * number + 300).reshape(-1, 1, 1, 1)
        before = sum(calls)
        features = cache.encode(images, "net", encode_rows, n_features=1000)
        assert (features == images[:, 0, 0]).all()
        assert number not in stored or sum(calls) == before
    assert stored and calls


def test_no_row_is_encoded_by_two_processes(tmp_path):
    """Each thread has its own cache, like a process; the folds overlap."""
    taken, images = [], np.arange(6 * 600).reshape(600, 3, 2, 1)

    def encode(rows):
        def encode_rows(images):
            time.sleep(0.005)
            return encoder(taken)(images)

        features = FeatureCache(tmp_path).encode(images[rows], "net", encode_rows)
        np.testing.assert_array_equal(features, plain(images[rows]))

    folds = np.array_split(np.random.default_rng(0).permutation(600), 5)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(encode, (np.concatenate(folds[:k] + folds[k + 1 :]) for k in range(5))))
    assert sum(taken) == FeatureCache(tmp_path).info().rows_in_folder == 600
    assert max(taken) == 128  # whole batches: the last batch of a call is padded


def test_several_processes_encode_at_the_same_time(tmp_path):
    digests = [number.to_bytes(16, "little") + bytes([number % 256]) for number in range(1000)]
    first, second = (FeatureFolder(tmp_path).portions(dict.fromkeys(digests)) for _ in range(2))
    with closing(first), closing(second):
        mine, others = next(first), next(second)
        assert len(mine) == len(others) == 256 and not set(mine) & set(others)


def test_rows_of_a_process_that_has_ended_are_encoded(tmp_path):
    digests = dict.fromkeys(bytes([number] * 16) for number in range(100))
    first, second = (FeatureFolder(tmp_path).portions(digests) for _ in range(2))
    with closing(second), ThreadPoolExecutor(1) as pool:
        assert set(next(first)) == set(digests)
        answer = pool.submit(next, second)
        time.sleep(0.1)
        assert not answer.done()
        first.close()
        assert answer.result(timeout=60)  # some rows or all, since the locks are released one by one


def test_rows_that_are_there_are_not_waited_for(tmp_path):
    digests = dict.fromkeys(bytes([number] * 16) for number in range(100))
    busy, waiting = (FeatureFolder(tmp_path) for _ in range(2))
    first, second = busy.portions(digests), waiting.portions(dict.fromkeys(list(digests)[:10]))
    with closing(first), closing(second):
        busy.write({digest: np.zeros(2, np.float32) for digest in next(first)})
        assert next(second) == list(digests)[:10]  # although ``first`` still holds the locks


def test_a_stopped_process_is_not_waited_for_forever(tmp_path, monkeypatch):
    monkeypatch.setattr(_feature_folder, "PATIENCE", 0.01)
    digests = dict.fromkeys(bytes([number] * 16) for number in range(100))
    first, second = (FeatureFolder(tmp_path / "folder").portions(digests) for _ in range(2))
    with closing(first), closing(second):
        assert set(next(first)) == set(digests)
        with pytest.warns(FeatureCacheWarning, match="another process has locked 100 rows .* may be suspended"):
            assert next(second) == list(digests)


@pytest.mark.skipif(os.name == "nt", reason="permissions and pipes of Unix")
@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700)]
)
def test_files_in_a_folder_follow_the_umask(tmp_path, umask, file, folder):
    previous = os.umask(umask)
    try:
        encoded(FeatureCache(tmp_path / "shared"), GREY)
    finally:
        os.umask(previous)
    (path,) = files_in(tmp_path / "shared")
    assert all(stat.S_IMODE(parent.stat().st_mode) == folder for parent in path.parents[:2])
    files = list(path.parent.iterdir())  # features and locks
    assert len(files) > 1 and all(stat.S_IMODE(path.stat().st_mode) == file for path in files)


@pytest.mark.parametrize(
    "row", [np.ones(5, np.float32), np.ones(7, np.float32), np.ones((6, 1), np.float32), np.ones(6)], ids=str
)
def test_rows_that_no_such_net_computes_are_ignored(tmp_path, row):
    expected = PretrainedFeatures(Conv).fit_transform(GREY)
    PretrainedFeatures(Conv, cache=FeatureCache(tmp_path)).fit_transform(GREY)
    (path,) = files_in(tmp_path)
    digests = _feature_folder.digests_in(path)
    path.unlink()
    _feature_folder.write_rows(path.parent, dict.fromkeys(digests, row))
    with pytest.warns(FeatureCacheWarning, match="40 rows in .* are damaged, or differ in length"):
        features = PretrainedFeatures(Conv, cache=FeatureCache(tmp_path)).fit_transform(GREY)
    np.testing.assert_array_equal(features, expected)
    cache = FeatureCache(tmp_path)
    assert net(cache).fit(GREY, LABELS).predict(GREY).shape == (40,)
    assert cache.info().encoded == 0  # what was encoded again counts


@pytest.mark.parametrize(
    "forge",
    [
        lambda header: header.replace(b"[5]", b"[9]"),
        lambda header: header.replace(b'"F32"', b'"F16"'),
        lambda header: header.replace(b"[0,20]", b"[0,2000000000]"),
        lambda header: header.replace(b"{", b"["),
    ],
    ids=["shape", "dtype", "offsets", "no JSON"],
)
def test_forged_headers(tmp_path, forge):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = files_in(tmp_path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = forge(content[8 : 8 + size].rstrip())
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    with pytest.warns(FeatureCacheWarning, match="are ignored: "):
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 40


def test_a_forged_row_is_not_read_if_it_is_too_large(tmp_path):
    encoded(FeatureCache(tmp_path), GREY[:1])
    (path,) = files_in(tmp_path)
    (digest,) = _feature_folder.digests_in(path)
    header = json.dumps({digest.hex(): {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(file.tell() + 2**40)  # a terabyte of which nothing is on the disk
    with pytest.warns(FeatureCacheWarning, match="1 rows in .* are damaged, or differ in length"):
        assert encoded(FeatureCache(tmp_path), GREY[:1], n_features=5)[1] == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are pipes on Unix alone")
def test_a_pipe_in_the_place_of_a_file_is_not_opened(tmp_path):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = files_in(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(FeatureCacheWarning, match="it is not a regular file"):
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 40


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "")], ids=["unknown", "refused"])
def test_folders_without_locks_serve(tmp_path, monkeypatch, error):
    class NoLock(_feature_folder.FileLock):
        def acquire(self, *args, **kwargs):
            raise error

    monkeypatch.setattr(_feature_folder, "FileLock", NoLock)
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 40
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 0


def test_a_folder_that_is_emptied_in_the_middle_serves(tmp_path, monkeypatch):
    replace = os.replace

    def empty_first(*args):
        monkeypatch.setattr(os, "replace", replace)
        FeatureCache(tmp_path).clear()
        replace(*args)

    monkeypatch.setattr(os, "replace", empty_first)
    assert [encoded(FeatureCache(tmp_path), GREY)[1] for _ in range(3)] == [40, 40, 0]


def test_what_killed_processes_leave_is_cleared(tmp_path):
    cache = FeatureCache(tmp_path)
    encoded(cache, GREY)
    (path,) = files_in(tmp_path)
    path.rename(path.with_suffix(".part"))
    (tmp_path / "mine.txt").write_text("kept")
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_encodes():
    cache, encoding, done = FeatureCache(), threading.Event(), threading.Event()

    def slow(images):
        encoding.set()
        done.wait(60)
        return encoder([])(images)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(cache.encode, GREY, "net", slow)
        encoding.wait(60)
        child = multiprocessing.get_context("fork").Process(target=encoded, args=(cache, GREY, "net", False))
        child.start()
        child.join(60)
        done.set()
    is_over = child.exitcode is not None
    child.kill()
    assert is_over and child.exitcode == 0


# -- copies and processes ----------------------------------------------------------------------------------------------


def test_clones_and_copies_share_the_cache(tmp_path):
    for cache in (FeatureCache(), FeatureCache(tmp_path, max_bytes=10**6, dtype="float16")):
        estimator = net(cache)
        assert clone(estimator).cache is cache and copy.deepcopy(estimator).cache is cache and copy.copy(cache) is cache
        estimator.fit(GREY, LABELS)
        assert len(pickle.dumps(cache)) < 1000 and len(pickle.dumps(clone(estimator))) < 5000
        assert pickle.loads(pickle.dumps(cache)) is cache
        assert repr(cache).startswith("FeatureCache(")
    assert repr(cache) == f"FeatureCache({str(tmp_path)!r}, max_bytes=1000000, dtype='float16')"


def test_a_pickle_in_another_process(monkeypatch, tmp_path):
    for cache in (FeatureCache(max_bytes=1000), FeatureCache(tmp_path, max_bytes=1000, dtype="float16")):
        content = pickle.dumps(cache)
        monkeypatch.setattr(_feature_cache, "KNOWN", {})
        monkeypatch.setattr(_feature_cache, "IN_USE", {})
        there = pickle.loads(content)
        assert there is not cache and there is pickle.loads(content)  # all jobs of a process share one
        assert (there.folder, there.max_bytes, there.dtype) == (cache.folder, cache.max_bytes, cache.dtype)


def test_processes_share_a_folder(tmp_path):
    model = make_pipeline(PretrainedFeatures("tiny32", cache=tmp_path), LogisticRegression(max_iter=200))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1]}, cv=4, n_jobs=2).fit(GREY, LABELS)
    assert FeatureCache(tmp_path).info().rows_in_folder == 40  # each as often as it was encoded, in whatever process
    alone = GridSearchCV(model.set_params(pretrainedfeatures__cache=None), search.param_grid, cv=4).fit(GREY, LABELS)
    np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_a_process_beside_others_says_once_that_it_shares_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_feature_cache.multiprocessing, "parent_process", lambda: threading)
    _feature_cache.warn_of_processes.cache_clear()
    encoded(FeatureCache(tmp_path), GREY)
    encoded(FeatureCache(), GREY, fill=False)
    with pytest.warns(FeaturesNotSharedWarning, match="set cache to a folder") as caught:
        encoded(FeatureCache(), GREY)
        encoded(FeatureCache(), GREY)
    assert len(caught) == 1


# -- what the features depend on ---------------------------------------------------------------------------------------


def test_a_folder_does_not_outlive_our_own_code(tmp_path, monkeypatch):
    for version, encoded_now in (("1", 40), ("1", 0), ("2", 40)):
        monkeypatch.setattr(_prefix, "__version__", version)
        cache = FeatureCache(tmp_path)
        PretrainedFeatures(Conv, cache=cache).fit_transform(GREY)
        assert cache.info().encoded == encoded_now


def test_a_module_that_changes_between_fits():
    module, cache = Conv(), FeatureCache()
    features = PretrainedFeatures(module, cache=cache)
    first = features.fit_transform(GREY)
    with torch.no_grad():
        module.second.weight.mul_(2)
    second = features.fit_transform(GREY)
    assert not np.array_equal(first, second)
    module.second.bias.data += 1
    third = features.fit_transform(GREY)
    np.testing.assert_allclose(third, second + 1, rtol=1e-5)
    module.norm.eps = 1.0
    assert np.abs(features.fit_transform(GREY) - third).max() > 0.01


@pytest.mark.parametrize("backbone", [Conv(), "tiny32"], ids=["instance", "tiny32"])
def test_a_fitted_backbone_that_is_changed_by_hand(backbone):
    cache = FeatureCache()
    one, other = (PretrainedFeatures(backbone, cache=cache).fit(GREY) for _ in range(2))
    copies = [copy.deepcopy(other), pickle.loads(pickle.dumps(other))]
    probe = net(cache, backbone=backbone).fit(GREY, LABELS)
    before, proba = one.transform(GREY), probe.predict_proba(GREY)
    for backbone_ in (one.backbone_, probe.backbone_, copies[0].backbone_, copies[1]._prefix.backbone):
        for parameter in backbone_.model.parameters():
            parameter.data.mul_(1.5)
    for changed in (one, *copies):
        assert not np.array_equal(changed.transform(GREY), before)
    assert not np.array_equal(probe.predict_proba(GREY), proba)
    np.testing.assert_array_equal(other.transform(GREY), before)  # others have their own
    np.testing.assert_array_equal(clone(one).fit_transform(GREY), before)
    np.testing.assert_array_equal(net(cache, backbone=backbone).fit(GREY, LABELS).predict_proba(GREY), proba)


def test_a_clone_has_the_users_module_itself():
    module = Conv()
    for estimator in (net("auto", backbone=module), PretrainedFeatures(module)):
        again = clone(estimator)
        assert again.backbone is module and again.get_params() == estimator.get_params()
        assert again is not estimator and not hasattr(clone(estimator.fit(GREY, LABELS)), "image_shape_")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"folder": 3}, TypeError, "folder must be a path or None, got 3"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be a non-negative int, got -1"),
        ({"max_bytes": 0.5}, ValueError, "max_bytes must be a non-negative int, got 0.5"),
        ({"dtype": "int8"}, ValueError, "dtype must be 'float32' or 'float16', got 'int8'"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        FeatureCache(**params)


@pytest.mark.parametrize("cache", [3, True, [], FeatureCache])
def test_a_cache_that_is_none(cache):
    for estimator in (net(cache), PretrainedFeatures(Conv, cache=cache)):
        with pytest.raises(ValueError, match="'cache' parameter of .* must be"):
            estimator.fit(GREY, LABELS)
