"""CIFAR-10 on two cores: certified accuracy after equal time, beside deel-lip's layers.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.cifar10_reduced \
        [--minutes 8] [--deel PYTHON]

Three networks are trained one after the other for the same time, with the same loss, optimizer,
batch and images: convolutions of 3 x 3 with sorting and pooling out of deel-lip 1.5.0's layers, the
same out of lipot's, and what lipot recommends, orthogonal convolutions with strides. deel-lip needs
TensorFlow 2.15: `--deel` names the Python of an environment that has both, where
`deel_lip/cifar10.py` trains it. Its exported kernels come back, and the certificate is computed
from them as from any stock Keras model; what deel-lip's own metric claims, with the constant 1
taken for granted, stands beside it. All are certified in float64, so that no row pays for its
rounding. Each row is stored as it completes; the same command continues.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import read_result, write_result
from benchmarks.common.cifar10_certificate import RADII
from benchmarks.common.norms import operator_norms, power_iteration
from lipot import layers, losses
from lipot.callbacks import TimeBudget

DEEL, SPECTRAL, ORTHOGONAL = "deel-lip 1.5.0", "lipot, the same layers", "lipot, orthogonal"
ROWS = {"deel": DEEL, "same": SPECTRAL, "orthogonal": ORTHOGONAL}
SETTINGS = ("minutes", "learning_rate", "batch_size", "tau", "filters", "dense", "seed")


def spectral(filters, dense):
    """The twin of deel-lip's network."""
    return assembled(pooled(filters, layers.SpectralConv2D), layers.SpectralDense(dense), head())


def orthogonal(filters, dense):
    """Orthogonal convolutions that shrink the image by their strides."""
    body = [
        part
        for count in filters
        for part in (layers.OrthogonalConv2D(count, 4, strides=2), layers.GroupSort2())
    ]
    return assembled(body, layers.SpectralDense(dense), head())


def stock(filters, dense):
    """What deel-lip exports: kernels in stock layers."""

    def convolution(count, size):
        return keras.layers.Conv2D(count, size, padding="same")

    body = pooled(filters, convolution)
    return assembled(body, keras.layers.Dense(dense), keras.layers.Dense(10))


def pooled(filters, convolution):
    """Convolutions of 3 x 3, each with sorting and pooling."""
    return [
        part
        for count in filters
        for part in (
            convolution(count, 3),
            layers.GroupSort2(),
            layers.ScaledL2NormPooling2D(2),
        )
    ]


def head():
    return layers.FrobeniusDense(10, disjoint_neurons=True)


def assembled(body, dense, last):
    """A classifier of 32 x 32 images."""
    flat = keras.layers.Flatten()
    return keras.Sequential(
        [keras.Input((32, 32, 3)), *body, flat, dense, layers.GroupSort2(), last]
    )


class CountedBudget(TimeBudget):
    """A `TimeBudget` that counts the steps taken."""

    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        super().on_train_batch_end(batch, logs)


def lipot_row(build, filters, data, arguments):
    """Trains a network of lipot's layers for the time given; returns its figures."""
    keras.utils.set_random_seed(arguments.seed)
    model = build(filters, arguments.dense)
    loss = losses.TauCategoricalCrossentropy(arguments.tau)
    model.compile(keras.optimizers.Adam(arguments.learning_rate), loss, metrics=["accuracy"])
    x, y, batch = data["x_train"], data["y_train"], arguments.batch_size
    # One step before the clock starts: it compiles.
    model.fit(x[:batch], y[:batch], batch_size=batch, verbose=0)
    budget = CountedBudget(arguments.minutes, arguments.learning_rate)
    start = time.monotonic(), time.process_time()
    model.fit(x, y, batch_size=batch, epochs=10_000, verbose=2, callbacks=[budget])
    seconds = time.monotonic() - start[0], time.process_time() - start[1]
    norms = [row["largest"] for row in operator_norms(model)[:-1]]
    exact = in_float64(build, filters, arguments.dense, model.get_weights())
    return row_of(exact, data, budget.steps, seconds, norms, arguments)


