"""Many clients: 16 threads that share one model, with and without a Batcher.

Each client predicts one image of 32 x 32 pixels after the other with a fine-tuned tiny32, and then single rows of a
table with NetClassifier's defaults. Every call gets a different row. The table shows rows per second of processor time
(of all threads), rows per second, and the 50th and 99th percentile of the time per call, with 16 clients and with one.
The figures are medians of several rounds in which all ways alternate. torch and OnnxModel have ``--threads`` threads;
the ONNX session, which the clients share, has onnxruntime's defaults.

MOSEC, if it is installed (``pip install mosec``, on Linux), serves the image model with examples/serve_mosec.py. Its
processor time is that of the server, without the HTTP clients.

Aims with 16 clients and one image, in rows per second of processor time: OnnxModel with a Batcher predicts 5 times as
many as single calls of predict_proba, and 1.3 times as many as direct calls of an ONNX session.
"""

import http.client
import importlib.util
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from _common import make_parser, print_table, start
from sklearn.datasets import make_classification

from sktricks import Batcher, FineTuneClassifier, NetClassifier, OnnxModel, export_onnx

PORT = 8763
SERVER = Path(__file__).parents[1] / "examples" / "serve_mosec.py"

# -- the calls ---------------------------------------------------------------------------------------------------------


def fit_images():
    """Return a fitted net for images, and held-out images."""
    images = np.random.default_rng(0).integers(0, 256, (4000, 32, 32, 3)).astype(np.uint8)
    net = FineTuneClassifier(strategy="fine-tune", max_epochs=1, random_state=0)
    return net.fit(images[:60], np.arange(60) % 10), images[60:]


def fit_table():
    """Return a fitted net for a table of 30 columns, and its rows."""
    X, y = make_classification(4000, 30, n_informative=12, random_state=0)
    X = X.astype(np.float32)
    return NetClassifier(max_epochs=2, random_state=0).fit(X, y), X


def make_ways(net, path, X, n_threads, exits):
    """Return functions that predict one row, by name, each with a function that returns the used processor time."""
    model = OnnxModel(path, n_threads=n_threads)
    session, name = onnxruntime.InferenceSession(path), model.inputs[0][0]
    batcher = exits.enter_context(Batcher(net.predict_proba))
    fast_batcher = exits.enter_context(Batcher(model.predict_proba))
    ways = {
        "predict_proba": net.predict_proba,
        "predict_proba, Batcher": batcher,
        "ONNX session": lambda row: session.run(["probabilities"], {name: row})[0],
        "OnnxModel": model.predict_proba,
        "OnnxModel, Batcher": fast_batcher,
    }
    for way in ways.values():
        assert np.allclose(way(X[:1]), net.predict_proba(X[:1]), atol=1e-4)
    return {way: (function, time.process_time) for way, function in ways.items()}


@contextmanager
def serve(path, n_threads):
    """Serve a model with MOSEC; yield a function that predicts one row, and the processor time of the server."""
    command = [sys.executable, SERVER, path, "--address", "127.0.0.1", "--port", str(PORT), "--log-level", "error"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
    server = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    local = threading.local()

    def call(row):
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", PORT)
        body = io.BytesIO()
        np.save(body, row)
        local.connection.request("POST", "/inference", body.getvalue())
        reply = local.connection.getresponse()
        content = reply.read()
        assert reply.status == 200 and b"probabilities" in content, content
        return content

    try:
        deadline = time.monotonic() + 60
        while not is_open(PORT):
            assert server.poll() is None and time.monotonic() < deadline, "MOSEC did not start"
            time.sleep(0.2)
        yield call, lambda: time_of_group(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def is_open(port):
    """Return True if a process listens on a port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def time_of_group(group):
    """Return the processor time of the running processes of a group in seconds, from Linux's /proc."""
    total = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(function, spent, X, n_clients, n_calls):
    """Return rows per second of processor time, rows per second, and the seconds of each call."""
    ready = threading.Barrier(n_clients + 1)

    def client(k):
        ready.wait()
        times = [time.perf_counter()]
        for i in range(k, n_calls, n_clients):
            function(X[i % len(X)][None])
            times.append(time.perf_counter())
        return np.diff(times)

    with ThreadPoolExecutor(n_clients) as pool:
        clients = [pool.submit(client, k) for k in range(n_clients)]
        before, began = spent(), time.perf_counter()
        ready.wait()
        times = np.concatenate([one.result() for one in clients])
        used, took = spent() - before, time.perf_counter() - began
    return n_calls / used, n_calls / took, *(1000 * np.percentile(times, (50, 99)))


def compare(ways, X, n_clients, n_calls, rounds):
    """Return median figures by name; the slowest way gets a quarter of the calls."""
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (function, spent) in ways.items():
            calls = n_calls // 4 if name == "predict_proba" else n_calls
            found[name].append(measure(function, spent, X, n_clients, calls))
    return {name: np.median(figures, axis=0) for name, figures in found.items()}


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which all ways alternate (default: 5)")
    parser.add_argument("--calls", type=int, default=800, help="calls per round (default: 800)")
    parser.add_argument("--clients", type=int, default=16, help="threads (default: 16)")
    args = parser.parse_args()
    start("Many clients", args.threads)
    header = ["rows per second of processor", "times the first", "rows per second", "p50, ms", "p99, ms"]
    for title, fit in {"one image": fit_images, "one row of a table": fit_table}.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
            net, X = fit()
            path = Path(folder) / "model.onnx"
            export_onnx(net, path, X[:200])
            ways = make_ways(net, path, X, args.threads, exits)
            if title == "one image" and importlib.util.find_spec("mosec") and sys.platform == "linux":
                ways["MOSEC"] = exits.enter_context(serve(path, args.threads))
            for n_clients in (args.clients, 1):
                figures = compare(ways, X, n_clients, args.calls // (4 if n_clients == 1 else 1), args.rounds)
                least = figures["predict_proba"][0]
                rows = [
                    [name, f"{cpu:.0f}", f"{cpu / least:.1f}", f"{wall:.0f}", f"{p50:.2f}", f"{p99:.2f}"]
                    for name, (cpu, wall, p50, p99) in figures.items()
                ]
                print_table([f"{title}, {n_clients} clients", *header], rows)


if __name__ == "__main__":
    main()
