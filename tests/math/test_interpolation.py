"""Convex integration against cvxpy with Clarabel, finite differences and hand-worked cases."""

import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math import interpolation, interpolation_reference
from lipot.math.precision import widest_float
from tests.math.neighborhoods import KINDS, sample

SETTINGS = [(2.0, 0.0), (1.5, 0.4)]


def batch_of_one(*arrays, dtype="float64"):
    return [ops.convert_to_tensor(np.asarray(array)[None], dtype=dtype) for array in arrays]


def literal_violation(x, z, u, smoothness, convexity):
    """Largest violation of (15), written out with loops."""
    worst = -np.inf
    factor = 1 / (2 * (1 - convexity / smoothness))
    for i in range(len(x)):
        for j in range(len(x)):
            dx, dz = x[j] - x[i], z[j] - z[i]
            quadratic = dz @ dz / smoothness + convexity * dx @ dx
            quadratic -= 2 * convexity / smoothness * dz @ dx
            worst = max(worst, u[j] + z[j] @ (x[i] - x[j]) + factor * quadratic - u[i])
    return worst


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothness, convexity", SETTINGS)
def test_potentials_satisfy_the_conditions_as_written(kind, smoothness, convexity):
    rng = np.random.default_rng(0)
    for dimension, count in [(2, 20), (30, 7), (5, 2)]:
        _, x, z = sample(
            kind, rng, count=count, dimension=dimension, smoothness=smoothness, convexity=convexity
        )
        found = interpolation.potentials(*batch_of_one(x, z), smoothness, convexity)
        assert bool(found.feasible[0])
        scale = np.abs(z).max() * np.abs(x[:, None] - x[None]).max() * dimension
        u = np.asarray(found.u[0])
        assert literal_violation(x, z, u, smoothness, convexity) <= 1e-12 * scale


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype, limit", [("float32", 1e-4), ("float64", 1e-6)])
def test_evaluation_agrees_with_clarabel(kind, dtype, limit):
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(1)
    for (smoothness, convexity), (dimension, count) in zip(
        SETTINGS * 2, [(2, 15), (40, 10), (784, 5), (7, 20)]
    ):
        problem = sample(
            kind, rng, count=count, dimension=dimension, smoothness=smoothness, convexity=convexity
        )
        query, x, z = (array.astype(dtype).astype("float64") for array in problem)
        tensors = batch_of_one(query, x, z, dtype=dtype)
        u = interpolation.potentials(*tensors[1:], smoothness, convexity).u
        found = interpolation.evaluate(*tensors, u, smoothness, convexity)
        exact = interpolation_reference.evaluate_precisely(
            query, x, z, np.asarray(u[0]), smoothness, convexity
        )
        error = np.linalg.norm(np.asarray(found.gradient[0]) - exact.gradient)
        assert error <= limit * np.linalg.norm(exact.gradient)
        np.testing.assert_allclose(float(found.value[0]), exact.value, rtol=1e-6, atol=1e-6)


def test_the_two_references_agree():
    pytest.importorskip("cvxpy")
    query, x, z = sample(
        "generic", np.random.default_rng(2), count=6, dimension=5, smoothness=2.0, convexity=0.3
    )
    u = interpolation_reference.potentials(x, z, 2.0, 0.3).u
    literal = interpolation_reference.evaluate(query, x, z, u, 2.0, 0.3)
    precise = interpolation_reference.evaluate_precisely(query, x, z, u, 2.0, 0.3)
    np.testing.assert_allclose(literal.gradient, precise.gradient, atol=1e-5)
    np.testing.assert_allclose(literal.value, precise.value, atol=1e-6)


def test_verdicts_agree_with_clarabel():
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(3)
    verdicts = []
    for trial in range(40):
        smoothness, convexity = SETTINGS[trial % 2]
        count, dimension = int(rng.integers(2, 8)), int(rng.integers(2, 30))
        _, x, z = sample(
            "generic", rng, count=count, dimension=dimension, smoothness=2.0, convexity=0.4
        )
        z = z * rng.uniform(0.6, 1.4) + rng.choice([0.0, 0.05]) * rng.normal(size=z.shape)
        ours = interpolation.potentials(*batch_of_one(x, z), smoothness, convexity)
        reference = interpolation_reference.potentials(x, z, smoothness, convexity)
        assert bool(ours.feasible[0]) == reference.feasible
        verdicts.append(reference.feasible)
    assert 5 <= sum(verdicts) <= 35


