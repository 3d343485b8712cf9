"""Times a training step of 1-Lipschitz networks against the same plain Keras network.

    python -m benchmarks.training_step [--steps 60] [--rounds 5]

Both networks run in one process in turns, so that the machine's mood cancels in the ratio.
deel-lip 1.5.0 needs TensorFlow 2.15; where the published ratio stands beside ours it was measured
apart: 13.8 for the MLP and 2.3 for the CNN.
"""

import argparse
import statistics
import time

import keras
import numpy as np

from benchmarks.common import write_result
from lipot import layers

ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky")


def mlp(dense, activation):
    """784-256-256-256-10."""
    hidden = [layer for _ in range(3) for layer in (dense(256), activation())]
    return keras.Sequential([keras.Input((784,)), *hidden, dense(10)])


def cnn(conv, dense, activation, pool):
    """32-32-64-64 on 28x28."""
    body = []
    for filters in (32, 64):
        body += [conv(filters, 3), activation(), conv(filters, 3), activation(), pool(2)]
    body += [keras.layers.Flatten(), dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *body])


def plain_networks():
    """The stock Keras twins."""

    def conv(filters, size):
        return keras.layers.Conv2D(filters, size, padding="same")

    relu = keras.layers.ReLU
    return {
        "mlp": mlp(keras.layers.Dense, relu),
        "cnn": cnn(conv, keras.layers.Dense, relu, keras.layers.AveragePooling2D),
    }


def lipschitz_networks(orthogonalizer):
    """The 1-Lipschitz twins."""

    def dense(units):
        return layers.SpectralDense(units, orthogonalizer=orthogonalizer)

    def conv(filters, size):
        return layers.SpectralConv2D(filters, size, orthogonalizer=orthogonalizer)

    sort = layers.GroupSort2
    return {
        "mlp": mlp(dense, sort),
        "cnn": cnn(conv, dense, sort, layers.ScaledL2NormPooling2D),
    }


def seconds_per_step(model, x, y, steps, batch_size):
    """One epoch of `steps` batches through `fit`, after compilation."""
    count = steps * batch_size
    start = time.perf_counter()
    model.fit(x[:count], y[:count], batch_size=batch_size, epochs=1, verbose=0)
    return (time.perf_counter() - start) / steps


def seconds_per_prediction(model, x, batch_size):
    """One pass of `predict` over all points, by batch."""
    start = time.perf_counter()
    model.predict(x, batch_size=batch_size, verbose=0)
    return (time.perf_counter() - start) * batch_size / len(x)


def measure(models, x, y, arguments):
    """Interleaves the models; returns the median of each and its ratio to the plain one."""
    for model in models.values():
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x[:512], y[:512], batch_size=arguments.batch_size, verbose=0)
        model.predict(x[:512], batch_size=arguments.batch_size, verbose=0)
    train = {name: [] for name in models}
    predict = {name: [] for name in models}
    for _ in range(arguments.rounds):
        for name, model in models.items():
            train[name].append(seconds_per_step(model, x, y, arguments.steps, arguments.batch_size))
            model.predict(x[:1], verbose=0)
            predict[name].append(seconds_per_prediction(model, x, arguments.batch_size))
    return {name: summary(train, predict, name) for name in models}


def summary(train, predict, name):
    """Medians, and medians of the ratios round by round."""

    def ratio(times):
        return statistics.median(ours / plain for ours, plain in zip(times[name], times["plain"]))

    return {
        "train_ms": 1e3 * statistics.median(train[name]),
        "train_ratio": ratio(train),
        "predict_ms": 1e3 * statistics.median(predict[name]),
        "predict_ratio": ratio(predict),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(ORTHOGONALIZERS))
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    count = arguments.steps * arguments.batch_size
    images = rng.random((count, 28, 28, 1), dtype="float32")
    labels = rng.integers(0, 10, count)
    figures = {}
    for network in ("mlp", "cnn"):
        x = images.reshape(count, -1) if network == "mlp" else images
        models = {"plain": plain_networks()[network]}
        models |= {name: lipschitz_networks(name)[network] for name in arguments.only}
        figures[network] = measure(models, x, labels, arguments)
        for name, row in figures[network].items():
            print(
                f"{network:4s} {name:12s} step {row['train_ms']:8.2f} ms  x{row['train_ratio']:.2f}"
                f"   predict {row['predict_ms']:7.2f} ms  x{row['predict_ratio']:.2f}",
                flush=True,
            )
    figures["deel-lip 1.5.0, measured apart"] = {"mlp": 13.8, "cnn": 2.3}
    print(write_result("training_step", figures, seed=arguments.seed, settings=vars(arguments)))


if __name__ == "__main__":
    main()
