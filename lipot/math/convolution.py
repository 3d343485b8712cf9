"""Operator norms of convolutions: exact on a circle, proven bounds for every other padding.

A convolution here is what Keras computes, a cross-correlation with a kernel of shape
`(kh, kw, cin, cout)`, stride `s` and dilation `d`:

    y[i] = sum_j  K[j] x[s i + d j - p]        (i and j run over both axes)

On the circle `Z_N` the Fourier transform makes it block diagonal, one block for each frequency,
so its norm is a maximum of small singular values (`circular_norm`). Every other padding is
reduced to that case by `circular_embedding`.
"""

import math

import numpy as np
from keras import backend, ops

from lipot.math.convolution_geometry import (
    CircularEmbedding,
    average_duplication_factor,
    circular_embedding,
    padding_widths,
    pair_of,
    patch_copies,
    scattered_size,
)

__all__ = [
    "CircularEmbedding",
    "average_duplication_factor",
    "circular_bound",
    "circular_embedding",
    "circular_gram_bound",
    "circular_norm",
    "convolution_bound",
    "gram_bound",
    "padding_widths",
    "patch_copies",
    "scattered_size",
    "transposed_bound",
    "zero_padded_bound",
]

# Fourier blocks are treated a few at a time, so that large images do not fill the memory.
_BLOCK_ENTRIES = 4_000_000


def circular_norm(kernel, input_size, strides=1, dilation=1, groups=1):
    r"""Operator norm of a circular convolution, exact up to float64 rounding.

    With stride `s` the frequencies `\omega + 2\pi l / s` alias onto one output frequency, and
    the norm is

    $$ \max_\omega \frac{1}{\sqrt{s_h s_w}}
       \Big\| \big[\hat K(\omega + 2\pi l / s)\big]_{l} \Big\|_2 ,\qquad
       \hat K(\omega) = \sum_j K_j e^{i d \langle \omega, j \rangle}. $$

    Args:
        kernel: Array of shape `(kh, kw, cin / groups, cout)`.
        input_size: `(height, width)` of the input; the strides must divide it.
        strides: Integer or pair.
        dilation: Integer or pair.
        groups: Number of channel groups; every group is a convolution of its own.

    Returns:
        The norm, a float.

    Example:

    >>> import numpy as np
    >>> mean = np.full((2, 2, 1, 1), 0.25)
    >>> round(circular_norm(mean, (8, 8)), 12)
    1.0
    >>> round(circular_norm(mean, (8, 8), strides=2), 12)
    0.5
    """
    kernel = _checked_kernel(kernel)
    grid, strides = pair_of(input_size, "input_size"), pair_of(strides, "strides")
    if any(n % s for n, s in zip(grid, strides)):
        raise ValueError(
            "Invalid value received for argument `input_size`. Expected multiples of the strides "
            f"(see `convolution_bound`). Received: input_size={grid}, strides={strides}"
        )
    return _twisted_norm(kernel, grid, strides, pair_of(dilation, "dilation"), groups, 0.0)


def circular_bound(kernel, input_size, strides=1, dilation=1, groups=1):
    """`circular_norm`, raised by what float64 can have lost in it.

    Args:
        kernel: As for `circular_norm`, like the other arguments.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    return _rounded_up(circular_norm(kernel, input_size, strides, dilation, groups), kernel)


def convolution_bound(kernel, input_size, strides=1, dilation=1, padding="same", groups=1):
    """Guaranteed upper bound of a convolution's operator norm on its real input size.

    It is the norm itself (to 1e-10) for circular padding whose strides divide the input size,
    close to it for zero padding, and up to 2 times it for reflect and symmetric padding.
    Rounding is accounted for: the value is never below the true norm.

    Args:
        kernel: Array of shape `(kh, kw, cin / groups, cout)`.
        input_size: `(height, width)` of the input before padding.
        strides: Integer or pair.
        dilation: Integer or pair.
        padding: `"same"`, `"valid"`, `"constant"`, `"circular"`, `"reflect"` or `"symmetric"`;
            `padding_widths` says how many values each adds.
        groups: Number of channel groups; `cin` for a depthwise convolution.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    embedding = circular_embedding(kernel.shape[:2], input_size, strides, dilation, padding)
    bounds = [
        _twisted_norm(kernel, embedding.grid, strides, dilation, groups, twist)
        for twist in embedding.twists
    ]
    if len(embedding.twists) > 1:
        bounds.append(_patch_bound(kernel, embedding.outputs, strides, dilation, groups))
    return embedding.gain * _rounded_up(min(bounds), kernel)


def zero_padded_bound(kernel, input_size, strides=1, dilation=1, groups=1):
    """Guaranteed upper bound for zero padding, Keras's `padding="same"`."""
    return convolution_bound(kernel, input_size, strides, dilation, "same", groups)


