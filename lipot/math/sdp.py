r"""Residual steps that are 1-Lipschitz by a semidefinite condition.

The step $x \mapsto x - K\,\mathrm{relu}(K^\top x + b)$ moves two points by
$J = I - K D K^\top$ times their difference, with $D$ diagonal in $[0, 1]$: the slopes of ReLU
between the two points. $J$ is symmetric and $0 \preceq K D K^\top \preceq K K^\top$, so its
eigenvalues lie in $[1 - \|K\|^2, 1]$ and it stretches nothing as long as $\|K\|^2 \le 2$.

A convolution is the matrix $K^\top$ of a kernel. In $K^\top K$ the block of filters $i$ and $j$
holds their correlations $R_{ij}[t]$ at all shifts $t$, so that $\|K\|^2$ is at most the largest
eigenvalue of the small matrix $\sum_t |R_{ij}[t]|$, on images of every size. Zeros around an image
only take rows and columns away.
"""

import numpy as np
from keras import ops

# Keeps the factor of a filter of zeros finite.
_SMALLEST = 1e-12


def autocorrelation_sums(kernel):
    """Sums over all shifts of the absolute correlations of filters.

    Args:
        kernel: Tensor `(kh, kw, channels, filters)`, or `(features, units)` for a matrix.

    Returns:
        Symmetric tensor `(filters, filters)`; `|K^T K|` for a matrix.

    Example:

    >>> from keras import ops
    >>> kernel = ops.reshape(ops.convert_to_tensor([1.0, -2.0]), (2, 1, 1, 1))
    >>> float(autocorrelation_sums(kernel)[0, 0])   # 1 + 4 at shift 0, 2 at the two others
    9.0
    """
    if len(kernel.shape) == 2:
        return ops.abs(ops.matmul(ops.transpose(kernel), kernel))
    height, width = kernel.shape[:2]
    images = ops.transpose(kernel, (3, 0, 1, 2))
    widths = [(0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0)]
    correlations = ops.conv(
        ops.pad(images, widths), kernel, padding="valid", data_format="channels_last"
    )
    return ops.sum(ops.abs(correlations), axis=(1, 2))


def residual_kernel(kernel, log_scale):
    r"""Scales each filter so that the residual step with this kernel is 1-Lipschitz.

    With $S$ the `autocorrelation_sums` and any positive $q$ the diagonal matrix
    $T_i = \sum_j S_{ij} q_j / q_i$ dominates $W^\top W$, since
    $2 |x_i x_j| \le x_i^2 q_j / q_i + x_j^2 q_i / q_j$. The result is
    $K = \sqrt 2\, W T^{-1/2}$, for which $\|K\|^2 = 2 \|T^{-1/2} W^\top W T^{-1/2}\| \le 2$.

    Args:
        kernel: Tensor `(kh, kw, channels, filters)` or `(features, units)`.
        log_scale: Tensor `(filters,)`, the logarithm of `q`.

    Returns:
        Tensor like `kernel`. Filters of zeros stay zero.

    Reference:
        Araujo et al., "A unified algebraic perspective on Lipschitz neural networks" (ICLR 2023),
        the SDP-based Lipschitz layer (SLL), with its factor moved into the kernel.

    Example:

    >>> from keras import ops
    >>> scaled = residual_kernel(3.0 * ops.eye(2), ops.zeros(2))
    >>> round(float(scaled[0, 0]), 4)
    1.4142
    """
    ratios = ops.exp(log_scale[None, :] - log_scale[:, None])
    diagonal = ops.sum(autocorrelation_sums(kernel) * ratios, axis=1)
    return kernel * ops.rsqrt(0.5 * ops.maximum(diagonal, _SMALLEST))


def residual_bound(kernel):
    """Guaranteed Lipschitz constant of the residual step with this kernel, in float64.

    Args:
        kernel: Array `(kh, kw, channels, filters)` or `(features, units)`.

    Returns:
        The bound, a float: 1 where the kernel is small enough, on images of every size.

    Example:

    >>> import numpy as np
    >>> residual_bound(np.eye(3)), round(residual_bound(2.0 * np.eye(3)), 9)
    (1.0, 3.0)
    """
    kernel = np.asarray(kernel, "float64")
    taps = kernel if kernel.ndim == 4 else kernel[None, None]
    height, width, channels, filters = taps.shape
    sums = np.zeros((filters, filters))
    for i in range(height):
        for j in range(1 - width if i else 0, width):
            first = taps[: height - i, max(0, -j) : width - max(0, j)].reshape(-1, filters)
            second = taps[i:, max(0, j) : width + min(0, j)].reshape(-1, filters)
            term = np.abs(first.T @ second)
            # R_ij[-t] = R_ji[t]
            sums += term if i == j == 0 else term + term.T
    # Errors of the products and of the eigenvalues.
    terms = height * width * channels + 32 * filters
    lost = terms * 2.0**-53 * 4 * height * width * np.sum(taps * taps)
    square = float(np.linalg.eigvalsh(sums)[-1] + lost)
    return max(1.0, square - 1.0)
