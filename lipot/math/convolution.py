"""Operator norms of convolutions: exact on a circle, proven bounds for every other padding.

A convolution here is what Keras computes, a cross-correlation with a kernel of shape
`(kh, kw, cin, cout)`, stride `s` and dilation `d`:

    y[i] = sum_j  K[j] x[s i + d j - p]        (i and j run over both axes)

On the circle `Z_N` the Fourier transform makes it block diagonal, one block for each frequency,
so its norm is a maximum of small singular values (`circular_norm`). Every other padding is
reduced to that case by `circular_embedding`, or, on a small image, taken as the matrix it is.
"""

import math

import numpy as np
from keras import backend, ops

from lipot import checks
from lipot.math.block_norms import block_norm_bound
from lipot.math.convolution_geometry import (
    CircularEmbedding,
    average_duplication_factor,
    circular_embedding,
    padding_widths,
    pair_of,
    patch_copies,
    scattered_size,
    taps_that_reach,
    taps_that_read,
    written_size,
)
from lipot.math.frequency_grids import AxisGrid, any_size_axis, known_size_axis
from lipot.math.frequency_search import TOLERANCE as SEARCH_TOLERANCE
from lipot.math.gram_spectrum import largest_gram_eigenvalue
from lipot.math.gram_tensors import gram_tensors
from lipot.math.rounding import UP, spectral_norm
from lipot.math.scaling import largest_entry
from lipot.math.small_images import is_small, small_bound

__all__ = [
    "CircularEmbedding",
    "any_size_bound",
    "any_size_gram_bound",
    "average_duplication_factor",
    "circular_bound",
    "circular_embedding",
    "circular_gram_bound",
    "circular_norm",
    "convolution_bound",
    "embedded_bound",
    "gram_bound",
    "padding_widths",
    "patch_copies",
    "scattered_size",
    "taps_that_reach",
    "taps_that_read",
    "transposed_bound",
    "zero_padded_bound",
]


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
    axes = _circle(input_size, strides, dilation)
    return _twisted_norm(_checked_kernel(kernel), axes, groups)


def circular_bound(kernel, input_size, strides=1, dilation=1, groups=1):
    """`circular_norm`, raised by what float64 can have lost in it.

    Large circles have the bound for all sizes, which adds at most 0.6 %, or 1 % where the gain is
    nearly the same at all frequencies.

    Args:
        kernel: As for `circular_norm`, like the other arguments.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    circle = _circle(input_size, strides, dilation)
    axes = tuple(known_size_axis(n, k, s, d) for k, (n, s, d, *_) in zip(kernel.shape, circle))
    return _rounded_up(_twisted_norm(kernel, axes, groups), kernel)


def convolution_bound(kernel, input_size, strides=1, dilation=1, padding="same", groups=1):
    """Guaranteed upper bound of a convolution's operator norm on its real input size.

    It is the norm itself (to 1e-9) for circular padding whose strides divide the input size, and
    on images so small that the matrix of the map can be measured, see `small_images`. Elsewhere
    it is that of `embedded_bound`. Rounding is accounted for: the value is never below the norm.

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

    Example:

    >>> import numpy as np
    >>> kernel = np.reshape([1.0, 0.0, -1.0], (3, 1, 1, 1))   # two values change places
    >>> size = (2, 1)
    >>> round(convolution_bound(kernel, size), 9), round(embedded_bound(kernel, size), 3)
    (1.0, 1.732)
    """
    arguments = (_checked_kernel(kernel), input_size, strides, dilation, padding, groups)
    bound = embedded_bound(*arguments)
    return min(bound, small_bound(*arguments)) if is_small(*arguments) else bound


def embedded_bound(kernel, input_size, strides=1, dilation=1, padding="same", groups=1):
    """Guaranteed upper bound of a convolution's operator norm by the circle that it embeds in.

    It is the norm for circular padding whose strides divide the input size, close to it for zero
    padding on images larger than a few kernels, and up to 2 times it for reflect and symmetric
    padding. Large images have the bound for all sizes, which adds at most 0.6 %, or 1 % where the
    gain is nearly the same at all frequencies (see `frequency_search`).

    Args:
        kernel: As for `convolution_bound`, like the other arguments.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    embedding = circular_embedding(kernel.shape[:2], input_size, strides, dilation, padding)
    axes, twists = _frequencies(kernel.shape[:2], embedding, strides, dilation)
    bound = _twisted_norm(kernel, axes, groups, twists)
    if len(embedding.twists) > 1:
        copies = patch_copies(kernel.shape[:2], strides, dilation, embedding.outputs)
        bound = _least_of_patches(kernel, copies, groups, bound)
    return embedding.gain * _rounded_up(bound, kernel)


