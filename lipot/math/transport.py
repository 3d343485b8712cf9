"""Optimal transport between two batches: sliced, entropic, and in semi-dual form."""

from typing import NamedTuple

import keras
from keras import ops

from lipot.math.divergences import safe_norm, squared_euclidean_cost


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
    """

    plan: object
    row_values: object
    row_costs: object

    @property
    def value(self):
        """Transport cost plus `eps` times the entropy term."""
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
    length = safe_norm(movement)[:, None]
    return ops.where(length > 0, movement / ops.where(length > 0, length, 1.0), 0.0)


def sinkhorn(cost, *, eps, iterations):
    r"""Solves entropic optimal transport between uniform measures, in the log domain.

    $$\min_{P \in U(1/n, 1/m)} \langle P, C \rangle
        + \epsilon\, KL\bigl(P \,\|\, \tfrac{1}{n}\tfrac{1}{m}\bigr)$$

    The gradient with respect to `cost` is the plan itself (envelope theorem), so nothing is
    differentiated through the iterations.

    Args:
        cost: Tensor `(n, m)`.
        eps: Strength of the entropic term.
        iterations: Number of Sinkhorn iterations.

    Returns:
        An `EntropicTransport`.

    Example:

    >>> from keras import ops
    >>> cost = ops.array([[0.0, 9.0], [9.0, 0.0]])
    >>> round(float(sinkhorn(cost, eps=0.1, iterations=20).cost), 4)
    0.0
    """
    fixed = ops.stop_gradient(cost) / eps
    rows, columns = ops.shape(cost)[0], ops.shape(cost)[1]
    log_rows = ops.log(ops.cast(rows, fixed.dtype))
    log_columns = ops.log(ops.cast(columns, fixed.dtype))

    def iterate(_, potentials):
        _, g = potentials
        f = log_columns - ops.logsumexp(g[None, :] - fixed, axis=1)
        g = log_rows - ops.logsumexp(f[:, None] - fixed, axis=0)
        return f, g

    start = ops.zeros_like(fixed[:, 0]), ops.zeros_like(fixed[0])
    f, g = ops.fori_loop(0, iterations, iterate, start)
    # log P = f + g - C/eps - log(n m), hence KL(P | 1/nm) = sum P (f + g - C/eps).
    density = ops.stop_gradient(f[:, None] + g[None, :] - fixed)
    weights = ops.exp(density - log_columns)  # n times the plan: rows sum to one
    row_costs = ops.sum(weights * cost, axis=1)
    return EntropicTransport(
        plan=ops.exp(density - log_columns - log_rows),
        row_values=row_costs + eps * ops.sum(weights * density, axis=1),
        row_costs=row_costs,
    )


def sinkhorn_divergence(source, target, *, eps, iterations):
    r"""Computes $S_\epsilon(\mu, \nu) = OT_\epsilon(\mu, \nu) - \tfrac12 OT_\epsilon(\mu, \mu)
    - \tfrac12 OT_\epsilon(\nu, \nu)$ with the squared l2 cost.

    Args:
        source: Points `(n, d)`.
        target: Points `(n, d)`.
        eps: Strength of the entropic term.
        iterations: Number of Sinkhorn iterations.

    Returns:
        Tensor `(n,)`: the share of each pair of points; its mean is the divergence.

    Reference:
        Bouniot et al., "Optimal transport as a defense against adversarial attacks", 2021.
    """

    def row_values(x, y):
        return sinkhorn(squared_euclidean_cost(x, y), eps=eps, iterations=iterations).row_values

    between = row_values(source, target)
    return between - 0.5 * (row_values(source, source) + row_values(target, target))


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
        exponent = ops.where(mask, exponent, -1e9)
    count = ops.cast(ops.shape(cost)[0], cost.dtype)
    return theta * (ops.log(count) - ops.logsumexp(exponent, axis=0))
