r"""Largest eigenvalue of the Gram matrices of a convolution's Fourier blocks, in float64.

The values that a stride moves together are read as channels of one, so that the stride is one and
a frequency has one block, `A = sum_a K_a e^{i <phi, a>}`. Its Gram matrix over the shorter side is

$$ A A^* = \sum_t C_t e^{-i \langle \phi, t \rangle} , \qquad C_t = \sum_a K_a K_{a+t}^\top , $$

real products once for all frequencies. Of large matrices, only those that can raise the maximum
have their eigenvalues computed: for all others Cholesky factorizations of `level I - A A^*`,
several times cheaper, prove that they cannot. A few power steps say in which order: they are no
part of the proof, which looks at every frequency.

**Rounding.** Where the factorization of a Hermitian `B` of size `n` runs to its end, its factor
has `R^* R = B + E`, `|E|_2 <= gamma / (1 - gamma) tr B` with `gamma = gamma_{n+1}` (Higham,
theorem 10.3, and Demmel). `R^* R` is nonnegative, so `B + |E|_2 I` is. Four times as many
roundings cover complex products and blocked algorithms.

Reference:
    Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46, 2006.
"""

import functools
import math

import numpy as np

# Below this size the eigenvalues of a whole batch cost less than one factorization each.
_PROVE_FROM = 48
# Fourier blocks are treated a few at a time, as many as stay near the processor.
_BLOCK_ENTRIES = 500_000
_POWER_STEPS = 12
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
    once = count * (count + 1) * size * inner
    each = 8 * sum(map(len, angles)) * (size + count) * inner
    source = functools.partial(_products, taps)
    if size >= _PROVE_FROM and once < each:
        source = functools.partial(_from_correlations, *_correlations(taps, places))
    if size < _PROVE_FROM:
        return _least(_largest, source, angles)
    estimates = [_estimates(source, family) for family in angles]
    # In order of what the estimates promise: the least twist first, its largest matrix first.
    ordered = [family[np.argsort(-found)] for family, found in zip(angles, estimates)]
    ordered = [ordered[i] for i in np.argsort([found.max() for found in estimates])]
    return _least(_proven_largest, source, ordered)


def _least(largest, source, families):
    """The least of the largest eigenvalues of families of matrices, given by their angles."""
    least = math.inf
    for angles in families:
        # What reaches the least so far need not be finished.
        least = min(least, largest(source(angles), least))
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
    even, odd = np.empty((2, len(sums), size, size))
    for c, total, difference in zip(sums.values(), even, odd):
        np.add(c, c.T, total)
        np.subtract(c.T, c, difference)
    even, odd = (values.reshape(len(sums), size * size) for values in (even, odd))
    return center, even, odd, np.array(list(pairs.values()), "int64").reshape(-1, 2).T


def _from_correlations(center, even, odd, pairs, angles):
    """Yields Gram matrices a few at a time, as sums of waves, in the same memory."""
    first, second = pairs
    angles = angles[:, second] - angles[:, first]
    chunk = min(len(angles), max(1, _BLOCK_ENTRIES // center.size))
    grams = np.empty((chunk, *center.shape), "complex128")
    sums = np.empty((chunk, center.size))
    for start in range(0, len(angles), chunk):
        part = angles[start : start + chunk]
        found, total = grams[: len(part)], sums[: len(part)]
        np.add(np.matmul(np.cos(part), even, out=total).reshape(found.shape), center, found.real)
        found.imag = np.matmul(np.sin(part), odd, out=total).reshape(found.shape)
        yield found


def _largest(grams, ceiling):
    """Largest eigenvalue of all matrices that `grams` yields, or infinity from `ceiling` on."""
    largest = 0.0
    for batch in grams:
        largest = max(largest, np.linalg.eigvalsh(batch)[:, -1].max())
        if largest >= ceiling:
            return math.inf
    return largest


def _estimates(source, angles):
    """What a few power steps find of each largest eigenvalue, `(frequencies,)`."""
    found = []
    for grams in source(angles):
        start = np.random.default_rng(0).normal(size=(1, grams.shape[1], 1))
        vectors = np.broadcast_to(start, (len(grams), *start.shape[1:]))
        for _ in range(_POWER_STEPS):
            vectors = grams @ vectors
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, 1e-300)
        found.append(lengths[:, 0, 0])
    return np.concatenate(found)


def _proven_largest(grams, ceiling):
    """`_largest`, most of it by factorizations; the more promising matrices come first."""
    largest = proven = 0.0
    for batch in grams:
        # The first alone may reach the ceiling.
        for part in filter(len, np.split(batch, [1])):
            largest, bound = _settled(part, largest)
            proven = max(proven, bound)
            if largest >= ceiling:
                return math.inf
    return proven


def _settled(grams, largest):
    """The largest eigenvalue known after a look at some matrices, and a bound of all theirs."""
    bound = _proven_below(grams, largest * (1.0 + _SLACK))
    if bound is not None:
        return largest, bound
    if len(grams) == 1:
        bound = float(np.linalg.eigvalsh(grams[0])[-1])
        return max(largest, bound), bound
    largest, first = _settled(grams[: len(grams) // 2], largest)
    largest, second = _settled(grams[len(grams) // 2 :], largest)
    return largest, max(first, second)


def _proven_below(grams, level):
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
