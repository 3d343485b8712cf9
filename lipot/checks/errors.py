"""The errors that checks of arguments raise."""

from typing import Any


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
