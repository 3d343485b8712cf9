"""Feasibility of convex integration, in the K-dimensional space of inner products.

Subtracting the tangent plane of the first neighbor and `convexity / 2 |x - x_0|^2` turns
F_{l,L} into F_{0,L-l} exactly. What remains of the data are inner products of differences from
the first neighbor, kept in the widest float type so that no digits cancel.
"""

from typing import Any, NamedTuple

from keras import ops

from lipot.math.max_plus import max_plus_closure
from lipot.math.precision import resolution, widest_float


class Differences(NamedTuple):
    """Neighbors and features minus the first neighbor's, each `(batch, K, d)`."""

    x: Any
    z: Any


class Reduced(NamedTuple):
    """Data of the equivalent problem in F_{0,L-l}, with `z~ = z - z_0 - l (x - x_0)`.

    Attributes:
        zx: `<z~_i, x_j - x_0>`, `(batch, K, K)`.
        zz: `<z~_i, z~_j>`, `(batch, K, K)`.
    """

    zx: Any
    zz: Any


class ReducedPotentials(NamedTuple):
    """Attributes:
    u: Potential values in reduced coordinates, `(batch, K)`.
    feasible: Boolean `(batch,)`.
    steps: Relaxation steps taken, integer `(batch,)`.
    """

    u: Any
    feasible: Any
    steps: Any


def differences(x, z):
    """Subtracts the first neighbor and its feature in the widest float type, where it is exact."""
    x, z = ops.cast(x, widest_float()), ops.cast(z, widest_float())
    return Differences(x - x[:, :1], z - z[:, :1])


def gram(left, right):
    """Returns inner products of rows, `(batch, I, d), (batch, J, d) -> (batch, I, J)`."""
    return ops.matmul(left, ops.transpose(right, (0, 2, 1)))


def reduce(delta, convexity):
    """Forms the inner products of the problem without strong convexity."""
    zx, zz = gram(delta.z, delta.x), gram(delta.z, delta.z)
    if is_zero(convexity):
        return Reduced(zx, zz)
    return shift(Reduced(zx, zz), gram(delta.x, delta.x), convexity)


def shift(reduced, xx, convexity):
    """Takes `convexity / 2 |x - x_0|^2` more out of the potential (negative: puts it back)."""
    l = per_problem(convexity, 3)
    both = reduced.zx + ops.transpose(reduced.zx, (0, 2, 1))
    # <z - l x, x'> and <z - l x, z' - l x'> for differences x, z.
    return Reduced(reduced.zx - l * xx, reduced.zz - l * both + l * l * xx)


def solve_conditions(reduced, curvature, added=None):
    """Solves the difference constraints for one `curvature = L - l` per problem.

    Args:
        reduced: `Reduced`.
        curvature: `L - l`, a float or `(batch,)`.
        added: What to add to the weight of each edge, `(batch,)`, or `None`.
    """
    slopes, lengths = _constraint_terms(reduced)
    weights = slopes + lengths / (2.0 * per_problem(curvature, 3))
    if added is not None:
        weights = weights + added[:, None, None] * (
            1.0 - ops.eye(weights.shape[-1], dtype=added.dtype)
        )
    closure = max_plus_closure(weights)
    feasible = closure.worst_cycle <= _tolerance(reduced, curvature)
    # Columns of the closure and negated rows are solutions; so is their mean. Unlike the row
    # maximum it is the same whichever tangent plane was subtracted.
    central = 0.5 * (ops.mean(closure.paths, axis=2) - ops.mean(closure.paths, axis=1))
    u = ops.where(feasible[:, None], central, _trapezoid(reduced))
    return ReducedPotentials(u - u[:, :1], feasible, ops.zeros_like(feasible, dtype="int32"))


