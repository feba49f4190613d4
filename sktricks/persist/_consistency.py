"""Check that the fitted attributes of an estimator are consistent, as they are after ``fit``.

Their types were checked before (:mod:`._descriptions`). These functions check lengths, ranges and relations.
"""

from __future__ import annotations

from math import prod

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted

from ._codec import require
from ._descriptions import PIXELS
from ._steps import STEPS, check_step

LARGE = 1e9  # bound for parameters of views; larger ones could overflow 64-bit positions in an image


def check_consistency(estimator):
    """Raise an error unless the fitted attributes of an estimator are consistent."""
    learned, name = vars(estimator), type(estimator).__name__
    check_inputs(estimator, learned)
    if name in STEPS:
        check_step(estimator)
        return
    if "_views" in learned:
        check_views(estimator, [*learned["_views"], *learned.get("_fit_views", [])])
    if "_columns" in learned:
        check_columns(estimator)
    if "_kind" in learned:
        check_classes(learned["classes_"], at_least=2 if learned["_kind"] == "classes" else 1)
    if "_y_mean" in learned:
        n = learned["_n_outputs"]
        require(len(learned["_y_mean"]) == len(learned["_y_scale"]) == n, f"must have {n} means, one per output")
        require(learned["_several"] or n == 1, "must have a single output unless _several is True")
    if "_prefix" in learned:
        check_fine_tuned(learned)
    if "estimators_" in learned:
        check_members(estimator, learned)
    if "_ndim" in learned:
        check_augmented(estimator, learned)
    if name == "CodedClassifier" and learned:
        check_classes(learned["classes_"])
        check_member(learned["estimator_"], "predict")
    if "student_" in learned:
        check_distilled(estimator, learned)
    if name == "FoldModels":
        kind = type(estimator.target).__name__
        require(kind == "Target", f"must have a Target as target, got a {kind}")
        require(len(estimator.estimators) > 0, "must have estimators")


# -- rows and images ---------------------------------------------------------------------------------------------------


def check_inputs(estimator, learned):
    """Check the shape of the rows and the names of their columns."""
    n, shape = learned.get("n_features_in_"), learned.get("image_shape_")
    if shape is not None:
        of_files = hasattr(estimator, "backbone") and n == 1  # a column of image files is a single feature
        fits = prod(shape) == n or of_files
        require(fits, f"must have n_features_in_={prod(shape)} with image_shape_={shape}, got {n}")
        has_range = "_device" not in learned or learned.get("value_range_") is not None
        require(has_range, "must have value_range_ with image_shape_")
    names = learned.get("feature_names_in_")
    if names is not None:
        require(all(type(name) is str for name in names.tolist()), "must have feature_names_in_ that are strings")
        require(n is None or len(names) == n, f"must have {n} feature_names_in_, got {len(names)}")


def check_classes(classes, at_least=1):
    """Check that classes are sorted and distinct."""
    if type(classes) is list:
        for pair in classes:
            check_classes(pair)
        return
    require(len(classes) >= at_least, f"must have at least {at_least} classes_, got {len(classes)}")
    try:
        ascends = all(one < other for one, other in zip(classes[:-1].tolist(), classes[1:].tolist(), strict=True))
    except TypeError:  # values that cannot be compared, which fit rejects
        ascends = False
    require(ascends, "must have classes_ in ascending order")


def check_columns(estimator):
    """Check the columns and categories of a table; see :mod:`sktricks.tables._columns`."""
    columns, mask = estimator._columns, estimator.is_categorical_
    is_table = estimator.image_shape_ is None
    require((columns is not None) == is_table, "must have _columns if and only if X is a table")
    if columns is None:
        require(mask is None, "must have no is_categorical_ for images")
        return
    n = estimator.n_features_in_
    require(len(columns.is_categorical) == n, f"must have {n} columns, got {len(columns.is_categorical)}")
    known = np.zeros(n, bool) if mask is None else mask
    require(np.array_equal(known, columns.is_categorical), "must have the same is_categorical_ as its _columns")
    if mask is not None:
        categories = vars(estimator).get("_categories", [])
        require(len(categories) == mask.sum(), f"must have _categories for {mask.sum()} columns, got {len(categories)}")


def check_fine_tuned(learned):
    """Check the attributes of a fine-tuned net, which has a backbone only for images."""
    on_images = learned["image_shape_"] is not None
    require(on_images == (learned["_prefix"] is not None), "must have a _prefix if and only if X is images")
    require(on_images == (learned["backbone_name_"] is not None), "must have a backbone_name_ only for images")
    if "strategy_" in learned:
        fits = on_images == (learned["strategy_"] != "from-scratch")
        require(fits, "must have strategy_='from-scratch' if and only if X is a table")


def check_views(estimator, views):
    """Check that the views for averaging predictions fit the images."""
    from ..augment._base_augmenter import BaseAugmenter
    from ..augment.copies._views import apply_view

    if not views:
        return
    shape = estimator.image_shape_ or (1, estimator.n_features_in_, 1)
    value_range = vars(estimator).get("value_range_")
    too_large = f"must have views of images of at most {PIXELS} values"
    require(prod(shape) <= PIXELS, too_large)
    for view in views:
        size = shape
        for step, params in view:
            require(isinstance(step, BaseAugmenter), "must have views of augmenters")
            check_draw(step, params, size)
            size = step.output_shape(size)
            require(prod(size) <= PIXELS, too_large)
        for dtype in (np.uint8, np.float32):
            apply_view(view, np.zeros((1, *shape), dtype), value_range)