def test_interpolates_training_points():
    _, x, z = sample(
        "generic", np.random.default_rng(4), count=8, dimension=6, smoothness=2.0, convexity=0.2
    )
    neighbors, features = (np.repeat(array[None], 8, axis=0) for array in (x, z))
    answer = interpolation.interpolate(x, neighbors, features, 2.0, 0.2)
    np.testing.assert_allclose(np.asarray(answer.gradient), z, atol=1e-6)


@pytest.mark.parametrize("smoothness, convexity", SETTINGS)
def test_query_gradients_match_finite_differences(smoothness, convexity):
    rng = np.random.default_rng(5)
    query, x, z = sample(
        "generic", rng, count=8, dimension=5, smoothness=smoothness, convexity=convexity
    )
    direction, along = rng.normal(size=(2, 5))
    x, z = batch_of_one(x, z)

    def along_feature(query):
        answer = interpolation.interpolate(query, x, z, smoothness, convexity)
        return ops.sum(answer.gradient * direction)

    query = query[None]
    _, gradient = backend.value_and_input_gradient(along_feature, query)
    step = 1e-6
    numeric = (
        float(along_feature(query + step * along)) - float(along_feature(query - step * along))
    ) / (2 * step)
    np.testing.assert_allclose(np.asarray(gradient)[0] @ along, numeric, rtol=1e-6)
    # The map is the gradient of a convex function: its Jacobian is symmetric.
    rows = [
        np.asarray(
            backend.value_and_input_gradient(
                lambda q, i=i: interpolation.interpolate(q, x, z, smoothness, convexity).gradient[
                    0, i
                ],
                query,
            )[1]
        )[0]
        for i in range(5)
    ]
    np.testing.assert_allclose(rows, np.transpose(rows), atol=1e-12)
    curvatures = np.linalg.eigvalsh(np.array(rows))
    assert curvatures.min() >= convexity - 1e-12
    assert curvatures.max() <= smoothness + 1e-12


def test_feature_gradients_match_finite_differences():
    rng = np.random.default_rng(6)
    query, x, z = sample("generic", rng, count=6, dimension=4, smoothness=2.0, convexity=0.3)
    direction = rng.normal(size=z.shape)
    query, x = batch_of_one(query, x)
    value = interpolation.potentials(x, z[None], 2.0, 0.3).u

    def along_feature(z):
        return ops.sum(interpolation.evaluate(query, x, z, value, 2.0, 0.3).gradient)

    _, gradient = backend.value_and_input_gradient(along_feature, z[None])
    step = 1e-6
    above, below = (along_feature((z + s * direction)[None]) for s in (step, -step))
    numeric = (float(above) - float(below)) / (2 * step)
    np.testing.assert_allclose(np.sum(np.asarray(gradient)[0] * direction), numeric, rtol=1e-5)


@pytest.mark.parametrize("feasible", [True, False])
def test_lipschitz_for_a_fixed_neighborhood(feasible):
    rng = np.random.default_rng(7)
    _, x, z = sample("generic", rng, count=10, dimension=20, smoothness=2.0, convexity=0.0)
    if not feasible:
        z = 3.0 * rng.normal(size=z.shape)
    pairs = 2000
    starts = x.mean(0) + rng.normal(size=(pairs, 20))
    ends = starts + 10.0 ** rng.uniform(-3, 1, (pairs, 1)) * rng.normal(size=(pairs, 20))
    queries = np.concatenate([starts, ends])
    neighbors, features = (np.broadcast_to(a, (2 * pairs, *a.shape)) for a in (x, z))
    run = backend.compile(lambda *tensors: interpolation.interpolate(*tensors, 2.0))
    answer = run(queries, neighbors, features)
    assert bool(np.all(np.asarray(answer.feasible) == feasible))
    left, right = np.split(np.asarray(answer.gradient), 2)
    ratio = np.linalg.norm(left - right, axis=1) / np.linalg.norm(starts - ends, axis=1)
    assert 1.0 < ratio.max() <= 2.0 * (1 + 1e-9)


def test_order_and_shared_slope_do_not_matter():
    rng = np.random.default_rng(8)
    query, x, z = sample("generic", rng, count=9, dimension=12, smoothness=2.0, convexity=0.1)
    order, slope = rng.permutation(9), rng.normal(size=12)
    plain = interpolation.interpolate(*batch_of_one(query, x, z), 0.8, 0.1, smoothness_step=0.2)
    other = interpolation.interpolate(
        *batch_of_one(query, x[order], z[order] + slope), 0.8, 0.1, smoothness_step=0.2
    )
    assert int(plain.steps[0]) == int(other.steps[0]) > 0
    np.testing.assert_allclose(
        np.asarray(other.gradient), np.asarray(plain.gradient) + slope, atol=1e-12
    )


