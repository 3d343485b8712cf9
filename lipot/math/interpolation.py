"""Convex integration: values of a smooth convex function with given gradients, and its gradient.

The functions here are the statement in the space of points; `lipot.math.potentials` is the same
in the space of inner products, whose size is the number of neighbors whatever the dimension.
"""

from typing import Any, NamedTuple

from keras import ops

from lipot import checks
from lipot.math import potentials as reduced_space
from lipot.math.potentials import per_problem
from lipot.math.precision import resolution, widest_float
from lipot.math.simplex import maximize_on_simplex


class Potentials(NamedTuple):
    """Values of a potential at the neighbors.

    Attributes:
        u: `(batch, K)` with `u[:, 0] = 0`, in the widest float type of the backend.
        feasible: Boolean `(batch,)`: whether `u` satisfies the conditions (15).
    """

    u: Any
    feasible: Any


class RelaxedPotentials(NamedTuple):
    """`Potentials`, and the number of steps that were needed, integer `(batch,)`."""

    u: Any
    feasible: Any
    steps: Any


class Evaluation(NamedTuple):
    """The smallest interpolant at the query.

    Attributes:
        gradient: The feature z', `(batch, d)`.
        value: The value v, `(batch,)`, on the scale where `u` is given.
    """

    gradient: Any
    value: Any


class Interpolation(NamedTuple):
    """Answer of the whole procedure for a query.

    Attributes:
        gradient: The feature z', `(batch, d)`.
        weights: Weight of each neighbor in it, `(batch, K)`.
        feasible: Whether some number of steps made the conditions solvable, `(batch,)`.
        steps: That number, integer `(batch,)`.
        gap: Bound of how far the value is from the optimum of (16), `(batch,)`.
    """

    gradient: Any
    weights: Any
    feasible: Any
    steps: Any
    gap: Any


def potentials(x, z, smoothness, convexity=0.0):
    r"""Finds values of an l-strongly convex, L-smooth function with gradients z at x.

    The conditions (15) are difference constraints $u_i \ge u_j + w_{ij}$ with

    $$ w_{ij} = \langle z_j, x_i - x_j\rangle + \tfrac{1}{2(1 - l/L)} \left(
       \tfrac{1}{L}|z_i - z_j|^2 + l\,|x_i - x_j|^2
       - 2\tfrac{l}{L}\langle z_j - z_i, x_j - x_i\rangle \right), $$

    decided exactly by the heaviest paths D of w. Every column of D and every negated row is a
    solution; their mean $u_i = \frac{1}{2K}\sum_j (D_{ij} - D_{ji})$ is one in the middle of the
    feasible set, and does not depend on the order of the neighbors.

    Args:
        x: Neighbors, float tensor `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        smoothness: L, a float or a `(batch,)` tensor, greater than `convexity`.
        convexity: l, likewise. A negative value allows weakly convex functions.

    Returns:
        `Potentials`. Where the data are not integrable, as one point with two features is at no
        L, `feasible` is false and `u` is the trapezoid rule
        $\frac{1}{2K}\sum_j \langle z_i + z_j, x_i - x_j\rangle$.

    Reference:
        Gai, Wang and Zhang, "OTAD", equation 15.

    Example:

    Half the square is convex and 1-smooth, and no smoother function has its gradients.

    >>> x = ops.convert_to_tensor([[[0.0], [1.0], [2.0]]])
    >>> result = potentials(x, x, smoothness=1.0)
    >>> [float(u) for u in result.u[0]], bool(result.feasible[0])
    ([0.0, 0.5, 2.0], True)
    >>> bool(potentials(x, x, smoothness=0.9).feasible[0])
    False
    """
    delta = reduced_space.differences(x, z)
    curvature = _curvature(smoothness, convexity)
    found = reduced_space.solve_conditions(reduced_space.reduce(delta, convexity), curvature)
    plane = _tangent_plane(delta, z, convexity)
    return Potentials(found.u + plane, found.feasible)