def check_draw(step, params, shape):
    """Check that the parameters of a view have the form that its step draws, and are not too large."""
    expected = step.draw(np.random.default_rng(0), 1, shape)
    extra = params.keys() - expected.keys()
    require(extra <= {"chosen"} and expected.keys() <= params.keys(), f"must have views with {[*expected]}")
    require("partner" not in params, "must have views of single rows")
    for name, values in params.items():
        like = expected.get(name, np.zeros(1, bool))
        shapes = values.shape == like.shape or (name == "weights" and values.ndim == 2 and values.shape[1] % 2 == 1)
        fits = values.dtype == like.dtype and shapes and len(values) == 1
        require(fits, f"must have a view whose {name} is like {like!r}")
        if values.dtype.kind in "if" and name != "key":
            low = 0 if name in ("box", "change", "top", "left") else -LARGE
            require(
                bool((values >= low).all() and (values <= LARGE).all()),
                f"must have views with a valid {name}",
            )


# -- ensembles ---------------------------------------------------------------------------------------------------------


def check_members(estimator, learned):
    """Check the number and the methods of the members of an ensemble, ours or scikit-learn's."""
    members = learned["estimators_"]
    n, named = len(members), learned.get("named_estimators_")
    if "_names" in learned:
        for name in ("_names", "_targets"):
            require(len(learned[name]) == n, f"must have {n} {name}, got {len(learned[name])}")
        check_targets(learned)
    for name in ("weights_", "temperatures_", "contributions_", "stack_method_", "_n_feature_outs"):
        if name in learned and not (name == "weights_" and "final_estimator_" in learned):
            require(len(learned[name]) == n, f"must have {n} {name}, got {len(learned[name])}")
    if "thresholds_" in learned:
        require(len(learned["thresholds_"]) == n - 1, f"must have {n - 1} thresholds_")
        require(not np.isnan(learned["thresholds_"]).any(), "must have thresholds_ without NaN")
    if "weights_" in learned and "final_estimator_" not in learned:
        weights = learned["weights_"]
        good = bool((weights >= 0).all() and weights.sum() > 0)
        require(good, "must have nonnegative weights_ with a positive sum")
    require(named is None or sum(type(one) is not str for one in named.values()) == n, f"must have {n} named members")
    for member, method in zip(members, methods_of(estimator, learned), strict=True):
        check_member(member, method)
    if "final_estimator_" in learned:
        check_member(learned["final_estimator_"], "predict")
    if "le_" in learned:
        check_encoder(learned["le_"])
    if "_label_encoder" in learned:
        encoders = learned["_label_encoder"]
        for one in encoders if type(encoders) is list else [encoders]:
            check_encoder(one)


def check_encoder(encoder):
    """Check the label encoder of a scikit-learn ensemble."""
    from sklearn.preprocessing import LabelEncoder

    require(type(encoder) is LabelEncoder and hasattr(encoder, "classes_"), "must have a fitted LabelEncoder")


def check_targets(learned):
    """Check that the members predict the same kind of target as the ensemble."""
    target, classes = learned["_target"], learned.get("classes_")
    require((target.kind == "values") == (classes is None), "must have classes_ only as a classifier")
    if classes is not None:
        same = type(classes) is type(target.classes) and len(classes) == len(target.classes)
        same = same and all(np.array_equal(*pair) for pair in zip(classes, target.classes, strict=True))
        require(same, "must have the same classes_ as its target")
    for one in learned["_targets"]:
        require(one.kind in (target.kind, "values"), f"must have members that predict {target.kind}, got {one.kind}")


def methods_of(estimator, learned):
    """Return the method that the ensemble calls for each member."""
    n = len(learned["estimators_"])
    if "stack_method_" in learned:
        return learned["stack_method_"]
    hard = getattr(estimator, "voting", None) == "hard" and getattr(estimator, "tie_break", "first") == "first"
    return ["predict_proba" if is_classifier(estimator) and not hard else "predict"] * n


def check_member(member, method):
    """Check that a member is fitted, is a predictor, and has the method that the ensemble calls."""
    kind = type(member).__name__
    for one in member.estimators if kind == "FoldModels" else [member]:
        check_is_fitted(one)
    predicts = is_classifier(member) or is_regressor(member) or kind == "FoldModels"
    require(predicts, f"must have members that predict, got {kind}")
    require(hasattr(member, method), f"must have members with {method}, got {kind}")


def check_augmented(estimator, learned):
    """Check the estimator that was fitted on augmented copies."""
    inner, ndim, shape = learned["estimator_"], learned["_ndim"], learned["image_shape_"]
    check_member(inner, "predict")
    same_kind = is_classifier(inner) == is_classifier(estimator)
    require(same_kind, f"must have an estimator_ of the same kind, got {type(inner).__name__}")
    require(ndim == 2 or shape is not None, f"must have an image_shape_ with _ndim={ndim}")
    require(ndim != 3 or shape[2] == 1, f"must have images of one channel with _ndim=3, got {shape}")
    require(learned["_table"] is None or "feature_names_in_" in learned, "must have feature_names_in_ with _table")


def check_distilled(estimator, learned):
    """Check the student of a distilled estimator, which must have one output per class."""
    student = learned["student_"]
    if "classes_" not in learned:
        check_member(student, "predict")
        same_kind = is_regressor(student)
    else:
        check_classes(learned["classes_"], at_least=2)
        check_member(student, "predict_proba")
        same_kind = is_classifier(student) and len(student.classes_) == len(learned["classes_"])
    require(same_kind, f"must have a student_ of the same kind and classes, got {type(student).__name__}")
