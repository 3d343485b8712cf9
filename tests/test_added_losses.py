"""Losses of `add_loss` stay with their replica, whatever the replicas exchange beside them."""

import keras
import pytest

from tests.added_losses import networks
from tests.replicas import close, on_devices

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute belongs to TensorFlow.", allow_module_level=True)


@pytest.mark.parametrize("name", [*networks(), "adversarial"])
def test_two_replicas_add_the_losses_that_one_device_adds(name):
    one, two = (on_devices(n, "fit", module="tests.added_losses")[name] for n in (1, 2))
    assert set(one["history"]) == set(two["history"])
    for metric, values in one["history"].items():
        close(two["history"][metric], values, 1e-4)
    for ours, theirs in zip(two["weights"], one["weights"], strict=True):
        close(ours, theirs, 1e-4)
