"""Batcher: joining of rows, results and errors of requests, full queues, timeouts, close, forks, exits."""

import os
import queue
import sys
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from sktricks import Batcher, ImageLoader

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_imports import OPTIONAL, fresh  # noqa: E402

ROWS = np.arange(24.0).reshape(12, 2)
WAIT = 60  # seconds after which a test has failed; none of them takes this long


class Held:
    """Doubles rows; while held, calls wait, so that a test controls which rows arrive in the meantime."""

    def __init__(self, function=lambda X: 2 * X):
        self.function, self.batches = function, []
        self.entered, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, X):
        self.batches.append(X)
        self.entered.release()
        assert self.open.wait(WAIT)
        return self.function(X)

    def sizes(self):
        return [len(X) for X in self.batches]


@pytest.fixture
def held():
    predict = Held()
    yield predict
    predict.open.set()


def occupy(batcher, predict):
    """Make the thread of a batcher wait inside predict."""
    future = batcher.submit(ROWS[:1])
    assert predict.entered.acquire(timeout=WAIT)
    return future


def test_what_comes_while_a_batch_runs_is_the_next_batch(held):
    with Batcher(held) as batcher:
        first = occupy(batcher, held)
        others = [batcher.submit(ROWS[k : k + 1]) for k in range(1, 12)]
        assert batcher.stats()["waiting"] == 11
        held.open.set()
        for row, future in zip(ROWS, [first, *others], strict=True):
            np.testing.assert_array_equal(future.result(WAIT), [2 * row])
    assert held.sizes() == [1, 11]
    assert batcher.stats() == {
        "requests": 12,
        "rows": 12,
        "batches": 2,
        "largest_batch": 11,
        "waiting": 0,
    }


def test_many_threads_get_their_own_rows():
    X = np.random.default_rng(0).normal(size=(400, 3))
    start = threading.Barrier(8)

    def client(k):
        start.wait(WAIT)
        return [batcher(X[i : i + 1 + i % 3]) for i in range(k, 390, 8)]

    with Batcher(lambda X: 2 * X, max_batch_size=5) as batcher, ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(client, range(8))):
            for i, part in zip(range(k, 390, 8), found, strict=True):
                np.testing.assert_array_equal(part, 2 * X[i : i + 1 + i % 3])
    assert batcher.stats()["largest_batch"] <= 5 and batcher.stats()["requests"] == 390


def test_batches_have_at_most_max_batch_size_rows_unless_a_request_has_more(held):
    with Batcher(held, max_batch_size=4) as batcher:
        occupy(batcher, held)
        futures = [batcher.submit(ROWS[:n]) for n in (2, 2, 1, 4, 12, 3)]
        held.open.set()
        assert [len(future.result(WAIT)) for future in futures] == [2, 2, 1, 4, 12, 3]
    assert held.sizes() == [1, 4, 1, 4, 12, 3]


def test_a_single_client_predicts_in_its_own_thread():
    threads = []
    batcher = Batcher(lambda X: threads.append(threading.current_thread()) or X)
    np.testing.assert_array_equal(batcher(ROWS), ROWS)
    assert threads == [threading.current_thread()] and batcher._thread is None
    batcher.close()


def test_max_wait_ms_waits_until_a_batch_is_full():
    predict = Held()
    predict.open.set()
    with Batcher(predict, max_batch_size=4, max_wait_ms=1000 * WAIT) as batcher:
        with ThreadPoolExecutor(4) as pool:
            assert [len(part) for part in pool.map(batcher, [ROWS[:1]] * 4)] == [1] * 4
        rest = batcher.submit(ROWS[:1])
    assert predict.sizes() == [4, 1] and len(rest.result(0)) == 1  # close ends the wait


# -- kinds of rows -----------------------------------------------------------------------------------------------------


