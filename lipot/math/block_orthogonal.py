r"""Orthogonal convolution kernels out of orthonormal matrices, by products alone.

A convolution here is what Keras computes, `y[i] = sum_j x[s i + d j] K[j]` with the pixels as rows
of channels. Convolving by `A` and then by `B` is convolving by the block convolution
`C[j] = sum_{a + b = j} A[a] B[b]`; only the last of a chain may have a stride. A chain of
isometries is an isometry, and a chain of their adjoints is the adjoint of one. Three kinds of link:

- a matrix with orthonormal rows or columns, applied to each pixel;
- the pair `[P, I - P]` with an orthogonal projector `P`, along one axis: its symbol
  `P + e^{i w} (I - P)` is unitary at every frequency `w`;
- an orthonormal matrix read as an `s x s` kernel with stride `s`: its patches do not overlap.
"""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import checks
from lipot.math.convolution_geometry import pair_of
from lipot.math.orthogonal import transposed

# Share of a squared norm that a looser bound may add.
_NEGLIGIBLE = 1e-5


class BlockOrthogonalShape(NamedTuple):
    """The orthonormal matrices that one kernel `(kh, kw, cin, cout)` is made of.

    Attributes:
        width: Channels at which the pairs work.
        patch: `(h, w)`, the strided part of the kernel.
        pairs: `(vertical, horizontal)`, numbers of pairs.
        rank: Rank of the projectors.
        embedding: `(cin, width)` of the matrix before the pairs, or `None`.
        reduction: `(h * w * width, cout)` of the matrix after the pairs, or `None`.
    """

    width: int
    patch: tuple
    pairs: tuple
    rank: int
    embedding: tuple | None
    reduction: tuple | None


