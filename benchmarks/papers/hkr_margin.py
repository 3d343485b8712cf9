"""Chooses the margin of hinge-KR on CIFAR-10, on training images that are left out.

    LIPOT_DATA_DIR=... python -m benchmarks.papers.hkr_margin

The paper has no CIFAR-10. With its margin of 1 for MNIST, whose images lie further apart, and its
equation 12, where nine outputs of ten have nothing to find, the network ends near chance. Here the
one class weighs as much as the others. A margin counts by the share that it proves at 36/255.
"""

import argparse

import keras
import numpy as np

from benchmarks.common import write_result
from benchmarks.papers.hkr_networks import METHODS, cifar10, compiled, hinge_kr, labels_of, network

MARGINS = (0.1, 0.3, 1.0)
RADIUS = 36 / 255


def figures_of(margin, problem, held, epochs, seed):
    """Shares of the held out images that a margin gets right, and proves at the radius."""
    keras.utils.set_random_seed(seed)
    method = METHODS["hKR 50, m 1"]._replace(loss=hinge_kr(margin, balanced=True))
    built = network(method, problem.x_train.shape[1:], problem.classes)
    steps = epochs * (len(problem.x_train) - held) // 128
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps, alpha=0.01)
    model = compiled(method, built, problem, rate, None)
    labels = labels_of(problem.y_train, problem.classes)
    model.fit(problem.x_train[:-held], labels[:-held], batch_size=128, epochs=epochs, verbose=0)
    logits = built.predict(problem.x_train[-held:], batch_size=500, verbose=0)
    y = problem.y_train[-held:]
    rows = np.arange(held)
    own = logits[rows, y]
    logits[rows, y] = -np.inf
    # Each output is 1-Lipschitz: a difference of two changes by at most twice the norm.
    radius = (own - logits.max(axis=1)) / 2.0
    return {"clean": float(np.mean(radius > 0.0)), "proven": float(np.mean(radius > RADIUS))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--held", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    problem, found = cifar10(), {}
    for margin in MARGINS:
        found[f"{margin:g}"] = figures_of(
            margin, problem, options.held, options.epochs, options.seed
        )
        print(margin, found[f"{margin:g}"], flush=True)
    print(write_result("papers/hkr-margin", found, seed=options.seed, settings=vars(options)))


if __name__ == "__main__":
    main()
