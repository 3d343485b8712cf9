"""Checks of arguments that are numbers."""

from typing import Any

import numpy as np

from lipot.checks.errors import invalid


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


def _number(value: Any) -> float:
    """A float, or NaN for what is no number: a string that reads as one and a boolean are none."""
    if isinstance(value, str | bytes | bool | np.bool_):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
