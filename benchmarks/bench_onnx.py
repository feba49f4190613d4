"""Files of export_onnx: speed, differences, the start of a process, int8, and photos from paths.

`--part speed`: OnnxModel and OnnxClassifier with 1, 64 and 10,000 rows, compared with the bare torch module, the
estimator's own predict_proba, and skl2onnx if it can convert the estimator. The bare module is what a practitioner
calls in PyTorch: the layers of the fitted net on standardized rows, in blocks of 256. All images are new in each call,
so no features are cached. The figures are processor time, or wall time with several threads: the smallest mean over
several rounds in which all alternate.

`--part differences`: for each kind of estimator, the largest difference to its predictions on given rows, on the
variants that the export makes of them, and on held-out rows, and the number of different labels on held-out rows.

`--part start`: processor time and peak memory of a process that loads a model, checks it and predicts, in a virtual
environment with only numpy, onnxruntime, lazy_loader and sktricks, compared with `load` and `predict` with torch. The
script makes the environment with pip in a temporary folder, unless `--python` is the interpreter of one.

`--part int8`: size, accuracy, log loss and speed of int8 compared with fp32, with 8 and with 7 bits (reduce_range, for
processors without VNNI): tiny32 on digits and on the given `.npz` files (X, y), lite0 on the given folders of photos.

`--part photos`: predictions on the paths of the given folders (one subfolder per class) compared with `predict(paths)`.
"""

import copy
import os
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, read_arrays, start
from sklearn import ensemble
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_sample_images, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktricks
from sktricks import FineTuneClassifier, NetClassifier, NetRegressor, OnnxModel, export_onnx, load_onnx

FOLDER = Path(tempfile.mkdtemp())
BLOCK = 256  # batch size of the bare module
LEAST_SECONDS, MOST_CALLS = 0.02, 500  # per measurement


def export(estimator, X, **params):
    """Export an estimator, and return the path of the file and the report."""
    path = FOLDER / f"{len(list(FOLDER.iterdir()))}.onnx"
    return path, export_onnx(estimator, path, X, **params)


# -- speed: each gives the fitted estimator, rows, and the bare module with its rows, or None --------------------------


def image_net(backbone, size):
    import torch

    n_images = 10_000 + 640 if size <= 32 else 640
    images = np.random.default_rng(0).integers(0, 256, (n_images, size, size, 3), dtype=np.uint8)
    net = FineTuneClassifier(backbone, strategy="linear-probe", random_state=0).fit(images[-60:], np.arange(60) % 3)
    preprocess = sktricks.load_backbone(backbone, image_shape=(size, size, 3)).preprocess
    rows = [preprocess(torch.from_numpy(block).permute(0, 3, 1, 2) / 255) for block in np.array_split(images, 40)]
    return net, images, (net.net_.module_.eval(), torch.cat(rows).contiguous().numpy())


def table(n_rows=10_640):
    X, y = make_classification(n_rows, 30, n_informative=12, random_state=0)
    return X.astype(np.float32), y


def table_net():
    import torch
    from torch import nn

    X, y = table()
    net = NetClassifier(max_epochs=2, random_state=0).fit(X[:2000], y[:2000])
    module = copy.deepcopy(net.net_.module_).eval()
    standardized = module.standardize(torch.from_numpy(X)).float().numpy()
    module.standardize = nn.Identity()
    return net, X, (module, standardized)


def tabular(estimator):
    X, y = table()
    return estimator.fit(X[:2000], y[:2000]), X, None


def members():
    return [
        ("net", NetClassifier(max_epochs=2, random_state=0)),
        ("forest", ensemble.RandomForestClassifier(100, random_state=0)),
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
    ]


SPEED = {
    "tiny32": partial(image_net, "tiny32", 32),
    "lite0": partial(image_net, "lite0", 224),
    "table net": table_net,
    "vote": lambda: tabular(ensemble.VotingClassifier(members(), voting="soft")),
    "forest": lambda: tabular(ensemble.RandomForestClassifier(100, random_state=0)),
    "HistGradientBoosting": lambda: tabular(ensemble.HistGradientBoostingClassifier(random_state=0)),
}


