r"""The two norms of a whole sample that bounds and certificates are stated in, 2 and `"inf"`."""

import math

import numpy as np


def norm_name(norm: int | str) -> str:
    """A norm in words.

    Example:

    >>> norm_name(2), norm_name("inf")
    ('l2', 'l-infinity')
    """
    return "l-infinity" if norm == "inf" else f"l{norm}"


def radius_name(radius: float) -> str:
    """A radius as its user thinks of it: in levels of an 8-bit image where it is some.

    Example:

    >>> radius_name(8 / 255), radius_name(0.2), radius_name(2.0)
    ('8/255', '0.2', '2')
    """
    text, levels = f"{radius:g}", round(255 * radius)
    is_short = float(text) == radius
    return f"{levels}/255" if not is_short and levels / 255 == radius else text


def order(norm: int | str) -> float:
    """A norm as NumPy and ART take it.

    Example:

    >>> order(2), order("inf")
    (2, inf)
    """
    return math.inf if norm == "inf" else 2


def vector_norm(values, norm, axis=None):
    """Norm of vectors: the root of the sum of squares, or the largest absolute value.

    Args:
        values: Array in float64.
        norm: `2` or `"inf"`.
        axis: Axis of the vectors; the whole array is one by default.

    Example:

    >>> float(vector_norm([3.0, -4.0], 2)), float(vector_norm([3.0, -4.0], "inf"))
    (5.0, 4.0)
    """
    values = np.asarray(values)
    if norm == "inf":
        return np.max(np.abs(values), axis=axis, initial=0.0)
    return np.linalg.norm(values.ravel() if axis is None else values, axis=axis)


def dual_norm(values, norm, axis=None):
    r"""Norm of vectors $w$ for which $|w^\top x|$ is at most their norm times that of $x$.

    Args:
        values: Array in float64.
        norm: `2` or `"inf"`, the norm of $x$.
        axis: Axis of the vectors; the whole array is one by default.

    Example:

    >>> float(dual_norm([3.0, -4.0], 2)), float(dual_norm([3.0, -4.0], "inf"))
    (5.0, 7.0)
    """
    if norm == 2:
        return vector_norm(values, norm, axis)
    return np.sum(np.abs(values), axis=axis)


def norm_of_ones(count, norm):
    """Norm of a vector of ones: what a value that is repeated so often grows by.

    Example:

    >>> norm_of_ones(9, 2), norm_of_ones(9, "inf")
    (3.0, 1.0)
    """
    return math.sqrt(count) if norm == 2 else 1.0


def dual_of_ones(count, norm):
    """`dual_norm` of a vector of ones: what a sum of so many values grows by.

    Example:

    >>> dual_of_ones(9, 2), dual_of_ones(9, "inf")
    (3.0, 9.0)
    """
    return math.sqrt(count) if norm == 2 else float(count)


def joined(sizes, norm):
    """Norm of a vector that is made of parts of these norms.

    Example:

    >>> joined([3.0, 4.0], 2), joined([3.0, 4.0], "inf")
    (5.0, 4.0)
    """
    return math.hypot(*sizes) if norm == 2 else max(sizes)


def row_sums(matrix):
    """Largest sum of absolute values of a row: the norm in l-infinity, never below it.

    Args:
        matrix: Array in float64, `(outputs, inputs)`.

    Example:

    >>> round(row_sums(np.array([[1.0, -2.0], [0.5, 0.0]])), 9)
    3.0
    """
    matrix = np.abs(np.asarray(matrix))
    return largest_sum(np.sum(matrix, axis=1), matrix.shape[1] + 1)


def largest_sum(sums, roundings):
    """The largest of some sums of sizes, never below it: each was rounded at most so many times.

    Example:

    >>> 3.0 < largest_sum(np.array([1.0, 3.0]), 2) < 3.0 + 1e-14
    True
    """
    # A sum of n numbers is wrong by at most n units of roundoff, relatively.
    return float(np.max(sums, initial=0.0)) * (1.0 + 2.0**-52 * roundings)
