r"""How far a query can move before a search in floating point may return other neighbors.

The search scores all points in float32, measures the best `K + SPARE` of them again and keeps K.
Here all distances are computed again in float64. Where a query moves by at most $\rho$, a point i
inside the set and j outside stay in order as long as

$$ d_j^2 - d_i^2 - 2 \rho\, |c_i - c_j| $$

exceeds what the second look can confuse, and no neighbor drops out of the first look as long as
the point in place `K + SPARE + 1` keeps its distance from the K-th in spite of rounded scores.
"""

from typing import NamedTuple

import numpy as np

from lipot import checks
from lipot.math.neighbors import SPARE
from lipot.math.precision import widest_float
from lipot.math.rounding import accumulated, float_format
from lipot.models.training_points import squared_norms

_ROUNDOFF = 2.0**-53
# Points whose distances are computed at once.
_BLOCK = 4096
# Queries for which all points are gone through once.
_QUERIES = 512
_TINY = 1e-300


class SetRadii(NamedTuple):
    """How far queries can move, `(n,)` each: with rounding counted, and in exact arithmetic."""

    proven: np.ndarray
    exact: np.ndarray


class _Around(NamedTuple):
    """What lies around some queries, in float64.

    Attributes:
        indices: Points measured one by one, nearest first, `(n, m)`.
        distances: Their distances, `(n, m)`.
        rest: Lower bound of the distance to all other points, `(n,)`.
        sizes: Norms of the queries, `(n,)`.
    """

    indices: np.ndarray
    distances: np.ndarray
    rest: np.ndarray
    sizes: np.ndarray