def measure_speed(title, sizes, rounds, threads):
    """Return the rows of a table of times and ratios for one kind of estimator."""
    estimator, X, bare_module = SPEED[title]()
    path, _ = export(estimator, X[-100:])
    model, classifier = (load(path, n_threads=threads) for load in (OnnxModel, load_onnx))
    calls = {
        "OnnxModel": model.predict_proba,
        "OnnxClassifier": classifier.predict_proba,
        "predict_proba": estimator.predict_proba,
        "bare module": bare_module and partial(call_bare, bare_module[0]),
        "skl2onnx": with_skl2onnx(estimator, X, threads),
    }
    calls = {name: call for name, call in calls.items() if call}
    for size in sorted({min(size, len(X) - 640) if size > 640 else size for size in sizes} - {0}):
        blocks = {name: Rows(bare_module[1] if name == "bare module" else X, size) for name in calls}
        expected = estimator.predict_proba(X[:size])
        assert all(np.allclose(call(next(blocks[name])), expected, atol=1e-4) for name, call in calls.items())
        clock = time.process_time if threads == 1 else time.perf_counter
        times = time_calls(calls, blocks, rounds if size < 64 else 3, clock)
        least = times["OnnxModel"]
        ratios = [f"{times[name] / least:.2f}" if name in times else "-" for name in calls_in_table()]
        faster = times["predict_proba"] / times["OnnxClassifier"]
        yield [title, size, f"{1e6 * least:,.0f}", *ratios, f"{faster:.2f}"]


def calls_in_table():
    return ("bare module", "predict_proba", "skl2onnx")


class Rows:
    """Yield blocks of rows, a new one each time; images are changed after each pass, since features are cached."""

    def __init__(self, X, size):
        self.X, self.size, self.next, self.key = X, size, 0, 0

    def __next__(self):
        if self.next + self.size > len(self.X):
            self.next, self.key = 0, (self.key + 1) % 256
        self.next += self.size
        block = self.X[self.next - self.size : self.next]
        return block ^ np.uint8(self.key) if block.dtype == np.uint8 else block


