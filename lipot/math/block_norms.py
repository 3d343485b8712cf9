r"""In-graph bound of the largest singular value of many complex matrices, by products alone.

Let `G` be the smaller Gram matrix of one of them, of size `n`, $\sigma$ its largest singular value,
`l > 0` any number, and $T_k$ the Chebyshev polynomial of degree $k$. As
$T_k(2 x^2 - 1) = T_{2k}(x)$ grows with $x \ge 1$ and is `cosh(2 k acosh(x))` there,

$$ \sigma \le l \cosh\Big( \frac{\operatorname{acosh} \max(1, M)}{2 k} \Big) , \qquad
   M = \big\| T_k(2 G / l^2 - I) \big\|_F \ge \max_i |T_{2k}(\sigma_i / l)| . $$

`T_{2 k} = 2 T_k^2 - 1` doubles the degree by one product. Where `l` is the largest singular value,
`M` is at most the root of `n` and the excess about `log(4 n)^2 / (32 k^2)`. The Frobenius norm of
`G^k` leaves `log(n) / (4 k)`, twice as many products for as much. Where `l` is smaller, `M` grows
with `k` and the bound holds as well, as tight as that of a power.

Many large matrices get a lower degree. What it leaves makes a kernel that is divided by the bound
smaller by as much, and costs no certificate: those are of the kernel as it is.

Reference:
    Delattre et al., "Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram
    Iteration", ICML 2023, for the powers.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# From this many matrices times their size to the third on, each doubling costs more than it gives.
_MANY = 2**28
_DOUBLINGS_OF_MANY = 6
# Steps of the power iteration: on all matrices, and on the few most promising ones.
_FIRST_STEPS, _MORE_STEPS, _FEW = 8, 24, 8


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

    def squared(self):
        """Squares, in two real products.

        With S = R + I:  R^2 - I^2 = S S^T + R I + (R I)^T  and  R I + I R = R I - (R I)^T.
        """
        total, cross = self.real + self.imag, ops.matmul(self.real, self.imag)
        cross_t = ops.transpose(cross, (0, 2, 1))
        outer = ops.matmul(total, ops.transpose(total, (0, 2, 1)))
        return Hermitian(outer + cross + cross_t, cross - cross_t)

    def applied(self, vectors):
        """Products with vectors `(count, n, 2)`, whose columns are the real and imaginary part."""
        by_real, by_imag = ops.matmul(self.real, vectors), ops.matmul(self.imag, vectors)
        real, imag = by_real[..., :1] - by_imag[..., 1:], by_real[..., 1:] + by_imag[..., :1]
        return ops.concatenate([real, imag], axis=-1)


class _Polynomials(NamedTuple):
    """Chebyshev polynomials `exp(log_scale) * matrices`, scales `(count, 1, 1)`."""

    matrices: Hermitian
    log_scale: Any


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


def block_norm_bound(real, imag, doublings=10):
    r"""Bounds the largest singular value of all matrices `real + i imag`, rounding aside.

    Args:
        real: Tensor `(count, m, n)`, of values whose squares neither vanish nor overflow.
        imag: Tensor like `real`.
        doublings: Non-negative int, the logarithm of the degree to base 2. The default leaves
            2e-6 for `n = 512`, or less. Where `count n^3` passes `2^28` six are all that is done,
            which leave 5e-4 for `n = 512`, or less.

    Returns:
        A scalar tensor.

    Example:

    >>> from keras import ops
    >>> real = ops.convert_to_tensor([[[3.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]]])
    >>> round(float(block_norm_bound(real, 0.0 * real)), 4)
    3.0
    """
    grams = gram_matrices(real, imag)
    unit = ops.maximum(ops.max(grams.norms()), 1e-15)
    grams = grams.times(1.0 / unit)
    count, size = (int(n) for n in grams.real.shape[:2])
    if count * size**3 > _MANY:
        doublings = min(doublings, _DOUBLINGS_OF_MANY)
    level = _level(grams)
    polynomials = _chebyshev(_first_degree(grams, level), doublings)
    return ops.sqrt(unit) * ops.max(_bounds(polynomials, level, doublings))


def _level(grams):
    """A large eigenvalue, from below: Rayleigh quotients of power iterations, at least 1e-6."""
    vectors = _powered(grams, _start(grams), _FIRST_STEPS)
    _, chosen = ops.top_k(_quotients(grams, vectors), min(_FEW, int(grams.real.shape[0])))
    grams, vectors = grams.take(chosen), ops.take(vectors, chosen, 0)
    vectors = _powered(grams, vectors, _MORE_STEPS)
    return ops.maximum(ops.max(_quotients(grams, vectors)), 1e-6)


def _start(matrices):
    """One random vector for all matrices, `(count, n, 2)`."""
    count, size = (int(n) for n in matrices.real.shape[:2])
    vector = np.random.default_rng(0).normal(size=(1, size, 2))
    return ops.broadcast_to(ops.convert_to_tensor(vector, matrices.real.dtype), (count, size, 2))


def _powered(matrices, vectors, steps):
    """Unit vectors after some products, each with its matrix."""

    def step(_, current):
        current = matrices.applied(current)
        length = ops.sqrt(ops.sum(ops.square(current), axis=(-2, -1), keepdims=True))
        return current / ops.maximum(length, 1e-30)

    return ops.fori_loop(0, steps, step, vectors)


def _quotients(matrices, vectors):
    """Rayleigh quotients of unit vectors."""
    return ops.sum(vectors * matrices.applied(vectors), axis=(-2, -1))


def _first_degree(grams, level):
    """`2 G / level - I`, as polynomials of degree one."""
    identity = ops.eye(int(grams.real.shape[-1]), dtype=grams.real.dtype)
    scaled = grams.times(2.0 / level)
    matrices = Hermitian(scaled.real - identity, scaled.imag)
    return _rescaled(matrices, ops.zeros_like(grams.real[:, :1, :1]))


def _chebyshev(polynomials, doublings):
    """The polynomials of `2^doublings` times the degree."""
    size = int(polynomials.matrices.real.shape[-1])
    identity = ops.eye(size, dtype=polynomials.log_scale.dtype)

    def double(_, state):
        real, imag, log_scale = state
        square = Hermitian(real, imag).squared()
        # With T = s P:  (2 T^2 - 1) / s^2 = 2 P^2 - 1 / s^2.
        real = 2.0 * square.real - ops.exp(-2.0 * log_scale) * identity
        doubled = _rescaled(Hermitian(real, 2.0 * square.imag), 2.0 * log_scale)
        return (*doubled.matrices, doubled.log_scale)

    state = (*polynomials.matrices, polynomials.log_scale)
    real, imag, log_scale = ops.fori_loop(0, doublings, double, state)
    return _Polynomials(Hermitian(real, imag), log_scale)


def _rescaled(matrices, log_scale):
    """Keeps polynomials in range where they grow; where they are bounded by one they stay."""
    usual = 2.0 * math.sqrt(int(matrices.real.shape[-1]))
    grown = ops.maximum(matrices.norms() / usual, 1.0)
    return _Polynomials(matrices.times(1.0 / grown), log_scale + ops.log(grown))


def _bounds(polynomials, level, doublings):
    """The bounds of the singular values that polynomials of a degree prove, `(count,)`."""
    norms = ops.maximum(polynomials.matrices.norms(), 1e-30)
    log_norms = ops.reshape(polynomials.log_scale + ops.log(norms), (-1,))
    # acosh(M) <= log(2 M)
    angles = ops.maximum(log_norms + math.log(2.0), 0.0) / 2.0 ** (doublings + 1)
    return ops.sqrt(level) * ops.cosh(angles)
