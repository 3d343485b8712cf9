"""Under `tf.distribute`, the losses of two replicas add up to the loss of the whole batch.

The devices of TensorFlow are fixed once it starts: a process with two logical CPUs runs the script
below, once for all tests, and prints what it finds.
"""

import json
import os
import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute belongs to TensorFlow.", allow_module_level=True)

# Seven samples: four on one replica, three on the other, which never sees class 2.
SCRIPT = """
import json
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from lipot import losses

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
classes = np.array([0, 2, 1, 2, 0, 0, 1])
data = {
    "classes": tf.constant(classes),
    "binary": tf.constant(classes > 0),
    "one_hot": tf.one_hot(classes, 3),
    "logits": tf.constant(rng.normal(size=(7, 3)), "float32"),
    "weights": tf.constant([1.0, 2.0, 0.5, 3.0, 1.0, 0.0, 2.0]),
}
# One of each kind: tests/test_replicas.py trains with every loss.
makers = {
    "KR": (losses.KR, {}, "binary"),
    "HKR": (losses.HKR, {"alpha": 3.0}, "binary"),
    "MulticlassHKR": (losses.MulticlassHKR, {"alpha": 3.0}, "one_hot"),
    "TauSparseCategoricalCrossentropy":
        (losses.TauSparseCategoricalCrossentropy, {"tau": 2.0}, "classes"),
}


cases = [(name, "mean_with_sample_weight") for name in makers]
cases += [("MulticlassHKR", "sum_over_batch_size"), ("MulticlassHKR", "sum")]
with strategy.scope():
    made = [makers[name][0](**makers[name][1], reduction=reduction) for name, reduction in cases]


def values_and_gradients(data):
    found = []
    for loss, (name, _) in zip(made, cases):
        labels = makers[name][2]
        scores = data["logits"][:, :1] if labels == "binary" else data["logits"]
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(data[labels], scores, sample_weight=data["weights"])
        found.append((value, tape.gradient(value, scores)))
    return found


def part(context):
    half = slice(0, 4) if context.replica_id_in_sync_group == 0 else slice(4, 7)
    return {name: tensor[half] for name, tensor in data.items()}


def compare(whole, shared):
    values, gradients = (strategy.experimental_local_results(each) for each in shared)
    gaps = tf.abs(whole[1] - tf.concat(gradients, 0))
    return {
        "whole": float(whole[0]),
        "shared": float(sum(values)),
        "gradient": float(tf.reduce_max(tf.abs(whole[1]))),
        "gradient_gap": float(tf.reduce_max(gaps)),
    }


def trained(scope):
    y = np.eye(3)[[0, 2, 1, 2, 0, 0, 1, 2]]
    with scope:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        loss = losses.MulticlassHKR(alpha=1.0)
        model.compile(keras.optimizers.SGD(0.05), loss)
    model.set_weights([np.ones((2, 3)), np.zeros(3)])
    logs = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history["loss"]
    loss.alpha.assign(20.0)
    logs += model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]
    return {"weights": model.get_weights()[0].tolist(), "logs": logs}


x = rng.normal(size=(8, 2))
parts = strategy.experimental_distribute_values_from_function(part)
on_replicas = tf.function(lambda parts: strategy.run(values_and_gradients, args=(parts,)))
found = zip(cases, values_and_gradients(data), on_replicas(parts))
print(json.dumps({
    "replicas": strategy.num_replicas_in_sync,
    "losses": {" ".join(case): compare(whole, shared) for case, whole, shared in found},
    "one": trained(tf.distribute.OneDeviceStrategy("CPU:0").scope()),
    "two": trained(strategy.scope()),
}))
"""


@pytest.fixture(scope="module")
def found():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_two_replicas_share_the_loss_and_its_gradient(found):
    assert found["replicas"] == 2
    assert len(found["losses"]) == 6
    for name, case in found["losses"].items():
        assert case["shared"] == pytest.approx(case["whole"], rel=1e-5), name
        assert case["gradient"] > 1e-3, name
        assert case["gradient_gap"] <= 1e-5 * max(1.0, case["gradient"]), name


def test_fit_on_two_replicas_is_fit_on_one(found):
    one, two = found["one"], found["two"]
    for ours, theirs in zip(two["weights"], one["weights"]):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert two["logs"] == pytest.approx(one["logs"], rel=1e-4)
    assert abs(one["weights"][0][0] - 1.0) > 1e-2
