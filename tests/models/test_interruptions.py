"""Trainings that are killed, and trainings on several replicas, each in a process of its own."""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]

TRAIN = """
import sys, time
import keras, numpy as np
from sklearn.datasets import load_digits
from lipot import attacks, losses, models
folder, epochs, delay = sys.argv[1], 6, float(sys.argv[2])
keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")[:256]
network = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2),
     keras.layers.Dense(10)])
robust = models.AdversarialModel(network, attacks.PGD(0.1, steps=2), [
    losses.AdversarialCrossentropy(), losses.SlicedWasserstein(), losses.GOT(weight=0.1)])
robust.compile("adam", jit_compile=False)
slow = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: time.sleep(delay),
    on_epoch_end=lambda epoch, logs: print("epoch", epoch, flush=True))
robust.fit(x, y[:256], epochs=epochs, batch_size=64, shuffle=False, verbose=0,
           callbacks=[keras.callbacks.BackupAndRestore(folder + "/backup"), slow])
np.savez(folder + "/weights.npz", *robust.get_weights())
"""

REPLICAS = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
from lipot import attacks, losses, models

def train(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"),
                                    keras.layers.Dense(3)])
        robust = models.AdversarialModel(
            network, attacks.PGD(0.1, steps=3, random_start=False),
            [losses.TRADES(), losses.AdversarialCrossentropy(), losses.ALP()])
        robust.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(64, 4)).astype("float32")
    y = generator.integers(0, 3, 64)
    history = robust.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
    return history, robust.get_weights()

one = train(tf.distribute.OneDeviceStrategy("/cpu:0"))
two = train(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))
for name, values in one[0].items():
    np.testing.assert_allclose(two[0][name], values, rtol=1e-4, err_msg=name)
for old, new in zip(one[1], two[1]):
    np.testing.assert_allclose(new, old, atol=1e-5)
print("equal")
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return output


def weights(folder):
    with np.load(folder / "weights.npz") as stored:
        return [stored[name] for name in stored]


@pytest.mark.slow
def test_training_killed_by_signal_9_ends_as_if_it_had_not_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    finish(start(TRAIN, whole, 0))
    process = start(TRAIN, killed, 0.2)
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    time.sleep(0.5)  # into the fourth epoch
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "weights.npz").exists()
    assert "epoch 0" not in finish(start(TRAIN, killed, 0))
    for old, new in zip(weights(whole), weights(killed)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_two_replicas_train_like_one_device():
    pytest.importorskip("tensorflow")
    assert "equal" in finish(start(REPLICAS))