def any_size_bound(kernel, strides=1, dilation=1, groups=1):
    """Guaranteed upper bound of a convolution's operator norm on images of every size.

    It holds for zero padding and for circles that the strides divide, and is at most 0.06 % above
    the norm on large ones, or 0.5 % where the gain is nearly the same at all frequencies. Paddings
    that repeat values raise it by their gain.

    Args:
        kernel: As for `convolution_bound`, like the other arguments.

    Returns:
        The bound, a float.

    Example:

    >>> import numpy as np
    >>> 1.0 <= any_size_bound(np.full((3, 3, 1, 1), 1 / 9)) <= 1.0006
    True
    """
    kernel = _checked_kernel(kernel)
    axes = _any_size_axes(kernel.shape[:2], strides, dilation)
    return _rounded_up(_twisted_norm(kernel, axes, groups), kernel)


def zero_padded_bound(kernel, input_size, strides=1, dilation=1, groups=1):
    """Guaranteed upper bound for zero padding, Keras's `padding="same"`."""
    return convolution_bound(kernel, input_size, strides, dilation, "same", groups)


def transposed_bound(kernel, input_size, strides=1, dilation=1, padding="valid"):
    """Guaranteed upper bound for a transposed convolution.

    It is the adjoint of a convolution with the same padding on its outputs, hence has its norm. The
    bound for `"valid"` is one for every crop of the output, which cannot raise the norm. The crop
    of `"same"` may be uneven: frameworks leave the odd place at either end, which is the same on
    images turned around.

    Args:
        kernel: Array of shape `(kh, kw, cout, cin)`, as in Keras's `Conv2DTranspose`.
        input_size: `(height, width)` of the input of the transposed convolution.
        strides: Integer or pair.
        dilation: Integer or pair.
        padding: `"valid"` or `"same"`.

    Returns:
        The bound, a float.
    """
    kernel = _checked_kernel(kernel)
    taps, geometry = kernel.shape[:2], (strides, dilation)
    bound = convolution_bound(
        kernel, scattered_size(taps, input_size, *geometry), *geometry, "valid"
    )
    if padding == "valid":
        return bound
    size = written_size(taps, input_size, *geometry, padding)
    widths = padding_widths(taps, size, *geometry, padding)
    even = all(before == after for before, after in widths)
    turned = [kernel] if even else [kernel, kernel[::-1, ::-1]]
    return min(bound, max(convolution_bound(part, size, *geometry, padding) for part in turned))


def circular_gram_bound(kernel, input_size, strides=1, dilation=1, twist=0.0):
    """Upper bound of a circular convolution's norm as a tensor.

    Factorizations prove it of the blocks of `circular_norm`, see `lipot.math.block_norms`. It is
    about 5e-6 above the norm, or up to 1e-4. The result is raised by a margin for float32 rounding,
    of the size that errors of independent sign reach; the float64 proof of a finished kernel is
    `convolution_bound`.

    Args:
        kernel: Tensor of shape `(kh, kw, cin, cout)`.
        input_size: Circular grid `(height, width)`, a multiple of the strides, usually the
            `grid` of a `circular_embedding`.
        strides: Integer or pair.
        dilation: Integer or pair.
        twist: Phase of the grid, one of the `twists` of a `circular_embedding`.

    Returns:
        A scalar tensor in the kernel's dtype, at least float32. It is 0 for a kernel of zeros.
    """
    return _gram_bound(kernel, _circle(input_size, strides, dilation), twist)


def gram_bound(kernel, input_size, strides=1, dilation=1, padding="same"):
    """Tensor counterpart of `convolution_bound`: `circular_gram_bound` on its frequencies."""
    taps = tuple(int(k) for k in kernel.shape[:2])
    embedding = circular_embedding(taps, input_size, strides, dilation, padding)
    geometry = (pair_of(strides, "strides"), pair_of(dilation, "dilation"))
    axes, twists = _frequencies(taps, embedding, *geometry)
    # Of two twists the half one is kept: it steps around the constant image, where the norm of
    # most kernels is attained although no zero-padded input can reach it.
    return embedding.gain * _gram_bound_between(kernel, axes, twists[-1])


def any_size_gram_bound(kernel, strides=1, dilation=1):
    """Tensor counterpart of `any_size_bound`."""
    axes = _any_size_axes(tuple(int(k) for k in kernel.shape[:2]), strides, dilation)
    return _gram_bound_between(kernel, axes, 0.0)


