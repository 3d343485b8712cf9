"""Gram matrices as tensors, against the singular values of a convolution's own matrix."""

import numpy as np
import pytest
from keras import ops

from lipot.math import gram_tensors
from lipot.math.frequency_grids import AxisGrid, grid_angles
from lipot.math.gram_symbol import taps_of_stride_one
from lipot.math.precision import widest_float

TOLERANCE = 1e-12 if widest_float() == "float64" else 1e-5


def circular_matrix(kernel, grid, strides, dilation):
    """The convolution of a circle as a matrix, written out entry by entry."""
    height, width, channels, filters = kernel.shape
    rows, columns = (n // s for n, s in zip(grid, strides))
    matrix = np.zeros((rows, columns, filters, *grid, channels))
    for i, j, a, b in np.ndindex(rows, columns, height, width):
        place = (strides[0] * i + dilation[0] * a) % grid[0]
        matrix[i, j, :, place, (strides[1] * j + dilation[1] * b) % grid[1]] += kernel[a, b].T
    return matrix.reshape(rows * columns * filters, -1)


@pytest.mark.parametrize("way", ["blocks", "correlations", "whichever is less"])
@pytest.mark.parametrize(
    "strides, dilation, channels",
    [((1, 1), (1, 1), (3, 2)), ((2, 1), (1, 2), (2, 3)), ((2, 3), (1, 1), (1, 4))],
)
def test_their_eigenvalues_are_the_squared_singular_values(strides, dilation, channels, way):
    rng, grid = np.random.default_rng(0), (6, 6)
    kernel = rng.normal(size=(3, 2, *channels))
    axes = tuple(map(AxisGrid, grid, strides, dilation))
    if way != "whichever is less":
        places, taps = taps_of_stride_one(ops.convert_to_tensor(kernel), strides, dilation, ops)
        angles = grid_angles(places, axes, 0.0)
        one = {
            "blocks": lambda: gram_tensors._from_blocks(taps, angles),
            "correlations": lambda: gram_tensors._from_correlations(
                taps, gram_tensors.pairs_of_taps(places), angles
            ),
        }
        grams = one[way]()
    else:
        grams = gram_tensors.gram_tensors(ops.convert_to_tensor(kernel, widest_float()), axes)
    matrices = ops.convert_to_numpy(grams.real) + 1j * ops.convert_to_numpy(grams.imag)
    np.testing.assert_allclose(matrices, matrices.conj().transpose(0, 2, 1), atol=10 * TOLERANCE)
    found = np.linalg.eigvalsh(matrices)
    squares = np.linalg.svd(circular_matrix(kernel, grid, strides, dilation))[1] ** 2
    # Of two opposite frequencies one is here: each eigenvalue is one of the squares, and each
    # square is an eigenvalue.
    apart = np.abs(found.ravel()[:, None] - squares)
    assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 20 * TOLERANCE * squares.max()


def test_many_frequencies_share_their_products(monkeypatch):
    used = []
    for name in ("_from_blocks", "_from_correlations"):
        way = getattr(gram_tensors, name)
        monkeypatch.setattr(
            gram_tensors, name, lambda *a, way=way, name=name: used.append(name) or way(*a)
        )
    kernel = ops.convert_to_tensor(np.ones((3, 3, 8, 8), "float32"))
    for size in (4, 32):
        gram_tensors.gram_tensors(kernel, (AxisGrid(size, 1, 1), AxisGrid(size, 1, 1)))
    assert used == ["_from_blocks", "_from_correlations"]
