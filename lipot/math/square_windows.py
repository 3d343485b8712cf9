"""The windows Square changes, and what it writes into them under an l2 budget."""

import math

import numpy as np


def window_sides(share, height, width):
    """Rows and columns of a square window that covers a share of an image.

    Where the image is one pixel wide, as a vector is, the window is a segment of it.

    Args:
        share: Float in `(0, 1]`.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        `(rows, columns)`, at least one each.

    Example:

    >>> window_sides(0.8, 28, 28), window_sides(0.1, 50, 1)
    ((25, 25), (5, 1))
    """
    if width == 1:
        return max(round(share * height), 1), 1
    side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
    return side, side


def odd_window_sides(share, height, width):
    """`window_sides`, at least three and odd as the l2 attack needs them, as far as they fit.

    Example:

    >>> odd_window_sides(0.001, 28, 28), odd_window_sides(0.8, 8, 8), odd_window_sides(1.0, 2, 2)
    ((3, 3), (7, 7), (1, 1))
    """
    side = max(window_sides(share, height, width)[0], 3)
    longest = height if width == 1 else min(height, width)
    side = min(side + (side + 1) % 2, longest - (longest + 1) % 2)
    return side, min(side, width)


def bump(height, width):
    r"""A window of Euclidean norm one that falls off around its centre.

    At Chebyshev distance $r$ from the centre it is proportional to $\sum_{m \geq r} (m + 1)^{-2}$,
    with the sum up to the half of the longer side.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        NumPy array `(height, width)`.

    Reference:
        Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack
        via random search", equation 2.

    Example:

    >>> window = bump(3, 3)
    >>> float(round(window[1, 1] / window[0, 1], 6))  # (1 + 1/4) / (1/4)
    5.0
    """
    # tails[r] = sum of (m + 1)^-2 from m = r to the end
    squares = 1.0 / np.arange(1, max(height, width) // 2 + 2) ** 2
    tails = np.cumsum(squares[::-1])[::-1]
    rows, columns = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    window = tails[np.maximum(rows[:, None], columns[None, :])]
    return window / max(np.linalg.norm(window), 1e-12)


def two_bumps(height, width):
    """A window of Euclidean norm one: a bump in its upper half, a negative one in its lower.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        NumPy array `(height, width)`.

    Reference:
        Andriushchenko et al., section 4.2.

    Example:

    >>> [float(round(value, 4)) for value in two_bumps(2, 1)[:, 0]]
    [0.7071, -0.7071]
    """
    upper = height // 2
    window = np.concatenate([bump(upper, width), -bump(height - upper, width)])
    return window / np.linalg.norm(window)


def tiling(length):
    """Splits one side of an image into about five tiles: `(start, tile, number)`.

    Example:

    >>> tiling(28), tiling(8), tiling(3)
    ((1, 5, 5), (0, 1, 8), (0, 1, 3))
    """
    tile = max(length // 5, 1)
    number = length // tile
    return (length - tile * number) // 2, tile, number
