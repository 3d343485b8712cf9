"""Maxima between samples against dense grids: never above the bound, and the bound attained."""

import itertools

import numpy as np
import pytest

from lipot.math import linear_maps
from lipot.math.convolution import (
    any_size_bound,
    any_size_gram_bound,
    circular_bound,
    circular_norm,
    embedded_bound,
    gram_bound,
)
from lipot.math.frequency_grids import any_size_axis, known_size_axis, sampling_factor


def gains(kernel, stride, dilation, frequencies):
    """Norms of a convolution of sequences `(k, cin, cout)` at real frequencies, by definition."""
    aliases = frequencies[:, None] + 2 * np.pi * np.arange(stride) / stride
    waves = np.exp(1j * dilation * aliases[..., None] * np.arange(len(kernel)))
    blocks = np.einsum("fak,kio->faio", waves, kernel).reshape(
        len(frequencies), -1, kernel.shape[2]
    )
    return np.linalg.norm(blocks, 2, axis=(1, 2)) / np.sqrt(stride)


def dense(stride=1):
    return np.linspace(0, 2 * np.pi, 4001)


def samples(points, stride, twist=0.0):
    """The output frequencies of a circle of `points * stride`."""
    return 2 * np.pi * (np.arange(points) + twist) / (points * stride)


def kernels(taps):
    """Random ones, and some whose gain has its maximum between the samples of most grids."""
    rng = np.random.default_rng(taps)
    yield from rng.normal(size=(3, taps, 1, 1))
    yield from rng.normal(size=(2, taps, 2, 3))
    ends = np.zeros((taps, 1, 1))
    ends[0], ends[-1] = 1.0, -1.0
    yield ends
    # A rotation moves the maximum of the ends' gain to any place.
    for angle in rng.uniform(0, 2 * np.pi, 3):
        turned = np.zeros((taps, 2, 2))
        turned[0] = np.eye(2)
        turned[-1] += [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        yield turned


@pytest.mark.parametrize("taps", range(1, 12))
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (4, 2)])
def test_the_factor_is_never_crossed(taps, stride, dilation):
    reduced = stride // np.gcd(stride, dilation)
    degree = (taps - 1) // reduced
    for kernel in kernels(taps):
        top = gains(kernel, stride, dilation, dense()).max()
        for points, twist in itertools.product((degree + 1, 2 * degree + 3, 31), (0.0, 0.5, 0.3)):
            sampled = gains(kernel, reduced, 1, samples(points, reduced, twist)).max()
            assert top <= sampling_factor(degree, points) * sampled * (1 + 1e-9)


@pytest.mark.parametrize("taps", [2, 3, 5, 11])
def test_the_factor_is_attained(taps):
    """By the first and the last tap, turned until all maxima lie in the middle of samples."""
    degree = taps - 1
    for points in (2 * degree, 3 * degree, 8 * degree):
        angle = np.pi * degree / points
        waves = [np.exp(1j * degree * w) for w in (dense(), samples(points, 1))]
        top, largest = (np.abs(1 + np.exp(1j * angle) * wave).max() for wave in waves)
        assert top / largest == pytest.approx(sampling_factor(degree, points), rel=1e-4)


@pytest.mark.parametrize("degree", [1, 2, 5, 10])
def test_the_factor_is_below_those_of_other_proofs(degree):
    for points in (2 * degree + 1, 4 * degree, 64):
        ehlich_zeller = np.cos(np.pi * degree / points) ** -0.5
        pfister_bresler = (1 - 2 * degree / points) ** -0.25
        assert 1 < sampling_factor(degree, points) < ehlich_zeller
        assert sampling_factor(degree, points) < pfister_bresler


def test_too_few_samples_are_an_error():
    assert sampling_factor(0, 1) == 1.0
    with pytest.raises(ValueError, match="`points`.*Received: points=3"):
        sampling_factor(3, 3)


def test_grids_by_hand():
    assert any_size_axis(1)[:] == (1, 1, 1, 1.0, 0)
    assert any_size_axis(3, 3)[:3] == (3, 3, 1)
    # With stride 2 and dilation 2 only every second value is read: stride one on those.
    assert any_size_axis(3, 2, 2) == any_size_axis(3)
    assert any_size_axis(5, 2).size == 2 * any_size_axis(3).size
    assert any_size_axis(3, tolerance=1e-4).size > 5 * any_size_axis(3).size
    assert known_size_axis(33, 3) == (33, 1, 1, 1.0, None)
    assert known_size_axis(44, 3).degree is None and known_size_axis(45, 3) == any_size_axis(3)
    assert known_size_axis(226, 3, 2) == any_size_axis(3, 2)


