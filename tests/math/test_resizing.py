"""Resizing as a matrix: that of the frameworks, up to where they place the centers."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot.math.resizing import (
    Interpolation,
    bilinear_matrix,
    is_unambiguous,
    nearest_copies,
    resizing_bound,
)
from tests.helpers import to_numpy

SIZES = [
    (32, 224),
    (224, 97),
    (100, 33),
    (7, 300),
    (5, 5),
    (1, 4),
    (6, 12),
    (48, 12),
    (6, 1),
    (191, 192),
]


def weights(size, output_size, **arguments):
    """The matrix of the framework along rows, from an image of each single pixel."""
    pixels = np.tile(np.eye(size, dtype="float32").reshape(size, size, 1, 1), (1, 1, 2, 1))
    resize = keras.layers.Resizing(output_size, 2, **arguments)
    return to_numpy(ops.cast(resize(pixels), "float64"))[:, :, 0, 0].T


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size, output_size", SIZES)
def test_weights_are_within_what_moved_centers_change(size, output_size, antialias):
    exact = bilinear_matrix(size, output_size, antialias)
    found = weights(size, output_size, antialias=antialias)
    assert np.abs(found - exact).max() <= 4 * (size + 1) * 2.0**-24
    if (size / output_size).hex().startswith("0x1.0000000000000p") and not antialias:
        np.testing.assert_array_equal(found, exact)
    np.testing.assert_allclose(exact.sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("size, output_size", SIZES)
def test_the_nearest_pixel_is_taken_no_more_often_than_is_said(size, output_size):
    found = weights(size, output_size, interpolation="nearest")
    assert np.all(found.sum(axis=1) == 1.0)
    assert found.sum(axis=0).max() <= nearest_copies(size, output_size)
    # In whole steps it is exact.
    if is_unambiguous(size, output_size):
        assert found.sum(axis=0).max() == nearest_copies(size, output_size)


@pytest.mark.parametrize("method", [("nearest", False), ("bilinear", False), ("bilinear", True)])
def test_norms_of_both_axes_multiply(method):
    size, output_size = (4, 6), (8, 3)
    rows, columns = (
        weights(n, m, interpolation=method[0], antialias=method[1])
        for n, m in zip(size, output_size)
    )
    exact = np.linalg.svd(np.kron(rows, columns), compute_uv=False)[0]
    bound = resizing_bound(size, output_size, Interpolation(*method), 2, "float32").lipschitz
    assert exact * (1.0 - 1e-6) <= bound <= exact * (1.0 + 1e-6)
    bound = resizing_bound(size, output_size, Interpolation(*method), "inf", "float32").lipschitz
    assert 1.0 <= bound <= 1.0 + 1e-9
