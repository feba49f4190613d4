"""The cost of progress bars: verbose=1 against verbose=0, for an encoding, the fit of a net and a vote.

The script measures the processor time of all threads of the process, including the one that updates the display. Bars
are written to memory instead of a terminal. Jobs with and without bars alternate, and the ratio is that of the medians.
This cost is smaller than the difference between two runs of a job. Therefore it is also counted: the numbers of steps
and display updates of a run, times the processor time of each, as a fraction of the job.

``python benchmarks/bench_progress.py`` takes about three minutes.
"""

import contextlib
import io
import time
from statistics import median

import numpy as np
from _common import make_parser, print_table, start
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sktricks import NetClassifier, PretrainedFeatures
from sktricks._progress import INTERVAL, Bar, progress
from sktricks.ensemble import VotingClassifier

N_STEPS, N_DRAWINGS = 100_000, 300


def encoding(verbose):
    images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3)).astype(np.uint8)
    return lambda: PretrainedFeatures("tiny32", cache=None, verbose=verbose).fit_transform(images)


def fit(verbose):
    X, y = make_classification(3000, 20, n_informative=10, random_state=0)
    return lambda: NetClassifier(max_epochs=10, batch_size=64, verbose=verbose, random_state=0).fit(X, y)


def vote(verbose):
    X, y = make_classification(1000, 20, n_informative=10, random_state=0)
    members = [("forest", RandomForestClassifier(50, random_state=0)), ("line", LogisticRegression())]
    members += [("net", NetClassifier(max_epochs=5, random_state=0))]
    return lambda: VotingClassifier(members, voting="soft", weights="nnls", verbose=verbose).fit(X, y)


JOBS = {"encoding": encoding, "fit of a net": fit, "vote": vote}


def seconds(run):
    began = time.process_time()
    run()
    return time.process_time() - began


@contextlib.contextmanager
def counting():
    """Count steps and display updates inside."""
    counts = {"move": 0, "draw": 0}
    originals = {name: getattr(Bar, name) for name in counts}

    def counted(name):
        def call(self, *args):
            counts[name] += 1
            return originals[name](self, *args)

        return call

    for name in counts:
        setattr(Bar, name, counted(name))
    yield counts
    for name, original in originals.items():
        setattr(Bar, name, original)


def cost_of_one():
    """Return the processor time of a step and of a display update, in seconds."""
    with progress(N_STEPS, "fit", "epoch", 1) as bar:
        step = seconds(lambda: [bar.step(0.5, "train_loss=0.1") for _ in range(N_STEPS)]) / N_STEPS
        bar.started -= 60  # makes it visible
        draw = seconds(lambda: [bar.draw() for _ in range(N_DRAWINGS)]) / N_DRAWINGS
    return step, draw


def measure(job, n_rounds, step, draw):
    silent, shown = (job(verbose) for verbose in (0, 1))
    times = [(seconds(silent), seconds(shown)) for _ in range(n_rounds)]
    before, after = (median(column) for column in zip(*times, strict=True))
    with counting() as counts:
        shown()
    counted = counts["move"] * step + counts["draw"] * draw
    return [f"{before:.2f}", f"{after / before - 1:+.1%}", counts["move"], counts["draw"], f"{counted / before:.3%}"]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    start("The cost of progress bars", args.threads)
    with contextlib.redirect_stderr(io.StringIO()):
        step, draw = cost_of_one()
    print(f"a step takes {step * 1e6:.2f} us, a drawing {draw * 1e6:.0f} us, every {INTERVAL} s")
    for name, make in JOBS.items():
        with contextlib.redirect_stderr(io.StringIO()):
            row = [name, *measure(make, args.rounds, step, draw)]
        print_table(["job", "verbose=0, s", "verbose=1", "steps", "drawings", "of the job"], [row])


if __name__ == "__main__":
    main()
