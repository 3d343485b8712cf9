r"""Exponentials of skew-symmetric convolutions, truncated.

A convolution with stride 1 whose kernel is the opposite of its adjoint's is a skew-symmetric map
$A$, on a circle and with zeros around the image. Its eigenvalues are $i\theta$ with
$|\theta| \le \|A\|$, so that $e^A$ is orthogonal. As $A$ is normal, the norm of the truncated
series is its largest value on the eigenvalues, and by Taylor's theorem

$$ \Bigl| \sum_{k < n} \frac{(i\theta)^k}{k!} \Bigr|
   \le |e^{i\theta}| + \frac{|\theta|^n}{n!} \le 1 + \frac{\|A\|^n}{n!} . $$
"""

import math

import numpy as np
from keras import ops

from lipot.math.rounding import UP


def adjoint_kernel(kernel):
    """Kernel of the adjoint of a convolution with odd sizes: turned around, channels exchanged.

    Example:

    >>> from keras import ops
    >>> kernel = ops.reshape(ops.arange(3.0), (1, 3, 1, 1))
    >>> [float(v) for v in ops.ravel(adjoint_kernel(kernel))]
    [2.0, 1.0, 0.0]
    """
    # One axis at a time: Keras 3.12 on TensorFlow takes no more.
    turned = ops.flip(ops.flip(kernel, axis=0), axis=1)
    return ops.transpose(turned, (0, 1, 3, 2))


def skew_kernel(kernel):
    """Subtracts from a kernel that of its adjoint.

    Example:

    >>> from keras import ops
    >>> kernel = ops.reshape(ops.convert_to_tensor([0.0, 0.0, 1.0]), (1, 3, 1, 1))
    >>> [float(v) for v in ops.ravel(skew_kernel(kernel))]
    [-1.0, 0.0, 1.0]
    """
    # Rounding is symmetric in the sign: the result is skew to the last bit.
    return kernel - adjoint_kernel(kernel)


def truncated_exponential(linear_map, inputs, terms):
    r"""First terms of $e^A x = \sum_k A^k x / k!$.

    Args:
        linear_map: Function of a batch, $A$.
        inputs: Batch $x$.
        terms: Positive int, number of terms of the series.

    Returns:
        Batch like `inputs`.

    Reference:
        Singla and Feizi, "Skew orthogonal convolutions" (ICML 2021).

    Example:

    >>> from keras import ops
    >>> value = truncated_exponential(lambda x: 1.0 * x, ops.ones((1,)), terms=4)
    >>> round(float(value[0]), 4)    # 1 + 1 + 1/2 + 1/6
    2.6667
    """
    term = total = inputs
    for k in range(1, terms):
        term = linear_map(term) / k
        total = total + term
    return total


def shift_bound(kernel):
    r"""Bounds a convolution's norm on images of every size, in float64.

    The convolution takes each image to its patches, which hold a value `kh kw` times at most,
    and each patch to an output by the kernel read as a matrix.

    Args:
        kernel: Array `(kh, kw, channels, filters)`.

    Example:

    >>> import numpy as np
    >>> round(shift_bound(np.ones((3, 3, 1, 1))), 6)
    9.0
    """
    kernel = np.asarray(kernel, "float64")
    matrix = kernel.reshape(-1, kernel.shape[3])
    norm = float(np.linalg.norm(matrix, 2)) * (1.0 + 1e-12 * len(matrix))
    return math.sqrt(math.prod(kernel.shape[:2])) * norm


def exponential_bound(kernel, terms):
    r"""Guaranteed norm of the truncated exponential of a convolution, in float64.

    With the skew part $A$ and the rest $E$ of the convolution $L$, the norm is at most
    $1 + \|A\|^n / n! + \|E\| e^{\|L\|}$: powers of $L$ and $A$ differ by
    $\|L^k - A^k\| \le k \|L\|^{k-1} \|E\|$. A kernel of `skew_kernel` has $E = 0$.

    Args:
        kernel: Array `(kh, kw, channels, channels)`, of odd sizes.
        terms: Positive int $n$.

    Returns:
        The bound, a float, for images of every size.

    Example:

    >>> import numpy as np
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]]).reshape(1, 1, 2, 2)
    >>> round(exponential_bound(turn, terms=4), 6)    # 1 + 1 / 4!
    1.041667
    """
    kernel = np.asarray(kernel, "float64")
    adjoint = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    rest = shift_bound(0.5 * (kernel + adjoint))
    norm = shift_bound(kernel)
    # Far beyond the range of any layer, where floats would overflow.
    if norm > 100.0:
        return math.inf
    truncation = norm**terms / math.factorial(terms)
    return (1.0 + truncation + rest * math.exp(norm)) * UP
