"""The same problems as `lipot.math.interpolation`, stated literally to a general solver.

An oracle for tests and benchmarks: NumPy in, NumPy out, one neighborhood at a time. It needs the
`reference` extra (cvxpy with Clarabel).
"""

import warnings
from typing import NamedTuple

import numpy as np


class ReferencePotentials(NamedTuple):
    """Attributes:
    u: Potentials, `(K,)`, or None where the solver found none.
    feasible: Whether it found some.
    """

    u: np.ndarray | None
    feasible: bool


class ReferenceEvaluation(NamedTuple):
    """Attributes:
    gradient: z', `(d,)`.
    value: v.
    """

    gradient: np.ndarray
    value: float


def potentials(x, z, smoothness, convexity=0.0):
    """Solves the conditions (15) as a linear feasibility problem.

    Args:
        x: Neighbors, array `(K, d)`.
        z: Their features, `(K, d)`.
        smoothness: L, greater than `convexity`.
        convexity: l.

    Returns:
        `ReferencePotentials`.
    """
    cp = _cvxpy()
    x, z = np.asarray(x, "float64"), np.asarray(z, "float64")
    weights = _constraint_weights(x, z, smoothness, convexity)
    u = cp.Variable(len(x))
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    conditions = [u[i] >= u[j] + weights[i, j] for i, j in pairs]
    problem = cp.Problem(cp.Minimize(0), [*conditions, u[0] == 0])
    problem.solve(solver=cp.CLARABEL)
    feasible = problem.status in ("optimal", "optimal_inaccurate")
    return ReferencePotentials(u.value if feasible else None, feasible)


def evaluate(query, x, z, u, smoothness, convexity=0.0):
    """Solves the quadratically constrained program (16) as it is written.

    Args:
        query: x', array `(d,)`.
        x: Neighbors, `(K, d)`.
        z: Their features, `(K, d)`.
        u: Potentials, `(K,)`.
        smoothness: L, greater than `convexity`.
        convexity: l.

    Returns:
        `ReferenceEvaluation`, to the 4 to 7 digits an interior-point method gives here.
    """
    cp = _cvxpy()
    query, x, z, u = (np.asarray(array, "float64") for array in (query, x, z, u))
    ratio = convexity / smoothness
    factor = 1.0 / (2.0 * (1.0 - ratio))
    feature, value = cp.Variable(x.shape[1]), cp.Variable()
    conditions = [
        value
        >= u[i]
        + z[i] @ (query - x[i])
        + factor
        * (
            cp.sum_squares(feature - z[i]) / smoothness
            + convexity * np.sum((query - x[i]) ** 2)
            - 2.0 * ratio * ((z[i] - feature) @ (x[i] - query))
        )
        for i in range(len(x))
    ]
    cp.Problem(cp.Minimize(value), conditions).solve(solver=cp.CLARABEL)
    return ReferenceEvaluation(feature.value, float(value.value))


def evaluate_precisely(query, x, z, u, smoothness, convexity=0.0):
    """Solves (16) as a quadratic program in `d + 1` unknowns, to some 12 digits.

    The quadratic term that all constraints share moves into the objective, and `z'` is counted
    from the first feature: better scaled, but still solved in the space of features.

    Args:
        query: x', array `(d,)`.
        x: Neighbors, `(K, d)`.
        z: Their features, `(K, d)`.
        u: Potentials, `(K,)`.
        smoothness: L, greater than `convexity`.
        convexity: l.

    Returns:
        `ReferenceEvaluation`.
    """
    cp = _cvxpy()
    query, x, z, u = (np.asarray(array, "float64") for array in (query, x, z, u))
    half = 1.0 / (2.0 * (smoothness - convexity))
    centers = z + convexity * (query - x)
    centers, origin = centers - centers[0], centers[0]
    heights = u + np.sum((z + 0.5 * convexity * (query - x)) * (query - x), axis=1)
    heights, highest = heights - heights.max(), heights.max()
    step, level = cp.Variable(x.shape[1]), cp.Variable()
    conditions = [
        level >= heights + half * np.sum(centers**2, axis=1) - 2.0 * half * (centers @ step)
    ]
    problem = cp.Problem(cp.Minimize(level + half * cp.sum_squares(step)), conditions)
    with warnings.catch_warnings():
        # At 1e-14 the solver stops on progress and calls the answer inaccurate.
        warnings.simplefilter("ignore")
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-14, tol_gap_rel=1e-14, tol_feas=1e-14)
    return ReferenceEvaluation(origin + step.value, float(problem.value) + highest)


def _constraint_weights(x, z, smoothness, convexity):
    """Writes out `w_ij` of (15), pair by pair."""
    ratio = convexity / smoothness
    dx, dz = x[:, None] - x[None], z[:, None] - z[None]
    quadratic = (
        np.sum(dz**2, -1) / smoothness
        + convexity * np.sum(dx**2, -1)
        - 2.0 * ratio * np.sum(dz * dx, -1)
    )
    return np.einsum("jd,ijd->ij", z, dx) + quadratic / (2.0 * (1.0 - ratio))


def _cvxpy():
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "The reference solver needs cvxpy and Clarabel: pip install 'lipot[reference]'."
        ) from error
    return cvxpy
