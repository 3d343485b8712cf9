"""OTAD on vectors: single cells (table IV) and Gaussians (table XIV).

    python -m benchmarks.otad.vectors cells [--quick]
    python -m benchmarks.otad.vectors gaussians [--quick]

`cells` takes PBMC 68k (reduced: 560 + 140 cells, 765 genes, 10 types) in place of the paper's
MERFISH retina (65697 + 16425 cells, 500 genes, 7 types), which was not available: the figures
show that it works there, not how it compares. `gaussians` draws 50000 + 10000 points of dimension
128 around means on the unit sphere, as the paper does, with `--train` and `--test` of them.
"""

import argparse

import keras
import numpy as np

import lipot
from benchmarks.otad import parts as shared
from lipot import datasets
from lipot.models import OTAD, NearestMean, transport_resnet

DEVIATIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("cells", "gaussians"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--train", type=int, default=50_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.points, options.train, options.test = 2, 20, 1000, 100
    store = shared.store_of(options.what, options, beside=("what",))
    if options.what == "cells":
        loaded = datasets.load("pbmc68k", seed=options.seed)
        data = (loaded.x_train, loaded.y_train, loaded.x_test, loaded.y_test)
        store.run("PBMC 68k", measure, "cells", data, 4, (0.5, 1.0, 2.0), options)
        return
    for deviation in DEVIATIONS[:1] if options.quick else DEVIATIONS:
        data = gaussians(deviation, options)
        store.run(f"std = {deviation}", measure, f"gaussians_{deviation}", data, 3, (1.0,), options)


def gaussians(deviation, options, dimension=128, classes=10):
    """Points around means drawn from the unit sphere, `N(mu_k, deviation^2 I)`."""
    rng = np.random.default_rng(options.seed)
    means = rng.normal(size=(classes, dimension))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    labels = rng.integers(0, classes, options.train + options.test)
    x = means[labels] + deviation * rng.normal(size=(len(labels), dimension))
    x, cut = x.astype("float32"), options.train
    return x[:cut], labels[:cut], x[cut:], labels[cut:]


def measure(name, data, blocks, radii, options):
    x_train, y_train, x_test, y_test = data
    network = shared.trained(
        f"{name}{'_quick' if options.quick else ''}_{options.epochs}_{options.seed}",
        lambda: build(x_train.shape[1], blocks, int(y_train.max()) + 1),
        lambda net: train(net, x_train, y_train, options),
    )
    parts = (network.get_layer("backbone"), network.get_layer("head"))
    model = OTAD(*parts, neighbors=10, smoothness=2.0).adapt(x_train)
    mean = NearestMean(*parts, neighbors=10).adapt(x_train)
    figures = {
        "network accuracy": shared.accuracy(network, x_test, y_test),
        "standard accuracy": shared.accuracy(model, x_test, y_test),
        "KNN accuracy": shared.accuracy(mean, x_test, y_test),
        "relative error": round(float(np.mean(model.relative_error(x_test))), 4),
    }
    x, y = shared.some(x_test, y_test, options.points, options.seed)
    for eps in radii:
        steps = 5 if options.quick else 100
        attacks = shared.gradient_attacks(model, x.shape[1:], eps, steps=steps, clip_values=None)
        for attack, search in attacks.items():
            figures[f"{attack}, eps = {eps}"] = shared.attacked_accuracy(model, x, y, search)
    certificate = lipot.certify(model, x, y)
    figures["median certified radius"] = round(float(np.median(certificate.radius)), 4)
    return figures


def build(dimension, blocks, classes):
    layers = transport_resnet(dimension, blocks).layers
    backbone = keras.Sequential([keras.Input((dimension,)), *layers], name="backbone")
    head = keras.Sequential([keras.Input((dimension,)), keras.layers.Dense(classes)], name="head")
    return keras.Sequential([keras.Input((dimension,)), backbone, head])


def train(network, x, y, options):
    keras.utils.set_random_seed(options.seed)
    steps = options.epochs * (len(x) // 128 + 1)
    rate = keras.optimizers.schedules.CosineDecay(0.02, steps)
    network.compile(
        keras.optimizers.SGD(rate, momentum=0.9, clipnorm=5.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    network.fit(x, y, batch_size=128, epochs=options.epochs, verbose=0)


if __name__ == "__main__":
    main()
