"""Orthonormalization against NumPy's SVD."""

import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math import orthogonal, stiefel
from tests.helpers import to_numpy

SHAPES = [(6, 6), (9, 4), (4, 9), (1, 5), (7, 1)]


def random_matrix(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def polar_factor(matrix):
    left, _, right = np.linalg.svd(matrix.astype("float64"), full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", SHAPES)
def test_power_iteration_finds_the_largest_singular_value(shape):
    matrix = random_matrix(shape)
    result = orthogonal.spectral_norm(ops.convert_to_tensor(matrix), ops.ones(shape[1]), 200)
    assert float(result.value) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_bjorck_reaches_the_polar_factor(shape):
    matrix = random_matrix(shape)
    matrix = matrix / np.linalg.norm(matrix, 2)
    found = to_numpy(orthogonal.bjorck(ops.convert_to_tensor(matrix), 60))
    np.testing.assert_allclose(found, polar_factor(matrix), atol=1e-4)


def test_bjorck_by_hand():
    # order 1: 1.5 * 0.8 - 0.5 * 0.512 = 0.944; order 2: 0.8 (1 + 0.18 + 0.375 * 0.1296).
    matrix = ops.convert_to_tensor([[0.8]])
    assert float(orthogonal.bjorck(matrix, 1)[0, 0]) == pytest.approx(0.944)
    assert float(orthogonal.bjorck(matrix, 1, order=2)[0, 0]) == pytest.approx(0.98288)


@pytest.mark.parametrize("shape", SHAPES)
def test_cholesky_is_orthonormal_and_keeps_the_span(shape):
    matrix = random_matrix(shape)
    found = to_numpy(orthogonal.cholesky(ops.convert_to_tensor(matrix)))
    np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False), 1.0, atol=1e-4)
    if shape[0] >= shape[1]:
        projector = polar_factor(matrix) @ polar_factor(matrix).T
        np.testing.assert_allclose(projector @ found, found, atol=1e-4)


@pytest.mark.parametrize("size", [0.01, 0.3, 3.0, 1e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_retraction_never_exceeds_one_and_comes_back(shape, size):
    start = polar_factor(random_matrix(shape))
    moved = (start + size * random_matrix(shape, 1)).astype("float32")
    once = to_numpy(stiefel.retract(ops.convert_to_tensor(moved)))
    assert np.linalg.norm(once, 2) <= 1.0 + 1e-6
    many = to_numpy(stiefel.retract(ops.convert_to_tensor(moved), 1e-5, 60))
    np.testing.assert_allclose(many, polar_factor(moved), atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_norm_bound_is_above_and_close(shape, scale):
    matrix = random_matrix(shape) * np.float32(scale)
    true = np.linalg.norm(matrix.astype("float64"), 2)
    bound = float(orthogonal.norm_bound(ops.convert_to_tensor(matrix)))
    assert true <= bound <= 1.001 * true


def test_norm_bound_of_an_orthonormal_and_of_a_zero_matrix():
    identity = ops.eye(64)
    assert 1.0 <= float(orthogonal.norm_bound(identity)) <= 1.0003
    assert float(orthogonal.norm_bound(ops.zeros((3, 2)))) == 0.0


def test_spectral_norm_gradient_is_the_outer_product():
    """d sigma / dW = u v^T, from the SVD."""
    from lipot.backend import value_and_input_gradient

    matrix = random_matrix((5, 4))
    left, _, right = np.linalg.svd(matrix)
    _, gradient = value_and_input_gradient(
        lambda w: orthogonal.spectral_norm(w, ops.ones(4), 100).value,
        ops.convert_to_tensor(matrix),
    )
    np.testing.assert_allclose(to_numpy(gradient), np.outer(left[:, 0], right[0]), atol=1e-3)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (2, 6, 3)])
def test_the_tangent_is_how_the_polar_factor_moves(shape):
    rng = np.random.default_rng(0)

    def polar(matrix):
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        return left @ right

    matrix, direction = polar(rng.normal(size=shape)), rng.normal(size=shape)
    step = 1e-5
    moved = (polar(matrix + step * direction) - polar(matrix - step * direction)) / (2 * step)
    found = stiefel.tangent(*map(ops.convert_to_tensor, (matrix, direction)))
    np.testing.assert_allclose(to_numpy(found), moved, atol=1e-5)


def test_only_the_tangent_part_of_a_gradient_passes():
    matrix = ops.convert_to_tensor(np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0])
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(6, 3)))

    def function(matrix):
        return ops.sum(weights * stiefel.with_tangent_gradient(matrix))

    value, gradient = backend.value_and_input_gradient(function, matrix)
    np.testing.assert_allclose(to_numpy(value), np.sum(to_numpy(weights * matrix)), rtol=1e-5)
    expected = to_numpy(stiefel.tangent(matrix, weights))
    np.testing.assert_allclose(to_numpy(gradient), expected, atol=1e-5)
    assert np.abs(expected - to_numpy(weights)).max() > 0.1
