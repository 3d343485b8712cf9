"""Activations that sort or reflect: piecewise isometries, hence 1-Lipschitz."""

import keras
import numpy as np
from keras import ops

from lipot import backend


def max_min(x, axis=-1):
    r"""Splits each value into its positive and negative part: $(x_+, (-x)_+)$.

    Of two numbers the parts differ by $|a_+ - b_+| + |a_- - b_-| = |a - b|$ in total, so their
    squares sum to at most $(a - b)^2$.

    Args:
        x: Tensor.
        axis: Axis to double; all positive parts come first.

    Returns:
        Tensor twice as long along `axis`.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in max_min(ops.convert_to_tensor([2.0, -3.0]))]
    [2.0, 0.0, 0.0, 3.0]
    """
    return ops.concatenate([ops.relu(x), ops.relu(-x)], axis=axis)


def sort_pairs(x, axis=-1, neighbors=backend.sort_pairs):
    """Sorts each pair of neighbors, the smaller one first.

    Each value is compared with its partner and one of the two is kept. The Jacobian is then a
    permutation matrix everywhere: a minimum and a maximum would send both derivatives of a tie
    to the same value, a norm of sqrt(2), and ties are common (zero padding, blank images).

    Args:
        x: Tensor with an even length along `axis`.
        axis: Axis of the pairs.
        neighbors: What sorts pairs along the last axis, `lipot.backend.sort_pairs` or
            `sort_pairs_fused`.

    Returns:
        Tensor shaped like `x`; a NaN stays a NaN.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in sort_pairs(ops.convert_to_tensor([3.0, 1.0, -2.0, 5.0]))]
    [1.0, 3.0, -2.0, 5.0]
    """
    axis = axis % len(x.shape) - len(x.shape)
    if axis == -1 and not keras.utils.is_keras_tensor(x):
        return neighbors(x)
    partner = _ungroup(ops.flip(_group(x, 2, axis), axis=axis), x, axis)
    first = (np.arange(x.shape[axis]) % 2 == 0).reshape((-1,) + (1,) * (-1 - axis))
    keep = ops.where(first, ops.less_equal(x, partner), ops.greater_equal(x, partner))
    return ops.where(keep, x, partner)


def sort_groups(x, size, axis=-1, neighbors=backend.sort_pairs):
    """Sorts each group of `size` neighbors in ascending order.

    Sorting is 1-Lipschitz: by the rearrangement inequality sorted vectors are at least as close
    as unsorted ones. It moves floats and computes none, so it is exact in every precision.

    Args:
        x: Tensor whose length along `axis` is a multiple of `size`.
        size: Positive int, length of a group.
        axis: Axis of the groups.
        neighbors: As for `sort_pairs`.

    Returns:
        Tensor shaped like `x`.

    Reference:
        Anil, Lucas and Grosse, "Sorting out Lipschitz function approximation" (ICML 2019),
        section 4.1.

    Example:

    >>> from keras import ops
    >>> x = ops.convert_to_tensor([3.0, 1.0, 2.0, 0.0, -1.0, 7.0])
    >>> [float(v) for v in sort_groups(x, 3)]
    [1.0, 2.0, 3.0, -1.0, 0.0, 7.0]
    """
    axis = axis % len(x.shape) - len(x.shape)
    if size == 1:
        return x
    if size == 2:
        return sort_pairs(x, axis, neighbors)
    if size == x.shape[axis]:
        return ops.sort(x, axis=axis)
    return _ungroup(ops.sort(_group(x, size, axis), axis=axis), x, axis)


def householder(x, theta, axis=-1):
    r"""Reflects pairs that lie on the wrong side of a line through zero.

    Entry $i$ of the first half and of the second half form a pair $z$. With
    $v = (\sin\frac\theta2, -\cos\frac\theta2)$ it becomes $z - 2 (v^\top z)_+ v$: the identity
    on one side of the line of angle $\theta / 2$ and the reflection across it on the other.
    Both are isometries and agree on the line, so the map is 1-Lipschitz.

    Args:
        x: Tensor with an even length `2 n` along `axis`.
        theta: `(n,)`, angles. At $\pi / 2$ the pair is sorted.
        axis: Axis to split in halves.

    Returns:
        Tensor shaped like `x`.

    Reference:
        Singla, Singla and Feizi, "Improved deterministic l2 robustness on CIFAR-10 and
        CIFAR-100" (ICLR 2022).

    Example:

    >>> import math
    >>> from keras import ops
    >>> y = householder(ops.convert_to_tensor([3.0, 1.0]), ops.convert_to_tensor([math.pi / 2]))
    >>> [round(float(v), 4) for v in y]
    [1.0, 3.0]
    """
    axis = axis % len(x.shape) - len(x.shape)
    half_angle = ops.reshape(0.5 * theta, (-1,) + (1,) * (-1 - axis))
    sine, cosine = ops.sin(half_angle), ops.cos(half_angle)
    first, second = ops.split(x, 2, axis=axis)
    # A symbolic tensor comes first: JAX does not multiply by one.
    step = 2.0 * ops.relu(first * sine - second * cosine)
    return ops.concatenate([first - step * sine, second + step * cosine], axis=axis)


def _group(x, size, axis):
    """Splits a negative axis in groups; each group lies along the same axis of the result."""
    count = x.shape[axis] // size
    if not _has_shape(x):
        return ops.stack(ops.split(x, count, axis=axis), axis=0)
    if axis == -1:
        # One long axis of groups is faster to transpose than many short ones.
        return ops.reshape(x, (-1, size))
    shape = ops.shape(x)
    return ops.reshape(x, (-1, *shape[1:axis], count, size, *shape[axis + 1 :]))


def _ungroup(groups, x, axis):
    """Undoes `_group`, for groups of `x`."""
    if not _has_shape(x):
        return ops.concatenate(ops.unstack(groups, axis=0), axis=axis)
    return ops.reshape(groups, (-1, *ops.shape(x)[1:]))


def _has_shape(x):
    # A symbolic Keras tensor of unknown image size has no number to reshape to.
    return None not in ops.shape(x)[1:]
