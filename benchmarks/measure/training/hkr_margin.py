"""Tries margins and weights of hKR's row on CIFAR-10, where the paper's margin ends near chance.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.hkr_margin [--epochs 3] [--margins ...]

The row's network trains with each margin, once as equation 12 is written and once with the class of
an image weighed as much as all others together, without the last 5,000 training images. Those tell
what is right and what is proven at l2 36/255. Alpha is 50 throughout, as in the paper.
"""

import argparse
import itertools

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.time_budget import Clock
from benchmarks.papers import hkr_networks

HELD_OUT = 5000
RADIUS = 36 / 255
KINDS = {"weighed": True, "equation 12": False}


def proven(problem, margin, balanced, options):
    """Clean and proven shares of the held-out images after a short training."""
    keras.utils.set_random_seed(options.seed)
    method = hkr_networks.hinge_kr(margin, balanced=balanced)
    network = hkr_networks.network(method, problem.x_train.shape[1:], problem.classes)
    x, y = problem.x_train[:-HELD_OUT], problem.y_train[:-HELD_OUT]
    steps = options.epochs * -(-len(x) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(options.rate, steps, alpha=0.01)
    hkr_networks.compiled(method, network, problem, rate, RADIUS)
    labels, clock = hkr_networks.labels_of(y, problem.classes), Clock()
    how = {"batch_size": options.batch_size, "epochs": options.epochs, "verbose": 2}
    network.fit(x, labels, callbacks=[clock], **how)
    held_out = problem.x_train[-HELD_OUT:], problem.y_train[-HELD_OUT:]
    certificate = lipot.certify(network, *held_out)
    return {
        "clean": float(np.mean(certificate.correct)),
        "proven": float(certificate.accuracy(RADIUS)),
        **clock.spent(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--margins", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    problem, figures, path = hkr_networks.cifar10(), {}, None
    for (kind, balanced), margin in itertools.product(KINDS.items(), options.margins):
        name = f"{kind}, m {margin:g}"
        figures[name] = proven(problem, margin, balanced, options)
        print(name, figures[name], flush=True)
        path = write_result("hkr_margin", figures, seed=options.seed, settings=vars(options))
    print(path)


if __name__ == "__main__":
    main()
