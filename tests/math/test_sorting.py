"""Tests of sorting and reflecting activations against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot.backend import value_and_input_gradient, vjp
from lipot.layers import GroupSort2
from lipot.math.sorting import householder, max_min, sort_groups, sort_pairs


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _sorted_groups(x, size, axis):
    x = np.moveaxis(x, axis, -1)
    groups = np.sort(x.reshape(*x.shape[:-1], -1, size), axis=-1)
    return np.moveaxis(groups.reshape(x.shape), -1, axis)


@pytest.mark.parametrize("axis", [-1, 1, -3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 12])
def test_groups_are_sorted_exactly(size, axis):
    x = _random(2, 12, 3, 12)
    np.testing.assert_array_equal(_numpy(sort_groups(x, size, axis)), _sorted_groups(x, size, axis))


@pytest.mark.parametrize("shape, axis", [((8,), 0), ((5, 8), 1), ((2, 8, 3), 1), ((2, 3, 8), 2)])
def test_pairs_are_sorted_exactly(shape, axis):
    x = _random(*shape)
    np.testing.assert_array_equal(_numpy(sort_pairs(x, axis)), _sorted_groups(x, 2, axis))


def test_the_jacobian_is_a_permutation_even_at_ties():
    x = np.array([1.0, 1.0, 0.0, -0.0, 3.0, 2.0], "float32")
    for size in (2, 3, 6):
        rows = [
            _numpy(vjp(lambda t, n=size: sort_groups(t, n), x, row)[1])
            for row in np.eye(6, dtype="float32")
        ]
        np.testing.assert_array_equal(np.sum(rows, axis=0), np.ones(6))
        np.testing.assert_array_equal(np.sum(rows, axis=1), np.ones(6))
        np.testing.assert_array_equal(np.abs(np.stack(rows) - 0.5), 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_pairs_can_be_differentiated_twice(dtype):
    # f(x) = sum sort(x)^3 = sum x^3, so |grad f|^2 = 9 sum x^4, whose gradient is 36 x^3.
    x = ops.cast(ops.convert_to_tensor([0.5, -0.25, 1.0, 0.75]), dtype)

    def squared_gradient(x):
        _, gradient = vjp(lambda t: ops.sum(sort_pairs(t) ** 3)[None], x, ops.ones(1, dtype))
        return ops.sum(gradient**2)

    gradient = value_and_input_gradient(squared_gradient, x)[1]
    expected = 36.0 * np.array([0.5, -0.25, 1.0, 0.75]) ** 3
    np.testing.assert_allclose(_numpy(ops.cast(gradient, "float32")), expected, rtol=0.02)


def test_a_model_that_sorts_pairs_trains_under_xla():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), GroupSort2()])
    model.compile("sgd", "mse", jit_compile=True)
    x = _random(8, 4)
    history = model.fit(x, np.zeros((8, 6)), epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]


def test_nan_is_not_lost():
    x = np.array([np.nan, 1.0, 2.0, np.nan, 4.0, 3.0], "float32")
    assert np.isnan(_numpy(sort_pairs(x))).sum() == 2


def test_max_min_by_hand():
    x = np.array([[1.0, -2.0], [0.0, 3.0]], "float32")
    np.testing.assert_array_equal(_numpy(max_min(x)), [[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 0.0, 0.0]])
    np.testing.assert_array_equal(_numpy(max_min(x, axis=0)), [[1, 0], [0, 3], [0, 2], [0, 0]])


def test_householder_by_hand():
    # theta = 0: the line is the first axis; what lies below it is mirrored above.
    x = np.array([[3.0, 2.0], [3.0, -2.0]], "float32")
    mirrored = _numpy(householder(x, np.zeros(1, "float32")))
    np.testing.assert_allclose(mirrored, [[3, 2], [3, 2]], atol=1e-6)
    # theta = pi: the line is the second axis; the right half is mirrored to the left.
    mirrored = _numpy(householder(x, np.full(1, np.pi, "float32")))
    np.testing.assert_allclose(mirrored, [[-3, 2], [-3, -2]], atol=1e-6)


def test_householder_at_a_right_angle_sorts_the_halves():
    x = _random(50, 8)
    y = _numpy(householder(x, np.full(4, np.pi / 2, "float32")))
    first, second = x[:, :4], x[:, 4:]
    expected = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_householder_is_the_reflection_matrix_of_the_paper():
    x, theta = _random(200, 2), 0.7
    matrix = np.array([[np.cos(theta), np.sin(theta)], [np.sin(theta), -np.cos(theta)]])
    wrong_side = x[:, 0] * np.sin(theta / 2) - x[:, 1] * np.cos(theta / 2) > 0
    expected = np.where(wrong_side[:, None], x @ matrix.T, x)
    reflected = _numpy(householder(x, np.array([theta], "float32")))
    np.testing.assert_allclose(reflected, expected, atol=1e-6)


def test_householder_on_another_axis():
    x, theta = _random(2, 3, 4, 6), np.array([0.3, 1.0, 2.0], "float32")
    channels_first = _numpy(householder(np.moveaxis(x, -1, 1), theta, axis=1))
    np.testing.assert_array_equal(np.moveaxis(channels_first, 1, -1), _numpy(householder(x, theta)))


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("size", [2, 3])
def test_a_symbolic_tensor_of_unknown_size_is_sorted(size, axis):
    shape = (6, None, None) if axis == 1 else (None, None, 6)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, sort_groups(inputs, size, axis))
    x = _random(2, 6, 4, 6)
    np.testing.assert_array_equal(_numpy(model(x)), _sorted_groups(x, size, axis))
