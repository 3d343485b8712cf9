"""The attack on the certificates attacks: it finds what is wrong where something is."""

import dataclasses

import keras
import numpy as np
import pytest

import lipot
from benchmarks.weight_histories import __main__ as main
from benchmarks.weight_histories.answers import disagreements, fresh
from benchmarks.weight_histories.ascent import attack, near_boundary
from tests.helpers import to_numpy


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def linear(units=3):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])


@pytest.mark.parametrize("units", [1, 3])
def test_a_linear_classifier_falls_just_outside_its_radius(rng, units):
    model, x = linear(units), rng.normal(size=(50, 4)).astype("float32")
    certificate = lipot.certify(model, x)
    found = attack(model, certificate, x, rng)
    assert (found.broken, found.broken_on_sphere) == (0, 0)
    assert np.all(found.nearest > 1.0)
    assert np.median(found.nearest) < 1.1


@pytest.mark.parametrize("units", [1, 3])
def test_a_radius_that_promises_too_much_is_broken(rng, units):
    model, x = linear(units), rng.normal(size=(50, 4)).astype("float32")
    certificate = lipot.certify(model, x)
    certificate = dataclasses.replace(certificate, radius=1.5 * certificate.radius)
    found = attack(model, certificate, x, rng)
    assert found.broken > 40
    assert found.broken_on_sphere > 40


def test_a_wrong_prediction_is_counted_by_every_way(rng, tmp_path):
    model, x = linear(), rng.normal(size=(20, 4)).astype("float32")
    certificate = lipot.certify(model, x)
    counts, closed = disagreements(model, certificate, x, tmp_path, exported=False)
    assert set(counts.values()) == {0} and closed == {}
    wrong = (certificate.predictions + 1) % 3
    certificate = dataclasses.replace(certificate, predictions=wrong)
    counts, _ = disagreements(model, certificate, x, tmp_path, exported=False)
    assert set(counts.values()) == {20}
    assert set(counts) == {"predict", "model(x)", "fresh", "file", "to_keras"}


def test_a_fresh_copy_has_the_outputs_of_the_weights(rng):
    layers = [lipot.layers.SpectralDense(4), keras.layers.BatchNormalization()]
    model, x = keras.Sequential([keras.Input((4,)), *layers]), rng.normal(size=(5, 4))
    model(x, training=True)
    np.testing.assert_allclose(to_numpy(fresh(model)(x)), to_numpy(model(x)), atol=1e-6)


def test_points_near_the_boundary_are_near_it(rng):
    model, x = linear(), rng.normal(size=(300, 4)).astype("float32")
    near, far = (lipot.certify(model, p) for p in (near_boundary(model, x, rng), x))
    assert np.median(near.radius) < 0.2 * np.median(far.radius)


def test_networks_come_to_a_sum():
    records = [main.run_network(0, index, 20) for index in (7,)]
    figures = main.totals(records)
    assert figures["networks"] == 1
    assert figures["networks_certified"] + figures["networks_refused"] == 1
    assert figures["certificates"] > 0
    assert figures["broken"] == 0


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    asked = []

    def instead(seed, index, points):
        asked.append(index)
        if index == 1:
            raise RuntimeError("odd")
        return {"index": index, "certificates": points, "refused": "no"}

    monkeypatch.setattr(main, "run_network", instead)
    log = tmp_path / "log.jsonl"
    main.run(15, 0, 10, log)
    records = main.run(35, 0, 10, log)
    assert asked == [0, 1, 2, 3, 4]
    assert [r.get("failed") for r in records] == [None, "RuntimeError: odd", None, None, None]


def test_reasons_of_different_networks_are_counted_together():
    one, two = ("Layer 'a' has a bound. Received: 3", "Layer 'b' has a bound. Received: 5")
    assert main.reason(one) == main.reason(two) == "Layer '...' has a bound."
