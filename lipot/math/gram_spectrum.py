r"""Largest eigenvalue of the Gram matrices of a convolution's Fourier blocks, in float64.

The values that a stride moves together are read as channels of one, so that the stride is one and
a frequency has one block, `A = sum_a K_a e^{i <phi, a>}`. Its Gram matrix over the shorter side is

$$ A A^* = \sum_t C_t e^{-i \langle \phi, t \rangle} , \qquad C_t = \sum_a K_a K_{a+t}^\top , $$

real products once for all frequencies. Of large matrices, only those that can raise the maximum
have their eigenvalues computed: for all others one Cholesky factorization of `level I - A A^*`,
several times cheaper, proves that they cannot.

**Rounding.** Where the factorization of a Hermitian `B` of size `n` runs to its end, its factor
has `R^* R = B + E`, `|E|_2 <= gamma / (1 - gamma) tr B` with `gamma = gamma_{n+1}` (Higham,
theorem 10.3, and Demmel). `R^* R` is nonnegative, so `B + |E|_2 I` is. Four times as many
roundings cover complex products and blocked algorithms.

Reference:
    Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46, 2006.
"""

import math

import numpy as np

# Below this size the eigenvalues of a whole batch cost less than one factorization each.
_PROVE_FROM = 48
# Fourier blocks are treated a few at a time, so that large images do not fill the memory.
_BLOCK_ENTRIES = 4_000_000
_POWER_STEPS = 6
# What a factorization may leave above the largest eigenvalue found, as a share of it.
_SLACK = 1e-10


