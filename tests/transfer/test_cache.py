import copy
import errno
import itertools
import logging
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
from types import SimpleNamespace

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
    load_backbone,
)
from sktricks.transfer import _backbone_net
from sktricks.transfer.cache import _claims as _cache_claims
from sktricks.transfer.cache import _feature_cache as _cache
from sktricks.transfer.cache import _feature_files as _cache_files
from sktricks.transfer.cache import _parcel, _templates

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8)
LABELS = np.arange(40) % 2
COST = 5 * 4 + 250  # bytes of a row of five features in memory


class Conv(nn.Module):
    """The same weights at every call; counts the rows that it sees and that hold anything."""

    seen = []

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.norm, self.second = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
        self.register_buffer("scale", torch.ones(1), persistent=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x):
        Conv.seen.append(int((x.flatten(1) != 0).any(1).sum()))
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3)) * self.scale


def net(cache, **params):
    settings = {"backbone": Conv, "strategy": "linear-probe", "max_epochs": 3, "random_state": 0, **params}
    return FineTuneClassifier(cache=cache, **settings)


def rows_seen(function):
    Conv.seen.clear()
    function()
    return sum(Conv.seen)


def encoder(calls):
    """Five features a row, and a note of how many rows there were."""

    def encode_rows(images):
        calls.append(len(images))
        return np.asarray(images, dtype=np.float32).reshape(len(images), -1)[:, :5] / 3

    return encode_rows


def encoded(cache, images, fingerprint="net", fill=True):
    """The features of images and the number of rows that were encoded for them."""
    calls = []
    features = cache.encode(images, fingerprint, encoder(calls), fill)
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


def test_verbose_says_what_was_reused(capsys):
    GridSearchCV(net(FeatureCache(), verbose=1), {"lr": [0.01, 0.1]}, cv=4).fit(GREY, LABELS)
    assert capsys.readouterr().out.splitlines()[-1] == "40 rows encoded once, reused 320 times"
    net(FeatureCache()).fit(GREY, LABELS)
    net(None, verbose=1).fit(GREY, LABELS)
    assert capsys.readouterr().out == ""
    net(FeatureCache(max_bytes=0), verbose=1).fit(GREY, LABELS)
    assert capsys.readouterr().out == "40 rows encoded, reused 0 times; 40 no longer kept\n"


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
    assert "no longer kept" in cache.report("net") and "once" in cache.report("another")


def test_predictions_keep_little():
    cache = FeatureCache(max_bytes=8 * 10 * COST)
    encoded(cache, GREY[:1])
    assert encoded(cache, GREY[:8], fill=False)[1] == 7
    assert encoded(cache, GREY[:8], fill=False)[1] == 0  # a fold is found again
    assert encoded(cache, GREY, fill=False)[1] == 32
    assert cache.info().rows == 11 and encoded(cache, GREY, fill=False)[1] == 29  # a stream passes by
    encoded(cache, GREY[:1])
    assert encoded(cache, GREY, fill=False)[1] == 29 and cache.info().rows == 21
    other = FeatureCache()
    assert encoded(other, GREY, fill=False)[1] == 40 and other.info().rows == 0  # nothing was fitted


@pytest.mark.parametrize("kind", ["predict", "transform"])
def test_predicting_needs_no_more_memory_for_more_rows(kind):
    def wide():
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 500), nn.ReLU())

    torch.manual_seed(0)
    X = RNG.integers(0, 256, (100_000, 2, 2)).astype(np.uint8)
    if kind == "predict":
        run = net(FeatureCache(max_bytes=2**20), backbone=wide).fit(X[:40], LABELS).predict
    else:
        run = PretrainedFeatures(wide, cache=FeatureCache(max_bytes=2**20)).fit(X[:40]).transform
    run(X[:5000])
    tracemalloc.start()
    result = run(X)
    peak = tracemalloc.get_traced_memory()[1] - result.nbytes
    tracemalloc.stop()
    assert peak < 16 * 2**20  # the features of all rows are 200 MB


def test_half_precision():
    cache, images = FeatureCache(dtype="float16"), RNG.normal(size=(40, 5)).astype(np.float32)
    images[0, 2] = 1e6  # beyond float16
    cold, warm = encoded(cache, images)[0], encoded(cache, images)[0]
    np.testing.assert_array_equal(cold, warm)
    np.testing.assert_array_equal(cold[0], plain(images)[0])
    np.testing.assert_allclose(cold, plain(images), rtol=5e-4)
    assert not np.array_equal(cold, plain(images)) and cold.dtype == np.float32
    assert cache.info().n_bytes == 39 * (COST - 10) + COST


