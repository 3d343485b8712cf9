"""Neighborhoods whose features come from a known smooth convex function."""

import numpy as np

KINDS = ("generic", "cluster", "collinear", "tight")


def sample(kind, rng, *, count, dimension, smoothness, convexity):
    """Returns `(query, x, z)` that F_{convexity, smoothness} interpolates.

    The potential is `l/2 |x|^2` plus log-cosh of a few directions, or, for "tight", a quadratic
    with both l and L among its curvatures, for which every condition holds with equality.
    """
    x = rng.normal(size=(count, dimension))
    if kind == "cluster":
        x = x[:1] + 10.0 ** rng.uniform(-4, 0, (count, 1)) * rng.normal(size=x.shape)
    if kind == "collinear":
        x = x[:1] + rng.normal(size=(count, 1)) * x[1:2] + 1e-4 * rng.normal(size=x.shape)
    rank = max(1, min(dimension, 8))
    span = smoothness - convexity
    if kind == "tight":
        basis = np.linalg.qr(rng.normal(size=(dimension, rank)))[0]
        z = convexity * x + span * (x @ basis) @ basis.T
    else:
        directions = rng.normal(size=(rank, dimension))
        directions /= np.linalg.norm(directions, 2)
        bent = np.tanh(x @ directions.T + rng.normal(size=rank))
        z = convexity * x + 0.95 * span * bent @ directions
    z = z + rng.normal(size=dimension)
    query = x.mean(0) + 10.0 ** rng.uniform(-3, 0.3) * rng.normal(size=dimension)
    return query, x, z
