"""Nets do not depend on the units and offsets of X and y."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine, make_classification

from sktricks import FineTuneClassifier, FineTuneRegressor, NetClassifier, NetRegressor, VotingRegressor, load, save
from sktricks.tables._columns import mean_of_present
from sktricks.training._modules import Standardize, is_constant, mean_and_scale, weighted_moments

torch = pytest.importorskip("torch")
UNITS = [(1e-12, 0), (1e-9, 0), (1e12, 0), (1, 1e9)]
IRIS, WINE, DIABETES = load_iris(return_X_y=True), load_wine(return_X_y=True), load_diabetes(return_X_y=True)
MANY = make_classification(2000, 20, n_informative=8, random_state=0)
CLASSIFY = {"iris": (IRIS, {"max_epochs": 15}), "wine": (WINE, {"max_epochs": 10}), "many": (MANY, {"max_epochs": 3})}


@pytest.mark.parametrize("name", CLASSIFY)
def test_a_classifier_scores_the_same_in_any_unit_of_X(name):
    (X, y), settings = CLASSIFY[name]
    net = NetClassifier(random_state=0, **settings)
    expected = net.fit(X, y).score(X, y)
    assert expected > 0.85
    for factor, offset in UNITS:
        other = X * factor + offset
        assert net.fit(other, y).score(other, y) == pytest.approx(expected, abs=0.02), (factor, offset)


def test_a_regressor_scores_the_same_in_any_unit_of_X_and_y():
    X, y = DIABETES
    net = NetRegressor(max_epochs=8, random_state=0)
    expected = net.fit(X, y).score(X, y)
    assert expected > 0.4
    for factor, offset in [*UNITS, (1e-13, 0), (1e-300, 0)]:
        other = X * factor + offset
        assert net.fit(other, y).score(other, y) == pytest.approx(expected, abs=0.02), (factor, offset)
    for factor, offset in [*UNITS, (1e-13, 0), (1, 1e12)]:
        other = y * factor + offset
        assert net.fit(X, other).score(X, other) == pytest.approx(expected, abs=0.02), (factor, offset)


@pytest.mark.parametrize("constant", [3e-13, 3.0, 0.0, -1e300])
def test_a_constant_y_is_predicted_to_rounding_in_any_unit(constant, tmp_path):
    X = DIABETES[0]
    y = np.full(len(X), constant)
    net = NetRegressor(max_epochs=1, random_state=0).fit(X, y)
    assert_allclose(net.predict(X[:9]), y[:9], rtol=1e-15, atol=1e-300)
    assert_allclose(net.net_.predict({"x": torch.from_numpy(X[:9])}), y[:9], rtol=1e-15, atol=1e-300)
    pytest.importorskip("safetensors")
    save(net, tmp_path / "net.st")
    assert_array_equal(load(tmp_path / "net.st").predict(X[:9]), net.predict(X[:9]))


@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
def test_a_constant_column_of_y_is_predicted_to_rounding_and_the_others_as_before():
    X, y = DIABETES
    columns = np.c_[y, np.full(len(X), 3e-13)]
    net = NetRegressor(max_epochs=1, random_state=0)
    together = VotingRegressor([("a", clone(net)), ("b", clone(net))])  # whose members train together
    for model in (net, FineTuneRegressor(max_epochs=1, random_state=0), together):
        predicted = model.fit(X, columns[:, 1]).predict(X) if model is together else model.fit(X, columns).predict(X)
        assert_allclose(predicted.reshape(len(X), -1)[:, -1], 3e-13, rtol=1e-15)
        assert model is together or np.ptp(predicted[:, 0]) > 0.1 * np.std(y)


@pytest.mark.parametrize("constant", [0.0, 3e-13, 5.0])
def test_y_may_vary_in_validation_rows_and_later_trainings_where_it_was_constant_so_far(constant):
    X, y = DIABETES
    later = (constant or 1.0) * (1 + (y - y.mean()) / y.std())
    net = NetRegressor(max_epochs=1, random_state=0)
    net.fit(X, np.full(len(X), constant), X_val=X, y_val=later)
    assert np.isfinite(net.validation_loss_curve_).all()
    for _ in range(30):
        net.partial_fit(X, later)
    assert net.score(X, later) > 0.4
    assert_allclose(net.net_.predict({"x": torch.from_numpy(X)}), net.predict(X), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
@pytest.mark.parametrize("factor, offset", UNITS)
def test_fine_tuning_on_a_table_scores_the_same_in_any_unit(factor, offset):
    for net, (X, y) in ((FineTuneClassifier(max_epochs=15), IRIS), (FineTuneRegressor(max_epochs=8), DIABETES)):
        net.set_params(random_state=0)
        other = X * factor + offset
        expected = net.fit(X, y).score(X, y)
        assert net.fit(other, y).score(other, y) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("dtype", ["int64", "float64"])
@pytest.mark.parametrize("start, unit", [(1.7e9, 1), (1.7e18, 6e8)])
def test_a_column_of_times_that_lie_close_together_does_no_harm_and_is_learned_from(start, unit, dtype):
    seconds = np.random.default_rng(0).uniform(0, 100, 150)
    times = (np.int64(start) + (unit * seconds).astype(np.int64)).astype(dtype)
    X, y = IRIS
    X = np.c_[np.round(X * 10), times - np.int64(start)].astype(dtype) + np.array([0, 0, 0, 0, start]).astype(dtype)
    assert NetClassifier(max_epochs=15, random_state=0).fit(X, y).score(X, y) > 0.95
    late = (seconds > 50).astype(int)
    assert NetClassifier(max_epochs=30, random_state=0).fit(X, late).score(X, late) > 0.95


def test_gaps_are_filled_in_any_unit():
    X, y = IRIS
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    net = NetClassifier(max_epochs=15, random_state=0)
    expected = net.fit(X, y).score(X, y)
    for factor, offset in [*UNITS, (1e300, 0)]:
        other = X * factor + offset
        assert net.fit(other, y).score(other, y) == pytest.approx(expected, abs=0.02), (factor, offset)
    assert_allclose(mean_of_present(np.full((4, 1), 1.5e308)), 1.5e308)
    assert_allclose(mean_of_present(np.array([[1.5e308], [1.5e308], [np.nan]])), 1.5e308)


@pytest.mark.parametrize("factor", [1e-300, 1e-12, 1, 1e12, 1e300])
def test_moments_are_exact_for_any_unit_and_weight(factor):
    x = torch.from_numpy(factor * np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]]))
    mean, spread = weighted_moments(x, torch.tensor([1.0, 1.0, 2.0]))
    assert_allclose(mean, factor * np.array([2.75, 5.0]), rtol=1e-14)
    assert_allclose(spread, factor * np.array([np.sqrt((1.75**2 + 0.75**2 + 2 * 1.25**2) / 4), 0.0]), rtol=1e-14)


def test_a_constant_column_keeps_its_scale_whatever_its_size():
    for value in (0.0, 0.1, 1e-12, 1e12, -3.7e300):
        x = torch.full((1000, 1), value, dtype=torch.float64)
        assert mean_and_scale(x)[1].item() == 1.0
        rounded = x * (1 + torch.from_numpy(np.random.default_rng(0).integers(-1, 2, (1000, 1)) * 2.0**-52))
        assert mean_and_scale(rounded)[1].item() == 1.0


def test_the_resolution_is_that_of_the_columns_own_dtype():
    mean, spread = torch.tensor([1e9, 1e9]).double(), torch.tensor([30.0, 300.0]).double()
    assert is_constant(mean, spread, 100, torch.float32).tolist() == [True, False]  # neighbors differ by 64
    assert is_constant(mean, spread, 100, torch.float64).tolist() == [False, False]


def test_the_columns_of_a_block_share_a_scale_in_any_unit():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 5)) * [1, 3, 0, 1e-3, 0])
    spread = x.numpy().std(0)
    for factor in (1e-12, 1, 1e12):
        part = Standardize(5, [3, 1, 1]).double()
        part.learn(x * factor)
        shared = np.sqrt(np.square(spread[:3]).mean())
        assert_allclose(part.scale[:4] / factor, [shared, shared, shared, spread[3]])
        assert part.scale[4] == 1


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_images_far_from_zero_are_read_like_others(offset):
    X, y = load_digits(return_X_y=True)
    X, y = X[:200].reshape(-1, 8, 8), y[:200]
    for net in (NetClassifier(max_epochs=5, random_state=0), FineTuneClassifier(max_epochs=10, random_state=0)):
        expected = net.fit(X / 16, y).score(X / 16, y)
        assert expected > 0.85
        assert net.fit(X + offset, y).score(X + offset, y) == pytest.approx(expected, abs=0.02)


# -- out of range ------------------------------------------------------------------------------------------------------


def linear(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


def test_numbers_that_overflow_float32_in_a_module_that_does_not_standardize_are_an_error():
    X, y = IRIS
    X = X.copy()
    X[7, 2] = -1e39
    with pytest.raises(ValueError, match=r"numbers of at most 3.4e\+38.*float32, got -1e\+39 in column 2"):
        NetClassifier(linear, max_epochs=1).fit(X, y)
    net = NetClassifier(linear, max_epochs=1).fit(IRIS[0], y)
    with pytest.raises(ValueError, match=r"-1e\+39 in column 2"):
        net.predict(X)
    with pytest.raises(ValueError, match=r"-1e\+39 in column 2"):
        net.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"-1e\+39 in column 2"):
        NetClassifier(linear, max_epochs=1).fit(IRIS[0], y, X_val=X, y_val=y)
    exact = NetClassifier(lambda n_features, n_outputs: linear(n_features, n_outputs).double(), max_epochs=1, lr=1e-30)
    assert np.isfinite(exact.fit(X * 1e-30, y).predict_proba(X)).all()


def test_numbers_far_from_those_of_fit_are_an_error_that_names_the_column():
    pd = pytest.importorskip("pandas")
    X, y = make_classification(300, 4, random_state=0)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    net = NetClassifier(max_epochs=1, random_state=0).fit(frame, y)
    with pytest.raises(ValueError, match=r"after standardization.*1e\+60 in column 'c'"):
        net.predict(frame.assign(c=1e60))


def test_values_to_predict_that_overflow_float32_where_the_loss_sees_them_are_an_error():
    X, y = DIABETES
    with pytest.raises(ValueError, match=r"y must contain numbers of at most 3.4e\+38.*got 3.46e\+42"):
        NetRegressor(linear, loss=torch.nn.MSELoss(), max_epochs=1).fit(X, y * 1e40)
    with pytest.raises(ValueError, match="y must contain numbers of at most"):
        NetRegressor(linear, loss=torch.nn.MSELoss(), max_epochs=1).fit(X, y, X_val=X, y_val=y * 1e40)
    module = lambda n_features, n_outputs: linear(n_features, n_outputs).double()  # noqa: E731
    NetRegressor(module, loss=torch.nn.MSELoss(), max_epochs=1).fit(X, y * 1e40)


def test_pixels_that_overflow_float32_are_an_error():
    images = np.random.default_rng(0).random((20, 4, 4))
    images[3] *= 1e300
    with pytest.raises(ValueError, match=r"X must have pixels of at most 3.4e\+38"):
        NetClassifier(max_epochs=1).fit(images, np.arange(20) % 2)


def test_huge_weights_of_rows_are_weights_like_others():
    X, y = IRIS
    weight = np.random.default_rng(0).uniform(1, 2, 150)
    nets = [NetClassifier(max_epochs=2, random_state=0).fit(X, y, sample_weight=weight * f) for f in (1, 1e308 / 2)]
    assert_allclose(nets[1].predict_proba(X), nets[0].predict_proba(X), atol=1e-5)
