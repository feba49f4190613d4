import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from sktricks.ensemble._target import decision_columns, join_classes, positive_probabilities, read_classes


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


def test_the_union_with_a_fitted_members_classes():
    assert_array_equal(join_classes(np.array([2, 5]), [1, 2], "a"), [1, 2, 5])
    assert_array_equal(join_classes(np.array(["b"]), np.array(["longer", "b"], dtype=object), "a"), ["b", "longer"])
    with pytest.raises(ValueError, match=r"member 'a' knows the classes \[0, 1\], which are not of the kind"):
        join_classes(np.array(["b", "c"]), [0, 1], "a")


def test_what_y_holds():
    y, target = read_classes(["b", "a"])
    assert target.kind == "classes" and target.width == 2
    assert_array_equal(target.decode(np.array([1, 0])), y)
    for several in ([[0, 1, 1], [1, 0, 0]], csr_array([[0, 1, 1], [1, 0, 0]]), np.array([[0.0, 1, 1], [1, 0, 0]])):
        y, target = read_classes(several)
        assert target.kind == "multilabel" and target.width == 3 and y.dtype.kind == "i"
        assert_array_equal(y, [[0, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match="0 and 1 only"):
        read_classes([[1, 2], [2, 1]])
    with pytest.raises(ValueError, match="one class a row"):
        read_classes([[1, 2], [2, 3]])
    with pytest.raises(ValueError, match="Unknown label type"):
        read_classes([0.5, 1.5])