def set_radii(codes, norms, queries, found, spare):
    """Bounds how far queries can move in the space of the search with the same neighbors.

    Args:
        codes: What is searched, float32 `(points, d)`: an array, or what gives one for rows.
        norms: Squared norms that the search uses, `(points,)`, likewise.
        queries: Where the search sees the queries, float32 `(n, d)`.
        found: Points that the search returned, integer `(n, K)`.
        spare: Points beyond the K that are looked at one by one.

    Returns:
        `SetRadii`; 0 where the search did not return the K nearest.
    """
    _check_norms(codes, norms)
    count = found.shape[1]
    if len(codes) <= count:
        everywhere = np.full(len(queries), np.inf)
        return SetRadii(everywhere, everywhere)
    wanted = min(count + max(int(spare), SPARE + 1), len(codes))
    # As many queries at once as 2^25 numbers of their points allow.
    step = max(1, min(64, 2**25 // (wanted * codes.shape[1])))
    parts = []
    for start in range(0, len(queries), _QUERIES):
        group = queries[start : start + _QUERIES].astype("float64")
        nearest, rest = _look_over(codes, group, wanted)
        for i in range(0, len(group), step):
            rows = slice(i, i + step)
            around = _measured(codes, group[rows], nearest[rows], rest[rows])
            parts.append(_radii(codes, around, found[start : start + _QUERIES][rows]))
    return SetRadii(*(np.concatenate(column) for column in zip(*parts)))


def _radii(codes, around, found):
    count, dimension = found.shape[1], codes.shape[1]
    near, out = around.distances[:, count - 1], around.distances[:, count:]
    inside = around.distances[:, :count]
    chosen = codes[around.indices].astype("float64")
    apart = _distances_between(chosen[:, :count], chosen[:, count:])
    gaps = out[:, None, :] ** 2 - inside[:, :, None] ** 2
    exact = np.min(gaps / (2.0 * apart), axis=(1, 2), initial=np.inf)
    exact = np.maximum(np.minimum(exact, (around.rest - near) / 2.0), 0.0)
    # The second look, of the model and here.
    machine = float_format(widest_float())
    measured = accumulated(dimension + 6, machine.roundoff) + (dimension + 6) * _ROUNDOFF
    blur = measured * (
        inside[:, :, None] ** 2 + out[:, None, :] ** 2 + 2.0 * exact[:, None, None] ** 2
    )
    blur = 2.0 * blur + 4.0 * dimension * machine.smallest
    proven = np.min((gaps - blur) / (2.0 * apart), axis=(1, 2), initial=np.inf)
    proven = np.minimum(proven, _kept_apart(near, around.rest, exact, measured))
    if len(codes) > count + SPARE:
        last = np.minimum(around.distances[:, count + SPARE], around.rest)
        proven = np.minimum(proven, _first_look(near, last, exact, around.sizes, dimension))
    same = np.all(np.sort(found, axis=1) == np.sort(around.indices[:, :count], axis=1), axis=1)
    sound = same & np.isfinite(proven) & (around.sizes + last_distance(around) < 1e18)
    return np.where(sound, np.maximum(proven, 0.0), 0.0), exact


def last_distance(around):
    """Distance of the farthest point measured, beyond which no product may overflow."""
    return around.distances[:, -1]


def _look_over(codes, queries, wanted):
    """Points to measure, `(n, wanted)`, and a lower bound of the distance to all others, `(n,)`."""
    sizes = np.linalg.norm(queries, axis=1)[:, None]
    rest, kept = np.full(len(queries), np.inf), []
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK].astype("float64")
        lengths = squared_norms(block)
        squares = sizes**2 + lengths - 2.0 * queries @ block.T
        rounding = 2.0 * (codes.shape[1] + 8) * _ROUNDOFF * (sizes + np.sqrt(lengths)) ** 2
        places = np.broadcast_to(np.arange(start, start + len(block)), squares.shape)
        kept.append((squares, squares - rounding, places))
        columns = [np.hstack(column) for column in zip(*kept)]
        if columns[0].shape[1] > wanted:
            order = np.argpartition(columns[0], wanted - 1, axis=1)
            columns = [np.take_along_axis(column, order, axis=1) for column in columns]
            rest = np.minimum(rest, columns[1][:, wanted:].min(axis=1))
        kept = [tuple(column[:, :wanted] for column in columns)]
    return kept[0][2], np.sqrt(np.maximum(rest, 0.0))


def _measured(codes, queries, indices, rest):
    """`_Around` of queries, the points to measure given."""
    shifts = codes[indices].astype("float64") - queries[:, None]
    distances = np.linalg.norm(shifts, axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    return _Around(
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
        rest,
        np.linalg.norm(queries, axis=1),
    )


def _distances_between(inside, outside):
    """Upper bounds of the distances `(n, K, m)`: they divide a radius."""
    lengths = np.sum(inside**2, axis=-1)[:, :, None], np.sum(outside**2, axis=-1)[:, None, :]
    products = inside @ np.swapaxes(outside, 1, 2)
    rounding = 4.0 * (inside.shape[-1] + 8) * _ROUNDOFF * (lengths[0] + lengths[1])
    squares = np.maximum(lengths[0] + lengths[1] - 2.0 * products, 0.0) + rounding
    return np.maximum(np.sqrt(squares), _TINY)


def _kept_apart(near, rest, reach, measured):
    """Motion up to which points not measured here stay outside, in spite of the second look."""
    finite = np.where(np.isfinite(rest), rest, 0.0)
    blur = measured * (finite**2 + (near + reach) ** 2) / (2.0 * np.maximum(finite + near, _TINY))
    return np.where(np.isfinite(rest), (rest - near) / 2.0 - blur, np.inf)


def _first_look(near, last, reach, sizes, dimension):
    r"""Motion up to which no neighbor drops out of the `K + SPARE` best scores.

    A score, whichever way it is computed, is off by at most $\gamma (|q| + |c|)^2$. What is
    farther than `last` has a larger error, but its distance grows faster.
    """
    machine = float_format("float32")
    chain, size = accumulated(dimension + 8, machine.roundoff), sizes + reach
    blur = chain * ((2.0 * size + near + reach) ** 2 + (2.0 * size + last) ** 2)
    blur = blur + 8.0 * dimension * machine.smallest
    if chain > 0.2:
        return np.zeros_like(near)
    return (last - near) / 2.0 - blur / (2.0 * np.maximum(last + near, _TINY))


def _check_norms(codes, norms):
    expected = np.concatenate(
        [
            squared_norms(codes[i : i + _BLOCK].astype("float64"))
            for i in range(0, len(codes), _BLOCK)
        ]
    )
    smallest = float_format("float32").smallest
    if not np.all(np.abs(norms[:] - expected) <= 2.0**-22 * expected + smallest):
        raise checks.refused(
            "model",
            "stored norms that are those of the stored codes",
            "others; call adapt() again after changing them.",
        )
