import inspect
import pickle

import pytest
from sklearn.linear_model import LogisticRegression

import sktricks
from sktricks import (
    AugmentedClassifier,
    FineTuneRegressor,
    NetClassifier,
    NetEnsembleRegressor,
    RandomFlip,
    StackingClassifier,
    VotingRegressor,
)

PUBLIC = [getattr(sktricks, name) for name in sktricks.__all__ if inspect.isclass(getattr(sktricks, name))]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AugmentedClassifier(), r"^AugmentedClassifier.__init__\(\) missing 1 .* 'estimator'"),
        (lambda: NetEnsembleRegressor(), r"^NetEnsembleRegressor.__init__\(\) missing 1 .* 'estimator'"),
        (lambda: NetClassifier().fit([[0]]), r"^NetClassifier.fit\(\) missing 1 .* 'y'"),
        (lambda: NetClassifier().fit([[0]], [0], weight=1), r"^NetClassifier.fit\(\) got an unexpected .* 'weight'"),
        (lambda: FineTuneRegressor().partial_fit([[0]]), r"^FineTuneRegressor.partial_fit\(\) missing 1 .* 'y'"),
        (lambda: RandomFlip().augment(), r"^RandomFlip.augment\(\) missing 1 .* 'X'"),
        (lambda: StackingClassifier([]).transform(), r"^StackingClassifier.transform\(\) missing 1 .* 'X'"),
        (lambda: VotingRegressor([]).predict_uncertainty(), r"^VotingRegressor.predict_uncertainty\(\) missing 1 "),
    ],
)
def test_errors_of_calls_name_the_public_class(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("cls", [cls for cls in PUBLIC if hasattr(cls, "get_params")], ids=lambda cls: cls.__name__)
def test_every_public_method_has_the_name_of_a_public_class(cls):
    names = {cls.__name__ for cls in PUBLIC}
    methods = [(name, getattr(cls, name)) for name in dir(cls) if name == "__init__" or not name.startswith("_")]
    for name, method in methods:
        if inspect.isfunction(method) and method.__module__.startswith("sktricks"):
            assert inspect.unwrap(method).__qualname__.partition(".")[0] in names, name


def test_renamed_methods_are_otherwise_unchanged():
    class Mine(NetClassifier):
        pass

    assert Mine.fit is NetClassifier.fit
    assert list(inspect.signature(NetClassifier.fit).parameters) == [
        "self",
        "X",
        "y",
        "sample_weight",
        "X_val",
        "y_val",
    ]
    assert NetClassifier.fit.__doc__.startswith("Train the net")
    estimator = AugmentedClassifier(LogisticRegression(), n_copies=3)
    assert estimator.get_params(deep=False)["n_copies"] == 3
    assert pickle.loads(pickle.dumps(NetClassifier.fit)) is NetClassifier.fit
