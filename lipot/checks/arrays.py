"""Checks of arrays, of their shapes, and of labels."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from lipot.checks.errors import refused

# What to do about labels that are names, or numbers that do not count from 0.
NUMBERED = "np.unique(y, return_inverse=True)[1]"
CLASS_NUMBERS = f"class numbers, which {NUMBERED} makes of names"


def array(name: str, value: Any, expected: str) -> np.ndarray:
    """Returns `value` as an array with a batch axis, or raises: a dataset or generator is none.

    Args:
        name: Name of the argument.
        value: What was given for it.
        expected: What it must be, in words.

    Example:

    >>> array("x", [[0.5, 1.0]], "an array of points").shape
    (1, 2)
    """
    # Those of PyTorch may lie on another device, or be part of a differentiation.
    value = keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
    try:
        found = np.asarray(value)
    except ValueError as error:  # Rows of different lengths.
        raise refused(name, expected, _in_short(name, value)) from error
    if found.ndim == 0:
        raise refused(name, expected, _in_short(name, value))
    # NumPy does not know bfloat16 for a float; all of its numbers are float32 numbers.
    return found.astype("float32") if found.dtype.name == "bfloat16" else found


def fits(shape: Iterable, expected: Iterable) -> bool:
    """Whether a shape may be another one: where one of them leaves a size open, it may.

    >>> fits((2, None, 3), (None, 5, 3)), fits((2, 5), (None, 4)), fits((2, 5), (2,))
    (True, False, False)
    """
    shape, expected = tuple(shape), tuple(expected)
    pairs = zip(shape, expected)
    return len(shape) == len(expected) and all(n == m or None in (n, m) for n, m in pairs)


def labels(y: Any, samples: int, classes: int) -> np.ndarray:
    """Turns labels into class numbers, or raises naming what is wrong.

    Args:
        y: Labels of shape `(n,)` or `(n, 1)`, class numbers; `(n, q)`, one-hot with 0 or -1 as
            the low value. With one output unit (`classes` 1), {0, 1} or {-1, 1}.
        samples: Expected `n`.
        classes: Number of output units `q`.

    Returns:
        Integer array `(n,)`; of a binary classifier 0 or 1.

    Example:

    >>> labels([[0, 1, 0], [1, 0, 0]], 2, 3), labels([-1, 1], 2, 1)
    (array([1, 0]), array([0, 1]))
    """
    y = array("y", y, "an array of labels")
    one_hot = classes > 1 and y.shape == (samples, classes)
    if not one_hot and y.shape not in ((samples,), (samples, 1)):
        raise refused("y", f"shape ({samples},) or ({samples}, {classes})", f"shape {y.shape}")
    if y.dtype.kind not in "biuf":
        raise refused("y", CLASS_NUMBERS, f"dtype {y.dtype}")
    if not np.all(np.isfinite(y)):
        raise refused("y", "finite numbers", f"{np.sum(~np.isfinite(y))} NaN or infinite values")
    return _from_one_hot(y) if one_hot else _from_numbers(y.reshape(samples), classes)


def _in_short(name: str, value: Any) -> str:
    plain = isinstance(value, int | float | str | list | tuple)
    return f"{name}={value!r}"[:200] if plain else f"a {type(value).__name__}"


def _from_one_hot(y: np.ndarray) -> np.ndarray:
    found = set(np.unique(y))
    if not (found <= {0, 1} or found <= {-1, 1}) or np.any((y == 1).sum(axis=1) != 1):
        raise refused("y", "rows with a single 1 and otherwise 0 (or -1)", "other rows")
    return y.argmax(axis=1)


def _from_numbers(y: np.ndarray, classes: int) -> np.ndarray:
    found = np.unique(y)
    if classes == 1:
        if not (set(found) <= {0, 1} or set(found) <= {-1, 1}):
            raise refused("y", "{0, 1} or {-1, 1} for one output unit", f"values {found[:5]}")
        return (y > 0).astype(int)
    strange = found[(found != np.floor(found)) | (found < 0) | (found >= classes)]
    if len(strange):
        raise refused("y", f"class numbers from 0 to {classes - 1}", f"values {strange[:5]}")
    return y.astype(int)
