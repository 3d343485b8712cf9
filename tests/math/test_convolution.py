"""Operator norms of convolutions against the SVD of their explicit matrices."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from lipot.math import gram_symbol
from lipot.math.convolution import (
    average_duplication_factor,
    circular_gram_bound,
    circular_norm,
    convolution_bound,
    embedded_bound,
    gram_bound,
    padding_widths,
    transposed_bound,
    zero_padded_bound,
)

PADDINGS = ("same", "valid", "constant", "circular", "reflect", "symmetric")
MODES = {"circular": "wrap", "constant": "constant", "reflect": "reflect", "symmetric": "symmetric"}


def convolve(x, kernel, strides, dilation, padding):
    """What a Keras layer computes; on basis vectors it copies kernel entries, without rounding."""
    if padding in MODES:
        widths = padding_widths(kernel.shape[:2], x.shape[1:3], strides, dilation, padding)
        x = np.pad(x, ((0, 0), *widths, (0, 0)), MODES[padding])
        padding = "valid"
    # TensorFlow refuses strides together with dilation: every output, then every s-th.
    if dilation == 1:
        return np.asarray(ops.conv(x, kernel, strides, padding, "channels_last"))
    assert padding == "valid"
    full = np.asarray(ops.conv(x, kernel, 1, padding, "channels_last", dilation))
    return full[:, ::strides, ::strides]


def matrix_norm(kernel, size, strides=1, dilation=1, padding="same"):
    inputs = np.prod(size) * kernel.shape[2]
    basis = np.eye(inputs, dtype="float32").reshape(inputs, *size, kernel.shape[2])
    rows = convolve(basis, kernel.astype("float32"), strides, dilation, padding)
    return np.linalg.svd(rows.reshape(inputs, -1).astype("float64"), compute_uv=False)[0]


def random_kernel(*shape, seed=0):
    # Multiples of 2^-8: sums of a few are exact in float32, as is the matrix.
    return np.round(256 * np.random.default_rng(seed).normal(size=shape)).astype("float32") / 256


@pytest.mark.parametrize("size", [(6, 6), (7, 4)])
@pytest.mark.parametrize("taps", [(3, 3), (1, 5), (3, 1)])
def test_circular_norm_is_the_norm_of_the_matrix(size, taps):
    kernel = random_kernel(*taps, 2, 3)
    expected = matrix_norm(kernel, size, padding="circular")
    assert circular_norm(kernel, size) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("strides", [2, 3])
@pytest.mark.parametrize("channels", [(1, 1), (2, 3), (3, 9)])
def test_circular_norm_with_strides(strides, channels):
    kernel = random_kernel(3, 3, *channels)
    expected = matrix_norm(kernel, (6, 12), strides, padding="circular")
    assert circular_norm(kernel, (6, 12), strides) == pytest.approx(expected, rel=1e-9)


def test_circular_norm_with_dilation_and_a_kernel_larger_than_the_circle():
    kernel = random_kernel(3, 3, 2, 2)
    expected = matrix_norm(kernel, (8, 9), dilation=2, padding="circular")
    assert circular_norm(kernel, (8, 9), dilation=2) == pytest.approx(expected, rel=1e-9)
    expected = matrix_norm(kernel, (2, 3), padding="circular")
    assert circular_norm(kernel, (2, 3)) == pytest.approx(expected, rel=1e-9)


def test_circular_norm_of_groups():
    kernel = random_kernel(3, 3, 2, 6)
    x = np.eye(5 * 5 * 4, dtype="float32").reshape(-1, 5, 5, 4)
    halves = [
        convolve(x[..., :2], kernel[..., :3], 1, 1, "circular"),
        convolve(x[..., 2:], kernel[..., 3:], 1, 1, "circular"),
    ]
    matrix = np.concatenate(halves, axis=-1).reshape(100, -1).astype("float64")
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    assert circular_norm(kernel, (5, 5), groups=2) == pytest.approx(expected, rel=1e-9)


def test_strides_must_divide_the_circle():
    with pytest.raises(ValueError, match="argument `input_size`.*Received: input_size=\\(7, 8\\)"):
        circular_norm(random_kernel(3, 3, 1, 1), (7, 8), strides=2)


# The largest ratio of bound to norm each padding may show on these tiny images.
SLACK = {"same": 1.5, "valid": 1.8, "constant": 1.5, "circular": 2.1, "reflect": 2.6}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_bound_is_above_the_norm_and_close(padding, strides):
    shapes = [(3, 3, 2, 3), (2, 4, 3, 2), (5, 3, 1, 4), (1, 1, 3, 3), (1, 2, 2, 2)]
    sizes = [(6, 6), (7, 5), (5, 8)]
    for seed, (shape, size) in enumerate(itertools.product(shapes, sizes)):
        kernel = random_kernel(*shape, seed=seed)
        norm = matrix_norm(kernel, size, strides, padding=padding)
        bound = embedded_bound(kernel, size, strides, padding=padding)
        assert norm <= bound <= SLACK.get(padding, 2.6) * norm, (shape, size)


@pytest.mark.parametrize("padding", ["valid", "constant", "circular", "reflect", "symmetric"])
def test_bound_with_dilation(padding):
    kernel = random_kernel(3, 2, 2, 2)
    for strides, dilation in itertools.product((1, 2, 3), (2, 3)):
        norm = matrix_norm(kernel, (7, 8), strides, dilation, padding)
        assert norm <= embedded_bound(kernel, (7, 8), strides, dilation, padding) <= 3.2 * norm


def test_bound_holds_for_kernels_that_live_on_the_border():
    # Ones everywhere: the worst kernel for zero padding and for copied values.
    for padding, strides in itertools.product(PADDINGS, [1, 2]):
        kernel = np.ones((3, 3, 1, 1), "float32")
        norm = matrix_norm(kernel, (5, 6), strides, padding=padding)
        bound = embedded_bound(kernel, (5, 6), strides, padding=padding)
        assert norm <= bound, (padding, strides)


def test_half_twisted_grid_is_exact_for_the_second_difference():
    # Eigenvalues of the zero-padded (1, 1, 1) filter on n points: 1 + 2 cos(pi j / (n + 1)).
    kernel = np.ones((3, 1, 1, 1))
    expected = 1 + 2 * np.cos(np.pi / 9)
    assert zero_padded_bound(kernel, (8, 1)) == pytest.approx(expected, rel=1e-10)


def test_bound_is_exact_when_patches_do_not_overlap():
    for shape, strides in [((5, 7, 2, 3), 1), ((2, 2, 3, 4), 2), ((2, 3, 3, 4), (2, 3))]:
        kernel = random_kernel(*shape)
        size = (5, 7) if strides == 1 else (6, 6)
        expected = np.linalg.svd(kernel.reshape(-1, shape[3]).astype("float64"))[1][0]
        bound = embedded_bound(kernel, size, strides, padding="valid")
        assert bound == pytest.approx(expected, rel=1e-10)


def test_circular_bound_is_tight_when_the_strides_divide_the_input():
    kernel = random_kernel(3, 3, 4, 4)
    norm = circular_norm(kernel, (8, 8), 2)
    bound = embedded_bound(kernel, (8, 8), 2, padding="circular")
    assert norm < bound < norm * (1 + 1e-9)


def test_zero_padding_is_no_compression_of_its_own_grid():
    # An image as small as the kernel: circularly, opposite borders meet and can cancel.
    kernel = np.array([1.0, 0.0, -1.0]).reshape(3, 1, 1, 1)
    assert circular_norm(kernel, (2, 1)) == pytest.approx(0.0, abs=1e-12)
    assert matrix_norm(kernel, (2, 1)) == pytest.approx(1.0)
    assert 1.0 <= zero_padded_bound(kernel, (2, 1)) <= 2.0


def test_depthwise_convolution_is_one_group_for_each_channel():
    depthwise = random_kernel(3, 3, 5, 2)
    expected = max(zero_padded_bound(depthwise[:, :, c : c + 1], (6, 6)) for c in range(5))
    grouped = depthwise.reshape(3, 3, 1, 10)
    assert convolution_bound(grouped, (6, 6), groups=5) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_transposed_bound_is_above_the_norm_of_the_keras_layer(padding, strides):
    layer = keras.layers.Conv2DTranspose(2, (3, 4), strides, padding, use_bias=False)
    basis = np.eye(4 * 5 * 3, dtype="float32").reshape(-1, 4, 5, 3)
    rows = ops.convert_to_numpy(layer(basis)).reshape(60, -1).astype("float64")
    norm = np.linalg.svd(rows, compute_uv=False)[0]
    bound = transposed_bound(ops.convert_to_numpy(layer.kernel), (4, 5), strides)
    assert norm <= bound <= 1.5 * norm


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_bounds_do_not_depend_on_the_unit(scale):
    kernel = random_kernel(3, 3, 3, 4)
    expected = zero_padded_bound(kernel, (6, 6))
    assert zero_padded_bound(kernel * scale, (6, 6)) == pytest.approx(expected * scale, rel=1e-6)
    gram = float(gram_bound(ops.convert_to_tensor(kernel * scale, "float32"), (6, 6)))
    assert gram == pytest.approx(float(gram_bound(kernel, (6, 6))) * scale, rel=1e-5)


def test_zero_kernels():
    zeros = np.zeros((3, 3, 2, 2), "float32")
    assert circular_norm(zeros, (4, 4)) == 0.0
    assert zero_padded_bound(zeros, (4, 4)) == 0.0
    assert float(gram_bound(zeros, (4, 4))) == 0.0


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [(1, 1), (1, 16), (16, 16), (24, 8)])
def test_gram_bound_is_above_the_norm_and_tight(strides, channels):
    for seed in range(4):
        kernel = random_kernel(3, 3, *channels, seed=seed)
        norm = circular_norm(kernel, (8, 12), strides)
        bound = float(circular_gram_bound(kernel, (8, 12), strides))
        assert norm < bound < norm * (1 + 1.5e-5)


def test_gram_bound_of_orthogonal_convolutions():
    # A flat spectrum is the worst case: nothing separates the largest value from the others.
    for channels in (8, 32):
        rotation = np.linalg.qr(random_kernel(channels, channels))[0]
        kernel = np.zeros((3, 3, channels, channels), "float32")
        kernel[0, 2] = rotation
        bound = float(circular_gram_bound(kernel, (8, 8)))
        assert circular_norm(kernel, (8, 8)) < bound < 1 + 1.5e-5


@pytest.mark.parametrize("padding", PADDINGS)
def test_gram_bound_follows_the_padding(padding):
    kernel = random_kernel(3, 3, 3, 2)
    for strides in (1, 2):
        norm = matrix_norm(kernel, (6, 8), strides, padding=padding)
        proven = embedded_bound(kernel, (6, 8), strides, padding=padding)
        gram = float(gram_bound(kernel, (6, 8), strides, padding=padding))
        assert norm < gram
        assert proven < gram * (1 + 1e-9)


def extreme_kernels():
    """Flat over all frequencies, of rank one, attained at one frequency alone, mostly zero."""
    delta = np.zeros((3, 3, 4, 4), "float32")
    delta[1, 1] = np.eye(4)
    shifted = np.roll(delta[..., ::-1], 1, axis=(0, 1))
    rank_one = np.einsum("i,j,c,f->ijcf", *(random_kernel(n, seed=n) for n in (3, 3, 4, 5)))
    constant = np.ones((3, 3, 4, 3), "float32")
    # The largest gain lies between the frequencies of most circles.
    wave = np.cos(2 * np.pi * 0.29 * np.arange(3)).round(2).astype("float32")
    between = np.einsum("i,j,cf->ijcf", wave, wave, np.ones((4, 2), "float32"))
    one = np.zeros((3, 3, 4, 4), "float32")
    one[2, 0, 3, 1] = -2.0
    return [delta, shifted, rank_one, constant, between, one]


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("padding, strides", [("same", 1), ("circular", 1), ("valid", 2)])
def test_bounds_of_extreme_kernels(padding, strides, index, monkeypatch):
    # Factorizations for small matrices, too.
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", 1)
    kernel = extreme_kernels()[index]
    norm = matrix_norm(kernel, (6, 7), strides, padding=padding)
    proven = embedded_bound(kernel, (6, 7), strides, padding=padding)
    in_graph = float(gram_bound(kernel, (6, 7), strides, padding=padding))
    assert norm <= proven <= in_graph * (1 + 1e-9)
    for scale in (1e-25, 1e25):
        scaled = embedded_bound(kernel.astype("float64") * scale, (6, 7), strides, 1, padding)
        assert scaled == pytest.approx(proven * scale, rel=1e-9)


@pytest.mark.parametrize("size", [3, 4, 5, 9])
def test_the_norm_over_patches_is_taken_exactly_where_it_is_less(size):
    kernel = random_kernel(3, 3, 2, 4).astype("float64")
    outputs = size - 2
    over_patches = min(outputs, 3) * np.linalg.norm(kernel.reshape(-1, 4), 2)
    frequencies = [np.exp(2j * np.pi * (q + 0.5) / size * np.arange(3)) for q in range(size)]
    on_circle = max(
        np.linalg.norm(np.einsum("i,j,ijcf->cf", a, b, kernel), 2)
        for a, b in itertools.product(frequencies, repeat=2)
    )
    on_circle = min(on_circle, circular_norm(kernel, (size, size)))
    bound = embedded_bound(kernel, (size, size), padding="valid")
    assert bound == pytest.approx(min(on_circle, over_patches), rel=1e-9)


def test_duplication_factor_by_hand_and_against_a_count():
    # 3x3 on 2x2: every value of the image is read by all 4 outputs.
    assert average_duplication_factor((3, 3), (2, 2)) == pytest.approx(2.0)
    # 1-D count: outputs that read each of 10 values through 5 taps, zero padding.
    reads = np.convolve(np.ones(10), np.ones(5), "same").sum() / 10
    assert average_duplication_factor((5, 1), (10, 7)) ** 2 == pytest.approx(reads)
    assert average_duplication_factor(3, (28, 28), 2) == pytest.approx(2.0)


def test_duplication_factor_is_not_a_bound():
    kernel = np.full((3, 3, 1, 1), 1 / 3, "float32")  # spectral norm 1 as a 9 x 1 matrix
    factor = average_duplication_factor((3, 3), (12, 12))
    assert matrix_norm(kernel / np.float32(factor), (12, 12)) > 1.0


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"kernel": np.ones((3, 3, 1))}, "kernel"),
        ({"kernel": np.full((3, 3, 1, 1), np.nan)}, "kernel"),
        ({"input_size": (0, 3)}, "input_size"),
        ({"input_size": (2, 9), "padding": "valid"}, "input_size"),
        ({"strides": -1}, "strides"),
        ({"dilation": 1.5}, "dilation"),
        ({"padding": "mirror"}, "padding"),
    ],
)
def test_invalid_arguments_are_named(arguments, name):
    valid = {"kernel": np.ones((3, 3, 1, 1)), "input_size": (6, 6)}
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        convolution_bound(**(valid | arguments))


def test_large_images_are_treated_in_pieces(monkeypatch):
    kernel = random_kernel(3, 3, 4, 4)
    expected = circular_norm(kernel, (9, 9))
    monkeypatch.setattr(gram_symbol, "_BLOCK_ENTRIES", 40)
    assert circular_norm(kernel, (9, 9)) == pytest.approx(expected, rel=1e-12)
