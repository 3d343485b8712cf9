r"""Distances between rows and columns, with no tensor of rows times columns times features.

A loop over the features holds one matrix of rows times columns, forwards and backwards. Compiled as
one program (`lipot.backend.compile_rowwise`) its body is one pass over that matrix, which stays in
the cache.
"""

import functools

import keras
from keras import ops

from lipot import backend

# The largest exponent of `p_distances` below infinity: ten bits.
LARGEST_P = 1023
_BITS = 10
_TINY = 1e-30


def linf_distances(points, centers):
    r"""Computes $\|x_i - w_j\|_\infty$ for all rows $x_i$ and columns $w_j$.

    The gradient goes to the features that are farthest, in equal parts where several are; it does
    not change with points and centers.

    Args:
        points: `(rows, features)`, float32 or float64.
        centers: `(features, columns)`.

    Returns:
        `(rows, columns)`

    Example:

    >>> import numpy as np
    >>> centers = ops.convert_to_tensor([[0.0, 1.0], [0.0, 5.0]])
    >>> [float(d) for d in linf_distances(ops.convert_to_tensor([[1.0, -3.0]]), centers)[0]]
    [3.0, 8.0]
    """
    if isinstance(points, keras.KerasTensor):
        # A graph of plain operations, as `lipot.to_keras` writes it, has no programs of its own.
        shifts = ops.expand_dims(points, -1) - centers
        return ops.max(ops.abs(shifts), axis=-2)

    @ops.custom_gradient
    def distances(points, centers):
        points, centers = ops.stop_gradient(points), ops.stop_gradient(centers)
        found = _program("largest")(points, centers)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return _once("largest_gradient", points, found, upstream, centers)

        return found, gradient

    return distances(*_in_one_type(points, centers))


def p_distances(points, centers, p):
    r"""Computes $\|x_i - w_j\|_p$ for all rows $x_i$ and columns $w_j$.

    Args:
        points: `(rows, features)`, float32 or float64.
        centers: `(features, columns)`.
        p: Scalar tensor, a whole number from 1 to `LARGEST_P`: powers are products of squares.

    Returns:
        `(rows, columns)`, with a gradient for points and centers.

    Example:

    >>> import numpy as np
    >>> centers = ops.convert_to_tensor([[0.0], [0.0]])
    >>> round(float(p_distances(ops.convert_to_tensor([[3.0, -4.0]]), centers, 2.0)[0, 0]), 4)
    5.0
    """
    p = ops.convert_to_tensor(p, dtype="float32")

    # JAX lets no exponent that is traced into such a function but as an argument.
    @ops.custom_gradient
    def distances(points, centers, p):
        fixed, weights = ops.stop_gradient(points), ops.stop_gradient(centers)
        largest = _program("largest")(fixed, weights)
        inverse = 1.0 / ops.maximum(largest, _TINY)
        sums = _program("powers")(fixed, inverse, weights, _bits_of(p))
        found = largest * ops.power(ops.maximum(sums, 1.0), 1.0 / ops.cast(p, sums.dtype))

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            inverse = 1.0 / ops.maximum(found, _TINY)
            bits = _bits_of(p - 1.0)
            of_both = _once("powers_gradient", points, inverse, upstream, centers, bits)
            return *of_both, ops.zeros_like(p)

        return found, gradient

    return distances(*_in_one_type(points, centers), p)


def _in_one_type(points, centers):
    """Both in the type that maxima come in: Keras casts those of float64 on JAX and PyTorch.

    A distance that was rounded is that of no feature, and none would get a gradient.
    """
    dtype = keras.backend.result_type(points.dtype, centers.dtype)
    return ops.cast(points, dtype), ops.cast(centers, dtype)


