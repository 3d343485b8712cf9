"""Exact, batched maximization of a concave quadratic over the probability simplex."""

from typing import Any, NamedTuple

from keras import ops

from lipot.math.precision import resolution


class SimplexSolution(NamedTuple):
    """The maximizer of a concave quadratic over the simplex.

    Attributes:
        weights: Maximizer, `(batch, K)`.
        face: Boolean mask of the active face, `(batch, K)`; the weights are zero elsewhere.
        gap: Bound on the suboptimality in units of the objective, `(batch,)`.
    """

    weights: Any
    face: Any
    gap: Any


def maximize_on_simplex(linear, gram, max_exchanges=None):
    r"""Solves one small quadratic program over the simplex for every batch entry.

    $$ \max_{\lambda \ge 0,\; \sum_i \lambda_i = 1}\; b \cdot \lambda
       - \tfrac{1}{2} \lambda^\top G \lambda $$

    A primal active-set method on a tableau: it starts at the best vertex, lets the index of the
    steepest ascent enter until the optimum on the face is reached or a weight hits zero, and
    exchanges one index per iteration, `K^2` operations each. Every finished entry strictly
    raises the objective, so no face repeats and the end is exact up to rounding. Affinely
    dependent points (singular `G`) need no special case: a direction without curvature is
    always stopped by a weight that reaches zero.

    The solution is differentiable in `linear` and `gram` by the implicit function theorem on
    the active face, almost everywhere.

    Args:
        linear: `b`, float tensor `(batch, K)`.
        gram: `G`, symmetric positive semidefinite, `(batch, K, K)`.
        max_exchanges: Exchanges after which to stop, by default 64 K + 256: an end for what rounds
            in circles, many times what data was seen to need.

    Returns:
        A `SimplexSolution`, whose `gap` tells where it was stopped before.

    Example:

    The projection of (2, 0) on the simplex is the vertex (1, 0).

    >>> solution = maximize_on_simplex(
    ...     ops.convert_to_tensor([[2.0, 0.0]]), ops.convert_to_tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    >>> [float(weight) for weight in solution.weights[0]]
    [1.0, 0.0]
    """
    frozen_linear, frozen_gram = ops.stop_gradient(linear), ops.stop_gradient(gram)
    state = _run(frozen_linear, frozen_gram, max_exchanges)
    face = state.basic
    weights = ops.where(face, ops.maximum(state.rhs, 0.0), 0.0)
    weights = ops.stop_gradient(weights / ops.sum(weights, axis=-1, keepdims=True))
    # On the face, T_BB is the derivative of the maximizer with respect to b: applied to the
    # residual b - G lambda it both removes the rounding left by the exchanges and carries the
    # derivative with respect to b and G.
    both = ops.logical_and(face[:, :, None], face[:, None, :])
    response = ops.stop_gradient(ops.where(both, state.tableau, 0.0))
    residual = linear - _apply(gram, weights)
    residual = residual - ops.stop_gradient(_masked_mean(residual, face))
    weights = weights + _apply(response, residual)
    gradient = frozen_linear - _apply(frozen_gram, ops.stop_gradient(weights))
    reached = ops.sum(gradient * ops.stop_gradient(weights), axis=-1)
    return SimplexSolution(weights, face, ops.max(gradient, axis=-1) - reached)


class _State(NamedTuple):
    """Exchange tableau: outputs = rhs - tableau @ inputs.

    Outputs are weights on basic rows and reduced gradients on the others; inputs the reverse.
    `entering` is the one-hot index whose weight is being raised to `level` (zero: none).
    """

    tableau: Any
    rhs: Any
    basic: Any
    entering: Any
    level: Any
    running: Any


def _run(linear, gram, most=None):
    count = gram.shape[-1]
    start, scale = _start_at_best_vertex(linear, gram)
    eps = resolution(linear)
    enough = 32.0 * eps * scale
    smallest_pivot = 256.0 * eps * scale

    def unfinished(*state):
        return ops.any(_State(*state).running)

    def step(*state):
        return tuple(_exchange(_State(*state), enough, smallest_pivot))

    most = 64 * count + 256 if most is None else most
    return _State(*ops.while_loop(unfinished, step, tuple(start), maximum_iterations=most))


def _start_at_best_vertex(linear, gram):
    """Translates the points so that the best vertex is the origin and makes it basic."""
    count = gram.shape[-1]
    diagonal = ops.sum(gram * ops.eye(count, dtype=gram.dtype), axis=-1)
    best = ops.one_hot(ops.argmax(linear - 0.5 * diagonal, axis=-1), count, dtype=gram.dtype)
    row = _apply(gram, best)
    corner = ops.sum(row * best, axis=-1, keepdims=True)
    # G_ij = <r_i, r_j>: replacing r by r - r_0 shifts b by -G_0i, up to a constant.
    gram = gram - row[:, :, None] - row[:, None, :] + corner[:, :, None]
    linear = linear - row
    linear = linear - ops.sum(linear * best, axis=-1, keepdims=True)
    # With the vertex basic: weight_0 = 1 - sum of the others, and the multiplier of the
    # constraint is minus the reduced gradient of the vertex, which then enters all others.
    others = 1.0 - best
    interior = gram * others[:, :, None] * others[:, None, :]
    tableau = (
        interior + best[:, :, None] * others[:, None, :] - others[:, :, None] * best[:, None, :]
    )
    diagonal = ops.sum(gram * ops.eye(count, dtype=gram.dtype), axis=-1)
    scale = ops.max(ops.maximum(diagonal, ops.abs(linear)), axis=-1)
    state = _State(
        tableau=tableau,
        rhs=linear * others + best,
        basic=best > 0.5,
        entering=ops.zeros_like(linear),
        level=ops.zeros_like(scale),
        running=scale > 0.0,
    )
    return state, scale