def test_rows_of_different_dtypes_are_not_joined(held):
    with Batcher(held) as batcher:
        occupy(batcher, held)
        dtypes = [np.uint8, np.uint8, np.float32, np.int64]
        futures = [batcher.submit(ROWS[:1].astype(dtype)) for dtype in dtypes]
        held.open.set()
        assert [future.result(WAIT).dtype for future in futures] == dtypes
    assert held.sizes() == [1, 2, 1, 1]


def test_lists_of_files(held):
    held.function = lambda X: np.char.str_len(X)
    with Batcher(held) as batcher:
        first = batcher.submit(["a.png"])
        assert held.entered.acquire(timeout=WAIT)
        others = [batcher.submit(["bc.png", "d.png"]), batcher.submit(["efgh.png"])]
        held.open.set()
        assert [future.result(WAIT).tolist() for future in (first, *others)] == [[5], [6, 5], [8]]
    assert held.sizes() == [1, 3]


def test_bytes_of_files_stay_whole(held):
    """An array of bytes would drop trailing zeros."""
    held.function = lambda X: np.array([len(content) for content in X])
    with Batcher(held) as batcher:
        first = batcher.submit([b"a\0"])
        assert held.entered.acquire(timeout=WAIT)
        others = [batcher.submit((b"bcd\0\0", b"\0")), batcher.submit([b"e"])]
        held.open.set()
        assert [future.result(WAIT).tolist() for future in (first, *others)] == [[2], [5, 1], [1]]
        assert batcher([b"\0\0"]).tolist() == [2]
    assert held.sizes() == [1, 3, 1]


def test_image_files(tmp_path):
    """One path, several paths, and bytes, alone and joined, give the same images as the loader."""
    image = pytest.importorskip("PIL.Image")
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        image.fromarray(np.full((8, 8, 3), 50 * number, np.uint8)).save(path)
    predict = Held(ImageLoader(8).transform)
    texts, contents = list(map(str, paths)), [path.read_bytes() for path in paths]
    with Batcher(predict) as batcher:
        futures = [batcher.submit(texts[:1])]
        assert predict.entered.acquire(timeout=WAIT)
        futures += [
            batcher.submit(some) for some in (texts[1:2], texts[2:], paths[:1], paths[1:], contents[:1], contents)
        ]
        predict.open.set()
        levels = [future.result(WAIT)[:, 0, 0, 0].tolist() for future in futures]
    assert levels == [[0], [50], [100, 150], [0], [50, 100, 150], [0], [0, 50, 100, 150]]
    assert predict.sizes() == [1, 3, 9]  # strings are not joined with other objects


def test_frames(held):
    pd = pytest.importorskip("pandas")
    held.function = lambda X: X[["a"]] * 2
    X = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    with Batcher(held) as batcher:
        futures = [batcher.submit(X[:1])]
        assert held.entered.acquire(timeout=WAIT)
        futures += [batcher.submit(X[1:2]), batcher.submit(X[2:3]), batcher.submit(X[:1].rename(columns={"b": "c"}))]
        futures += [batcher.submit(X[1:2].astype({"a": float}))]
        held.open.set()
        assert [future.result(WAIT)["a"].tolist() for future in futures] == [[2], [4], [6], [2], [4]]
    assert held.sizes() == [1, 2, 1, 1]
    with Batcher(lambda X: X.str.len()) as batcher:
        assert batcher(X["b"]).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (ROWS[0], ValueError, r"X must have the shape \(n, 2\), like the first rows that were predicted, got \(2,\)"),
        (ROWS[:1, :1], ValueError, r"got \(1, 1\): use one Batcher for each shape"),
        (ROWS[:0], ValueError, r"X must have at least one row, got the shape \(0, 2\)"),
        (3.0, TypeError, "X must be an array, a list of rows, or a DataFrame of pandas, got a single float"),
        (csr_array(ROWS[:1]), TypeError, "got a single csr_array"),
        ("a.png", ValueError, r"X must hold one value per row, got the single path 'a.png': pass a list, \['a.png'\]"),
        (Path("a.png"), ValueError, r"got the single path 'a.png': pass a list, \['a.png'\]"),
        (b"abc", ValueError, r"got the bytes of one file: pass a list, \[X\]"),
        ({"a": [1]}, TypeError, "X must be an array, a list of rows, or a DataFrame of pandas, got dict"),
    ],
)
def test_wrong_rows_are_refused_where_they_are_passed(X, error, message):
    with Batcher(lambda X: X) as batcher:
        batcher(ROWS[:1])
        for call in (batcher, batcher.submit):
            with pytest.raises(error, match=message):
                call(X)
        assert batcher.stats()["requests"] == 1