# -- a folder ----------------------------------------------------------------------------------------------------------


def segments(folder):
    return sorted(folder.glob("*/*.features"))


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
    assert second.info().bytes_in_folder == sum(path.stat().st_size for path in segments(tmp_path / "new" / "folder"))
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
    assert _cache.resolve_cache(tmp_path) is _cache.resolve_cache(str(tmp_path))
    assert os.listdir(tmp_path) == [segments(tmp_path)[0].parent.name]


def test_clear_leaves_what_is_not_ours(tmp_path):
    cache = FeatureCache(tmp_path)
    encoded(cache, GREY)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.features").write_text("mine")
    other = FeatureCache(tmp_path)
    encoded(other, GREY[:5])
    cache.clear()
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "other"] and os.listdir(tmp_path / "other") == ["a.features"]
    assert cache.info()[:2] == (0, 0) and cache.info().rows_in_folder == 0
    assert encoded(cache, GREY)[1] == 40
    np.testing.assert_array_equal(encoded(other, GREY)[0], plain(GREY))


@pytest.mark.parametrize("what", ["row", "digest", "checksum", "end", "head", "empty"])
def test_a_damaged_entry_is_encoded_again(tmp_path, what):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    place = {"row": -3, "digest": 60, "checksum": -40 * 20 - 5, "end": -1, "head": 20, "empty": 0}[what]
    content[place] ^= 255
    path.write_bytes({"end": content[:-1], "empty": b""}.get(what, content))
    with pytest.warns(FeatureCacheWarning, match=r"1 of 40 rows in .* damaged" if what == "row" else "ignored: "):
        features, n_encoded = encoded(FeatureCache(tmp_path), GREY)
    np.testing.assert_array_equal(features, plain(GREY))
    assert n_encoded == (1 if what == "row" else 40)
    if what == "row":
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 0  # the new row counts, without a warning


def test_a_folder_of_another_version_is_ignored_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache_files, "VERSION", 9)
    encoded(FeatureCache(tmp_path), GREY)
    monkeypatch.undo()
    with pytest.warns(FeatureCacheWarning, match="have version 9, this sktricks reads version 1"):
        features, n_encoded = encoded(FeatureCache(tmp_path), GREY)
    assert n_encoded == 40 and len(segments(tmp_path)) == 2
    np.testing.assert_array_equal(features, plain(GREY))


def test_an_unwritable_folder_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = FeatureCache(tmp_path / "file" / "features")
    with pytest.warns(FeatureCacheWarning, match=r"not kept in .*features, which cannot be written to") as caught:
        assert encoded(cache, GREY)[1] == 40
        assert encoded(cache, GREY)[1] == 0  # memory serves
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
import itertools, pathlib, sys
import numpy as np
from sktricks.transfer.cache._feature_files import FeatureFolder

folder, start = FeatureFolder(pathlib.Path(sys.argv[1])), int(sys.argv[2]) * 10**6
print("ready", flush=True)
for number in itertools.count(start):
    for digests in folder.portions([b"%016d" % (30 * number + k) for k in range(30)], 10):
        folder.write({digest: np.full(10_000, number % 1000, np.float32) for digest in digests})