def _exchange(state, enough, smallest_pivot):
    """Raises the entering weight until the face optimum or a zero weight; swaps that index."""
    entering, running = _choose_entering(state, enough)
    slope = ops.sum(state.rhs * entering, axis=-1)
    alone = ops.sum(ops.cast(state.basic, slope.dtype), axis=-1) < 1.5
    column = _apply(state.tableau, entering)
    curvature = ops.sum(column * entering, axis=-1)
    missing = _missing_curvature(curvature, ops.maximum(slope, enough), alone)
    column, curvature = column + missing[:, None] * entering, curvature + missing
    flat = ops.logical_and(curvature <= smallest_pivot, ops.logical_not(alone))
    infinite = ops.full_like(slope, float("inf"))
    to_optimum = ops.where(flat, infinite, slope / ops.where(flat, 1.0, curvature))
    falls = ops.logical_and(state.basic, column > 0.0)
    ratios = ops.where(falls, state.rhs / ops.where(falls, column, 1.0), infinite[:, None])
    to_zero = ops.maximum(ops.min(ratios, axis=-1), state.level)
    blocked = to_zero < to_optimum
    leaving = ops.one_hot(ops.argmin(ratios, axis=-1), entering.shape[-1], dtype=column.dtype)
    swapped = ops.where(blocked[:, None], leaving, entering)
    pairs = entering[:, :, None] * entering[:, None, :]
    tableau = state.tableau + missing[:, None, None] * pairs
    tableau, rhs = _swap(tableau, state.rhs, swapped, running)
    live = running[:, None]
    still_entering = ops.logical_and(running, blocked)
    return _State(
        tableau=tableau,
        rhs=rhs,
        basic=ops.logical_xor(state.basic, ops.logical_and(live, swapped > 0.5)),
        entering=ops.where(still_entering[:, None], entering, 0.0),
        level=ops.where(still_entering, to_zero, 0.0),
        running=running,
    )


def _missing_curvature(curvature, least, alone):
    """What an edge from a vertex that is `alone` basic lacks of so much curvature.

    No vertex is better than the best, so that an edge is climbed to its end by rounding alone, and
    what is missing there is rounding too. The end would leave no basic weight, nor a pivot.
    """
    return ops.where(alone, ops.maximum(least - curvature, 0.0), 0.0)


def _choose_entering(state, enough):
    """Keeps the index already entering, else takes the steepest one, else stops."""
    pending = ops.any(state.entering > 0.5, axis=-1)
    slopes = ops.where(state.basic, float("-inf"), state.rhs)
    steepest = ops.one_hot(
        ops.argmax(slopes, axis=-1), slopes.shape[-1], dtype=state.entering.dtype
    )
    entering = ops.where(pending[:, None], state.entering, steepest)
    improvable = ops.logical_or(pending, ops.max(slopes, axis=-1) > enough)
    return entering, ops.logical_and(state.running, improvable)


def _swap(tableau, rhs, index, running):
    """Principal pivot: exchanges input and output `index` (one-hot) where `running`."""
    column = _apply(tableau, index)
    row = ops.einsum("bi,bij->bj", index, tableau)
    pivot = ops.sum(row * index, axis=-1)
    pivot = ops.where(running, pivot, 1.0)[:, None]
    on_row, on_column = index[:, :, None] > 0.5, index[:, None, :] > 0.5
    row = row / pivot
    new = ops.where(
        on_column, (-column / pivot)[:, :, None], tableau - column[:, :, None] * row[:, None, :]
    )
    corner = ops.where(on_column, (1.0 / pivot)[:, :, None], row[:, None, :])
    new = ops.where(on_row, corner, new)
    head = ops.sum(rhs * index, axis=-1, keepdims=True) / pivot
    new_rhs = ops.where(index > 0.5, head, rhs - column * head)
    live = running[:, None]
    return ops.where(live[:, :, None], new, tableau), ops.where(live, new_rhs, rhs)


def _apply(matrix, vector):
    return ops.einsum("bij,bj->bi", matrix, vector)


def _masked_mean(values, mask):
    mask = ops.cast(mask, values.dtype)
    return ops.sum(values * mask, axis=-1, keepdims=True) / ops.sum(mask, axis=-1, keepdims=True)