def _gram_bound(kernel, axes, twist):
    """`circular_gram_bound` on the frequencies of two axes."""
    kernel = ops.convert_to_tensor(kernel)
    kernel = ops.cast(kernel, backend.result_type(kernel.dtype, "float32"))
    scale = largest_entry(kernel)
    grams = gram_tensors(kernel / scale, axes, twist)
    taps, size = math.prod(int(k) for k in kernel.shape[:2]), int(grams.real.shape[-1])
    margin = 1.0 + 6e-8 * (16.0 + math.sqrt(size * taps))
    bound = ops.squeeze(scale) * margin * block_norm_bound(grams)
    return ops.where(ops.any(kernel != 0), bound, ops.zeros_like(bound))


def _gram_bound_between(kernel, axes, twist):
    """`_gram_bound`, raised by what lies between the samples of an axis."""
    factor = math.prod(axis.factor for axis in axes)
    if factor > 1.0:
        # What the proof in float64 may leave above the norm.
        factor *= 1.0 + SEARCH_TOLERANCE
    return factor * _gram_bound(kernel, axes, twist)


def _circle(input_size, strides, dilation):
    """The exact frequencies of a circle; its strides must close."""
    grid, strides = pair_of(input_size, "input_size"), pair_of(strides, "strides")
    if any(n % s for n, s in zip(grid, strides)):
        raise checks.refused(
            "input_size",
            "multiples of the strides (see `convolution_bound`)",
            f"input_size={grid}, strides={strides}",
        )
    return tuple(map(AxisGrid, grid, strides, pair_of(dilation, "dilation")))


def _any_size_axes(taps, strides, dilation):
    geometry = (pair_of(strides, "strides"), pair_of(dilation, "dilation"))
    return tuple(map(any_size_axis, taps, *geometry))


def _frequencies(taps, embedding, strides, dilation):
    """The frequencies that bound a convolution on its circle, and the twists worth a look."""
    axes = tuple(map(known_size_axis, embedding.grid, taps, strides, dilation))
    # Where everything between samples is bounded they need not be shifted.
    shifted = any(axis.degree is None for axis in axes)
    return axes, embedding.twists if shifted else embedding.twists[:1]


def _checked_kernel(kernel):
    kernel = np.asarray(kernel, "float64")
    if kernel.ndim != 4 or not np.all(np.isfinite(kernel)):
        raise checks.refused(
            "kernel",
            "finite numbers of shape (kh, kw, cin, cout)",
            f"shape={kernel.shape}, {np.sum(~np.isfinite(kernel))} values not finite",
        )
    return kernel


def _twisted_norm(kernel, axes, groups, twists=(0.0,)):
    """Norm on the frequencies of two axes, for each group on the twist where it is least."""
    return max(_group_norm(part, axes, twists) for part in np.split(kernel, groups, axis=3))


def _group_norm(kernel, axes, twists):
    scale = np.max(np.abs(kernel), initial=0.0)
    if scale == 0.0:
        return 0.0
    return float(scale * math.sqrt(largest_gram_eigenvalue(kernel / scale, axes, twists)))


def _least_of_patches(kernel, copies, groups, bound):
    """The least of a bound and of the norm of the map from patches to outputs, times copies.

    The latter wins when the kernel covers most of the input, and is exact when patches do not
    overlap.
    """
    flat = kernel.reshape(-1, groups, kernel.shape[3] // groups).transpose(1, 0, 2)
    # The norm is at least the root of the mean squared singular value: often that is too much.
    mean_square = np.sum(flat**2, axis=(1, 2)).max() / min(flat.shape[1:])
    # A product, since a power of Python raises where it overflows.
    if copies * mean_square >= bound * bound:
        return bound
    return min(bound, math.sqrt(copies) * max(map(spectral_norm, flat)))


def _rounded_up(norm, kernel):
    """Adds what float64 can have lost in the Gram matrices and in their eigenvalues.

    Every entry of a Gram matrix is a sum of products, at most `taps * (cin + cout)` of them and
    a few more roundings for each wave. The matrix of their absolute values has a norm of at most
    `taps |K|_F^2`, whatever the frequency; so does what eigenvalues lose, times their number.
    """
    taps, channels = math.prod(kernel.shape[:2]), sum(kernel.shape[2:])
    roundings = 40 + (taps + 32) * channels
    spread = np.linalg.norm(kernel) * math.sqrt(taps)
    lost = math.sqrt(roundings) * 2.0**-26 * float(spread)
    # The root of a sum of squares that neither underflow nor overflow.
    return math.hypot(norm * UP, lost)
