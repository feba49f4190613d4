"""The usual estimators to try first for a kind of rows and targets."""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR

from .._validation import to_plain
from ..images._image_column import as_column
from ..tables._frames import is_frame, is_numeric, is_pandas
from ..training import NetClassifier, NetRegressor
from ..transfer import FineTuneClassifier, FineTuneRegressor, PretrainedFeatures

MOST_CATEGORIES = 255  # limit of HistGradientBoosting


def usual_estimators(X, *, classify: bool) -> dict[str, BaseEstimator]:
    """Return a linear model, another usual model and a net for rows like X, by the names of their classes.

    Images are encoded by a pretrained net for all three. Columns of a DataFrame without numbers are encoded for the
    first two and declared as categories for the net.

    Parameters
    ----------
    X : array-like, DataFrame or column of image files
    classify : bool
        False for a regression.
    """
    linear = LogisticRegression(max_iter=1000) if classify else Ridge()
    if holds_images(X):
        other = SVC() if classify else SVR()
        net = FineTuneClassifier(random_state=0) if classify else FineTuneRegressor(random_state=0)
        models = [make_pipeline(PretrainedFeatures(), StandardScaler(), model) for model in (linear, other)]
    else:
        kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        net = NetClassifier(random_state=0) if classify else NetRegressor(random_state=0)
        if is_frame(X):  # as for the other two, all columns without numbers are categories
            net.set_params(categorical_features=[not is_numeric(dtype) for dtype in X.dtypes])
        other, models = kind(random_state=0), with_encoders(X, linear, kind(random_state=0))
    return {type(model).__name__: made for model, made in zip((linear, other, net), [*models, net], strict=True)}


def holds_images(X):
    """Return True for arrays of images and for a column of image files."""
    return as_column(X) is not None or getattr(to_plain(X), "ndim", 2) > 2


def with_encoders(X, linear, boosting):
    """Return pipelines that impute missing values, scale numbers and encode categories, as each model requires."""
    scale = [SimpleImputer(), StandardScaler()]
    if not is_frame(X):
        return [make_pipeline(*scale, linear), boosting]
    types = dict(zip(X.columns, X.dtypes, strict=True))
    numbers = [name for name, dtype in types.items() if is_numeric(dtype)]
    others = [name for name in types if name not in numbers]
    if not others:
        return [make_pipeline(*scale, linear), boosting]
    one_hot = OneHotEncoder(handle_unknown="ignore")
    ordinal = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1, max_categories=MOST_CATEGORIES
    )
    boosting.set_params(categorical_features=list(range(len(others))))
    encode = make_column_transformer((ordinal, others), remainder="passthrough")
    if is_pandas(X):
        encode.set_output(transform="pandas")  # an array cannot hold the pandas.NA of numbers
    return [
        make_pipeline(make_column_transformer((make_pipeline(*scale), numbers), (one_hot, others)), linear),
        make_pipeline(encode, boosting),
    ]
