"""Longest paths between K nodes: the closure of a matrix in the (max, +) algebra."""

from typing import Any, NamedTuple

from keras import ops


class Closure(NamedTuple):
    """Attributes:
    paths: Heaviest path weight from node j to node i, `(batch, K, K)`.
    worst_cycle: Heaviest closed walk met, `(batch,)`; positive means a positive cycle exists.
    """

    paths: Any
    worst_cycle: Any


def max_plus_closure(weights):
    r"""Computes all heaviest path weights by the Floyd-Warshall recursion.

    $$ D_{ij} = \max_{i = k_0, k_1, \dots, k_m = j} \sum_t w_{k_t k_{t+1}} $$

    The difference constraints `u_i >= u_j + w_ij` have a solution exactly when no cycle has
    positive weight, and then every column of `D` is one.

    Args:
        weights: `w`, float tensor `(batch, K, K)` with a zero diagonal.

    Returns:
        A `Closure`. With a positive cycle `paths` is finite but means nothing.

    Example:

    >>> closure = max_plus_closure(ops.convert_to_tensor(
    ...     [[[0.0, -1.0, -5.0], [-1.0, 0.0, -1.0], [-5.0, -1.0, 0.0]]]))
    >>> float(closure.paths[0, 0, 2]), float(closure.worst_cycle[0])
    (-2.0, 0.0)
    """
    paths = weights
    for k in range(weights.shape[-1]):
        paths = ops.maximum(paths, paths[:, :, k : k + 1] + paths[:, k : k + 1, :])
    closed = paths * ops.eye(weights.shape[-1], dtype=weights.dtype)
    return Closure(paths, ops.max(closed, axis=(1, 2)))
