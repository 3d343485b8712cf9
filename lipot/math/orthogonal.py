r"""Orthonormal matrices: largest singular value, Björck and Cholesky.

A kernel of any rank is read as the matrix `(fan_in, units)`. "Orthonormal" means that all its
`min(fan_in, units)` singular values are one. Except for `spectral_norm`, functions take a stack of
matrices `(..., m, n)` as well as one.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lipot.math.scaling import largest_entry


class SpectralNorm(NamedTuple):
    """Result of a power iteration.

    Attributes:
        value: Scalar, an estimate from below of the largest singular value.
        vector: `(n,)`, the right singular vector reached, to warm-start the next call.
    """

    value: Any
    vector: Any


def spectral_norm(matrix, vector, iterations=10):
    """Estimates the largest singular value by power iteration (hKR, section 4.1).

    The gradient with respect to `matrix` is the exact one at the vectors reached: they are
    constants, since the value is stationary in them.

    Args:
        matrix: `(m, n)`.
        vector: `(n,)`, where to start; any vector not orthogonal to the singular one.
        iterations: Non-negative int.

    Returns:
        A `SpectralNorm`.

    Example:

    >>> from keras import ops
    >>> round(float(spectral_norm(ops.diag([3.0, 1.0]), ops.ones(2)).value), 4)
    3.0
    """
    frozen = ops.stop_gradient(matrix)
    vector = unit(vector)
    for _ in range(iterations):
        vector = unit(ops.matmul(unit(ops.matmul(frozen, vector)), frozen))
    vector = ops.stop_gradient(vector)
    return SpectralNorm(ops.sqrt(ops.sum(ops.square(ops.matmul(matrix, vector)))), vector)


def bjorck(matrix, iterations=15, order=1, beta=0.5):
    r"""Drives all singular values to one, keeping the singular vectors (Björck and Bowie, 1971).

    With $Q = I - W^\top W$ one iteration of order $p$ is
    $W \leftarrow W \bigl(I + \tfrac12 Q + \tfrac38 Q^2 + \dots\bigr)$, $p$ terms after $I$.
    For $p = 1$ a singular value moves along $\sigma \mapsto (1+\beta)\sigma - \beta\sigma^3$,
    which never exceeds one for $\beta = \tfrac12$ and $\sigma \in [0, 1]$.

    Args:
        matrix: `(m, n)` with spectral norm at most one (below $\sqrt 3$ it still converges).
        iterations: Non-negative int; the hKR paper uses 15.
        order: Positive int $p$.
        beta: Step in `(0, 0.5]`, used for `order=1` only.

    Returns:
        `(m, n)`, the polar factor in the limit.

    Example:

    >>> from keras import ops
    >>> w = bjorck(ops.convert_to_tensor([[0.6, 0.0], [0.0, 0.9]]))
    >>> [round(float(w[i, i]), 4) for i in range(2)]
    [1.0, 1.0]
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return transposed(bjorck(transposed(matrix), iterations, order, beta))
    for _ in range(iterations):
        gram = ops.matmul(transposed(matrix), matrix)
        if order == 1:
            matrix = (1.0 + beta) * matrix - beta * ops.matmul(matrix, gram)
        else:
            matrix = ops.matmul(matrix, _inverse_square_root_series(gram, order))
    return matrix