def deel_row(data, arguments):
    """Trains deel-lip in its own environment; certifies what it exported."""
    settings = {name: vars(arguments)[name] for name in SETTINGS}
    script = Path(__file__).parents[1] / "deel_lip" / "cifar10.py"
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "data.npz"), Path(folder, "found.npz")
        np.savez(given, **{name: data[name] for name in ("x_train", "y_train", "x_test")})
        command = [arguments.deel, script, given, found, json.dumps(settings)]
        subprocess.run(list(map(str, command)), check=True)
        with np.load(found, allow_pickle=False) as arrays:
            arrays = dict(arrays)
    logits, steps, seconds = (arrays.pop(name) for name in ("logits", "steps", "seconds"))
    weights = [arrays[str(i)] for i in range(len(arrays))]
    model = in_float64(stock, arguments.filters, arguments.dense, weights)
    row = row_of(
        model, data, int(steps), map(float, seconds), kernel_norms(weights, arguments), arguments
    )
    rebuilt = model.predict(data["x_test"], batch_size=256, verbose=0)
    row["largest_difference_of_rebuilt_logits"] = float(np.abs(rebuilt - logits).max())
    return row


def in_float64(build, filters, dense, weights):
    """The network of some weights, computed in float64."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = build(filters, dense)
    finally:
        keras.config.set_dtype_policy(policy)
    model.set_weights(weights)
    return model


def kernel_norms(weights, arguments):
    """Norms of deel-lip's layers before the last, measured on their real inputs from below."""
    kernels = weights[:-2:2]
    twins = [
        layer for layer in spectral(arguments.filters, arguments.dense).layers if layer.weights
    ]
    return [
        float(np.linalg.norm(kernel, 2))
        if kernel.ndim == 2
        else float(power_iteration(twin, kernel.astype("float64")))
        for twin, kernel in zip(twins, kernels)
    ]


def row_of(model, data, steps, seconds, norms, arguments):
    """Certifies a network trained for `seconds` of wall and CPU; returns a row of the table."""
    wall, cpu = seconds
    certificate = lipot.certify(model, data["x_test"], data["labels"])
    logits = np.sort(model.predict(data["x_test"], batch_size=256, verbose=0), axis=1)
    # Every output taken to be 1-Lipschitz.
    claimed = np.where(certificate.correct, (logits[:, -1] - logits[:, -2]) / 2.0, -1.0)
    return {
        "epochs": steps * arguments.batch_size / len(data["x_train"]),
        "seconds": wall,
        "cpu_seconds": cpu,
        "clean": float(certificate.correct.mean()),
        "certified": {name: certificate.accuracy(eps) for name, eps in RADII.items()},
        "claimed": {name: float(np.mean(claimed > eps)) for name, eps in RADII.items()},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "norms_of_layers": norms,
        "weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }


def arrays_of(dataset, arguments):
    """The arrays that all networks see: the images less their mean.

    What all images share would dominate the gradient of the first kernel. A shift of the inputs
    changes no distance between them, and so no radius.
    """
    x_train = dataset.x_train[: arguments.images]
    mean = x_train.mean(axis=0)
    return {
        "x_train": x_train - mean,
        "y_train": dataset.y_train_onehot[: arguments.images],
        "x_test": dataset.x_test[: arguments.points] - mean,
        "labels": dataset.y_test[: arguments.points],
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, each network")
    parser.add_argument("--filters", type=int, nargs="+", default=[32, 64, 64])
    parser.add_argument("--orthogonal-filters", type=int, nargs="+", default=[32, 128, 256])
    parser.add_argument("--dense", type=int, default=256)
    parser.add_argument("--tau", type=float, default=10.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--points", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deel", metavar="PYTHON", help="Python that has deel-lip 1.5.0")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all that can be run")
    parser.add_argument("--result", default="cifar10_reduced", help="name of the stored result")
    arguments = parser.parse_args()
    arguments.rows = arguments.rows or [key for key in ROWS if key != "deel" or arguments.deel]
    if "deel" in arguments.rows and not arguments.deel:
        parser.error("--rows deel needs --deel PYTHON")
    return arguments


def main():
    arguments = parse()
    dataset = lipot.datasets.load("cifar10")
    data = arrays_of(dataset, arguments)
    rows = {
        DEEL: lambda: deel_row(data, arguments),
        SPECTRAL: lambda: lipot_row(spectral, arguments.filters, data, arguments),
        ORTHOGONAL: lambda: lipot_row(orthogonal, arguments.orthogonal_filters, data, arguments),
    }
    settings = {k: v for k, v in vars(arguments).items() if k not in ("deel", "rows", "result")}
    settings |= {"note": dataset.note, "centered": True}
    stored = read_result(arguments.result)
    found = stored["figures"] if stored and stored["settings"] == settings else {}
    for name in [name for key, name in ROWS.items() if key in arguments.rows]:
        if name not in found:
            found[name] = rows[name]()
            # In the order of the table, whichever was measured first.
            found = {key: found[key] for key in rows if key in found}
            write_result(arguments.result, found, seed=arguments.seed, settings=settings)
        print(name, json.dumps(found[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
