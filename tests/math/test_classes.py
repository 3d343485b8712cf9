"""Tests of the classes that outputs stand for, worked out by hand."""

import numpy as np
from keras import ops

from lipot.math.classes import as_two_classes, classes_of


def test_the_largest_output_is_the_class_and_a_tie_the_first():
    values = np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    assert classes_of(values).tolist() == [1, 0]
    # More than one unit has no threshold.
    assert classes_of(values, 0.5).tolist() == [1, 0]


def test_one_output_must_exceed_its_threshold():
    values = np.array([[-0.1], [0.0], [0.4], [0.5], [0.6]])
    assert classes_of(values).tolist() == [0, 0, 1, 1, 1]
    assert classes_of(values, 0.5).tolist() == [0, 0, 0, 0, 1]
    assert classes_of(values).dtype == np.dtype("int64")


def test_one_unit_has_two_logits_that_decide_alike():
    values = np.array([[-0.5], [2.0]], "float32")
    pair = ops.convert_to_numpy(as_two_classes(values))
    assert pair.tolist() == [[0.5, -0.5], [-2.0, 2.0]] and pair.dtype == np.dtype("float32")
    assert classes_of(pair).tolist() == classes_of(values).tolist()
    three = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(as_two_classes(three)), three)
