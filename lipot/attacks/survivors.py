"""The one loop over what still stands: every attempt gets the points that those before it left."""

import numpy as np


def survivors(attempts, stands):
    """Yields each attempt with the points that stand as it begins.

    Args:
        attempts: Iterable of anything.
        stands: Callable from an attempt to a boolean array `(n,)`, asked anew before each, so
            that what the body of the loop breaks is left out afterwards.

    Yields:
        Pairs `(attempt, rows)`, `rows` the indices of the points; an attempt for which nothing
        stands is left out.

    Example:

    >>> standing = np.array([True, True, True])
    >>> for radius, rows in survivors([0, 1, 2, 3], lambda radius: standing):
    ...     print(radius, rows)
    ...     standing[rows] = rows > radius
    0 [0 1 2]
    1 [1 2]
    2 [2]
    """
    for attempt in attempts:
        rows = np.flatnonzero(stands(attempt))
        if len(rows):
            yield attempt, rows
