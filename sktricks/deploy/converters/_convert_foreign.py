"""Fall back on skl2onnx, if it is installed, for scikit-learn's classes without a converter here.

A single estimator is converted and embedded, in float64 if its operators support it. skl2onnx converts some classes
incorrectly: those known are rejected by name; for the others, the check of the export compares the predictions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_clusterer, is_outlier_detector, is_regressor

from ..._optional import import_optional, is_installed
from .._graph import ML_OPSET, OPSET, Graph, Prediction, Table, Value

# Classes that skl2onnx 1.20 converts to wrong graphs, or to graphs that no runtime loads, in some or all settings.
WRONG = {
    "AdaBoostClassifier",
    "AdaBoostRegressor",
    "CalibratedClassifierCV",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreeClassifier",
    "ExtraTreeRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GaussianNB",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "IsolationForest",
    "KBinsDiscretizer",
    "RadiusNeighborsClassifier",
    "RadiusNeighborsRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "RandomTreesEmbedding",
}
TEXT = {"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"}


def convert_foreign(graph: Graph, estimator, X: Table) -> Value | Prediction:
    """Return the outputs of a fitted estimator for X, converted by skl2onnx; raise an error if this fails."""
    title = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn."):
        raise graph.refuse(f"{title}, for which there is no converter", cure(graph))
    if is_outlier_detector(estimator) or is_clusterer(estimator) and not hasattr(estimator, "transform"):
        raise graph.refuse(f"{title}, which is neither a classifier, a regressor nor a transformer", cure(graph))
    refuse_wrong(graph, estimator)
    if not is_installed("skl2onnx"):
        raise graph.refuse(f"{title}, which skl2onnx converts, but skl2onnx is not installed", "pip install skl2onnx")
    matrix = graph.matrix(X)
    model, dtype = convert_with_skl2onnx(graph, estimator, matrix)
    value = graph.cast(matrix, dtype)
    outputs = {output.name: output.type.tensor_type.elem_type for output in model.graph.output}
    if is_classifier(estimator):
        return embed_classifier(graph, estimator, model, value, outputs)
    if is_regressor(estimator):
        shape = call(graph, estimator, "predict", matrix).shape[1:]
        (values,) = embed(graph, model, value, outputs, {next(iter(outputs)): (*shape, *[1] * (not shape))})
        return Prediction(values=values if shape else graph.reshape(values, ()))
    name = "scores" if is_clusterer(estimator) else next(iter(outputs))  # scores are the distances to the centers
    (features,) = embed(graph, model, value, outputs, {name: call(graph, estimator, "transform", matrix).shape[1:]})
    return features


def cure(graph: Graph) -> str:
    """Return the advice for a step, or for a whole estimator, that cannot be converted."""
    other = "a common estimator of scikit-learn"
    return f"export the steps before it, or replace it by {other}" if graph.step else f"fit and export {other} instead"


def refuse_wrong(graph: Graph, estimator) -> None:
    """Raise an error if skl2onnx is known to convert an estimator, or one inside it, incorrectly."""
    for inside in estimators_in(estimator):
        title = type(inside).__name__
        if title in TEXT:
            raise graph.refuse(f"{title}, which reads text", "export the steps after it, which take its dense output")
        weights = getattr(inside, "weights", "uniform")
        if title in WRONG:
            raise graph.refuse(f"{title}, which skl2onnx does not convert correctly", cure(graph))
        if title.startswith("KNeighbors") and weights != "uniform":
            raise graph.refuse(f"{title}(weights={weights!r}), which skl2onnx does not convert correctly", cure(graph))


def estimators_in(item) -> Iterator[BaseEstimator]:
    """Yield an estimator and all fitted estimators in it."""
    if isinstance(item, BaseEstimator):
        yield item
        for name, value in vars(item).items():
            if name.endswith("_"):
                yield from estimators_in(value)
    elif isinstance(item, list | tuple) or (isinstance(item, np.ndarray) and item.dtype == object):
        for value in item:
            yield from estimators_in(value)


def convert_with_skl2onnx(graph: Graph, estimator, value: Value):
    """Return a model of an estimator that the runtime can load, and the dtype of its input, preferably float64."""
    skl2onnx, types = import_optional("skl2onnx", "onnx"), import_optional("skl2onnx.common.data_types", "onnx")
    ort, versions = import_optional("onnxruntime", "onnx"), import_optional("onnx.version_converter", "onnx")
    kinds = {np.dtype(np.float64): types.DoubleTensorType, np.dtype(np.float32): types.FloatTensorType}
    options = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    if value.dtype == np.float32:
        del kinds[np.dtype(np.float64)]
    problem = ""
    for dtype, kind in kinds.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about feature names, or those of newer versions
                model = skl2onnx.convert_sklearn(
                    estimator,
                    initial_types=[("X", kind([None, value.shape[0]]))],
                    options=options,
                    target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
                )
            if model.functions:
                raise ValueError("its graph consists of functions")
            model = versions.convert_version(model, OPSET)
            options_of_runtime = ort.SessionOptions()
            options_of_runtime.log_severity_level = 4  # errors are raised, so they need not be logged
            ort.InferenceSession(model.SerializeToString(), options_of_runtime, providers=["CPUExecutionProvider"])
        except Exception as error:  # errors of skl2onnx, onnx or the runtime may be of any class
            problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        else:
            return model, dtype
    raise graph.refuse(f"{type(estimator).__name__}, which skl2onnx does not convert ({problem})", cure(graph))


def embed(graph: Graph, model, value: Value, outputs: dict[str, int], shapes: dict[str, tuple]) -> list[Value]:
    """Add a model to the graph, and return the outputs for which ``shapes`` has the shape of a row."""
    helper = import_optional("onnx.helper", "onnx")
    dtypes = {name: helper.tensor_dtype_to_np_dtype(kind) for name, kind in outputs.items()}
    return graph.embed(model, {"X": value}, [(name, dtypes[name], shape) for name, shape in shapes.items()])


def embed_classifier(graph: Graph, estimator, model, value: Value, outputs: dict[str, int]) -> Prediction:
    """Add a classifier, and convert its labels to indices of its classes."""
    label, chances = list(outputs)[:2]
    classes = estimator.classes_ if isinstance(estimator.classes_, np.ndarray) else None
    if (
        classes is None
        or classes.dtype.kind not in "biuUO"
        or not all(isinstance(x, str | int) for x in classes.tolist())
    ):
        raise graph.refuse(f"{type(estimator).__name__} with these labels", "use one string or integer per row")
    count = len(classes)
    labels, probabilities = embed(graph, model, value, outputs, {label: (), chances: (count,)})
    strings = labels.dtype.kind in "UO"
    keys = {"keys_strings": classes.tolist()} if strings else {"keys_int64s": classes.astype(np.int64).tolist()}
    labels = graph.reshape(labels, ())  # some converters return a column
    codes = graph.op(
        "LabelEncoder", labels, dtype=np.int64, domain="ai.onnx.ml", values_int64s=list(range(count)), **keys
    )
    return Prediction(codes=codes, probabilities=probabilities if hasattr(estimator, "predict_proba") else None)


def call(graph: Graph, estimator, method: str, value: Value) -> np.ndarray:
    """Return the result of a method for one row of zeros, which shows the shape of its rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns that X has no feature names
        return np.asarray(getattr(estimator, method)(np.zeros((1, *value.shape), value.dtype)))
