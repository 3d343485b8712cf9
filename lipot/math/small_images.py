"""Convolutions of small images as the matrices that they are.

Where a kernel is about as large as the image, most of it meets padding, and the frequencies of a
circle say too much: for a kernel of 3 x 3 on one value they may double the norm. The matrix itself
is small there.
"""

import math

import numpy as np

from lipot.math.convolution_geometry import circular_embedding, pair_of, places_read
from lipot.math.rounding import UP, spectral_norm

# A matrix of 1024 x 1024 takes about 0.1 s, and a bound is asked for layer by layer.
_MOST_PRODUCTS = 2**30
_MOST_VALUES = 2**22


def is_small(kernel, input_size, strides=1, dilation=1, padding="same", groups=1):
    """Whether the matrices of a convolution are worth while, and made in a fraction of a second.

    Args:
        kernel: As for `small_bound`, like the other arguments.

    Example:

    >>> kernel = np.ones((3, 3, 64, 64))
    >>> is_small(kernel, (4, 4)), is_small(kernel, (8, 8))
    (True, False)
    >>> is_small(kernel, (4, 4), padding="circular")   # a circle is exact
    False
    """
    embedding = circular_embedding(kernel.shape[:2], input_size, strides, dilation, padding)
    if len(embedding.twists) == 1:
        return False
    rows = math.prod(pair_of(input_size, "input_size")) * kernel.shape[2]
    columns = math.prod(embedding.outputs) * kernel.shape[3] // groups
    values = groups * rows * columns
    return values <= _MOST_VALUES and values * min(rows, columns) <= _MOST_PRODUCTS


def small_bound(kernel, input_size, strides=1, dilation=1, padding="same", groups=1):
    r"""Largest singular value of the matrices of a convolution, rounded up.

    A padding that copies values lets several taps meet one of them: their sum is wrong by
    `u` of the sum of their sizes for each addition, of which there are fewer than `kh + kw`. The
    sizes of what one output reads sum to at most those of its taps, so that all errors together
    have a Frobenius norm of at most $(k_h + k_w)\, u \sqrt{n}\, \big(\sum_c \|K_c\|_1^2\big)^{1/2}$
    with `n` places of the output.

    Args:
        kernel: Array of shape `(kh, kw, cin / groups, cout)` in float64.
        input_size: `(height, width)` of the input before padding.
        strides: Integer or pair.
        dilation: Integer or pair.
        padding: As for `convolution_bound`.
        groups: Number of channel groups.

    Returns:
        The bound, a float.

    Example:

    >>> kernel = np.full((3, 3, 1, 1), 1.0)   # of which the one value meets the middle
    >>> round(small_bound(kernel, (1, 1)), 9)
    1.0
    """
    bounds = []
    for part in np.split(kernel, groups, axis=3):
        matrix = explicit_matrix(part, input_size, strides, dilation, padding)
        places = matrix.shape[1] // max(part.shape[3], 1)
        sizes = np.linalg.norm(np.abs(part).sum(axis=(0, 1, 2)))
        lost = sum(part.shape[:2]) * 2.0**-53 * math.sqrt(places) * float(sizes)
        bounds.append(spectral_norm(matrix) + lost)
    return max(bounds) * UP


def explicit_matrix(kernel, input_size, strides, dilation, padding):
    """The matrix from all input values to all output values of one group.

    Returns:
        `(h * w * cin, h' * w' * cout)`.
    """
    size = pair_of(input_size, "input_size")
    places = places_read(kernel.shape[:2], size, strides, dilation, padding)
    rows, columns = (
        (axis[..., None] == np.arange(n)).astype("float64") for axis, n in zip(places, size)
    )
    matrix = np.einsum("oai,pbj,abcf->ijcopf", rows, columns, kernel, optimize=True)
    height, width, channels, *outputs = matrix.shape
    return matrix.reshape(height * width * channels, math.prod(outputs))