def test_relaxation_counts_as_the_algorithm_does():
    rng = np.random.default_rng(9)
    counted = []
    for convexity_step in (0.0, 0.3):
        x = rng.normal(size=(12, 6, 4))
        z = 1.5 * x + 0.9 * rng.normal(size=x.shape)
        found = interpolation.relaxed_potentials(
            x, z, 1.0, 0.5, smoothness_step=0.7, convexity_step=convexity_step, max_steps=60
        )
        for i in range(12):
            expected, t = False, -1
            while not expected and t < 60:
                t += 1
                expected = bool(
                    interpolation.potentials(
                        x[i : i + 1], z[i : i + 1], 1.0 + 0.7 * t, 0.5 - convexity_step * t
                    ).feasible[0]
                )
            assert (int(found.steps[i]), bool(found.feasible[i])) == (t, expected)
            u = np.asarray(found.u[i])
            if expected:
                limits = (1.0 + 0.7 * t, 0.5 - convexity_step * t)
                assert literal_violation(x[i], z[i], u, *limits) < 1e-7
            counted.append(expected)
    assert 0 < sum(counted) < 24


@pytest.mark.parametrize("convexity", [0.0, 0.3])
def test_smallest_smoothness_is_the_verdicts_edge(convexity):
    rng = np.random.default_rng(10)
    x = rng.normal(size=(5, 6, 10))
    z = x * rng.uniform(0.5, 2.0, size=10)
    smallest = np.asarray(interpolation.smallest_smoothness(x, z, convexity))
    assert np.all((smallest > 0.5) & (smallest <= 2.0 + 1e-6))
    for scale, expected in [(1 - 1e-4, False), (1 + 1e-6, True)]:
        found = interpolation.potentials(x, z, smallest * scale, convexity)
        assert np.all(np.asarray(found.feasible) == expected)


def test_one_point_with_two_features_is_infeasible_for_every_smoothness():
    x = np.array([[[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]])
    z = np.array([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]])
    found = interpolation.relaxed_potentials(
        x, z, 1.0, smoothness_step=0.2, convexity_step=0.2, max_steps=10_000
    )
    assert not bool(found.feasible[0])
    assert np.all(np.isfinite(np.asarray(found.u)))
    assert float(interpolation.smallest_smoothness(x, z)[0]) == float("inf")
    answer = interpolation.interpolate(
        x[:, 0], x, z, 1.0, smoothness_step=0.2, convexity_step=0.2, max_steps=10_000
    )
    assert not bool(answer.feasible[0])
    assert np.all(np.isfinite(np.asarray(answer.gradient)))


def test_equal_points_with_equal_features_are_feasible():
    x = np.array([[[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]])
    answer = interpolation.interpolate(x[:, 0], x, 2.0 * x, 2.0)
    assert bool(answer.feasible[0])
    np.testing.assert_allclose(np.asarray(answer.gradient), [[2.0, 4.0]], atol=1e-12)


def test_one_neighbor_gives_its_own_slope():
    x, z = np.array([[[1.0, 1.0]]]), np.array([[[3.0, -1.0]]])
    answer = interpolation.interpolate(np.array([[2.0, 1.0]]), x, z, 2.0, 0.5)
    np.testing.assert_allclose(np.asarray(answer.gradient), [[3.5, -1.0]])


def test_smoothness_must_exceed_convexity():
    x = np.zeros((1, 2, 2))
    with pytest.raises(ValueError, match="argument `smoothness`.*smoothness=1.0, convexity=1.0"):
        interpolation.potentials(x, x, 1.0, 1.0)


@pytest.mark.skipif(widest_float() != "float64", reason="The margin of rounding is that of float64")
def test_where_last_bits_decide_on_feasibility_is_told():
    # The cycle of (0, 0) and (1, c) weighs c (c / L - 1), and the recursion goes round it twice.
    # 1e-9 (c / (2 L) + 1) c is rounding: the conditions hold from L = c / (1 + 0.75e-9) on.
    x = ops.convert_to_tensor([[[0.0], [1.0]]])
    for relative, alike in ((0.80e-9, True), (0.75e-9, False), (0.70e-9, True)):
        for smoothness, steps in ((4.0, 0.0), (3.0, 0.25)):
            # With steps the fourth is the one in question.
            shift = 4.0 - 4.0 / (1.0 + relative)
            given = {"smoothness_step": steps, "convexity_step": 0.0}
            told = interpolation.settled(x, 4.0 * x, smoothness - shift, **given)
            assert bool(told[0]) == alike, (relative, steps)
