"""scikit-learn's wrappers around nets: those that accept images, and those that require rows."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor
from sklearn.ensemble import StackingClassifier as PlainStack
from sklearn.ensemble import VotingClassifier as PlainVote
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.semi_supervised import SelfTrainingClassifier

from sktricks import FineTuneClassifier, FineTuneRegressor, NetClassifier, NetEnsembleClassifier, NetRegressor
from sktricks.ensemble import StackingClassifier, VotingClassifier

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
IMAGES = (RNG.random((60, 8, 8)) * 60 + LABELS[:, None, None] * 90).astype(np.uint8)
COLOUR = np.repeat(IMAGES[..., None], 3, axis=3)
ROWS = IMAGES.reshape(60, -1)

BINARY = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}
SEVERAL = {"MultiOutputClassifier", "ClassifierChain"}

# The table of docs/ensembles.md.
TAKE_IMAGES = {
    "AdaBoostClassifier": lambda net: AdaBoostClassifier(net, n_estimators=2, random_state=0),
    "CalibratedClassifierCV": lambda net: CalibratedClassifierCV(net, cv=2),
    "FixedThresholdClassifier": lambda net: FixedThresholdClassifier(net),
    "GridSearchCV": lambda net: GridSearchCV(net, {"lr": [1e-3]}, cv=2),
    "MultiOutputClassifier": MultiOutputClassifier,
    "NetEnsembleClassifier": lambda net: NetEnsembleClassifier(net, n_members=2, random_state=0),
    "OneVsRestClassifier": OneVsRestClassifier,
    "scikit-learn's StackingClassifier": lambda net: PlainStack([("net", net)], cv=2),
    "scikit-learn's VotingClassifier": lambda net: PlainVote([("net", net)], voting="soft"),
    "StackingClassifier": lambda net: StackingClassifier([("net", net)], cv=2),
    "TunedThresholdClassifierCV": lambda net: TunedThresholdClassifierCV(net, cv=2),
    "VotingClassifier": lambda net: VotingClassifier([("net", net)], voting="soft"),
}
TAKE_ROWS = {
    "BaggingClassifier": lambda net: BaggingClassifier(net, n_estimators=2, random_state=0),
    "OneVsOneClassifier": OneVsOneClassifier,
    "OutputCodeClassifier": lambda net: OutputCodeClassifier(net, random_state=0),
    "SelfTrainingClassifier": lambda net: SelfTrainingClassifier(net, threshold=0.5),
}


def head(image_shape=None):
    return FineTuneClassifier(image_shape=image_shape, strategy="linear-probe", max_epochs=3, random_state=0)


def labels_for(name):
    if name in SEVERAL:
        return np.stack([LABELS > 0, LABELS > 1], axis=1).astype(int)
    if name == "SelfTrainingClassifier":
        return np.where(np.arange(60) < 45, LABELS, -1)  # the last ones have none
    return (LABELS > 0).astype(int) if name in BINARY else LABELS


@pytest.mark.parametrize("name", [*TAKE_IMAGES, *TAKE_ROWS])
def test_all_take_rows(name):
    y = labels_for(name)
    wrapped = (TAKE_IMAGES | TAKE_ROWS)[name](head((8, 8))).fit(ROWS, y)
    assert np.mean(wrapped.predict(ROWS)[y >= 0] == y[y >= 0]) > 0.9


@pytest.mark.parametrize("X", [IMAGES, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("name", TAKE_IMAGES)
def test_take_images(name, X):
    y = labels_for(name)
    assert np.mean(TAKE_IMAGES[name](head()).fit(X, y).predict(X) == y) > 0.9


@pytest.mark.parametrize("name", TAKE_ROWS)
def test_need_rows(name):
    with pytest.raises(ValueError, match="dim 4"):
        TAKE_ROWS[name](head()).fit(COLOUR, LABELS)


def test_a_chain_adds_columns_which_only_a_table_can_have():
    y = labels_for("ClassifierChain")
    chain = ClassifierChain(NetClassifier(max_epochs=30, random_state=0), random_state=0)
    assert np.mean(chain.fit(ROWS.astype(float), y).predict(ROWS.astype(float)) == y) > 0.9
    with pytest.raises(ValueError, match="needs 64 columns, X has 65"):
        ClassifierChain(head((8, 8)), random_state=0).fit(ROWS, y)


def test_half_of_the_columns_are_no_image():
    with pytest.raises(ValueError, match=r"image_shape=\(8, 8\) needs 64 columns, X has 32"):
        BaggingClassifier(head((8, 8)), 2, max_features=0.5, random_state=0).fit(ROWS, LABELS)


@pytest.mark.parametrize("net", [NetClassifier, NetRegressor])
def test_bagging_draws_rows_and_columns_of_a_table(net):
    wrapper = BaggingClassifier if net is NetClassifier else BaggingRegressor
    bag = wrapper(net(max_epochs=30, random_state=0), 3, max_features=0.5, random_state=0).fit(ROWS / 255.0, LABELS)
    assert bag.score(ROWS / 255.0, LABELS) > 0.9
    assert [len(columns) for columns in bag.estimators_features_] == [32] * 3


def test_boosting_hands_its_weights_on():
    boosted = AdaBoostClassifier(NetClassifier(max_epochs=3, random_state=0), n_estimators=3, random_state=0)
    rows, noisy = ROWS / 255.0, np.where(np.arange(60) % 10 == 0, (LABELS + 1) % 3, LABELS)
    boosted.fit(rows, noisy)
    assert len(boosted.estimators_) == 3 and len({net.predict_proba(rows)[0, 0] for net in boosted.estimators_}) == 3


def test_boosting_of_regressors_draws_rows():
    net = FineTuneRegressor(image_shape=(8, 8), strategy="linear-probe", max_epochs=30, random_state=0)
    boosted = AdaBoostRegressor(net, n_estimators=2, random_state=0).fit(ROWS, LABELS.astype(float))
    assert boosted.score(ROWS, LABELS) > 0.8
