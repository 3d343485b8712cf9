"""Resizing of images along one axis as a matrix, and the norm of both axes together."""

import math
from typing import NamedTuple

import numpy as np

from lipot.math.norms import norm_of_ones
from lipot.math.rounding import SINGLE, UP, LayerBound, float_format, operator_norm


class Interpolation(NamedTuple):
    """How an image is resized.

    Attributes:
        method: `"bilinear"` or `"nearest"`.
        antialias: Whether the triangles of a bilinear one grow where the image shrinks.
    """

    method: str
    antialias: bool = False


def bilinear_matrix(size, output_size, antialias=False):
    r"""The matrix of linear interpolation between pixel centers, `(output_size, size)`.

    Output $i$ of $m$ has its center at $c = (i + 1/2)\, n / m - 1/2$ among $n$ inputs, and reads
    input $j$ with a weight of $\max(0, 1 - |c - j| / s)$, divided by the sum of all its weights;
    $s$ is 1, or $\max(1, n / m)$ with antialiasing.

    Example:

    >>> bilinear_matrix(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    ratio = size / output_size
    centers = (np.arange(output_size) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio) if antialias else 1.0
    weights = np.maximum(0.0, 1.0 - np.abs(centers[:, None] - np.arange(size)) / reach)
    return weights / weights.sum(axis=1, keepdims=True)


def nearest_copies(size, output_size):
    """How often one value at most is taken, whichever neighbor counts as the nearest."""
    return -(-output_size // size)


def is_unambiguous(size, output_size):
    """Whether rounding never decides which neighbor is the nearest."""
    return size % output_size == 0 or output_size % size == 0


def resizing_bound(size, output_size, method, norm, dtype, channels=1):
    """Bound of a resizing of images.

    Args:
        size: Height and width of the images.
        output_size: Those that they get.
        method: An `Interpolation`.
        norm: `2` or `"inf"`.
        dtype: Float type of the images.
        channels: Number of channels of the images.

    Example:

    >>> resizing_bound((4, 4), (8, 8), Interpolation("nearest"), 2, "float32").lipschitz
    2.0
    >>> half = resizing_bound((4, 4), (2, 2), Interpolation("bilinear"), 2, "float32")
    >>> round(half.lipschitz, 6)
    0.5
    """
    axes = list(zip(size, output_size))
    if method.method == "nearest":
        return LayerBound(norm_of_ones(math.prod(nearest_copies(*axis) for axis in axes), norm))
    return _bilinear_bound(axes, method.antialias, norm, dtype, channels)


def _bilinear_bound(axes, antialias, norm, dtype, channels):
    """Bound of a linear interpolation of images with a size, and one of the output, for each axis.

    The map is a Kronecker product of one matrix for each axis, so its norm is the product of
    theirs. Frameworks place the centers in float32, which moves each of `n` pixels by at most
    `4 n` units of roundoff, and so each weight. They interpolate in float32, or in a type that is
    narrower.
    """
    matrices = [bilinear_matrix(*axis, antialias) for axis in axes]
    norms = [operator_norm(matrix, norm) for matrix in matrices]
    constant, largest = math.prod(norms) * UP, math.prod(max(1.0, length) for length in norms) * UP
    machine, single = float_format(dtype), float_format("float32")
    # What is computed in float32 whatever the type, in units of that type.
    units = SINGLE / machine.roundoff
    moved = units * sum(_center_roundings(m, length) for m, length in zip(matrices, norms))
    added = max(1.0, units) * sum(2 * _terms(matrix, 1) + 8 for matrix in matrices)
    # There may be more values between the axes than in the end.
    outputs = math.prod(m for _, m in axes)
    between = math.prod(map(max, axes)) / outputs
    bound = LayerBound(
        constant,
        roundings=math.ceil(moved + added),
        gain=constant,
        peak=largest,
        growth=largest * norm_of_ones(between, norm),
    )
    if units <= 1.0:
        return bound
    # A float64 holds what float32 does not, on the way.
    return bound._replace(
        offset=bound.growth * norm_of_ones(channels * outputs, norm) * single.smallest / SINGLE,
        peak=largest * machine.largest / single.largest,
    )


def _center_roundings(matrix, length):
    """Roundings, relative to the norm of a matrix, that the centers of its outputs are off by."""
    output_size, size = matrix.shape
    if math.frexp(size / output_size)[0] == 0.5:
        # Of a power of two all centers are numbers of any type.
        return 0.0
    terms, readers = _terms(matrix, 1), _terms(matrix, 0)
    # A change of each weight by d changes the norm by at most d times this, in either norm.
    return 4 * (size + 1) * max(terms, math.sqrt(terms * readers)) / length


def _terms(matrix, axis):
    """The largest number of weights of an output or of an input, one more for a moved center."""
    return int((matrix > 0.0).sum(axis=axis).max()) + 1
