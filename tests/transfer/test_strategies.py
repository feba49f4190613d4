import numpy as np
import pytest

from sktricks.transfer._strategies import ENOUGH, FINE_TUNE, LINEAR_PROBE, choose_strategy, labels_per_class


@pytest.mark.parametrize(
    ("strategy", "freeze_until", "n_labels", "expected"),
    [
        ("auto", None, ENOUGH - 1, LINEAR_PROBE),
        ("auto", None, ENOUGH, FINE_TUNE),
        ("auto", "head", 10_000, LINEAR_PROBE),
        ("auto", 1.0, 10_000, LINEAR_PROBE),
        ("auto", 0, 1, FINE_TUNE),
        ("auto", "stage2", 1, FINE_TUNE),
        (LINEAR_PROBE, None, 10_000, LINEAR_PROBE),
        (LINEAR_PROBE, "head", 1, LINEAR_PROBE),
        (FINE_TUNE, None, 1, FINE_TUNE),
        (FINE_TUNE, 0.5, 1, FINE_TUNE),
    ],
)
def test_choice(strategy, freeze_until, n_labels, expected):
    assert choose_strategy(strategy, freeze_until, n_labels) == expected


@pytest.mark.parametrize(
    ("strategy", "freeze_until"), [(LINEAR_PROBE, 0), (LINEAR_PROBE, "stage2"), (FINE_TUNE, "head")]
)
def test_conflicts(strategy, freeze_until):
    with pytest.raises(ValueError, match=f"strategy='{strategy}' conflicts with freeze_until={freeze_until!r}"):
        choose_strategy(strategy, freeze_until, 10)


def test_labels_per_class():
    assert labels_per_class(np.array([0, 0, 1, 1, 1, 1])) == 3
    assert labels_per_class(np.zeros((50, 2))) == 5  # values and columns: a tenth of the rows