def relax_conditions(
    reduced, xx, curvature, *, smoothness_step, convexity_step, max_steps, added=lambda t: None
):
    """Finds the fewest steps `(L + t d1, l - t d2)` that make the conditions solvable.

    Feasibility is monotone in t, so galloping and bisection give what counting up would. `added` is
    that of `solve_conditions`, as a function of t.
    """
    widening = smoothness_step + convexity_step

    def at(steps):
        t = ops.cast(steps, reduced.zz.dtype)
        moved = shift(reduced, xx, -convexity_step * t) if convexity_step else reduced
        return solve_conditions(moved, curvature + widening * t, added(t))

    def probe(low, high):
        return ops.where(high > max_steps, ops.minimum(2 * low + 2, max_steps), (low + high) // 2)

    def unfinished(low, high):
        return ops.any(high - low > 1)

    def halve(low, high):
        middle = probe(low, high)
        open_ = high - low > 1
        fits = at(middle).feasible
        return (
            ops.where(ops.logical_and(open_, ops.logical_not(fits)), middle, low),
            ops.where(ops.logical_and(open_, fits), middle, high),
        )

    nothing_tried = ops.full((ops.shape(reduced.zz)[0],), -1, dtype="int32")
    never = ops.full_like(nothing_tried, max_steps + 1)
    _, steps = ops.while_loop(unfinished, halve, (nothing_tried, never))
    steps = ops.minimum(ops.stop_gradient(steps), max_steps)
    found = at(steps)
    # Back to the coordinates of the unrelaxed convexity: u~_t - u~ = t d2 / 2 |x - x_0|^2.
    t = ops.cast(steps, reduced.zz.dtype)[:, None]
    u = found.u - 0.5 * convexity_step * t * diagonal(xx) if convexity_step else found.u
    return ReducedPotentials(u, found.feasible, steps)


def smallest_curvature(reduced):
    """Bisects for the smallest feasible `L - l` of every problem; infinite where there is none."""
    slopes, lengths = _constraint_terms(reduced)
    two_cycle = -(slopes + ops.transpose(slopes, (0, 2, 1)))
    distinct = lengths > 0.0
    # The pair (i, j) alone needs 1 / (2 M) <= two_cycle / (2 |z_i - z_j|^2).
    bound = ops.where(distinct, two_cycle / (2.0 * ops.where(distinct, lengths, 1.0)), float("inf"))
    high = ops.min(bound, axis=(1, 2))
    bounded = high < float("inf")
    high = ops.where(bounded, ops.maximum(high, 0.0), 1.0)

    def halve(low, high):
        middle = 0.5 * (low + high)
        fits = solve_conditions(reduced, 0.5 / ops.maximum(middle, 1e-30)).feasible
        return ops.where(fits, middle, low), ops.where(fits, high, middle)

    fits = solve_conditions(reduced, 0.5 / ops.maximum(high, 1e-30)).feasible
    low = ops.where(ops.logical_and(fits, high > 0.0), high, 0.0)
    low, _ = ops.fori_loop(0, 60, lambda _, state: halve(*state), (low, high))
    flat = ops.where(ops.all(ops.logical_not(distinct), axis=(1, 2)), 0.0, float("inf"))
    curvature = ops.where(low > 0.0, 0.5 / ops.where(low > 0.0, low, 1.0), float("inf"))
    return ops.where(bounded, curvature, ops.cast(flat, curvature.dtype))


def diagonal(matrix):
    """Returns the diagonals, `(batch, K, K) -> (batch, K)`."""
    return ops.sum(matrix * ops.eye(matrix.shape[-1], dtype=matrix.dtype), axis=-1)


def per_problem(value, rank):
    """Casts a float or `(batch,)` tensor to the widest type, ready to broadcast over problems."""
    if isinstance(value, (int, float)):
        # A cast would pass through float32 first and round L and l.
        return ops.convert_to_tensor(value, dtype=widest_float())
    value = ops.cast(value, widest_float())
    return ops.reshape(value, (-1,) + (1,) * (rank - 1)) if len(value.shape) else value


def is_zero(value):
    """Whether `value` is known to be zero before anything is computed."""
    return isinstance(value, (int, float)) and value == 0


def _constraint_terms(reduced):
    """Splits `w_ij` into `<z~_j, x_i - x_j>` and the factor `|z~_i - z~_j|^2` of 1 / (2 (L-l))."""
    slopes = ops.transpose(reduced.zx, (0, 2, 1)) - diagonal(reduced.zx)[:, None, :]
    squares = diagonal(reduced.zz)
    lengths = squares[:, :, None] + squares[:, None, :] - 2.0 * reduced.zz
    return slopes, ops.maximum(lengths, 0.0)


def _trapezoid(reduced):
    """Mean over j of the trapezoid rule for the change of the potential from x_j to x_i."""
    own = diagonal(reduced.zx)
    mutual = ops.transpose(reduced.zx, (0, 2, 1)) - reduced.zx
    return 0.5 * ops.mean(own[:, :, None] - own[:, None, :] + mutual, axis=2)


def _tolerance(reduced, curvature):
    # Rounding of the inner products, with a margin of 2^22 in float64 and 2^6 in float32.
    eps = resolution(reduced.zz)
    relative = 1e-9 if eps < 1e-12 else 64.0 * eps
    largest = ops.max(diagonal(reduced.zz), axis=-1) / (2.0 * per_problem(curvature, 1))
    return relative * (largest + ops.max(ops.abs(reduced.zx), axis=(1, 2)))
