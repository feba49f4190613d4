import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from sktricks.ensemble._target import Target, join_classes, read_classes


def test_the_union_with_a_fitted_members_classes():
    assert_array_equal(join_classes(np.array([2, 5]), [1, 2], "a"), [1, 2, 5])
    assert_array_equal(join_classes(np.array(["b"]), np.array(["longer", "b"], dtype=object), "a"), ["b", "longer"])
    with pytest.raises(ValueError, match=r"member 'a' must have classes of the same type .*got \[0, 1\]"):
        join_classes(np.array(["b", "c"]), [0, 1], "a")


def test_what_y_holds():
    y, target = read_classes(["b", "a"])
    assert target.kind == "classes" and target.width == 2
    assert_array_equal(target.decode(np.array([1, 0])), y)
    for several in ([[0, 1, 1], [1, 0, 0]], csr_array([[0, 1, 1], [1, 0, 0]]), np.array([[0.0, 1, 1], [1, 0, 0]])):
        y, target = read_classes(several)
        assert target.kind == "multilabel" and target.width == 3 and y.dtype.kind == "i"
        assert_array_equal(y, [[0, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match="only 0 and 1"):
        read_classes([[1, 2], [2, 1]])
    with pytest.raises(ValueError, match="one class per row"):
        read_classes([[1, 2], [2, 3]])
    with pytest.raises(ValueError, match="Unknown label type"):
        read_classes([0.5, 1.5])


def test_several_labels_become_binary_problems_and_back():
    target, rng = Target("multilabel", [np.array([0, 1])] * 4), np.random.default_rng(0)
    probabilities = rng.random((2, 3, 4))
    flat = target.flatten(probabilities)
    assert flat.shape == (2, 12, 2) and target.n_options == 2
    assert_array_equal(target.restore(flat), probabilities)
    assert_array_equal(target.restore(flat[0]), probabilities[0])
    assert_array_equal(target.decode(np.arange(12)), np.arange(12).reshape(3, 4))
    classes = Target("classes", np.array(["a", "b"]))
    assert classes.flatten(probabilities) is probabilities is classes.restore(probabilities)
    assert classes.n_options == 2
    assert_array_equal(classes.decode(classes.encode(["b", "a"])), ["b", "a"])