def block_orthogonal_shape(kernel_size, strides, channels, filters):
    """Chooses the chain of `block_orthogonal_kernel` for a kernel.

    With no more filters than a patch has values, the pairs work on the input channels and the
    reduction keeps `filters` orthonormal combinations of a patch: the convolution has orthonormal
    rows. With more, an embedding comes first and the convolution has orthonormal columns.

    Args:
        kernel_size: `(kh, kw)`.
        strides: `(sh, sw)`.
        channels: Positive int, input channels of one group.
        filters: Positive int, filters of one group.

    Returns:
        A `BlockOrthogonalShape`.

    Raises:
        ValueError: A stride that skips pixels, with too many filters to be orthogonal.

    Example:

    >>> block_orthogonal_shape((4, 4), (2, 2), 8, 16).reduction
    (32, 16)
    """
    patch = tuple(min(k, s) for k, s in zip(kernel_size, strides))
    pairs = tuple(k - p for k, p in zip(kernel_size, patch))
    area = patch[0] * patch[1]
    if filters <= channels * area:
        reduction = (area * channels, filters)
        return BlockOrthogonalShape(channels, patch, pairs, channels // 2, None, reduction)
    if patch != tuple(strides):
        raise checks.refused(
            "strides",
            f"at most the kernel size where `filters` exceeds the {channels * area} values of a "
            "patch: skipped pixels are lost, so no choice of kernel has orthonormal columns",
            f"strides={tuple(strides)}, kernel_size={tuple(kernel_size)}, filters={filters}",
        )
    width = filters // area
    reduction = None if area == 1 else (area * width, filters)
    return BlockOrthogonalShape(width, patch, pairs, width // 2, (channels, width), reduction)


def block_convolution(first, second):
    """Kernel of the convolution by `first` followed by the convolution by `second`.

    Args:
        first: `(..., h1, w1, cin, width)`.
        second: `(..., h2, w2, width, cout)`.

    Returns:
        `(..., h1 + h2 - 1, w1 + w2 - 1, cin, cout)`.

    Reference:
        Li et al., "Preventing gradient attenuation in Lipschitz constrained convolutional
        networks", section 4.2.

    Example:

    >>> from keras import ops
    >>> row = ops.ones((1, 2, 1, 1))
    >>> [float(v) for v in ops.ravel(block_convolution(row, row))]
    [1.0, 2.0, 1.0]
    """
    rows, columns = second.shape[-4:-2]
    leading = ((0, 0),) * (len(first.shape) - 4)
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            margins = ((i, rows - 1 - i), (j, columns - 1 - j), (0, 0), (0, 0))
            tap = second[..., i, j, :, :][..., None, None, :, :]
            total = total + ops.pad(ops.matmul(first, tap), (*leading, *margins))
    return total


def append_pair(kernel, basis, axis):
    r"""Convolves by the pair `[P, I - P]` with $P = V V^\top$, along one axis of the kernel.

    Args:
        kernel: `(..., h, w, n, m)`.
        basis: $V$, `(..., m, r)` with orthonormal columns.
        axis: -4 for vertical, -3 for horizontal.

    Returns:
        `kernel` with one more tap along `axis`.

    Example:

    >>> from keras import ops
    >>> kernel, basis = ops.ones((1, 1, 1, 2)), ops.array([[1.0], [0.0]])
    >>> ops.convert_to_numpy(append_pair(kernel, basis, -4)).reshape(2, 2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    inside = _through(kernel, basis, transposed(basis))
    return _one_tap_apart((inside, kernel - inside), axis)


def append_two_pairs(kernel, first, second, axis):
    r"""Convolves by `[P, I - P]` and then by `[I - Q, Q]`, along one axis of the kernel.

    With $P = U U^\top$, $Q = V V^\top$ and $M = U^\top V$ the outer two of the three taps are

    $$ P (I - Q) = U (U^\top - M V^\top), \qquad (I - P) Q = (V - U M) V^\top , $$

    and all three add up to the identity: the middle one needs no product.

    Args:
        kernel: `(..., h, w, n, m)`.
        first: $U$, `(..., m, r)` with orthonormal columns.
        second: $V$, of the same shape.
        axis: -4 for vertical, -3 for horizontal.

    Returns:
        `kernel` with two more taps along `axis`.

    Example:

    >>> from keras import ops
    >>> kernel, basis = ops.ones((1, 1, 1, 2)), ops.array([[1.0], [0.0]])
    >>> ops.convert_to_numpy(append_two_pairs(kernel, basis, basis, -4)).reshape(3, 2).tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    mixed = ops.matmul(transposed(first), second)
    before = _through(kernel, first, transposed(first - ops.matmul(second, transposed(mixed))))
    after = _through(kernel, second - ops.matmul(first, mixed), transposed(second))
    return _one_tap_apart((before, kernel - before - after, after), axis)


def _through(kernel, *matrices):
    """Multiplies the channels after a kernel by one matrix after the other."""
    rows = ops.reshape(kernel, (*kernel.shape[:-4], -1, kernel.shape[-1]))
    for matrix in matrices:
        rows = ops.matmul(rows, matrix)
    return ops.reshape(rows, kernel.shape)


def _one_tap_apart(kernels, axis):
    """Adds up kernels, each shifted by one tap along an axis against the one before."""
    if kernels[0].shape[axis] == 1:
        # None of them overlap: nothing is to be added, and each is read once.
        return ops.concatenate(kernels, axis=axis)
    total, last = 0.0, len(kernels) - 1
    for index, kernel in enumerate(kernels):
        margins = [(0, 0)] * len(kernel.shape)
        margins[axis] = (index, last - index)
        total = total + ops.pad(kernel, margins)
    return total


def block_orthogonal_kernel(shape, bases=None, embedding=None, reduction=None):
    r"""Kernel of an orthogonal convolution out of the orthonormal matrices of its chain.

    $$ K = E \ast [P_1, I - P_1] \ast [I - P_2, P_2] \ast \dots \ast R . $$

    Every second pair along an axis is swapped, so that the kernel is centered whatever the rank.

    Args:
        shape: A `BlockOrthogonalShape`.
        bases: `(pairs, groups, width, rank)`, orthonormal columns that span the projectors'
            images, vertical pairs first. Not needed where the rank or the number of pairs is 0.
        embedding: `(groups, *shape.embedding)`.
        reduction: `(groups, *shape.reduction)`.

    Returns:
        `(kh, kw, cin, groups * cout)`, as grouped convolutions read it. With
        `cout <= cin sh sw` the convolution has orthonormal rows on every circular grid that the
        strides divide, else orthonormal columns.

    Reference:
        Li et al., "Preventing gradient attenuation in Lipschitz constrained convolutional
        networks", NeurIPS 2019, algorithm 1; Boissin et al., "An adaptive orthogonal convolution
        scheme for efficient and flexible CNN architectures", 2025, section 3.
    """
    patches = None
    if reduction is not None:
        groups, _, filters = reduction.shape
        patches = ops.reshape(reduction, (groups, *shape.patch, shape.width, filters))
    if embedding is None:
        # From the right: a symmetric projector acts on the channels before a kernel as it acts
        # on those after the transpose, and the fewer filters are, the smaller the products.
        return _interleaved(transposed(_append_pairs(shape, bases, transposed(patches))))
    kernel = _append_pairs(shape, bases, embedding[:, None, None])
    return _interleaved(kernel if patches is None else block_convolution(kernel, patches))


def _append_pairs(shape, bases, kernel):
    """Convolves a kernel `(groups, h, w, n, width)` by all pairs of a chain, two at a time."""
    vertical, horizontal = shape.pairs
    if bases is None:
        bases = ops.zeros((vertical + horizontal, 1, shape.width, 1), kernel.dtype)
    for axis, start, count in ((-4, 0, vertical), (-3, vertical, horizontal)):
        for index in range(start, start + count - 1, 2):
            kernel = append_two_pairs(kernel, bases[index], bases[index + 1], axis)
        if count % 2 == 1:
            kernel = append_pair(kernel, bases[start + count - 1], axis)
    return kernel


def _interleaved(kernel):
    """`(groups, kh, kw, cin, cout) -> (kh, kw, cin, groups * cout)`."""
    groups, height, width, channels, filters = kernel.shape
    kernel = ops.transpose(kernel, (1, 2, 3, 0, 4))
    return ops.reshape(kernel, (height, width, channels, groups * filters))


def autocorrelation_bound(kernel, strides=1, groups=1):
    r"""Guaranteed bound of a convolution's norm on images of every size, tight if orthogonal.

    With the taps regrouped so that the stride is one, $T^\top T$ convolves by
    $C_t = \sum_j K_j K_{j+t}^\top$ and $T T^\top$ by the same with the transposes inside. A shift
    has norm one, so $\|T\|^2 \le \sum_t \|C_t\|_2$, which is one where the kernel is orthogonal.
    Zero padding restricts $T$ to fewer values, which cannot raise the norm.

    Args:
        kernel: Array of shape `(kh, kw, cin / groups, cout)`.
        strides: Integer or pair; they must divide the image on a circle.
        groups: Number of channel groups.

    Returns:
        The bound, a float.

    Example:

    >>> import numpy as np
    >>> round(autocorrelation_bound(np.ones((2, 2, 1, 1)), strides=2), 9)
    2.0
    >>> round(autocorrelation_bound(np.ones((2, 2, 1, 1))), 9)
    4.0
    """
    kernel = np.asarray(kernel, "float64")
    parts = np.split(kernel, groups, axis=3)
    return max(_autocorrelation_bound(part, pair_of(strides, "strides")) for part in parts)


def _autocorrelation_bound(kernel, strides):
    taps = _stride_one(kernel, strides)
    if taps.shape[2] > taps.shape[3]:
        taps = taps.transpose(0, 1, 3, 2)
    terms = list(_autocorrelation(taps))
    height, width, size, _ = taps.shape
    # C_{-t} is the transpose of C_t.
    center, rest = _norm(terms[0]), 2.0 * sum(map(np.linalg.norm, terms[1:]))
    # Of an orthogonal kernel little but rounding is left here, for which a bound is enough.
    if rest > _NEGLIGIBLE * center:
        rest = 2.0 * sum(map(_norm, terms[1:]))
    # Errors of the products and of the eigenvalues.
    lost = (taps.size / size + 32 * size) * 2.0**-53 * 4 * height * width * np.sum(taps * taps)
    return float(np.sqrt(center + rest + lost))


def _autocorrelation(taps):
    """Yields `C_t` for one of each `t` and `-t`, that of 0 first."""
    height, width, size, _ = taps.shape
    for i in range(height):
        for j in range(0 if i == 0 else 1 - width, width):
            first = taps[: height - i, max(0, -j) : width - max(0, j)]
            second = taps[i:, max(0, j) : width + min(0, j)]
            first, second = (t.transpose(2, 0, 1, 3).reshape(size, -1) for t in (first, second))
            yield first @ second.T


def _norm(matrix):
    square = np.linalg.eigvalsh(matrix @ matrix.T)[-1]
    return math.sqrt(max(square, 0.0))


def _stride_one(kernel, strides):
    """Reads the `s x s` values that move together as channels of one."""
    height, width, channels, filters = kernel.shape
    rows, columns = (-(-k // s) for k, s in zip((height, width), strides))
    margins = (rows * strides[0] - height, columns * strides[1] - width)
    kernel = np.pad(kernel, ((0, margins[0]), (0, margins[1]), (0, 0), (0, 0)))
    kernel = kernel.reshape(rows, strides[0], columns, strides[1], channels, filters)
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(rows, columns, -1, filters)
