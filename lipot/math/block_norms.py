r"""In-graph bound of the largest singular value of many complex matrices.

Let `G` be the smaller Gram matrix of one of them. Where the Cholesky factorization of `t I - G`
runs to its end, `t` is above all eigenvalues of `G`, rounding aside, and the root of `t` bounds the
singular values. So a large eigenvalue is sought by products with vectors, which are cheap, and a
`t` just above it is put to the proof. A proof that fails raises `t` by twice as much as the one
before: what is left above the norm is at most twice what the search missed, or `_SLACK`.

The search takes the Chebyshev polynomial of `G` that is at most one below an estimate of the
eigenvalue and grows fast above it. A power of as high a degree grows far slower there, and most
kernels have many eigenvalues close to the largest.

Reference:
    Higham, "Accuracy and Stability of Numerical Algorithms", theorem 10.3, for the factorization;
    Saad, "Numerical Methods for Large Eigenvalue Problems", chapter 4, for the polynomials.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from lipot import backend

# What a bound of an eigenvalue may leave above the one that was found, as a share of it.
_SLACK = 1e-5
# Steps of the search: of powers, of a polynomial of all matrices, and of the few most promising.
_POWER_STEPS, _FIRST_STEPS, _MORE_STEPS, _FEW = 6, 16, 48, 4


class Hermitian(NamedTuple):
    """Complex matrices `real + i imag`, equal to their adjoints, `(count, n, n)` each."""

    real: Any
    imag: Any

    def take(self, indices):
        return Hermitian(ops.take(self.real, indices, 0), ops.take(self.imag, indices, 0))

    def times(self, factor):
        return Hermitian(self.real * factor, self.imag * factor)

    def norms(self):
        """Frobenius norms, `(count, 1, 1)`."""
        squares = ops.square(self.real) + ops.square(self.imag)
        return ops.sqrt(ops.sum(squares, axis=(-2, -1), keepdims=True))

    def applied(self, vectors):
        """Products with vectors `(count, 2, n)`, whose rows are the real and imaginary part."""
        # Rows, since `real` is its own transpose and `imag` the negative of its own: TensorFlow
        # takes two columns three times as long.
        by_real, by_imag = ops.matmul(vectors, self.real), ops.matmul(vectors, self.imag)
        swapped = ops.stack([by_imag[:, 1], -by_imag[:, 0]], axis=1)
        return by_real + swapped

    def all_below(self, level, identity):
        """Whether all eigenvalues are below a number, a boolean scalar."""
        return backend.positive_definite(level * identity - self.real, -self.imag)


def gram_matrices(real, imag):
    """Gram matrices of `real + i imag`, `(count, m, n)`, over the shorter side."""
    if real.shape[1] < real.shape[2]:
        real, imag = ops.transpose(real, (0, 2, 1)), ops.transpose(imag, (0, 2, 1))
    real_t, imag_t = ops.transpose(real, (0, 2, 1)), ops.transpose(imag, (0, 2, 1))
    cross = ops.matmul(real_t, imag)
    return Hermitian(
        ops.matmul(real_t, real) + ops.matmul(imag_t, imag),
        cross - ops.transpose(cross, (0, 2, 1)),
    )


def block_norm_bound(grams):
    r"""Bounds the largest singular value of matrices by their Gram matrices, rounding aside.

    Args:
        grams: `Hermitian`, `(count, n, n)`, as `gram_matrices` makes it, of matrices whose squares
            neither vanish nor overflow.

    Returns:
        A scalar tensor, about 5e-6 above the largest singular value; where the largest ones are
        many and close together, up to 1e-4.

    Example:

    >>> from keras import ops
    >>> real = ops.convert_to_tensor([[[3.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]]])
    >>> round(float(block_norm_bound(gram_matrices(real, 0.0 * real))), 4)
    3.0
    """
    identity = ops.eye(int(grams.real.shape[-1]), dtype=grams.real.dtype)
    # A network has kernels of many sizes, and to trace this takes longer than to run it on most.
    return backend.traced_for_all_sizes(_bound)(*grams, _start(grams), identity)


def _bound(real, imag, start, identity):
    """The bound from Gram matrices; of no tensor does it read a size."""
    grams = Hermitian(real, imag)
    # No eigenvalue is above the Frobenius norm.
    unit = ops.maximum(ops.max(grams.norms()), 1e-15)
    grams = grams.times(1.0 / unit)
    found, promising = _found(grams, start)
    slack = ops.cast(_SLACK, grams.real.dtype)
    # What the search missed is most often missed in the most promising matrices.
    for matrices in (promising, grams):
        slack = _proven_slack(matrices, found, slack, identity)
    return ops.sqrt(unit * ops.minimum(found * (1.0 + slack), 1.0))


def _found(grams, start):
    """A large eigenvalue, from below, at least 1e-6, and the few matrices that it may be of."""
    vectors = _powered(grams, start)
    level = ops.maximum(ops.max(_quotients(grams, vectors)), 1e-6)
    vectors = _filtered(grams, vectors, level, _FIRST_STEPS)
    quotients = _quotients(grams, vectors)
    level = ops.maximum(level, ops.max(quotients))
    indices = ops.argsort(quotients)[-_FEW:]
    promising, vectors = grams.take(indices), ops.take(vectors, indices, 0)
    vectors = _filtered(promising, vectors, level, _MORE_STEPS)
    return ops.maximum(level, ops.max(_quotients(promising, vectors))), promising


def _start(matrices):
    """One random vector for all matrices, `(count, 2, n)`."""
    count, size = (int(n) for n in matrices.real.shape[:2])
    vector = np.random.default_rng(0).normal(size=(1, size, 2))
    return ops.broadcast_to(
        ops.convert_to_tensor(vector.swapaxes(1, 2), matrices.real.dtype), (count, 2, size)
    )


def _powered(matrices, vectors):
    """Unit vectors after some products, each with its matrix."""

    def step(_, current):
        current = matrices.applied(current)
        return current / _lengths(current)

    return ops.fori_loop(0, _POWER_STEPS, step, vectors)


def _filtered(matrices, vectors, level, steps):
    """Unit vectors after the Chebyshev polynomial of a degree in `2 G / level - I`."""

    def mapped(vectors):
        return (2.0 / level) * matrices.applied(vectors) - vectors

    def step(_, state):
        before, current = state
        after = 2.0 * mapped(current) - before
        # Both by the same number: the recurrence is linear.
        length = _lengths(after)
        return current / length, after / length

    _, vectors = ops.fori_loop(1, steps, step, (vectors, mapped(vectors)))
    return vectors / _lengths(vectors)


def _lengths(vectors):
    return ops.maximum(ops.sqrt(ops.sum(ops.square(vectors), (-2, -1), keepdims=True)), 1e-30)


def _quotients(matrices, vectors):
    """Rayleigh quotients of unit vectors, `(count,)`."""
    return ops.sum(vectors * matrices.applied(vectors), axis=(-2, -1))


def _proven_slack(grams, found, slack, identity):
    """The first of a slack and its doubles that is proven, or needs no proof.

    A slack is what a number above all eigenvalues has above the one that was found, as a share of
    it; these are at most 1 and need no proof of that.
    """

    def unproven(slack):
        level = found * (1.0 + slack)
        return ops.logical_and(level < 1.0, ops.logical_not(grams.all_below(level, identity)))

    (slack,) = backend.while_loop(unproven, lambda slack: (2.0 * slack,), (slack,))
    return slack
