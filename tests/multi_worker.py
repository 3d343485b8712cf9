"""Trains a small network as one of several workers: `python -m tests.multi_worker 0 PORTS FOLDER`.

With one port it trains alone. A fourth argument is the epoch at whose beginning it kills itself.
"""

import json
import os
import signal
import sys

import numpy as np


def main(index, ports, folder, dies_at=None):
    ports = ports.split(",")
    if len(ports) > 1:
        workers = [f"127.0.0.1:{port}" for port in ports]
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    import tensorflow as tf

    # Before anything else of TensorFlow is used.
    alone = len(ports) == 1
    strategy = (
        tf.distribute.get_strategy() if alone else tf.distribute.MultiWorkerMirroredStrategy()
    )
    import keras

    import lipot

    rng = np.random.default_rng(0)
    x = rng.uniform(size=(21, 5)).astype("float32")
    y = np.eye(3, dtype="float32")[rng.integers(0, 3, 21)]
    keras.utils.set_random_seed(0)

    class Dies(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    with strategy.scope():
        hidden = [lipot.layers.SpectralDense(6), lipot.layers.GroupSort2()]
        head = lipot.layers.FrobeniusDense(3)
        model = keras.Sequential([keras.Input((5,)), *hidden, head])
        metrics = ["accuracy", lipot.losses.MulticlassKR()]
        model.compile(keras.optimizers.SGD(0.05), lipot.losses.MulticlassHKR(10.0), metrics=metrics)
        if not alone:
            lipot.models.among_workers(model)
        settings = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0}
        callbacks = [lipot.callbacks.Backup(folder), Dies()]
        history = model.fit(x, y, validation_data=(x, y), callbacks=callbacks, **settings)
    weights = [w.tolist() for w in model.get_weights()]
    print(json.dumps({"history": history.history, "weights": weights, "epochs": history.epoch}))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4], *map(int, sys.argv[4:]))
