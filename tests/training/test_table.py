"""Nets on real-world tables: categories, missing values, DataFrames."""

import pickle
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from torch import nn

from sktricks import (
    CutMix,
    FeatureDropout,
    FineTuneClassifier,
    GaussianNoise,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetRegressor,
    NoPretrainedBackboneWarning,
    StackingClassifier,
    SwapNoise,
    VotingClassifier,
    load,
    make_augmentation_pipeline,
    save,
)
from sktricks.tables._columns import learn_columns
from sktricks.training import _fit_many
from sktricks.training._modules import CategoryEmbedding, ResidualMLP
from sktricks.training._net import TableOrImageNet

nan = np.nan
RNG = np.random.default_rng(0)
FAST = {"max_epochs": 4, "batch_size": 32, "net_params": {"module__width": 8}, "random_state": 0}
GOOD = {"max_epochs": 20, "lr": 0.01, "net_params": {"module__width": 32}}


def make_table(n=200):
    """A table in which categories, missing values and numbers are all informative, and its target."""
    city = RNG.choice(["Oslo", "Paris", "Rome"], n).astype(object)
    city[RNG.random(n) < 0.2] = None
    age, income = RNG.normal(40, 10, n), RNG.normal(size=n)
    age[RNG.random(n) < 0.2] = nan
    value = 2 * (city == "Rome") - 2 * pd.isna(city) + 2 * np.isnan(age) + income
    X = pd.DataFrame({"city": pd.Categorical(city), "age": age, "income": income, "kids": np.arange(n) % 3})
    return X, value


X, VALUE = make_table()
X_NEW, VALUE_NEW = make_table()
Y, Y_NEW = (np.where(value > 0.3, "high", "low") for value in (VALUE, VALUE_NEW))
NUMBERS = X.drop(columns="city")


class Seen(nn.Linear):
    """Records its inputs."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return super().forward(x)


def classifier(**params):
    return NetClassifier(**{**FAST, **params})


def seen(X_fit, X_new, **params):
    """Return the input of a user's module for ``X_new``."""
    net = classifier(module=Seen, net_params=None, max_epochs=1, **params).fit(X_fit, np.arange(len(X_fit)) % 2)
    net.net_.module_.seen.clear()
    net.predict(X_new)
    return net.net_.module_.seen[0].numpy()


# -- what is learned ---------------------------------------------------------------------------------------------------


def test_categories_gaps_and_numbers_all_count():
    assert classifier(**GOOD).fit(X, Y).score(X_NEW, Y_NEW) > 0.9
    assert NetRegressor(**{**FAST, **GOOD}).fit(X, VALUE).score(X_NEW, VALUE_NEW) > 0.9


def test_a_table_of_categories_alone():
    only = classifier(max_epochs=30, lr=0.01).fit(X[["city"]], X.city == "Rome")
    assert only.score(X_NEW[["city"]], X_NEW.city == "Rome") == 1


def test_it_is_the_way_to_say_it_that_is_free():
    expected = classifier().fit(X, Y).predict_proba(X_NEW)
    strings, strings_new = X.astype({"city": object}), X_NEW.astype({"city": object})
    for features in (["city"], [0], [True, False, False, False]):
        net = classifier(categorical_features=features)
        assert_array_equal(net.fit(strings, Y).predict_proba(strings_new), expected)
        if features != ["city"]:
            assert_array_equal(net.fit(strings.to_numpy(), Y).predict_proba(strings_new.to_numpy()), expected)


def test_polars_frames():
    pl = pytest.importorskip("polars")
    columns = {name: [None if pd.isna(value) else value for value in X[name]] for name in X}
    frame = pl.DataFrame({**columns, "city": pl.Series(columns["city"], dtype=pl.Categorical)})
    net = classifier().fit(frame, Y)
    assert_array_equal(net.predict_proba(frame), classifier().fit(X, Y).predict_proba(X))
    assert list(net.feature_names_in_) == list(X)