def test_rows_that_predict_refuses_do_not_decide_the_shape():
    def predict(X):
        if X.ndim != 2:
            raise ValueError("needs two dimensions")
        return X

    with Batcher(predict) as batcher:
        for call in (batcher, lambda X: batcher.submit(X).result(WAIT)):
            with pytest.raises(ValueError, match="needs two dimensions"):
                call(ROWS[0])
        assert len(batcher(ROWS)) == 12


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_faulty_row_fails_its_client_alone(held):
    def double_finite(X):
        if np.isnan(X).any():
            raise ValueError(f"NaN among {len(X)} rows")
        return 2 * X

    held.function = double_finite
    with Batcher(held) as batcher:
        occupy(batcher, held)
        faulty = np.full((1, 2), np.nan)
        futures = [batcher.submit(X) for X in (ROWS[:2], faulty, ROWS[2:3])]
        held.open.set()
        np.testing.assert_array_equal(futures[0].result(WAIT), 2 * ROWS[:2])
        np.testing.assert_array_equal(futures[2].result(WAIT), 2 * ROWS[2:3])
        with pytest.raises(ValueError, match="NaN among 1 rows"):
            futures[1].result(WAIT)
        with pytest.raises(ValueError, match="NaN among 1 rows"):
            batcher(faulty)
    assert held.sizes() == [1, 4, 2, 1, 1, 1] and batcher.stats()["requests"] == 3


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda X: X[:1], r"one row for each of 3 rows, got an array of shape \(1, 2\)"),
        (lambda X: X.sum(), "one row for each of 3 rows, got float64"),
        (lambda X: [X, X, X], "one row for each of 3 rows, got list"),
        (lambda X: dict.fromkeys("abc", X), "one row for each of 3 rows, got dict"),
    ],
)
def test_a_wrong_number_of_predictions_is_an_error_for_all(held, predict, message):
    held.function = predict
    with Batcher(held) as batcher:
        occupy(batcher, held)
        futures = [batcher.submit(ROWS[:2]), batcher.submit(ROWS[2:3])]
        held.open.set()
        for future in futures:
            with pytest.raises(ValueError, match=message):
                future.result(WAIT)
    assert held.sizes() == [1, 3]


def test_a_full_queue_refuses(held):
    with Batcher(held, max_queue_size=2) as batcher:
        occupy(batcher, held)
        futures = [batcher.submit(ROWS[:1]) for _ in range(2)]
        for call in (batcher, batcher.submit):
            with pytest.raises(queue.Full, match="max_queue_size=2 requests are waiting already"):
                call(ROWS[:1])
        held.open.set()
        assert all(len(future.result(WAIT)) == 1 for future in futures)


def test_a_cancelled_request_is_not_predicted(held):
    with Batcher(held) as batcher:
        occupy(batcher, held)
        cancelled, kept = batcher.submit(ROWS[:1]), batcher.submit(ROWS[1:3])
        assert cancelled.cancel()
        held.open.set()
        assert len(kept.result(WAIT)) == 2
        with pytest.raises(CancelledError):
            cancelled.result(WAIT)
    assert held.sizes() == [1, 2]


