"""Reading labels: integers, one-hot rows, or the two signs of a binary classifier."""

import numpy as np


def class_numbers(y, samples, classes):
    """Turns labels into class numbers, or raises naming what is wrong.

    Args:
        y: Labels of shape `(n,)` or `(n, 1)`, class numbers; `(n, q)`, one-hot with 0 or -1 as
            the low value. With one output unit (`classes` 1), {0, 1} or {-1, 1}.
        samples: Expected `n`.
        classes: Number of output units `q`.

    Returns:
        Integer array `(n,)`; of a binary classifier 0 or 1.

    Example:

    >>> class_numbers([[0, 1, 0], [1, 0, 0]], 2, 3), class_numbers([-1, 1], 2, 1)
    (array([1, 0]), array([0, 1]))
    """
    labels = np.asarray(y)
    one_hot = classes > 1 and labels.shape == (samples, classes)
    if not one_hot and labels.shape not in ((samples,), (samples, 1)):
        raise _invalid(f"shape ({samples},) or ({samples}, {classes})", f"shape {labels.shape}")
    if labels.dtype.kind not in "biuf":
        raise _invalid("numbers", f"dtype {labels.dtype}")
    if not np.all(np.isfinite(labels)):
        raise _invalid("finite numbers", f"{np.sum(~np.isfinite(labels))} NaN or infinite values")
    if one_hot:
        return _from_one_hot(labels)
    labels = labels.reshape(samples)
    found = np.unique(labels)
    if classes == 1:
        if not (set(found) <= {0, 1} or set(found) <= {-1, 1}):
            raise _invalid("{0, 1} or {-1, 1} for one output unit", f"values {found[:5]}")
        return (labels > 0).astype(int)
    strange = found[(found != np.floor(found)) | (found < 0) | (found >= classes)]
    if len(strange):
        raise _invalid(f"class numbers from 0 to {classes - 1}", f"values {strange[:5]}")
    return labels.astype(int)


def _from_one_hot(labels):
    found = set(np.unique(labels))
    if not (found <= {0, 1} or found <= {-1, 1}) or np.any((labels == 1).sum(axis=1) != 1):
        raise _invalid("rows with a single 1 and otherwise 0 (or -1)", "other rows")
    return labels.argmax(axis=1)


def _invalid(expected, received):
    return ValueError(
        f"Invalid value received for argument `y`. Expected {expected}. Received: {received}"
    )
