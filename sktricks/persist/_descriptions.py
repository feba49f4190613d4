"""The fitted attributes of each class: the fixed schema of archives.

An attribute that is not described here can be neither saved nor loaded. Add new attributes of a class here, with their
type from :mod:`._specs`; ``maybe`` marks attributes that not every fit sets. Parameters are not described here: they
are checked by the constraints of their class and by :mod:`._stored_params`.
"""

from __future__ import annotations

from math import prod

from sklearn.utils import Bunch

from ..augment import BaseAugmenter
from ._specs import (
    COLUMNS,
    NAMES,
    OUTPUT,
    Spec,
    array,
    boolean,
    dict_of,
    either,
    entries,
    estimator,
    integer,
    label,
    labels,
    list_of,
    maybe,
    only,
    optional,
    pixel_range,
    real,
    string,
    tuple_of,
)
from ._steps import STEPS
from ._tensors import is_torch

PIXELS = 2**25  # values per image; building a net runs one image of this size before the weights are loaded
DEVICES = ("cpu", "cuda", "mps", "xpu")
DTYPES = ("torch.float32", "torch.float64", "torch.float16", "torch.bfloat16")  # dtypes of nets


def instance(of):
    """Return the spec of instances of one of our own classes, by its name, without subclasses."""

    def fits(value):
        cls = type(value)
        return cls.__name__ == of and cls.__module__.partition(".")[0] == "sktricks"

    return Spec(f"a {of}", fits)


real_or_nan = Spec("a number or NaN", lambda value: type(value) is float)
augmenter = optional(Spec("an augmenter", lambda value: isinstance(value, BaseAugmenter)))
member = either(estimator, only("drop"))
names = list_of(string)
target = instance("Target")
device = Spec(
    f"a torch device of the type {', '.join(DEVICES)}",
    lambda value: is_torch(value, "device") and value.type in DEVICES,
)
dtype = Spec("a floating dtype of torch", lambda value: is_torch(value, "dtype") and str(value) in DTYPES)
image_shape = Spec(
    f"a tuple (height, width, channels) of at most {PIXELS} values",
    lambda value: tuple_of(*[integer(1, PIXELS)] * 3).fits(value) and prod(value) <= PIXELS,
)
# Pairs of a step and its parameters, from :mod:`sktricks.augment.copies._views`; checked by _consistency.py.
drawn = tuple_of(estimator, dict_of(string, array("biuf", 1, 2, 3, 4, finite=True)))
views = Spec("a list of views, each a list of pairs of an augmenter and arrays", list_of(list_of(drawn)).fits)

INPUTS = {**COLUMNS, "image_shape_": optional(image_shape)}
RESIZING = only("squash", "crop")
WHITE = optional(real(0, 2**32))
decoding = entries({"white_level": WHITE, "resize_mode": RESIZING, "interpolation": only("bilinear", "bicubic")})
loading = entries(
    {
        "size": optional(tuple_of(integer(1, PIXELS), integer(1, PIXELS))),
        "mode": only("RGB", "L"),
        "resize_mode": RESIZING,
        "white_level": WHITE,
        "flatten": boolean,
    }
)
AUGMENTER = {**INPUTS, **OUTPUT, "value_range_": optional(pixel_range)}
MIXER = {**AUGMENTER, "target_": maybe(only("classes", "values", None)), "classes_": maybe(labels)}
# The values of parameters in fit: save compares them with the current ones, load computes them from the parameters.
BUILT_WITH = {"_built_with": maybe(dict_of(string, string))}
AUGMENTED = {
    **BUILT_WITH,
    **INPUTS,
    "value_range_": optional(pixel_range),
    "_ndim": integer(2, 4),
    "_table": only(None, "pandas", "polars"),
    "_several": boolean,
    "_seed": integer(),
    "_n_batches": integer(),
    "augmenter_": augmenter,
    "_views": views,
    "estimator_": estimator,
}

DISTILLED = {
    "n_features_in_": maybe(integer(1)),
    **NAMES,
    "teacher_": maybe(estimator),  # may be deleted, since it is not used to predict
    "student_": estimator,
    "agreement_": real_or_nan,
    "_allow_nan": boolean,
}

PRECISION = only("float32", "bfloat16")
# All but the torch part, which _net_state.py writes.
NET = {
    **BUILT_WITH,
    "pruning_": maybe(instance("PruningReport")),
    **INPUTS,
    "value_range_": maybe(pixel_range),
    "n_iter_": integer(),
    "lr_": real(0),
    "batch_size_": maybe(integer(1)),
    "_seed": integer(),
    "_device": device,
    "precision_": maybe(PRECISION),
    "_dtype": dtype,
    "_augmenter": maybe(augmenter),  # absent if it is the user's code, which must be passed to ``load``
    "_views": views,
    "_fit_views": views,
}
CLASSES = {"classes_": labels, "_kind": only("classes", "multilabel", "soft")}
VALUES = {
    "_several": boolean,
    "_n_outputs": integer(1),
    "_y_mean": array("f", 1),
    "_y_scale": array("f", 1),
}
TABLE = {
    "is_categorical_": optional(array("b", 1)),
    "_auto_batch_size": integer(1),
    "_categories": maybe(list_of(list_of(label))),
    "_columns": optional(instance("Columns")),
    "_by_batch": boolean,
}
TUNED = {
    "backbone_name_": optional(string),
    "strategy_": only("linear-probe", "fine-tune", "lp-ft", "gradual", "from-scratch"),
    "_prefix": optional(instance("Prefix")),
    "_decoding": decoding,
    "_n_rows": real(1),
}