def cholesky(matrix, ridge=1e-7):
    r"""Orthonormalizes by one Cholesky factorization: $W L^{-\top}$ with $L L^\top = W^\top W$.

    Args:
        matrix: `(m, n)` of full rank.
        ridge: Added to the diagonal, relative to the mean diagonal entry, so that a
            rank-deficient matrix is shrunk rather than divided by zero.

    Returns:
        `(m, n)` with all singular values one.

    Example:

    >>> from keras import ops
    >>> [[round(float(v), 3) for v in row] for row in cholesky(ops.diag([2.0, 5.0]))]
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return transposed(cholesky(transposed(matrix), ridge))
    matrix = matrix / largest_entry(matrix, axis=(-2, -1))
    gram = ops.matmul(transposed(matrix), matrix)
    mean = ops.mean(ops.diagonal(gram, axis1=-2, axis2=-1), axis=-1)[..., None, None]
    # Of a zero matrix there is nothing to factorize.
    mean = ops.where(mean > 0.0, mean, ops.ones_like(mean))
    gram = gram + ridge * mean * ops.eye(gram.shape[-1], dtype=gram.dtype)
    lower = ops.cholesky(gram)
    # W L^{-T} = (L^{-1} W^T)^T
    return transposed(ops.solve_triangular(lower, transposed(matrix), lower=True))


def norm_bound(matrix, iterations=14):
    r"""Bounds the spectral norm from above by Gram iteration, matrix products only.

    $\|W\|_2 = \|W_t\|_2^{2^{-t}} \le \|W_t\|_F^{2^{-t}}$ with $W_{t+1} = W_t^\top W_t$; the
    excess, at most $\operatorname{rank}^{2^{-t-1}}$, vanishes as $t$ grows. Each iterate is
    rescaled so that nothing overflows.

    Args:
        matrix: `(m, n)`.
        iterations: Positive int $t$.

    Returns:
        Scalar, at least the spectral norm of `matrix`; zero for a zero matrix.

    Reference:
        Delattre et al., "Efficient bound of Lipschitz constant for convolutional layers by Gram
        iteration" (ICML 2023), algorithm 1.

    Example:

    >>> from keras import ops
    >>> round(float(norm_bound(ops.diag([3.0, 1.0]))), 4)
    3.0
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        matrix = transposed(matrix)
    peak = ops.max(ops.abs(matrix), axis=(-2, -1), keepdims=True)
    matrix = matrix / ops.where(peak > 0, peak, ops.ones_like(peak))
    log_norm = ops.zeros_like(peak)
    for t in range(iterations):
        size = ops.maximum(frobenius_norm(matrix, keepdims=True), 1e-30)
        log_norm = log_norm + ops.log(size) / 2.0**t
        matrix = matrix / size
        matrix = ops.matmul(transposed(matrix), matrix)
    size = ops.maximum(frobenius_norm(matrix, keepdims=True), 1e-30)
    log_norm = log_norm + ops.log(size) / 2.0**iterations
    # Rounding in one squaring enters the logarithm damped by 2^-t; a few eps cover their sum.
    margin = 1.0 + 16.0 * float(np.finfo(keras.backend.standardize_dtype(matrix.dtype)).eps)
    return ops.squeeze(peak * ops.exp(log_norm) * margin, axis=(-2, -1))


def frobenius_norm(matrix, keepdims=False):
    """The root of the sum of squares over the last two axes.

    That of `ops.norm`, which is a dozen operations of a graph.

    Example:

    >>> from keras import ops
    >>> float(frobenius_norm(ops.array([[3.0, 0.0], [0.0, 4.0]])))
    5.0
    """
    return ops.sqrt(ops.sum(ops.square(matrix), axis=(-2, -1), keepdims=keepdims))


def unit(tensor, epsilon=1e-12):
    """Divides a tensor by its Euclidean norm; a zero tensor stays zero."""
    square = ops.sum(ops.square(tensor))
    return tensor * ops.rsqrt(ops.maximum(square, epsilon**2))


def transposed(matrix):
    """Swaps the last two axes."""
    rank = len(matrix.shape)
    return ops.transpose(matrix, (*range(rank - 2), rank - 1, rank - 2))


def as_matrix(kernel):
    """Reads a kernel `(..., fan, units)` as the matrix `(prod(...) * fan, units)`."""
    return ops.reshape(kernel, (-1, kernel.shape[-1]))


def _inverse_square_root_series(gram, order):
    # (I - Q)^{-1/2} = sum_j binom(2j, j) / 4^j Q^j, truncated after Q^order.
    identity = ops.eye(gram.shape[-1], dtype=gram.dtype)
    residual = identity - gram
    total = identity
    power = identity
    for j in range(1, order + 1):
        power = ops.matmul(power, residual)
        total = total + math.comb(2 * j, j) / 4**j * power
    return total
