"""Trains deel-lip 1.5.0 on CIFAR-10 for a time; `certified_cifar10.py --deel` runs it.

    PYTHON benchmarks/measure/deel_lip/cifar10.py DATA.npz OUT.npz SETTINGS

It needs an environment of its own: pip install deel-lip==1.5.0 "tensorflow==2.15.*". It imports
nothing from lipot, and of the benchmarks what needs NumPy alone. DATA holds float images and
one-hot labels; OUT gets the logits of the test images, the weights of the exported model as `0`,
`1`, ..., and how long was trained. SETTINGS is one line of JSON.
"""

import json
import math
import sys
import time
from pathlib import Path

import deel.lip as lip
import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "common"))
from image_moves import moved


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


class Batches(keras.utils.Sequence):
    """Shuffled batches of cropped and mirrored images, those that lipot's rows see."""

    def __init__(self, images, labels, batch_size, seed):
        self.images, self.labels, self.batch_size, self.seed = images, labels, batch_size, seed
        self.epoch = -1
        self.on_epoch_end()

    def on_epoch_end(self):
        self.epoch += 1
        generator = np.random.default_rng([self.seed, self.epoch])
        self.order = generator.permutation(len(self.images))

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        part = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        generator = np.random.default_rng([self.seed, self.epoch, index])
        return moved(self.images[part], generator), self.labels[part]


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
    batches = Batches(x, y, batch, settings["seed"])
    model.fit(batches, epochs=10_000, shuffle=False, verbose=2, callbacks=[budget])
    minutes = [
        (time.monotonic() - budget.start) / 60,
        (time.process_time() - budget.cpu_start) / 60,
    ]
    exported = model.vanilla_export()
    weights = {str(i): weight for i, weight in enumerate(exported.get_weights())}
    logits = model.predict(x_test, batch_size=256, verbose=0)
    np.savez(out_file, logits=logits, steps=budget.steps, minutes=minutes, **weights)


if __name__ == "__main__":
    main()
