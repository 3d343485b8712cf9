"""Projection of a kernel onto the orthonormal matrices, with deel-lip's three settings."""

import math

from keras import ops

from lipot import checks
from lipot.math import orthogonal, stiefel

# With beta = 0.5 a singular value of 1e-8 grows to one within these, by 1.5 an iteration.
_MAX_ITERATIONS = 60


def orthonormalize(matrix, *, eps_spectral=1e-3, eps_bjorck=1e-3, beta_bjorck=0.5):
    r"""Finds an orthonormal matrix with the singular vectors of a given one.

    Solves $\min_Q \|Q - W\|_F$ over matrices $Q$ whose singular values are all one, by Björck
    iterations started below norm one. With `eps_bjorck=None` it divides by a bound of the
    spectral norm instead, and only the largest singular value comes close to one.

    Args:
        matrix: `(m, n)`.
        eps_spectral: Relative excess allowed in the bound of the norm (`eps_bjorck=None`).
        eps_bjorck: The iterations stop once one moves the matrix by less (Frobenius norm).
        beta_bjorck: Step of an iteration, in `(0, 0.5]`; `0.5` converges quadratically.

    Returns:
        `(m, n)` with spectral norm at most one, up to rounding.

    Example:

    >>> from keras import ops
    >>> q = orthonormalize(ops.diag([5.0, 0.2]))
    >>> [round(float(q[i, i]), 4) for i in range(2)]
    [1.0, 1.0]
    >>> q = orthonormalize(ops.diag([5.0, 0.2]), eps_bjorck=None)
    >>> [round(float(q[i, i]), 2) for i in range(2)]
    [1.0, 0.04]
    """
    if eps_bjorck is None:
        bound = orthogonal.norm_bound(matrix, _gram_iterations(min(matrix.shape), eps_spectral))
        return matrix / ops.where(bound > 0, bound, ops.ones_like(bound))

    def moving(step, current, movement):
        return ops.logical_and(step < _MAX_ITERATIONS, movement >= eps_bjorck)

    def iterate(step, current, movement):
        following = orthogonal.bjorck(current, 1, beta=beta_bjorck)
        return step + 1, following, ops.norm(following - current)

    matrix = stiefel.retract(matrix)
    start = (0, matrix, ops.cast(2.0 * eps_bjorck, matrix.dtype))
    return ops.while_loop(moving, iterate, start)[1]


def check_settings(eps_spectral, eps_bjorck, beta_bjorck):
    """The three settings of `orthonormalize` as floats; raises where one is out of its range."""
    return (
        checks.positive_float("eps_spectral", eps_spectral),
        checks.optional(checks.positive_float, "eps_bjorck", eps_bjorck),
        checks.positive_float("beta_bjorck", beta_bjorck, most=0.5),
    )


def _gram_iterations(rank, excess):
    # t Gram iterations overestimate by at most rank^(2^(-t-1)); solve for the excess.
    ratio = math.log(max(rank, 2)) / math.log1p(excess)
    return max(1, math.ceil(math.log2(ratio)) - 1)
