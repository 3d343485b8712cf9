"""Checks of arguments, with the grammar of Keras's own errors."""

import os
import pathlib
from collections.abc import Hashable, Iterable
from typing import Any

import keras
import numpy as np

# What to do about labels that are names, or numbers that do not count from 0.
NUMBERED = "np.unique(y, return_inverse=True)[1]"
CLASS_NUMBERS = f"class numbers, which {NUMBERED} makes of names"


def positive_float(name: str, value: Any, most: float | None = None) -> float:
    """Returns `value` as a float, or raises unless it is a positive finite number.

    Args:
        name: Name of the argument.
        value: What was given for it.
        most: Largest number allowed, or `None`.

    Example:

    >>> positive_float("eps", 1)
    1.0
    """
    number = _number(value)
    if not 0.0 < number < float("inf") or (most is not None and number > most):
        expected = "a positive finite number" if most is None else f"a number in (0, {most}]"
        raise invalid(name, expected, value)
    return number


def nonnegative_float(name: str, value: Any, infinite: bool = False) -> float:
    """Returns `value` as a float, or raises unless it is zero or more.

    Args:
        name: Name of the argument.
        value: What was given for it.
        infinite: Whether infinity will do.

    Example:

    >>> nonnegative_float("weight", 0)
    0.0
    """
    number = _number(value)
    if not number >= 0.0 or (number == float("inf") and not infinite):
        expected = "number (inf allowed)" if infinite else "finite number"
        raise invalid(name, f"a non-negative {expected}", value)
    return number


def finite_float(name: str, value: Any, expected: str = "a finite number") -> float:
    """Returns `value` as a float, or raises unless it is a finite number.

    Args:
        name: Name of the argument.
        value: What was given for it.
        expected: What it must be, in words.

    Example:

    >>> finite_float("clip_min", -1)
    -1.0
    """
    number = _number(value)
    if not np.isfinite(number):
        raise invalid(name, expected, value)
    return number


def probability(name: str, value: Any) -> float:
    """Returns `value` as a float, or raises unless it lies between 0 and 1.

    Example:

    >>> probability("rate", 0.25)
    0.25
    """
    number = _number(value)
    if not 0.0 <= number <= 1.0:
        raise invalid(name, "a number between 0 and 1", value)
    return number


def integer(
    name: str,
    value: Any,
    expected: str = "an integer",
    *,
    least: float = -np.inf,
    most: float = np.inf,
) -> int:
    """Returns `value` as Python's own int, or raises unless it is an integer in a range.

    Args:
        name: Name of the argument.
        value: What was given for it.
        expected: What it must be, in words.
        least: Smallest integer allowed.
        most: Largest integer allowed.

    Example:

    >>> integer("seed", 3, "an integer from 0 to 9", least=0, most=9)
    3
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise invalid(name, expected, value)
    return int(value)


def seed(name: str, value: Any) -> int:
    """Returns `value` as an int, or raises unless every generator takes it for a seed.

    Example:

    >>> seed("seed", 0)
    0
    """
    return integer(name, value, "an integer from 0 to 2**31", least=0, most=2**31)


def positive_int(name: str, value: Any) -> int:
    """Returns `value` as an int, or raises unless it is a positive integer.

    Example:

    >>> positive_int("units", 3)
    3
    """
    return integer(name, value, "a positive integer", least=1)


def nonnegative_int(name: str, value: Any) -> int:
    """Returns `value` as an int, or raises unless it is an integer, zero or more.

    Example:

    >>> nonnegative_int("seed", 0)
    0
    """
    return integer(name, value, "a non-negative integer", least=0)


def pair(name: str, value: Any) -> tuple[int, int]:
    """Returns a pair of ints from a positive integer or a pair of them.

    Example:

    >>> pair("strides", 2), pair("strides", (1, 2))
    ((2, 2), (1, 2))
    """
    both = (value, value) if np.ndim(value) == 0 else tuple(value)
    try:
        first, second = (positive_int(name, one) for one in both)
    except ValueError as error:
        raise invalid(name, "a positive integer or a pair of positive integers", value) from error
    return first, second


def boolean(name: str, value: Any) -> bool:
    """Returns `value`, or raises unless it is a boolean.

    Example:

    >>> boolean("use_bias", True)
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise invalid(name, "a boolean", value)
    return bool(value)


