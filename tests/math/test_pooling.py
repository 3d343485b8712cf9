"""Tests of pooling norms against the singular values of the explicit matrix."""

import keras
import numpy as np
import pytest

from lipot.math.pooling import average_norm, smooth_root, window_overlap


def _average_matrix(length, pool, stride):
    rows = (length - pool) // stride + 1
    matrix = np.zeros((rows, length))
    for i in range(rows):
        matrix[i, i * stride : i * stride + pool] = 1.0 / pool
    return matrix


@pytest.mark.parametrize("pool", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_the_norm_bounds_every_length_and_is_its_limit(pool, stride):
    bound = average_norm((pool,), (stride,))
    norms = [
        np.linalg.norm(_average_matrix(length, pool, stride), 2)
        for length in (*range(pool, pool + 12), 400)
    ]
    assert max(norms) <= bound * (1 + 1e-12)
    assert norms[-1] >= bound * (1 - 1e-3)
    if stride >= pool:
        np.testing.assert_allclose(norms, bound, rtol=1e-12)


def test_axes_multiply():
    matrix = np.kron(_average_matrix(30, 3, 2), _average_matrix(20, 2, 2))
    bound = average_norm((3, 2), (2, 2))
    assert 0.99 * bound <= np.linalg.norm(matrix, 2) <= bound


@pytest.mark.parametrize("pool", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_overlap_counts_the_windows(pool, stride):
    counts = (_average_matrix(60, pool, stride) > 0).sum(axis=0)
    assert window_overlap((pool,), (stride,)) == counts.max()


def test_the_root_is_the_norm_with_a_constant_appended():
    x = np.random.default_rng(0).normal(size=(100, 5))
    for eps in (1e-3, 1.0):
        appended = np.concatenate([x, np.full((100, 1), eps)], axis=1)
        expected = np.linalg.norm(appended, axis=1) - eps
        root = smooth_root(keras.ops.convert_to_tensor((x**2).sum(axis=1)), eps)
        np.testing.assert_allclose(np.asarray(root), expected, rtol=1e-10)


def test_the_root_is_accurate_near_zero_in_float32():
    norms = np.array([0.0, 1e-12, 1e-9, 1e-7, 1e-5, 1.0])
    root = smooth_root(keras.ops.convert_to_tensor((norms**2).astype("float32")), 1e-6)
    # Far below eps the root is r^2 / (2 eps).
    expected = np.where(norms < 1e-8, norms**2 / 2e-6, np.hypot(norms, 1e-6) - 1e-6)
    np.testing.assert_allclose(np.asarray(root), expected, rtol=1e-5)
