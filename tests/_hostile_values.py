"""Invalid values for every constructor parameter, and a cheap instance of every estimator to set them on."""

import io
import threading
from copy import copy

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import sktricks

VALUES = [
    None,
    -1,
    0,
    True,
    2**40,
    10**400,
    0.5,
    -0.5,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e308,
    1j,
    "",
    "nonsense",
    "0",
    "\0",
    b"bytes",
    object(),
    [],
    {},
    (),
    (1, 2, 3, 4, 5),
    [None],
    [("a",)],
    {0: 1},
    {"nonsense": 1},
    int,
    lambda *args, **kwargs: None,
    np.float64(-1),
    np.int64(-1),
    np.bool_(True),
    np.array([]),
    np.array([1.0, np.nan]),
    np.array("nonsense"),
    np.array([[1, 2], [3, 4]]),
    LogisticRegression,
    threading.Lock(),
]
# Large numbers are valid for these, and take much time or memory.
AMOUNTS = {"max_epochs", "n_members", "n_copies", "n_views", "predict_views", "padding", "size"}

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(12, 4))
IMAGES = RNG.integers(0, 256, (12, 8, 8)).astype(np.uint8)
LABELS = np.array(["ink", "paper"])[np.arange(12) % 2]
NUMBERS = TABLE[:, 0] + 1
TWENTY = RNG.normal(size=(20, 4)), np.arange(20) % 2


def linear():
    """A small module."""
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))


def with_callback(callback):
    """Fit a net with a callback."""
    sktricks.NetClassifier(linear(), max_epochs=1, callbacks=[callback]).fit(*TWENTY)


OTHERS = ("BaseAugmenter", "OnnxClassifier", "OnnxRegressor")


def estimators():
    """Return the names of all public estimators that can be fitted, except those that read a file."""
    classes = {name: getattr(sktricks, name) for name in sktricks.__all__ if name not in OTHERS}
    return [name for name, cls in classes.items() if isinstance(cls, type) and hasattr(cls, "fit")]


def instance(name):
    """Return a cheap estimator, X and y."""
    trees = [("a", DecisionTreeClassifier(max_depth=1)), ("b", DecisionTreeClassifier(max_depth=2))]
    lines = [("a", DecisionTreeRegressor(max_depth=1)), ("b", Ridge())]
    flip = sktricks.RandomFlip()
    arguments = {
        "RandomApply": {"augmenter": flip},
        "AugmentationPipeline": {"steps": [("flip", flip), ("turn", sktricks.RandomRotation())]},
        "AugmentedClassifier": {"estimator": LogisticRegression(), "augmenter": sktricks.GaussianNoise()},
        "AugmentedRegressor": {"estimator": Ridge(), "augmenter": sktricks.GaussianNoise()},
        "CascadeClassifier": {"estimators": trees, "cv": 2},
        "DistilledClassifier": {"teacher": trees[0][1], "student": sktricks.NetClassifier(max_epochs=1)},
        "DistilledRegressor": {"teacher": Ridge(), "student": Ridge()},
        "NetEnsembleClassifier": {"estimator": sktricks.NetClassifier(max_epochs=1), "n_members": 2},
        "NetEnsembleRegressor": {"estimator": sktricks.NetRegressor(max_epochs=1), "n_members": 2},
    }
    for kind, members in {"Classifier": trees, "Regressor": lines}.items():
        arguments[f"Voting{kind}"] = {"estimators": members}
        arguments[f"Stacking{kind}"] = {"estimators": members, "cv": 2}
        arguments[f"Net{kind}"] = {"max_epochs": 1}
        arguments[f"FineTune{kind}"] = {"max_epochs": 1, "strategy": "linear-probe"}
    estimator = getattr(sktricks, name)(**arguments.get(name, {}))
    return estimator, *rows_for(name, estimator)


def rows_for(name, estimator):
    """Return X and y for an estimator."""
    if name == "ImageLoader":
        return [png(image) for image in IMAGES], LABELS
    y = NUMBERS if name.endswith("Regressor") else LABELS
    on_images = name.startswith(("FineTune", "Pretrained")) or hasattr(estimator, "augment")
    return IMAGES if on_images else TABLE, y


def png(image):
    """An image as the bytes of a file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def cases(name):
    """Return pairs of a parameter of an estimator and a value, which is mostly invalid."""
    parameters = instance(name)[0].get_params(deep=False)
    return [(parameter, value) for parameter in parameters for value in VALUES if is_tried(parameter, value)]


def is_tried(parameter, value):
    """Return False for a value that is valid but slow, such as one that starts processes."""
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return not (
        is_number and ((parameter in AMOUNTS and value > 1000) or (parameter == "n_jobs" and value not in (0, 1)))
    )


def use(estimator, X, y, parameter, value):
    """Fit an estimator with a value for a parameter, and call its other methods."""
    estimator = copy(estimator)
    setattr(estimator, parameter, value)  # like a constructor
    estimator.fit(X, y)
    if hasattr(estimator, "augment"):
        estimator.augment(X, y)
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(X[:3])
