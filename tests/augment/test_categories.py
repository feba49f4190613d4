import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags

from sktricks import AugmentedClassifier, FeatureDropout, MixUp, NetClassifier, SwapNoise
from sktricks.tables._categories import number_categories

RNG = np.random.default_rng(0)
CITY = RNG.choice(["Oslo", "Paris", "Rome", None], 120)
X = pd.DataFrame({"city": pd.Categorical(CITY), "age": np.where(RNG.random(120) < 0.2, np.nan, RNG.normal(size=120))})
Y = np.where(CITY == "Rome", "yes", "no")


class Remembers(ClassifierMixin, BaseEstimator):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X, y):
        self.X_, self.classes_ = X, np.unique(y)
        return self

    def predict(self, X):
        self.asked_ = X
        return np.full(len(X), self.classes_[0])


def test_categories_are_restored():
    before = X.copy()
    numbered, put_back = number_categories(X)
    assert_array_equal(numbered.city[:120].isin([0, 1, 2, 3]), True)
    rows = [5, 3, 3, 80]
    back = put_back(numbered.iloc[rows].reset_index(drop=True))
    pd.testing.assert_frame_equal(back, X.iloc[rows].reset_index(drop=True))
    pd.testing.assert_frame_equal(X, before)
    assert put_back(pd.DataFrame({"city": [0, np.nan], "age": 1.0})).city.isna().all()


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"city": pl.Series(["a", None, "b"], dtype=pl.Enum(["b", "a"])), "age": [1.0, 2, 3]})
    numbered, put_back = number_categories(frame)
    assert numbered["city"].to_list() == [1, 0, 2] and frame["city"].to_list() == ["a", None, "b"]
    assert put_back(numbered).equals(frame) and put_back(numbered).schema == frame.schema
    model = AugmentedClassifier(Remembers(), SwapNoise(0.5), random_state=0).fit(frame, [0, 1, 0])
    assert model.estimator_.X_.schema == frame.schema and len(model.estimator_.X_) == 6


def test_tables_without_categories_are_unchanged():
    for table in (X[["age"]], X[["age"]].to_numpy(), [[1, 2]]):
        assert (
            number_categories(table) == (table, None)
            if isinstance(table, list)
            else number_categories(table)[0] is table
        )


@pytest.mark.filterwarnings("ignore::sktricks.ViewsIgnoredWarning")  # some augmenters only mix rows
def test_the_estimator_gets_categories():
    model = AugmentedClassifier(Remembers(), SwapNoise(0.5), predict_views=1, random_state=0).fit(X, Y)
    assert (model.estimator_.X_.dtypes == X.dtypes).all()
    pd.testing.assert_frame_equal(model.estimator_.X_[:120], X)
    copy = model.estimator_.X_[120:].reset_index(drop=True)
    assert 20 < (copy.city.astype(object).fillna("") != X.city.astype(object).fillna("")).sum() < 60
    new = pd.DataFrame({"city": pd.Categorical(["Quito", None]), "age": [np.nan, 1.0]})
    model.predict(new)
    pd.testing.assert_frame_equal(model.estimator_.asked_, new)


@pytest.mark.parametrize(
    "estimator", [HistGradientBoostingClassifier(max_iter=20), NetClassifier(max_epochs=20, lr=0.02)]
)
@pytest.mark.parametrize("augmenter", [SwapNoise(0.1), FeatureDropout(0.1), None])
@pytest.mark.filterwarnings("ignore::sktricks.ViewsIgnoredWarning")  # some augmenters only mix rows
def test_real_estimators(estimator, augmenter):
    model = AugmentedClassifier(estimator, augmenter, predict_views=1, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.9 and get_tags(model).input_tags.allow_nan


def test_unsupported_augmenters_and_tables():
    with pytest.raises(ValueError, match="augmenter must keep the values of X, which has categories, got MixUp"):
        AugmentedClassifier(HistGradientBoostingClassifier(), MixUp()).fit(X, Y)
    with pytest.raises(ValueError, match="require DataFrames .* string column names.*got pandas after None"):
        AugmentedClassifier(HistGradientBoostingClassifier(), SwapNoise()).fit(X.set_axis([0, 1], axis=1), Y)
    with pytest.raises(ValueError, match="NaN"):
        AugmentedClassifier(LogisticRegression(), SwapNoise()).fit(X[["age"]], Y)
