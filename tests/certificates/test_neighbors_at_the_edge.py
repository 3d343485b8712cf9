"""OTAD proves nothing where its programs may solve another problem, or solve it badly."""

import functools

import keras
import numpy as np
import pytest

import lipot
from lipot.backend.keras_graph import forget_programs
from lipot.math import interpolation
from lipot.math.precision import resolution, widest_float
from lipot.math.simplex import maximize_on_simplex
from lipot.models import OTAD

in_float64 = pytest.mark.skipif(
    widest_float() != "float64", reason="The interpolation leaves what float64 does."
)


def model_of(stored, factor, head, **arguments):
    size = stored.shape[1]
    backbone = keras.Sequential([keras.Input((size,)), keras.layers.Rescaling(factor)])
    model = OTAD(backbone, keras.layers.Dense(2), neighbors=len(stored), **arguments).adapt(stored)
    model.head.set_weights([head, np.zeros(2)])
    return model


@in_float64
@pytest.mark.parametrize("relative, proves", [(0.80e-9, True), (0.75e-9, False), (0.70e-9, True)])
def test_no_radius_where_last_bits_decide_how_far_to_relax(relative, proves):
    # See test_where_last_bits_decide_on_feasibility_is_told: feasible from 4 / (1 + 0.75e-9) on.
    stored, head = np.array([[0.0], [1.0]], "float32"), np.array([[1.0, -1.0]])
    model = model_of(stored, 4.0, head, smoothness=4.0 / (1.0 + relative))
    found = lipot.certify(model, np.array([[0.7]], "float32"))
    assert (found.radius[0] > 0.1) == proves


@in_float64
def test_no_radius_where_the_solver_has_stopped_too_early(monkeypatch):
    rng = np.random.default_rng(0)
    stored, head = rng.normal(size=(9, 3)).astype("float32"), rng.normal(size=(3, 2))
    model = model_of(stored, np.arange(1.0, 4.0), head, smoothness=3.0, convexity=1.0)
    x = rng.normal(size=(20, 3)).astype("float32")
    solved = lipot.certify(model, x).radius > 0.0
    hasty = functools.partial(maximize_on_simplex, max_exchanges=1)
    monkeypatch.setattr(interpolation, "maximize_on_simplex", hasty)
    forget_programs(model)
    early = model.neighborhoods(x).gap > 1e-3
    assert np.mean(solved[early]) > 0.5
    assert np.all(lipot.certify(model, x).radius[early] == 0.0)


def test_the_class_stays_between_points_whose_features_nearly_meet():
    # Of their distance the solver sees a hundred last bits of that of the third.
    near = (128.0 * resolution(keras.ops.zeros((), widest_float()))) ** 0.5
    stored, head = np.array([[0.0], [near], [1.0]], "float32"), np.array([[0.0, 1.0]])
    model = model_of(stored, 1.0, head)
    model.head.set_weights([head, np.array([0.0, 5.0])])
    certificate = lipot.certify(model, np.array([[0.4]], "float32"))
    assert certificate.predictions[0] == 1 and certificate.radius[0] > 0.4
    moved = near * np.linspace(0.0, 1.0, 33, dtype="float32")[:, None]
    assert np.all(model.predict(moved, verbose=0).argmax(axis=1) == 1)
    np.testing.assert_allclose(model.features(moved), moved, atol=1.01 * near)
