"""Trains orthonormal networks on MNIST for certified accuracy, and certifies the test images.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.certified_mnist \
        [--epochs 120] [--seeds 0 1 2]

One network after the other, each killed and continued at will. The learning rate follows the
steps, so that figures do not depend on how busy the machine is; what a network took is stored in
minutes by the clock and of the processor. Four dense layers of 512 units, `ManifoldAdam`, and
the EMMA loss, which knows the last layer; half of the training images are moved by a pixel. Loss,
radius, temperature, shift, width and rate were chosen on the last 10,000 training images, which
`--holdout 10000` leaves out and certifies instead of the test images.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.mnist_batches import Batches
from benchmarks.common.seeds import summary
from benchmarks.common.time_budget import Clock
from lipot import callbacks, layers, losses, optimizers

RADII = (0.3, 0.5, 1.0, 1.58, 2.0)
# Leino, Wang and Fredrikson, "Globally-robust neural networks" (ICML 2021), table 1.
GLORO = {"0.3": 0.957, "1.58": 0.628}


def network(width=512, depth=4):
    """Dense layers, all orthonormal, and a last layer whose rows have norm one."""
    hidden = [
        part for _ in range(depth) for part in (layers.SpectralDense(width), layers.GroupSort2())
    ]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            *hidden,
            layers.FrobeniusDense(10, disjoint_neurons=True),
        ],
        name="certified_mnist",
    )


def trained(options, seed, x, y, folder):
    """A network trained for the time given, and what that took; goes on where it was stopped."""
    keras.utils.set_random_seed(seed)
    model = network(options.width, options.depth)
    batches = Batches(x, y, batch_size=options.batch_size, seed=seed)
    steps = options.epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, int(0.98 * steps), warmup_target=options.learning_rate, warmup_steps=int(0.02 * steps)
    )
    optimizer = optimizers.ManifoldAdam(rate, beta_2=0.99, epsilon=1e-5, turn=options.turn)
    loss = losses.EMMA(options.radius, head=model.layers[-1], tau=options.tau)
    model.compile(optimizer, loss, metrics=["accuracy"])
    clock = Clock()
    model.fit(
        batches,
        epochs=options.epochs,
        verbose=2,
        callbacks=[clock, callbacks.Backup(folder / f"{seed}.training", keeps=[clock])],
    )
    return model, clock.spent()


def certified(model, x, y):
    """What is proven of a network on some points."""
    certificate = lipot.certify(model, x, y)
    return {
        "clean": float(np.mean(certificate.correct)),
        "certified": {str(radius): certificate.accuracy(radius) for radius in RADII},
        "median_radius": float(np.median(certificate.radius)),
        "lipschitz_constant_before_head": certificate.lipschitz,
        "largest_rounding": float(certificate.rounding.max()),
    }


def one_seed(options, seed, folder):
    """The figures of one seed, read where a run before has left them."""
    kept = folder / f"{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    data = lipot.datasets.load("mnist")
    train, points = (data.x_train, data.y_train), (data.x_test, data.y_test)
    if n := options.holdout:
        train, points = zip(*((part[:-n], part[-n:]) for part in train))
    model, spent = trained(options, seed, *train, folder)
    figures = {**spent, **certified(model, *points)}
    model.save(folder / f"{seed}.keras")
    kept.write_text(json.dumps(figures))
    print(json.dumps(figures, indent=1), flush=True)
    return figures


def main():
    options = parsed()
    folder = Path("runs") / options.name
    folder.mkdir(parents=True, exist_ok=True)
    runs = {str(seed): one_seed(options, seed, folder) for seed in options.seeds}
    figures = {
        "summary": summary(list(runs.values()), RADII),
        "runs": runs,
        "gloro, its paper": GLORO,
    }
    print(json.dumps(figures["summary"], indent=1))
    print(write_result(options.name, figures, seed=options.seeds, settings=vars(options)))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=120, help="of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--radius", type=float, default=1.45, help="that the loss asks for")
    parser.add_argument("--tau", type=float, default=7.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--turn", type=float, default=32.0, help="of the optimizer")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--holdout", type=int, default=0, help="training images to certify")
    parser.add_argument("--name", default="certified_mnist", help="of the run and its result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
