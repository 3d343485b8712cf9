import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math import transport
from lipot.math.divergences import cosine_cost, squared_euclidean_cost


def points(seed, n=12, d=3):
    return np.random.default_rng(seed).normal(size=(n, d)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def finite_difference(function, x, direction, step=1e-2):
    """Central difference of a scalar function of an array along one direction."""
    ahead, behind = function(x + step * direction), function(x - step * direction)
    return (float(ahead) - float(behind)) / (2 * step)


def test_directions_are_unit_columns():
    lines = numpy(transport.sphere_directions(5, 64, seed=1))
    assert lines.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(lines, axis=0), 1.0, atol=1e-5)


def test_sliced_wasserstein_equals_pot():
    ot = pytest.importorskip("ot")
    source, target = points(0), points(1) + 1.0
    lines = numpy(transport.sphere_directions(3, 32, seed=2))
    expected = ot.sliced_wasserstein_distance(source, target, projections=lines, p=2) ** 2
    value = float(transport.sliced_wasserstein(source, target, lines).value)
    assert value == pytest.approx(expected, abs=1e-5)


def test_movement_in_one_dimension_is_the_sorted_assignment():
    source, target = points(3, d=1), points(4, d=1)
    expected = np.empty_like(source)
    expected[np.argsort(source[:, 0])] = np.sort(target, axis=0)
    for sign in (1.0, -1.0):
        movement = transport.sliced_wasserstein(source, target, np.array([[sign]], "float32"))[1]
        np.testing.assert_allclose(source + numpy(movement), expected, atol=1e-6)