"""


def test_a_folder_survives_twenty_kills_of_two_writers(tmp_path):
    rng = np.random.default_rng(0)
    for kill in range(10):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(2 * kill + k)], stdout=subprocess.PIPE)
            for k in range(2)
        ]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.01, 0.05))
        for writer in writers:
            writer.kill()
            writer.communicate()
    folder = _cache_files.FeatureFolder(tmp_path)
    folder.refresh()  # a damaged file would warn, which is an error here
    assert len(folder) > 0
    for digest, row in folder.read(list(folder._where)).items():
        assert (row == int(digest) // 30 % 1000).all()
    for digests in folder.portions([b"%016d" % k for k in range(100)], 100):  # nobody has claimed any
        assert len(digests) == 100 and not list(tmp_path.glob("*.part"))  # and what was left is removed
    assert not list(tmp_path.glob("claim-*"))


def test_several_processes_encode_at_the_same_time(tmp_path):
    digests = [b"%016d" % number for number in range(1000)]
    first, second = (_cache_files.FeatureFolder(tmp_path).portions(digests, 300) for _ in range(2))
    with closing(first), closing(second):
        mine, others = next(first), next(second)
        assert len(mine) == len(others) == 256 and not set(mine) & set(others)
        second.close()  # as if it had been killed
        assert {*mine, *itertools.chain.from_iterable(first)} == {*digests}


def test_folds_in_several_processes_share_whole_batches(tmp_path):
    digests, taken = [b"%016d" % number for number in range(600)], []

    def encode(rows):
        folder = _cache_files.FeatureFolder(tmp_path)
        for portion in folder.portions(rows, 4096):
            folder.refresh()
            new = [digest for digest in portion if digest not in folder._where]
            taken.append(len(new))
            time.sleep(0.01)
            folder.write({digest: np.zeros(2, np.float32) for digest in new})

    with ThreadPoolExecutor(2) as pool:  # each has a folder of its own, as a process would
        list(pool.map(encode, (digests[120:], digests[:120] + digests[240:])))
    assert sum(taken) == 600 and sum(-(-n_rows // _cache_files.BATCH) for n_rows in taken) <= 6


def test_a_stopped_process_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache_claims, "PATIENCE", 0.01)
    monkeypatch.setattr(_cache_claims, "BEAT", 1000)
    digests = [b"%016d" % number for number in range(100)]
    first, second = (_cache_files.FeatureFolder(tmp_path / "folder").portions(digests, 4096) for _ in range(2))
    with closing(first), closing(second):
        assert next(first) == digests
        with pytest.warns(FeatureCacheWarning, match="another process holds 100 rows .* no sign of life"):
            assert next(second) == digests


@pytest.mark.parametrize("renews", [True, False])
def test_a_claim_that_is_renewed_is_waited_for(tmp_path, monkeypatch, renews):
    """With a clock of its own, on which a second passes at each look."""
    claims, now = _cache_claims.Claims(tmp_path), [0]

    def sleep(seconds):
        now[0] += 1
        if renews:
            os.utime(path, ns=(now[0], now[0]))
        if now[0] == 100:
            path.unlink()

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(_cache_claims, "time", clock)
    monkeypatch.setattr(_cache_claims, "BEAT", 1000)
    with _cache_claims.Claims(tmp_path).make([b"%016d" % 1]):
        (path,) = tmp_path.glob("claim-*")
        assert claims.wait({path.name}) == (set() if renews else {path.name})
    assert now[0] == (100 if renews else _cache_claims.PATIENCE + 1)


def test_a_claim_is_renewed_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache_claims, "BEAT", 0.001)
    renewed = threading.Event()
    monkeypatch.setattr(os, "utime", lambda path: renewed.set())
    with _cache_claims.Claims(tmp_path).make([b"%016d" % 1]):
        assert renewed.wait(60)


def test_a_process_that_stops_while_it_chooses_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache_claims, "MOMENT", 0.01)
    folder = _cache_files.FeatureFolder(tmp_path)
    expected = pytest.warns(FeatureCacheWarning, match="holds the lock of the claims")
    with _cache_claims.Claims(tmp_path).choosing(), expected:
        assert list(folder.portions([b"%016d" % 1], 10)) == [[b"%016d" % 1]]


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
    (segment,) = segments(tmp_path / "shared")
    assert stat.S_IMODE(segment.stat().st_mode) == file
    assert all(stat.S_IMODE(path.stat().st_mode) == folder for path in (segment.parent, segment.parent.parent))
    assert all(stat.S_IMODE(path.stat().st_mode) == file for path in segment.parent.iterdir())


@pytest.mark.parametrize(
    ("width", "dtype", "message"),
    [
        (5, np.float32, "its rows have 5 numbers, those of this net 6"),
        (7, np.float32, "its rows have 7 numbers, those of this net 6"),
        (6, np.float16, "its numbers are float16, which this folder does not hold"),
    ],
)
def test_rows_that_no_such_net_makes_are_ignored(tmp_path, width, dtype, message):
    expected = PretrainedFeatures(Conv).fit_transform(GREY)
    PretrainedFeatures(Conv, cache=FeatureCache(tmp_path)).fit_transform(GREY)
    (path,) = segments(tmp_path)
    digests = _cache_files.read_table(path).digests
    path.unlink()
    _cache_files.write_segment(path.parent, {digest: np.ones(width, dtype) for digest in digests}, 0)
    with pytest.warns(FeatureCacheWarning, match=f"are ignored: {message}"):
        features = PretrainedFeatures(Conv, cache=FeatureCache(tmp_path)).fit_transform(GREY)
    np.testing.assert_array_equal(features, expected)
    with pytest.warns(FeatureCacheWarning, match="are ignored"):
        cache = FeatureCache(tmp_path)
        assert net(cache).fit(GREY, LABELS).predict(GREY).shape == (40,)
    assert cache.info().encoded == 0  # what was encoded again counts


@pytest.mark.parametrize(
    ("head", "message"),
    [({"itemsize": 3}, "numbers have 3 bytes"), ({"rows": 2**63}, "is damaged"), ({"columns": 2**31}, "is damaged")],
)
def test_heads_with_wrong_numbers(tmp_path, head, message):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    struct, names = _cache_files.HEAD, ("magic", "version", "itemsize", "columns", "rows")
    values = dict(zip(names, struct.unpack(content[: struct.size]), strict=True)) | head
    path.write_bytes(struct.pack(*values.values()) + content[struct.size :])
    with pytest.warns(FeatureCacheWarning, match=message):
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 40


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are pipes on Unix alone")
def test_a_pipe_in_the_place_of_a_segment_is_not_opened(tmp_path):
    encoded(FeatureCache(tmp_path), GREY)
    (path,) = segments(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(FeatureCacheWarning, match="it is no regular file"):
        assert encoded(FeatureCache(tmp_path), GREY)[1] == 40


def test_rows_that_are_there_are_not_waited_for(tmp_path):
    folders = [_cache_files.FeatureFolder(tmp_path) for _ in range(2)]
    digests = [b"%016d" % number for number in range(1000)]
    busy, waiting = folders[0].portions(digests, 128), folders[1].portions(digests[:10], 128)
    with closing(busy), closing(waiting), ThreadPoolExecutor(1) as pool:
        rows, answer = next(busy), pool.submit(next, waiting)
        time.sleep(0.1)
        assert not answer.done()
        folders[0].write({digest: np.zeros(2, np.float32) for digest in rows})
        next(busy)  # claims others, with the same lock
        assert answer.result(timeout=60) == digests[:10]


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "")], ids=["unknown", "refused"])
def test_folders_without_locks_serve(tmp_path, monkeypatch, error):
    class NoLock(_cache_claims.FileLock):
        def acquire(self, *args, **kwargs):
            raise error

    monkeypatch.setattr(_cache_claims, "FileLock", NoLock)
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 40
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 0


def test_a_folder_that_is_emptied_in_the_middle_serves(tmp_path, monkeypatch):
    replace = os.replace

    def empty_first(*args):
        monkeypatch.setattr(os, "replace", replace)
        FeatureCache(tmp_path).clear()
        replace(*args)

    monkeypatch.setattr(os, "replace", empty_first)
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 40
    assert encoded(FeatureCache(tmp_path), GREY)[1] == 0


def test_a_folder_in_which_nothing_was_finished_is_cleared(tmp_path):
    folder = _cache_files.FeatureFolder(tmp_path / "features-0")
    (tmp_path / "mine.txt").write_text("kept")
    with closing(folder.portions([b"%016d" % 1], 10)) as portions:
        next(portions)
    assert (tmp_path / "features-0").exists()
    FeatureCache(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


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
        monkeypatch.setattr(_cache, "KNOWN", {})
        monkeypatch.setattr(_cache, "IN_USE", {})
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
    monkeypatch.setattr(_cache.multiprocessing, "parent_process", lambda: threading)
    monkeypatch.setattr(_cache, "warned_of_processes", False)
    encoded(FeatureCache(tmp_path), GREY)
    encoded(FeatureCache(), GREY, fill=False)
    with pytest.warns(FeaturesNotSharedWarning, match="give cache= a folder") as caught:
        encoded(FeatureCache(), GREY)
        encoded(FeatureCache(), GREY)
    assert len(caught) == 1


def test_a_worker_loads_a_module_once_for_all_tasks(monkeypatch):
    monkeypatch.setattr(_parcel.multiprocessing, "parent_process", lambda: threading)
    monkeypatch.setattr(_parcel, "CAME", [])
    module, loaded = Conv(), []
    original = _templates.load_backbone
    monkeypatch.setattr(_templates, "load_backbone", lambda *args, **how: loaded.append(1) or original(*args, **how))

    def task():
        return pickle.loads(pickle.dumps(PretrainedFeatures(module, cache=None)))

    expected = task().fit_transform(GREY)
    assert task().backbone is task().backbone is not module
    np.testing.assert_array_equal(task().fit_transform(GREY), expected)
    assert len(loaded) == 1
    task().backbone.second.bias.data[-1] += 1  # by a task, of which torch takes no note: the next has what was sent
    np.testing.assert_array_equal(task().fit_transform(GREY), expected)
    module.second.bias.data[-1] += 1  # something else is sent
    assert not np.array_equal(task().fit_transform(GREY), expected)


# -- what the features depend on ---------------------------------------------------------------------------------------


def fingerprint(module):
    return load_backbone(module, image_shape=(8, 8, 1)).fingerprint()


def test_the_fingerprint_changes_with_any_weight_and_buffer():
    module = Conv()
    names = [*dict(module.named_parameters()), *dict(module.named_buffers())]
    assert "norm.running_mean" in names and "scale" in names
    found = {fingerprint(module)}
    backbone = load_backbone(module, image_shape=(8, 8, 1))
    known = {backbone.fingerprint()}
    for name in names:
        for model in (module, backbone.model):
            tensor = model.get_parameter(name) if name in dict(model.named_parameters()) else model.get_buffer(name)
            tensor.data.view(-1)[-1:].add_(1)  # of which torch takes no note
        found.add(fingerprint(module))
        known.add(backbone.fingerprint())
    assert len(found) == len(known) == len(names) + 1 and found == known


def test_the_fingerprint_changes_with_code_and_settings():
    class Power(nn.Module):
        def __init__(self, power=2, function=torch.relu):
            super().__init__()
            self.power, self.function = power, function

        def forward(self, x):
            return self.function(x.flatten(1)) ** self.power

    class Other(Power):
        def forward(self, x):
            return self.function(x.flatten(1)) ** (self.power + 1)

    nets = [Power(), Power(3), Power(function=torch.tanh), Power(function=nn.Tanh()), Other()]
    nets += [nn.Sequential(nn.Flatten()), nn.Sequential(nn.AvgPool2d(2), nn.Flatten())]
    nets += [nn.Sequential(nn.AvgPool2d(2, stride=1), nn.Flatten()), nn.Sequential(nn.AvgPool2d(4), nn.Flatten())]
    assert len({fingerprint(net) for net in nets}) == len(nets)
    Other.__qualname__, first = "Power", fingerprint(Other())
    Other.forward = lambda self, x: helper(x.flatten(1))  # as if the cell of a notebook had run again
    second = fingerprint(Other())
    globals()["helper"], former = (lambda x: x - 1), helper
    third = fingerprint(Other())
    globals()["helper"] = former
    assert len({first, second, third}) == 3


def helper(x):
    return x + 1


CELL = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

class Conv(nn.Conv2d):
    pass

class Config:
    def __init__(self, scale):
        self.scale, self.me = scale, self

class Slots:
    __slots__ = ("scale",)

class Helper:
    @staticmethod
    def apply(x):
        return x * {edited}

def act(x):
    return x * {edited}

def make_layer():
    layer = nn.Conv2d(1, 1, 1)
    nn.init.constant_(layer.weight, 1)
    nn.init.constant_(layer.bias, {edited})
    return layer

SCALE, TABLE, WEIGHT = {edited}, {{"scale": [{edited}]}}, torch.ones(1) * {edited}
CONFIG, LAYER = Config({edited}), make_layer()
SLOTS = Slots()
SLOTS.scale = {edited}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = Conv(1, 4, 3)
        for parameter in self.conv.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x{argument}):
        return {result}

def make():
    net = Net()
    {attribute}
    return net
"""

