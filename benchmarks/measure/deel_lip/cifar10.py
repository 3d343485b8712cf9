"""Trains deel-lip 1.5.0 on CIFAR-10 for a time; `cifar10_reduced.py --deel` runs it.

    PYTHON benchmarks/measure/deel_lip/cifar10.py DATA.npz OUT.npz SETTINGS

It needs an environment of its own: pip install deel-lip==1.5.0 "tensorflow==2.15.*". It imports
nothing from lipot. DATA holds float images and one-hot labels; OUT gets the logits of the test
images, the weights of the exported model as `0`, `1`, ..., and how long was trained. SETTINGS is
one line of JSON.
"""

import json
import math
import sys
import time

import deel.lip as lip
import keras
import numpy as np


def network(filters, dense):
    """Convolutions with sorting and pooling, then two dense layers."""
    body = []
    for count in filters:
        body += [
            lip.layers.SpectralConv2D(count, 3),
            lip.activations.GroupSort2(),
            lip.layers.ScaledL2NormPooling2D((2, 2)),
        ]
    return lip.Sequential(
        [
            keras.Input((32, 32, 3)),
            *body,
            keras.layers.Flatten(),
            lip.layers.SpectralDense(dense),
            lip.activations.GroupSort2(),
            lip.layers.FrobeniusDense(10, disjoint_neurons=True),
        ]
    )


class TimeBudget(keras.callbacks.Callback):
    """Anneals the learning rate by a cosine over wall-clock time, and stops at its end."""

    def __init__(self, seconds, learning_rate):
        super().__init__()
        self.seconds = seconds
        self.learning_rate = learning_rate

    def on_train_begin(self, logs=None):
        self.start, self.cpu_start = time.monotonic(), time.process_time()
        self.steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        spent = min((time.monotonic() - self.start) / self.seconds, 1.0)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * spent))
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True


def main():
    data_file, out_file, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    keras.utils.set_random_seed(settings["seed"])
    with np.load(data_file, allow_pickle=False) as data:
        x, y, x_test = data["x_train"], data["y_train"], data["x_test"]
    batch = settings["batch_size"]
    model = network(settings["filters"], settings["dense"])
    loss = lip.losses.TauCategoricalCrossentropy(settings["tau"])
    model.compile(keras.optimizers.Adam(settings["learning_rate"]), loss, metrics=["accuracy"])
    # One step before the clock starts: it compiles.
    model.fit(x[:batch], y[:batch], batch_size=batch, verbose=0)
    budget = TimeBudget(60 * settings["minutes"], settings["learning_rate"])
    model.fit(x, y, batch_size=batch, epochs=10_000, verbose=2, callbacks=[budget])
    seconds = time.monotonic() - budget.start, time.process_time() - budget.cpu_start
    exported = model.vanilla_export()
    weights = {str(i): weight for i, weight in enumerate(exported.get_weights())}
    logits = model.predict(x_test, batch_size=256, verbose=0)
    np.savez(out_file, logits=logits, steps=budget.steps, seconds=seconds, **weights)


if __name__ == "__main__":
    main()
