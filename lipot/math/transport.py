"""Optimal transport between two batches: sliced, entropic, and in semi-dual form."""

from typing import NamedTuple

import keras
from keras import ops

from lipot import backend, checks, notices
from lipot.math.divergences import squared_euclidean_cost, unit


class SlicedTransport(NamedTuple):
    """Transport of one batch onto another along random lines.

    Attributes:
        cost: `(n,)`, for each source point the squared displacement averaged over the lines.
        movement: `(n, d)`, for each source point the sum of its displacements (eq. 10 of OTJR).
    """

    cost: object
    movement: object

    @property
    def value(self):
        """Squared sliced 2-Wasserstein distance, estimated on these lines."""
        return ops.mean(self.cost)


class EntropicTransport(NamedTuple):
    """Solution of an entropic transport problem between uniform measures.

    Attributes:
        plan: `(n, m)` transport plan; no gradient flows through it.
        row_values: `(n,)`, the share of each source point in the regularized value, times `n`.
        row_costs: `(n,)`, its share in the transport cost alone, times `n`.
        marginal_error: Scalar, by how much the columns of the plan miss `1/m` in all. The rows
            sum to `1/n` whatever it is; where it is not small the iterations were too few.
    """

    plan: object
    row_values: object
    row_costs: object
    marginal_error: object

    @property
    def value(self):
        """Transport cost plus `eps` times the entropy term: by the dual, never too high."""
        return ops.mean(self.row_values)

    @property
    def cost(self):
        """Transport cost of the plan, without the entropy term."""
        return ops.mean(self.row_costs)


def sphere_directions(dimension, count, seed=None):
    """Draws directions uniformly on the unit sphere.

    Args:
        dimension: Dimension `d` of the space.
        count: Number of directions.
        seed: Integer or `keras.random.SeedGenerator`.

    Returns:
        Tensor `(dimension, count)` with columns of norm one.
    """
    normal = keras.random.normal((dimension, count), seed=seed)
    return normal / ops.norm(normal, axis=0, keepdims=True)


def sliced_wasserstein(source, target, directions):
    r"""Transports one batch onto another along lines, where transport is sorting.

    $$SW_2^2 = \frac{1}{K n} \sum_{k=1}^{K} \sum_{i=1}^{n}
        \bigl| (\tau_1^{-1} \tau_2 R_k \nu)_i - (R_k \mu)_i \bigr|^2$$

    where $R_k$ projects on direction $k$ and $\tau_1$, $\tau_2$ sort the two projections.

    Args:
        source: Points `mu`, `(n, d)`.
        target: Points `nu`, `(n, d)`.
        directions: Unit columns `(d, projections)`, see `sphere_directions`.

    Returns:
        A `SlicedTransport`.

    Reference:
        OTJR (Le et al.), equations 9 and 10.

    Example:

    >>> from keras import ops
    >>> line = ops.array([[1.0]])
    >>> result = sliced_wasserstein(ops.array([[0.0], [5.0]]), ops.array([[7.0], [1.0]]), line)
    >>> [float(step) for step in result.movement[:, 0]], float(result.value)
    ([1.0, 2.0], 2.5)
    """
    if source.shape[0] is not None and target.shape[0] not in (None, source.shape[0]):
        raise checks.refused(
            "target",
            f"as many points as `source` has, {source.shape[0]}",
            f"target.shape={tuple(target.shape)}",
        )
    source_on_lines = ops.transpose(ops.matmul(source, directions))  # (projections, n)
    target_on_lines = ops.transpose(ops.matmul(target, directions))
    # The rank of a point is the inverse permutation of the sort: argsort of argsort.
    rank = ops.argsort(ops.argsort(source_on_lines, axis=-1), axis=-1)
    matched = ops.take_along_axis(ops.sort(target_on_lines, axis=-1), rank, axis=-1)
    displacement = matched - source_on_lines
    return SlicedTransport(
        cost=ops.mean(ops.square(displacement), axis=0),
        movement=ops.matmul(ops.transpose(displacement), ops.transpose(directions)),
    )


def movement_directions(movement):
    r"""Normalizes movements to $\Delta_i = m_i / \|m_i\|_2$; a point that stays gets zero.

    Args:
        movement: Tensor `(n, d)`.

    Returns:
        Tensor `(n, d)` whose rows have norm one or zero.

    Reference:
        OTJR (Le et al.), equation 11.
    """
    return unit(movement)


def sinkhorn(cost, *, eps, iterations):
    r"""Solves entropic optimal transport between uniform measures, in the log domain.

    $$\min_{P \in U(1/n, 1/m)} \langle P, C \rangle
        + \epsilon\, KL\bigl(P \,\|\, \tfrac{1}{n}\tfrac{1}{m}\bigr)$$

    The gradient with respect to `cost` is the plan itself (envelope theorem), so nothing is
    differentiated through the iterations. `eps` is lowered to its value over the first half of
    them, and what rows or columns of the cost have in common is taken out before: float32 then
    holds costs of any multiple of `eps`.

    Args:
        cost: Tensor `(n, m)`.
        eps: Strength of the entropic term.
        iterations: Number of Sinkhorn iterations.

    Returns:
        An `EntropicTransport`. Where its `marginal_error` is above 0.01 a warning says so, unless
        a program is being traced.

    Example:

    >>> from keras import ops
    >>> cost = ops.array([[0.0, 9.0], [9.0, 0.0]])
    >>> round(float(sinkhorn(cost, eps=0.1, iterations=20).cost), 4)
    0.0
    """
    fixed = ops.stop_gradient(cost)
    row_offsets = ops.min(fixed, axis=1)
    fixed = fixed - row_offsets[:, None]
    column_offsets = ops.min(fixed, axis=0)
    fixed = fixed - column_offsets[None]
    f, g = _potentials(fixed, eps, iterations)
    log_columns = ops.log(ops.cast(ops.shape(cost)[1], fixed.dtype))
    # The plan times n, of which a softmax lets every row sum to one.
    log_weights = ops.log_softmax((g[None] - fixed) / eps, axis=1)
    weights = ops.stop_gradient(ops.exp(log_weights))
    excess = 1.0 - ops.mean(weights, axis=0) * ops.cast(ops.shape(cost)[1], fixed.dtype)
    row_costs = ops.sum(weights * cost, axis=1)
    # log(m w) = (f + g - C) / eps: the dual value is the primal one plus what the columns lack.
    missing = ops.mean((g + column_offsets) * excess)
    density = ops.where(weights > 0.0, log_weights + log_columns, 0.0)
    entropy = eps * ops.sum(weights * ops.stop_gradient(density), axis=1)
    error = ops.mean(ops.abs(excess))
    _warn_unless_converged(error, eps, iterations)
    return EntropicTransport(
        plan=weights / ops.cast(ops.shape(cost)[0], fixed.dtype),
        row_values=row_costs + entropy + ops.stop_gradient(missing),
        row_costs=row_costs,
        marginal_error=error,
    )