def _once(name, *tensors):
    """Runs the program of a gradient, which has no gradient itself."""

    @ops.custom_gradient
    def run(*tensors):
        def gradient(*args, upstream=None):
            raise ValueError(
                "A distance in l-infinity or in a high p-norm is differentiated once. Expected a "
                "loss without input gradients, or an attack whose steps are cut from it."
            )

        return _program(name)(*map(ops.stop_gradient, tensors)), gradient

    return run(*tensors)


def _largest(points, centers):
    shift = _shifts(points, centers)
    return _over_features(
        centers, lambda i, most: ops.maximum(most, ops.abs(shift(i))), _zeros(points, centers)
    )


def _largest_gradient(points, found, upstream, centers):
    # d max_i |d_i| = sign(d_i) / (number of largest ones) at each of them
    shift = _shifts(points, centers)

    def is_largest(i):
        return ops.cast(ops.abs(shift(i)) >= found, found.dtype)

    count = _over_features(centers, lambda i, count: count + is_largest(i), _zeros(points, centers))
    share = upstream / ops.maximum(count, 1.0)
    return _gradients(points, centers, lambda i: is_largest(i) * ops.sign(shift(i)) * share)


def _powers(points, inverse, centers, bits):
    shift = _shifts(points, centers)

    def add(i, sums):
        return sums + _power(ops.abs(shift(i)) * inverse, bits)

    return _over_features(centers, add, _zeros(points, centers))


def _powers_gradient(points, inverse, upstream, centers, bits):
    # d |d|_p / d d_i = sign(d_i) (|d_i| / |d|_p)^(p - 1)
    shift = _shifts(points, centers)

    def term(i):
        d = shift(i)
        return _power(ops.abs(d) * inverse, bits) * ops.sign(d) * upstream

    return _gradients(points, centers, term)


def _gradients(points, centers, term):
    """Sums of a term for each feature: over the columns for points, over the rows for centers."""
    rows, features, columns = ops.shape(points)[0], centers.shape[0], centers.shape[1]
    ones = ops.ones((columns, 1), dtype=centers.dtype)

    def add(i, sums):
        found = term(i)
        # A product with ones sums along the rows faster than a sum.
        of_points = ops.reshape(ops.matmul(found, ones), (1, rows))
        of_centers = ops.expand_dims(ops.sum(found, axis=0), 0)
        return (
            ops.slice_update(sums[0], (i, 0), of_points),
            ops.slice_update(sums[1], (i, 0), -of_centers),
        )

    start = (ops.zeros((features, rows), points.dtype), ops.zeros_like(centers))
    of_points, of_centers = _over_features(centers, add, start)
    return ops.transpose(of_points), of_centers


def _shifts(points, centers):
    """A function of a feature: the matrix of `points - centers` in it."""
    rows, columns = ops.shape(points)[0], centers.shape[1]
    turned = ops.transpose(points)

    def shift(i):
        of_points = ops.reshape(ops.slice(turned, (i, 0), (1, rows)), (rows, 1))
        return of_points - ops.slice(centers, (i, 0), (1, columns))

    return shift


def _over_features(centers, body, start):
    return ops.fori_loop(0, centers.shape[0], body, start)


def _zeros(points, centers):
    return ops.zeros((ops.shape(points)[0], centers.shape[1]), points.dtype)


def _bits_of(p):
    p = ops.minimum(p, float(LARGEST_P))
    halves = ops.floor(p / ops.convert_to_tensor([2.0**i for i in range(_BITS)], "float32"))
    return ops.mod(halves, 2.0) > 0.5


def _power(base, bits):
    """`base` to the power with these bits, the lowest first."""
    result = ops.where(bits[0], base, ops.ones_like(base))
    for i in range(1, _BITS):
        base = base * base
        result = ops.where(bits[i], result * base, result)
    return result


@functools.cache
def _program(name):
    functions = {
        "largest": (_largest, 1),
        "largest_gradient": (_largest_gradient, 3),
        "powers": (_powers, 2),
        "powers_gradient": (_powers_gradient, 3),
    }
    return backend.compile_rowwise(*functions[name])
