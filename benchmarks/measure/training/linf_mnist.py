"""Trains a network of l-infinity distances on MNIST for a given time and certifies it at 0.3.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.linf_mnist \
        [--minutes 90] [--attack 10000]

Exponent, weight of the cross-entropy and learning rate follow the clock. What is trained is kept in
`runs/NAME` every epoch, so that the same command goes on where it was stopped. The settings were
chosen on the last 10,000 training images, which `--holdout 10000` leaves out and certifies instead
of the test images. `--attack N` attacks so many certificates by AutoAttack, each point of the data
within a radius that is proven of it, and `--directions N` those of networks of one linear layer in
their worst direction, a sign vector.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import percent, write_result
from lipot import callbacks
from lipot.recipes.linf_dist import compile_linf_dist, linf_distance_network

EPS = 0.3
PUBLISHED = {"clean": 0.9854, "certified at 0.3": 0.9309}


class Exponents(keras.callbacks.Callback):
    """Raises the exponents by the share of the time that is spent."""

    def __init__(self, budget, last):
        super().__init__()
        self.budget = budget
        self.norms = callbacks.DistanceNormScheduler(1, last=last)

    def on_train_begin(self, logs=None):
        self.norms.set_model(self.model)

    def on_train_batch_begin(self, batch, logs=None):
        self.norms.apply(self.budget.spent / self.budget.minutes)


def train(options, folder):
    """Trains, or goes on training, until the time is spent; returns the model and what it took."""
    file, kept = folder / "model.keras", folder / "spent.json"
    if kept.exists():
        return keras.saving.load_model(file), json.loads(kept.read_text())
    (x, y), _ = points(options.holdout)
    model = linf_distance_network((28, 28, 1), 10, options.width, options.depth)
    compile_linf_dist(model, EPS, options.learning_rate)
    model.loss.min_margin = options.min_margin
    model.loss.scale = options.scale
    fading = {"weight": ([options.weight, 0.0], [0.0, 0.875])}
    if options.loss == "hinge":
        fading = {}
        hinge = lipot.losses.CategoricalHinge(options.min_margin)
        model.compile(model.optimizer, hinge, metrics=["accuracy"])
    budget = callbacks.TimeBudget(options.minutes, options.learning_rate, 0.02, fading)
    backup = callbacks.Backup(folder / "training", keeps=[budget])
    steps = [backup, budget, Exponents(budget, options.p_end)]
    history = model.fit(
        x, y, batch_size=options.batch_size, epochs=10_000, verbose=2, callbacks=steps
    )
    spent = {"minutes": budget.spent, "epochs": history.epoch[-1] + 1}
    model.save(file)
    kept.write_text(json.dumps(spent))
    return model, spent


def points(holdout):
    """What to train on, with targets for the loss, and what to certify, with integer labels."""
    data = lipot.datasets.load("mnist")
    if not holdout:
        return (data.x_train, data.y_train_onehot), (data.x_test, data.y_test)
    kept = data.x_train[:-holdout], data.y_train_onehot[:-holdout]
    return kept, (data.x_train[-holdout:], data.y_train[-holdout:])


def attacked(model, x, y, certificate, count, seed):
    """Attacks certificates within their radii; returns how many were attacked and broken."""
    rows = np.flatnonzero(certificate.correct & (certificate.radius > 0.0))[:count]
    # One radius for each group of points, the least among them: a ball inside every one of theirs.
    rows = rows[np.argsort(certificate.radius[rows])]
    broken, started = 0, time.monotonic()
    for group in np.array_split(rows, max(1, len(rows) // 500)):
        eps = float(certificate.radius[group].min())
        attack = lipot.attacks.AutoAttack(eps, norm="inf", seed=seed)
        moved = attack.run(model, x[group], y[group]).x_adv
        found = model.predict(moved, batch_size=512, verbose=0).argmax(axis=1)
        broken += int(np.sum(found != certificate.predictions[group]))
    return {"attacked": len(rows), "broken": broken, "seconds": time.monotonic() - started}


def worst_directions(count, seed):
    """Moves points of affine networks just less and just more than their radius, in sign vectors.

    Returns:
        Number of certificates, of those broken within their radius, and of those that did not fall
        at 1.001 radii, which should be none: there the certificate is exact.
    """
    rng = np.random.default_rng(seed)
    figures = {"certificates": 0, "broken": 0, "not exact": 0}
    while figures["certificates"] < count:
        features, units = (int(n) for n in rng.integers(2, 100, 2))
        model = keras.Sequential([keras.Input((features,)), keras.layers.Dense(units)])
        kernel, bias = rng.normal(size=(features, units)), rng.normal(size=units)
        model.set_weights([kernel, bias])
        x = rng.normal(size=(1000, features)).astype("float32")
        found = lipot.certify(model, x, norm="inf")
        top, others = found.predictions, x @ kernel + bias
        lead = others[np.arange(1000), top][:, None] - others
        between = np.abs(kernel.T[top][:, None] - kernel.T).sum(axis=2)
        lead[np.arange(1000), top] = np.inf
        rival = (lead / np.maximum(between, 1e-300)).argmin(axis=1)
        signs = np.sign(kernel.T[rival] - kernel.T[top])
        exact = (found.radius + found.rounding)[:, None]
        for name, step, falls in (
            ("broken", found.radius[:, None], False),
            ("not exact", 1.001 * exact + 1e-5, True),
        ):
            moved = model.predict((x + step * signs).astype("float64"), verbose=0).argmax(axis=1)
            figures[name] += int(np.sum((moved != top) != falls))
        figures["certificates"] += 1000
    return figures


def main():
    options = parsed()
    keras.utils.set_random_seed(options.seed)
    folder = Path("runs") / options.name
    folder.mkdir(parents=True, exist_ok=True)
    model, figures = train(options, folder)
    _, (x, y) = points(options.holdout)
    certificate = lipot.certify(model, x, y, norm="inf", batch_size=512)
    figures["clean"] = float(certificate.correct.mean())
    figures["certified"] = {f"{eps:g}": certificate.accuracy(eps) for eps in (0.1, 0.2, EPS, 0.35)}
    print(certificate.summary())
    print(f"clean {percent(figures['clean'])}, certified at {EPS}: ", end="")
    print(percent(certificate.accuracy(EPS)))
    settings = {**vars(options), "published for l-inf-dist net": PUBLISHED}
    print(write_result(options.name, figures, seed=options.seed, settings=settings))
    if options.directions:
        figures["worst direction"] = worst_directions(options.directions, options.seed)
        print(figures["worst direction"])
    if options.attack:
        figures["AutoAttack"] = attacked(model, x, y, certificate, options.attack, options.seed)
        print(figures["AutoAttack"])
    write_result(options.name, figures, seed=options.seed, settings=settings)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--min-margin", type=float, default=1.8)
    parser.add_argument("--loss", choices=("clipped", "hinge"), default="clipped")
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--weight", type=float, default=0.2, help="of the cross-entropy, at first")
    parser.add_argument("--p-end", type=float, default=1000.0)
    parser.add_argument("--holdout", type=int, default=0, help="training images to certify")
    parser.add_argument("--attack", type=int, default=0, help="certificates for AutoAttack")
    parser.add_argument("--directions", type=int, default=0, help="certificates of affine networks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="linf_mnist", help="name of the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
