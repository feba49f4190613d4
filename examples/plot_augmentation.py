"""
Augmentation
============

What every augmenter does to images, and to the rows of a table: originals beside random draws. ::

    python examples/plot_augmentation.py

It needs scikit-learn's sample photos, no network and no GPU, and leaves a figure, ``augmentation.png``.
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
# Images are arrays ``(n, height, width, channels)``, in their own dtype. Here are two photos, cut to squares.

photos = np.stack([photo[:420:3, 100:520:3] for photo in load_sample_images().images])
labels = ["temple", "flower"]

# %%
# One augmenter each. ``augment`` draws anew for every image, whenever it is asked to.

augmenters = {
    "RandomFlip()": RandomFlip(),
    "RandomCrop(100)": RandomCrop(100),
    "RandomResizedCrop()": RandomResizedCrop(scale=(0.2, 1)),
    "RandomRotation(30)": RandomRotation(30),
    'RandomAffine(border="reflect")': RandomAffine(20, 0.1, 0.3, 15, border="reflect"),
    "ColorJitter(0.4, 0.4, 0.4, 0.1)": ColorJitter(0.4, 0.4, 0.4, 0.1),
    "RandomGrayscale(p=0.5)": RandomGrayscale(p=0.5),
    "GaussianNoise(0.1)": GaussianNoise(0.1),
    "GaussianBlur()": GaussianBlur((0.1, 4)),
    "RandomErasing(p=1)": RandomErasing(p=1),
    "MixUp(alpha=1)": MixUp(alpha=1),
    "CutMix()": CutMix(),
    "TrivialAugment()": TrivialAugment(),
    "RandomApply(GaussianBlur(4), p=0.5)": RandomApply(GaussianBlur(4), p=0.5),
}

# %%
# Some of them in a row. Flip, crop, rotation and colour are one pass over the pixels: each is read once and rounded
# once, and the corners of the turned image come from the photo around the crop.

augmenters["flip, crop, rotation, colour"] = make_augmentation_pipeline(
    RandomFlip(), RandomCrop(100), RandomRotation(15), ColorJitter(0.3, 0.3)
)

# %%
# Tables and signals have augmenters, too. Rows without ``image_shape`` are lines here.

table = StandardScaler().fit_transform(load_breast_cancer().data)
of_tables = {
    "SwapNoise()": SwapNoise(),
    "FeatureDropout()": FeatureDropout(),
    "GaussianNoise(0.2), a table": GaussianNoise(0.2),
}

figure, axes = plt.subplots(6, 3, figsize=(19, 20), layout="constrained")
for ax, (title, augmenter) in zip(axes.ravel(), (augmenters | of_tables).items(), strict=True):
    X, y = (table, None) if title in of_tables else (photos, labels)
    AugmentationDisplay.from_estimator(augmenter, X, y, n_images=2, n_draws=4, random_state=1, ax=ax, title=title)

figure.savefig("augmentation.png", dpi=80)
print("The figure is in augmentation.png")
