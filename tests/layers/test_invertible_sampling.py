"""Tests of the invertible down- and upsampling."""

import keras
import numpy as np
import pytest

from lipot.layers import InvertibleDownSampling, InvertibleUpSampling
from tests.helpers import check_layer
from tests.lipschitz import check_bound, check_half_precision


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_values_by_hand():
    image = np.arange(8, dtype="float32").reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(
        InvertibleDownSampling((2, 2))(image), [[[[0, 1, 4, 5], [2, 3, 6, 7]]]]
    )
    np.testing.assert_array_equal(
        InvertibleDownSampling((1, 2), k_coef_lip=0.5)(image)[0, :, :, 1], [[0.5, 1.5], [2.5, 3.5]]
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("pool_size", [2, (3, 2), (2, 1)])
def test_up_undoes_down(pool_size, data_format):
    shape = (2, 6, 4, 3) if data_format == "channels_last" else (2, 3, 6, 4)
    x = _random(*shape)
    down = InvertibleDownSampling(pool_size, data_format)
    up = InvertibleUpSampling(pool_size, data_format)
    np.testing.assert_array_equal(up(down(x)), x)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (InvertibleDownSampling((2, 3), k_coef_lip=0.6, dtype="float64"), (4, 3, 1)),
        (InvertibleUpSampling((2, 1), k_coef_lip=0.6, dtype="float64"), (2, 3, 2)),
    ],
)
def test_no_attack_beats_the_bound(layer, shape):
    layer.build((None, *shape))
    assert layer.lipschitz_bound == 0.6
    check_bound(layer, shape, attained=0.999)


def test_half_precision_keeps_the_bound():
    layer = InvertibleDownSampling(2, k_coef_lip=0.3)
    layer.build((None, 4, 4, 1))
    check_half_precision(layer, (4, 4, 1))


def test_unknown_image_sizes():
    inputs = keras.Input((None, None, 3))
    down = InvertibleDownSampling(2)(inputs)
    assert down.shape == (None, None, None, 12)
    model = keras.Model(inputs, InvertibleUpSampling(2)(down))
    x = _random(2, 4, 6, 3)
    np.testing.assert_array_equal(model(x), x)


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: InvertibleDownSampling((2, 3), k_coef_lip=0.5), (2, 4, 6, 3)),
        (lambda: InvertibleDownSampling(2, "channels_first"), (2, 3, 4, 6)),
        (lambda: InvertibleUpSampling((2, 3)), (2, 4, 6, 12)),
        (lambda: InvertibleUpSampling(2, "channels_first", k_coef_lip=0.5), (2, 4, 4, 6)),
    ],
)
def test_round_trips(make, shape, tmp_path):
    check_layer(make(), shape, tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`pool_size`.*divisors.*5"):
        InvertibleDownSampling(2)(np.zeros((1, 4, 5, 1), "float32"))
    with pytest.raises(ValueError, match="`pool_size`.*6"):
        InvertibleUpSampling(2)(np.zeros((1, 4, 4, 6), "float32"))
    with pytest.raises(ValueError, match="`pool_size`"):
        InvertibleDownSampling((2, 2, 2))
    with pytest.raises(ValueError, match="`data_format`"):
        InvertibleUpSampling(2, "nchw")
