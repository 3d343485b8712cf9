r"""In-graph Gram matrices of a convolution's Fourier blocks, the tensors of `gram_symbol`.

With $A = \sum_a K_a e^{i \langle \phi, a \rangle}$ the matrices $A A^*$ are sums of few real ones,
$C_t = \sum_a K_a K_{a+t}^\top$ and their transposes, over waves: products of kernels are formed
once for all frequencies. Where there are more of these products than frequencies are worth, each
matrix comes from its block.
"""

import numpy as np
from keras import ops

from lipot.math.block_norms import Hermitian, gram_matrices
from lipot.math.frequency_grids import grid_angles
from lipot.math.gram_symbol import pairs_of_taps, taps_of_stride_one


def gram_tensors(kernel, axes, twist=0.0):
    """Gram matrices of all frequencies of two axes, over the shorter side.

    Args:
        kernel: Tensor of shape `(kh, kw, cin, cout)`.
        axes: Two `AxisGrid`s.
        twist: Phase of the circles, 0 or 0.5.

    Returns:
        `Hermitian`, `(frequencies, n, n)`, half of the frequencies: a real kernel has conjugate
        blocks at opposite ones.
    """
    strides, dilation = ([axis[i] for axis in axes] for i in (1, 2))
    places, taps = taps_of_stride_one(kernel, strides, dilation, ops)
    angles = grid_angles(places, axes, twist)
    pairs = pairs_of_taps(places)
    count, size, inner = (int(n) for n in taps.shape)
    # Two waves of all taps for each block, and three products of its parts.
    blocks = len(angles) * (2 * count + 3 * size) * inner
    once, waves = len(pairs.first) * size * inner, 2 * len(angles) * len(pairs.example) * size
    if once + waves < blocks:
        return _from_correlations(taps, pairs, angles)
    return _from_blocks(taps, angles)


def _from_blocks(taps, angles):
    count, size, inner = (int(n) for n in taps.shape)
    flat = ops.reshape(taps, (count, size * inner))
    return gram_matrices(
        *(ops.reshape(_waves(wave, flat), (-1, size, inner)) for wave in _both(angles))
    )


def _from_correlations(taps, pairs, angles):
    _, size, _ = (int(n) for n in taps.shape)
    second = ops.transpose(ops.take(taps, pairs.second, 0), (0, 2, 1))
    products = ops.matmul(ops.take(taps, pairs.first, 0), second)
    gathers = np.arange(len(pairs.example))[:, None] == pairs.shift
    sums = _waves(gathers, ops.reshape(products, (-1, size * size)))
    turned = ops.transpose(ops.reshape(sums, (-1, size, size)), (0, 2, 1))
    turned = ops.reshape(turned, sums.shape)
    cosines, sines = _both(pairs.shift_angles(angles))
    # The shift 0 is its own opposite, and would count twice.
    cosines[:, 0] = 0.5
    return Hermitian(
        ops.reshape(_waves(cosines, sums + turned), (-1, size, size)),
        ops.reshape(_waves(sines, turned - sums), (-1, size, size)),
    )


def _both(angles):
    return np.cos(angles), np.sin(angles)


def _waves(weights, tensor):
    """Weighted sums of rows, with weights that are plain numbers."""
    return ops.matmul(ops.convert_to_tensor(weights, tensor.dtype), tensor)
