"""Draw the picture at the top of README.md: ``python docs/draw_overview.py`` writes docs/_static/overview.png."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_images

from sktricks import (
    ColorJitter,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    make_augmentation_pipeline,
)

mpl.use("agg")
MODELS = ["LogisticRegression", "SVC", "RandomForest", "HistGradientBoosting", "FineTuneClassifier()"]
ACCURACY = {  # mean with 10 labels per class: benchmarks/RESULTS.md, bench_few_shot.py
    "digits": [88.9, 92.9, 89.4, 83.8, 97.4],
    "MNIST": [68.9, 76.5, 73.2, 64.4, 96.5],
    "CIFAR-10": [23.3, 25.0, 24.5, 21.1, 57.7],
}
COLORS = ["#999999", "#56b4e9", "#009e73", "#cc79a7", "#d55e00"]  # Okabe & Ito 2008


def draw_copies(axes):
    """Draw a photo and augmented copies of it."""
    photo = load_sample_images().images[1][60:380:2, 150:470:2]
    augmenter = make_augmentation_pipeline(
        RandomResizedCrop(160, scale=(0.4, 1)),
        RandomFlip(),
        RandomRotation(25),
        ColorJitter(0.4, 0.4, 0.4),
        RandomErasing(p=0.5),
    )
    copies = augmenter.fit(photo[None]).augment(np.repeat(photo[None], axes.size - 1, axis=0), random_state=3)
    for ax, image in zip(axes.flat, [photo, *copies], strict=True):
        ax.imshow(image)
        ax.set_axis_off()
    axes[0, 0].set_title("photo", fontsize=9)
    axes[0, 1].set_title("augmented copies", fontsize=9, loc="left")


def draw_accuracy(ax):
    """Draw the accuracy of each model as bars."""
    positions = np.arange(len(ACCURACY))
    for k, (model, color) in enumerate(zip(MODELS, COLORS, strict=True)):
        values = [accuracies[k] for accuracies in ACCURACY.values()]
        bars = ax.bar(positions + 0.17 * (k - 2), values, 0.16, color=color, label=model)
        if k == len(MODELS) - 1:
            ax.bar_label(bars, fmt="%.0f", fontsize=9)
    ax.set(ylabel="accuracy, %", ylim=(0, 105), xlim=(-0.5, 3.1), title="10 labels per class")
    ax.set_xticks(positions, ACCURACY)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1.02, 1.02), frameon=False)


def main():
    """Draw both halves and write the file."""
    figure = plt.figure(figsize=(10, 3), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1])
    draw_copies(left.subplots(2, 4, gridspec_kw={"hspace": 0.05}))
    draw_accuracy(right.subplots())
    folder = Path(__file__).parent / "_static"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "overview.png", dpi=100)


if __name__ == "__main__":
    main()
