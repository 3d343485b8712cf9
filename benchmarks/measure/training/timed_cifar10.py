"""Trains a network on CIFAR-10 for a given time, on a GPU, and certifies the test images.

    KERAS_BACKEND=jax LIPOT_DATA_DIR=... python -m benchmarks.measure.training.timed_cifar10 \
        pyramid --minutes 18.2
    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.timed_cifar10 \
        pyramid --certify --trained-on "one H200 GPU"

The first command trains in mixed bfloat16, on cropped and mirrored images, with the EMMA loss and
`ManifoldAdam`, and keeps the weights. The second certifies them in float64, on TensorFlow: a proof
takes the worst case of all roundings, which half precision would not survive. A training that was
killed goes on after its last epoch. `--holdout 5000` leaves the last training images out and prints
what of them would be certified, to choose settings by.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import cifar10_networks as networks
from benchmarks.common import write_result
from benchmarks.common.cifar10_batches import Batches, Shuffle
from benchmarks.common.cifar10_certificate import RADII, certified_figures
from lipot import callbacks, losses, optimizers

RUNS = Path("runs")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network and the settings to train it with."""

    build: Callable[[], keras.Model]
    learning_rate: float
    turn: float | None
    eps: float
    tau: float
    batch_size: int


RECIPES = {
    "pyramid": Recipe(networks.pyramid, 1e-3, None, eps=0.25, tau=5.0, batch_size=512),
    "lipnext": Recipe(networks.lipnext_of_patches, 1.5e-3, 16.0, eps=0.42, tau=1.0, batch_size=256),
}


def train(options, folder):
    """Trains for the time given, or goes on to, and keeps the weights."""
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = lipot.datasets.load("cifar10")
    count = len(data.x_train) - options.holdout
    batches = Batches(
        data.x_train[:count],
        data.y_train_onehot[:count],
        None,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    model = RECIPES[options.network].build()
    loss = losses.EMMA(options.eps, head=model.layers[-1], tau=options.tau)
    optimizer = optimizers.ManifoldAdam(options.learning_rate, turn=options.turn)
    model.compile(optimizer, loss, metrics=["accuracy"])
    budget = callbacks.TimeBudget(options.minutes, options.learning_rate, warmup=0.03)
    backup = callbacks.Backup(folder / "training", keeps=[budget])
    history = model.fit(
        batches, epochs=10_000, verbose=2, callbacks=[Shuffle(batches), budget, backup]
    )
    model.save_weights(folder / "model.weights.h5")
    accuracy = [round(share, 4) for share in history.history["accuracy"]]
    spent = {"minutes": budget.spent, "epochs": history.epoch[-1] + 1, "accuracy": accuracy}
    (folder / "spent.json").write_text(json.dumps(spent))
    if options.holdout:
        print(json.dumps(spent | held_out(model, data.x_train[count:], data.y_train[count:])))


def held_out(model, x, y):
    """Shares that half precision computes and nothing proves: good enough to compare settings."""
    logits = model.predict(x, batch_size=512, verbose=0)
    constants = keras.ops.convert_to_numpy(model.loss.pair_constants(logits))[y]
    lead = np.take_along_axis(logits, y[:, None], axis=1) - logits
    lead[np.arange(len(y)), y] = np.inf
    radius = np.min(lead / np.maximum(constants, 1e-30), axis=1)
    shares = {name: float(np.mean(radius > eps)) for name, eps in RADII.items()}
    return {"clean": float(np.mean(radius > 0.0)), **shares}


def certify(options, folder):
    """Certifies the test images in float64 and writes the result."""
    keras.config.set_dtype_policy("float64")
    model = RECIPES[options.network].build()
    model.load_weights(folder / "model.weights.h5")
    data, started = lipot.datasets.load("cifar10"), time.process_time()
    figures = {
        **certified_figures(model, data, options.points),
        "processor_minutes of the certificate": (time.process_time() - started) / 60,
        "training": json.loads((folder / "spent.json").read_text()),
    }
    name = f"{options.network}_cifar10"
    print(write_result(name, figures, seed=options.seed, settings=vars(options)))


def main():
    options = parsed()
    folder = RUNS / f"{options.network}_cifar10"
    folder.mkdir(parents=True, exist_ok=True)
    (certify if options.certify else train)(options, folder)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--minutes", type=float, default=11.5)
    parser.add_argument("--eps", type=float, help="l2 radius to train for")
    parser.add_argument("--tau", type=float)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--turn", type=float, help="of the optimizer")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--holdout", type=int, default=0, help="training images to choose by")
    parser.add_argument("--points", type=int, default=10000, help="test images to certify")
    parser.add_argument("--certify", action="store_true", help="certify what was trained")
    parser.add_argument("--trained-on", default="one GPU", help="the machine, for the result")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for field in dataclasses.fields(Recipe)[1:]:
        if getattr(options, field.name) is None:
            setattr(options, field.name, getattr(RECIPES[options.network], field.name))
    return options


if __name__ == "__main__":
    main()
