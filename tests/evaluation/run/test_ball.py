"""Points pushed back into a ball are inside, in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from lipot.evaluation.run.ball import distances, project


def exact_distance(a, b, norm):
    shifts = [abs(Fraction(float(p)) - Fraction(float(q))) for p, q in zip(a.flat, b.flat)]
    return max(shifts) ** 2 if norm == "inf" else sum(shift**2 for shift in shifts)


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("width, eps", [(1.0, 0.03), (1.0, 1.7), (255.0, 2.0), (1.0, 1e-6)])
def test_result_is_inside_exactly(norm, width, eps):
    rng = np.random.default_rng(0)
    x = (width * rng.random((40, 6, 5))).astype("float32")
    moved = (x + width * rng.normal(size=x.shape)).astype("float32")
    inside = project(moved, x, eps, norm, (0.0, width))
    assert inside.dtype == np.float32
    assert inside.min() >= 0.0 and inside.max() <= width
    for a, b in zip(inside, x):
        assert exact_distance(a, b, norm) <= Fraction(eps) ** 2


@pytest.mark.parametrize("norm, order", [(2, None), ("inf", np.inf)])
def test_almost_nothing_of_the_ball_is_lost(norm, order):
    rng = np.random.default_rng(1)
    x = np.full((20, 30), 0.5, "float32")
    moved = (x + rng.normal(size=x.shape)).astype("float32")
    inside = project(moved, x, 0.2, norm, (-9.0, 9.0))
    reached = np.linalg.norm((inside.astype("float64") - x), order, axis=1)
    assert np.all(reached > 0.2 * (1 - 1e-5))
    assert np.allclose(distances(inside, x, norm), reached, rtol=1e-12)


def test_a_point_well_inside_stays():
    x = np.zeros((1, 3), "float32")
    moved = np.array([[0.1, -0.2, 0.05]], "float32")
    assert np.array_equal(project(moved, x, 0.5, 2, (-1.0, 1.0)), moved)


def test_the_range_wins_over_the_ball():
    x = np.array([[0.0, 0.9]], "float32")
    inside = project(x + 0.5, x, 1.0, "inf", (0.0, 1.0))
    assert np.allclose(inside, [[0.5, 1.0]], atol=1e-6)


def test_no_points_at_all():
    assert distances(np.zeros((0, 3)), np.zeros((0, 3)), 2).shape == (0,)
