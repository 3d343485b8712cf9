"""On JAX, devices that share batches, weights or stored points change nothing that is found."""

import keras
import numpy as np
import pytest

import lipot
from tests.replicas import CLASSES, close, on_devices

on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution is for JAX."
)


def sharded(count, part):
    return on_devices(count, part, module="tests.sharded")


@on_jax
@pytest.mark.parametrize("name", ["network", "OTAD"])
def test_a_spread_batch_changes_nothing_that_is_asked_of_a_trained_model(name):
    one, four = sharded(1, "data")[name], sharded(4, "data")[name]
    assert four["broken by"] == one["broken by"]
    assert one.keys() == four.keys()
    assert ("features" in one) == (name == "OTAD")
    for part in one.keys() - {"broken by"}:
        close(four[part], one[part], 1e-4)
    close(four["loaded"], four["predict"], 1e-6)


@on_jax
@pytest.mark.slow
def test_spread_weights_are_trained_as_on_one_device():
    one, four = sharded(1, "model"), sharded(4, "model")
    assert one["history"][0] != pytest.approx(one["history"][-1], rel=1e-3)
    close(four["history"], one["history"], 1e-4)
    for ours, theirs in zip(four["weights"], one["weights"], strict=True):
        close(ours, theirs, 1e-4)
    for part in ("logits", "radius"):
        close(four[part], one[part], 1e-4)
    close(four["loaded"], four["logits"], 1e-6)


@on_jax
@pytest.mark.slow
def test_a_device_holds_its_share_of_every_wide_weight_and_of_what_belongs_to_it():
    held = sharded(4, "model")["held"]
    assert held["convolution kernel"] == [[3, 3, 4, 8], [3, 3, 4, 4]]
    assert held["tall kernel"] == [[288, 16], [144, 16]]
    assert held["wide kernel"] == [[16, 24], [16, 12]]
    for name, (whole, part) in held.items():
        small = np.prod(whole) < 64 or len(whole) == 1
        assert np.prod(part) == np.prod(whole) // (1 if small else 2), name
    assert {"tall inference_kernel", "tall bits_of_kernel", "blocks inference_kernel"} <= set(held)
    for whole, part in sharded(4, "model")["slots"]:
        assert np.prod(part) == np.prod(whole) // (1 if np.prod(whole) < 64 else 2)


@on_jax
def test_each_device_searches_its_own_points():
    one, four = sharded(1, "points"), sharded(4, "points")
    assert four.pop("held") == [[[20, 5], [10, 5]]] * 2
    assert one.pop("held") == [[[20, 5], [20, 5]]] * 2
    assert one.keys() == four.keys() >= {"features", "method", "radius", "loaded"}
    for part in one:
        close(four[part], one[part], 1e-4)


@on_jax
def test_what_devices_send_each_other_in_a_retraction():
    sent = {
        name: {tuple(pair) for pair in pairs} for name, pairs in sharded(4, "retraction").items()
    }
    # Of the rows, the Gram matrix alone.
    assert sent["rows"] == {("all-reduce", "16,16")}
    assert {("all-gather", "64,16"), ("all-reduce", "64,16")} <= sent["columns"]


def mesh(**settings):
    settings = {"shape": (2, 2), "axis_names": ("batch", "model"), **settings}
    return keras.distribution.DeviceMesh(devices=["cpu:0"] * 4, **settings)


def network(*layers):
    return keras.Sequential([keras.Input((32,)), *layers], name="m")


def test_a_layout_shares_the_longer_side_that_devices_divide():
    layers = [
        lipot.layers.SpectralDense(8, name="tall"),
        lipot.layers.SpectralDense(12, name="broad"),
        lipot.layers.SpectralDense(15, name="odd"),
        lipot.layers.FrobeniusDense(CLASSES, name="head"),
    ]
    found = lipot.models.layout_map(network(*layers), mesh(), least=64)
    for path, axes in {
        "m/tall/kernel": ("model", None),
        "tall/inference_kernel": ("model", None),
        "tall/bits_of_kernel": ("model", None),
        "m/broad/kernel": (None, "model"),
        # Fifteen columns cannot be halved.
        "odd/kernel": ("model", None),
    }.items():
        assert found[path].axes == axes, path
    for path in ("tall/bias", "head/kernel", "m/not_tall/kernel", "tall/kernel/more"):
        assert found[path] is None, path
    whole = lipot.models.layout_map(network(*layers), mesh())
    assert len(whole) == 0
    batch = lipot.models.layout_map(network(*layers), mesh(), axis="batch", least=64)
    assert batch["m/tall/kernel"].axes == ("batch", None)


def test_what_is_wrong_with_a_layout_is_said():
    with pytest.raises(ValueError, match="argument `axis`. Expected .*batch.*Received: axis='x'"):
        lipot.models.layout_map(network(), mesh(), axis="x")
    with pytest.raises(ValueError, match="argument `device_mesh`"):
        lipot.models.layout_map(network(), "cpu")
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="argument `model`. Expected a model with weights"):
        lipot.models.layout_map(unbuilt, mesh())
    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(64, name="twin")], name="i")
    twins = network(keras.layers.Dense(8, name="twin"), inner)
    with pytest.raises(ValueError, match="several named 'twin' with a `kernel`"):
        lipot.models.layout_map(twins, mesh(), least=64)
