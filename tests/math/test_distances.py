"""Distances in loops against NumPy and finite differences, and what training asks of them."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math.distances import LARGEST_P, linf_distances, p_distances
from lipot.math.precision import widest_float
from tests.helpers import to_numpy

WIDE = widest_float() == "float64"
STEP, CLOSE = (1e-6, 1e-6) if WIDE else (1e-2, 2e-2)


def reference(points, centers, p):
    """The distances with a tensor of rows times features times columns."""
    shifts = np.abs(points[:, :, None] - centers)
    largest = shifts.max(axis=1)
    if p == np.inf:
        return largest
    powers = (shifts / np.maximum(largest, 1e-300)[:, None]) ** p
    return largest * powers.sum(axis=1) ** (1.0 / p)


def measured(points, centers, p):
    if p == np.inf:
        return linf_distances(points, centers)
    return p_distances(points, centers, float(p))


def sample(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 7)), rng.normal(size=(7, 4)), rng.normal(size=(5, 4))


@pytest.mark.parametrize("p", [1, 2, 3, 8, 9, 100, LARGEST_P, np.inf])
def test_distances_and_gradients_are_those_of_numpy(p):
    points, centers, weights = sample()
    found = to_numpy(measured(*map(ops.convert_to_tensor, (points, centers)), p))
    np.testing.assert_allclose(found, reference(points, centers, p), rtol=1e-12 if WIDE else 1e-5)
    for index in (0, 1):

        def total(moved, index=index):
            given = [ops.convert_to_tensor(part) for part in (points, centers)]
            given[index] = moved
            return ops.sum(ops.multiply(measured(*given, p), weights))

        _, gradient = backend.value_and_input_gradient(total, (points, centers)[index])
        expected = np.zeros_like((points, centers)[index])
        for place in np.ndindex(expected.shape):
            ends = []
            for sign in (1.0, -1.0):
                given = [points.copy(), centers.copy()]
                given[index][place] += sign * STEP
                ends.append(np.sum(reference(*given, p) * weights))
            expected[place] = (ends[0] - ends[1]) / (2.0 * STEP)
        np.testing.assert_allclose(to_numpy(gradient), expected, atol=CLOSE)


def test_ties_share_the_gradient_and_zero_has_none():
    centers = ops.zeros((3, 1))
    for value, expected in (([2.0, -2.0, 1.0], [0.5, -0.5, 0.0]), ([0.0] * 3, [0.0] * 3)):
        _, gradient = backend.value_and_input_gradient(
            lambda x: ops.sum(linf_distances(x, centers)), np.array([value], "float32")
        )
        assert to_numpy(gradient)[0].tolist() == expected
        _, gradient = backend.value_and_input_gradient(
            lambda x: ops.sum(p_distances(x, centers, 8.0)), np.array([value], "float32")
        )
        assert np.all(np.isfinite(to_numpy(gradient)))


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e10])
def test_high_powers_neither_vanish_nor_overflow(scale):
    points, centers = (scale * part.astype("float32") for part in sample()[:2])
    tensors = [ops.convert_to_tensor(part) for part in (points, centers)]
    for p in (8, 512, LARGEST_P):
        found = to_numpy(p_distances(*tensors, float(p)))
        expected = reference(points.astype("float64"), centers.astype("float64"), p)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_batches_of_every_size_agree():
    points, centers = (part.astype("float32") for part in sample()[:2])
    many, centers = np.tile(points, (20, 1)), ops.convert_to_tensor(centers)
    whole = to_numpy(linf_distances(ops.convert_to_tensor(many), centers))
    for rows in (1, 2, 31, 32, 33, 100):
        part = to_numpy(linf_distances(ops.convert_to_tensor(many[:rows]), centers))
        np.testing.assert_array_equal(part, whole[:rows])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch differentiates eagerly")
def test_a_second_derivative_is_an_error():
    points, centers, _ = sample()

    def steepness(x):
        _, gradient = backend.vjp(lambda x: p_distances(x, centers, 8.0), x, ops.ones_like)
        return ops.sum(ops.square(gradient))

    with pytest.raises(ValueError, match="differentiated once"):
        backend.value_and_input_gradient(steepness, points)
