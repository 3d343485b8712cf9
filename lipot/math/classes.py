"""What the outputs of a classifier decide for, one unit being two classes."""

import numpy as np
from keras import ops


def classes_of(values, threshold=0.0):
    """Class numbers: the largest output, or whether the only one exceeds a threshold.

    Args:
        values: NumPy array `(n, units)` of what a classifier returned.
        threshold: What one output must exceed for class 1; 0.5 where it is a probability.

    Returns:
        Integer array `(n,)`.

    Example:

    >>> classes_of(np.array([[0.1, 0.9], [0.7, 0.3]])).tolist()
    [1, 0]
    >>> one = np.array([[-1.0], [0.25]])
    >>> classes_of(one).tolist(), classes_of(one, threshold=0.5).tolist()
    ([0, 1], [0, 0])
    """
    if values.shape[1] > 1:
        return np.argmax(values, axis=1)
    return (values[:, 0] > threshold).astype("int64")


def as_two_classes(values):
    """Logits of two classes or more: one output `f` becomes `(-f, f)`.

    Args:
        values: Tensor `(batch, units)`.

    Returns:
        Tensor `(batch, classes)`, that of more units as it is.

    Example:

    >>> ops.convert_to_numpy(as_two_classes(ops.array([[0.5], [-2.0]]))).tolist()
    [[-0.5, 0.5], [2.0, -2.0]]
    """
    return ops.concatenate([-values, values], axis=-1) if values.shape[-1] == 1 else values