def path(name: str, value: Any, expected: str = "the path of a file") -> pathlib.Path:
    """Returns `value` as a path, or raises unless it is text or a path that names something.

    Example:

    >>> path("file", "runs/first.npz").name
    'first.npz'
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise invalid(name, expected, value)
    return pathlib.Path(value)


def folder(name: str, value: Any, expected: str = "the path of a folder") -> pathlib.Path:
    """Returns the path of a folder, or raises where there is none and none can be made.

    Example:

    >>> folder("resume", "runs/first").name
    'first'
    """
    found = path(name, value, expected)
    for place in (found, *found.parents):
        if place.is_file():
            raise refused(name, expected, f"{name}={value!r}, where {place} is a file")
    return found


def data_format(name: str, value: Any) -> str:
    """Returns where images have their channels, Keras's global setting for `None`.

    Example:

    >>> data_format("data_format", "channels_first")
    'channels_first'
    """
    value = keras.config.image_data_format() if value is None else value
    return choice(name, value, ("channels_last", "channels_first"))


def choice(name: str, value: Any, choices: Iterable) -> Any:
    """Returns `value`, or raises unless it is one of `choices`.

    Example:

    >>> choice("padding", "same", ("same", "valid"))
    'same'
    """
    # An array is not hashable, and compares value by value.
    if not isinstance(value, Hashable) or value not in tuple(choices):
        raise invalid(name, f"one of {tuple(choices)}", value)
    return value


def norm(name: str, value: Any) -> int | str:
    """Returns 2 or `"inf"`, or raises unless `value` names one of these two norms.

    Args:
        name: Name of the argument.
        value: `2`, `"2"` or `"l2"`; `"inf"`, `"linf"` or `np.inf`; capitals as you like.

    Example:

    >>> norm("norm", "Linf"), norm("norm", np.inf), norm("norm", "l2"), norm("norm", 2)
    ('inf', 'inf', 2, 2)
    """
    known: dict[Any, int | str] = {"2": 2, "l2": 2, 2.0: 2}
    known |= {"inf": "inf", "linf": "inf", np.inf: "inf"}
    key = value.lower() if isinstance(value, str) else _number(value)
    if key not in known:
        raise invalid(name, '2 (or "l2") or "inf" (or "linf")', value)
    return known[key]


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


def instance(name: str, value: Any, kind: Any, expected: str) -> Any:
    """Returns `value`, or raises unless it is of a class.

    Args:
        name: Name of the argument.
        value: What was given for it.
        kind: A class, or a union of classes; `Attack | None` lets `None` pass.
        expected: What the argument must be, in words.

    Example:

    >>> instance("name", "dense", str | None, "a string or None")
    'dense'
    """
    if not isinstance(value, kind):
        raise invalid(name, expected, value)
    return value


def fits(shape: Iterable, expected: Iterable) -> bool:
    """Whether a shape may be another one: where one of them leaves a size open, it may.

    >>> fits((2, None, 3), (None, 5, 3)), fits((2, 5), (None, 4)), fits((2, 5), (2,))
    (True, False, False)
    """
    shape, expected = tuple(shape), tuple(expected)
    pairs = zip(shape, expected)
    return len(shape) == len(expected) and all(n == m or None in (n, m) for n, m in pairs)


def built_model(name: str, value: Any) -> Any:
    """Returns `value`, or raises unless it is a Keras model that has its weights.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> built_model("encoder", model) is model
    True
    """
    instance(name, value, keras.Model, "a Keras model: load a file with load_model")
    if not value.built:
        raise invalid(name, "a built model: give it an input shape or call it on data", value)
    return value


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


def invalid(name: str, expected: str, value: Any) -> ValueError:
    """The `ValueError` of an argument that is not what it should be."""
    return refused(name, expected, f"{name}={value!r}")


def refused(name: str, expected: str, received: str) -> ValueError:
    """The `ValueError` of an argument, with what came in words: arrays and models print badly.

    Example:

    >>> print(refused("x", "finite numbers", "3 that are not"))
    Invalid value received for argument `x`. Expected finite numbers. Received: 3 that are not
    """
    return ValueError(
        f"Invalid value received for argument `{name}`. Expected {expected}. Received: {received}"
    )


def _in_short(name: str, value: Any) -> str:
    plain = isinstance(value, int | float | str | list | tuple)
    return f"{name}={value!r}"[:200] if plain else f"a {type(value).__name__}"


def _number(value: Any) -> float:
    """A float, or NaN for what is no number: a string that reads as one and a boolean are none."""
    if isinstance(value, str | bytes | bool | np.bool_):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


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
