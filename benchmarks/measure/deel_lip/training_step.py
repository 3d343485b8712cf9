"""Times a training step of deel-lip 1.5.0 against plain Keras; `training_step.py --deel` runs it.

    PYTHON benchmarks/measure/deel_lip/training_step.py STEPS ROUNDS BATCH

It needs an environment of its own: pip install deel-lip==1.5.0 "tensorflow==2.15.*". It imports
nothing from lipot and prints one line of JSON.
"""

import json
import statistics
import sys
import time

import deel.lip as lip
import keras
import numpy as np


def mlp(dense, activation):
    """784-256-256-256-10."""
    hidden = [layer for _ in range(3) for layer in (dense(256), activation())]
    return keras.Sequential([keras.Input((784,)), *hidden, dense(10)])


def cnn(conv, dense, activation, pool):
    """32-32-64-64 on 28x28."""
    body = []
    for filters in (32, 64):
        body += [conv(filters, 3), activation(), conv(filters, 3), activation(), pool((2, 2))]
    return keras.Sequential([keras.Input((28, 28, 1)), *body, keras.layers.Flatten(), dense(10)])


def networks():
    """Pairs of a plain network and its 1-Lipschitz twin."""

    def conv(filters, size):
        return keras.layers.Conv2D(filters, size, padding="same")

    plain, ours = keras.layers, lip.layers
    return {
        "mlp": (mlp(plain.Dense, plain.ReLU), mlp(ours.SpectralDense, lip.activations.GroupSort2)),
        "cnn": (
            cnn(conv, plain.Dense, plain.ReLU, plain.AveragePooling2D),
            cnn(
                ours.SpectralConv2D,
                ours.SpectralDense,
                lip.activations.GroupSort2,
                ours.ScaledL2NormPooling2D,
            ),
        ),
    }


def spent(function, parts, *arguments, **options):
    """Seconds of the clock and of the processor for one of `parts` equal parts of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*arguments, verbose=0, **options)
    return (time.perf_counter() - wall) / parts, (time.process_time() - cpu) / parts


def measure(pair, x, y, steps, rounds, batch):
    """Interleaves both networks; returns medians and the median ratios."""
    for model in pair:
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x[: 4 * batch], y[: 4 * batch], batch_size=batch, verbose=0)
        model.predict(x[: 4 * batch], batch_size=batch, verbose=0)
    times = {"train": [], "predict": []}
    for _ in range(rounds):
        times["train"].append([spent(m.fit, steps, x, y, batch_size=batch) for m in pair])
        times["predict"].append([spent(m.predict, steps, x, batch_size=batch) for m in pair])
    found = {}
    for name, rows in times.items():
        found[f"{name}_ms"] = 1e3 * statistics.median(ours[0] for _, ours in rows)
        for key, clock in (("ratio", 0), ("cpu_ratio", 1)):
            shares = [ours[clock] / plain[clock] for plain, ours in rows]
            found[f"{name}_{key}"] = statistics.median(shares)
    return found


def main():
    steps, rounds, batch = map(int, sys.argv[1:])
    rng = np.random.default_rng(0)
    images = rng.random((steps * batch, 28, 28, 1), dtype="float32")
    labels = rng.integers(0, 10, len(images))
    figures = {}
    for name, pair in networks().items():
        x = images.reshape(len(images), -1) if name == "mlp" else images
        figures[name] = measure(pair, x, labels, steps, rounds, batch)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
