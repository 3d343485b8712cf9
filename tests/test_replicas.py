"""Training on any number of devices is training on one: every public loss, metric and model."""

import keras
import numpy as np
import pytest

from tests.replicas import STEPS, losses_by_name, on_devices

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's.")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is for JAX.")
# Batches of several sizes, and four replicas, take minutes to trace.
SPREADS = [
    (2, "descend"),
    pytest.param(2, "ragged", marks=pytest.mark.slow),
    pytest.param(4, "ragged", marks=pytest.mark.slow),
]


def close(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert ours.shape == theirs.shape
    assert np.all(np.isfinite(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@on_tensorflow
@pytest.mark.parametrize(("count", "batches"), SPREADS)
@pytest.mark.parametrize("name", losses_by_name())
def test_replicas_descend_the_loss_of_the_global_batch(name, count, batches):
    one, many = on_devices(1, batches)[name], on_devices(count, batches)[name]
    assert len(one["values"]) == STEPS
    assert one["values"][0] != pytest.approx(one["values"][-3], rel=1e-3)
    close(many["values"], one["values"], 1e-5)
    # A metric reads the loss itself, on every replica.
    close(many["metrics"], np.repeat(one["metrics"], count, axis=1), 1e-5)
    for ours, theirs in zip(many["weights"], one["weights"], strict=True):
        close(ours, theirs, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_fit_on_devices_is_fit_on_one(count):
    if BACKEND == "torch":
        pytest.skip("Keras has no distribution on PyTorch.")
    one, many = on_devices(1, "fit"), on_devices(count, "fit")
    assert set(one) >= {"hinge-KR", "PGD", "PGD, l2", "TRADESPGD"}
    for name in one:
        assert set(one[name]["history"]) == set(many[name]["history"])
        for metric, values in one[name]["history"].items():
            np.testing.assert_allclose(
                many[name]["history"][metric], values, rtol=1e-4, atol=1e-5, err_msg=name + metric
            )
        for ours, theirs in zip(many[name]["weights"], one[name]["weights"], strict=True):
            close(ours, theirs, 1e-4)


@on_jax
def test_a_distribution_breaks_nothing_that_is_asked_of_a_trained_model():
    one, four = on_devices(1, "shards"), on_devices(4, "shards")
    assert one["broken by"] == four["broken by"]
    for name in ("network", "OTAD"):
        assert one[name].keys() == four[name].keys()
        for part in one[name]:
            close(four[name][part], one[name][part], 1e-4)
        close(four[name]["loaded"], four[name]["predict"], 1e-6)
