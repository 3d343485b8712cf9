"""Training on any number of devices is training on one: every public loss, metric and model."""

import keras
import numpy as np
import pytest

from tests.replicas import STEPS, close, losses_by_name, on_devices

BACKEND = keras.backend.backend()
on_devices_of_keras = pytest.mark.skipif(
    BACKEND == "torch", reason="Keras has no distribution on PyTorch."
)
# One of each kind: classes counted, rows sorted, sliced, matched, and compared with one another.
SAMPLE = ("GOT", "MulticlassHKR", "SlicedWasserstein", "TripletLoss")


def check_descent(name, count, batches, names=()):
    one, many = (on_devices(n, batches, names)[name] for n in (1, count))
    assert len(one["values"]) == STEPS
    assert one["values"][0] != pytest.approx(one["values"][-3], rel=1e-3)
    close(many["values"], one["values"], 1e-5)
    # A metric reads the loss itself, on every replica.
    replicas = 1 if BACKEND == "jax" else count
    close(many["metrics"], np.repeat(one["metrics"], replicas, axis=1), 1e-5)
    for ours, theirs in zip(many["weights"], one["weights"], strict=True):
        close(ours, theirs, 1e-4)


@on_devices_of_keras
@pytest.mark.parametrize("name", SAMPLE)
def test_two_devices_descend_the_loss_of_the_global_batch(name):
    check_descent(name, 2, "ragged" if BACKEND == "jax" else "equal", SAMPLE)


@on_devices_of_keras
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", losses_by_name())
def test_every_loss_is_that_of_the_global_batch_on_any_number_of_devices(name, count):
    check_descent(name, count, "ragged")


@on_devices_of_keras
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_fit_on_devices_is_fit_on_one(count):
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
