"""
From a folder of photos to a score
==================================

This example requires only a folder with one subfolder of photos per class::

    pip install "sktricks[images,plot]"
    python examples/photos.py my_photos

Without an argument, it writes such a folder: the two photos that come with scikit-learn, a Chinese temple and a flower,
are cut into 30 tiles of 128 x 128 pixels, and a model predicts the photo from which a tile was cut. Every other tile is
a test image.

It takes well under a minute, without network or GPU, and writes two pictures, ``photos_by_class.png`` and
``photos.png``.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from sktricks import (
    FineTuneClassifier,
    ImageLoader,
    PredictionsDisplay,
    PretrainedFeatures,
    read_image_folder,
    show_images,
)

SIDE = 128  # pixels of a tile

# %%
# A typical folder
# ----------------
# A path consists of split, class and file name: ``train/temple/x256_y128.jpg``.


def write_tiles(folder):
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        height, width = photo.shape[:2]
        for y in range(0, height - SIDE + 1, SIDE):
            for x in range(0, width - SIDE + 1, SIDE):
                part = "train" if (x + y) // SIDE % 2 == 0 else "test"
                path = Path(folder, part, name, f"x{x:03}_y{y:03}.jpg")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(photo[y : y + SIDE, x : x + SIDE]).save(path, quality=95)


holder = tempfile.TemporaryDirectory()
folder = sys.argv[1] if len(sys.argv) > 1 else holder.name
if folder == holder.name:
    write_tiles(folder)


def split(images):
    """Return training rows and test rows: the splits of the folder, or else random halves of each class."""
    if {"train", "test"} <= set(images.split):
        return images[images.split == "train"], images[images.split == "test"]
    return train_test_split(images, test_size=0.5, stratify=images.label, random_state=0)


# %%
# Five lines
# ----------

images = read_image_folder(folder)
train, test = split(images)
net = FineTuneClassifier(random_state=0)
net.fit(train.path, train.label)
accuracy = net.score(test.path, test.label)

print(f"{len(train)} photos to train on, {len(test)} for the test, classes: {', '.join(net.classes_)}")
print(f"\naccuracy on the test, in %\n{'FineTuneClassifier, ' + net.backbone_name_:>37} {100 * accuracy:5.1f}")

# %%
# With any estimator of scikit-learn
# ----------------------------------
# Use a column of paths like any other column. The features of a pretrained net, or the plain pixels, are columns for
# any model. Files are read batch by batch, so 100,000 photos need no more memory than 1,000.

models = {
    "pretrained features, LogisticRegression": make_pipeline(PretrainedFeatures(), LogisticRegression(max_iter=1000)),
    "pixels, RandomForestClassifier": make_pipeline(
        ImageLoader(size=32, flatten=True), RandomForestClassifier(300, random_state=0)
    ),
}
for name, model in models.items():
    print(f"{name:>37} {100 * model.fit(train.path, train.label).score(test.path, test.label):5.1f}")
scores = cross_val_score(FineTuneClassifier(random_state=0), train.path, train.label, cv=3)
print(
    f"\nFineTuneClassifier in 3 folds of the photos to train on: {100 * scores.mean():.1f} ± {100 * scores.std():.1f}"
)

# %%
# The pictures
# ------------
# The first picture shows some photos of each class, the second shows test photos with their predictions.

show_images(train.path, train.label).savefig("photos_by_class.png", dpi=100)

display = PredictionsDisplay.from_estimator(net, test.path, test.label, kind="random", n_rows=8, random_state=0)
title = f"{net.backbone_name_}: {accuracy:.1%} of {len(test)} photos are right; wrong ones have a bold red title"
display.figure_.suptitle(title, wrap=True)
display.figure_.savefig("photos.png", dpi=120)
print("\nThe pictures are in photos_by_class.png and photos.png")
holder.cleanup()
