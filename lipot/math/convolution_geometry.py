"""Where a convolution reads and writes: padding, sizes, and the circle it embeds in."""

import math
from typing import NamedTuple

import numpy as np

from lipot import checks
from lipot.math.padding import PADDINGS, explicit_widths

# What copies values, as NumPy names it.
_NUMPY_PAD_MODES = {"circular": "wrap", "reflect": "reflect", "symmetric": "symmetric"}


class CircularEmbedding(NamedTuple):
    """How a padded convolution sits inside a circular one.

    Its operator norm is at most `gain` times the norm of the circular convolution with the same
    kernel and strides on `grid`, for every twist in `twists` (see `circular_embedding`). Its
    output has the size `outputs`.
    """

    grid: tuple
    gain: float
    twists: tuple
    outputs: tuple


def circular_embedding(kernel_size, input_size, strides=1, dilation=1, padding="same"):
    """Finds the circular convolution that bounds a padded one.

    Zero padding. Write `lo`, `hi` for the values added on the two sides of an axis of length `n`
    and let `N >= n + max(lo, hi)` be a multiple of the stride, with `N > s (n_out - 1)`. Extend
    the input by zeros to `Z_N` and shift it by `lo`, both isometries; convolve circularly; keep
    the first `n_out` outputs, which lie at distinct places. Output `i` reads the places
    `s i + d j - lo`, between `-lo` and `n - 1 + hi`: those below 0 wrap to at least `N - lo >= n`
    and those from `n` on stay below `N`, so both meet zeros, exactly as the padding has it. The
    padded convolution is thus a compression of the circular one and its norm is no larger. As
    what wraps is zero, multiplying it by a phase changes nothing: the same holds for the
    convolution on functions with `x[t + N] = e^{2 i pi twist} x[t]`, whose frequencies are
    `2 pi (q + twist) / N`.

    Circular padding is the circular convolution itself when the strides divide the input and no
    output is repeated. Otherwise, and for reflect and symmetric padding, the operator is a valid
    convolution after a padding operator `P` that copies values; `P^T P` is diagonal and counts
    the copies, so the norm of `P`, the gain, is the root of the largest count.

    Returns:
        A `CircularEmbedding`.
    """
    widths = padding_widths(kernel_size, input_size, strides, dilation, padding)
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    sizes = pair_of(input_size, "input_size")
    extents = [d * (k - 1) + 1 for k, d in zip(pair_of(kernel_size, "kernel_size"), dilation)]
    outputs = tuple(
        (n + lo + hi - extent) // s + 1
        for n, (lo, hi), extent, s in zip(sizes, widths, extents, strides)
    )
    if min(outputs) < 1:
        raise checks.refused(
            "input_size",
            "an input at least as large as the kernel",
            f"input_size={sizes}, kernel_size={kernel_size}",
        )
    if padding == "circular" and all(o * s == n for o, s, n in zip(outputs, strides, sizes)):
        return CircularEmbedding(sizes, 1.0, (0.0,), outputs)
    gain = 1.0
    if padding in _NUMPY_PAD_MODES:
        gain = math.sqrt(math.prod(map(_most_copies, sizes, widths, [padding] * 2)))
        sizes = [n + lo + hi for n, (lo, hi) in zip(sizes, widths)]
        widths = ((0, 0), (0, 0))
    reach = [
        max(n + max(w), s * (o - 1) + 1) for n, w, s, o in zip(sizes, widths, strides, outputs)
    ]
    grid = tuple(-(-r // s) * s for r, s in zip(reach, strides))
    return CircularEmbedding(grid, gain, (0.0, 0.5), outputs)


def padding_widths(kernel_size, input_size, strides=1, dilation=1, padding="same"):
    """Number of values a padding adds before and after each axis.

    `"same"` is Keras's rule, zeros that make the output `ceil(n / stride)` long, the odd one
    after; `"valid"` adds nothing; `"causal"` adds `d (k - 1)` zeros before; every other padding
    adds `(d (k - 1) + 1) // 2` on both sides.

    Returns:
        `((top, bottom), (left, right))`.

    Example:

    >>> padding_widths((3, 4), (8, 8))
    ((1, 1), (1, 2))
    >>> padding_widths((3, 3), (8, 8), strides=2)
    ((0, 1), (0, 1))
    """
    checks.choice("padding", padding, (*PADDINGS, "causal"))
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    sizes = pair_of(input_size, "input_size")
    return tuple(
        _axis_padding(d * (k - 1) + 1, n, s, padding)
        for k, n, s, d in zip(pair_of(kernel_size, "kernel_size"), sizes, strides, dilation)
    )


def places_read(kernel_size, input_size, strides=1, dilation=1, padding="same"):
    """The places of each axis that the taps read for each output, -1 for a zero.

    Returns:
        Two arrays of ints, `(outputs, taps)`.

    Example:

    >>> rows, columns = places_read((3, 2), (3, 2), padding="valid")
    >>> rows.tolist(), columns.tolist()
    ([[0, 1, 2]], [[0, 1]])
    >>> places_read((3, 1), (3, 1))[0].tolist()
    [[-1, 0, 1], [0, 1, 2], [1, 2, -1]]
    >>> places_read((3, 1), (3, 1), padding="circular")[0].tolist()
    [[2, 0, 1], [0, 1, 2], [1, 2, 0]]
    """
    sizes, pairs = pair_of(input_size, "input_size"), pair_of(kernel_size, "kernel_size")
    widths = padding_widths(pairs, sizes, strides, dilation, padding)
    padded = [_padded_places(n, width, padding) for n, width in zip(sizes, widths)]
    steps = (pair_of(strides, "strides"), pair_of(dilation, "dilation"))
    return tuple(map(_read, padded, pairs, *steps))


def taps_that_read(kernel_size, input_size, strides=1, dilation=1, padding="same"):
    """Which taps of each axis meet a value and not a zero, for each kind of output place.

    Returns:
        Two arrays of booleans, `(kinds, taps)`.

    Example:

    >>> rows, columns = taps_that_read((3, 3), (1, 2))
    >>> rows.tolist(), columns.tolist()
    ([[False, True, False]], [[False, True, True], [True, True, False]])
    """
    places = places_read(kernel_size, input_size, strides, dilation, padding)
    return tuple(np.unique(axis >= 0, axis=0) for axis in places)


def taps_that_reach(kernel_size, input_size, strides=1, dilation=1, padding="same"):
    """Which taps of each axis of a transposed convolution write to a place, for each kind of place.

    `"valid"` leaves all places that are written to; of `"same"` the crop may be uneven, and
    frameworks leave its odd place at either end.

    Args:
        kernel_size: Pair.
        input_size: `(height, width)` of the input of the transposed convolution.
        strides: Integer or pair.
        dilation: Integer or pair.
        padding: `"same"` or `"valid"`.

    Returns:
        Two arrays of booleans, `(kinds, taps)`.

    Example:

    >>> rows, columns = taps_that_reach((3, 3), (1, 2))
    >>> rows.tolist(), columns.tolist()
    ([[False, True, False]], [[False, True, True], [True, True, False]])
    """
    size = written_size(kernel_size, input_size, strides, dilation, padding)
    places = places_read(kernel_size, size, strides, dilation, padding)
    reached = (np.any(axis[..., None] == np.arange(n), axis=0).T for axis, n in zip(places, size))
    return tuple(np.unique(np.concatenate([axis, axis[:, ::-1]]), axis=0) for axis in reached)


def written_size(kernel_size, input_size, strides=1, dilation=1, padding="valid"):
    """Size of what a transposed convolution gives with a padding of `"same"` or `"valid"`.

    It is the adjoint of a convolution with that padding on images of this size.
    """
    if padding == "valid":
        return scattered_size(kernel_size, input_size, strides, dilation)
    pairs = pair_of(input_size, "input_size"), pair_of(strides, "strides")
    return tuple(n * s for n, s in zip(*pairs))


def scattered_size(kernel_size, input_size, strides=1, dilation=1):
    """Size of everything a transposed convolution writes to, before any crop."""
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    sizes = pair_of(input_size, "input_size")
    return tuple(
        (n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(sizes, kernel_size, strides, dilation)
    )


def patch_copies(kernel_size, strides=1, dilation=1, outputs=(math.inf, math.inf)):
    """Number of patches one input value enters at most.

    Place `t` of an axis is read through the taps `j` with `d j = t` modulo `s`: every
    `s / gcd(s, d)`-th of them, and at most once for each of the `outputs`.

    Example:

    >>> patch_copies((3, 3)), patch_copies((3, 3), 2), patch_copies((2, 2), 2)
    (9, 4, 1)
    """
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    periods = [s // math.gcd(s, d) for s, d in zip(strides, dilation)]
    taps = [-(-k // p) for k, p in zip(pair_of(kernel_size, "kernel_size"), periods)]
    return math.prod(map(min, taps, outputs))


def average_duplication_factor(kernel_size, input_size, strides=1):
    r"""Average number of times a zero-padded convolution reads an input value, square-rooted.

    $$ \Lambda = \sqrt{\frac{(k_h h - \bar k_h(\bar k_h + 1)) (k_w w - \bar k_w(\bar k_w + 1))}
       {h w}}, \qquad \bar k = \frac{k - 1}{2}, $$

    for stride 1, and `sqrt(ceil(k_h / s_h) ceil(k_w / s_w))` otherwise. It is **not a bound**:
    an input concentrated in the middle of the image is read `k_h k_w` times, so a kernel divided
    by `\Lambda` times the spectral norm of its reshaped matrix can have an operator norm above 1.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", CVPR 2021, eq. 11.

    Example:

    >>> round(average_duplication_factor((3, 3), (28, 28)), 4)
    2.9286
    """
    kernel_size, strides = pair_of(kernel_size, "kernel_size"), pair_of(strides, "strides")
    if strides != (1, 1):
        return math.sqrt(math.prod(-(-k // s) for k, s in zip(kernel_size, strides)))
    sizes = pair_of(input_size, "input_size")
    # k_bar (k_bar + 1) = (k^2 - 1) / 4
    return math.sqrt(math.prod((k * n - (k * k - 1) / 4) / n for k, n in zip(kernel_size, sizes)))


def pair_of(value, name):
    return checks.pair(name, value)


def _axis_padding(extent, size, stride, padding):
    if padding != "same":
        return explicit_widths((extent,), padding)[0]
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def _most_copies(size, widths, padding):
    return np.bincount(np.pad(np.arange(size), widths, _NUMPY_PAD_MODES[padding])).max()


def _padded_places(size, width, padding):
    """The places of one axis in the order in which they lie once padded."""
    if padding in _NUMPY_PAD_MODES:
        return np.pad(np.arange(size), width, _NUMPY_PAD_MODES[padding])
    return np.pad(np.arange(size), width, constant_values=-1)


def _read(padded, taps, stride, dilation):
    first = np.arange(0, len(padded) - dilation * (taps - 1), stride)
    return padded[first[:, None] + dilation * np.arange(taps)]
