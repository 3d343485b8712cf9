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


def other_sizes(layer: str, expected: str, received: Any) -> ValueError:
    """The `ValueError` of a layer, by its name, in a graph that calls it at other sizes.

    Example:

    >>> print(other_sizes("dense", "4 values", (None, 8)))
    Layer 'dense' cannot be certified: it was built for other sizes. Expected 4 values. Received: \
(None, 8)
    """
    return ValueError(
        f"Layer '{layer}' cannot be certified: it was built for other sizes. Expected {expected}. "
        f"Received: {tuple(received)}"
    )