def relaxed_potentials(
    x, z, smoothness, convexity=0.0, *, smoothness_step, convexity_step, max_steps=4096
):
    """Finds potentials for the smallest t such that (L + t d1, l - t d2) is feasible.

    Args:
        x: Neighbors, float tensor `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        smoothness: L to start from, a float or a `(batch,)` tensor.
        convexity: l to start from, likewise.
        smoothness_step: d1, non-negative float.
        convexity_step: d2, non-negative float; l may become negative.
        max_steps: Positive integer at which to give up.

    Returns:
        `RelaxedPotentials`. Where `max_steps` do not help, `feasible` is false and `u` is the
        trapezoid rule, as in `potentials`.

    Reference:
        Gai, Wang and Zhang, "OTAD", algorithm 2.

    Example:

    >>> x = ops.convert_to_tensor([[[0.0], [1.0]]])
    >>> result = relaxed_potentials(
    ...     x, 3.0 * x, smoothness=1.0, smoothness_step=0.5, convexity_step=0.0)
    >>> int(result.steps[0])
    4
    """
    delta = reduced_space.differences(x, z)
    curvature = _curvature(smoothness, convexity)
    _, found = _relax(delta, curvature, convexity, smoothness_step, convexity_step, max_steps)
    return RelaxedPotentials(
        found.u + _tangent_plane(delta, z, convexity), found.feasible, found.steps
    )


def smallest_smoothness(x, z, convexity=0.0):
    """Finds the smallest L at which the conditions (15) hold, by bisection.

    Args:
        x: Neighbors, float tensor `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        convexity: l, a float or a `(batch,)` tensor.

    Returns:
        L, `(batch,)`: infinite where no l-strongly convex function has these gradients.

    Example:

    >>> x = ops.convert_to_tensor([[[0.0], [1.0], [2.0]]])
    >>> round(float(smallest_smoothness(x, 3.0 * x)[0]), 6)
    3.0
    >>> float(smallest_smoothness(x, -x)[0])
    inf
    """
    reduced = reduced_space.reduce(reduced_space.differences(x, z), convexity)
    curvature = reduced_space.smallest_curvature(reduced)
    return per_problem(convexity, 1) + curvature


def evaluate(query, x, z, u, smoothness, convexity=0.0):
    r"""Evaluates the smallest interpolant with potentials u, and its gradient, at the query.

    The problem (16) is a weighted smallest enclosing ball: with $p_i = z_i + l (x' - x_i)$,
    $m_i = u_i + \langle z_i, x' - x_i\rangle + \tfrac{l}{2}|x' - x_i|^2$ and $M = L - l$,

    $$ v = \min_{z'} \max_i \; m_i + \tfrac{1}{2M}|z' - p_i|^2
         = \max_{\lambda \in \Delta} \; \textstyle\sum_i \lambda_i
           \left( m_i + \tfrac{1}{2M}|p_i|^2 \right)
           - \tfrac{1}{2M}\left|\textstyle\sum_i \lambda_i p_i\right|^2 $$

    with $z' = \sum_i \lambda_i p_i$: K unknowns in any dimension. For any u whatever, v is
    L-smooth and l-strongly convex in the query, so the map from query to z' is
    max(L, |l|)-Lipschitz.

    Args:
        query: Float tensor `(batch, d)`.
        x: Neighbors, `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        u: Potentials, `(batch, K)`; best in the float type `potentials` returns.
        smoothness: L, a float or a `(batch,)` tensor, greater than `convexity`.
        convexity: l, likewise.

    Returns:
        `Evaluation`, differentiable almost everywhere in all tensors.

    Reference:
        Gai, Wang and Zhang, "OTAD", equation 16.

    Example:

    Between two points with features 0 and 1 the smallest 1-smooth interpolant has slope x.

    >>> x = ops.convert_to_tensor([[[0.0], [1.0]]])
    >>> u = potentials(x, x, smoothness=1.0).u
    >>> result = evaluate(ops.convert_to_tensor([[0.25]]), x, x, u, smoothness=1.0)
    >>> float(result.gradient[0, 0]), float(result.value[0])
    (0.25, 0.03125)
    """
    delta = reduced_space.differences(x, z)
    own = ops.cast(u, widest_float()) - _tangent_plane(delta, z, convexity)
    offset = _offset(query, x)
    reduced = reduced_space.reduce(delta, convexity)
    curvature = _curvature(smoothness, convexity)
    solution, value = _solve(offset, delta, reduced, own, curvature, convexity)
    base = ops.cast(z[:, 0], widest_float())
    plane = ops.sum((base + 0.5 * per_problem(convexity, 2) * offset) * offset, axis=-1)
    return Evaluation(_feature(solution.weights, query, offset, delta, z, convexity), value + plane)


