"""
Photos and columns together
===========================

A table may have a column of photos and columns of numbers, such as the articles of a shop. ``ColumnTransformer`` passes
the photos to a pretrained net and the numbers to a scaler. All columns of the result have names.

The photos are tiles of the two photos that come with scikit-learn. The price depends on the photo *and* on the
numbers::

    python examples/photos_and_columns.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_sample_images
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import PretrainedFeatures

SIDE, STEP, PRICE = 96, 48, {"temple": 80, "flower": 20}
rng = np.random.default_rng(0)

# %%
# A table of prints: the file of each, its size and its age
# ---------------------------------------------------------


def write_prints(folder):
    rows = []
    for motif, photo in zip(PRICE, load_sample_images().images, strict=True):
        height, width = photo.shape[:2]
        for y in range(0, height - SIDE, STEP):
            for x in range(0, width - SIDE, STEP):
                path = Path(folder, f"{motif}_{x:03}_{y:03}.jpg")
                Image.fromarray(photo[y : y + SIDE, x : x + SIDE]).save(path, quality=95)
                size, age = rng.uniform(20, 100), rng.uniform(0, 30)
                price = PRICE[motif] + size - age + rng.normal(0, 3)
                rows.append({"path": str(path), "size": size, "age": age, "price": price})
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


holder = tempfile.TemporaryDirectory()
prints = write_prints(holder.name)
print(prints.drop(columns="path").head(3).round(1).to_string(), "\n")

# %%
# One transformer per kind of column
# ----------------------------------
# Each photo is encoded only once for all folds and models.

photo = ("photo", PretrainedFeatures(), ["path"])
numbers = ("numbers", StandardScaler(), ["size", "age"])
for name, parts in {"numbers": [numbers], "photo": [photo], "both": [photo, numbers]}.items():
    model = make_pipeline(ColumnTransformer(parts), StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))
    scores = cross_val_score(model, prints, prints.price, cv=5)
    print(f"{name:>8}: R² of the price {scores.mean():.3f} ± {scores.std():.3f}")

# %%
# With names, as a DataFrame
# --------------------------

columns = ColumnTransformer([photo, numbers]).set_output(transform="pandas")
names = list(pd.DataFrame(columns.fit_transform(prints)).columns)
print(f"\n{len(names)} columns, among them {', '.join(names[:2] + names[-2:])}")
holder.cleanup()