def test_a_plain_table_is_trained_as_ever():
    class WithoutColumns(NetClassifier):
        def _read_inputs(self, X, **how):
            return super(TableOrImageNet, self)._read_inputs(X, **how)

    x = X[["income", "kids"]].to_numpy()
    net = classifier().fit(x, Y)
    assert_array_equal(net.predict_proba(x), WithoutColumns(**FAST).fit(x, Y).predict_proba(x))
    assert list(net.net_.module_.state_dict())[:4] == [
        "standardize.mean",
        "standardize.scale",
        "embed.weight",
        "embed.bias",
    ]
    assert not any("categories" in name for name in net.net_.module_.state_dict())


def test_the_first_weights_of_a_plain_table_are_kaimings():
    torch.manual_seed(0)
    module = ResidualMLP(5, 3)
    torch.manual_seed(0)
    linear = nn.Linear(5, 128)
    for _ in range(2):
        nn.Linear(128, 256), nn.Linear(256, 128), nn.init.kaiming_normal_(torch.empty(256, 128), nonlinearity="relu")
    nn.Linear(128, 3)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")
    assert torch.equal(module.embed.weight, linear.weight)


# -- what a module sees ------------------------------------------------------------------------------------------------


SMALL = pd.DataFrame(
    {
        "a": [1.0, nan, 3.0, 2.0],
        "b": pd.Categorical(["x", "y", "x", None]),
        "c": [1.0, 2.0, 3.0, 6.0],
    }
)


def test_the_columns_of_a_module_of_ones_own():
    assert_array_equal(
        seen(SMALL, SMALL),
        [[1, 1, 0, 1, 0, 0], [2, 2, 1, 0, 1, 0], [3, 3, 0, 1, 0, 0], [2, 6, 0, 0, 0, 1]],
    )
    new = pd.DataFrame({"a": [nan], "b": pd.Categorical(["z"]), "c": [nan]})
    assert_array_equal(seen(SMALL, new), [[2, 3, 1, 0, 0, 0]])
    assert_array_equal(seen(SMALL[:3], SMALL[3:])[:, 3:], [[0, 0]])  # missing is new as well


def test_gaps_that_fit_has_not_seen_are_filled():
    x = RNG.normal(size=(20, 2))
    assert_allclose(seen(x, [[nan, 1]]), [[x[:, 0].mean(), 1]])


