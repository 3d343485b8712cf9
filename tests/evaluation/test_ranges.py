"""The range of the data is recognized or asked for, never guessed."""

import numpy as np
import pytest

from lipot.evaluation.ranges import Range, find_range


def test_recognizes_the_two_usual_ranges():
    assert find_range(np.array([0.0, 0.98]))[:2] == (0.0, 1.0)
    assert find_range(np.array([3, 251], "uint8"))[:2] == (0.0, 255.0)
    assert "recognized" in find_range(np.array([0.0, 1.0])).how


@pytest.mark.parametrize("points", [[-0.1, 1.0], [0.0, 0.2], [0.0, 3.0], [0.0, 256.0]])
def test_asks_where_neither_fits(points):
    with pytest.raises(ValueError, match="Expected the pair of the least and the greatest"):
        find_range(np.array(points))


def test_given_range_must_hold_the_data():
    assert find_range(np.array([-2.0, 1.0]), (-3, 3)) == Range(-3.0, 3.0, "given")
    with pytest.raises(ValueError, match="`x`. Expected values between 0 and 1.*2 values outside"):
        find_range(np.array([-2.0, 0.5, 1.5]), (0, 1))


@pytest.mark.parametrize("clip_values", [(1, 0), (0, np.inf), 5, "ab", (0, 1, 2)])
def test_given_range_must_be_one(clip_values):
    with pytest.raises(ValueError, match="Expected two finite numbers"):
        find_range(np.array([0.0, 1.0]), clip_values)


def test_the_way_to_the_unit_interval_and_back():
    scale = Range(0.0, 255.0, "given")
    pixels = np.arange(256, dtype="float32")
    assert np.array_equal(scale.from_unit(scale.to_unit(pixels)), pixels)
    mean, std = scale.preprocessing
    assert np.allclose((scale.to_unit(pixels) - mean) / std, pixels, atol=1e-4)
    assert Range(0.0, 1.0, "given").preprocessing is None
