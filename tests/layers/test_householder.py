"""Tests of the Householder activation."""

import keras
import numpy as np
import pytest

from lipot.layers import Householder
from tests.helpers import check_layer
from tests.lipschitz import ROUNDING, check_bound, check_half_precision, jacobians, nasty_points


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _with_angles(theta, **kwargs):
    layer = Householder(**kwargs)
    layer.build((None, 2 * len(theta)))
    layer.theta.assign(theta)
    return layer


def test_it_starts_as_a_sort_of_the_halves():
    x = np.array([[3.0, 1.0, 1.0, 2.0]], "float32")
    np.testing.assert_allclose(_numpy(Householder()(x)), [[1, 1, 3, 2]], atol=1e-6)
    doubled = _numpy(Householder(k_coef_lip=2.0)(x))
    np.testing.assert_allclose(doubled, [[2, 2, 6, 4]], atol=1e-6)


def test_the_angle_is_trained():
    model = keras.Sequential([keras.Input((4,)), Householder(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = _numpy(model.layers[0].theta).copy()
    np.testing.assert_allclose(before, np.pi / 2, rtol=1e-6)
    model.fit(_random(32, 4), _random(32, 1), verbose=0)
    assert np.abs(_numpy(model.layers[0].theta) - before).min() > 1e-5


@pytest.mark.parametrize("theta", [[0.0, 3.0, -1.0], [np.pi / 2, 5.0, 1e-4]])
def test_no_attack_beats_the_bound(theta):
    layer = _with_angles(theta, k_coef_lip=0.7, dtype="float64")
    assert layer.lipschitz_bound == 0.7
    check_bound(layer, (6,), attained=0.999)


def test_the_jacobian_is_orthogonal():
    layer = _with_angles([0.3, 2.0, 4.0], dtype="float64")
    for jacobian in jacobians(layer, nasty_points((6,))):
        np.testing.assert_allclose(jacobian @ jacobian.T, np.eye(6), atol=ROUNDING)


def test_it_is_continuous_across_the_line():
    theta = 1.1
    on_line = np.array([np.cos(theta / 2), np.sin(theta / 2)])
    across = np.array([-np.sin(theta / 2), np.cos(theta / 2)])
    layer = _with_angles([theta], dtype="float64")
    for side in (-1e-9, 1e-9):
        y = _numpy(layer((5 * on_line + side * across)[None]))
        np.testing.assert_allclose(y[0], 5 * on_line, atol=1e-8)


def test_half_precision_keeps_the_bound():
    check_half_precision(_with_angles([0.3, 2.0, 4.0], k_coef_lip=0.3), (6,))


@pytest.mark.parametrize("theta_initializer", [None, "random_normal"])
def test_round_trips(theta_initializer, tmp_path):
    layer = Householder(k_coef_lip=0.5, theta_initializer=theta_initializer)
    check_layer(layer, (2, 4, 4, 6), tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="even number of channels.*5"):
        Householder()(np.zeros((1, 5), "float32"))
    with pytest.raises(ValueError, match="`data_format`"):
        Householder(data_format="NCHW")
