"""The papers' CIFAR-10 recipes: train one method, then attack it. Resumable; made for a GPU.

Usage: python -m benchmarks.transport.cifar10 --method OTJR [--network wrn-34-10]
       python -m benchmarks.transport.cifar10 --method OTJR --reduced    (two cores)
"""

import argparse
import pathlib

import keras
import numpy as np

from benchmarks.common import write_result
from benchmarks.transport import robustness
from benchmarks.transport.columns import columns
from benchmarks.transport.training import train
from lipot import attacks, datasets, losses, models

EPS, STEP = 8 / 255, 2 / 255
NETWORKS = {
    "resnet18": models.resnet18,
    "preact-resnet18": models.preact_resnet18,
    "wrn-34-10": lambda: models.wide_resnet(34, 10),
    "wrn-28-10": lambda: models.wide_resnet(28, 10),
    "wrn-10-1": lambda: models.wide_resnet(10, 1),
}
# (clean, PGD-20, AutoAttack) in percent: OTJR, Table 2 and 7, on WRN-34-10.
PAPER = {
    "TRADES": (84.65, 54.33, 52.26),
    "ALP": (86.77, 47.31, 46.55),
    "PGD-AT": (86.74, 46.75, 45.81),
    "SAT": (82.96, 53.60, 50.99),
    "random JR": (85.18, 22.63, 20.38),
    "optimal JR": (84.42, 25.39, 22.90),
    "SW": (84.77, 54.11, 51.89),
    "OTJR": (84.53, 55.07, 52.41),
}


def pgd(steps):
    return attacks.PGD(EPS, STEP, steps)


def recipes(steps):
    """Returns `(attack, losses)` of each method; `steps` replaces the papers' numbers."""
    adversarial = losses.AdversarialCrossentropy()
    clean = losses.AdversarialCrossentropy(alpha=0.0, clean_weight=1.0)
    sliced = losses.SlicedWasserstein(weight=64.0, projections=32)
    of_otjr, of_got = steps or 10, steps or 20
    trades = attacks.TRADESPGD(EPS, STEP, of_otjr)
    trades_got = attacks.TRADESPGD(EPS, STEP, of_got)
    matching = {"label_matching": True}
    return {
        "PGD-AT": (pgd(of_otjr), [adversarial]),
        "TRADES": (trades, [losses.TRADES(alpha=6.0)]),
        "ALP": (pgd(of_otjr), [losses.ALP()]),
        "SAT": (pgd(of_otjr), [adversarial, losses.SinkhornDivergence()]),
        "SW": (pgd(of_otjr), [adversarial, sliced]),
        "OTJR": (pgd(of_otjr), [adversarial, sliced, losses.OptimalJacobian(weight=0.002)]),
        "random JR": (None, [clean, losses.RandomJacobian(weight=0.02)]),
        "optimal JR": (pgd(of_otjr), [clean, losses.OptimalJacobian(weight=0.02)]),
        "GOT-PGD-S": (pgd(of_got), [adversarial, losses.GOT(weight=10.0)]),
        "GOT-PGD-LM": (pgd(of_got), [adversarial, losses.GOT(weight=10.0, **matching)]),
        "GOT-TRADES-S": (trades_got, [losses.TRADES(alpha=6.0), losses.GOT(weight=10.0)]),
        "GOT-TRADES-LM": (
            trades_got,
            [losses.TRADES(alpha=6.0), losses.GOT(weight=10.0, **matching)],
        ),
    }


def main():
    options = parse()
    keras.utils.set_random_seed(options.seed)
    data = datasets.load("cifar10")
    attack, terms = recipes(options.attack_steps)[options.method]
    network = NETWORKS[options.network]()
    robust = models.AdversarialModel(network, attack, terms)
    steps_an_epoch = options.images // options.batch_size
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [int(share * options.epochs) * steps_an_epoch for share in (0.75, 0.9)], [0.1, 0.01, 0.001]
    )
    robust.compile(keras.optimizers.SGD(rate, momentum=0.9, weight_decay=2e-4))
    name = f"{options.method}_{options.network}_{options.epochs}_{options.seed}".replace(" ", "_")
    augment = Augmentation(options.seed)
    logs = train(
        robust,
        data.x_train[: options.images],
        data.y_train[: options.images],
        steps=options.epochs * steps_an_epoch,
        batch_size=options.batch_size,
        seed=options.seed,
        folder=pathlib.Path("runs/cifar10") / name,
        chunk=steps_an_epoch,
        augment=augment,
    )
    figures = {
        **measured(network, data, options),
        **columns(network, data, options),
        "paper": PAPER.get(options.method),
        "last_logs": logs,
        "note": data.note,
    }
    write_result(f"transport/cifar10/{name}", figures, seed=options.seed, settings=vars(options))
    print(figures)


def measured(network, data, options):
    """The columns of a row: fractions of the first test points that stand."""
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    estimator = robustness.estimator_of(network)
    figures = {
        "clean": robustness.accuracy(network, x, y),
        "pgd20": robustness.pgd_accuracy(estimator, x, y, eps=EPS, step=STEP, steps=20),
        "mim": robustness.mim_accuracy(estimator, x, y, eps=EPS, step=STEP, steps=20),
    }
    few, labels = x[: options.auto_points], y[: options.auto_points]
    settings = {"steps": options.auto_steps, "queries": options.auto_queries}
    figures["autoattack"] = robustness.auto_attack_accuracy(
        network, few, labels, eps=EPS, **settings
    )
    figures["autoattack_settings"] = {"points": len(few), **settings}
    few, labels = x[: options.simba_points], y[: options.simba_points]
    if len(few):
        figures["simba"] = robustness.simba_accuracy(estimator, few, labels, eps=EPS)
        figures["simba_settings"] = {"points": len(few), "steps": 1000}
    return figures


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=list(recipes(None)), default="OTJR")
    parser.add_argument("--network", choices=list(NETWORKS), default="wrn-34-10")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--points", type=int, default=10000)
    parser.add_argument("--auto-points", type=int, default=10000, help="test points of AutoAttack")
    parser.add_argument("--auto-steps", type=int, default=100)
    parser.add_argument("--auto-queries", type=int, default=5000)
    parser.add_argument("--simba-points", type=int, default=100, help="1000 queries each, slow")
    parser.add_argument("--attack-steps", type=int, help="default: the paper's, 10 or 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reduced", action="store_true", help="sizes for two cores")
    options = parser.parse_args()
    if options.reduced:
        options.network, options.epochs, options.attack_steps = "wrn-10-1", 2, 3
        options.images, options.points = 1280, 200
        options.auto_points, options.auto_steps, options.auto_queries = 100, 20, 200
        options.simba_points = 10
    return options


class Augmentation:
    """Shifts images by up to four pixels and flips them at random, by the chunk's own seed."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, x, start):
        generator = np.random.default_rng([self.seed, start, 1])
        padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        corners = generator.integers(0, 9, (len(x), 2))
        x = np.stack([image[r : r + 32, c : c + 32] for image, (r, c) in zip(padded, corners)])
        flipped = generator.random(len(x)) < 0.5
        x[flipped] = x[flipped, :, ::-1]
        return x


if __name__ == "__main__":
    main()