def test_movement_sums_the_displacements_of_the_lines():
    # Lines (1, 0) and (0, 1); the first source point moves by 2 along x and by 1 along y.
    source = np.array([[0.0, 0.0], [10.0, 10.0]], "float32")
    target = np.array([[2.0, 10.0], [10.0, 1.0]], "float32")
    result = transport.sliced_wasserstein(source, target, np.eye(2, dtype="float32"))
    np.testing.assert_allclose(numpy(result.movement), [[2.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(numpy(result.cost), [2.5, 0.0])


def test_sliced_wasserstein_gradient_by_finite_differences():
    source, target, direction = points(5), points(6), points(7)
    lines = transport.sphere_directions(3, 8, seed=0)

    def value(x):
        return transport.sliced_wasserstein(x, target, lines).value

    _, gradient = backend.value_and_input_gradient(value, source)
    expected = finite_difference(value, source, direction, step=1e-3)
    assert np.sum(numpy(gradient) * direction) == pytest.approx(expected, rel=1e-2)


def test_movement_directions_have_norm_one_or_zero():
    movement = np.array([[3.0, 4.0], [0.0, 0.0], [1e-12, 0.0]], "float32")
    directions = numpy(transport.movement_directions(movement))
    np.testing.assert_allclose(directions[:2], [[0.6, 0.8], [0.0, 0.0]], atol=1e-6)
    assert np.all(np.isfinite(directions))


@pytest.mark.parametrize(("eps", "iterations"), [(0.1, 2000), (1.0, 300)])
def test_sinkhorn_equals_pot(eps, iterations):
    ot = pytest.importorskip("ot")
    cost = numpy(squared_euclidean_cost(points(8), points(9, n=7)))
    result = transport.sinkhorn(ops.convert_to_tensor(cost), eps=eps, iterations=iterations)
    a, b = np.full(12, 1 / 12), np.full(7, 1 / 7)
    plan = ot.sinkhorn(a, b, cost, eps, numItermax=5000, stopThr=1e-12)
    np.testing.assert_allclose(numpy(result.plan), plan, atol=1e-4)
    assert float(result.cost) == pytest.approx(np.sum(plan * cost), abs=1e-4)
    solved = ot.solve(cost.astype("float64"), a, b, reg=eps, reg_type="KL", max_iter=5000)
    assert float(result.value) == pytest.approx(float(solved.value), abs=1e-4)


SPREADS = [
    (1.0, 0.0, 1e-1, 500),
    (1.0, 300.0, 1e-2, 2000),
    (100.0, 0.0, 1e-2, 200),
    (1e-2, 0.0, 1e-3, 50),
    (1.0, 0.0, 1e3, 50),
    (1e3, 300.0, 1e6, 50),
]


@pytest.mark.parametrize(("scale", "shift", "eps", "iterations"), SPREADS)
def test_sinkhorn_in_float32_is_pot_in_float64(scale, shift, eps, iterations):
    ot = pytest.importorskip("ot")
    source, target = scale * points(20, n=20), scale * points(21, n=7) + np.float32(shift)

    def exact(x, y):
        x, y = x.astype("float64"), y.astype("float64")
        apart = x.mean(axis=0) - y.mean(axis=0)
        cost = np.sum((x[:, None] - x.mean(axis=0) - y[None] + y.mean(axis=0)) ** 2, axis=-1)
        a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
        # Where eps is next to nothing the regularized value is the plain one.
        if cost.max() > 1e5 * eps:
            return ot.emd2(a, b, cost) + np.sum(apart**2)
        solved = ot.solve(cost, a, b, reg=eps, reg_type="KL", max_iter=5000, tol=1e-9)
        return float(solved.value) + np.sum(apart**2)

    cost = squared_euclidean_cost(source, target)
    settings = {"eps": eps, "iterations": iterations}
    # In programs: thousands of iterations are slow one by one.
    result = backend.compile(lambda c: transport.sinkhorn(c, **settings))(cost)
    assert float(ops.sum(result.plan)) == pytest.approx(1.0, abs=1e-5)
    # A cost of 1e7 eps is not solved in 200 iterations: it is said, and the value is near.
    solved = scale != 100.0
    assert (float(result.marginal_error) < 0.01) == solved
    tolerance = 2e-3 if solved else 1e-2
    assert float(result.value) == pytest.approx(exact(source, target), rel=tolerance)
    shares = backend.compile(lambda x, y: transport.sinkhorn_divergence(x, y, **settings))(
        source, target
    )
    own = 0.5 * (exact(source, source) + exact(target, target))
    assert float(ops.mean(shares)) == pytest.approx(exact(source, target) - own, rel=tolerance)


def test_sinkhorn_says_that_it_has_not_converged():
    cost = squared_euclidean_cost(1e3 * points(22), 1e3 * points(23, n=9))
    with pytest.warns(UserWarning, match="has not converged: after 5 iterations"):
        result = transport.sinkhorn(cost, eps=1e-3, iterations=5)
    # Rows hold their mass all the same, and the value is a bound from below.
    np.testing.assert_allclose(numpy(result.plan).sum(axis=1), 1 / 12, rtol=1e-5)
    plan = numpy(result.plan).astype("float64")
    missing = np.abs(plan.sum(axis=0) - 1 / 9).sum()
    assert float(result.marginal_error) == pytest.approx(missing, rel=1e-4)
    ot = pytest.importorskip("ot")
    uniform = np.full(12, 1 / 12), np.full(9, 1 / 9)
    assert float(result.value) <= ot.emd2(*uniform, numpy(cost).astype("float64")) * (1 + 1e-5)


def test_divergence_of_far_batches_moves_by_their_distance():
    """The gradient is that of the squared distance of the means, and of the transport at home."""
    source, target = points(24), points(25, n=7)

    def value(x):
        divergence = transport.sinkhorn_divergence(x, target, eps=1.0, iterations=100)
        return ops.mean(divergence)

    near, slope = backend.value_and_input_gradient(value, source)
    far, far_slope = backend.value_and_input_gradient(value, source + np.float32(64.0))
    apart = source.mean(axis=0) - target.mean(axis=0)
    moved = np.sum((apart + 64.0) ** 2) - np.sum(apart**2)
    assert float(far) == pytest.approx(float(near) + moved, rel=1e-5)
    np.testing.assert_allclose(numpy(far_slope), numpy(slope) + 2 * 64.0 / 12, rtol=1e-3)
    direction = points(26)
    assert np.sum(numpy(slope) * direction) == pytest.approx(
        finite_difference(value, source, direction), rel=1e-2
    )


def test_sliced_wasserstein_asks_for_batches_of_one_size():
    with pytest.raises(ValueError, match="as many points as `source`"):
        transport.sliced_wasserstein(points(1), points(2, n=7), np.eye(3, dtype="float32"))


def test_sinkhorn_gradient_is_the_plan():
    cost = numpy(squared_euclidean_cost(points(10, n=5), points(11, n=5)))
    direction = points(12, n=5, d=5)

    def value(c):
        return transport.sinkhorn(c, eps=0.5, iterations=500).value

    _, gradient = backend.value_and_input_gradient(value, cost)
    assert np.sum(numpy(gradient) * direction) == pytest.approx(
        finite_difference(value, cost, direction), rel=1e-2
    )


def test_sinkhorn_divergence_vanishes_on_equal_measures_and_is_finite_for_one_point():
    x = points(13)
    first, turned = (ops.convert_to_tensor(part) for part in (x, x[::-1].copy()))
    same = transport.sinkhorn_divergence(first, turned, eps=1.0, iterations=50)
    assert float(ops.mean(same)) == pytest.approx(0.0, abs=1e-4)
    # Between two Diracs every plan is the same, so the divergence is the squared distance.
    one = transport.sinkhorn_divergence(first[:1], first[1:2], eps=1.0, iterations=50)
    assert float(one[0]) == pytest.approx(float(np.sum((x[0] - x[1]) ** 2)), rel=1e-5)


def maximize_semi_dual(cost, theta, mask=None):
    """Ascends the semi-dual over a free potential with SciPy's L-BFGS."""
    minimize = pytest.importorskip("scipy.optimize").minimize
    costs, same = (part if part is None else ops.convert_to_tensor(part) for part in (cost, mask))

    @backend.compile
    def negative(potential):
        def value(phi):
            transformed = transport.soft_c_transform(costs, phi, theta=theta, mask=same)
            return -(ops.mean(transformed) + ops.mean(phi))

        return backend.value_and_input_gradient(value, potential)

    def negative_in_numpy(potential):
        value, gradient = negative(potential.astype("float32"))
        return float(value), numpy(gradient).astype("float64")

    return -minimize(negative_in_numpy, np.zeros(len(cost)), jac=True).fun


def test_semi_dual_maximum_equals_pot_with_kl_regularization():
    ot = pytest.importorskip("ot")
    cost = numpy(cosine_cost(points(14, n=10), points(15, n=10))).astype("float64")
    uniform = np.full(10, 0.1)
    solved = ot.solve(cost, uniform, uniform, reg=0.1, reg_type="KL", max_iter=10000, tol=1e-10)
    assert maximize_semi_dual(cost.astype("float32"), 0.1) == pytest.approx(
        float(solved.value), abs=2e-4
    )


def test_masked_semi_dual_is_transport_within_the_classes():
    ot = pytest.importorskip("ot")
    cost = numpy(cosine_cost(points(16, n=8), points(17, n=8)))
    labels = np.arange(8) % 2
    mask = labels[:, None] == labels[None, :]
    # KL(P | ab) to a product of 1/8 while mass stays in blocks of 4: each class is a problem of
    # its own with mass 1/2 and log 2 more entropy, hence the term theta * log 2.
    parts = []
    for label in (0, 1):
        block = cost[labels == label][:, labels == label].astype("float64")
        uniform = np.full(4, 0.25)
        parts.append(float(ot.solve(block, uniform, uniform, reg=0.1, reg_type="KL").value))
    expected = np.mean(parts) + 0.1 * np.log(2)
    assert maximize_semi_dual(cost, 0.1, mask=mask) == pytest.approx(expected, abs=3e-4)


def test_semi_dual_by_hand():
    # Two points each, theta = 1, phi = 0: -log((e^0 + e^-1) / 2) for both columns.
    cost = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    values = numpy(transport.soft_c_transform(cost, np.zeros(2, "float32"), theta=1.0))
    np.testing.assert_allclose(values, -np.log((1 + np.exp(-1)) / 2), rtol=1e-6)


def test_no_pair_of_two_labels_counts_however_far_those_of_one_are():
    cost, mask = 100.0 * np.array([[1.0, 0.0], [0.0, 1.0]], "float32"), np.eye(2, dtype=bool)
    for theta in (1.0, 1e-8):
        values = transport.soft_c_transform(cost, np.zeros(2, "float32"), theta=theta, mask=mask)
        # -theta log((exp(-100 / theta) + 0) / 2)
        np.testing.assert_allclose(numpy(values), 100.0 + theta * np.log(2.0), rtol=1e-6)
