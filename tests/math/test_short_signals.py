"""Transposed and causal convolutions of short signals: what is cropped off, or meets zeros."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from lipot.layers.layer_bounds import layer_bound
from lipot.math.convolution import taps_that_reach, transposed_bound
from tests.helpers import explicit_matrix


def norms(layer, shape):
    layer(np.zeros((1, *shape), "float32"))
    matrix = explicit_matrix(layer, shape)
    return np.linalg.norm(matrix, 2), np.abs(matrix).sum(axis=0).max()


def check(layer, shape, slack, linf_slack):
    exact = norms(layer, shape)
    for norm, observed, most in zip((2, "inf"), exact, (slack, linf_slack)):
        bound = layer_bound(layer, (None, *shape), norm).lipschitz
        assert observed <= bound * (1.0 + 2e-6), (norm, bound, observed)
        assert bound <= most * observed * (1.0 + 2e-6), (norm, bound, observed)


# Frameworks leave an odd place at either end, and the larger of both norms counts.
ODD = 2.0


@pytest.mark.parametrize("taps, stride", itertools.product((1, 2, 3, 5), (1, 2, 3)))
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_a_transposed_convolution_is_bounded_by_its_matrix(size, taps, stride):
    odd = ODD if (taps - stride) % 2 and taps > stride else 1.0
    layer = layers.Conv1DTranspose(3, taps, stride, "same", use_bias=False)
    check(layer, (size, 2), odd, odd)
    check(layers.Conv1DTranspose(3, taps, stride, "valid"), (size, 2), 1.0, 1.0)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2, (2, 1)])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (2, 3), (4, 4)])
def test_one_of_images_too(size, strides, padding):
    layer = layers.Conv2DTranspose(2, (3, 4), strides, padding)
    check(layer, (*size, 2), ODD**2 if padding == "same" else 1.0, ODD**2)


@pytest.mark.parametrize("output_padding", [1, 2])
def test_a_padding_of_the_output_moves_the_crop(output_padding):
    layer = layers.Conv1DTranspose(3, 4, 3, "same", output_padding=output_padding)
    check(layer, (2, 2), 3.0, 4.0)


@pytest.mark.parametrize("dilation, stride", [(1, 1), (2, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize("size", [1, 2, 4, 9])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_causal_convolution_is_bounded_by_its_matrix(size, dilation, stride, groups):
    arguments = {"padding": "causal", "dilation_rate": dilation, "groups": groups}
    if groups == 1:
        check(layers.Conv1D(4, 3, stride, **arguments), (size, 2), 1.0, 1.0)
        return
    layer = layers.Conv1D(4, 3, stride, **arguments)
    layer.build((None, size, 2))
    parts = [layers.Conv1D(2, 3, stride, **{**arguments, "groups": 1}) for _ in range(2)]
    exact = []
    for group, part in enumerate(parts):
        part.build((None, size, 1))
        part.set_weights([layer.get_weights()[0][..., 2 * group : 2 * group + 2], np.zeros(2)])
        exact.append(norms(part, (size, 1)))
    for norm, observed in zip((2, "inf"), np.max(exact, axis=0)):
        bound = layer_bound(layer, (None, size, 2), norm).lipschitz
        assert observed <= bound * (1.0 + 2e-6) <= observed * (1.0 + 1e-5)


def test_causal_convolutions_of_every_length_are_steeper_than_of_one():
    layer = layers.Conv1D(4, 3, padding="causal")
    exact = norms(layer, (9, 2))
    longer = [layer_bound(layer, (None, None, 2), norm).lipschitz for norm in (2, "inf")]
    assert np.all(np.array(exact) <= np.array(longer) * (1.0 + 2e-6))


def test_both_ends_of_an_uneven_crop_are_covered():
    """Of 4 taps at stride 1 an image of one pixel keeps the second or the third."""
    for kept in (1, 2):
        kernel = np.zeros((4, 1, 1, 1))
        kernel[kept] = 5.0
        assert transposed_bound(kernel, (1, 1), padding="same") == pytest.approx(5.0)
    rows, _ = taps_that_reach((4, 1), (1, 1))
    assert sorted(np.flatnonzero(row).tolist() for row in rows) == [[1], [2]]


def test_the_old_bound_of_one_pixel_was_that_of_the_whole_kernel():
    layer = layers.Conv2DTranspose(1, 3, padding="same", kernel_initializer="ones")
    keras.Sequential([keras.Input((1, 1, 1)), layer])
    found = [layer_bound(layer, (None, 1, 1, 1), norm).lipschitz for norm in (2, "inf")]
    assert found == pytest.approx([1.0, 1.0])
