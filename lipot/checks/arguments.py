"""Checks of several arguments at once, and of those that may be left out."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def optional(check: Callable, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns `None` for `None`, and of every other value what `check` makes of it.

    Args:
        check: A check of a name and a value.
        name: Name of the argument.
        value: What was given for it.
        *args: Further arguments of `check`.
        **kwargs: Further keyword arguments of `check`.

    Example:

    >>> from lipot.checks.numbers import seed
    >>> print(optional(seed, "seed", None), optional(seed, "seed", 3))
    None 3
    """
    return None if value is None else check(name, value, *args, **kwargs)


def checked(checks: Mapping[str, Callable]) -> Callable:
    """Makes a function check its arguments first, each by its name.

    The function gets what the checks return: a size of NumPy's as an int, say. An argument without
    a check passes, and so does `None` where it is the default. Other defaults are checked too.

    Args:
        checks: For the name of each argument its check, a function of the name and the value.

    Returns:
        Decorator of functions.

    Example:

    >>> from lipot.checks.numbers import positive_int
    >>> @checked({"width": positive_int})
    ... def wide(width):
    ...     return 2 * width
    >>> wide(3)
    6
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            for name, value in given.arguments.items():
                default = signature.parameters[name].default
                if name in checks and (value is not None or default is not None):
                    given.arguments[name] = checks[name](name, value)
            return function(*given.args, **given.kwargs)

        return run

    return decorate