MADE_OF = {  # what is done to the net, an argument of its forward, what forward returns
    "a default": ("", ", scale={edited}", "self.conv(x) * scale"),
    "a default of a keyword": ("", ", *, scale={edited}", "self.conv(x) * scale"),
    "a global number": ("", "", "self.conv(x) * SCALE"),
    "a global dict": ("", "", "self.conv(x) * TABLE['scale'][0]"),
    "a global tensor": ("", "", "self.conv(x) * WEIGHT"),
    "a global object": ("", "", "self.conv(x) * CONFIG.scale"),
    "a global object with slots": ("", "", "self.conv(x) * SLOTS.scale"),
    "a global module": ("", "", "self.conv(LAYER(x))"),
    "a global function": ("", "", "act(self.conv(x))"),
    "a global class": ("", "", "Helper.apply(self.conv(x))"),
    "a global in a lambda": ("", "", "(lambda x: act(x))(self.conv(x))"),
    "a global in a comprehension": ("", "", "[act(row) for row in [self.conv(x)]][0]"),
    "a constant of the class": ("Net.scale = {edited}", "", "self.conv(x) * self.scale"),
    "a class that torch has made another of": (
        "weight_norm(net.conv, 'weight'); Conv.scale = {edited}",
        "",
        "self.conv(x) * self.conv.scale",
    ),
    "a plain object": ("net.settings = Config({edited})", "", "self.conv(x) * self.settings.scale"),
    "a method of a plain object": ("net.scaled = Bound({edited}).times", "", "self.scaled(self.conv(x))"),
    "a module in a list": ("net.more = [make_layer()]", "", "self.more[0](x) + self.conv(x).mean()"),
    "a module in a dict": ("net.more = dict(a=[make_layer()])", "", "self.more['a'][0](x) + self.conv(x).mean()"),
    "an array": ("net.factors = np.array([{edited}])", "", "self.conv(x) * self.factors[0]"),
}


