"""CIFAR-10 on two cores: certified accuracy after equal time, beside deel-lip's layers.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.certified_cifar10 \
        [--minutes 40] [--deel PYTHON] [--rows lipnext ...] [--seeds 0 1 2]

Each network is trained for the same time by the clock, on the same images, cropped and mirrored:
deel-lip 1.5.0's layers, the same layers of lipot, orthogonal convolutions with strides, and
LipNeXt. Settings were tried on the last 5,000 training images, which `--holdout 5000` leaves out
and certifies instead of the test images: deel-lip's temperature, and radius, temperature and rate
of orthogonal convolutions, which the other two take over. deel-lip needs
TensorFlow 2.15: `--deel` names the Python of an environment that has both, where
`deel_lip/cifar10.py` trains it. Its exported kernels come back, and the certificate is computed
from them as from any stock Keras model; what deel-lip's own metric claims, with the constant 1
taken for granted, stands beside it. All are certified in float64, so that no row pays for its
rounding. Kill it at any time: the same command goes on from the last epoch (of deel-lip, from the
last row).
"""

import argparse
import dataclasses
import functools
import json
import subprocess
import tempfile
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import cifar10_networks as networks
from benchmarks.common import read_result, write_result
from benchmarks.common.cifar10_certificate import RADII
from benchmarks.common.cifar10_recipe import Recipe
from benchmarks.common.networks import precision
from benchmarks.common.norms import operator_norms, power_iteration
from lipot import optimizers

RUNS = Path("runs")


# By its name in the command: the name in the table, and how it is trained.
ROWS = {
    "same": (
        "lipot, the same layers",
        Recipe(networks.spectral, optimizer=keras.optimizers.Adam),
    ),
    "orthogonal": ("lipot, orthogonal", Recipe(networks.orthogonal)),
    "lipnext": (
        "lipot, LipNeXt",
        # Its stored row was made with this angle, which was the default.
        Recipe(networks.lipnext, optimizer=functools.partial(optimizers.ManifoldAdam, turn=64.0)),
    ),
}
# deel-lip has no loss that knows the last layer: its cross-entropy with a temperature.
DEEL, DEEL_SETTINGS = "deel-lip 1.5.0", {"learning_rate": 1e-3, "tau": 1.0}


