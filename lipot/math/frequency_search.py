r"""The supremum of a convolution's gain over all real frequencies, by branch and bound.

The squared gain for a vector `v` of the output side is a nonnegative trigonometric polynomial `p`
of degree `n_i` in the angle of axis `i` (`frequency_grids`). Let `B` be its supremum over all `v`
and all angles. On a line along axis `i` the inequality of Bernstein and Szegő for `q = 2 p / B - 1`
of degree `n_i` with `|q| <= 1` says `|q'| <= n_i (1 - q^2)^{1/2}`: with `p = B cos^2(theta)`, the
angle `theta` in `[0, pi / 2]` changes by at most `n_i / 2` for each unit of the way. From the place
`x` where `p = B` one way along each axis leads to any other place `c`, so

$$ p(c) \ge B \cos^2(\Sigma) , \qquad \Sigma = \tfrac{1}{2} (n_1 |x_1 - c_1| + n_2 |x_2 - c_2|)
   \le \tfrac{\pi}{2} . $$

Cells around centers `c` cover all angles, each with all places of some `Sigma` and less. Let `T` be
any number. Where the largest eigenvalue at a center is proven to be at most `T cos^2(Sigma)`, its
cell has no `p = B`, unless `B <= T`: the cell is dropped. The others are cut into smaller ones. In
the end `B` is at most the largest `T` used, or the largest eigenvalue at a center that is left over
`cos^2(Sigma)`. For `T` the largest value found so far is taken: near it a few cells are left at
each level, and far from it the first ones do.

A cell is `|x_1 - c_1| / h_1 + |x_2 - c_2| / h_2 <= 1`, where `n_i h_i` is the same on both axes.
Centers at those multiples of `h_i` whose sum is even cover the plane with half as many cells as
squares of the same `Sigma` do; four cells of half the size, moved by half of `h_i` along one axis,
cover one. On an axis that has few frequencies, all of them are looked at.

Reference:
    Szegő, "Über einen Satz des Herrn Serge Bernstein", Schriften der Königsberger Gelehrten
    Gesellschaft 5, 1928.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from lipot.math import hermitian_maximum

# What the search may leave between its bound and the largest gain found, as a share of the norm.
TOLERANCE = 5.5e-4
# Points of the first cells on each axis, over the degree; the second where the gain is flat.
_FIRST_POINTS = (16, 24)
# An estimate this close to a level is not worth a factorization: most are this much too small.
_NEARLY = 0.9995


class Cells(NamedTuple):
    """Cells of angles, all of one size.

    Attributes:
        centers: Angles `(cells, 2)`.
        sizes: `h_1` and `h_2`; zero on an axis all of whose frequencies are centers.
        sigma: The largest `Sigma` of a place in a cell.
    """

    centers: Any
    sizes: Any
    sigma: float

    @property
    def nearness(self):
        """`cos^2(Sigma)`, rounded down, with room for angles that were rounded."""
        return math.cos(self.sigma + 1e-11) ** 2 * (1.0 - 1e-14)

    def halved(self, chosen):
        """Cells of half the size that cover those chosen, by booleans."""
        sizes = self.sizes / 2
        moves = np.concatenate([[h, -h] for h in np.diag(sizes)[self.sizes > 0.0]])
        centers = (self.centers[chosen, None] + moves).reshape(-1, 2)
        return Cells(centers, sizes, self.sigma / 2)


def first_cells(axes, points, twist=0.0):
    """The cells that a search starts with, over half of all angles.

    A real kernel has conjugate blocks at opposite angles: half of one axis is enough.

    Args:
        axes: Two `AxisGrid`s.
        points: Even number, points for each degree on an axis that is searched.
        twist: Phase of the circle on an axis that is one, 0 or 0.5.
    """
    searched = np.array([bool(axis.degree) for axis in axes])
    counts = [
        points * axis.degree if search else axis.points for axis, search in zip(axes, searched)
    ]
    rows, columns = (
        n.ravel() for n in np.meshgrid(range(counts[0]), range(counts[1] // 2 + 1), indexing="ij")
    )
    places = np.stack([rows, columns], axis=1)
    places = places[(places * searched).sum(axis=1) % 2 == 0]
    steps = 2 * np.pi / np.array(counts)
    return Cells(
        (places + twist * ~searched) * steps,
        steps * searched,
        math.pi / points,
    )


def largest_over_all(symbol, axes, budget, twist=0.0):
    """Proven bound of the largest eigenvalue over all angles, or `None`.

    Args:
        symbol: A `GramSymbol`.
        axes: Two `AxisGrid`s, one of which at least stands for all real frequencies.
        budget: Number of matrices that may be looked at. Where the gain is nearly flat that
            is not enough, and the result `None`.
        twist: Phase of the circle on an axis that is one, 0 or 0.5.

    Returns:
        A number at most `(1 + TOLERANCE)^2` times the largest eigenvalue, up to rounding.
    """
    cells, found = _started(symbol, axes, twist)
    largest = bound = 0.0
    while math.cos(cells.sigma) * (1.0 + TOLERANCE) < 1.0:
        largest = max(largest, found.max())
        left, proven = _left_over(symbol, cells, found, largest * cells.nearness)
        bound = max(bound, proven / cells.nearness)
        if not left.any():
            return bound
        budget -= len(cells.centers)
        cells = cells.halved(left)
        if len(cells.centers) > budget:
            return None
        found = _values(symbol, cells)
    return max(bound, _largest(symbol, cells, found) / cells.nearness)


def _started(symbol, axes, twist):
    """The first cells that leave less than half of themselves, if any do, and their values."""
    for points in _FIRST_POINTS:
        cells = first_cells(axes, points, twist)
        found = _values(symbol, cells)
        if np.median(found) <= found.max() * cells.nearness:
            break
    return cells, found


def _values(symbol, cells):
    """Largest eigenvalues of small matrices at the centers of cells, estimates of large ones."""
    grams = symbol.matrices(cells.centers @ symbol.places.T)
    if symbol.large:
        return hermitian_maximum.estimated_eigenvalues(grams)
    return np.concatenate([np.linalg.eigvalsh(batch)[:, -1] for batch in grams])


def _largest(symbol, cells, found):
    """The largest eigenvalue at the centers of a few cells, proven; `found` are their values."""
    if not symbol.large:
        return found.max()
    angles = cells.centers[np.argsort(-found)] @ symbol.places.T
    return hermitian_maximum.proven_largest_eigenvalue(symbol.matrices(angles))


def _left_over(symbol, cells, found, level):
    """Which cells are not proven to lie below a level, and a bound of the others."""
    if not symbol.large:
        left = found > level
        return left, found[~left].max(initial=0.0)
    # The largest first, so that those that fail are together.
    tried = np.argsort(-found)
    tried = tried[found[tried] <= _NEARLY * level]
    left, bound, done = np.ones(len(found), bool), 0.0, 0
    angles = cells.centers[tried] @ symbol.places.T
    for grams in symbol.matrices(angles) if len(tried) else ():
        places = tried[done : done + len(grams)]
        left[places], proven = hermitian_maximum.unproven(grams, level)
        bound, done = max(bound, proven), done + len(grams)
    return left, bound
