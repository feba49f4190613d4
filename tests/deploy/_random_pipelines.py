"""Random pipelines, votes and stacks of supported estimators, and tables for them, drawn by hypothesis."""

import zlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from sklearn import ensemble
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, TruncatedSVD
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold, f_classif, f_regression
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid, RadiusNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks import (
    AugmentedClassifier,
    AugmentedRegressor,
    GaussianNoise,
    NetClassifier,
    NetEnsembleClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    StackingClassifier,
    StackingRegressor,
    SwapNoise,
    VotingClassifier,
    VotingRegressor,
)

ARRAYS = ("float32", "float64", "int64", "gaps")
TABLES = (*ARRAYS, "strings", "categories")
N_TRAIN, N_UNSEEN = 120, 300
ANIMALS = ["cat", "dog", "eel", "fox"]


@dataclass
class Case:
    """An unfitted estimator, and rows for it.

    Parameters
    ----------
    estimator : estimator
    frozen : bool
        True to wrap the fitted estimator in a FrozenEstimator.
    X, y : array-like
        Rows to fit on, and to export with.
    unseen : array-like
        Rows that are not in X, with categories that X lacks.
    """

    estimator: object
    frozen: bool
    X: object
    y: np.ndarray
    unseen: object


def cases(foreign=False):
    """Return cases of supported steps, or with at least one step that may be rejected.

    hypothesis draws only the seed: its own draws of so many choices would be too similar in a few examples.
    """
    return st.integers(0, 2**32 - 1).map(partial(make_case, foreign=foreign))


def make_case(seed, foreign):
    """Return the case for a seed."""
    rng = np.random.default_rng(seed)
    table = rng.choice(TABLES)
    task = rng.choice(["two", "three", "strings", "regression"])
    missing = np.nan if rng.random() < 0.5 else None  # for strings, scikit-learn distinguishes them
    X, y = make_table(rng, table, N_TRAIN, task, missing, ANIMALS[:3])
    unseen, _ = make_table(rng, table, N_UNSEEN, task, missing, ANIMALS)
    pick = Picker(rng, task == "regression")
    estimator = pick.foreign(table) if foreign else pick.estimator(table, depth=2)
    return Case(estimator, rng.random() < 0.2, X, y, unseen)


# -- tables ------------------------------------------------------------------------------------------------------------


def make_table(rng, table, n_rows, task, missing, animals):
    """Return rows with six columns, and their targets."""
    numbers = rng.normal([0, 3, -1, 40, 0.01, 0], [1, 5, 0.5, 9, 0.002, 2], (n_rows, 6))
    signal = numbers[:, 0] + 0.2 * numbers[:, 1] * (numbers[:, 3] > 40) + rng.normal(0, 0.5, n_rows)
    y = 100 * signal if task == "regression" else np.digitize(signal, [0.3] if task == "two" else [-0.4, 0.9])
    y = np.array(["low", "middle", "high"])[y] if task == "strings" else y
    if table == "int64":
        return np.rint(5 * numbers).astype(np.int64), y
    if table in ("float32", "float64"):
        return numbers.astype(table), y
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    if table == "gaps":
        return numbers.astype(np.float32), y
    words = pd.Series(rng.choice(animals, n_rows), dtype=object)
    words[rng.random(n_rows) < 0.1] = missing
    return pd.DataFrame(
        {
            "size": numbers[:, 0],
            "weight": numbers[:, 1].astype(np.float32),
            "count": rng.integers(0, 20, n_rows),
            "animal": words if table == "strings" else words.astype(pd.CategoricalDtype(ANIMALS)),
            "farm": rng.choice(["north", "south", "west"], n_rows),
            "old": rng.random(n_rows) < 0.5,
        }
    ).astype({"farm": object if table == "strings" else "category"}), y


# -- estimators --------------------------------------------------------------------------------------------------------