def largest_gram_eigenvalue(kernel, grid, strides, dilation, twists=(0.0,)):
    """Largest squared singular value of a circular convolution, the least over some twists.

    Args:
        kernel: Array of shape `(kh, kw, cin, cout)` whose values are at most about one.
        grid: `(height, width)` of the circle, multiples of the strides.
        strides: `(sh, sw)`.
        dilation: `(dh, dw)`.
        twists: Phases of the grid, of 0 and 0.5.

    Returns:
        The eigenvalue up to rounding and 1e-9 of itself, never below it by more than rounding
        does.
    """
    places, taps = _stride_one(kernel, strides, dilation)
    # Patches that do not overlap have the same block at all frequencies.
    points = [n // s if len(taps) > 1 else 1 for n, s in zip(grid, strides)]
    angles = [_angles(places, points, twist) for twist in twists]
    count, size, inner = taps.shape
    if size < _PROVE_FROM:
        return _least((_products(taps, a) for a in angles), _largest)
    once = count * (count + 1) * size * inner
    each = 8 * sum(map(len, angles)) * (size + count) * inner
    if once < each:
        correlations = _correlations(taps, places)
        return _least((_from_correlations(*correlations, a) for a in angles), _proven_largest)
    return _least((_products(taps, a) for a in angles), _proven_largest)


def _least(families, largest):
    """The least of the largest eigenvalues of families of matrices."""
    least = math.inf
    for grams in families:
        # What reaches the least so far need not be finished.
        least = min(least, largest(grams, least))
    return float(least)


def _stride_one(kernel, strides, dilation):
    """Places `(taps, 2)` and matrices `(taps, shorter side, longer side)` of the same map."""
    height, width, channels, filters = kernel.shape
    rows, columns = (
        np.divmod(np.arange(k) * d, s) for k, d, s in zip((height, width), dilation, strides)
    )
    blocks = {}
    for i, j in np.ndindex(height, width):
        place, offset = (rows[0][i], columns[0][j]), (rows[1][i], columns[1][j])
        blocks.setdefault(place, {})[offset] = kernel[i, j]
    offsets = sorted({offset for block in blocks.values() for offset in block})
    taps = np.zeros((len(blocks), len(offsets), channels, filters))
    for tap, block in zip(taps, blocks.values()):
        for offset, matrix in block.items():
            tap[offsets.index(offset)] = matrix
    taps = taps.reshape(len(blocks), -1, filters)
    if taps.shape[1] > filters:
        taps = taps.transpose(0, 2, 1)
    return np.array(list(blocks), "int64"), np.ascontiguousarray(taps)


def _angles(places, points, twist):
    """Angles `<phi, a>` for half of the frequencies, `(frequencies, taps)`.

    A real kernel has conjugate blocks at `phi` and `-phi`: half of one axis is enough.
    """
    axes = []
    for axis, count in enumerate(points):
        frequencies = np.arange(count if axis == 0 else count // 2 + 1)
        # Reduced to one turn as integers, in units of half a step: exact for any size.
        half_steps = (2 * frequencies + round(2 * twist))[:, None] * places[:, axis]
        axes.append(half_steps % (2 * count) * (np.pi / count))
    return (axes[0][:, None] + axes[1][None]).reshape(-1, len(places))


def _products(taps, angles):
    """Yields Gram matrices a few at a time, from the blocks themselves."""
    count, size, inner = taps.shape
    chunk = max(1, _BLOCK_ENTRIES // (size * inner))
    for start in range(0, len(angles), chunk):
        waves = np.exp(1j * angles[start : start + chunk])
        blocks = (waves @ taps.reshape(count, -1)).reshape(-1, size, inner)
        yield blocks @ blocks.conj().transpose(0, 2, 1)


def _correlations(taps, places):
    """`C_t` for one of each `t` and `-t`: `C_0`, `C_t + C_t^T`, `C_t^T - C_t`, pairs of taps."""
    count, size, _ = taps.shape
    sums, pairs = {}, {}
    for a in range(count):
        for b in range(a, count):
            # The places ascend, so that of the shifts t and -t just one is here.
            shift = tuple(places[b] - places[a])
            sums[shift] = sums.get(shift, 0.0) + taps[a] @ taps[b].T
            pairs.setdefault(shift, (a, b))
    center = sums.pop((0, 0))
    del pairs[0, 0]
    even = np.array([c + c.T for c in sums.values()]).reshape(len(sums), size * size)
    odd = np.array([c.T - c for c in sums.values()]).reshape(len(sums), size * size)
    return center, even, odd, np.array(list(pairs.values()), "int64").reshape(-1, 2).T


def _from_correlations(center, even, odd, pairs, angles):
    """Yields Gram matrices a few at a time, as sums of waves."""
    first, second = pairs
    angles = angles[:, second] - angles[:, first]
    chunk = max(1, _BLOCK_ENTRIES // center.size)
    for start in range(0, len(angles), chunk):
        part = angles[start : start + chunk]
        gram = np.empty((len(part), *center.shape), "complex128")
        gram.real = (np.cos(part) @ even).reshape(gram.shape) + center
        gram.imag = (np.sin(part) @ odd).reshape(gram.shape)
        yield gram


def _largest(grams, ceiling):
    """Largest eigenvalue of all matrices that `grams` yields, or infinity from `ceiling` on."""
    largest = 0.0
    for batch in grams:
        largest = max(largest, np.linalg.eigvalsh(batch)[:, -1].max())
        if largest >= ceiling:
            return math.inf
    return largest


def _proven_largest(grams, ceiling):
    """`_largest`, most of it by factorizations."""
    largest = proven = 0.0
    for batch in grams:
        for index in _most_promising_first(batch):
            bound = _proven_below(batch[index], largest * (1.0 + _SLACK))
            if bound is None:
                bound = float(np.linalg.eigvalsh(batch[index])[-1])
                largest = max(largest, bound)
            proven = max(proven, bound)
            if largest >= ceiling:
                return math.inf
    return proven


def _most_promising_first(grams):
    """Order by how far a few power steps get: the fewer records, the fewer eigenvalues."""
    vectors = np.random.default_rng(0).normal(size=(len(grams), grams.shape[1], 1))
    for _ in range(_POWER_STEPS):
        vectors = grams @ vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(lengths, 1e-300)
    return np.argsort(-lengths[:, 0, 0])


def _proven_below(gram, level):
    """A proven bound of the largest eigenvalue just above a level, or `None`."""
    size = len(gram)
    rest = -gram
    rest[np.arange(size), np.arange(size)] += level
    try:
        np.linalg.cholesky(rest)
    except np.linalg.LinAlgError:
        return None
    gamma = 4 * (size + 4) * 2.0**-53
    lost = gamma / (1.0 - 2.0 * gamma) * np.trace(rest).real
    # The difference on the diagonal was rounded, too.
    return level * (1.0 + 2.0**-50) + lost
