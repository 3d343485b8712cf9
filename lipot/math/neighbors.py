"""Exact nearest neighbors in l2, by one matrix product and a second look at the best."""

from typing import Any, NamedTuple

from keras import ops

from lipot import checks
from lipot.math.precision import widest_float

# Candidates beyond those asked for, whose distances are computed again without cancellation.
SPARE = 8
# Points that are scored at once.
_BLOCK = 65536


class Neighbors(NamedTuple):
    """Nearest points of a set, nearest first.

    Attributes:
        indices: Rows of the set, integer `(batch, count)`.
        distances: `(batch, count)`, in the widest float type of the backend.
    """

    indices: Any
    distances: Any


def nearest_neighbors(queries, points, squared_norms, count, parts=1):
    r"""Finds the nearest points to each query.

    $|x - p|^2 = |x|^2 - 2\,x \cdot p + |p|^2$ ranks all points with one matrix product; the
    rounding of that form is taken out by measuring the differences to the best few again. Far
    from the origin it cancels more than that can mend: subtract the mean of the points from both.
    Points are scored in blocks of which the best are kept: memory is of the order of
    `batch * (65536 + n / 65536 * count + count * d)` numbers beside the points.

    Args:
        queries: Float tensor `(batch, d)`.
        points: `(n, d)`.
        squared_norms: `|p|^2` of the points, `(n,)`.
        count: Number of neighbors; all points where it exceeds n.
        parts: Over how many devices the points are spread, row after row. Each searches its own,
            and of what they find the nearest are kept. They must divide n.

    Returns:
        `Neighbors`, with `min(count, n)` columns.

    Example:

    >>> points = ops.convert_to_tensor([[0.0], [1.0], [5.0]])
    >>> found = nearest_neighbors(
    ...     ops.convert_to_tensor([[0.9]]), points, ops.sum(points**2, axis=1), 2)
    >>> [int(i) for i in found.indices[0]], [round(float(d), 3) for d in found.distances[0]]
    ([1, 0], [0.1, 0.9])
    """
    total = points.shape[0]
    count = min(count, total)
    queries = ops.stop_gradient(ops.convert_to_tensor(queries))
    wanted = min(count + SPARE, total)
    if parts == 1:
        _, candidates = _best(queries, points, squared_norms, wanted)
    else:
        candidates = _best_of_parts(queries, points, squared_norms, wanted, parts)
    return sort_by_distance(queries, points, candidates, count)


def _best(queries, points, squared_norms, wanted):
    """Scores and rows of the points with the best scores, `2 x (batch, wanted)`."""
    total, best, candidates = points.shape[0], [], []
    for start in range(0, total, _BLOCK):
        block, norms = points[start : start + _BLOCK], squared_norms[start : start + _BLOCK]
        scores = 2.0 * ops.matmul(queries, ops.transpose(block)) - norms
        values, places = ops.top_k(scores, min(wanted, block.shape[0]))
        # A zero that has to be waited for: a program may score all blocks before it ranks one.
        queries = queries + ops.cast(ops.minimum(places[:, :1], 0), queries.dtype)
        best.append(values)
        candidates.append(places + start)
    if len(best) == 1:
        return best[0], candidates[0]
    return _merged(ops.concatenate(best, axis=1), ops.concatenate(candidates, axis=1), wanted)


def _best_of_parts(queries, points, squared_norms, wanted, parts):
    size, width = points.shape[0] // parts, points.shape[1]
    if points.shape[0] % parts:
        raise checks.invalid("parts", f"a divisor of {points.shape[0]} points", parts)
    spread = ops.reshape(points, (parts, size, width)), ops.reshape(squared_norms, (parts, size))
    # Mapped over, each part stays where it is; only what it found travels.
    best, candidates = ops.vectorized_map(
        lambda part: _best(queries, *part, min(wanted, size)), spread
    )
    first = size * ops.arange(parts, dtype=candidates.dtype)
    candidates = candidates + first[:, None, None]
    joined = [
        ops.reshape(ops.transpose(found, (1, 0, 2)), (-1, parts * found.shape[2]))
        for found in (best, candidates)
    ]
    return _merged(*joined, wanted)[1]


def _merged(scores, candidates, wanted):
    # Of equal scores the first is kept, as among all at once: blocks and parts are in order.
    scores, places = ops.top_k(scores, wanted)
    return scores, ops.take_along_axis(candidates, places, axis=1)


def sort_by_distance(queries, points, candidates, count):
    """Measures candidate points exactly and keeps the nearest.

    Args:
        queries: Float tensor `(batch, d)`.
        points: `(n, d)`.
        candidates: Rows of `points`, integer `(batch, m)`.
        count: Number to keep, at most m.

    Returns:
        `Neighbors`.

    Example:

    >>> points = ops.convert_to_tensor([[0.0], [1.0], [5.0]])
    >>> found = sort_by_distance(
    ...     ops.convert_to_tensor([[4.0]]), points, ops.convert_to_tensor([[0, 2]]), 1)
    >>> int(found.indices[0, 0])
    2
    """
    wide = widest_float()
    chosen = ops.cast(ops.take(points, candidates, axis=0), wide)
    shifts = chosen - ops.cast(queries, wide)[:, None]
    squares = ops.sum(ops.square(shifts), axis=-1)
    negated, order = ops.top_k(-squares, count)
    return Neighbors(
        ops.take_along_axis(candidates, order, axis=1), ops.sqrt(ops.maximum(-negated, 0.0))
    )