@pytest.mark.parametrize("taps", [2, 3, 5, 7, 11])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_tolerance_is_kept(taps, stride):
    axis = any_size_axis(taps, stride)
    assert axis.factor**2 <= 1.005 + 1e-12
    for size in (32, 64, 112, 224, 512):
        size = stride * size
        axis = known_size_axis(size, taps, stride)
        assert axis.size <= size
        loss = sampling_factor((taps - 1) // stride, size // stride)
        # What the norm for every size may be above that of the circle.
        assert axis.degree is None or loss**2 <= 1.005 + 1e-12


def random_kernel(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (3, 1), ((2, 1), 1), (1, 2)])
@pytest.mark.parametrize("shape", [(3, 3, 2, 3), (4, 2, 3, 2), (5, 1, 2, 2)])
def test_large_circles_are_bounded_within_the_tolerance(strides, dilation, shape):
    kernel = random_kernel(*shape)
    for size in ((240, 6), (120, 240)):
        norm = circular_norm(kernel, size, strides, dilation)
        padded = embedded_bound(kernel, size, strides, dilation, "circular")
        assert norm <= circular_bound(kernel, size, strides, dilation) <= 1.006 * norm
        if strides == 1 and dilation == 1:
            assert norm <= padded


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_large_images_are_bounded_by_their_own_matrix(padding):
    """A column of 150 values, of which the matrix is small enough to write down."""
    kernel = random_kernel(3, 1, 2, 2)
    bound = embedded_bound(kernel, (150, 1), padding=padding)
    rows = []
    for x in np.eye(300).reshape(300, 150, 2):
        padded = np.pad(x, ((1, 1), (0, 0))) if padding == "same" else x
        rows.append(sum(padded[i : len(padded) - 2 + i] @ kernel[i, 0] for i in range(3)).ravel())
    norm = np.linalg.norm(np.array(rows), 2)
    assert norm <= bound <= 1.001 * norm


@pytest.mark.parametrize("size", [(64, 64), (48, 9), None])
def test_what_a_layer_divides_by_is_never_below_its_proof(size):
    """Also for the kernels whose gain is sampled as badly as can be."""
    sharp = [np.einsum("icf,jde->ijcdfe", k, k).reshape(3, 3, 4, 4) for k in list(kernels(3))[-3:]]
    flat = np.zeros((3, 3, 4, 4))
    flat[1, 1] = np.eye(4)
    for kernel in (*sharp, flat, random_kernel(3, 3, 4, 5), random_kernel(3, 3, 50, 48)):
        kernel = kernel.astype("float32")
        if size is None:
            proven, divided = any_size_bound(kernel), any_size_gram_bound(kernel)
        else:
            proven, divided = embedded_bound(kernel, size), gram_bound(kernel, size)
        assert proven <= float(divided) * (1 + 1e-9)


@pytest.mark.parametrize("strides", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_bounds_for_every_size_are_above_those_of_each_circle(strides, dilation):
    kernel = random_kernel(3, 4, 2, 3)
    bound = any_size_bound(kernel, strides, dilation)
    norms = [circular_norm(kernel, (n, n + 6), strides, dilation) for n in (6, 12, 30, 66)]
    assert max(norms) <= bound <= 1.03 * max(norms)


def test_strides_and_dilation_together_read_fewer_values():
    """Ones at distance two, every second output: they overlap, which strides alone do not."""
    linear_map = linear_maps.Conv2D(1, (2, 1), (2, 1), "valid", dilation_rate=(2, 1))
    kernel = np.ones((2, 1, 1, 1))
    assert circular_norm(kernel, (8, 1), (2, 1), (2, 1)) == pytest.approx(2.0)
    assert linear_map.norm(kernel, (None, None, 1, 1)) >= 2.0
    transposed = linear_maps.Conv2DTranspose(1, (2, 1), (2, 1), dilation_rate=(2, 1))
    assert transposed.norm(kernel, (None, None, 1, 1)) >= 2.0
