"""Under `tf.distribute`, the kernel of inference is that of the weights on every replica."""

import json
import os
import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute belongs to TensorFlow.", allow_module_level=True)

# The devices of TensorFlow are fixed once it starts: a process of its own has two of them.
SCRIPT = """
import json
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import lipot
from lipot import layers

rng = np.random.default_rng(0)
x = rng.normal(size=(8, 6, 6, 4)).astype("float32")
y = rng.normal(size=(8, 3)).astype("float32")


def network():
    return keras.Sequential([
        keras.Input((6, 6, 4)),
        layers.SpectralConv2D(4, 3), layers.OrthogonalConv2D(4, 3),
        keras.layers.Flatten(),
        layers.SDPResidualDense(4), layers.SpectralDense(8), layers.FrobeniusDense(3),
    ])


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = network()
    model.compile(keras.optimizers.SGD(0.1), "mse")


def disagreement():
    fresh = network()
    for theirs, ours in zip(fresh.layers, model.layers):
        for new, old in zip(theirs.trainable_weights, ours.trainable_weights):
            new.assign(old.numpy())
    expected = np.asarray(fresh(x))
    answers = [model.predict(x, batch_size=4, verbose=0), np.asarray(model(x))]
    bounds = [abs(a.lipschitz_bound - b.lipschitz_bound)
              for a, b in zip(model.layers, fresh.layers) if hasattr(a, "lipschitz_bound")]
    return max(max(float(np.abs(a - expected).max()) for a in answers), *bounds)


found = {"at first": disagreement()}
model.fit(x, y, batch_size=4, epochs=2, verbose=0)
found["trained"] = disagreement()
with strategy.scope():
    for layer in model.layers:
        for weight in layer.trainable_weights:
            weight.assign(0.5 * weight + 0.1)
found["assigned"] = disagreement()
model.set_weights([0.5 * w for w in model.get_weights()])
found["set"] = disagreement()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("history", ["at first", "trained", "assigned", "set"])
def test_two_replicas_answer_with_the_kernel_of_the_weights(found, history):
    assert found[history] < 1e-6
