"""Tests of the permutations between space and channels, value by value."""

import keras
import numpy as np
import pytest

from lipot.math.sampling import channels_to_space, space_to_channels


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _by_slices(images, p, q):
    return np.concatenate([images[:, i::p, j::q, :] for i in range(p) for j in range(q)], axis=-1)


@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 4), (2, 1)])
def test_every_value_goes_where_it_should(factors):
    images = np.arange(2 * 6 * 8 * 3, dtype="float32").reshape(2, 6, 8, 3)
    expected = _by_slices(images, *factors)
    np.testing.assert_array_equal(_numpy(space_to_channels(images, factors)), expected)
    channels_first = space_to_channels(np.moveaxis(images, -1, 1), factors, "channels_first")
    np.testing.assert_array_equal(np.moveaxis(_numpy(channels_first), 1, -1), expected)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 4)])
def test_up_undoes_down(factors, data_format):
    shape = (2, 6, 8, 3) if data_format == "channels_last" else (2, 3, 6, 8)
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    down = space_to_channels(images, factors, data_format)
    np.testing.assert_array_equal(_numpy(channels_to_space(down, factors, data_format)), images)