def lipot_row(key, data, seed, options):
    """Trains a network of lipot's layers for the time given; returns its figures."""
    name, recipe = ROWS[key]
    model, _, clock = dataclasses.replace(recipe, batch_size=options.batch_size).trained(
        data["x_train"],
        data["y_train"],
        minutes=options.minutes,
        seed=seed,
        folder=RUNS / options.result / f"{name}, seed {seed}",
    )
    norms = [found["largest"] for found in operator_norms(model)[:-1]]
    exact = in_float64(recipe.build, model.get_weights())
    epochs = clock.steps / (len(data["x_train"]) // options.batch_size)
    return figures_of(exact, data, epochs, clock.spent(), norms) | {"settings": recipe.settings()}


def deel_row(data, seed, options):
    """Trains deel-lip in its own environment; certifies what it exported."""
    settings = {
        **DEEL_SETTINGS,
        "filters": [32, 64, 64],
        "dense": 256,
        "minutes": options.minutes,
        "batch_size": options.batch_size,
        "seed": seed,
    }
    script = Path(__file__).parents[1] / "deel_lip" / "cifar10.py"
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "data.npz"), Path(folder, "found.npz")
        np.savez(given, **{name: data[name] for name in ("x_train", "y_train", "x_test")})
        command = [options.deel, script, given, found, json.dumps(settings)]
        subprocess.run(list(map(str, command)), check=True)
        with np.load(found, allow_pickle=False) as arrays:
            arrays = dict(arrays)
    logits, steps, minutes = (arrays.pop(name) for name in ("logits", "steps", "minutes"))
    weights = [arrays[str(i)] for i in range(len(arrays))]
    model = in_float64(networks.stock, weights)
    figures = figures_of(
        model,
        data,
        int(steps) / (len(data["x_train"]) // options.batch_size),
        dict(zip(("minutes", "processor_minutes"), map(float, minutes))),
        kernel_norms(weights),
    )
    rebuilt = model.predict(data["x_test"], batch_size=256, verbose=0)
    difference = float(np.abs(rebuilt - logits).max())
    return figures | {"largest_difference_of_rebuilt_logits": difference, "settings": settings}


def in_float64(build, weights):
    """The network of some weights, computed in float64."""
    with precision("float64"):
        model = build()
    model.set_weights(weights)
    return model


def kernel_norms(weights):
    """Norms of deel-lip's layers before the last, measured on their real inputs from below."""
    twins = [layer for layer in networks.spectral().layers if layer.weights]
    return [
        float(np.linalg.norm(kernel, 2))
        if kernel.ndim == 2
        else float(power_iteration(twin, kernel.astype("float64")))
        for twin, kernel in zip(twins, weights[:-2:2])
    ]


def figures_of(model, data, epochs, spent, norms):
    """Certifies a network; returns a row of the table."""
    certificate = lipot.certify(model, data["x_test"], data["labels"])
    logits = np.sort(model.predict(data["x_test"], batch_size=256, verbose=0), axis=1)
    # Every output taken to be 1-Lipschitz.
    claimed = np.where(certificate.correct, (logits[:, -1] - logits[:, -2]) / 2.0, -1.0)
    return {
        "epochs": epochs,
        **spent,
        "clean": float(certificate.correct.mean()),
        "certified": {name: certificate.accuracy(eps) for name, eps in RADII.items()},
        "claimed": {name: float(np.mean(claimed > eps)) for name, eps in RADII.items()},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "norms_of_layers": norms,
        "weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }


def arrays_of(dataset, options):
    """The arrays that all networks see: the images less the mean color.

    What all images share would dominate the gradient of the first kernel. A shift of the inputs
    changes no distance between them, and so no radius.
    """
    x, labels = dataset.x_train[: options.images], dataset.y_train[: options.images]
    x_test, y_test = dataset.x_test[: options.points], dataset.y_test[: options.points]
    if n := options.holdout:
        x, labels, x_test, y_test = x[:-n], labels[:-n], x[-n:], labels[-n:]
    mean = x.mean(axis=(0, 1, 2))
    return {
        "x_train": x - mean,
        "y_train": np.eye(10, dtype="float32")[labels],
        "x_test": x_test - mean,
        "labels": y_test,
    }


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40.0, help="of training, each network")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--points", type=int, default=10000)
    parser.add_argument("--holdout", type=int, default=0, help="training images to certify")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--deel", metavar="PYTHON", help="Python that has deel-lip 1.5.0")
    parser.add_argument("--rows", nargs="+", choices=["deel", *ROWS], help="default: all it can")
    parser.add_argument("--result", default="certified_cifar10", help="name of the stored result")
    options = parser.parse_args(arguments)
    options.rows = options.rows or (["deel"] if options.deel else []) + list(ROWS)
    if "deel" in options.rows and not options.deel:
        parser.error("--rows deel needs --deel PYTHON")
    return options


def main():
    options = parse()
    dataset = lipot.datasets.load("cifar10")
    data = arrays_of(dataset, options)
    asked = ("minutes", "batch_size", "images", "points", "holdout")
    settings = {name: vars(options)[name] for name in asked} | {"note": dataset.note}
    stored = read_result(options.result)
    found = stored["figures"] if stored and stored["settings"] == settings else {}
    for key in options.rows:
        name = DEEL if key == "deel" else ROWS[key][0]
        runs = found.setdefault(name, {})
        for seed in (seed for seed in map(str, options.seeds) if seed not in runs):
            runs[seed] = (
                deel_row(data, int(seed), options)
                if key == "deel"
                else lipot_row(key, data, int(seed), options)
            )
            print(name, seed, json.dumps(runs[seed], indent=1), flush=True)
            write_result(options.result, found, seed=options.seeds, settings=settings)


if __name__ == "__main__":
    main()
