import numpy as np
from numpy.testing import assert_array_equal

from sktricks.ensemble._predictions import decision_columns, positive_probabilities


def test_decision_values_of_fewer_classes():
    one = decision_columns(np.array([1.0, -2.0]), np.array([0, 2]), np.arange(3))
    assert_array_equal(one, [[-1, -1, 1], [2, -2, -2]])
    assert decision_columns(np.array([1.0, -2.0]), np.array([0, 1]), np.arange(2)).shape == (2, 1)


def test_both_forms_of_several_labels():
    forms = [np.array([[0.2, 0.8]]), np.array([[1.0]]), np.array([[1.0]])]
    assert_array_equal(
        positive_probabilities(forms, [np.array([0, 1]), np.array([0]), np.array([1])]), [[0.8, 0.0, 1.0]]
    )
    assert_array_equal(positive_probabilities(np.array([[0.8, 0.1]]), None), [[0.8, 0.1]])