def interpolate(
    query,
    x,
    z,
    smoothness,
    convexity=0.0,
    *,
    smoothness_step=0.0,
    convexity_step=0.0,
    max_steps=4096,
):
    """Answers queries from their neighbors: `relaxed_potentials`, then `evaluate` at (L, l).

    One graph that shares the inner products between the two halves.

    Args:
        query: Float tensor `(batch, d)`.
        x: Neighbors, `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        smoothness: L, a float greater than `convexity`.
        convexity: l, a float.
        smoothness_step: d1, non-negative float: what each relaxation adds to L.
        convexity_step: d2, non-negative float: what each relaxation takes from l.
        max_steps: Positive integer at which to stop relaxing.

    Returns:
        `Interpolation`.

    Reference:
        Gai, Wang and Zhang, "OTAD", algorithm 2.

    Example:

    >>> x = ops.convert_to_tensor([[[0.0, 0.0], [1.0, 0.0]]])
    >>> result = interpolate(ops.convert_to_tensor([[0.5, 3.0]]), x, 2.0 * x, smoothness=2.0)
    >>> [float(value) for value in result.gradient[0]]
    [1.0, 0.0]
    """
    delta = reduced_space.differences(x, z)
    curvature = _curvature(smoothness, convexity)
    reduced, found = _relax(delta, curvature, convexity, smoothness_step, convexity_step, max_steps)
    offset = _offset(query, x)
    solution, _ = _solve(offset, delta, reduced, found.u, curvature, convexity)
    gradient = _feature(solution.weights, query, offset, delta, z, convexity)
    return Interpolation(gradient, solution.weights, found.feasible, found.steps, solution.gap)


def settled(
    x, z, smoothness, convexity=0.0, *, smoothness_step=0.0, convexity_step=0.0, max_steps=4096
):
    r"""Says where `interpolate` takes the same number of steps however it is compiled.

    At the edge of feasibility the last bits decide, and with them which potentials a query gets.
    An inner product of d terms is off by at most $(d + 3) u$ of the product of the sizes. With S
    and T the largest $|x_i - x_0|$ and $|z_i - z_0| + |l| |x_i - x_0|$, an edge $w_{ij}$ is off by
    $2 (d + 7) u\, (S T + T^2 / M)$, and its addition to a path, none of which is longer than an
    edge before a positive cycle is found, by a few u of that. The weights of paths rise with those
    of edges, computed too: a bisection that ends at the same step with twice all this added and
    taken has met the same answers all the way, and so has every one between.

    Args:
        x: Neighbors, `(batch, K, d)`.
        z: Their features, `(batch, K, d)`.
        smoothness: L, a float greater than `convexity`.
        convexity: l, a float.
        smoothness_step: d1, non-negative float.
        convexity_step: d2, non-negative float.
        max_steps: Positive integer at which to stop relaxing.

    Returns:
        Boolean `(batch,)`.

    Example:

    >>> x = ops.convert_to_tensor([[[0.0], [1.0]]])
    >>> [bool(settled(x, x, smoothness)[0]) for smoothness in (1.1, 1.0 - 0.75e-9)]
    [True, False]
    """
    delta, curvature = reduced_space.differences(x, z), _curvature(smoothness, convexity)
    unit = 2.0 * (x.shape[-1] + 9) * resolution(delta.x)
    spreads = [ops.sqrt(ops.max(ops.sum(ops.square(p), axis=-1), axis=-1)) for p in delta]

    def lost(t):
        bent = spreads[1] + (abs(convexity) + convexity_step * t) * spreads[0]
        wide = curvature + (smoothness_step + convexity_step) * t
        return unit * bent * (spreads[0] + bent / wide)

    relaxations = smoothness_step, convexity_step, max_steps
    _, low = _relax(delta, curvature, convexity, *relaxations, lambda t: -lost(t))
    _, high = _relax(delta, curvature, convexity, *relaxations, lost)
    same = ops.equal(low.feasible, high.feasible)
    return ops.logical_and(same, ops.equal(low.steps, high.steps))


