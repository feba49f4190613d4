"""A grid search over the head of a frozen net: with the cache of features, and without.

Six values x five folds on 600 images of 32 x 32 (uint8). The net has ResNet-18's size and random weights. Four
searches:

head     PretrainedFeatures, a StandardScaler and a LogisticRegression, over C
tuner    FineTuneClassifier on the same net, over lr; ten epochs of SGD a fit
default  FineTuneClassifier() on the bundled net as it comes, over lr; nothing else set
stage    FineTuneClassifier(freeze_until="stage3") on the bundled net, whose last stage is trained for ten epochs

Each runs without a cache, with an empty one and once more with what that has kept. ``head`` also runs with
scikit-learn's ``Pipeline(memory=...)`` in place of the cache, with a folder, and on features that are there already,
which no cache can beat; ``head`` and ``tuner`` in two processes that share a folder.
Scores are compared to the bit, and the rows that went through the net are counted.

Seconds of the processor are those of this process alone; the ratios are theirs, but for two processes, since other work
on the machine disturbs them less.
"""

import statistics
import tempfile
import time
from functools import partial

import numpy as np
from _common import make_parser, print_table, start
from _nets import make_backbone, make_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import FeatureCache, FineTuneClassifier, PretrainedFeatures, cache_info, clear_cache

N_IMAGES, FOLDS, EPOCHS = 600, 5, 10


def head(backbone, cache, memory=None):
    features = PretrainedFeatures(backbone, cache=cache, device="cpu")
    model = make_pipeline(features, StandardScaler(), LogisticRegression(), memory=memory)
    return model, {"logisticregression__C": np.logspace(-4, -1, 6)}


def head_alone(backbone, cache):
    """Return the part of ``head`` without encoding."""
    model, grid = head(backbone, cache)
    return model[1:], grid


def tuner(backbone, cache):
    settings = {"strategy": "linear-probe", "max_epochs": EPOCHS, "device": "cpu", "random_state": 0}
    return FineTuneClassifier(backbone, cache=cache, **settings), {"lr": np.logspace(-4, -2, 6)}


def default(backbone, cache):
    model = FineTuneClassifier(random_state=0)
    return model if cache == "auto" else model.set_params(cache=cache), {"lr": np.logspace(-4, -2, 6)}


def stage(backbone, cache):
    settings = {"freeze_until": "stage3", "max_epochs": EPOCHS, "device": "cpu", "random_state": 0}
    return FineTuneClassifier(cache=cache, **settings), {"lr": np.logspace(-4, -2, 6)}


def search(task, X, y, n_jobs=None):
    """Seconds, seconds of the processor and the scores of a search."""
    model, grid = task
    wall, processor = time.perf_counter(), time.process_time()
    done = GridSearchCV(model, grid, cv=FOLDS, n_jobs=n_jobs).fit(X, y)
    took = time.perf_counter() - wall, time.process_time() - processor
    scores = np.array([done.cv_results_[f"split{split}_test_score"] for split in range(FOLDS)])
    return *took, scores


def cold_and_warm(make, cache, run):
    """Two searches with one cache, and how many rows each sent through the net."""
    before = cache.info().encoded
    cold = run(make(cache))
    between = cache.info().encoded
    warm = run(make(cache))
    return {"cold": (*cold, between - before), "warm": (*warm, cache.info().encoded - between)}


def run_on_features(backbone, run):
    features = PretrainedFeatures(backbone, cache=None, device="cpu").fit_transform(run.keywords["X"])
    return *run(head_alone(backbone, None), X=features), 0


def measure_head(backbone, run):
    """Every way to search over the logistic regression."""
    results = {"no cache": (*run(head(backbone, None)), "18,600")}
    with tempfile.TemporaryDirectory() as folder:
        results["Pipeline(memory=)"] = *run(head(backbone, None, memory=folder)), ""
    for name, result in cold_and_warm(partial(head, backbone), FeatureCache(), run).items():
        results[f"cache, {name}"] = result
    with tempfile.TemporaryDirectory() as folder:
        results["cache in a new folder"] = cold_and_warm(partial(head, backbone), FeatureCache(folder), run)["cold"]
        again = FeatureCache(folder)
        results["cache in that folder, next process"] = *run(head(backbone, again)), again.info().encoded
    results["no net at all, on its features"] = run_on_features(backbone, run)
    return results


def measure_processes(make, backbone, run):
    """Two processes, without a cache and with a folder; a row counts as often as it was written."""
    in_two = partial(run, n_jobs=2)
    in_two(make(backbone, None))  # the processes start and import
    results = {"two processes, no cache": (*in_two(make(backbone, None)), "18,600")}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a new folder", "that folder again"):
            before = FeatureCache(folder).info().rows_in_folder
            result = in_two(make(backbone, folder))
            results[f"two processes, {name}"] = *result, FeatureCache(folder).info().rows_in_folder - before
    if make is head:
        results["two processes, no net at all"] = run_on_features(backbone, in_two)
    return results


def measure_training(make, every_row, backbone, run):
    results = {"no cache": (*run(make(backbone, None)), every_row)}
    for name, result in cold_and_warm(partial(make, backbone), FeatureCache(), run).items():
        results[f"cache, {name}"] = result
    return results


def measure_default(backbone, run):
    results = {"cache=None": (*run(default(backbone, None)), "18,600")}
    clear_cache()
    for name in ("nothing set", "nothing set, again"):
        before = cache_info().encoded
        result = run(default(backbone, "auto"))
        results[name] = *result, cache_info().encoded - before
    return results


PARTS = {
    "head": measure_head,
    "processes": partial(measure_processes, head),
    "tuner_processes": partial(measure_processes, tuner),
    "tuner": partial(measure_training, tuner, "18,600"),
    "default": measure_default,
    "stage": partial(measure_training, stage, "150,600"),  # in every epoch
}


def summarize(rounds, timed_by):
    """A row for each way: medians, how much faster than the first, rows encoded, whether the scores are the same."""
    ways = list(rounds[0])
    medians = {way: [statistics.median(done[way][k] for done in rounds) for k in (0, 1)] for way in ways}
    first = ways[0]
    for way in ways:
        wall, processor = medians[way]
        same = all(np.array_equal(done[way][2], done[first][2]) for done in rounds)
        faster = medians[first][timed_by] / medians[way][timed_by]
        yield [way, f"{wall:.2f}", f"{processor:.2f}", f"{faster:.1f}", rounds[-1][way][3], "yes" if same else "NO"]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns (default: 3)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    start("A grid search over the head of a frozen net", args.threads)
    X, y = make_images(N_IMAGES)
    backbone, run = make_backbone(), partial(search, X=X, y=y)
    run(head(backbone, None))  # warms up
    for part in args.parts:
        rounds = []
        for number in range(args.rounds):
            rounds.append(PARTS[part](backbone, run))
            took = ", ".join(f"{way} {result[0]:.1f} s" for way, result in rounds[-1].items())
            print(f"{part}, round {number + 1} of {args.rounds}: {took}", flush=True)
        header = [part, "s", "s of the processor", "times as fast", "rows encoded", "same scores"]
        print_table(header, summarize(rounds, timed_by=0 if "processes" in part else 1))


if __name__ == "__main__":
    main()
