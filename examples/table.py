"""
A table as it comes
===================

Numbers, categories, and gaps in both: a net takes such a DataFrame as it is. Beside it stands the way that people know,
a ``ColumnTransformer`` that fills, scales and encodes before the net, and two models of scikit-learn.

The table is made here: two thousand flats of a made-up country, and whether each found a tenant within a week. It takes
well under a minute, needs no network and no GPU::

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
# Some columns are categories: the town, one of thirty, and the heating, which is missing where the owner did not know.
# Some are numbers. Older flats more often lack a year, so that the gap itself says something. A rent is high or low for
# the town and the size; flats of the sixties are liked less than older and newer ones.


def make_flats(n_rows, seed):
    rng = np.random.default_rng(seed)
    towns = np.array([f"town {number:02}" for number in range(30)])
    appeal, level = np.random.default_rng(0).normal(size=(2, 30))
    town, heating = rng.integers(30, size=n_rows), rng.integers(4, size=n_rows)
    size = rng.lognormal(4.2, 0.4, n_rows)
    year = rng.integers(1900, 2024, n_rows).astype(float)
    rent = size * np.exp(2.3 + 0.4 * level[town] + rng.normal(0, 0.3, n_rows))
    dear = np.log(rent / size) - 2.3 - 0.4 * level[town]  # for the town
    score = 1.5 * appeal[town] - 4 * dear * (1 + (size > 80)) + np.array([0, 0.8, -1.2, -0.6])[heating]
    score += 1.5 * np.cos((year - 1900) / 20) + rng.logistic(0, 0.4, n_rows)  # old or new, but not of the sixties
    year[rng.random(n_rows) < np.where(year < 1950, 0.5, 0.05)] = np.nan
    kinds = np.array(["gas", "heat pump", "oil", None], dtype=object)
    X = pd.DataFrame({"town": towns[town], "heating": kinds[heating], "size": size, "year": year, "rent": rent})
    return X, np.where(score > 0, "let", "empty")


X, y = make_flats(2000, seed=1)
print(X.head().to_string())

# %%
# What a string is
# ----------------
# Strings could be names, dates or categories. A net asks, and says how to answer.

try:
    NetClassifier().fit(X, y)
except ValueError as error:
    print(f"\nValueError: {error}\n")

strings = X
X = X.astype({"town": "category", "heating": "category"})
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# One line, and three
# -------------------
# ``categorical_features="from_dtype"``, which is the default, takes the columns whose type says so. Each town and each
# kind of heating gets a vector of its own in the net, "missing" among them; a gap in a number is filled by the mean,
# and the net is told of it.

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
# What it was not trained on
# --------------------------
# A town that is new counts as an average one. Here are all flats of the test, moved to one town after the other.

print("\nmean probability to be let", end="")
for town in ("town 03", "town 06", "town 17", "town 99"):
    moved = X_test.assign(town=pd.Categorical([town] * len(X_test)))
    print(f", in {town}: {net.predict_proba(moved)[:, 1].mean():.2f}", end="")
print(", of which the last is new")

# %%
# Searched like any other
# -----------------------
# Augmenters that leave values whole, such as ``SwapNoise``, draw anew for each row in each epoch. Whether that helps, a
# search tells.

search = GridSearchCV(net, {"augmenter": [None, SwapNoise(0.1)]}, cv=3).fit(X_train, y_train)
print(f"best of {search.cv_results_['mean_test_score'].round(3)}: augmenter={search.best_params_['augmenter']}")

# Names will do as well where the types say nothing.
named = NetClassifier(categorical_features=["town", "heating"], **SETTINGS)
named.fit(strings.loc[X_train.index], y_train)
print(f"strings that are named: {named.score(strings.loc[X_test.index], y_test):.3f}")
