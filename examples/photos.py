"""
From a folder of photos to a score
==================================

Image files in a folder for each class are all it takes. The folder here is made from the two photos that come with
scikit-learn, a Chinese temple and a flower, cut into 208 tiles of 48 x 48 pixels: from which of the two is a tile?
Twenty tiles have labels to learn from, ten of each photo, and the other 188 are for the test.

It takes well under a minute, needs no network and no GPU, and ends with a picture, ``photos.png``::

    pip install "sktricks[images]"
    python examples/photos.py
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sktricks import FineTuneClassifier, ImageLoader, PretrainedFeatures, read_image_folder

SIDE, LABELS = 48, 10  # pixels of a tile; tiles of each photo with a label
NAMES = ("temple", "flower")

# %%
# A folder as people have them
# ----------------------------
# ``train/temple/x096_y144.jpg`` and so on: the split, the class, the file.


def write_tiles(folder):
    rng = np.random.default_rng(0)
    for name, photo in zip(NAMES, load_sample_images().images, strict=True):
        height, width = photo.shape[:2]
        corners = [(x, y) for y in range(0, height - SIDE, SIDE) for x in range(0, width - SIDE, SIDE)]
        for place, number in enumerate(rng.permutation(len(corners))):
            x, y = corners[number]
            path = Path(folder, "train" if place < LABELS else "test", name, f"x{x:03}_y{y:03}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo[y : y + SIDE, x : x + SIDE]).save(path, quality=95)


holder = tempfile.TemporaryDirectory()
folder = holder.name
write_tiles(folder)

# %%
# Five lines
# ----------

images = read_image_folder(folder)
train, test = images[images.split == "train"], images[images.split == "test"]
net = FineTuneClassifier(random_state=0)
net.fit(train.path, train.label)
accuracy = net.score(test.path, test.label)

print(images.groupby(["split", "label"]).size().unstack().to_string())
print(f"\naccuracy in % on the {len(test)} tiles of the test, learned from {len(train)}")
print(f"{'FineTuneClassifier':>31} {100 * accuracy:5.1f}")

# %%
# Pixels alone
# ------------
# ``ImageLoader`` makes one array of the files, for whatever takes arrays: here the pixels are the columns of classical
# models.

flatten = FunctionTransformer(lambda pixels: pixels.reshape(len(pixels), -1) / 255)
for model in (LogisticRegression(max_iter=1000), SVC(C=10), RandomForestClassifier(300, random_state=0)):
    pipeline = make_pipeline(ImageLoader(size=(32, 32)), flatten, StandardScaler(), model)
    score = pipeline.fit(train.path, train.label).score(test.path, test.label)
    print(f"{type(model).__name__ + ', pixels':>31} {100 * score:5.1f}")

# %%
# All of scikit-learn
# -------------------
# A column of paths goes wherever a table goes. The files are read batch by batch, so 100,000 photos need no more memory
# than a thousand.

features = make_pipeline(PretrainedFeatures(), StandardScaler(), LogisticRegression(C=0.01))
scores = cross_val_score(features, images.path, images.label, cv=5)
print(
    f"\nPretrained features into a logistic regression, all {len(images)} tiles, 5 folds: {100 * scores.mean():.1f} %"
)

# %%
# The picture
# -----------
# Tiles with a label have a white frame, those that the net takes for the other photo a red one.

sheet = Image.fromarray(np.hstack(load_sample_images().images))
draw = ImageDraw.Draw(sheet)
wrong = test[net.predict(test.path) != test.label]
for tiles, colour in ((train, "white"), (wrong, "red")):
    for path, label in zip(tiles.path, tiles.label, strict=True):
        x, y = (int(number[1:]) for number in Path(path).stem.split("_"))
        left = x + NAMES.index(label) * sheet.width // 2
        draw.rectangle((left, y, left + SIDE - 1, y + SIDE - 1), outline=colour, width=3)
sheet.save("photos.png")
print(f"\nThe picture is in photos.png: {len(train)} tiles with a label in white, {len(wrong)} mistaken ones in red")
holder.cleanup()
