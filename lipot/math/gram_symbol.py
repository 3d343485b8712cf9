r"""Gram matrices of a convolution's Fourier blocks, in float64.

The values that a stride moves together are read as channels of one, so that the stride is one and
a frequency has one block, `A = sum_a K_a e^{i <phi, a>}`. Its Gram matrix over the shorter side is

$$ A A^* = \sum_t C_t e^{-i \langle \phi, t \rangle} , \qquad C_t = \sum_a K_a K_{a+t}^\top , $$

real products once for all frequencies. Few or small matrices come from the blocks themselves.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

# Below this size the eigenvalues of a whole batch cost less than one factorization each.
PROVE_FROM = 48
# Fourier blocks are treated a few at a time, as many as stay near the processor.
_BLOCK_ENTRIES = 500_000


class GramSymbol(NamedTuple):
    """Gram matrices as a function of the frequency.

    Attributes:
        places: Where the taps lie, `(taps, 2)` integers.
        size: Rows of a matrix.
        matrices: Function of angles `<phi, a>`, `(frequencies, taps)`, that yields the matrices a
            few at a time, `(few, size, size)`. One memory may serve all of them in turn.
    """

    places: Any
    size: int
    matrices: Any

    @property
    def large(self):
        """Whether a factorization costs less than the eigenvalues."""
        return self.size >= PROVE_FROM


def gram_symbol(kernel, strides, dilation, frequencies):
    """The `GramSymbol` of a convolution.

    Args:
        kernel: Array of shape `(kh, kw, cin, cout)`.
        strides: `(sh, sw)`.
        dilation: `(dh, dw)`.
        frequencies: About how many matrices will be asked for.
    """
    places, taps = taps_of_stride_one(kernel, strides, dilation)
    taps = np.ascontiguousarray(taps)
    count, size, inner = taps.shape
    matrices = functools.partial(_products, taps)
    once = count * (count + 1) * size * inner
    if size >= PROVE_FROM and once < 8 * frequencies * (size + count) * inner:
        pairs = pairs_of_taps(places)
        matrices = functools.partial(_from_correlations, *_correlations(taps, pairs), pairs)
    return GramSymbol(places, size, matrices)


def taps_of_stride_one(kernel, strides, dilation, numpy=np):
    """Places `(taps, 2)` and matrices `(taps, shorter side, longer side)` of the same map.

    Args:
        kernel: Array or tensor of shape `(kh, kw, cin, cout)`.
        strides: `(sh, sw)`.
        dilation: `(dh, dw)`.
        numpy: What computes the matrices: NumPy, or `keras.ops` for tensors.
    """
    height, width, channels, filters = (int(n) for n in kernel.shape)
    rows, columns = (
        np.divmod(np.arange(k) * d, s) for k, d, s in zip((height, width), dilation, strides)
    )
    blocks = {}
    for i, j in np.ndindex(height, width):
        place, offset = (rows[0][i], columns[0][j]), (rows[1][i], columns[1][j])
        blocks.setdefault(place, {})[offset] = i * width + j
    offsets = sorted({offset for block in blocks.values() for offset in block})
    # The one after the last is a matrix of zeros, for offsets that a place has no tap at.
    chosen = [
        [block.get(offset, height * width) for offset in offsets] for block in blocks.values()
    ]
    taps = numpy.reshape(kernel, (-1, channels, filters))
    taps = numpy.concatenate([taps, numpy.zeros_like(taps[:1])], axis=0)
    taps = numpy.take(taps, np.array(chosen), axis=0)
    taps = numpy.reshape(taps, (len(blocks), len(offsets) * channels, filters))
    if taps.shape[1] > filters:
        taps = numpy.transpose(taps, (0, 2, 1))
    return np.array(list(blocks), "int64"), taps


def _products(taps, angles):
    """Yields Gram matrices a few at a time, from the blocks themselves."""
    count, size, inner = taps.shape
    chunk = max(1, _BLOCK_ENTRIES // (size * inner))
    for start in range(0, len(angles), chunk):
        waves = np.exp(1j * angles[start : start + chunk])
        blocks = (waves @ taps.reshape(count, -1)).reshape(-1, size, inner)
        yield blocks @ blocks.conj().transpose(0, 2, 1)


class Pairs(NamedTuple):
    """Pairs of taps, one of each `(a, b)` and `(b, a)`.

    Attributes:
        first: Indices of the first tap, like `second`.
        second: Indices of the second.
        shift: Index of the shift `t` from first to second; 0 is that of the shift 0.
        example: For each shift the index of a pair that has it.
    """

    first: Any
    second: Any
    shift: Any
    example: Any

    def shift_angles(self, angles):
        """Angles `<phi, t>`, `(frequencies, shifts)`, from those of the taps."""
        one = self.example
        return angles[:, self.second[one]] - angles[:, self.first[one]]


def pairs_of_taps(places):
    """The `Pairs` of taps at some places, which ascend: of each `t` and `-t` just one is there."""
    first, second = np.triu_indices(len(places))
    _, example, shift = np.unique(
        places[second] - places[first], axis=0, return_index=True, return_inverse=True
    )
    return Pairs(first, second, shift.ravel(), example)


def _correlations(taps, pairs):
    """`C_t` for one of each `t` and `-t`: `C_0`, `C_t + C_t^T` and `C_t^T - C_t`."""
    size = taps.shape[1]
    sums = np.zeros((len(pairs.example), size, size))
    for a, b, shift in zip(pairs.first, pairs.second, pairs.shift):
        sums[shift] += taps[a] @ taps[b].T
    center, others = sums[0], sums[1:]
    turned = others.transpose(0, 2, 1)
    even, odd = ((f(turned, others)).reshape(-1, size * size) for f in (np.add, np.subtract))
    return center, even, odd


def _from_correlations(center, even, odd, pairs, angles):
    """Yields Gram matrices a few at a time, as sums of waves, in the same memory."""
    angles = pairs.shift_angles(angles)[:, 1:]
    chunk = min(len(angles), max(1, _BLOCK_ENTRIES // center.size))
    grams = np.empty((chunk, *center.shape), "complex128")
    sums = np.empty((chunk, center.size))
    for start in range(0, len(angles), chunk):
        part = angles[start : start + chunk]
        found, total = grams[: len(part)], sums[: len(part)]
        np.add(np.matmul(np.cos(part), even, out=total).reshape(found.shape), center, found.real)
        found.imag = np.matmul(np.sin(part), odd, out=total).reshape(found.shape)
        yield found
