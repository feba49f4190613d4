"""Converter of PowerTransformer."""

import numpy as np
import pytest
from sklearn.preprocessing import PowerTransformer

from ._agreement import assert_agrees

RNG = np.random.default_rng(0)
X = np.c_[RNG.lognormal(size=60), RNG.normal(size=60) ** 3, -RNG.lognormal(size=60), np.full(60, 3.0), RNG.random(60)]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-12), (np.float32, 3e-4)])
def test_yeo_johnson(standardize, dtype, atol):
    rows = X.astype(dtype)
    others = np.vstack([3 * rows, -rows, rows * 1e-9, np.zeros_like(rows)])
    assert_agrees(PowerTransformer(standardize=standardize).fit(rows), rows, atol, others)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-12), (np.float32, 3e-4)])
def test_box_cox(standardize, dtype, atol):
    rows = np.abs(X[:, [0, 1, 2, 4]]).astype(dtype)
    assert_agrees(PowerTransformer("box-cox", standardize=standardize).fit(rows), rows, atol, 3 * rows)


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaps_stay(method, dtype):
    rows = np.abs(X[:, [0, 1, 4]]).astype(dtype)
    rows[::7, 0] = rows[1::5, 2] = np.nan
    assert_agrees(PowerTransformer(method).fit(rows), rows, 1e-5)


@pytest.mark.parametrize("power", [0.0, 1e-30, 1e-12, 2.0, 2 + 1e-12, 1.0, -3.0])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_at_which_the_formula_changes(method, power):
    rows = np.abs(X[:, :1]) if method == "box-cox" else X[:, 1:2]
    transformer = PowerTransformer(method, standardize=False).fit(rows)
    transformer.lambdas_[:] = power
    assert_agrees(
        transformer,
        rows,
        1e-14 * max(100, np.abs(transformer.transform(rows)).max()),
        rows * (2 if method == "box-cox" else 1e-12),
    )


def test_integers():
    rows = RNG.integers(-9, 9, (40, 2))
    assert_agrees(PowerTransformer().fit(rows), rows, 1e-12)
