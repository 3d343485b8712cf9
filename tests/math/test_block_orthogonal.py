"""Block convolutions against convolving twice, orthogonal kernels and their bound against SVDs."""

import math

import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_tensor as tensor

from lipot.math import block_orthogonal as block
from tests.helpers import to_numpy


def orthonormal(rng, *shape):
    left, _, right = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    return (left @ right).astype("float32")


def drawn_kernel(kernel_size, strides, channels, filters, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    shape = block.block_orthogonal_shape(kernel_size, strides, channels, filters)
    pairs = sum(shape.pairs)
    bases = None
    if pairs * shape.rank:
        bases = tensor(orthonormal(rng, pairs, groups, shape.width, shape.rank))
    ends = [s and tensor(orthonormal(rng, groups, *s)) for s in (shape.embedding, shape.reduction)]
    return to_numpy(block.block_orthogonal_kernel(shape, bases, *ends))


def circular_matrix(kernel, size, stride=1):
    """The circular convolution as a matrix, written out tap by tap."""
    height, width, channels, filters = kernel.shape
    out = size // stride
    matrix = np.zeros((size, size, channels, out, out, filters))
    for i, j, a, b in np.ndindex(out, out, height, width):
        matrix[(stride * i + a) % size, (stride * j + b) % size, :, i, j] += kernel[a, b]
    return matrix.reshape(size * size * channels, -1)


def test_block_convolution_is_one_convolution_after_the_other():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2, 3, 2, 4)).astype("float32")
    second = rng.normal(size=(3, 2, 4, 3)).astype("float32")
    x = rng.normal(size=(2, 9, 9, 2)).astype("float32")
    twice = ops.conv(ops.conv(x, first), second, strides=2)
    once = ops.conv(x, block.block_convolution(first, second), strides=2)
    np.testing.assert_allclose(to_numpy(once), to_numpy(twice), atol=1e-4)


@pytest.mark.parametrize("axis", [-4, -3])
@pytest.mark.parametrize("taps", [(2, 2), (1, 1)])
def test_pairs_are_block_convolutions_by_their_projectors(axis, taps):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(*taps, 3, 4)).astype("float32")
    first, second = orthonormal(rng, 2, 4, 2)
    inside, of_second = first @ first.T, second @ second.T
    identity = np.eye(4, dtype="float32")

    def convolved(kernel, *pair):
        pair = np.stack(pair)[:, None] if axis == -4 else np.stack(pair)[None]
        return to_numpy(block.block_convolution(kernel, pair))

    once = convolved(kernel, inside, identity - inside)
    np.testing.assert_allclose(
        to_numpy(block.append_pair(tensor(kernel), tensor(first), axis)), once, atol=1e-5
    )
    np.testing.assert_allclose(
        to_numpy(block.append_two_pairs(tensor(kernel), tensor(first), tensor(second), axis)),
        convolved(once, identity - of_second, of_second),
        atol=1e-5,
    )


@pytest.mark.parametrize("channels,filters", [(1, 1), (1, 5), (3, 3), (4, 3), (3, 13), (5, 2)])
@pytest.mark.parametrize("size,stride", [(1, 1), (2, 1), (3, 1), (2, 2), (4, 2), (5, 3)])
def test_kernel_is_orthogonal_on_every_circle(size, stride, channels, filters):
    kernel = drawn_kernel((size, size), (stride, stride), channels, filters)
    assert kernel.shape == (size, size, channels, filters)
    for grid in (stride, 2 * stride, 3 * stride):
        values = np.linalg.svd(circular_matrix(kernel, grid, stride), compute_uv=False)
        np.testing.assert_allclose(values, 1.0, atol=2e-6)
    bound = block.autocorrelation_bound(kernel, stride)
    assert values[0] - 1e-9 <= bound <= 1.0 + 1e-5


def test_groups_are_kernels_of_their_own():
    kernel = drawn_kernel((3, 3), (1, 1), 2, 3, groups=2)
    assert kernel.shape == (3, 3, 2, 6)
    for part in np.split(kernel, 2, axis=3):
        values = np.linalg.svd(circular_matrix(part, 5), compute_uv=False)
        np.testing.assert_allclose(values, 1.0, atol=2e-6)
    assert block.autocorrelation_bound(kernel, groups=2) <= 1.0 + 1e-5


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels,filters", [(2, 3), (3, 1)])
def test_autocorrelation_bounds_any_kernel(stride, channels, filters):
    for seed in range(3):
        kernel = np.random.default_rng(seed).normal(size=(3, 4, channels, filters))
        bound = block.autocorrelation_bound(kernel, stride)
        assert np.linalg.norm(circular_matrix(kernel, 6, stride), 2) <= bound


@pytest.mark.parametrize("error", [1e-9, 1e-7, 1e-5, 1e-3])
def test_what_is_left_of_an_orthogonal_kernel_is_bounded_whatever_its_size(error):
    """Small deviations by a looser bound, large ones by their norms."""
    rng = np.random.default_rng(0)
    kernel = np.zeros((3, 3, 16, 16))
    kernel[1, 1] = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    kernel += error * rng.normal(size=kernel.shape)
    bound = block.autocorrelation_bound(kernel)
    taps = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    padded = np.pad(kernel, ((2, 2), (2, 2), (0, 0), (0, 0)))
    norms = [
        np.linalg.norm(np.einsum("ijcf,ijdf->cd", kernel, padded[2 + i : 5 + i, 2 + j : 5 + j]), 2)
        for i, j in taps
    ]
    assert np.linalg.norm(circular_matrix(kernel, 6, 1), 2) <= bound
    assert math.sqrt(sum(norms)) * (1 - 1e-12) <= bound <= math.sqrt(sum(norms)) + 6e-6


def test_a_convolution_by_ones_has_the_bound_of_its_mean():
    assert block.autocorrelation_bound(np.ones((3, 3, 1, 1))) == pytest.approx(9.0)
    assert block.autocorrelation_bound(np.ones((3, 3, 1, 1)), strides=3) == pytest.approx(3.0)


def test_skipped_pixels_leave_room_for_few_filters():
    assert block.block_orthogonal_shape((1, 1), (2, 2), 3, 3).reduction == (3, 3)
    with pytest.raises(ValueError, match="`strides`.*skipped pixels.*Received"):
        block.block_orthogonal_shape((1, 1), (2, 2), 3, 4)
