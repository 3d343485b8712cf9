"""Warnings that name the line of the user's own code."""

import os
import sys
import warnings

import keras

# Keras stands between the user and what lipot overrides.
_INSIDE = tuple(os.path.dirname(file) + os.sep for file in (__file__, keras.__file__))


def warn(message: str) -> None:
    """Warns, at the innermost line that is neither lipot's nor Keras's.

    A fixed `stacklevel` would name a line of lipot as soon as a subclass or a decorator stands
    between.

    Args:
        message: What is doubtful and what to do about it.

    Example:

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("Is that so?")
    >>> caught[0].message, caught[0].filename == warn.__code__.co_filename
    (UserWarning('Is that so?'), False)
    """
    # Level 1 is this line, level 2 the caller.
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
