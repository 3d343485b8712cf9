import numpy as np
import pytest
from keras import ops

from lipot.math.hyperplane import to_hyperplane_in_box
from tests.helpers import to_numpy

NORMS = ["inf", 2]


def problem(seed, dimension, reach):
    """A point of the unit box and a hyperplane that the box meets where `reach` < 1."""
    rng = np.random.default_rng(seed)
    x, normal = rng.uniform(size=dimension), rng.normal(size=dimension)
    normal[rng.integers(dimension)] = 0.0
    farthest = np.sum(np.maximum(normal * (1 - x), -normal * x))
    return x, normal, normal @ x + reach * farthest


def shift(x, normal, offset, norm, low=0.0, high=1.0):
    tensors = (
        ops.convert_to_tensor(np.array([values], "float32")) for values in (x, normal, offset)
    )
    found = to_hyperplane_in_box(*tensors, low, high, norm)
    return to_numpy(found)[0].astype("float64")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("seed", "dimension", "reach"), [(0, 3, 0.2), (1, 6, 0.5), (2, 12, 0.9), (3, 12, 0.99)]
)
def test_shortest_shift_is_that_of_a_convex_solver(norm, seed, dimension, reach):
    cvxpy = pytest.importorskip("cvxpy")
    x, normal, offset = problem(seed, dimension, reach)
    variable = cvxpy.Variable(dimension)
    constraints = [normal @ (x + variable) == offset, x + variable >= 0, x + variable <= 1]
    best = cvxpy.Problem(cvxpy.Minimize(cvxpy.norm(variable, norm)), constraints).solve("CLARABEL")
    found = shift(x, normal, offset, norm)
    assert normal @ (x + found) == pytest.approx(offset, abs=1e-5)
    assert (x + found).min() >= -1e-6 and (x + found).max() <= 1 + 1e-6
    assert np.linalg.norm(found, np.inf if norm == "inf" else 2) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_out_of_reach_leads_to_the_closest_corner(norm):
    x, normal, offset = problem(4, 5, 1.5)
    corner = x + shift(x, normal, offset, norm)
    moving = normal != 0
    np.testing.assert_allclose(corner[moving], (normal > 0)[moving], atol=1e-6)
    np.testing.assert_allclose(corner[~moving], x[~moving], atol=1e-6)


def test_without_a_box_the_shift_is_the_classic_formula():
    x, normal, offset = problem(5, 6, 0.7)
    missing = offset - normal @ x
    euclidean = shift(x, normal, offset, 2, -np.inf, np.inf)
    np.testing.assert_allclose(euclidean, missing * normal / (normal @ normal), atol=1e-6)
    chebyshev = shift(x, normal, offset, "inf", -np.inf, np.inf)
    expected = missing * np.sign(normal) / np.abs(normal).sum()
    np.testing.assert_allclose(chebyshev, expected, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_to_do_and_no_direction_give_no_shift(norm):
    x = np.array([0.2, 0.8])
    assert not shift(x, np.array([1.0, 1.0]), 1.0, norm).any()
    assert not shift(x, np.zeros(2), 1.0, norm).any()


@pytest.mark.parametrize("norm", NORMS)
def test_the_scale_of_the_hyperplane_does_not_matter(norm):
    x, normal, offset = problem(6, 8, 0.6)
    large, small = (shift(x, s * normal, s * offset, norm) for s in (1e20, 1e-25))
    np.testing.assert_allclose(small, large, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_rows_do_not_see_each_other(norm):
    problems = [problem(seed, 7, reach) for seed, reach in ((7, 0.1), (8, 0.95), (9, 2.0))]
    tensors = (ops.convert_to_tensor(np.array(values, "float32")) for values in zip(*problems))
    together = to_numpy(to_hyperplane_in_box(*tensors, 0.0, 1.0, norm))
    alone = [shift(*values, norm) for values in problems]
    np.testing.assert_allclose(together, alone, atol=1e-6)