MEMBERS = {
    "_target": target,
    "_targets": list_of(target),
    "_names": names,
    "estimators_": list_of(estimator, at_least=1),
}
ENSEMBLE = {
    **MEMBERS,
    **NAMES,
    "named_estimators_": dict_of(string, member, Bunch),
    "oof_predictions_": maybe(array("f", 2, 3)),
    "contributions_": maybe(array("f", 1)),
    "weights_": maybe(array("f", 1)),
    "weights_accepted_": maybe(boolean),
}
ENSEMBLE_CLASSES = {"classes_": either(labels, list_of(labels))}
FACTORS = array("f", 1, finite=True)
VOTE = {**ENSEMBLE, **OUTPUT, "weights_": FACTORS, "temperatures_": maybe(FACTORS)}
METHODS = only("predict_proba", "decision_function", "predict")
STACK = {
    **ENSEMBLE,
    **OUTPUT,
    "oof_predictions_": array("f", 2),
    "stack_method_": list_of(METHODS),
    "_n_feature_outs": list_of(integer(1)),
    "_n_passed": integer(),
    "final_estimator_": estimator,
}
NETS = {**MEMBERS, **{name: maybe(spec) for name, spec in INPUTS.items()}}

# scikit-learn's own containers
SKLEARN_MEMBERS = {
    "estimators_": list_of(estimator, at_least=1),
    **NAMES,
    "named_estimators_": dict_of(string, member, Bunch),
    **OUTPUT,
}
SKLEARN_STACK = {
    "stack_method_": list_of(METHODS),
    "_n_feature_outs": maybe(list_of(integer(1))),
    "final_estimator_": estimator,
}
ENCODERS = either(estimator, list_of(estimator))

# Our other augmenters have the attributes in AUGMENTER.
OWN = {
    **{name: MIXER for name in ("MixUp", "CutMix", "RandomApply", "AugmentationPipeline")},
    "AugmentedClassifier": AUGMENTED,
    "AugmentedRegressor": AUGMENTED,
    "DistilledClassifier": {**DISTILLED, "classes_": labels, "temperature_": real(0)},
    "DistilledRegressor": DISTILLED,
    "OnnxClassifier": {},  # their model is a separate file, which must be passed to ``load``
    "OnnxRegressor": {},
    "NetClassifier": {**NET, **CLASSES, **TABLE},
    "NetRegressor": {**NET, **VALUES, **TABLE},
    "FineTuneClassifier": {**NET, **CLASSES, **TUNED},
    "FineTuneRegressor": {**NET, **VALUES, **TUNED},
    "PretrainedFeatures": {
        **INPUTS,
        **OUTPUT,
        "value_range_": maybe(pixel_range),
        "_n_features_out": integer(1),
        "_device": maybe(device),
        "precision_": maybe(PRECISION),
        "_prefix": optional(instance("Prefix")),
        "_decoding": decoding,
        **BUILT_WITH,
        "backbone_name_": optional(string),
    },
    "ImageLoader": {**OUTPUT, "_fitted": loading},
    "VotingClassifier": {**VOTE, **ENSEMBLE_CLASSES},
    "VotingRegressor": VOTE,
    "StackingClassifier": {**STACK, **ENSEMBLE_CLASSES},
    "StackingRegressor": {**STACK, "stack_method": maybe(METHODS)},
    "CascadeClassifier": {
        **ENSEMBLE,
        "classes_": labels,
        "thresholds_": array("f", 1),
        "escalated_fraction_": real(),
    },
    "NetEnsembleClassifier": {**NETS, **ENSEMBLE_CLASSES},
    "NetEnsembleRegressor": NETS,
    # callbacks have no fitted attributes, since nets copy them
    "FreezeLayers": {},
    "AverageWeights": {},
    "GradientNorms": {},
    # private classes inside other estimators
    "FoldModels": {},
    "CodedClassifier": {"estimator_": estimator, "classes_": labels},
}
CONTAINERS = {
    "Pipeline": OUTPUT,
    "FeatureUnion": OUTPUT,
    "FrozenEstimator": {},
    "LabelEncoder": {**OUTPUT, "classes_": maybe(labels)},
    "VotingClassifier": {**SKLEARN_MEMBERS, **ENSEMBLE_CLASSES, "le_": estimator},
    "VotingRegressor": SKLEARN_MEMBERS,
    "StackingClassifier": {**SKLEARN_MEMBERS, **SKLEARN_STACK, **ENSEMBLE_CLASSES, "_label_encoder": ENCODERS},
    "StackingRegressor": {**SKLEARN_MEMBERS, **SKLEARN_STACK, "stack_method": maybe(METHODS)},
    **STEPS,
}


def describe_class(cls):
    """Return the specs of the fitted attributes of a class, by name; None for an unknown class."""
    if cls.__module__.partition(".")[0] == "sktricks":
        return OWN.get(cls.__name__, AUGMENTER if issubclass(cls, BaseAugmenter) else None)
    return CONTAINERS[cls.__name__]


def find_undescribed(cls, learned):
    """Return the first invalid attribute of an instance and what is expected instead, or None.

    Parameters
    ----------
    cls : type
    learned : dict
        All attributes that are not parameters, without the torch part.
    """
    known = describe_class(cls)
    for name, value in learned.items():
        if name not in known:
            return name, "absent: it is not a fitted attribute of " + cls.__name__
        if not known[name].fits(value):
            return name, known[name].text
    fitted = learned.keys() - OUTPUT.keys()
    missing = [name for name, spec in known.items() if spec.required and name not in learned] if fitted else []
    return (missing[0], known[missing[0]].text) if missing else None
