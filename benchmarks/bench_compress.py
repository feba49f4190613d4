"""Distillation and pruning: the accuracy that a smaller model keeps, and its speed.

``distill``: NetClassifier() alone, a teacher, and the same net as its student, trained on the classes that the teacher
predicts ("hard labels", the baseline) or on its probabilities (DistilledClassifier). The students get three times as
many unlabeled rows as the teacher has labeled ones. Accuracy and log loss are measured on held-out rows. "Gain kept"
is the mean gain in accuracy of the student over the net alone, divided by that of the teacher. "Speed" is the processor
time of the teacher's ``predict_proba`` divided by that of the student, for one row and for 1,000 rows, the median over
the seeds.

Each seed draws other labeled, unlabeled and test rows, and other initial weights. ``--data`` adds ``.npz`` files of
images (X, y), as tables of their first 60 principal components.

``prune``: tiny32 on the given ``.npz`` files (X, y), lite0 on the given folders of photos (one subfolder per class),
fine-tuned on ``--rows`` rows. Half of the channels are removed independent of the score (``max_score_drop=None``), so
no rows are held out and the full cost is visible. The pruned net is compared with other nets of at most the same
latency: the same net with all channels, fine-tuned on fewer pixels; and, for tiny32, one with half of the channels,
trained from scratch for as many epochs as fine-tuning and pruning take together. All nets are exported. Accuracy is
that of the files on held-out rows; speed is the processor time of the whole net in float32 divided by that of the file,
for 1 and for 64 images, with one thread, the median of rounds in which all files alternate; size is that of the file as
a fraction of the whole net's.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import (
    DistilledClassifier,
    FineTuneClassifier,
    ImageLoader,
    NetClassifier,
    NetEnsembleClassifier,
    OnnxModel,
    VotingClassifier,
    export_onnx,
    load_backbone,
    prune,
)

N_TEST = 2000


def nets(seed):
    return NetEnsembleClassifier(NetClassifier(), n_members=8, random_state=seed)


def vote(seed):
    members = [
        ("forest", RandomForestClassifier(300, random_state=seed)),
        ("trees", ExtraTreesClassifier(300, random_state=seed)),
        ("svc", CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC()))),
    ]
    return VotingClassifier(members, voting="soft")


def digits(seed):
    X, y = load_digits(return_X_y=True)
    return X, y


def clusters(seed, **params):
    return make_classification(4000, **params, random_state=seed)


def thresholds(seed, n=4000, n_classes=5, noise=0.1):
    """Draw columns of many scales, some of them integers; classes are products of steps, and 10 % are random."""
    rng = np.random.default_rng(seed)
    scales = np.array([280.0, 100, 10, 250, 60, 2000, 1, 1, 1, 1])
    X = np.column_stack([rng.gumbel(size=(n, 10)) * scales, rng.integers(0, 4, n), rng.integers(0, 40, n)])
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    scores = np.zeros((n, n_classes))
    for column in np.repeat(np.arange(n_classes), 5):
        smooth, step = Z[:, rng.choice(8, 2, replace=False)].T - rng.normal(size=(2, 1))
        scores[:, column] += np.tanh(smooth) * np.sign(step)
    y = scores.argmax(axis=1)
    return X, np.where(rng.random(n) < noise, rng.integers(0, n_classes, n), y)


def components(path):
    """Return a function of a seed that returns the images of a file as a table."""
    X, y = read_arrays(path)
    X = PCA(60, random_state=0).fit_transform(X.reshape(len(X), -1) / 255)
    return lambda seed: (X, y)


TEACHERS = {"eight nets": nets, "forests and SVC": vote}
WIDE = {"n_features": 100, "n_informative": 20, "n_classes": 5}
NOISY = {"n_features": 40, "n_informative": 20, "n_classes": 10, "n_clusters_per_class": 1, "class_sep": 0.7}
# Each task: teacher, name of the data, function of a seed that returns the data, and number of labeled rows.
TASKS = [
    ("eight nets", "100 columns", partial(clusters, **WIDE), 500),
    ("eight nets", "10 noisy classes", partial(clusters, **NOISY, flip_y=0.1), 500),
    ("forests and SVC", "digits", digits, 250),
    ("forests and SVC", "thresholds", thresholds, 500),
]


def processor_time(function, *args, repeats=3):
    """Return the median processor time per call in seconds; short calls are repeated."""
    function(*args)
    times = []
    for _ in range(repeats):
        n, before = 0, time.process_time()
        while time.process_time() - before < 0.03:
            function(*args)
            n += 1
        times.append((time.process_time() - before) / n)
    return float(np.median(times))


def compare(make_rows, n_labels, make_teacher, seed):
    """Return accuracy and log loss of each model, temperature, agreement, and speed for one and for 1,000 rows."""
    X, y = make_rows(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    known, unknown, test = np.split(order, [n_labels, 4 * n_labels])
    test = test[:N_TEST]
    net, both = NetClassifier(random_state=seed), np.concatenate([known, unknown])
    distilled = DistilledClassifier(make_teacher(seed), net).fit(X[known], y[known], X_unlabeled=X[unknown])
    teacher = distilled.teacher_
    hard = clone(net).fit(X[both], teacher.predict(X[both]))
    net.fit(X[known], y[known])
    models = {"net alone": net, "teacher": teacher, "hard labels": hard, "distilled": distilled}
    scores = []
    for model in models.values():
        proba = model.predict_proba(X[test])
        scores.append([np.mean(model.classes_[proba.argmax(axis=1)] == y[test]), log_loss(y[test], proba)])
    ratios = []
    for rows in (X[test[:1]], np.resize(X[test], (1000, X.shape[1]))):
        ratios.append(processor_time(teacher.predict_proba, rows) / processor_time(distilled.predict_proba, rows))
    return np.array(scores), np.array([distilled.temperature_, distilled.agreement_, *ratios])


def distill(args):
    tasks = TASKS.copy()
    for path in args.data:
        made = components(path)
        tasks += [(title, Path(path).stem, made, 500) for title in TEACHERS]
    rows = []
    for title, name, make_rows, n_labels in tasks:
        if args.only and name not in args.only:
            continue
        runs = [compare(make_rows, n_labels, TEACHERS[title], seed) for seed in range(args.seeds)]
        scores, others = (np.stack(part) for part in zip(*runs, strict=True))
        means, spread = scores.mean(axis=0), 100 * scores[:, :, 0].std(axis=0)
        cells = [f"{100 * a:.1f} ± {s:.1f} / {loss:.3f}" for (a, loss), s in zip(means, spread, strict=True)]
        gains = 100 * (means[:, 0] - means[0, 0])
        kept = [f"{100 * gain / gains[1]:.0f} %" if gains[1] >= 0.5 else "no gain" for gain in gains[2:]]
        temperature, agreement, one, many = np.median(others, axis=0)
        rows.append(
            [title, name, *cells, *kept, f"{temperature:.2f}", f"{agreement:.2f}", f"{one:.0f}x", f"{many:.0f}x"]
        )
        print("|", " | ".join(rows[-1]), flush=True)
    header = ["teacher", "data", "net alone", "teacher", "hard labels", "distilled", "gain kept, hard labels"]
    header += ["gain kept, distilled", "temperature", "agreement", "speed, 1 row", "1,000 rows"]
    print_table(header, rows)


# -- pruning -----------------------------------------------------------------------------------------------------------

SIZES = {"tiny32": (24, 22, 20, 18, 16, 14, 12), "lite0": (192, 160, 144, 128, 112, 96)}  # candidate sizes in pixels
FOLDER = Path(tempfile.mkdtemp())


def read_images(path):
    """Return a function from a size to images, the labels, and the name of the backbone."""
    path = Path(path).expanduser()
    if path.is_file():
        X, y = read_arrays(path)
        return lambda size: X, y, "tiny32"
    files = sorted(file for file in path.rglob("*") if file.is_file())
    y = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    return lambda size: ImageLoader(size=size).fit_transform(list(map(str, files))), y, "lite0"


def fine_tune(backbone, seed, epochs, **params):
    return FineTuneClassifier(backbone, strategy="fine-tune", max_epochs=epochs, random_state=seed, **params)


def half_of_tiny32():
    from sktricks.transfer.backbones._tiny32 import Tiny32

    class Half(Tiny32):
        widths = (16, 24, 64, 128)

    return load_backbone(Half, image_shape=(32, 32, 3), mean=0.5, std=0.25)


def export(net, X, **params):
    """Export a net, and return the model and the size of the file."""
    path = FOLDER / f"{len(list(FOLDER.iterdir()))}.onnx"
    report = export_onnx(net, path, X, max_label_changes=1, max_loss_increase=1e9, **params)
    return OnnxModel(path, n_threads=1), report.size


def measure_speeds(models, rows, rounds=7):
    """Return the processor time per call of each model in seconds, by name, for the first of its rows."""
    times = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            n, before = 0, time.process_time()
            while time.process_time() - before < 0.1:
                model.predict_proba(rows[name])
                n += 1
            times[name].append((time.process_time() - before) / n)
    return {name: float(np.median(found)) for name, found in times.items()}


def find_size(make_images, y, backbone, limit):
    """Return the largest of SIZES for which a net with all channels takes at most ``limit`` seconds per image."""
    for size in SIZES[backbone]:
        X, some = make_images(size), np.random.default_rng(0).permutation(len(y))[:40]
        net = FineTuneClassifier(load_backbone(backbone, image_shape=(size, size, 3)), strategy="linear-probe")
        models = {"limit": limit[0], "small": export(net.fit(X[some], y[some]), X[some])[0]}
        speeds = measure_speeds(models, {"limit": limit[1][:1], "small": X[:1]})
        if speeds["small"] <= speeds["limit"]:
            return size
    return SIZES[backbone][-1]


def compare_nets(make_images, y, backbone, seed, args, size=None):
    """Return accuracy, speeds and size of each file by name, and the image size of the net on fewer pixels."""
    order = np.random.default_rng(seed).permutation(len(y))
    known, test = order[: args.rows], order[args.rows :][: args.test_rows]
    X = make_images(224)
    whole = fine_tune(backbone, seed, args.epochs).fit(X[known], y[known])
    pruned = prune(whole, X[known], y[known], amount=args.amount, max_score_drop=None)
    some, int8 = X[test[:200]], {"quantize": "int8", "calibration_data": X[known]}
    files = {"whole": export(whole, some), "pruned": export(pruned, some)}
    files |= {"whole, int8": export(whole, some, **int8), "pruned, int8": export(pruned, some, **int8)}
    images = dict.fromkeys(files, X)
    size = size or find_size(make_images, y, backbone, (files["pruned"][0], X))
    fewer, name = make_images(size), "fewer pixels"
    net = fine_tune(load_backbone(backbone, image_shape=(size, size, 3)), seed, args.epochs)
    files[name], images[name] = export(net.fit(fewer[known], y[known]), fewer[test[:200]]), fewer
    if backbone == "tiny32":
        name = "half, from scratch"
        scratch = fine_tune(half_of_tiny32(), seed, pruned.n_iter_).fit(X[known], y[known])
        files[name], images[name] = export(scratch, some), X
    models = {name: model for name, (model, _) in files.items()}
    accuracy = {name: np.mean(model.predict(images[name][test]) == y[test]) for name, model in models.items()}
    one, many = (measure_speeds(models, {name: images[name][test[:n]] for name in models}) for n in (1, 64))
    found = {
        name: (accuracy[name], one["whole"] / one[name], many["whole"] / many[name], n_bytes / files["whole"][1])
        for name, (_, n_bytes) in files.items()
    }
    return found, size, pruned.pruning_


def prune_nets(args):
    rows = []
    for path in args.data:
        make_images, y, backbone = read_images(path)
        make_images, size, runs = partial(cached, make_images, {}), None, []
        for seed in range(args.seeds):
            found, size, report = compare_nets(make_images, y, backbone, seed, args, size)
            runs.append(found)
            print(f"{Path(path).stem}, seed {seed}, {size} pixels: {found}", flush=True)
        print(report)
        for name in runs[0]:
            values = np.array([run[name] for run in runs])
            lost = values[:, 0] - np.array([run["whole"][0] for run in runs])
            error = lost.std(ddof=1) / len(lost) ** 0.5 if len(lost) > 1 else float("nan")
            accuracy = f"{100 * values[:, 0].mean():.1f}"
            change = "" if name == "whole" else f"{100 * lost.mean():+.1f} ± {100 * error:.1f}"
            speeds = (f"{np.median(values[:, k]):.1f}x" for k in (1, 2))
            shown = f"{size} pixels" if name == "fewer pixels" else name
            rows.append([Path(path).stem, backbone, shown, accuracy, change, *speeds, f"{values[0, 3]:.2f}"])
    print_table(["data", "net", "file", "accuracy, %", "change", "speed, 1 image", "speed, 64", "size"], rows)


def cached(function, known, argument):
    if argument not in known:
        known[argument] = function(argument)
    return known[argument]


PARTS = {"distill": distill, "prune": prune_nets}

if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("part", choices=PARTS, help="the benchmark to run")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--only", nargs="*", default=[], help="distill: names of data (default: all)")
    parser.add_argument("--data", nargs="*", default=[], help=".npz files of images; prune: folders of photos, too")
    parser.add_argument("--rows", type=int, default=320, help="prune: number of training rows (default: 320)")
    parser.add_argument("--test-rows", type=int, default=2000, help="prune: maximum number (default: 2000)")
    parser.add_argument("--amount", type=float, default=0.5, help="prune: fraction of removed channels (default: 0.5)")
    parser.add_argument("--epochs", type=int, help="prune: epochs of fine-tuning (default: those of the estimator)")
    arguments = parser.parse_args()
    start("Smaller and faster models", arguments.threads)
    PARTS[arguments.part](arguments)
