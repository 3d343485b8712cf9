import keras
import numpy as np
import pytest

from lipot.attacks import Victim
from lipot.attacks.auto_attack.fab import FAB, FABState, start
from lipot.attacks.auto_attack.pursuit import setting
from lipot.attacks.ball import Ball

X = np.random.default_rng(0).uniform(size=(16, 10)).astype("float32")


def network(*hidden, classes):
    layers = [keras.layers.Dense(units, "tanh") for units in hidden]
    return keras.Sequential([keras.Input((10,)), *layers, keras.layers.Dense(classes)])


def walked(model, norm, steps, classes):
    """Labels and the state after some steps with a radius nothing falls within."""
    y = model.predict(X, verbose=0).argmax(axis=1).astype("int32")
    victim = Victim(model)
    attack = FAB(victim, Ball(norm, 0.0, 1.0), steps=steps, batch_size=64)
    walk = victim.compile(attack.walk, FABState, batch_size=64)
    settings = setting(1e-6, "float32"), setting(steps, "int32")
    return y, walk(start(X, y, (y + 1) % classes), *settings)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_finds_the_nearest_point_beyond_a_linear_boundary_in_the_box(norm):
    cvxpy = pytest.importorskip("cvxpy")
    model = network(classes=2)
    weights, bias = (np.array(value, "float64") for value in model.get_weights())
    y, state = walked(model, norm, 30, 2)
    for row, label in enumerate(y):
        shift = cvxpy.Variable(10)
        lead = (X[row] + shift) @ (weights[:, 1 - label] - weights[:, label])
        box = [X[row] + shift >= 0, X[row] + shift <= 1]
        problem = cvxpy.Problem(
            cvxpy.Minimize(cvxpy.norm(shift, norm)),
            [*box, lead + bias[1 - label] - bias[label] >= 0],
        )
        best = problem.solve("CLARABEL")
        if np.isfinite(best):
            # It stops some 5% beyond the boundary, and comes back by tenths.
            assert best * 0.999 <= state.distance[row] <= best * 1.1
        else:
            assert np.isinf(state.distance[row])


@pytest.mark.parametrize("norm", ["inf", 2])
def test_distance_is_that_of_what_it_found(norm):
    model = network(20, classes=4)
    y, state = walked(model, norm, 20, 4)
    found = np.isfinite(state.distance)
    assert found.any()
    order = np.inf if norm == "inf" else 2
    length = np.linalg.norm(state.adversarial - X, ord=order, axis=1)
    np.testing.assert_allclose(length[found], state.distance[found], rtol=1e-5)
    wrong = model.predict(state.adversarial, verbose=0).argmax(axis=1) != y
    np.testing.assert_array_equal(wrong, found)
