"""Largest squared gain of a convolution over the frequencies of a circle, or over all of them."""

import math

import numpy as np

from lipot.math.frequency_grids import grid_angles
from lipot.math.frequency_search import largest_over_all
from lipot.math.gram_symbol import gram_symbol
from lipot.math.hermitian_maximum import (
    estimated_eigenvalues,
    largest_eigenvalue,
    proven_largest_eigenvalue,
)

# A search may look at this many times the matrices of a plain grid, being far more exact.
_WORTH = 1.5


def largest_gram_eigenvalue(kernel, axes, twists=(0.0,)):
    """Largest squared singular value of a convolution, the least over some twists.

    Args:
        kernel: Array of shape `(kh, kw, cin, cout)` whose values are at most about one.
        axes: Two `AxisGrid`s.
        twists: Phases of 0 and 0.5 of the circles among the axes.

    Returns:
        The eigenvalue up to rounding, never below it by more than rounding does. It is at most
        1e-9 of itself above on circles; over all real frequencies the norm is at most 5.5e-4
        above, or where the gain is nearly flat what the factors of the axes say.
    """
    strides, dilation = ([axis[i] for axis in axes] for i in (1, 2))
    count = axes[0].points * (axes[1].points // 2 + 1)
    symbol = gram_symbol(kernel, strides, dilation, count * len(twists))
    if any(axis.degree for axis in axes):
        return min(_over_all(symbol, axes, twist, count) for twist in twists)
    return _on_circles(symbol, [grid_angles(symbol.places, axes, twist) for twist in twists])


def _over_all(symbol, axes, twist, count):
    """The supremum, by a search or where that would take longer from samples."""
    found = largest_over_all(symbol, axes, _WORTH * count, twist)
    if found is None:
        factor = math.prod(axis.factor for axis in axes)
        found = factor**2 * _on_circles(symbol, [grid_angles(symbol.places, axes, twist)])
    return found


def _on_circles(symbol, families):
    """The least of the largest eigenvalues of families of matrices, given by their angles."""
    least, largest, floors = math.inf, largest_eigenvalue, [0.0] * len(families)
    if symbol.large:
        largest = proven_largest_eigenvalue
        estimates = [estimated_eigenvalues(symbol.matrices(angles)) for angles in families]
        # In order of what the estimates promise: the least twist first, its largest matrix first.
        order = np.argsort([found.max() for found in estimates])
        families = [families[i][np.argsort(-estimates[i])] for i in order]
        floors = [estimates[i].max() for i in order]
    for angles, floor in zip(families, floors):
        # What reaches the least so far need not be finished, nor begun where that is known.
        if floor < least:
            least = min(least, largest(symbol.matrices(angles), least))
    return float(least)