class Bound:
    def __init__(self, scale):
        self.scale = scale

    def times(self, x):
        return x * self.scale


def run_cell(kind, edited):
    """A factory of nets in a cell of a notebook; of what is edited the net meets only what belongs to ``kind``."""
    attribute, argument, result = (text.replace("{edited}", "EDITED") for text in MADE_OF[kind])
    text = CELL.format(edited="EDITED", attribute=attribute, argument=argument, result=result)
    names = {"__name__": "cell", "Bound": Bound, "np": np}
    exec(text.replace("EDITED", repr(edited)), names)
    return names["make"]


@pytest.mark.parametrize("kind", MADE_OF)
def test_features_are_not_those_of_a_net_before_it_was_edited(kind):
    cache = FeatureCache()
    nets = [run_cell(kind, edited) for edited in (1.5, 1.5, 3.5)]
    first, again, edited = (PretrainedFeatures(net, cache=cache).fit_transform(GREY) for net in nets)
    assert cache.info().encoded == 80  # of the same code nothing anew
    assert np.array_equal(first, again) and not np.array_equal(first, edited)


@pytest.mark.parametrize("kind", ["a module in a list", "a plain object", "an array"])
def test_what_is_no_parameter_changes_between_fits(kind):
    module, cache = run_cell(kind, 1.5)(), FeatureCache()
    features = PretrainedFeatures(module, cache=cache)
    first = features.fit_transform(GREY)
    if kind == "a module in a list":
        module.more[0].bias.data += 1
    elif kind == "a plain object":
        module.settings.scale = 2.5
    else:
        module.factors += 1
    second = features.fit_transform(GREY)
    assert np.array_equal(features.fit_transform(GREY), second) and not np.array_equal(first, second)
    assert cache.info().encoded == 80


