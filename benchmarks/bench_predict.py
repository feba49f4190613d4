"""One prediction: predict_proba for one row of a table or one image, compared with a call of the bare module.

The bare module is what a practitioner calls in PyTorch: the layers of the fitted net on a standardized row in float32,
from numpy and back to numpy, with softmax, without gradients and without a check of the input. NetClassifier has its
defaults, and gets the raw row.

For an image, the bare module is the fitted net, tiny32 and its head, called with a normalized image. FineTuneClassifier
gets a different uint8 image in each call, so no features are cached.

The figures are processor time per call, the smallest mean over several rounds in which the two alternate.
"""

import copy
import itertools
import time
from functools import partial

import numpy as np
import torch
from _common import make_parser, print_table, start
from sklearn.datasets import make_classification
from torch import nn

from sktricks import FineTuneClassifier, NetClassifier, load_backbone

# -- the calls ---------------------------------------------------------------------------------------------------------


def table_calls():
    """Return the calls for one row of 30 columns, by name, the bare module first."""
    X, y = make_classification(2000, 30, n_informative=12, random_state=0)
    net = NetClassifier(max_epochs=2, random_state=0).fit(X, y)
    module = copy.deepcopy(net.net_.module_).eval()
    row, standardized = X[:1], module.standardize(torch.from_numpy(X[:1])).float().numpy()
    module.standardize = nn.Identity()
    assert np.allclose(net.predict_proba(row), bare(module, standardized), atol=1e-5)
    return {
        "bare module": lambda: bare(module, standardized),
        "predict_proba": lambda: net.predict_proba(row),
        "predict": lambda: net.predict(row),
    }


@torch.no_grad()
def bare(module, x):
    """Return the probabilities that a module in evaluation mode gives, as PyTorch's users call it."""
    return module(torch.from_numpy(x)).softmax(1).numpy()


def image_calls(strategy):
    """Return the calls for one image of 32 x 32 pixels, by name, the bare module first."""
    images = np.random.default_rng(0).integers(0, 256, (4000, 1, 32, 32, 3)).astype(np.uint8)
    net = FineTuneClassifier(strategy=strategy, max_epochs=1, random_state=0).fit(images[:60, 0], np.arange(60) % 3)
    module, others = net.net_.module_.eval(), itertools.cycle(images[60:])
    preprocess = load_backbone("tiny32", image_shape=(32, 32, 3)).preprocess
    x = preprocess(torch.from_numpy(images[0]).permute(0, 3, 1, 2) / 255).contiguous().numpy()
    assert np.allclose(net.predict_proba(images[0]), bare(module, x), atol=1e-5)
    return {
        "bare module": lambda: bare(module, x),
        "predict_proba": lambda: net.predict_proba(next(others)),
        "predict": lambda: net.predict(next(others)),
    }


CALLS = {
    "one row of a table": table_calls,
    "one image, linear probe": partial(image_calls, "linear-probe"),
    "one image, fine-tuned": partial(image_calls, "fine-tune"),
}

# -- measuring ---------------------------------------------------------------------------------------------------------


def time_calls(calls, rounds, n_calls):
    """Return the processor time per call in microseconds, by name."""
    best = {}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            started = time.process_time()
            for _ in range(n_calls):
                call()
            seconds = (time.process_time() - started) / n_calls
            best[name] = min(best.get(name, seconds), seconds)
    return {name: 1e6 * seconds for name, seconds in best.items()}


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds in which the calls alternate (default: 20)")
    parser.add_argument("--calls", type=int, default=100, help="calls per round (default: 100)")
    parser.add_argument("--only", nargs="+", default=[*CALLS], choices=[*CALLS], help="calls to measure (default: all)")
    args = parser.parse_args()
    start("One prediction", args.threads)
    for title in args.only:
        times = time_calls(CALLS[title](), args.rounds, args.calls)
        least = next(iter(times.values()))
        rows = [[name, f"{spent:.0f}", f"{spent / least:.2f}"] for name, spent in times.items()]
        print_table([title, "µs of processor time", "times the bare module"], rows)


if __name__ == "__main__":
    main()
