"""What the outputs of a classifier decide for, one unit being two classes."""

import numpy as np
from keras import ops


def classes_of(values, threshold=0.0):
    """Class numbers: the largest output, or whether the only one exceeds a threshold.

    Args:
        values: NumPy array `(n, units)` of what a classifier returned.
        threshold: What one output must exceed for class 1; 0.5 where it is a probability.

    Returns:
        Integer array `(n,)`; -1, which is no class, where an output is NaN.

    Example:

    >>> classes_of(np.array([[0.1, 0.9], [0.7, 0.3], [np.nan, 0.0]])).tolist()
    [1, 0, -1]
    >>> one = np.array([[-1.0], [0.25]])
    >>> classes_of(one).tolist(), classes_of(one, threshold=0.5).tolist()
    ([0, 1], [0, 0])
    """
    if values.shape[1] > 1:
        classes = np.argmax(values, axis=1)
    else:
        classes = (values[:, 0] > threshold).astype("int64")
    return np.where(np.isnan(values).any(axis=1), -1, classes)


def misclassified(logits, labels):
    """Which rows of logits do not decide for their label; one with a NaN decides for none.

    Args:
        logits: Tensor `(batch, classes)`.
        labels: Class numbers `(batch,)`, int32.

    Returns:
        Bool tensor `(batch,)`.

    Example:

    >>> logits = ops.array([[2.0, 1.0], [float("nan"), 1.0], [0.0, 1.0]])
    >>> ops.convert_to_numpy(misclassified(logits, ops.array([0, 0, 0]))).tolist()
    [False, True, True]
    """
    other = ops.cast(ops.argmax(logits, axis=-1), "int32") != labels
    return ops.logical_or(other, ops.any(ops.isnan(logits), axis=-1))


def classified(logits, labels):
    """Which rows of logits decide for the likeliest class of their label; a NaN is never right.

    Args:
        logits: Tensor `(batch, classes)`.
        labels: Probabilities over the classes `(batch, classes)`, NaN where there is no label.

    Returns:
        Bool tensor `(batch,)`.

    Example:

    >>> nan = float("nan")
    >>> logits = ops.array([[2.0, 1.0], [nan, 1.0], [2.0, 1.0]])
    >>> labels = ops.array([[1.0, 0.0], [1.0, 0.0], [nan, nan]])
    >>> ops.convert_to_numpy(classified(logits, labels)).tolist()
    [True, False, False]
    """
    wrong = misclassified(logits, ops.cast(ops.argmax(labels, axis=-1), "int32"))
    return ops.logical_not(ops.logical_or(wrong, ops.any(ops.isnan(labels), axis=-1)))


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
