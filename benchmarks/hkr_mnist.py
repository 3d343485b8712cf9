"""Trains a convolutional hinge-KR network on MNIST within a time budget, and certifies it.

    LIPOT_DATA_DIR=... python -m benchmarks.hkr_mnist [--minutes 16]

Writes clean and certified accuracy, the singular values and operator norms reached, and the model
to `runs/hkr_mnist.keras`, which `benchmarks/soundness.py` attacks.
"""

import argparse
import math
import time
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.norms import operator_norms
from lipot import layers, losses

RADII = (0.5, 1.0, 1.58, 2.0, 2.5)


def network():
    """One overlapping convolution, then dense layers, all orthonormal, at most 1-Lipschitz."""
    hidden = [layer() for _ in range(3) for layer in (_dense, layers.GroupSort2)]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.OrthogonalConv2D(8, 4, strides=2),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            *hidden,
            layers.FrobeniusDense(10, disjoint_neurons=True),
        ],
        name="hkr_mnist",
    )


def _dense():
    return layers.SpectralDense(512)


class TimeBudget(keras.callbacks.Callback):
    """Anneals the learning rate by a cosine over wall-clock time, and stops at its end.

    The rate first rises in a straight line for a share `warmup` of the time.
    """

    def __init__(self, seconds, learning_rate, warmup=0.0):
        super().__init__()
        self.seconds = seconds
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.start = None

    def on_train_begin(self, logs=None):
        self.start = time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        spent = min((time.monotonic() - self.start) / self.seconds, 1.0)
        rate = self.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * spent)))
        self.model.optimizer.learning_rate = rate * min(1.0, (spent + 1e-6) / (self.warmup + 1e-6))
        if spent >= 1.0:
            self.model.stop_training = True

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True


def train(data, arguments):
    """Trains for the time given; returns the model and the seconds and epochs it took."""
    model = network()
    model.summary()
    loss = losses.MulticlassHKR(alpha=arguments.alpha, min_margin=arguments.min_margin)
    model.compile("adam", loss, metrics=["accuracy"])
    labels = keras.utils.to_categorical(data.y_train, 10)
    # A batch of one epoch may overrun the budget by the time of that batch alone.
    start = time.monotonic()
    history = model.fit(
        data.x_train,
        labels,
        batch_size=arguments.batch_size,
        epochs=10_000,
        verbose=2,
        callbacks=[TimeBudget(60 * arguments.minutes, arguments.learning_rate)],
    )
    return model, time.monotonic() - start, len(history.epoch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=16.0)
    parser.add_argument("--alpha", type=float, default=35.0)
    parser.add_argument("--min-margin", type=float, default=1.75)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    data = lipot.datasets.load("mnist")
    model, seconds, epochs = train(data, arguments)
    Path("runs").mkdir(exist_ok=True)
    model.save("runs/hkr_mnist.keras")
    certificate = lipot.certify(model, data.x_test, data.y_test)
    figures = {
        "minutes": seconds / 60,
        "epochs": epochs,
        "clean": float(certificate.correct.mean()),
        "certified": {str(radius): certificate.accuracy(radius) for radius in RADII},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "layers": operator_norms(model),
        "median_radius": float(np.median(certificate.radius)),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    settings = {**vars(arguments), "published for BCP": {"clean": 0.9241, "1.58": 0.4795}}
    print(write_result("hkr_mnist", figures, seed=arguments.seed, settings=settings))


if __name__ == "__main__":
    main()
