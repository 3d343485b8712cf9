"""Convolutions of small images against the SVD of what Keras computes of basis vectors."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from lipot.math.convolution import convolution_bound, embedded_bound
from lipot.math.small_images import is_small, small_bound
from tests.helpers import explicit_matrix
from tests.math.test_convolution import PADDINGS, matrix_norm, random_kernel

KERNELS = [(3, 3, 2, 3), (2, 4, 3, 2), (5, 3, 1, 4), (1, 1, 3, 3), (1, 2, 2, 2)]
SIZES = [(6, 6), (7, 5), (5, 8), (5, 4)]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_it_is_the_norm(padding, strides):
    for seed, (shape, size) in enumerate(itertools.product(KERNELS, SIZES)):
        kernel = random_kernel(*shape, seed=seed)
        norm = matrix_norm(kernel, size, strides, padding=padding)
        bound = convolution_bound(kernel, size, strides, padding=padding)
        assert norm <= bound <= norm * (1 + 1e-9), (shape, size)
        assert bound <= embedded_bound(kernel, size, strides, padding=padding)


@pytest.mark.parametrize("padding", ["valid", "constant", "circular", "reflect", "symmetric"])
def test_it_is_the_norm_with_dilation(padding):
    kernel = random_kernel(3, 2, 2, 2)
    for strides, dilation in itertools.product((1, 2, 3), (2, 3)):
        norm = matrix_norm(kernel, (7, 8), strides, dilation, padding)
        bound = convolution_bound(kernel, (7, 8), strides, dilation, padding)
        assert norm <= bound <= norm * (1 + 1e-9)


def test_values_that_meet_the_same_input_are_summed():
    # Every tap of a symmetric padding reads the one value there is: 1 + 2 + 3, and one output.
    kernel = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    assert small_bound(kernel, (1, 1), padding="symmetric") == pytest.approx(6.0, rel=1e-11)
    # Sums that cancel leave what they may have lost.
    kernel = np.array([1.0, 1e-17, -1.0]).reshape(3, 1, 1, 1)
    assert 1e-17 <= small_bound(kernel, (1, 1), padding="symmetric") < 1e-14


def test_groups_have_a_matrix_each():
    kernel = random_kernel(3, 3, 2, 6).astype("float64")
    halves = [small_bound(kernel[..., part], (3, 4)) for part in (slice(3), slice(3, 6))]
    assert small_bound(kernel, (3, 4), groups=2) == pytest.approx(max(halves), rel=1e-11)


def test_a_bound_takes_a_second_at_most_and_what_is_larger_is_left_to_the_circle():
    kernel = np.ones((3, 3, 1, 512))
    assert is_small(kernel, (2, 2), groups=512)
    assert not is_small(kernel, (32, 32), groups=512)
    assert not is_small(np.ones((3, 3, 256, 256)), (4, 4))
    # A circle whose strides close is exact.
    assert not is_small(kernel, (4, 4), 2, padding="circular")
    assert is_small(kernel, (5, 5), 2, padding="circular")


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(6, 3, padding="same"),
        lambda: layers.Conv2D(6, 3, 2, padding="same", groups=2),
        lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        lambda: layers.Conv2D(6, 3, padding="same", dilation_rate=2),
        lambda: layers.SeparableConv2D(6, 3, padding="same"),
        lambda: lipot.layers.SpectralConv2D(6, 3),
    ],
)
def test_constants_of_models_are_the_norms_of_their_matrices(make):
    model = keras.Sequential([keras.Input((2, 3, 4)), make()])
    matrix = explicit_matrix(model, (2, 3, 4))
    norm = np.linalg.svd(matrix, compute_uv=False)[0]
    assert lipot.lipschitz_constant(model) == pytest.approx(norm, rel=1e-5)
    # Most taps meet zeros.
    sums = np.abs(matrix).sum(axis=0).max()
    assert lipot.lipschitz_constant(model, norm="inf") == pytest.approx(sums, rel=1e-5)
