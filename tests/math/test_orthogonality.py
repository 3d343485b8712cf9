"""Tests of the orthogonality defects against explicit matrices."""

import keras
import numpy as np
import pytest

from lipot.math.orthogonality import (
    convolution_defect,
    dense_defect,
    orthogonal_convolution_exists,
)


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _circular_matrix(kernel, size, stride):
    """Matrix of a strided circular convolution on a square image, written out by loops."""
    height, width, inputs, outputs = kernel.shape
    places = range(0, size, stride)
    rows = []
    for i in places:
        for j in places:
            row = np.zeros((outputs, size, size, inputs))
            for a in range(height):
                for b in range(width):
                    row[:, (i + a) % size, (j + b) % size] += kernel[a, b].T
            rows.append(row.reshape(outputs, -1))
    return np.concatenate(rows)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_dense_against_singular_values(shape):
    w = _random(*shape)
    values = np.linalg.svd(w, compute_uv=False)
    np.testing.assert_allclose(float(dense_defect(w)), ((values**2 - 1) ** 2).sum(), rtol=1e-5)
    left, _, right = np.linalg.svd(w, full_matrices=False)
    np.testing.assert_allclose(float(dense_defect(left @ right)), 0.0, atol=1e-10)


@pytest.mark.parametrize(
    "shape, stride",
    [((3, 3, 4, 3), 1), ((3, 3, 2, 5), 1), ((3, 3, 2, 6), 2), ((3, 3, 1, 7), 2), ((2, 3, 2, 2), 1)],
)
def test_convolution_against_its_matrix(shape, stride):
    kernel = 0.4 * _random(*shape)
    matrix = _circular_matrix(kernel, 6, stride)
    rows, columns = matrix.shape
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    expected = ((gram - np.eye(len(gram))) ** 2).sum() / (6 // stride) ** 2
    np.testing.assert_allclose(float(convolution_defect(kernel, stride)), expected, rtol=1e-4)


@pytest.mark.parametrize("shape, stride", [((3, 3, 4, 3), 1), ((3, 3, 2, 5), 1), ((2, 2, 1, 4), 2)])
def test_an_orthogonal_convolution_has_no_defect(shape, stride):
    kernel = np.zeros(shape, "float32")
    if stride == 1:
        # One tap with an orthonormal matrix.
        left, _, right = np.linalg.svd(_random(*shape[2:]), full_matrices=False)
        kernel[1, 1] = left @ right
    else:
        kernel.reshape(4, 4)[:] = np.linalg.qr(_random(4, 4))[0]
    np.testing.assert_allclose(float(convolution_defect(kernel, stride)), 0.0, atol=1e-5)
    values = np.linalg.svd(_circular_matrix(kernel, 6, stride), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)


def test_by_hand():
    # Offsets -1, 0, 1 of the kernel (1, 2): products 2, 5, 2; (5 - 1)^2 + 2^2 + 2^2.
    kernel = keras.ops.reshape(keras.ops.convert_to_tensor([1.0, 2.0]), (1, 2, 1, 1))
    assert float(convolution_defect(kernel)) == 24.0
    # With stride 2 the places do not overlap: only (5 - 1)^2 is left.
    assert float(convolution_defect(kernel, stride=2)) == 16.0


def test_existence():
    assert orthogonal_convolution_exists((3, 3, 2, 18), 3)
    assert not orthogonal_convolution_exists((1, 1, 2, 3), 2)
    assert orthogonal_convolution_exists((3, 3, 1, 100), 3)
    assert not orthogonal_convolution_exists((3, 3, 1, 100), 4)
