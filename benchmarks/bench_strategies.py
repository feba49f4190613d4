"""The choice of ``strategy="auto"``: all strategies with their defaults, by labels per class, task and pretrained net.

The tasks are scikit-learn's digits, MNIST, CIFAR-10 and digits printed in the fonts of a folder; none of them was in
the pretraining of any net. Besides the bundled tiny32, the nets are other weights for it from ``pretrain_tiny32.py``,
such as an early checkpoint, or weights pretrained only on letters. If the pretraining is far from the task, more layers
should be trained.

The script prints a line for each finished strategy, and a table at the end.
"""

import os
import time
import warnings
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, start
from bench_few_shot import mean_and_error, read_sets, split

from sktricks import FineTuneClassifier, SlowFitWarning
from sktricks.transfer._strategies import STRATEGIES, auto_strategy

SETS = ("digits", "mnist", "cifar10", "printed")
PRINTED_SIDE = 16  # pixels


def print_digits(folder, side=PRINTED_SIDE):
    """Render each digit in each font of ``folder``: rows of pixels, bright on dark, and labels."""
    from PIL import Image, ImageDraw, ImageFont

    X, y = [], []
    for path in sorted(
        path for path in Path(folder).expanduser().rglob("*") if path.suffix.lower() in {".ttf", ".otf"}
    ):
        try:
            font = ImageFont.truetype(str(path), 4 * side)
            boxes = [font.getbbox(str(digit)) for digit in range(10)]
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if any(bytes(font.getmask(str(digit))) in (missing, b"") for digit in range(10)):
            continue
        for digit, (left, top, right, bottom) in enumerate(boxes):
            edge = round(1.25 * max(right - left, bottom - top))
            image = Image.new("L", (edge, edge))
            place = (edge - right - left) // 2, (edge - bottom - top) // 2
            ImageDraw.Draw(image).text(place, str(digit), font=font, fill=255)
            X.append(np.asarray(image.resize((side, side), Image.BILINEAR)).ravel())
            y.append(digit)
    return np.stack(X), np.asarray(y)


def read_tasks(args):
    """Yield the data sets of :func:`bench_few_shot.read_sets`, and the printed digits."""
    yield from read_sets(args)
    if args.fonts:
        yield "printed", *print_digits(args.fonts), (PRINTED_SIDE, PRINTED_SIDE)


def measure(X, y, shape, labels, args):
    """Return mean and standard error of each strategy."""
    results = {}
    for strategy in STRATEGIES:
        scores, started = [], time.perf_counter()
        for seed in range(args.splits):
            train, test = split(y, labels, args.test_rows, seed)
            net = FineTuneClassifier(image_shape=shape, strategy=strategy, random_state=seed)
            scores.append(100 * float(net.fit(X[train], y[train]).score(X[test], y[test])))
        results[strategy] = mean_and_error(np.array(scores))
        seconds = (time.perf_counter() - started) / args.splits
        mean, error = results[strategy]
        print(f"  {labels:4} {strategy:12} {mean:5.1f} ± {error:.1f}  {seconds:6.1f} s per split", flush=True)
    return results


def regret(results, labels):
    """Return the difference in points between the best strategy and ``"auto"``."""
    return max(mean for mean, _ in results.values()) - results[auto_strategy(labels)][0]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--mnist", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--cifar10", metavar="PATH", help="an .npz file with X and y")
    parser.add_argument("--fonts", metavar="FOLDER", help="folder of .ttf and .otf files, for printed digits")
    parser.add_argument("--sets", nargs="+", choices=SETS[:3], default=list(SETS[:3]), help="default: all")
    parser.add_argument("--weights", nargs="+", metavar="NAME=PATH", default=[], help="other weights for tiny32")
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 50, 100], help="per class (default: 10 50 100)")
    parser.add_argument("--splits", type=int, default=3, help="default: 3")
    parser.add_argument("--test-rows", type=int, default=1000, help="maximum number (default: 1000)")
    args = parser.parse_args()
    start("Strategies", args.threads)
    warnings.simplefilter("ignore", SlowFitWarning)
    rows = []
    for name, X, y, shape in read_tasks(args):
        for net, path in [("tiny32", ""), *(item.split("=", 1) for item in args.weights)]:
            os.environ["SKTRICKS_TINY32"] = path
            print(f"{name}, {net}")
            for labels in args.labels:
                results = measure(X, y, shape, labels, args)
                best = max(mean for mean, _ in results.values())
                marks = ["**" if mean == best else "" for mean, _ in results.values()]
                cells = [f"{mark}{m:.1f} ± {e:.1f}{mark}" for mark, (m, e) in zip(marks, results.values(), strict=True)]
                rows.append([name, net, labels, *cells, f"{regret(results, labels):.1f}"])
    print(f"\nAccuracy in %, mean ± standard error of {args.splits} splits; the last column is the loss of auto.")
    print_table(["task", "net", "labels per class", *STRATEGIES, "auto loses"], rows)


if __name__ == "__main__":
    main()
