"""
Serve over HTTP
===============

MOSEC (https://github.com/mosecorg/mosec, Apache-2.0) receives requests, combines their rows into batches, and predicts
them with a file that ``export_onnx`` wrote. Server and client::

    pip install mosec "sktricks[onnx]"
    python examples/serve_mosec.py model.onnx --address 127.0.0.1 --port 8000
    python examples/serve_mosec.py rows.npy

A request is the content of an ``.npy`` file with one or more rows. The reply is JSON: ``{"probabilities": [[...]]}`` or
``{"error": "..."}``. An exception in MOSEC fails the whole batch, so the server catches the errors of single requests.
"""

import io
import json
import sys
import urllib.request

import numpy as np

from sktricks import OnnxModel

try:
    from mosec import Server, Worker  # pyright: ignore[reportMissingImports]
except ImportError:
    print('This example needs MOSEC, which is not installed: pip install mosec "sktricks[onnx]"')
    sys.exit(0)


class Model(Worker):
    def __init__(self):
        self.model = OnnxModel(sys.argv[1])

    def deserialize(self, data):
        return data

    def forward(self, data):
        try:
            rows = [np.load(io.BytesIO(one), allow_pickle=False) for one in data]
            found = self.model.predict_proba(np.concatenate(rows))
        except Exception as error:  # a request is faulty: predict one by one
            return [{"error": str(error)}] if len(data) == 1 else [self.forward([one])[0] for one in data]
        ends = np.cumsum([len(one) for one in rows])
        return [{"probabilities": part.tolist()} for part in np.split(found, ends[:-1])]


def predict_proba(rows, url="http://127.0.0.1:8000/inference"):
    body = io.BytesIO()
    np.save(body, rows)
    with urllib.request.urlopen(url, data=body.getvalue()) as reply:
        found = json.load(reply)
    if "error" in found:
        raise ValueError(found["error"])
    return np.array(found["probabilities"])


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(__doc__)
    elif sys.argv[1].endswith(".npy"):
        print(predict_proba(np.load(sys.argv[1])))
    else:
        server = Server()
        server.append_worker(Model, max_batch_size=64, max_wait_time=1)  # 1 ms, the minimum: 0 means 10 ms
        server.run()
