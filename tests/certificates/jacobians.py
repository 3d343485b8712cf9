"""Jacobian norms of small models, without the code under test."""

import numpy as np

from lipot.math.precision import widest_float
from tests.helpers import to_numpy

# Of central differences, and the relative error that they leave.
STEP, ERROR = (1e-4, 1e-6) if widest_float() == "float64" else (1e-2, 1e-3)


def jacobian_norm(function, x):
    """Largest singular value of the Jacobian of a float64 function at one sample `(1, ...)`."""
    basis = np.eye(x.size).reshape(x.size, *x.shape[1:]) * STEP
    ahead, behind = (to_numpy(function(x + sign * basis)) for sign in (1.0, -1.0))
    columns = (ahead.astype("float64") - behind).reshape(x.size, -1) / (2 * STEP)
    return np.linalg.svd(columns, compute_uv=False)[0]


def largest_jacobian_norm(function, shape, *, samples=5, scale=1.0, seed=0):
    """The largest such value over random samples."""
    points = np.random.default_rng(seed).normal(scale=scale, size=(samples, 1, *shape))
    return max(jacobian_norm(function, point) for point in points)