def _potentials(cost, eps, iterations):
    """Alternates between the conditions on the columns and on the rows, `(n,)` and `(m,)`."""
    columns = ops.log(ops.cast(ops.shape(cost)[1], cost.dtype))
    rows = ops.log(ops.cast(ops.shape(cost)[0], cost.dtype))
    lowering = max(iterations // 2, 1)
    start = ops.maximum(ops.max(cost), eps)

    def iterate(step, potentials):
        f, g = potentials
        share = ops.minimum(ops.cast(step + 1, cost.dtype) / lowering, 1.0)
        now = ops.maximum(start * (eps / start) ** share, eps)
        g = now * (rows - ops.logsumexp((f[:, None] - cost) / now, axis=0))
        f = now * (columns - ops.logsumexp((g[None, :] - cost) / now, axis=1))
        return f, g

    zeros = ops.zeros_like(cost[:, 0]), ops.zeros_like(cost[0])
    return ops.fori_loop(0, iterations, iterate, zeros)


def _warn_unless_converged(error, eps, iterations):
    if backend.is_concrete(error) and not float(ops.stop_gradient(error)) <= 0.01:
        notices.warn(
            f"Sinkhorn has not converged: after {iterations} iterations with eps={eps:g} the "
            f"marginals of the plan are off by {float(ops.stop_gradient(error)):.2g} of the mass. "
            "The value is a lower bound of the right one; take more iterations or a larger eps.",
        )


def sinkhorn_divergence(source, target, *, eps, iterations):
    r"""Computes $S_\epsilon(\mu, \nu) = OT_\epsilon(\mu, \nu) - \tfrac12 OT_\epsilon(\mu, \mu)
    - \tfrac12 OT_\epsilon(\nu, \nu)$ with the squared l2 cost.

    The way between the two means is taken out of the transport, to which it adds its square:
    batches far from each other or from the origin lose no digits.

    Args:
        source: Points `(n, d)`.
        target: Points `(m, d)`.
        eps: Strength of the entropic term.
        iterations: Number of Sinkhorn iterations.

    Returns:
        Tensor `(n,)`: the share of each source point; its mean is the divergence. With as many
        points on both sides the share of a pair of points counts the second one's own term.

    Reference:
        Bouniot et al., "Optimal transport as a defense against adversarial attacks", 2021.
    """

    def transport(x, y):
        return sinkhorn(squared_euclidean_cost(x, y), eps=eps, iterations=iterations)

    source_mean, target_mean = ops.mean(source, axis=0), ops.mean(target, axis=0)
    source, target, apart = source - source_mean, target - target_mean, source_mean - target_mean
    between = transport(source, target)
    # |x - y + s|^2 = |x - y|^2 + 2 s (x - y) + |s|^2, and the middle one averages to zero.
    count = ops.cast(ops.shape(source)[0], source.dtype)
    moved = source - ops.matmul(ops.stop_gradient(between.plan) * count, target)
    moved = moved - ops.mean(moved, axis=0)
    shares = between.row_values + ops.sum(ops.square(apart)) + 2.0 * ops.sum(moved * apart, axis=1)
    own = transport(target, target).row_values
    if source.shape[0] != target.shape[0]:
        own = ops.mean(own)
    return shares - 0.5 * (transport(source, source).row_values + own)


def soft_c_transform(cost, potential, *, theta, mask=None):
    r"""Computes the smoothed c-transform of a Kantorovich potential.

    $$\phi^{c,\theta}_j = -\theta \log \frac{1}{n} \sum_{i=1}^{n}
        I_{ij} \exp\frac{\phi_i - C_{ij}}{\theta}$$

    Args:
        cost: Tensor `(n, m)`.
        potential: Tensor `(n,)`.
        theta: Strength of the entropic term.
        mask: Optional boolean tensor `(n, m)`, `I`; each column needs one true entry.

    Returns:
        Tensor `(m,)`. The mean of it plus the mean of `potential` is the semi-dual of entropic
        transport: maximized over `potential` it equals `sinkhorn(cost, eps=theta).value`.

    Reference:
        GOT, equations 5 (no mask) and 6 (mask of equal labels).
    """
    exponent = (potential[:, None] - cost) / theta
    if mask is not None:
        exponent = ops.where(mask, exponent, -float("inf"))
    count = ops.cast(ops.shape(cost)[0], cost.dtype)
    return theta * (ops.log(count) - ops.logsumexp(exponent, axis=0))