def _curvature(smoothness, convexity):
    if isinstance(smoothness, (int, float)) and isinstance(convexity, (int, float)):
        if not smoothness > convexity:
            raise checks.refused(
                "smoothness",
                "a float greater than `convexity`",
                f"smoothness={smoothness}, convexity={convexity}",
            )
        return float(smoothness) - float(convexity)
    return per_problem(smoothness, 1) - per_problem(convexity, 1)


def _relax(
    delta,
    curvature,
    convexity,
    smoothness_step,
    convexity_step,
    max_steps,
    added=lambda t: None,
):
    """Returns the unrelaxed reduced problem and potentials of the first feasible relaxation."""
    reduced = reduced_space.reduce(delta, convexity)
    if smoothness_step + convexity_step == 0:
        return reduced, reduced_space.solve_conditions(reduced, curvature, added(0.0))
    xx = reduced_space.gram(delta.x, delta.x) if convexity_step else None
    found = reduced_space.relax_conditions(
        reduced,
        xx,
        curvature,
        smoothness_step=smoothness_step,
        convexity_step=convexity_step,
        max_steps=max_steps,
        added=added,
    )
    return reduced, found


def _tangent_plane(delta, z, convexity):
    """What the reduction takes out of the potential at the neighbors, `(batch, K)`."""
    base = ops.cast(z[:, :1], delta.x.dtype)
    if reduced_space.is_zero(convexity):
        return ops.sum(base * delta.x, axis=-1)
    return ops.sum((base + 0.5 * per_problem(convexity, 3) * delta.x) * delta.x, axis=-1)


def _offset(query, x):
    return ops.cast(query, widest_float()) - ops.cast(x[:, 0], widest_float())


def _solve(offset, delta, reduced, u, curvature, convexity):
    """Solves (16) in reduced coordinates; returns the simplex solution and the reduced value."""
    slope = ops.einsum("bkd,bd->bk", delta.z, offset)
    if not reduced_space.is_zero(convexity):
        l = per_problem(convexity, 2)
        slope = slope - l * ops.einsum("bkd,bd->bk", delta.x, offset)
    curvature = per_problem(curvature, 2)
    own = reduced_space.diagonal(reduced.zz) / (2.0 * curvature)
    linear = u + slope - reduced_space.diagonal(reduced.zx) + own
    quadratic = reduced.zz / per_problem(curvature, 3)
    solution = maximize_on_simplex(linear, quadratic)
    bent = ops.einsum("bij,bj->bi", quadratic, solution.weights)
    return solution, ops.sum(solution.weights * (linear - 0.5 * bent), axis=-1)


def _feature(weights, query, offset, delta, z, convexity):
    """Forms `z' = z_0 + l (x' - x_0) + sum_i weight_i (dz_i - l dx_i)` in the query's type."""
    feature = ops.cast(z[:, 0], weights.dtype) + ops.einsum("bk,bkd->bd", weights, delta.z)
    if not reduced_space.is_zero(convexity):
        shift = offset - ops.einsum("bk,bkd->bd", weights, delta.x)
        feature = feature + per_problem(convexity, 2) * shift
    return ops.cast(feature, query.dtype)
