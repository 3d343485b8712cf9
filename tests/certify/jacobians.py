"""Jacobian norms of small models, without the code under test."""

import numpy as np

from tests.helpers import to_numpy


def jacobian_norm(function, x, step=1e-4):
    """Largest singular value of the Jacobian of a float64 function at one sample `(1, ...)`."""
    basis = np.eye(x.size).reshape(x.size, *x.shape[1:]) * step
    ahead, behind = (to_numpy(function(x + sign * basis)) for sign in (1.0, -1.0))
    columns = (ahead - behind).reshape(x.size, -1) / (2 * step)
    return np.linalg.svd(columns, compute_uv=False)[0]


def largest_jacobian_norm(function, shape, *, samples=5, scale=1.0, seed=0):
    """The largest such value over random samples."""
    points = np.random.default_rng(seed).normal(scale=scale, size=(samples, 1, *shape))
    return max(jacobian_norm(function, point) for point in points)
