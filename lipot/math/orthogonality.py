"""Distance of dense and convolution kernels to the orthogonal ones, for penalties."""

from keras import ops


def dense_defect(matrix):
    r"""Squared Frobenius distance of a Gram matrix to the identity.

    $\|W^\top W - I\|_F^2 = \sum_i (\sigma_i^2 - 1)^2$ for `m >= n`, $\|W W^\top - I\|_F^2$
    otherwise: zero exactly where all `min(m, n)` singular values are one.

    Args:
        matrix: `(m, n)`.

    Returns:
        Scalar tensor.

    Example:

    >>> from keras import ops
    >>> float(dense_defect(ops.diag([2.0, 1.0])))   # (4 - 1)^2
    9.0
    """
    if matrix.shape[0] < matrix.shape[1]:
        matrix = ops.transpose(matrix)
    gram = ops.matmul(ops.transpose(matrix), matrix)
    return ops.sum(ops.square(gram - ops.eye(matrix.shape[1], dtype=gram.dtype)))


def convolution_defect(kernel, stride=1):
    r"""$L_\text{orth}$, the distance of a convolution to the orthogonal ones.

    The rows of the convolution's matrix $W$ are the kernel at all its places. Their products
    depend on the offset of two places alone, and all are found by convolving the kernel with
    itself. With $M$ outputs, $C$ inputs and stride $S$,

    $$ L_\text{orth}(K) = \| K \star_S K - I_0 \|_F^2 - \max(0, M - S^2 C), $$

    where $I_0$ is the identity at offset zero. On a large enough circular image of $n$ output
    places it is $\|W W^\top - I\|_F^2 / n$ where $M \le S^2 C$ and $\|W^\top W - I\|_F^2 / n$
    otherwise.

    Args:
        kernel: `(kh, kw, C, M)`.
        stride: Positive int, the same for both axes.

    Returns:
        Scalar tensor, zero (up to rounding) exactly where the convolution is orthogonal.

    Reference:
        Wang et al., "Orthogonal convolutional neural networks" (CVPR 2020); with strides and
        for `M > S^2 C`: Achour, Malgouyres and Mamalet, "Existence, stability and scalability
        of orthogonal convolutional neural networks" (JMLR 2022).

    Example:

    >>> from keras import ops
    >>> float(convolution_defect(ops.ones((1, 2, 1, 1))))   # (2 - 1)^2 + 1^2 + 1^2
    3.0
    """
    height, width, inputs, outputs = kernel.shape
    reach = ((height - 1) // stride, (width - 1) // stride)
    images = ops.transpose(kernel, (3, 0, 1, 2))
    images = ops.pad(images, [(0, 0), *((r * stride, r * stride) for r in reach), (0, 0)])
    products = ops.conv(images, kernel, strides=stride, data_format="channels_last")
    identity = ops.eye(outputs, dtype=kernel.dtype)[:, None, None, :]
    target = ops.pad(identity, [(0, 0), *((r, r) for r in reach), (0, 0)])
    return ops.sum(ops.square(products - target)) - max(0, outputs - stride**2 * inputs)


def orthogonal_convolution_exists(kernel_shape, stride=1):
    """Whether some kernel of this shape has a zero `convolution_defect`.

    Args:
        kernel_shape: `(kh, kw, C, M)`.
        stride: Positive int.

    Returns:
        bool

    Reference:
        Achour, Malgouyres and Mamalet (JMLR 2022), the existence theorem.

    Example:

    >>> orthogonal_convolution_exists((3, 3, 1, 9)), orthogonal_convolution_exists((1, 1, 1, 2), 2)
    (True, False)
    """
    height, width, inputs, outputs = kernel_shape
    if outputs <= stride**2 * inputs:
        # The rows at one place are already independent vectors of length kh kw C.
        return outputs <= height * width * inputs
    return stride <= min(height, width)