def test_a_folder_does_not_outlive_our_own_code(tmp_path, monkeypatch):
    for version, encoded_now in (("1", 40), ("1", 0), ("2", 40)):
        monkeypatch.setattr(_backbone_net, "__version__", version)
        cache = FeatureCache(tmp_path)
        PretrainedFeatures(Conv, cache=cache).fit_transform(GREY)
        assert cache.info().encoded == encoded_now


def test_locks_loggers_and_notes_are_no_part_of_the_fingerprint():
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    backbone.model.lock, backbone.model.logger = threading.Lock(), logging.getLogger("sktricks.tests.fingerprint")
    first = backbone.fingerprint()
    with backbone.model.lock:
        Conv.seen.append(0)
        logging.getLogger("sktricks.tests.fingerprint.child")
        backbone.model.logger.setLevel("ERROR")
        assert backbone.fingerprint() == first


def test_what_code_does_not_name_is_no_part_of_the_fingerprint():
    kind = "a global number"
    one, other = run_cell(kind, 1.5), run_cell(kind, 1.5)
    other.__globals__.update(TABLE=None, conv=fingerprint)  # of which `conv` is an attribute in forward
    assert fingerprint(one()) == fingerprint(other())


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
    for backbone_ in (one.backbone_, probe.backbone_, copies[0].backbone_, copies[1]._backbone):
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
        ({"max_bytes": -1}, ValueError, "max_bytes must be an int of at least 0, got -1"),
        ({"max_bytes": 0.5}, ValueError, "max_bytes must be an int of at least 0, got 0.5"),
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