def test_requests_that_waited_too_long_are_not_predicted(held, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sktricks.deploy._batcher.time.monotonic", lambda: now[0])
    with Batcher(held, timeout=5) as batcher:
        occupy(batcher, held)
        late = batcher.submit(ROWS[:1])
        now[0] = 104.0
        kept = batcher.submit(ROWS[:2])
        now[0] = 106.0
        held.open.set()
        assert len(kept.result(WAIT)) == 2
        with pytest.raises(TimeoutError, match="waited longer than timeout=5 seconds"):
            late.result(WAIT)
    assert held.sizes() == [1, 2] and batcher.stats()["requests"] == 2


def test_a_call_waits_no_longer_than_the_timeout(held):
    with Batcher(held, timeout=1e-3) as batcher:
        with pytest.raises(TimeoutError, match="(took|waited) longer than timeout=0.001 seconds"):
            batcher(ROWS[:1])
        held.open.set()


def test_a_timeout_of_predict_is_its_own():
    def predict(X):
        raise TimeoutError("of predict")

    with Batcher(predict, timeout=WAIT) as batcher, pytest.raises(TimeoutError, match="of predict"):
        batcher(ROWS)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"predict": 3}, TypeError, "predict must be a function such as model.predict_proba, got int"),
        ({"max_batch_size": 0}, ValueError, "max_batch_size must be an int above 0, got 0"),
        ({"max_queue_size": 2.5}, ValueError, "max_queue_size must be an int above 0, got 2.5"),
        ({"max_wait_ms": -1}, ValueError, "max_wait_ms must be a finite number of milliseconds, at least 0, got -1"),
        ({"timeout": 0}, ValueError, "timeout must be a finite number of seconds above 0, or None, got 0"),
    ],
)
def test_wrong_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        Batcher(**{"predict": len, **parameters})


# -- the end -----------------------------------------------------------------------------------------------------------


def test_close_predicts_what_waits(held):
    batcher = Batcher(held)
    futures = [occupy(batcher, held), *(batcher.submit(ROWS[:1]) for _ in range(3))]
    futures[0].add_done_callback(lambda future: batcher.close())  # by the thread of the batcher, which others join
    held.open.set()
    batcher.close()
    batcher.close()
    assert all(future.done() for future in futures) and not batcher._thread.is_alive()
    for call in (batcher, batcher.submit):
        with pytest.raises(RuntimeError, match="the Batcher is closed and accepts no more requests"):
            call(ROWS)


def test_close_can_cancel(held):
    batcher = Batcher(held)
    first, second = occupy(batcher, held), batcher.submit(ROWS[:1])
    second.add_done_callback(lambda future: held.open.set())
    batcher.close(cancel_futures=True)
    assert len(first.result(0)) == 1 and second.cancelled() and held.sizes() == [1]


def test_an_interpreter_exits_and_predicts_what_waits():
    code = """
import json
import threading
import numpy as np
from sktricks import Batcher, ImageLoader
entered, waiting = threading.Event(), threading.Event()
def predict(X):
    entered.set()
    waiting.wait()
    return X
batcher = Batcher(predict)
batcher.submit(np.ones((1, 2)))
entered.wait()
batcher.submit(np.ones((1, 2))).add_done_callback(lambda future: print(json.dumps(future.result().tolist())))
waiting.set()
"""
    assert fresh(code, OPTIONAL) == [[1, 1]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
def test_a_fork_has_a_thread_of_its_own():
    code = """
import json
import os
import threading
import numpy as np
from sktricks import Batcher, ImageLoader
parent, entered, waiting = os.getpid(), threading.Event(), threading.Event()
def predict(X):
    if os.getpid() == parent:
        entered.set()
        waiting.wait()
    return X
batcher = Batcher(predict)
futures = [batcher.submit(np.ones((1, 2)))]
entered.wait()
futures.append(batcher.submit(np.ones((1, 2))))
child = os.fork()
if child == 0:
    assert batcher.stats()["waiting"] == 0
    assert len(batcher.submit(np.ones((3, 2))).result(60)) == 3
    assert len(batcher(np.ones((3, 2)))) == 3
    batcher.close()
    os._exit(0)
waiting.set()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps([status, *(len(future.result(60)) for future in futures)]))
"""
    assert fresh(code, OPTIONAL) == [0, 1, 1]
