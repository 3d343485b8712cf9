"""Every padding copies the pixels that NumPy's does, on every backend."""

import keras
import numpy as np
import pytest

from lipot.math.convolution_geometry import _NUMPY_PAD_MODES
from lipot.math.padding import PADDINGS, pad_spatial
from lipot.purifiers import MedianFilter
from tests.helpers import to_numpy

EXPLICIT = [padding for padding in PADDINGS if padding not in ("same", "valid")]
IMAGES = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")


@pytest.mark.parametrize("amounts", [(0, 0), (1, 1), (2, 3), (0, 2), (2, 0), ((1, 2), (3, 0))])
@pytest.mark.parametrize("padding", EXPLICIT)
def test_paddings_are_those_of_numpy(padding, amounts):
    widths = [amount if np.ndim(amount) else (amount, amount) for amount in amounts]
    mode = _NUMPY_PAD_MODES.get(padding, padding)
    expected = np.pad(IMAGES, [(0, 0), *widths, (0, 0)], mode)
    np.testing.assert_array_equal(to_numpy(pad_spatial(IMAGES, amounts, padding)), expected)
    # Symbolic images of any size are padded by a graph that is exported.
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, pad_spatial(inputs, amounts, padding))
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), expected)


@pytest.mark.parametrize("padding", ["circular", "reflect", "symmetric"])
def test_images_too_small_to_be_copied_once_are_refused(padding):
    with pytest.raises(ValueError, match=f"`images`.*padding='{padding}'.*Received: 4"):
        pad_spatial(IMAGES, (5, 0), padding)


def test_the_median_filter_mirrors_images_beyond_the_border():
    padded = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)], "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))
    expected = np.median(windows, axis=(-2, -1))
    np.testing.assert_array_equal(to_numpy(MedianFilter(5)(IMAGES)), expected)