class Picker:
    """Draw estimators for a task.

    Parameters
    ----------
    rng : numpy Generator
    regression : bool
    """

    def __init__(self, rng, regression):
        self.rng, self.regression = rng, regression
        self.seed = int(rng.integers(100))  # random_state of the estimators

    def one_of(self, *choices):
        """Return one of the arguments."""
        return choices[self.rng.integers(len(choices))]

    def forest(self, n_trees, **params):
        """Return a forest."""
        kind = self.kind(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor)
        return kind(n_trees, random_state=self.seed, **params)

    def boost(self, **params):
        """Return histogram-based gradient boosting."""
        kind = self.kind(ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
        return kind(max_iter=6, random_state=self.seed, **params)

    def kind(self, classifier, regressor):
        """Return one of two classes."""
        return regressor if self.regression else classifier

    def estimator(self, table, depth):
        """Return an estimator for a table: one that accepts it directly, or a pipeline that converts it to numbers."""
        if depth and self.one_of(True, False):
            return self.composite(table, depth)
        direct = self.direct(table)
        if direct and table != "computed" and self.one_of(True, False):
            return self.one_of(*direct)()
        steps = self.steps(table)
        last = (
            self.composite("computed", depth) if depth and self.one_of(False, True) else self.one_of(*self.leaves())()
        )
        return make_pipeline(*steps, last) if steps else last

    def direct(self, table):
        """Return an estimator that accepts tables with missing values or strings."""
        boost = partial(self.boost, categorical_features="from_dtype")
        if table == "strings":
            return [partial(self.net, categorical_features=["animal", "farm"])]
        return [self.net, boost] if table == "categories" else [self.net, boost, partial(self.forest, 10)]

    def net(self, **more):
        """Return a net."""
        params = {"max_epochs": self.one_of(2, 1), "average": self.one_of(None, "ema"), "random_state": self.seed}
        return self.kind(NetClassifier, NetRegressor)(**params, **more)

    def leaves(self):
        """Return factories of estimators for numbers without missing values."""
        seed, depth = self.seed, self.one_of(4, None)
        boost = self.kind(ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
        extra = self.kind(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor)
        tree = self.kind(DecisionTreeClassifier, DecisionTreeRegressor)
        return [
            self.net,
            lambda: self.forest(12, max_depth=depth),
            self.boost,
            lambda: boost(n_estimators=6, random_state=seed),
            lambda: Ridge() if self.regression else make_pipeline(StandardScaler(), LogisticRegression()),
            lambda: extra(8, max_depth=depth, random_state=seed),
            lambda: tree(max_depth=5, random_state=seed),
        ]

    def composite(self, table, depth):
        """Return an ensemble."""
        makers = [self.vote, self.stack, self.search, self.wrapped]
        return self.one_of(*makers)(table, depth - 1)

    def members(self, table, depth):
        """Return named members."""
        n_members = self.one_of(2, 3)
        return [(f"m{number}", self.estimator(table, depth)) for number in range(n_members)]

    def vote(self, table, depth):
        """Return a vote of sktricks or scikit-learn."""
        members = self.members(table, depth)
        weights = self.one_of(None, list(range(1, len(members) + 1)))
        if self.regression:
            return self.one_of(VotingRegressor, ensemble.VotingRegressor)(members, weights=weights)
        kind = self.one_of(VotingClassifier, ensemble.VotingClassifier)
        voting = self.one_of("soft", "hard") if depth else "soft"  # a hard vote inside another has no probabilities
        return kind(members, voting=voting, weights=weights)

    def stack(self, table, depth):
        """Return a stack of sktricks or scikit-learn."""
        members = self.members(table, depth)
        final = make_pipeline(StandardScaler(), LogisticRegression()) if not self.regression else Ridge()
        ours, theirs = (
            (StackingRegressor, ensemble.StackingRegressor)
            if self.regression
            else (StackingClassifier, ensemble.StackingClassifier)
        )
        passthrough = table in ("float32", "float64", "int64") and self.one_of(False, True)
        return self.one_of(ours, theirs)(members, final, cv=2, passthrough=passthrough)

    def search(self, table, depth):
        """Return a search with a single candidate."""
        return GridSearchCV(self.estimator(table, depth), {}, cv=2, error_score="raise")

    def wrapped(self, table, depth):
        """Return an estimator wrapped in another."""
        if table in ("float32", "float64") and self.one_of(True, False):
            augmenter = self.one_of(GaussianNoise(), SwapNoise(0.1))
            inner = self.one_of(*self.leaves())()
            return self.kind(AugmentedClassifier, AugmentedRegressor)(inner, augmenter, random_state=self.seed)
        if table in ("float32", "float64") and self.one_of(False, True):
            return self.kind(NetEnsembleClassifier, NetEnsembleRegressor)(self.net(), 2, random_state=self.seed)
        inner = self.estimator(table, depth)
        if self.regression:
            return TransformedTargetRegressor(inner, transformer=self.one_of(StandardScaler(), MinMaxScaler()))
        return CalibratedClassifierCV(inner, method="sigmoid", cv=2)

    # -- steps -----------------------------------------------------------------------------------------------------

    def steps(self, table):
        """Return successive transformers, from a table to numbers without missing values."""
        if table in ("strings", "categories"):
            return [self.columns(), *self.some_scalers()]
        first = {"gaps": [self.imputer()], "computed": []}.get(table, self.first_steps())
        return [*first, *self.some_scalers()]

    def columns(self):
        """Return a transformer that encodes strings and imputes missing values."""
        imputer = SimpleImputer(strategy="most_frequent")
        encoder = self.one_of(
            OneHotEncoder(handle_unknown="ignore", sparse_output=self.one_of(False, True)),
            OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=25, drop=self.one_of(None, "first")),
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
            make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore")),
            make_pipeline(clone(imputer).set_params(strategy="constant"), OneHotEncoder(handle_unknown="ignore")),
        )
        numbers = self.one_of(self.imputer(), make_pipeline(self.imputer(), self.scaler()))
        return ColumnTransformer(
            [("numbers", numbers, ["size", "weight"]), ("texts", encoder, ["animal", "farm"])],
            remainder=self.one_of("passthrough", "drop", StandardScaler()),
            sparse_threshold=0,
        )

    def imputer(self):
        """Return an imputer."""
        return SimpleImputer(strategy=self.one_of("mean", "median", "most_frequent"), add_indicator=self.one_of(*BOTH))

    def first_steps(self):
        """Return steps that compare the original columns, or none."""
        return self.one_of(
            [], [KBinsDiscretizer(4, encode=self.one_of("ordinal", "onehot-dense"), quantile_method="linear")], []
        )

    def some_scalers(self):
        """Return steps from numbers to numbers."""
        score = self.kind(f_classif, f_regression)
        selector = self.kind(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor)(5, random_state=self.seed)
        steps = [
            self.scaler(),
            PCA(2, whiten=self.one_of(*BOTH), random_state=self.seed),
            SelectKBest(score, k=3),
            VarianceThreshold(),
            SelectFromModel(selector),
            PolynomialFeatures(2, interaction_only=self.one_of(*BOTH)),
            FeatureUnion([("scaled", self.scaler()), ("axes", TruncatedSVD(2, random_state=self.seed))]),
        ]
        return [steps[index] for index in self.rng.permutation(len(steps))[: self.one_of(1, 0, 2)]]

    def scaler(self):
        """Return a scaler."""
        return self.one_of(StandardScaler(), MinMaxScaler(clip=self.one_of(*BOTH)), MaxAbsScaler(), RobustScaler())

    # -- what an export may refuse ---------------------------------------------------------------------------------

    def foreign(self, table):
        """Return a pipeline with a step, or a last step, that is not in the supported list."""
        steps, seed = self.steps(table), self.seed
        step = self.one_of(
            PowerTransformer(),
            QuantileTransformer(n_quantiles=20, output_distribution=self.one_of("uniform", "normal")),
            SplineTransformer(4),
            KNNImputer(),
            Nystroem(n_components=10, random_state=seed),
            RBFSampler(n_components=10, random_state=seed),
            KMeans(3, n_init=1, random_state=seed),
            FastICA(3, whiten="unit-variance", random_state=seed),
            FactorAnalysis(2),
            FunctionTransformer(np.arctan),
            Hashed(),
        )
        last = self.one_of(
            None,
            self.kind(KNeighborsClassifier, KNeighborsRegressor)(weights=self.one_of("uniform", "distance")),
            self.kind(SVC, SVR)(),
            GaussianProcessRegressor() if self.regression else GaussianProcessClassifier(),
            PLSRegression() if self.regression else NearestCentroid(),
            PLSRegression() if self.regression else RadiusNeighborsClassifier(9.0, outlier_label="most_frequent"),
        )
        if last is None:
            return make_pipeline(*steps, step, self.one_of(*self.leaves())())
        return make_pipeline(*steps, StandardScaler(), *self.one_of([], [step]), last)


BOTH = (False, True)


class Hashed(TransformerMixin, BaseEstimator):
    """A user's transformer that returns one column, a hash of each row."""

    def fit(self, X, y=None):
        """Do nothing."""
        self.fitted_ = True
        return self

    def transform(self, X):
        """Return hashes."""
        return np.array([[zlib.crc32(np.float64(row).tobytes()) / 2**32] for row in np.asarray(X)])
