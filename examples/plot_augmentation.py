"""
Augmentation
============

The figures show originals beside random draws of each augmenter, for images and for the rows of a table. ::

    python examples/plot_augmentation.py

It runs without network or GPU, and writes a figure for each kind of augmentation, such as
``augmentation_geometry.png``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_sample_images
from sklearn.preprocessing import StandardScaler

from sktricks import (
    AugmentationDisplay,
    ColorJitter,
    CutMix,
    FeatureDropout,
    GaussianBlur,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomRotation,
    SwapNoise,
    TrivialAugment,
    make_augmentation_pipeline,
)

# %%
# Images are arrays ``(n, height, width, channels)`` of any numeric dtype. These are two photos, cropped to squares.

photos = np.stack([photo[:420:3, 100:520:3] for photo in load_sample_images().images])
labels = ["temple", "flower"]


def show(theme, augmenters, X=photos, y=labels):
    """Draw a page with two columns: two rows of X, and four draws of each augmenter."""
    n_lines = -(-len(augmenters) // 2)
    figure, axes = plt.subplots(n_lines, 2, figsize=(12, 3.1 * n_lines), squeeze=False, layout="constrained")
    for ax in axes.ravel()[len(augmenters) :]:
        ax.set_axis_off()
    for ax, (name, augmenter) in zip(axes.ravel(), augmenters.items(), strict=False):
        AugmentationDisplay.from_estimator(augmenter, X, y, n_images=2, n_draws=4, random_state=1, ax=ax, name=name)
    figure.savefig(f"augmentation_{theme}.png", dpi=80)
    print(f"The figure is in augmentation_{theme}.png")


# %%
# Geometry
# --------
# ``augment`` draws new parameters for each image in each call.

geometry = {
    "RandomFlip()": RandomFlip(),
    "RandomCrop(100)": RandomCrop(100),
    "RandomResizedCrop()": RandomResizedCrop(scale=(0.2, 1)),
    "RandomRotation(30)": RandomRotation(30),
    'RandomAffine(border="reflect")': RandomAffine(20, 0.1, 0.3, 15, border="reflect"),
    "RandomErasing(p=1)": RandomErasing(p=1),
}
show("geometry", geometry)

# %%
# Color and noise
# ---------------

color = {
    "ColorJitter(0.4, 0.4, 0.4, 0.1)": ColorJitter(0.4, 0.4, 0.4, 0.1),
    "RandomGrayscale(p=0.5)": RandomGrayscale(p=0.5),
    "GaussianNoise(0.1)": GaussianNoise(0.1),
    "GaussianBlur()": GaussianBlur((0.1, 4)),
}
show("color", color)

# %%
# Mixing, and policies
# --------------------
# Flip, crop, rotation and color of a pipeline are one pass over the pixels. Each pixel is read once and rounded once,
# and the corners of the rotated image are filled from the photo around the crop.

mixed = {
    "MixUp(alpha=1)": MixUp(alpha=1),
    "CutMix()": CutMix(),
    "TrivialAugment()": TrivialAugment(),
    "RandomApply(GaussianBlur(4), p=0.5)": RandomApply(GaussianBlur(4), p=0.5),
    "flip, crop, rotation, color": make_augmentation_pipeline(
        RandomFlip(), RandomCrop(100), RandomRotation(15), ColorJitter(0.3, 0.3)
    ),
}
show("mixing", mixed)

# %%
# Tables and signals
# ------------------
# Rows of a table, without ``image_shape``, are drawn as lines.

table = StandardScaler().fit_transform(load_breast_cancer().data)
of_tables = {
    "SwapNoise()": SwapNoise(),
    "FeatureDropout()": FeatureDropout(),
    "GaussianNoise(0.2)": GaussianNoise(0.2),
}
show("tables", of_tables, table, None)
