"""Trains a 1-Lipschitz network on MNIST for half an hour with margin cross-entropy; certifies it.

    LIPOT_DATA_DIR=... python -m benchmarks.margin_mnist [--minutes 30]

The network is that of `hkr_mnist`; the loss asks for the margin that a radius of 1.58 needs.
Temperature and optimizer were chosen on the last 10,000 training images; `--holdout 10000` leaves
them out and certifies them instead of the test images.
"""

import argparse
import math
import time
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.hkr_mnist import RADII, TimeBudget, network
from benchmarks.norms import operator_norms
from lipot import losses


def train(x, y, options):
    """Trains for the time given; returns the model, the seconds and the epochs it took."""
    model = network()
    model.summary()
    # Rows of norm one that are orthogonal lie sqrt(2) apart: so much margin proves the radius.
    loss = losses.MarginCategoricalCrossentropy(
        tau=options.tau, min_margin=math.sqrt(2.0) * options.radius
    )
    # Gradients vanish where all margins hold: a memory of a thousand steps, the usual one, then
    # makes the next step too long.
    optimizer = keras.optimizers.Adam(options.learning_rate, beta_2=0.99, epsilon=1e-5)
    model.compile(optimizer, loss, metrics=["accuracy"])
    start = time.monotonic()
    history = model.fit(
        x,
        keras.utils.to_categorical(y, 10),
        batch_size=options.batch_size,
        epochs=10_000,
        verbose=2,
        # A long first step can silence a class for good.
        callbacks=[TimeBudget(60 * options.minutes, options.learning_rate, warmup=0.02)],
    )
    return model, time.monotonic() - start, len(history.epoch)


def main():
    options = parsed()
    keras.utils.set_random_seed(options.seed)
    data = lipot.datasets.load("mnist")
    train_on, test_on = (data.x_train, data.y_train), (data.x_test, data.y_test)
    if options.holdout:
        test_on = tuple(array[-options.holdout :] for array in train_on)
        train_on = tuple(array[: -options.holdout] for array in train_on)
    cpu = time.process_time()
    model, seconds, epochs = train(*train_on, options)
    cpu = time.process_time() - cpu
    Path("runs").mkdir(exist_ok=True)
    model.save("runs/margin_mnist.keras")
    certificate = lipot.certify(model, *test_on)
    figures = {
        "minutes": seconds / 60,
        "processor_minutes": cpu / 60,
        "epochs": epochs,
        "clean": float(np.mean(certificate.correct)),
        "certified": {str(radius): certificate.accuracy(radius) for radius in RADII},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "layers": operator_norms(model),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(write_result(options.name, figures, seed=options.seed, settings=vars(options)))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--radius", type=float, default=1.58, help="to leave a margin for")
    parser.add_argument("--tau", type=float, default=4.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--holdout", type=int, default=0, help="training images to certify")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="margin_mnist", help="name of the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
