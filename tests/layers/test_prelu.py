"""Tests of the bounded PReLU."""

import keras
import numpy as np
import pytest

from lipot.layers import PReLUlip
from tests.helpers import check_layer
from tests.lipschitz import check_bound, check_half_precision


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _with_slopes(alpha, **kwargs):
    layer = PReLUlip(**kwargs)
    layer.build((None, len(alpha)))
    layer.alpha.assign(alpha)
    return layer


def test_values_by_hand():
    layer = _with_slopes([0.5, -1.0, 0.0], k_coef_lip=2.0)
    np.testing.assert_array_equal(_numpy(layer(np.full((1, 3), -2.0))), [[-2, 4, 0]])
    np.testing.assert_array_equal(_numpy(layer(np.full((1, 3), 3.0))), [[6, 6, 6]])


@pytest.mark.parametrize("alpha", [[0.5, -1.0, 0.0], [0.5, -3.0, 0.1]])
def test_no_attack_beats_the_bound(alpha):
    layer = _with_slopes(alpha, k_coef_lip=0.6, dtype="float64")
    np.testing.assert_allclose(layer.lipschitz_bound, 0.6 * max(1.0, np.abs(alpha).max()))
    check_bound(layer, (3,), attained=0.999)


def test_training_cannot_push_a_slope_above_one():
    model = keras.Sequential([keras.Input((3,)), PReLUlip(0.5)])
    model.compile(keras.optimizers.SGD(5.0), "mse")
    x = -np.abs(_random(64, 3))
    model.fit(x, -9.0 * np.abs(x) * [1, -1, 1], verbose=0)
    np.testing.assert_allclose(np.abs(_numpy(model.layers[0].alpha)), 1.0)
    assert model.layers[0].lipschitz_bound == 0.5


def test_half_precision_keeps_the_bound():
    # 0.99999 rounds to 1 in half precision, which the bound must follow.
    check_half_precision(_with_slopes([0.5, -1.0, 0.25], k_coef_lip=0.3), (3,))
    half = _with_slopes([0.99999, 1.0007, 0.0], dtype="mixed_float16")
    assert half.lipschitz_bound == float(np.float16(1.0007))


def test_round_trips(tmp_path):
    check_layer(PReLUlip(0.5, alpha_initializer="random_normal"), (2, 6), tmp_path)
    layer = PReLUlip(shared_axes=[1, 2], alpha_constraint=keras.constraints.NonNeg())
    model = check_layer(layer, (2, 4, 4, 3), tmp_path)
    assert model.layers[1].alpha.shape == (1, 1, 3)


def test_nothing_is_certified_without_finite_slopes():
    with pytest.raises(ValueError, match="no weights yet"):
        _ = PReLUlip().lipschitz_bound
    with pytest.raises(ValueError, match="NaN"):
        _ = _with_slopes([0.5, np.nan]).lipschitz_bound