def transposed_bound(kernel, input_size, strides=1, dilation=1):
    """Guaranteed upper bound for a transposed convolution, whatever its padding.

    It is the adjoint of a convolution, hence has its norm; cropping the output cannot raise it.

    Args:
        kernel: Array of shape `(kh, kw, cout, cin)`, as in Keras's `Conv2DTranspose`.
        input_size: `(height, width)` of the input of the transposed convolution.
        strides: Integer or pair.
        dilation: Integer or pair.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    scattered = scattered_size(kernel.shape[:2], input_size, strides, dilation)
    return convolution_bound(kernel, scattered, strides, dilation, "valid")


def circular_gram_bound(kernel, input_size, strides=1, dilation=1, twist=0.0, iterations=18):
    r"""Upper bound of a circular convolution's norm as a tensor, by Gram iteration.

    For each frequency let `G` be the smaller Gram matrix of the block of `circular_norm`, of
    size `n`. Then

    $$ \sigma \le \big\| G^{2^t} \big\|_F^{1 / 2^{t+1}} \le n^{1 / 2^{t+2}} \sigma , $$

    and `t` squarings, rescaled to stay in range, are matrix products only. The default leaves
    4e-6 for 64 channels. The result is raised by a margin for float32 rounding, of the size that
    errors of independent sign reach; the float64 proof of a finished kernel is
    `convolution_bound`.

    Args:
        kernel: Tensor of shape `(kh, kw, cin, cout)`.
        input_size: Circular grid `(height, width)`, a multiple of the strides, usually the
            `grid` of a `circular_embedding`.
        strides: Integer or pair.
        dilation: Integer or pair.
        twist: Phase of the grid, one of the `twists` of a `circular_embedding`.
        iterations: Number `t` of squarings.

    Returns:
        A scalar tensor in the kernel's dtype, at least float32. It is 0 for a kernel of zeros.

    Reference:
        Delattre et al., "Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram
        Iteration", ICML 2023.
    """
    kernel = ops.convert_to_tensor(kernel)
    kernel = ops.cast(kernel, backend.result_type(kernel.dtype, "float32"))
    scale = ops.max(ops.abs(kernel))
    scale = ops.where(scale > 0, scale, ops.ones_like(scale))
    real, imag = _symbol_tensors(kernel / scale, input_size, strides, dilation, twist)
    real, imag = _gram(real, imag)
    size = int(real.shape[-1])
    log_norm, weight = 0.0, 0.5
    for step in range(iterations + 1):
        if step > 0:
            real, imag = _hermitian_square(real, imag)
        # A floor instead of the norm leaves G / norm below 1: the bound only grows.
        norm = ops.sqrt(ops.sum(real * real + imag * imag, axis=(-2, -1), keepdims=True))
        norm = ops.maximum(norm, 1e-15)
        real, imag = real / norm, imag / norm
        log_norm = log_norm + weight * ops.log(norm)
        weight = weight / 2
    taps = int(kernel.shape[0]) * int(kernel.shape[1])
    margin = 1.0 + 6e-8 * (16.0 + math.sqrt(size * taps))
    bound = scale * margin * ops.exp(ops.max(log_norm))
    return ops.where(ops.any(kernel != 0), bound, ops.zeros_like(bound))


def gram_bound(kernel, input_size, strides=1, dilation=1, padding="same", iterations=18):
    """Tensor counterpart of `convolution_bound`: `circular_gram_bound` on the embedding grid."""
    embedding = circular_embedding(
        tuple(int(k) for k in kernel.shape[:2]), input_size, strides, dilation, padding
    )
    # Of two twists the half one is kept: it steps around the constant image, where the norm of
    # most kernels is attained although no zero-padded input can reach it.
    return embedding.gain * circular_gram_bound(
        kernel, embedding.grid, strides, dilation, embedding.twists[-1], iterations
    )


def _checked_kernel(kernel):
    kernel = np.asarray(kernel, "float64")
    if kernel.ndim != 4 or not np.all(np.isfinite(kernel)):
        raise ValueError(
            "Invalid value received for argument `kernel`. Expected finite numbers of shape "
            f"(kh, kw, cin, cout). Received: shape={kernel.shape}, "
            f"{np.sum(~np.isfinite(kernel))} values not finite"
        )
    return kernel


def _axis_phases(size, taps, stride, dilation, twist):
    """Angles `d j omega` on one axis: output frequency, alias, tap -> radians."""
    frequencies = np.arange(size).reshape(stride, size // stride).T
    # Reduced to one turn as integers, in units of half a step: exact for any size.
    half_steps = (2 * frequencies + round(2 * twist))[..., None] * dilation * np.arange(taps)
    return half_steps % (2 * size) * (np.pi / size)


def _phases(kernel_size, grid, strides, dilation, twist):
    """Angles for half of the frequencies, `(frequencies, aliases, taps)`.

    A real kernel has conjugate blocks at `omega` and `-omega`: half of one axis is enough.
    """
    rows, columns = (
        _axis_phases(n, k, s, d, twist) for n, k, s, d in zip(grid, kernel_size, strides, dilation)
    )
    columns = columns[: columns.shape[0] // 2 + 1]
    angles = rows[:, None, :, None, :, None] + columns[None, :, None, :, None, :]
    frequencies, taps = rows.shape[0] * columns.shape[0], math.prod(kernel_size)
    return angles.reshape(frequencies, math.prod(strides), taps)


def _twisted_norm(kernel, grid, strides, dilation, groups, twist):
    filters = kernel.shape[3] // groups
    if groups != 1:
        parts = np.split(kernel, range(filters, kernel.shape[3], filters), axis=3)
        return max(_twisted_norm(part, grid, strides, dilation, 1, twist) for part in parts)
    scale = np.max(np.abs(kernel), initial=0.0)
    if scale == 0.0:
        return 0.0
    angles = _phases(kernel.shape[:2], grid, strides, dilation, twist)
    aliases, channels = angles.shape[1], kernel.shape[2]
    flat = (kernel / scale).reshape(-1, channels * filters)
    largest = 0.0
    chunk = max(1, _BLOCK_ENTRIES // (aliases * flat.shape[1]))
    for start in range(0, len(angles), chunk):
        symbol = np.exp(1j * angles[start : start + chunk]) @ flat
        blocks = symbol.reshape(-1, aliases * channels, filters)
        if blocks.shape[1] > blocks.shape[2]:
            blocks = blocks.transpose(0, 2, 1)
        # The largest eigenvalue of the Gram matrix is accurate to n * 2^-53, and so is its root.
        gram = blocks @ blocks.conj().transpose(0, 2, 1)
        largest = max(largest, np.linalg.eigvalsh(gram)[:, -1].max())
    return float(scale * math.sqrt(largest / aliases))


def _patch_bound(kernel, outputs, strides, dilation, groups):
    """Norm of the map from patches to outputs, times that of the map from inputs to patches.

    It beats the circle when the kernel covers most of the input, and is exact when patches do
    not overlap.
    """
    flat = kernel.reshape(-1, groups, kernel.shape[3] // groups).transpose(1, 0, 2)
    copies = patch_copies(kernel.shape[:2], strides, dilation, outputs)
    return math.sqrt(copies) * float(np.linalg.norm(flat, 2, axis=(1, 2)).max())


def _rounded_up(norm, kernel):
    """Adds what float64 can have lost in the symbol and in the eigenvalues.

    Both errors are at most a small multiple of (dimension) * 2^-53 * |K|_F sqrt(taps).
    """
    dimension = math.prod(kernel.shape[:2]) + 8 * (kernel.shape[2] + kernel.shape[3])
    spread = np.linalg.norm(kernel) * math.sqrt(math.prod(kernel.shape[:2]))
    return norm * (1.0 + 1e-12) + dimension * 2.0**-52 * float(spread)


def _symbol_tensors(kernel, input_size, strides, dilation, twist):
    """Real and imaginary part of the blocks, `(frequencies, aliases * cin, cout)`."""
    grid, strides = pair_of(input_size, "input_size"), pair_of(strides, "strides")
    height, width, channels, filters = (int(n) for n in kernel.shape)
    angles = _phases((height, width), grid, strides, pair_of(dilation, "dilation"), twist)
    frequencies, aliases, taps = angles.shape
    flat = ops.reshape(kernel, (taps, channels * filters))
    angles = angles.reshape(frequencies * aliases, taps)
    return tuple(
        ops.reshape(
            ops.matmul(ops.convert_to_tensor(wave / math.sqrt(aliases), kernel.dtype), flat),
            (frequencies, aliases * channels, filters),
        )
        for wave in (np.cos(angles), np.sin(angles))
    )


def _gram(real, imag):
    """Gram matrix of `A = real + i imag` over its shorter side, as a real and imaginary part."""
    if real.shape[1] < real.shape[2]:
        real, imag = ops.transpose(real, (0, 2, 1)), ops.transpose(imag, (0, 2, 1))
    real_t, imag_t = ops.transpose(real, (0, 2, 1)), ops.transpose(imag, (0, 2, 1))
    cross = ops.matmul(real_t, imag)
    return (
        ops.matmul(real_t, real) + ops.matmul(imag_t, imag),
        cross - ops.transpose(cross, (0, 2, 1)),
    )


def _hermitian_square(real, imag):
    """Square of `R + i I`, `R` symmetric and `I` antisymmetric, in two matrix products.

    With S = R + I:  R^2 - I^2 = S S^T + R I + (R I)^T  and  R I + I R = R I - (R I)^T.
    """
    total, cross = real + imag, ops.matmul(real, imag)
    cross_t = ops.transpose(cross, (0, 2, 1))
    outer = ops.matmul(total, ops.transpose(total, (0, 2, 1)))
    return outer + cross + cross_t, cross - cross_t
