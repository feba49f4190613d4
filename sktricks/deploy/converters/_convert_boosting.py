"""Converters of scikit-learn's GradientBoosting and HistGradientBoosting, with exact raw predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from .._graph import Graph, Prediction, Table, Value
from ._boosted_trees import as_numbers, find_categories, from_predictor
from ._operators import complement, opposite, softmax
from ._registry import converts, predict
from ._tree_ensembles import add_stages, from_sklearn

DUMMIES = (DummyClassifier, DummyRegressor)


@converts("sklearn.ensemble.GradientBoostingClassifier", "sklearn.ensemble.GradientBoostingRegressor")
def convert_gradient_boosting(graph: Graph, boosting, X: Table) -> Prediction:
    """Add the trees of each stage to the prediction of ``init``; X has no missing values."""
    value = graph.matrix(X, np.float32)
    estimators = list(boosting.estimators_.ravel())
    trees = [replace(from_sklearn(e.tree_), missing_left=np.zeros(e.tree_.node_count, bool)) for e in estimators]
    values = [boosting.learning_rate * e.tree_.value[e.tree_.children_left < 0, 0] for e in estimators]
    raw = add_stages(graph, value, trees, values, start_of(graph, boosting, value))
    if not hasattr(boosting, "classes_"):
        return Prediction(values=graph.reshape(raw, ()))
    return classify(graph, boosting, raw, "GreaterOrEqual")


@converts("sklearn.ensemble.HistGradientBoostingClassifier", "sklearn.ensemble.HistGradientBoostingRegressor")
def convert_hist_gradient_boosting(graph: Graph, boosting, X: Table) -> Prediction:
    """Add the trees of each stage to the baseline; unseen categories are treated as missing values."""
    categories = find_categories(boosting)
    value = as_numbers(graph, X, categories)
    predictors = [predictor for stage in boosting._predictors for predictor in stage]
    trees = [from_predictor(predictor, categories) for predictor in predictors]
    values = [predictor.nodes["value"][predictor.nodes["is_leaf"].astype(bool), None] for predictor in predictors]
    raw = add_stages(graph, value, trees, values, np.ravel(boosting._baseline_prediction))
    if hasattr(boosting, "classes_"):
        return classify(graph, boosting, raw, "Greater")
    return Prediction(values=graph.reshape(invert_link(graph, boosting, raw), ()))


def start_of(graph: Graph, boosting, X: Value) -> np.ndarray | Value:
    """Return the raw prediction of ``init``: one constant per column, or a value that depends on X."""
    init = boosting.init_
    if isinstance(init, str) or (isinstance(init, DUMMIES) and init.strategy != "stratified"):
        return boosting._raw_predict_init(np.zeros((1, boosting.n_features_in_), np.float32))[0]
    with graph.scope("init"):
        found = predict(graph, init, X)
        if found.values is not None:
            return graph.reshape(graph.cast(found.values, np.float64), (1,))
        if found.probabilities is not None:
            return link(graph, boosting, graph.cast(found.probabilities, np.float64))
        raise graph.refuse(f"{type(init).__name__} without probabilities", "use another init")


def link(graph: Graph, boosting, probabilities: Value) -> Value:
    """Return the raw predictions for the probabilities of ``init``."""
    smallest = smallest_probability()
    several = boosting.n_trees_per_iteration_ > 1
    value = probabilities if several else graph.take(probabilities, [1])
    limits = [graph.constant(limit, np.float64) for limit in (smallest, 1 - smallest)]
    value = graph.op("Clip", value, *limits, dtype=np.float64, shape=value.shape)
    if several:
        logs = graph.op("Log", value, dtype=np.float64, shape=value.shape)
        mean = graph.op("ReduceMean", logs, graph.constant([1], np.int64), dtype=np.float64, shape=(1,))
        return graph.binary("Sub", logs, mean)
    rest = opposite(graph, 1.0, value)
    logit = graph.op("Log", graph.binary("Div", value, rest), dtype=np.float64, shape=(1,))
    return graph.binary("Div", logit, slope(graph, boosting))


def smallest_probability() -> float:
    """Return the bound at which scikit-learn clips the probabilities of ``init``; it depends on the version."""
    from scipy.special import expit
    from sklearn._loss import HalfBinomialLoss
    from sklearn.ensemble._gb import _init_raw_predictions

    never = DummyClassifier(strategy="constant", constant=0).fit([[0], [0]], [0, 1])
    return float(expit(_init_raw_predictions(np.zeros((1, 1)), never, HalfBinomialLoss(), True)[0, 0]))


def classify(graph: Graph, boosting, raw: Value, positive: str) -> Prediction:
    """Return classes and probabilities for raw predictions.

    With two classes, the operator ``positive`` compares the raw prediction with 0 to decide for the second.
    """
    if raw.shape[0] > 1:
        probabilities = softmax(graph, raw)
        return Prediction(codes=graph.argmax(raw), probabilities=probabilities, scores=raw)
    scores = graph.reshape(raw, ())
    second = graph.op(positive, scores, graph.constant(0.0), dtype=bool)
    scaled = graph.binary("Mul", raw, slope(graph, boosting))
    p = graph.op("Sigmoid", scaled, dtype=raw.dtype, shape=(1,))
    return Prediction(codes=graph.cast(second, np.int64), probabilities=complement(graph, p), scores=scores)


def slope(graph: Graph, boosting) -> float:
    """Return the factor that makes the raw prediction for two classes a logit."""
    found = {"LogitLink": 1.0, "HalfLogitLink": 2.0}.get(type(boosting._loss.link).__name__)
    if found is None:
        raise graph.refuse(f"loss={boosting.loss!r}", "use loss='log_loss'")
    return found


def invert_link(graph: Graph, boosting, raw: Value) -> Value:
    """Return the predictions of a regressor for raw predictions."""
    name = type(boosting._loss.link).__name__
    if name == "IdentityLink":
        return raw
    if name == "LogLink":
        return graph.op("Exp", raw, dtype=raw.dtype, shape=raw.shape)
    raise graph.refuse(f"loss={boosting.loss!r}", "use one of scikit-learn's losses by name")
