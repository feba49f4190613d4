"""
From a folder of photos to a score
==================================

A folder with one subfolder of photos per class is all it takes::

    pip install "sktricks[images,plot]"
    python examples/photos.py my_photos

Without an argument, the folder is made of the two photos that come with scikit-learn, a Chinese temple and a flower,
cut into 30 tiles of 128 x 128 pixels: from which of the two is a tile? Every other tile is for the test.

It takes well under a minute, needs no network and no GPU, and ends with a picture, ``photos.png``.
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
# A folder as people have them
# ----------------------------
# ``train/temple/x256_y128.jpg`` and so on: the split, the class, the file.


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
    """Return the rows to train on and to test on: the folder's own splits, or random halves of each class."""
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
# All of scikit-learn
# -------------------
# A column of paths goes wherever a table goes. The features of a pretrained net are columns for any model, and so are
# the pixels alone. Files are read batch by batch, so 100,000 photos need no more memory than a thousand.

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
# First some photos of each class, then photos of the test with their predictions.

show_images(train.path, train.label).savefig("photos_by_class.png", dpi=100)

display = PredictionsDisplay.from_estimator(net, test.path, test.label, kind="random", n_rows=8, random_state=0)
title = f"{net.backbone_name_}: {accuracy:.1%} of {len(test)} photos are right; wrong ones have a bold red title"
display.figure_.suptitle(title, wrap=True)
display.figure_.savefig("photos.png", dpi=120)
print("\nThe pictures are in photos_by_class.png and photos.png")
holder.cleanup()
