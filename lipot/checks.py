"""Checks of arguments, with the grammar of Keras's own errors."""

import numpy as np


def positive_float(name, value):
    """Returns `value` as a float, or raises unless it is a positive finite number.

    Example:

    >>> positive_float("eps", 1)
    1.0
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 < number < float("inf"):
        raise invalid(name, "a positive finite number", value)
    return number


def positive_int(name, value):
    """Returns `value` as an int, or raises unless it is a positive integer.

    Example:

    >>> positive_int("units", 3)
    3
    """
    if not _is_positive_int(value):
        raise invalid(name, "a positive integer", value)
    return int(value)


def pair(name, value):
    """Returns a pair of ints from a positive integer or a pair of them.

    Example:

    >>> pair("strides", 2), pair("strides", (1, 2))
    ((2, 2), (1, 2))
    """
    both = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(both) != 2 or not all(map(_is_positive_int, both)):
        raise invalid(name, "a positive integer or a pair of positive integers", value)
    return tuple(map(int, both))


def choice(name, value, choices):
    """Returns `value`, or raises unless it is one of `choices`.

    Example:

    >>> choice("padding", "same", ("same", "valid"))
    'same'
    """
    if value not in choices:
        raise invalid(name, f"one of {tuple(choices)}", value)
    return value


def probability(name, value):
    """Returns `value` as a float, or raises unless it lies between 0 and 1.

    Example:

    >>> probability("rate", 0.25)
    0.25
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise invalid(name, "a number between 0 and 1", value)
    return number


def invalid(name, expected, value):
    """The `ValueError` of an argument that is not what it should be."""
    return ValueError(
        f"Invalid value received for argument `{name}`. Expected {expected}. "
        f"Received: {name}={value!r}"
    )


def _is_positive_int(value):
    return not isinstance(value, bool) and isinstance(value, int | np.integer) and value >= 1
