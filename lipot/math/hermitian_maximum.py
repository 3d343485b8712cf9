r"""Largest eigenvalue of many Hermitian matrices, proven in float64 for less than computing all.

Of large matrices, only those that can raise the maximum have their eigenvalues computed: for all
others Cholesky factorizations of `level I - G`, several times cheaper, prove that they cannot. A
few Lanczos steps say in which order: they are no part of the proof, which looks at every matrix.

**Rounding.** Where the factorization of a Hermitian `B` of size `n` runs to its end, its factor
has `R^* R = B + E`, `|E|_2 <= gamma / (1 - gamma) tr B` with `gamma = gamma_{n+1}` (Higham,
theorem 10.3, and Demmel). `R^* R` is nonnegative, so `B + |E|_2 I` is. Four times as many
roundings cover complex products and blocked algorithms.

Reference:
    Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46, 2006.
"""

import math

import numpy as np

# Of each of many matrices, and of one alone.
_LANCZOS_STEPS, _ALONE_STEPS = 14, 120
# What a factorization may leave above the largest eigenvalue found, as a share of it.
_SLACK = 1e-10
# From this size on, a few Lanczos steps and a factorization cost less than all eigenvalues of one.
_ALONE_FROM = 1024
# What is tried where the Lanczos steps have not come so close.
_ALONE_SLACKS = (_SLACK, 1e-8, 1e-6)


def largest_eigenvalue(grams, ceiling=math.inf):
    """Largest eigenvalue of all matrices, or infinity once it is known to reach the ceiling.

    Args:
        grams: Iterator over batches of matrices `(few, n, n)`.
        ceiling: A number that the maximum is of no use from.
    """
    largest = 0.0
    for batch in grams:
        largest = max(largest, np.linalg.eigvalsh(batch)[:, -1].max())
        if largest >= ceiling:
            return math.inf
    return largest


def largest_of_one(gram):
    """Largest eigenvalue of one matrix up to rounding, or a proven bound at most 1e-6 above it.

    Args:
        gram: Hermitian matrix `(n, n)`.
    """
    if len(gram) >= _ALONE_FROM:
        found = _lanczos(gram[None], _ALONE_STEPS)[0]
        for slack in _ALONE_SLACKS:
            bound = proven_below(gram[None], found * (1.0 + slack))
            if bound is not None:
                return bound
    return np.linalg.eigvalsh(gram)[-1]


def estimated_eigenvalues(grams):
    """What a few Lanczos steps find of each largest eigenvalue, `(matrices,)`; rarely too much."""
    return np.concatenate([_lanczos(batch) for batch in grams])


def proven_largest_eigenvalue(grams, ceiling=math.inf):
    """`largest_eigenvalue`, most of it by factorizations; the more promising come first."""
    largest = proven = 0.0
    for batch in grams:
        # The first alone may reach the ceiling.
        for part in filter(len, np.split(batch, [1])):
            largest, bound = _settled(part, largest)
            proven = max(proven, bound)
            if largest >= ceiling:
                return math.inf
    return proven


def unproven(grams, level):
    """Which matrices could not be proven to lie below a level, and a bound of all the others.

    Args:
        grams: Matrices `(count, n, n)`.
        level: Positive number.

    Returns:
        Booleans `(count,)` and a number just above `level`.
    """
    bound = proven_below(grams, level)
    if bound is not None:
        return np.zeros(len(grams), bool), bound
    if len(grams) == 1:
        return np.ones(1, bool), 0.0
    halves = (grams[: len(grams) // 2], grams[len(grams) // 2 :])
    masks, bounds = zip(*(unproven(half, level) for half in halves))
    return np.concatenate(masks), max(bounds)


def proven_below(grams, level):
    """A proven bound of all largest eigenvalues just above a level, or `None`."""
    size = grams.shape[-1]
    rest = -grams
    rest[:, np.arange(size), np.arange(size)] += level
    try:
        np.linalg.cholesky(rest)
    except np.linalg.LinAlgError:
        return None
    gamma = 4 * (size + 4) * 2.0**-53
    traces = np.trace(rest, axis1=1, axis2=2).real
    lost = gamma / (1.0 - 2.0 * gamma) * traces.max()
    # The difference on the diagonal was rounded, too.
    return level * (1.0 + 2.0**-50) + lost


def _lanczos(grams, most=_LANCZOS_STEPS):
    """Ritz values of one batch, without orthogonalizing again: a copy does no harm."""
    vector = np.random.default_rng(0).normal(size=(grams.shape[1], 1))
    vectors = np.broadcast_to(vector / np.linalg.norm(vector), (len(grams), *vector.shape))
    steps = min(most, grams.shape[1])
    tridiagonal = np.zeros((len(grams), steps, steps))
    before, lengths = np.zeros_like(vectors), np.zeros((len(grams), 1, 1))
    for k in range(steps):
        image = grams @ vectors - lengths * before
        share = np.sum(vectors.conj() * image, axis=1, keepdims=True).real
        image -= share * vectors
        lengths = np.linalg.norm(image, axis=1, keepdims=True)
        # An invariant space is the end: zeros leave the values found as they are.
        lengths[lengths <= 1e-12 * np.abs(share)] = 0.0
        before, vectors = vectors, image / np.where(lengths > 0.0, lengths, np.inf)
        tridiagonal[:, k, k] = share[:, 0, 0]
        if k + 1 < steps:
            tridiagonal[:, k + 1, k] = lengths[:, 0, 0]
    return np.linalg.eigvalsh(tridiagonal)[:, -1]


def _settled(grams, largest):
    """The largest eigenvalue known after a look at some matrices, and a bound of all theirs."""
    bound = proven_below(grams, largest * (1.0 + _SLACK))
    if bound is not None:
        return largest, bound
    if len(grams) == 1:
        bound = float(np.linalg.eigvalsh(grams[0])[-1])
        return max(largest, bound), bound
    largest, first = _settled(grams[: len(grams) // 2], largest)
    largest, second = _settled(grams[len(grams) // 2 :], largest)
    return largest, max(first, second)
