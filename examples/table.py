"""
A table with categories and missing values
==========================================

A net accepts a DataFrame with numbers, categories, and missing values in both. This example compares it with the
classical way, a ``ColumnTransformer`` that imputes, scales and encodes before the net, and with two models of
scikit-learn.

The table is synthetic: 2,000 flats of a fictional country, labeled by whether each found a tenant within a week. The
example takes well under a minute, without network or GPU::

    python examples/table.py
"""

import time

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktricks import NetClassifier, SwapNoise

# %%
# Flats
# -----
# Some columns are categories: the town, one of thirty, and the heating, which is missing if the owner did not know it.
# Others are numbers. The year is missing more often for older flats, so a missing value is informative. Rents are high
# or low relative to town and size, and flats of the sixties are less popular than older and newer ones.


def make_flats(n_rows, seed):
    rng = np.random.default_rng(seed)
    towns = np.array([f"town {number:02}" for number in range(30)])
    appeal, level = np.random.default_rng(0).normal(size=(2, 30))
    town, heating = rng.integers(30, size=n_rows), rng.integers(4, size=n_rows)
    size = rng.lognormal(4.2, 0.4, n_rows)
    year = rng.integers(1900, 2024, n_rows).astype(float)
    rent = size * np.exp(2.3 + 0.4 * level[town] + rng.normal(0, 0.3, n_rows))
    dear = np.log(rent / size) - 2.3 - 0.4 * level[town]  # relative to the town
    score = 1.5 * appeal[town] - 4 * dear * (1 + (size > 80)) + np.array([0, 0.8, -1.2, -0.6])[heating]
    score += 1.5 * np.cos((year - 1900) / 20) + rng.logistic(0, 0.4, n_rows)  # old or new, but not of the sixties
    year[rng.random(n_rows) < np.where(year < 1950, 0.5, 0.05)] = np.nan
    kinds = np.array(["gas", "heat pump", "oil", None], dtype=object)
    X = pd.DataFrame({"town": towns[town], "heating": kinds[heating], "size": size, "year": year, "rent": rent})
    return X, np.where(score > 0, "let", "empty")


X, y = make_flats(2000, seed=1)
print(X.head().to_string())

# %%
# Strings
# -------
# Strings could be names, dates or categories. Therefore ``fit`` raises an error, which says how to declare categories.

try:
    NetClassifier().fit(X, y)
except ValueError as error:
    print(f"\nValueError: {error}\n")

strings = X
X = X.astype({"town": "category", "heating": "category"})
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# Categories and missing values
# -----------------------------
# ``categorical_features="from_dtype"``, the default, selects the columns of categorical dtype. The net has an embedding
# for each category, including "missing". A missing number is replaced by the mean, and the net receives an indicator of
# missing values.

SETTINGS = {"max_epochs": 40, "early_stopping": True, "random_state": 0}
net = NetClassifier(categorical_features="from_dtype", **SETTINGS)

by_hand = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["size", "year", "rent"]),
        (OneHotEncoder(handle_unknown="ignore"), ["town", "heating"]),
        sparse_threshold=0,
    ),
    NetClassifier(**SETTINGS),
)
models = {
    "NetClassifier": net,
    "ColumnTransformer, NetClassifier": by_hand,
    "ColumnTransformer, LogisticRegression": make_pipeline(by_hand[0], LogisticRegression()),
    "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
}
print(f"{'':40}accuracy  log loss  seconds")
for name, model in models.items():
    started = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:40}{model.score(X_test, y_test):8.3f}{loss:10.3f}{seconds:9.1f}")

# %%
# Unknown categories
# ------------------
# The net treats a new town as an average one. The mean prediction is printed for all test flats, moved to each of four
# towns.

print("\nmean probability to be let", end="")
for town in ("town 03", "town 06", "town 17", "town 99"):
    moved = X_test.assign(town=pd.Categorical([town] * len(X_test)))
    print(f", in {town}: {net.predict_proba(moved)[:, 1].mean():.2f}", end="")
print(", of which the last is new")

# %%
# Search
# ------
# Augmenters that do not change single values, such as ``SwapNoise``, support categories, and draw again for each row in
# each epoch. A search shows whether this helps.

search = GridSearchCV(net, {"augmenter": [None, SwapNoise(0.1)]}, cv=3).fit(X_train, y_train)
print(f"best of {search.cv_results_['mean_test_score'].round(3)}: augmenter={search.best_params_['augmenter']}")

# Names of columns work, too, for example if categories are strings.
named = NetClassifier(categorical_features=["town", "heating"], **SETTINGS)
named.fit(strings.loc[X_train.index], y_train)
print(f"strings that are named: {named.score(strings.loc[X_test.index], y_test):.3f}")
