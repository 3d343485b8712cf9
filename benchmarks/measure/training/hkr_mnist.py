"""Trains convolutional hinge-KR networks on MNIST, and certifies the test images.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.hkr_mnist \
        [--epochs 15] [--seeds 0 1 2]

Alpha and the margin are chosen first: each pair trains for a few epochs without the last 5,000
training images, and the one that proves most of those at `--radius` is taken. What is done is kept
under `runs/hkr_mnist` and not done again, whatever the options: empty it for others. The network of
seed 0 is `0.keras` there, which `benchmarks/measure/attacks/soundness.py` attacks.
"""

import argparse
import itertools
import json
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.norms import operator_norms
from benchmarks.common.seeds import summary
from benchmarks.common.time_budget import Clock
from lipot import layers, losses

RADII = (0.5, 1.0, 1.58, 2.0, 2.5)
FOLDER = Path("runs/hkr_mnist")


def network():
    """One overlapping convolution, then dense layers, all orthonormal, at most 1-Lipschitz."""
    hidden = [layer for _ in range(3) for layer in (layers.SpectralDense(512), layers.GroupSort2())]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.OrthogonalConv2D(8, 4, strides=2),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            *hidden,
            layers.FrobeniusDense(10, disjoint_neurons=True),
        ],
        name="hkr_mnist",
    )


def trained(train, points, options, *, epochs, alpha, min_margin, seed):
    """A network, and what is proven of it on the points; how long it took is in it."""
    keras.utils.set_random_seed(seed)
    model, clock = network(), Clock()
    steps = epochs * -(-len(train[0]) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    loss = losses.MulticlassHKR(alpha=alpha, min_margin=min_margin)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    how = {"batch_size": options.batch_size, "epochs": epochs, "verbose": 2}
    model.fit(*train, callbacks=[clock], **how)
    certificate = lipot.certify(model, *points)
    return model, {
        **clock.spent(),
        "clean": float(np.mean(certificate.correct)),
        "certified": {str(radius): certificate.accuracy(radius) for radius in RADII},
        "lipschitz_constant_before_head": certificate.lipschitz,
        "median_radius": float(np.median(certificate.radius)),
    }


def searched(data, options):
    """What each pair of alpha and margin proves of training images that were left out."""
    n, found = options.holdout, {}
    train = data.x_train[:-n], data.y_train_onehot[:-n]
    points = data.x_train[-n:], data.y_train_onehot[-n:]
    for alpha, min_margin in itertools.product(options.alphas, options.min_margins):
        file = FOLDER / f"search-{alpha:g}-{min_margin:g}.json"
        if not file.exists():
            pair = {"alpha": alpha, "min_margin": min_margin}
            how = {"epochs": options.search_epochs, "seed": options.seeds[0]}
            _, figures = trained(train, points, options, **pair, **how)
            file.write_text(json.dumps({**pair, **figures}))
            print(file.read_text(), flush=True)
        found[file.stem] = json.loads(file.read_text())
    return found


def one_seed(data, options, chosen, seed):
    """The figures of one seed, read where a run before has left them."""
    file = FOLDER / f"{seed}.json"
    if not file.exists():
        train = data.x_train, data.y_train_onehot
        points = data.x_test, data.y_test_onehot
        pair = {key: chosen[key] for key in ("alpha", "min_margin")}
        how = {"epochs": options.epochs, "seed": seed}
        model, figures = trained(train, points, options, **pair, **how)
        model.save(FOLDER / f"{seed}.keras")
        file.write_text(json.dumps({**figures, "layers": operator_norms(model)}))
        print(file.read_text(), flush=True)
    return json.loads(file.read_text())


def main():
    options = parsed()
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = lipot.datasets.load("mnist")
    search = searched(data, options)
    chosen = max(search.values(), key=lambda row: row["certified"][str(options.radius)])
    runs = {str(seed): one_seed(data, options, chosen, seed) for seed in options.seeds}
    figures = {
        "summary": summary(list(runs.values()), RADII),
        "chosen": {key: chosen[key] for key in ("alpha", "min_margin")},
        "runs": runs,
        "search": search,
        "published for BCP": {"clean": 0.9241, "1.58": 0.4795},
    }
    print(json.dumps(figures["summary"], indent=1))
    print(write_result("hkr_mnist", figures, seed=options.seeds, settings=vars(options)))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15, help="of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--alphas", type=float, nargs="+", default=[10.0, 20.0, 50.0])
    parser.add_argument("--min-margins", type=float, nargs="+", default=[1.75, 2.25, 2.75])
    parser.add_argument("--search-epochs", type=int, default=3, help="of each pair")
    parser.add_argument("--radius", type=float, choices=RADII, default=1.58)
    parser.add_argument("--holdout", type=int, default=5000, help="training images to choose on")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    return parser.parse_args()


if __name__ == "__main__":
    main()