def call_bare(module, x):
    """Return the probabilities that a module in evaluation mode gives, as PyTorch's users call it."""
    import torch

    with torch.no_grad():
        parts = [module(torch.from_numpy(x[k : k + BLOCK])).softmax(1).numpy() for k in range(0, len(x), BLOCK)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def with_skl2onnx(estimator, X, threads):
    """Return a function from rows to probabilities, or None if skl2onnx cannot convert or no runtime can load it."""
    import onnxruntime
    from skl2onnx import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        content = to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": False}}).SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of any class
        print(f"skl2onnx, {type(estimator).__name__}: {type(error).__name__}: {str(error).strip()[:90]!r}", flush=True)
        return None
    return lambda rows: session.run(["probabilities"], {"X": rows})[0]


def time_calls(calls, rows, rounds, clock):
    """Return the seconds per call, by name."""
    best, n_calls = {}, {name: 1 for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            blocks = [next(rows[name]) for _ in range(n_calls[name])]
            if len(blocks) > 1:
                call(blocks[0])
            started = clock()
            for block in blocks:
                call(block)
            seconds = (clock() - started) / len(blocks)
            best[name] = min(best.get(name, seconds), seconds)
            n_calls[name] = min(1 + int(LEAST_SECONDS / seconds), MOST_CALLS)
    return best


def part_speed(args):
    found = [row for title in args.only for row in measure_speed(title, args.rows, args.rounds, args.threads)]
    header = ["", "rows", "OnnxModel, µs", "bare module / it", "predict_proba / it", "skl2onnx / it"]
    print_table([*header, "predict_proba / OnnxClassifier"], found)


# -- differences -------------------------------------------------------------------------------------------------------


def crops(size, n=120):
    """Return crops of scikit-learn's two photos, and the index of the photo as label."""
    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    y = np.arange(n) % 2
    corners = [rng.integers(0, np.array(photos[k].shape[:2]) - size) for k in y]
    images = [photos[k][a : a + size, b : b + size] for k, (a, b) in zip(y, corners, strict=True)]
    return np.stack(images), np.array(["china", "flower"])[y]


def digits(n_images=600):
    X, y = load_digits(return_X_y=True)
    return (255 / 16 * X).round().astype(np.uint8).reshape(-1, 8, 8)[:n_images], y[:n_images]


def cancer(dtype=np.float32):
    X, y = load_breast_cancer(return_X_y=True)
    return X.astype(dtype), np.array(["malignant", "benign"])[y]


def with_gaps():
    X, y = cancer()
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return X, y


def words():
    """Return a DataFrame of numbers with missing values and of strings, some of which are only in held-out rows."""
    import pandas as pd

    X, y = with_gaps()
    frame = pd.DataFrame(X[:, 5:12]).add_prefix("x")
    for column in range(3):
        values = pd.qcut(X[:, column], 6, labels=list("abcdef")).astype(object)
        frame[f"word{column}"] = pd.Categorical(values.astype(object), categories=list("abcdef"))
        frame.loc[: len(frame) // 2, f"word{column}"] = frame[f"word{column}"].mask(frame[f"word{column}"] == "f")
    return frame, y


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X, y


def net():
    return NetClassifier(max_epochs=5, random_state=0)


def probe(backbone, **params):
    return FineTuneClassifier(backbone, random_state=0, **{"strategy": "linear-probe", **params})


def resnet18():
    from _nets import make_backbone

    return make_backbone()


logistic = make_pipeline(StandardScaler(), LogisticRegression())
boost = partial(ensemble.HistGradientBoostingClassifier, categorical_features="from_dtype", random_state=0)
DIFFERENCES = {
    "tiny32, linear probe": (lambda: probe("tiny32", image_shape=(8, 8)), digits),
    "tiny32, fine-tuned": (lambda: probe("tiny32", image_shape=(8, 8), strategy="fine-tune", max_epochs=1), digits),
    "lite0, linear probe": (lambda: probe("lite0"), partial(crops, 224)),
    "ResNet-18, linear probe": (lambda: probe(resnet18, value_range=(0, 255)), partial(crops, 64)),
    "NetClassifier, float32": (net, cancer),
    "NetClassifier, float64": (net, partial(cancer, np.float64)),
    "NetClassifier, missing values": (net, with_gaps),
    "NetClassifier, strings and missing values": (net, words),
    "NetRegressor": (lambda: NetRegressor(max_epochs=5, random_state=0), diabetes),
    "NetEnsembleClassifier": (lambda: sktricks.NetEnsembleClassifier(net(), 3, random_state=0), cancer),
    "Pipeline(StandardScaler, net)": (lambda: make_pipeline(StandardScaler(), net()), cancer),
    "our vote": (lambda: sktricks.VotingClassifier(members(), voting="soft"), cancer),
    "scikit-learn's vote": (lambda: ensemble.VotingClassifier(members(), voting="soft"), cancer),
    "our stack": (lambda: sktricks.StackingClassifier(members(), cv=3), cancer),
    "scikit-learn's stack": (lambda: ensemble.StackingClassifier(members(), cv=3), cancer),
    "CascadeClassifier": (lambda: sktricks.CascadeClassifier(members()[::-1], cv=3), cancer),
    "AugmentedClassifier": (lambda: sktricks.AugmentedClassifier(logistic, sktricks.GaussianNoise()), cancer),
    "GridSearchCV": (lambda: GridSearchCV(logistic, {"logisticregression__C": [0.1, 1]}), cancer),
    "logistic regression, float64": (lambda: logistic, partial(cancer, np.float64)),
    "RandomForest": (lambda: ensemble.RandomForestClassifier(random_state=0), cancer),
    "RandomForest, missing values": (lambda: ensemble.RandomForestClassifier(random_state=0), with_gaps),
    "ExtraTrees": (lambda: ensemble.ExtraTreesClassifier(random_state=0), cancer),
    "GradientBoosting": (lambda: ensemble.GradientBoostingClassifier(random_state=0), cancer),
    "GradientBoosting, regression": (lambda: ensemble.GradientBoostingRegressor(random_state=0), diabetes),
    "HistGradientBoosting, missing values": (boost, with_gaps),
    "HistGradientBoosting, strings": (boost, words),
}


def part_differences(args):
    rows = []
    for title, (make, data) in DIFFERENCES.items():
        X, y = data()
        half = len(X) // 2
        X_train, X_test = X[:half], X[half:]
        estimator = make().fit(X_train, y[:half])
        path, report = export(FrozenEstimator(estimator) if title == "GridSearchCV" else estimator, X_train)
        found = OnnxModel(path).run(X_test)
        labels = estimator.predict(X_test)
        if "prediction" in found:
            size = np.abs(estimator.predict(X_train)).max()
            difference, wrong = np.abs(found["prediction"] - labels).max() / size, 0
        else:
            difference = np.abs(found["probabilities"] - estimator.predict_proba(X_test)).max()
            wrong = int((found["label"] != labels).sum())
        differences = [
            f"{value:.1e}" for value in (report.largest_difference, report.largest_made_difference, difference)
        ]
        fraction = f"{100 * report.threshold_fraction:.2f}"
        rows.append([title, f"{report.atol:g}", half, report.n_made_rows, len(X_test), *differences, wrong, fraction])
    header = ["", "allowed", "given rows", "made rows", "held out", "given: difference", "made", "held out"]
    print_table([*header, "held out: labels", "made rows on a threshold, %"], rows)


# -- the start of a process --------------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
import numpy as np
from sktricks import OnnxModel

labels = OnnxModel(sys.argv[1]).predict(np.load(sys.argv[2]))
assert not {"torch", "sklearn", "scipy", "pandas"} & set(sys.modules)
"""
WITH_TORCH = """
import sys
import numpy as np
from sktricks import load

labels = load(sys.argv[1]).predict(np.load(sys.argv[2]))
"""
ENDING = """
import time
memory = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(memory.split()[1]) / 1024, *labels)
"""


def make_environment():
    """Return the interpreter of an environment with numpy, onnxruntime, lazy_loader and sktricks, and nothing else."""
    folder = Path(tempfile.mkdtemp())
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, "numpy", "onnxruntime", "lazy_loader"], check=True)
    subprocess.run([*install, "--no-deps", Path(__file__).parents[1]], check=True)
    return python


def run_process(python, script, *paths):
    """Return processor seconds, peak MB and labels of a process, which starts without this folder on its path."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [python, "-c", script + ENDING, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=FOLDER)
    seconds, memory, *labels = run.stdout.split()
    return float(seconds), float(memory), labels


def part_start(args):
    python = args.python or make_environment()
    rows = []
    for title, estimator, (X, y) in (
        ("tiny32", probe("tiny32", image_shape=(8, 8)), digits()),
        ("table net", net(), cancer()),
    ):
        estimator.fit(X, y)
        path, _ = export(estimator, X[:200])
        sktricks.save(estimator, FOLDER / title)
        np.save(FOLDER / "rows.npy", X[:10])
        ways = {"OnnxModel": (python, WITHOUT_TORCH, path), "load, torch": (sys.executable, WITH_TORCH, FOLDER / title)}
        runs = {name: [] for name in ways}
        for _ in range(args.rounds // 3):
            for name, way in ways.items():
                runs[name].append(run_process(*way, FOLDER / "rows.npy"))
        assert len({tuple(labels) for found in runs.values() for *_, labels in found}) == 1
        best = {name: np.min([found[:2] for found in runs], axis=0) for name, runs in runs.items()}
        for name, (seconds, memory) in best.items():
            ratios = best["load, torch"] / (seconds, memory)
            rows.append([f"{title}, {name}", f"{seconds:.2f}", f"{memory:.0f}", *(f"{ratio:.1f}" for ratio in ratios)])
    print_table(["10 rows", "s of the processor", "peak, MB", "less time", "less memory"], rows)


# -- int8 --------------------------------------------------------------------------------------------------------------


def images_of(path):
    """Return images or paths of photos, their labels, and the backbone for them."""
    if path == "digits":
        return *digits(1797), "tiny32"
    if Path(path).is_dir():
        return *read_folder(path), "lite0"
    return *read_arrays(path), "tiny32"


def read_folder(folder):
    """Return the paths of the photos in a folder with one subfolder per class, and their labels."""
    files = sorted(p for p in Path(folder).expanduser().glob("*/*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return np.array([str(p) for p in files]), np.array([p.parent.name for p in files])


def export_reduced(estimator, X, **params):
    """Export with 7-bit weights."""
    from sktricks.deploy import _quantize

    full = _quantize.quantize_backbone
    _quantize.quantize_backbone = partial(full, reduce_range=True)
    try:
        return export(estimator, X, **params)
    finally:
        _quantize.quantize_backbone = full


def part_int8(args):
    rows = []
    for name in ["digits", *args.data]:
        X, y, backbone = images_of(name)
        half = min(len(X) // 2, args.train)
        X, X_test, y, y_test = train_test_split(X, y, train_size=half, stratify=y, random_state=0)
        X_test, y_test = X_test[: args.test], y_test[: args.test]
        shape = {} if X.ndim == 1 else {"image_shape": X.shape[1:]}
        estimator = FineTuneClassifier(backbone, strategy=args.strategy, random_state=0, **shape).fit(X, y)
        n_rows = min(len(X) // 2, 256)
        any_change = {"max_label_changes": 1.0, "max_loss_increase": np.inf}
        int8 = {"quantize": "int8", "calibration_data": X[n_rows : 2 * n_rows], **any_change}
        exports = {
            "fp32": export(estimator, X[:n_rows]),
            "int8": export(estimator, X[:n_rows], **int8),
            "int8, 7 bits": export_reduced(estimator, X[:n_rows], **int8),
        }
        models = {kind: OnnxModel(path, n_threads=args.threads) for kind, (path, _) in exports.items()}
        pixels = models["fp32"]._make_feeds(X_test)  # decoded files, to measure only the graph
        one_by_one = {kind: Feeds(pixels) for kind in models}
        calls = {kind: model._run for kind, model in models.items()}
        times = time_calls(calls, one_by_one, args.rounds, time.process_time)
        for kind, model in models.items():
            outputs, report = model._run(pixels), exports[kind][1]
            score = 100 * accuracy_score(y_test, outputs["label"])
            loss = log_loss(y_test, outputs["probabilities"].astype(np.float64), labels=model.classes)
            changes = "-" if kind == "fp32" else f"{100 * report.label_changes:.2f}, {report.loss_increase:.4f}"
            title = f"{Path(name).stem}, {backbone}, {kind}"
            size, faster = report.size / 1e6, times["fp32"] / times[kind]
            rows.append([title, len(X_test), f"{size:.2f}", f"{score:.2f}", f"{loss:.4f}", changes, f"{faster:.2f}"])
    header = ["", "test images", "MB", "accuracy, %", "log loss", "labels changed on X, %, and loss", "times as fast"]
    print_table(header, rows)


class Feeds:
    """Yield the inputs of one row after the other."""

    def __init__(self, feeds):
        self.rows = {name: Rows(array, 1) for name, array in feeds.items()}

    def __next__(self):
        return {name: next(rows) for name, rows in self.rows.items()}


# -- photos ------------------------------------------------------------------------------------------------------------


def part_photos(args):
    rows = []
    for folder in args.data:
        paths, y = read_folder(folder)
        train, test = train_test_split(np.arange(len(y)), train_size=0.5, stratify=y, random_state=0)
        estimator = FineTuneClassifier("lite0", strategy=args.strategy, random_state=0).fit(paths[train], y[train])
        path, report = export(estimator, paths[train[:64]])
        model = load_onnx(path, n_threads=args.threads)
        differ = int((model.predict(paths[test]) != estimator.predict(paths[test])).sum())
        difference = np.abs(model.predict_proba(paths[test]) - estimator.predict_proba(paths[test])).max()
        score = 100 * np.mean(model.predict(paths[test]) == y[test])
        rows.append(
            [Path(folder).name, len(test), differ, f"{difference:.1e}", f"{score:.1f}", f"{report.size / 1e6:.1f}"]
        )
    print_table(["", "held-out photos", "labels that differ", "largest difference", "accuracy, %", "MB"], rows)


PARTS = {
    "speed": part_speed,
    "differences": part_differences,
    "start": part_start,
    "int8": part_int8,
    "photos": part_photos,
}


def main():
    parser = make_parser(__doc__)
    parser.add_argument("data", nargs="*", help="folders of photos, or .npz files of images, for int8 and photos")
    parser.add_argument("--part", choices=[*PARTS], default="speed", help="the benchmark to run (default: speed)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which all alternate (default: 15)")
    parser.add_argument("--only", nargs="+", default=[*SPEED], choices=[*SPEED], help="models of part speed")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 64, 10_000], help="rows per call, for part speed")
    parser.add_argument("--python", help="the interpreter of an environment without torch, for part start")
    parser.add_argument("--train", type=int, default=2000, help="training images of part int8 (default: 2000)")
    parser.add_argument("--test", type=int, default=2000, help="test images of part int8 (default: 2000)")
    parser.add_argument("--strategy", default="linear-probe", help="of FineTuneClassifier, for int8 and photos")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    import onnx
    import onnxruntime

    start(f"Files of export_onnx: {args.part}", args.threads)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}\n", flush=True)
    PARTS[args.part](args)


if __name__ == "__main__":
    main()
