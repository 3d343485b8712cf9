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
import functools
import json
import time
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import cifar10_networks as networks
from benchmarks.common import write_result
from benchmarks.common.cifar10_certificate import RADII, certified_figures
from benchmarks.common.cifar10_recipe import Recipe
from lipot import optimizers

RUNS = Path("runs")


RECIPES = {
    "pyramid": Recipe(networks.pyramid, 1e-3, eps=0.25, tau=5.0, batch_size=512),
    "lipnext": Recipe(
        networks.lipnext_of_patches,
        1.5e-3,
        eps=0.42,
        tau=1.0,
        batch_size=256,
        # Its stored run was made with this angle.
        optimizer=functools.partial(optimizers.ManifoldAdam, turn=16.0),
    ),
}
# Settings of a recipe that the command line may change.
CHOICES = ("eps", "tau", "learning_rate", "batch_size")


def train(options, folder):
    """Trains for the time given, or goes on to, and keeps the weights."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = lipot.datasets.load("cifar10")
    count = len(data.x_train) - options.holdout
    chosen = {name: getattr(options, name) for name in CHOICES}
    model, history, clock = dataclasses.replace(RECIPES[options.network], **chosen).trained(
        data.x_train[:count],
        data.y_train_onehot[:count],
        minutes=options.minutes,
        seed=options.seed,
        folder=folder / "training",
    )
    model.save_weights(folder / "model.weights.h5")
    accuracy = [round(share, 4) for share in history.history["accuracy"]]
    spent = {"minutes": clock.minutes, "epochs": history.epoch[-1] + 1, "accuracy": accuracy}
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
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--holdout", type=int, default=0, help="training images to choose by")
    parser.add_argument("--points", type=int, default=10000, help="test images to certify")
    parser.add_argument("--certify", action="store_true", help="certify what was trained")
    parser.add_argument("--trained-on", default="one GPU", help="the machine, for the result")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in CHOICES:
        if getattr(options, name) is None:
            setattr(options, name, getattr(RECIPES[options.network], name))
    return options


if __name__ == "__main__":
    main()