def test_a_column_of_gaps_alone():
    X = NUMBERS.assign(age=nan)
    assert_array_equal(seen(X, X[:2])[:, [0, 3]], [[0, 1], [0, 1]])
    assert np.isfinite(classifier().fit(X, Y).predict_proba(NUMBERS)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_module_gets_columns_in_its_own_dtype(dtype):
    frame = SMALL.astype({"a": dtype, "c": dtype})
    assert seen(frame, frame[:1]).dtype == np.float32


def test_n_features_is_the_number_of_columns_that_come():
    net = classifier(module=Seen, net_params=None).fit(SMALL, [0, 1, 0, 1])
    assert net.net_.module_.in_features == 6 and net.n_features_in_ == 3


def test_the_numbers_of_a_table():
    columns = learn_columns(np.array([[1, nan, 2], [3, 4, 2], [1, nan, 4]]), np.array([2, 1, 1]), None, False)
    assert_allclose(columns.means, [1.5, 4, 2.5])
    assert columns.n_categories == (1,) and not columns.is_plain
    assert_array_equal(columns.apply(np.array([[nan, nan, 0]])), [[1.5, 4, 0, 1]])


def test_unknown_categories_count_as_the_mean_of_the_known():
    embedding = CategoryEmbedding((2, 3), 4)
    places = torch.tensor([[1, 1], [1, 2], [2, 3], [1, 3]])
    weight = torch.tensor([1.0, 1, 1, 0])
    embedding.learn(places, weight)
    assert_allclose(embedding(torch.tensor([[0, 0]])).detach(), np.zeros((1, 4)))
    assert_allclose((weight @ embedding(places)).detach(), np.zeros(4), atol=1e-6)
    rows, (first, second) = embedding.vectors.detach(), places.T
    known = rows[first - 1] + rows[second + 1]
    assert_allclose(embedding(places).detach(), known - known[:3].mean(0), atol=1e-6)


def test_a_new_category_is_no_reason_for_odd_answers():
    net = classifier(max_epochs=30).fit(X[["city"]], VALUE > 0.3)
    known = [net.predict_proba(pd.DataFrame({"city": pd.Categorical([city])}))[0, 1] for city in ("Rome", None)]
    (new,) = net.predict_proba(pd.DataFrame({"city": pd.Categorical(["Quito"])}))[:, 1]
    assert min(known) < new < max(known)


# -- weights, splits, going on -----------------------------------------------------------------------------------------


def with_some_twice():
    """Rows with weights of 0, 1 and 2, and the same rows repeated; one city occurs only in rows of weight 0."""
    X = pd.concat([X_NEW[:60], X_NEW[:20].assign(city=pd.Categorical(["Quito"] * 20), age=1e3)])
    X = X.assign(city=X.city.astype("category"))
    weight = np.r_[np.ones(40), np.full(20, 2), np.zeros(20)]
    return X, np.r_[Y_NEW[:60], Y_NEW[:20]], weight, np.repeat(np.arange(80), weight.astype(int))


@pytest.mark.parametrize("module", ["mlp", Seen])
def test_a_weight_is_a_number_of_rows(module):
    X, y, weight, rows = with_some_twice()
    X.iloc[::7, 2] = nan
    net = classifier(module=module, net_params=None, max_epochs=20, batch_size=200)
    weighted = clone(net).fit(X, y, sample_weight=weight).predict_proba(X_NEW)
    assert_allclose(weighted, clone(net).fit(X.iloc[rows], y[rows]).predict_proba(X_NEW), atol=1e-6)
    assert abs(weighted - clone(net).fit(X, y).predict_proba(X_NEW)).max() > 1e-3


def test_what_is_held_out_teaches_nothing():
    X, y, _, _ = with_some_twice()
    split = [(np.arange(60), np.arange(60, 80))]
    held_out = type("Given", (), {"split": lambda self, X, y: iter(split), "get_n_splits": lambda self: 1})()
    net = classifier(early_stopping=True, validation_fraction=held_out).fit(X, y)
    given = classifier(early_stopping=True).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert_array_equal(net.predict_proba(X_NEW), given.predict_proba(X_NEW))
    assert [epoch["valid_loss"] for epoch in net.net_.history] == [epoch["valid_loss"] for epoch in given.net_.history]
    assert net._columns.means[0] == pytest.approx(X.age[:60].mean())


def test_going_on_with_other_rows():
    net = classifier().partial_fit(X[:50], Y[:50]).partial_fit(X_NEW.assign(city=pd.Categorical(["Quito"] * 200)), Y)
    assert net._columns.means[0] == pytest.approx(X.age[:50].mean()) and net.n_iter_ == 2
    warm = classifier(warm_start=True).fit(X, Y).set_params(augmenter=SwapNoise()).fit(X_NEW, Y_NEW)
    before = warm.predict_proba(X)
    assert_array_equal(warm.set_params(augmenter=None).predict_proba(X), before)
    assert warm.fit(X_NEW, Y_NEW).n_iter_ == 12


# -- augmenters --------------------------------------------------------------------------------------------------------


KEEP = [
    SwapNoise(0.2),
    FeatureDropout(0.2),
    FeatureDropout(0.2, fill=nan),
    CutMix(),
    make_augmentation_pipeline(CutMix(), SwapNoise()),
]


@pytest.mark.parametrize("augmenter", KEEP, ids=repr)
@pytest.mark.filterwarnings("ignore::sktricks.ViewsIgnoredWarning")  # some augmenters only mix rows
def test_augmenters_that_keep_values(augmenter):
    net = classifier(**GOOD, augmenter=augmenter, predict_views=2).fit(X, Y)
    assert net.score(X_NEW, Y_NEW) > 0.85


def test_an_augmenter_sees_the_rows_as_they_came():
    net = classifier(module=Seen, net_params=None, max_epochs=1, augmenter=SwapNoise(1.0)).fit(SMALL, [0, 1, 0, 1])
    rows = net.net_.module_.seen[-1].numpy()
    assert set(map(tuple, rows[:, [0, 2]])) <= {(1, 0), (2, 1), (3, 0), (2, 0)}  # means only for missing values
    assert_array_equal(rows[:, 3:].sum(1), 1)  # a row has one category


def test_views_of_categories_that_are_dropped():
    net = classifier(augmenter=FeatureDropout(1.0), predict_views=1).fit(X, Y)
    alone = clone(net).set_params(predict_views=0).fit(X, Y)
    nothing = pd.DataFrame({"city": pd.Categorical(["?"]), "age": [0.0], "income": [0.0], "kids": [0]})
    expected = (alone.predict_proba(X) + alone.predict_proba(nothing)) / 2
    assert_allclose(net.predict_proba(X), expected)


@pytest.mark.parametrize(
    "augmenter", [MixUp(), GaussianNoise(), FeatureDropout(fill=1), make_augmentation_pipeline(SwapNoise(), MixUp())]
)
def test_augmenters_that_make_new_numbers(augmenter):
    name = next(name for name in ("MixUp", "GaussianNoise", "FeatureDropout") if name in repr(augmenter))
    with pytest.raises(ValueError, match=f"X, which has categories, got {name}"):
        classifier(augmenter=augmenter).fit(X, Y)
    assert classifier(augmenter=augmenter).fit(NUMBERS, Y).score(NUMBERS, Y) > 0.5


# -- together with others ----------------------------------------------------------------------------------------------


class Fit:
    """The object that an ensemble passes to ``_fit_many``."""

    verbose = 0

    def __init__(self, estimator, X, y):
        self.estimator, self.X, self.y, self.params = estimator, X, y, {}

    def data(self):
        return self.X, self.y

    def naming(self):
        return nullcontext()


@pytest.mark.parametrize("augmenter", [None, SwapNoise()])
@pytest.mark.parametrize("module", ["mlp", nn.Linear])
def test_nets_are_trained_together(augmenter, module):
    def make(seed):
        own = {"module__in_features": 3 + 1 + 4, "module__out_features": 2} if module is nn.Linear else {}
        return classifier(random_state=seed, augmenter=augmenter, module=module, net_params=own)

    folds = [np.arange(200) % 4 != fold for fold in range(4)]
    together = _fit_many.fit_many([Fit(make(seed), X[rows], Y[rows]) for seed, rows in enumerate(folds)])
    assert NotImplemented not in together
    for seed, rows in enumerate(folds):
        alone = make(seed).fit(X[rows], Y[rows])
        assert_allclose(together[seed].predict_proba(X_NEW), alone.predict_proba(X_NEW), atol=1e-6)


def test_embeddings_of_other_columns_are_no_hindrance():
    frames = [X.assign(kids=X.kids.astype("category")), X.assign(kids=X.kids.astype("category"))]
    frames[1]["city"] = frames[1].city.where(frames[1].city != "Oslo")  # 3 and 3 categories beside 4 and 3
    frames.append(frames[1].assign(kids=pd.Categorical(np.arange(200) % 4)))  # 3 and 4: the same shapes, other columns
    together = _fit_many.fit_many([Fit(classifier(), frame, Y) for frame in frames])
    assert together[1] is NotImplemented
    for number in (0, 2):
        alone = classifier().fit(frames[number], Y)
        said = together[number].predict_proba(frames[number])
        assert_allclose(said, alone.predict_proba(frames[number]), atol=1e-6)


def test_ensembles():
    nets = NetEnsembleClassifier(classifier(), n_members=2, random_state=0).fit(X, Y)
    assert nets.predict_members(X_NEW).shape == (2, 200, 2) and get_tags(nets).input_tags.allow_nan
    members = [(f"net{seed}", classifier(random_state=seed, lr=0.03)) for seed in range(2)]
    for ensemble in (
        VotingClassifier(members, voting="soft", weights="greedy", cv=2),
        StackingClassifier(members, cv=2),
    ):
        assert ensemble.fit(X, Y).score(X_NEW, Y_NEW) > 0.6


def test_searches_and_pipelines():
    search = GridSearchCV(
        classifier(), {"lr": [1e-3, 1e-2], "categorical_features": ["from_dtype", ["kids", "city"]]}, cv=2
    )
    assert search.fit(X, Y).score(X_NEW, Y_NEW) > 0.7
    pipeline = make_pipeline(FunctionTransformer(lambda X: X.assign(rich=X.income > 1)), classifier())
    assert np.isfinite(cross_val_score(pipeline, X, Y, cv=2)).all()
    dropping = make_column_transformer(("passthrough", ["city", "age"])).set_output(transform="pandas")
    assert make_pipeline(dropping, classifier()).fit(X, Y).predict(X_NEW).shape == (200,)


# -- kept --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmenter", [None, SwapNoise()])
@pytest.mark.parametrize("module", ["mlp", Seen])
def test_saved_and_pickled(module, augmenter, tmp_path):
    net = classifier(module=module, net_params=None, augmenter=augmenter).fit(X, Y)
    expected = net.predict_proba(X_NEW)
    save(net, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors", **({} if module == "mlp" else {"module": module}))
    for again in (loaded, pickle.loads(pickle.dumps(net))):
        assert_array_equal(again.predict_proba(X_NEW), expected)
        assert_array_equal(again.is_categorical_, [True, False, False, False])
        again.partial_fit(X_NEW, Y_NEW)
    assert_array_equal(loaded.predict_proba(X), net.partial_fit(X_NEW, Y_NEW).predict_proba(X))


def test_a_fit_that_fails_leaves_the_net_as_it_was():
    net = classifier().fit(X, Y)
    expected = net.predict_proba(X_NEW)
    with pytest.raises(ValueError, match="has values that are not numbers"):
        net.fit(X.assign(city="Rome"), Y)
    assert_array_equal(net.predict_proba(X_NEW), expected)


# -- what is no table --------------------------------------------------------------------------------------------------


def test_tags_say_where_numbers_may_be_missing():
    assert get_tags(NetClassifier()).input_tags.allow_nan
    assert not get_tags(NetClassifier(image_shape=(8, 8))).input_tags.allow_nan
    assert not get_tags(FineTuneClassifier()).input_tags.allow_nan


@pytest.mark.filterwarnings(f"ignore::{NoPretrainedBackboneWarning.__module__}.NoPretrainedBackboneWarning")
def test_others_want_numbers():
    with pytest.raises(ValueError, match="NaN"):
        FineTuneClassifier().fit(NUMBERS, Y)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_errors(value):
    net = classifier().fit(X, Y)
    for call in (lambda X: clone(net).fit(X, Y), net.predict):
        with pytest.raises(ValueError, match="infinity"):
            call(X.assign(age=value))
    with pytest.raises(ValueError, match="infinity"):
        classifier().fit(NUMBERS.assign(age=value), Y)


def test_images_with_gaps_are_errors():
    images = RNG.random((20, 4, 4))
    images[0, 0, 0] = nan
    for x, shape in ((images, None), (images.reshape(20, 16), (4, 4))):
        with pytest.raises(ValueError, match="NaN"):
            classifier(image_shape=shape).fit(x, np.arange(20) % 2)
    net = classifier().fit(np.nan_to_num(images), np.arange(20) % 2)
    with pytest.raises(ValueError, match="NaN"):
        net.predict(images)


@pytest.mark.parametrize("features", ["from_type", 1.5])
def test_a_parameter_of_another_kind(features):
    with pytest.raises(ValueError, match="The 'categorical_features' parameter"):
        classifier(categorical_features=features).fit(X, Y)
