"""Trains a convolutional hinge-KR network on MNIST within a time budget, and certifies it.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.hkr_mnist [--minutes 16]

Writes clean and certified accuracy, the singular values and operator norms reached, and the model
to `runs/hkr_mnist.keras`, which `benchmarks/measure/attacks/soundness.py` attacks.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.norms import operator_norms
from benchmarks.common.time_budget import fit_for
from lipot import layers, losses

RADII = (0.5, 1.0, 1.58, 2.0, 2.5)


def network(*augmentation):
    """One overlapping convolution, then dense layers, all orthonormal, at most 1-Lipschitz.

    Layers of augmentation come first; `lipot.interop.without_augmentation` takes them off.
    """
    hidden = [layer() for _ in range(3) for layer in (_dense, layers.GroupSort2)]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *augmentation,
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


def certified(model, x, y):
    """What is proven of a network on some points, and the norms that its layers reached."""
    certificate = lipot.certify(model, x, y)
    return {
        "clean": float(np.mean(certificate.correct)),
        "certified": {str(radius): certificate.accuracy(radius) for radius in RADII},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "layers": operator_norms(model),
        "median_radius": float(np.median(certificate.radius)),
    }


def store(name, model, figures, options, **settings):
    """Saves the model beside its figures, prints them and writes the result file."""
    Path("runs").mkdir(exist_ok=True)
    model.save(f"runs/{name}.keras")
    for key, value in figures.items():
        print(f"{key}: {value}")
    settings = {**vars(options), **settings}
    print(write_result(name, figures, seed=options.seed, settings=settings))


def main():
    options = parsed()
    keras.utils.set_random_seed(options.seed)
    data = lipot.datasets.load("mnist")
    model = network()
    model.summary()
    loss = losses.MulticlassHKR(alpha=options.alpha, min_margin=options.min_margin)
    model.compile("adam", loss, metrics=["accuracy"])
    spent = fit_for(
        options.minutes,
        model,
        data.x_train,
        data.y_train_onehot,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    figures = {**spent, **certified(model, data.x_test, data.y_test)}
    published = {"clean": 0.9241, "1.58": 0.4795}
    store("hkr_mnist", model, figures, options, **{"published for BCP": published})


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=16.0)
    parser.add_argument("--alpha", type=float, default=35.0)
    parser.add_argument("--min-margin", type=float, default=1.75)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
