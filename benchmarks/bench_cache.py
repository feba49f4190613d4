"""A grid search over the head of a frozen net: with the cache of features, and without.

Six values x five folds on 600 images of 32 x 32 (uint8). The net has ResNet-18's size and random weights. Four
searches:

head     PretrainedFeatures, a StandardScaler and a LogisticRegression, over C
tuner    FineTuneClassifier on the same net, over lr; ten epochs of SGD per fit
default  FineTuneClassifier() on the bundled net with its defaults, over lr
stage    FineTuneClassifier(freeze_until="stage3") on the bundled net, whose last stage is trained for ten epochs

Each runs without a cache, with an empty cache, and again with the filled cache. ``head`` also runs with scikit-learn's
``Pipeline(memory=...)`` instead of the cache, with a folder, and on precomputed features, which is the upper limit for
any cache; ``head`` and ``tuner`` also run in two processes that share a folder. Scores must be bitwise equal, and the
rows that the net encodes are counted.

Processor seconds are those of this process only. Ratios are of processor time, which depends less on the load of the
machine, except for two processes.
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
    """Return the wall seconds, the processor seconds and the scores of a search."""
    model, grid = task
    wall, processor = time.perf_counter(), time.process_time()
    done = GridSearchCV(model, grid, cv=FOLDS, n_jobs=n_jobs).fit(X, y)
    took = time.perf_counter() - wall, time.process_time() - processor
    scores = np.array([done.cv_results_[f"split{split}_test_score"] for split in range(FOLDS)])
    return *took, scores


def cold_and_warm(make, cache, run):
    """Run two searches with one cache, and count the rows that the net encodes in each."""
    before = cache.info().encoded
    cold = run(make(cache))
    between = cache.info().encoded
    warm = run(make(cache))
    return {"cold": (*cold, between - before), "warm": (*warm, cache.info().encoded - between)}


def run_on_features(backbone, run):
    features = PretrainedFeatures(backbone, cache=None, device="cpu").fit_transform(run.keywords["X"])
    return *run(head_alone(backbone, None), X=features), 0


def measure_head(backbone, run):
    """Measure all ways to search over the logistic regression."""
    results = {"no cache": (*run(head(backbone, None)), "18,600")}
    with tempfile.TemporaryDirectory() as folder:
        results["Pipeline(memory=)"] = *run(head(backbone, None, memory=folder)), ""
    for name, result in cold_and_warm(partial(head, backbone), FeatureCache(), run).items():
        results[f"cache, {name}"] = result
    with tempfile.TemporaryDirectory() as folder:
        results["cache in a new folder"] = cold_and_warm(partial(head, backbone), FeatureCache(folder), run)["cold"]
        again = FeatureCache(folder)
        results["cache in that folder, next process"] = *run(head(backbone, again)), again.info().encoded
    results["precomputed features, without a net"] = run_on_features(backbone, run)
    return results


def measure_processes(make, backbone, run):
    """Measure two processes, without a cache and with a folder; a row counts as often as it was written."""
    in_two = partial(run, n_jobs=2)
    in_two(make(backbone, None))  # the processes start and import
    results = {"two processes, no cache": (*in_two(make(backbone, None)), "18,600")}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a new folder", "that folder again"):
            before = FeatureCache(folder).info().rows_in_folder
            result = in_two(make(backbone, folder))
            results[f"two processes, {name}"] = *result, FeatureCache(folder).info().rows_in_folder - before
    if make is head:
        results["two processes, precomputed features"] = run_on_features(backbone, in_two)
    return results


def measure_training(make, every_row, backbone, run):
    results = {"no cache": (*run(make(backbone, None)), every_row)}
    for name, result in cold_and_warm(partial(make, backbone), FeatureCache(), run).items():
        results[f"cache, {name}"] = result
    return results


def measure_default(backbone, run):
    results = {"cache=None": (*run(default(backbone, None)), "18,600")}
    clear_cache()
    for name in ("defaults", "defaults, again"):
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
    """Return one row per way: medians, the ratio to the first way, rows encoded, and whether the scores are equal."""
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
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all ways alternate (default: 3)")
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
