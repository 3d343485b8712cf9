"""The simplex program against a general solver, by hand, and on degenerate data."""

import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math.precision import resolution, widest_float
from lipot.math.simplex import maximize_on_simplex


def problems(kind, *, batch, count, dimension, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(batch, count, dimension))
    if kind == "cluster":
        points = points[:, :1] + 10.0 ** rng.uniform(-9, 0, (batch, count, 1)) * points
    if kind == "collinear":
        line = points[:, :1] * rng.normal(size=(batch, count, 1))
        points = line + 10.0 ** rng.uniform(-12, 0, (batch, 1, 1)) * points
    if kind == "repeated":
        points = points[:, rng.integers(0, (count + 1) // 2, count)]
    gram = np.einsum("bid,bjd->bij", points, points)
    # Half the squared norm makes it a smallest enclosing ball, where many points are active.
    linear = 0.5 * np.einsum("bii->bi", gram) + 0.01 * rng.normal(size=(batch, count))
    return linear, gram


def duality_gap(weights, linear, gram):
    gradient = linear - np.einsum("bij,bj->bi", gram, weights)
    return gradient.max(1) - np.sum(gradient * weights, axis=1)


@pytest.mark.parametrize("kind", ["generic", "cluster", "collinear", "repeated"])
@pytest.mark.parametrize("count, dimension", [(2, 1), (10, 3), (20, 2), (20, 50)])
def test_no_better_point_exists(kind, count, dimension):
    linear, gram = problems(kind, batch=100, count=count, dimension=dimension)
    solution = backend.compile(maximize_on_simplex)(linear, gram)
    weights = np.asarray(solution.weights)
    scale = np.abs(linear).max(1) + np.einsum("bii->bi", gram).max(1)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)
    assert weights.min() >= -1e-12
    # By concavity the gap bounds the distance to the optimal value: an exact certificate.
    assert np.max(duality_gap(weights, linear, gram) / scale) < 1e-13


def test_agrees_with_clarabel():
    cp = pytest.importorskip("cvxpy")
    linear, gram = problems("generic", batch=8, count=6, dimension=9)
    weights = np.asarray(maximize_on_simplex(*map(ops.convert_to_tensor, (linear, gram))).weights)
    for i in range(len(linear)):
        variable = cp.Variable(6, nonneg=True)
        value = linear[i] @ variable - 0.5 * cp.quad_form(variable, cp.psd_wrap(gram[i]))
        cp.Problem(cp.Maximize(value), [cp.sum(variable) == 1]).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13
        )
        np.testing.assert_allclose(weights[i], variable.value, atol=1e-7)


@pytest.mark.parametrize("exchanges", [1, 4, None])
def test_the_gap_tells_how_far_from_the_optimum_it_stopped(exchanges):
    cp = pytest.importorskip("cvxpy")
    linear, gram = problems("generic", batch=6, count=8, dimension=12)
    found = maximize_on_simplex(*map(ops.convert_to_tensor, (linear, gram)), exchanges)
    weights, gap = np.asarray(found.weights), np.asarray(found.gap)
    reached = np.sum(linear * weights, 1) - 0.5 * np.einsum("bi,bij,bj->b", weights, gram, weights)
    for i in range(len(linear)):
        variable = cp.Variable(8, nonneg=True)
        value = linear[i] @ variable - 0.5 * cp.quad_form(variable, cp.psd_wrap(gram[i]))
        optimum = cp.Problem(cp.Maximize(value), [cp.sum(variable) == 1]).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
        )
        assert optimum - reached[i] <= gap[i] + 1e-9
    assert (gap.max() > 1e-2) == (exchanges is not None)


def test_projection_on_the_simplex_by_hand():
    # With G the identity the maximizer is the Euclidean projection of b.
    linear = ops.convert_to_tensor([[0.4, 0.8, -5.0], [0.0, 0.0, 0.0]], dtype="float64")
    gram = ops.broadcast_to(ops.eye(3, dtype="float64"), (2, 3, 3))
    solution = maximize_on_simplex(linear, gram)
    expected = [[0.3, 0.7, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(np.asarray(solution.weights), expected, atol=1e-15)
    np.testing.assert_array_equal(np.asarray(solution.face), np.array(expected) > 0)


def test_derivatives_match_finite_differences():
    linear, gram = problems("generic", batch=1, count=5, dimension=4, seed=3)
    direction = np.random.default_rng(1).normal(size=(1, 5))

    def moved(parameter):
        return maximize_on_simplex(
            ops.convert_to_tensor(linear + parameter * direction),
            ops.convert_to_tensor(gram * (1.0 + 0.3 * parameter)),
        ).weights

    def first_weights(parameter):
        return ops.sum(
            maximize_on_simplex(
                ops.convert_to_tensor(linear) + parameter * direction,
                ops.convert_to_tensor(gram) * (1.0 + 0.3 * parameter),
            ).weights
            * np.arange(5.0)
        )

    _, gradient = backend.value_and_input_gradient(
        first_weights, ops.convert_to_tensor(0.0, dtype="float64")
    )
    step = 1e-6
    numeric = (np.asarray(moved(step)) - np.asarray(moved(-step))) @ np.arange(5.0) / (2 * step)
    assert abs(numeric[0]) > 1e-3
    np.testing.assert_allclose(float(gradient), numeric[0], rtol=1e-6)


def test_equal_points_stop_at_once():
    solution = maximize_on_simplex(ops.zeros((2, 4)), ops.zeros((2, 4, 4)))
    np.testing.assert_allclose(np.asarray(solution.weights).sum(1), 1.0)
    assert np.all(np.asarray(solution.gap) == 0.0)


@pytest.mark.parametrize("curvature, slope", [(128.0, 48.0), (255.0, 33.0), (70.0, 34.0)])
def test_an_edge_that_is_nearly_flat_is_climbed_to_its_optimum(curvature, slope):
    unit = resolution(ops.zeros((), widest_float()))
    gram = np.diag([0.0, curvature * unit, 1.0])[None]
    linear = np.array([[0.0, slope * unit, -1.0]])
    arguments = (ops.convert_to_tensor(part, dtype=widest_float()) for part in (linear, gram))
    weights = np.asarray(maximize_on_simplex(*arguments).weights)[0]
    np.testing.assert_allclose(
        weights, [1.0 - slope / curvature, slope / curvature, 0.0], rtol=1e-5
    )
