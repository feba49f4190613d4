"""Rows for measurements of speed; no test measures time."""

import numpy as np
import pytest

from sktricks.deploy._measure_speed import MOST_CALLS, measure_speed, rows_for_call


@pytest.mark.parametrize("X", [np.zeros((3, 4, 4), np.uint8), np.ones((3, 5)), np.ones((3, 5), np.float32)])
def test_each_call_gets_other_rows(X):
    calls = [rows_for_call(X, 64, {}) for _ in range(9)]
    assert all(len(rows) == 64 and rows.dtype == X.dtype and rows.max() <= 255 for rows in calls)
    assert len({rows.tobytes() for rows in calls}) > 1


def test_other_tables_stay_as_they_are():
    assert rows_for_call([["a", 1.0], ["b", 2.0]], 3, {}) == [["a", 1.0], ["b", 2.0], ["a", 1.0]]


def test_files_are_others_each_time():
    pytest.importorskip("PIL")
    first, second = (rows_for_call(["a.png"], 2, {"path": {"shape": [4, 5, 3]}}) for _ in range(2))
    assert all(isinstance(file, bytes) for file in first) and first[0] != second[0] and first[0] != first[1]


def test_both_functions_are_called_a_few_times():
    calls = []
    ratio = measure_speed(
        lambda rows: calls.append(len(rows)), lambda rows: calls.append(-len(rows)), np.ones((3, 2)), 5, {}
    )
    assert ratio > 0 and calls == [5] * MOST_CALLS + [-5] * MOST_CALLS
