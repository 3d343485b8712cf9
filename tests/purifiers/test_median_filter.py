"""The median filter against SciPy's."""

import numpy as np
import pytest
import scipy.ndimage

from lipot.purifiers import MedianFilter
from tests.helpers import check_layer, to_numpy


@pytest.mark.parametrize("size", [1, 3, 5])
def test_it_is_that_of_scipy(size):
    x = np.random.default_rng(size).uniform(size=(3, 9, 7, 2)).astype("float32")
    expected = scipy.ndimage.median_filter(x, size=(1, size, size, 1), mode="reflect")
    assert np.array_equal(to_numpy(MedianFilter(size)(x)), expected)


def test_it_survives_a_round_trip(tmp_path):
    check_layer(MedianFilter(3), (2, 6, 6, 3), tmp_path)


@pytest.mark.parametrize("size", [0, 2, 1.5])
def test_an_even_window_is_refused(size):
    with pytest.raises(ValueError, match="argument `size`"):
        MedianFilter(size)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="height, width, channels"):
        MedianFilter(3)(np.zeros((2, 5), "float32"))
