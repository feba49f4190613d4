"""Converters of meta-estimators for binary classifiers: tuned thresholds, and one-vs-rest."""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._operators import SKLEARN, compare, complement, row_sum, where
from ._registry import converts, predict

# The first version in which OneVsRestClassifier breaks ties in favor of the first class, not the last.
LAST_OF_EQUAL = SKLEARN < (1, 8)


@converts("sklearn.model_selection.TunedThresholdClassifierCV", "sklearn.model_selection.FixedThresholdClassifier")
def convert_threshold(graph: Graph, model, X: Table) -> Prediction:
    """Compare the score of the positive class with a threshold."""
    estimator = getattr(model, "estimator_", model.estimator)
    inside = predict(graph, estimator, X)
    method = model.response_method
    by_probability = method == "predict_proba" or (method == "auto" and hasattr(estimator, "predict_proba"))
    positive = 1 if model_positive(model) is None else model.classes_.tolist().index(model_positive(model))
    threshold = getattr(model, "best_threshold_", getattr(model, "threshold", None))
    threshold = threshold if threshold != "auto" else (0.5 if by_probability else 0.0)
    if by_probability:
        score = graph.column(need(graph, inside.probabilities, estimator, "probabilities"), positive)
    else:
        score = need(graph, inside.scores, estimator, "decision_function")
        score = score if positive == 1 else graph.op("Neg", score, dtype=score.dtype)
    reached = compare(graph, "GreaterOrEqual", score, np.asarray(threshold, np.result_type(score.dtype, threshold)))
    reached = reached if positive == 1 else graph.op("Not", reached, dtype=bool)
    return Prediction(codes=graph.cast(reached, np.int64), probabilities=inside.probabilities, scores=inside.scores)


def model_positive(model):
    """Return the positive class: the parameter of FixedThresholdClassifier, or that of the tuned scorer."""
    if hasattr(model, "pos_label"):
        return model.pos_label
    return model._curve_scorer._get_pos_label()


@converts("sklearn.multiclass.OneVsRestClassifier")
def convert_one_vs_rest(graph: Graph, model, X: Table) -> Prediction:
    """Predict the class whose binary classifier has the largest score."""
    if model.multilabel_:
        raise graph.refuse("OneVsRestClassifier with several labels per row", "use one label per row")
    members = []
    for index, member in enumerate(model.estimators_):
        with graph.scope(f"class{index}"):
            members.append((member, predict(graph, member, X)))
    # Like scikit-learn, prefer the decision function of a member to its probabilities.
    votes, by_score = [], []
    for member, inside in members:
        by_score.append(hasattr(member, "decision_function"))
        if by_score[-1]:
            votes.append(need(graph, inside.scores, member, "decision_function"))
        else:
            votes.append(graph.column(need(graph, inside.probabilities, member, "probabilities"), 1))
    scores = graph.concat([graph.reshape(vote, (1,)) for vote in votes])
    chances = [inside.probabilities for _, inside in members if inside.probabilities is not None]
    probabilities = None
    if len(chances) == len(members):
        probabilities = normalize(graph, [graph.take(chance, [1]) for chance in chances])
    if len(members) > 1:
        last = int(LAST_OF_EQUAL)
        codes = graph.op("ArgMax", scores, dtype=np.int64, axis=1, keepdims=0, select_last_index=last)
        return Prediction(codes=codes, probabilities=probabilities, scores=scores if all(by_score) else None)
    above = compare(graph, "Greater", votes[0], np.asarray(0.0 if by_score[0] else 0.5, votes[0].dtype))
    scores_out = votes[0] if by_score[0] else None
    return Prediction(codes=graph.cast(above, np.int64), probabilities=probabilities, scores=scores_out)


def normalize(graph: Graph, columns: list[Value]) -> Value:
    """Return the one-vs-rest probabilities of the classes, normalized."""
    if len(columns) == 1:
        return complement(graph, columns[0])
    together = graph.concat(columns)
    sums = row_sum(graph, together)
    # Rows of zeros stay zeros.
    sums = where(graph, compare(graph, "Equal", sums, np.asarray(0, sums.dtype)), graph.constant(1, sums.dtype), sums)
    return graph.binary("Div", together, sums)


def need(graph: Graph, value: Value | None, estimator, what: str) -> Value:
    """Return an output of a converted estimator, or raise an error if it has none."""
    if value is None:
        raise graph.refuse(
            f"{type(estimator).__name__}, whose {what} cannot be exported", "use another estimator there"
        )
    return value
