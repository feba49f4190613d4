"""Converters of wrappers: classifiers fitted on codes, models of all folds, one classifier per label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...ensemble._target import Target
from .._graph import Graph, Prediction, Table
from ._aligned_members import add_members, read_member
from ._graph_votes import count_votes, mean
from ._operators import above_half
from ._registry import convert, converts


@converts("sktricks._coded.CodedClassifier")
def convert_coded_classifier(graph: Graph, coded, X: Table) -> Prediction:
    """Add the inner classifier, and align its codes with the classes."""
    inner, prediction = coded.estimator_, convert(graph, coded.estimator_, X)
    target = Target("classes", np.arange(len(coded.classes_)))
    codes = read_member(graph, inner, prediction, "predict", target)
    if prediction.probabilities is None:
        return replace(prediction, codes=codes)
    probabilities = read_member(graph, inner, prediction, "predict_proba", target)
    return replace(prediction, codes=codes, probabilities=probabilities)


@converts("sktricks.ensemble._fold_models.FoldModels")
def convert_fold_models(graph: Graph, folds, X: Table) -> Prediction:
    """Add the models of all folds: a vote for classes, means for all other predictions."""
    target = folds.target
    members = add_members(graph, [f"fold{number}" for number in range(len(folds.estimators))], folds.estimators, X)
    predictions = [member.prediction for member in members]

    def mean_of(method):
        return mean(graph, [member.read(graph, method, target) for member in members])

    if target.kind == "values":
        return Prediction(values=mean_of("predict"))
    if target.kind == "multilabel":
        codes = above_half(graph, mean_of_codes(graph, members, target))
    else:
        votes = [member.read(graph, "predict", target) for member in members]
        codes = graph.argmax(count_votes(graph, votes, target.width, np.ones(len(votes))))
    has_probabilities = all(one.probabilities is not None for one in predictions)
    has_scores = all(one.scores is not None for one in predictions)
    scores = mean_of("decision_function") if has_scores else None
    if scores is not None and scores.shape == (1,):
        scores = graph.reshape(scores, ())
    return Prediction(codes=codes, probabilities=mean_of("predict_proba") if has_probabilities else None, scores=scores)


def mean_of_codes(graph: Graph, members, target):
    """Return the mean of the multilabel codes 0 and 1, float64."""
    return mean(graph, [graph.cast(member.read(graph, "predict", target), np.float64) for member in members])


@converts("sklearn.multioutput.MultiOutputClassifier")
def convert_multi_output_classifier(graph: Graph, multi, X: Table) -> Prediction:
    """Add one classifier per label, for labels 0 and 1; the probabilities are those of 1."""
    if not all(set(np.ravel(classes).tolist()) <= {0, 1} for classes in multi.classes_):
        raise graph.refuse("labels that are not 0 or 1 for each of several outputs", "export a classifier per output")
    target = Target("classes", np.array([0, 1]))
    names = [f"label{number}" for number in range(len(multi.estimators_))]
    members = add_members(graph, names, multi.estimators_, X)
    codes = graph.concat([graph.reshape(member.read(graph, "predict", target), (1,)) for member in members])
    if any(member.prediction.probabilities is None for member in members):
        return Prediction(codes=codes)
    columns = [graph.take(member.read(graph, "predict_proba", target), [1]) for member in members]
    return Prediction(codes=codes, probabilities=graph.concat(columns))
