"""Norms of pooling operators, and the smooth norm that L2 pooling takes."""

import math

from keras import ops


def average_norm(pool_size, strides):
    r"""Spectral norm of average pooling over unpadded windows, for every image size at once.

    On one axis, with windows of $p$ every $s$, the rows $a_i$ of the matrix are $1/p$ on their
    window, so $a_i^\top a_j = (p - |i - j| s)_+ / p^2$. These are non-negative, hence

    $$ \|A\|^2 = \|A A^\top\| \le \max_i \sum_j a_i^\top a_j
       \le \frac1{p^2} \sum_{d \in \mathbb{Z}} (p - |d| s)_+ , $$

    with equality in the limit of large images, and for every image when windows do not overlap:
    $1 / p$. In two dimensions the matrix is a Kronecker product and the norms multiply.

    Args:
        pool_size: Tuple of positive ints, one for each axis.
        strides: Tuple of positive ints, one for each axis.

    Returns:
        float

    Example:

    >>> average_norm((2, 2), (2, 2))
    0.5
    >>> round(average_norm((3,), (2,)) ** 2, 6)   # (3 + 1 + 1) / 9
    0.555556
    """
    shared = math.prod(_shared(p, s) for p, s in zip(pool_size, strides, strict=True))
    return math.sqrt(shared) / math.prod(pool_size)


def window_overlap(pool_size, strides):
    """Number of windows that share one value at most: `prod(ceil(pool_size / strides))`.

    Example:

    >>> window_overlap((2, 2), (2, 2)), window_overlap((3, 3), (2, 2))
    (1, 4)
    """
    return math.prod(-(-p // s) for p, s in zip(pool_size, strides, strict=True))


def smooth_root(square, eps):
    r"""Turns $\|x\|^2$ into $\|(x, \epsilon)\| - \epsilon$, the norm with its tip rounded off.

    Appending a constant is an isometry, so as a function of $x$ this is 1-Lipschitz like the
    norm; it is at most $\epsilon$ below it, 0 at 0, and its gradient
    $x / \sqrt{\|x\|^2 + \epsilon^2}$ is finite everywhere.

    Args:
        square: Non-negative tensor.
        eps: Positive float whose square does not vanish in the tensor's dtype.

    Returns:
        Tensor shaped like `square`.

    Example:

    >>> from keras import ops
    >>> [round(float(v), 5) for v in smooth_root(ops.convert_to_tensor([0.0, 25.0]), 1e-6)]
    [0.0, 5.0]
    """
    # sqrt(s + e^2) - e = s / (sqrt(s + e^2) + e), which does not cancel near 0.
    return square / (ops.sqrt(square + eps**2) + eps)


def tiled_norms(images, pool_size, eps):
    """Smooth norms of windows that tile images, see `smooth_root`.

    Args:
        images: Tensor `(batch, height, width, channels)`.
        pool_size: Pair of ints that divide height and width.
        eps: As for `smooth_root`.

    Returns:
        Tensor `(batch, height / pool_size[0], width / pool_size[1], channels)`.

    Example:

    >>> from keras import ops
    >>> image = ops.reshape(ops.convert_to_tensor([1.0, -2.0, 2.0, 4.0]), (1, 2, 2, 1))
    >>> round(float(tiled_norms(image, (2, 2), 1e-6)[0, 0, 0, 0]), 4)
    5.0
    """
    _, height, width, channels = images.shape
    rows, columns = pool_size
    # Sums of long stretches of memory, which XLA reads faster than every other value.
    lines = (height // rows, rows, width // columns, columns * channels)
    squares = ops.reshape(ops.square(images), (-1, *lines))
    sums = sum(squares[:, :, i] for i in range(rows))
    sums = sum(sums[..., j * channels : (j + 1) * channels] for j in range(columns))
    return smooth_root(sums, eps)


def tiled_norms_gradient(images, norms, gradient, pool_size, eps):
    r"""Gradient with respect to the images, from that with respect to `tiled_norms`.

    The derivative of the norm $n$ is $x / (n + \epsilon)$.
    """
    _, height, width, channels = images.shape
    tiles = (height // pool_size[0], pool_size[0], width // pool_size[1], pool_size[1])
    shares = (gradient / (norms + eps))[:, :, None, :, None]
    return ops.reshape(ops.reshape(images, (-1, *tiles, channels)) * shares, ops.shape(images))


def _shared(pool, stride):
    """Sum over all windows of the number of values they share with one of them."""
    reach = (pool - 1) // stride
    return sum(pool - abs(d) * stride for d in range(-reach, reach + 1))
