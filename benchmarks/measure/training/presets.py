"""Trains the networks that come with lipot, and writes their cards.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.presets [NAME ...] [--cards]

Makes all of them anew in `lipot/models/pretrained/`, or those named. On other machines the weights
differ in their last digits, and a card with them. Each of MNIST takes at most five minutes of one
core.
"""

import argparse
import json
import pathlib
import tempfile
import time

import keras
import numpy as np

import lipot
from benchmarks.common import mnist_batches
from benchmarks.measure.training import certified_mnist
from benchmarks.render import presets as page
from lipot import attacks, cli, layers, losses, optimizers, recipes

FOLDER = pathlib.Path(lipot.__file__).parent / "models" / "pretrained"
RADII = {"digits": (0.1, 0.25, 0.5, 1.0), "mnist": (0.3, 0.5, 1.0, 1.58)}
ATTACK_EPS = 0.1
MOST_POINTS = 1000
ATTACKED_POINTS = 500


def _mnist_hkr():
    """Hinge-KR, on the network of the recipe with half of its second layer's filters."""
    hidden = [
        part
        for filters in (16, 32)
        for part in (layers.SpectralConv2D(filters, 2, strides=2), layers.GroupSort2())
    ]
    hidden.append(keras.layers.Flatten())
    for width in (128, 64):
        hidden += [layers.SpectralDense(width), layers.GroupSort2()]
    head = layers.FrobeniusDense(10, disjoint_neurons=True)
    network = keras.Sequential([keras.Input((28, 28, 1)), *hidden, head], name="hkr")
    data = lipot.datasets.load("mnist")
    return recipes.train_hkr(data, epochs=10, batch_size=128, network=network, verbose=2)


def _mnist_certified():
    """As `benchmarks.measure.training.certified_mnist`, but narrower and for fewer epochs."""
    data = lipot.datasets.load("mnist")
    model = certified_mnist.network(width=256, depth=3)
    batches = mnist_batches.Batches(data.x_train, data.y_train, batch_size=256, seed=0)
    epochs = 25
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(batches))
    optimizer = optimizers.ManifoldAdam(rate, beta_2=0.99, epsilon=1e-5, turn=16.0)
    loss = losses.EMMA(1.45, head=model.layers[-1], tau=7.0)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(batches, epochs=epochs, verbose=2)
    return model


def _mnist_otjr():
    """OTJR, on a stock network with half of the recipe's filters."""
    hidden = [
        keras.layers.Conv2D(filters, 3, 2, padding="same", activation="relu")
        for filters in (16, 32)
    ]
    hidden.append(keras.layers.Flatten())
    hidden += [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)]
    network = keras.Sequential([keras.Input((28, 28, 1)), *hidden], name="classifier")
    data = lipot.datasets.load("mnist")
    return recipes.train_otjr(data, epochs=8, batch_size=128, eps=0.2, network=network, verbose=2)


def _by(command):
    """A training by `lipot train`."""

    def trained():
        with tempfile.TemporaryDirectory() as folder:
            file = str(pathlib.Path(folder) / "model.keras")
            if cli.main([*command.split()[1:], "--out", file]) != 0:
                raise SystemExit(1)
            return keras.saving.load_model(file, compile=False)

    return trained


COMMANDS = {
    "digits-hkr": "lipot train --method hkr --data digits --epochs 30",
    "digits-otad": "lipot train --method otad --data digits --epochs 10",
    "digits-otjr": "lipot train --method otjr --data digits --epochs 10",
    "mnist-certified": "python -m benchmarks.measure.training.presets mnist-certified",
    "mnist-hkr": "python -m benchmarks.measure.training.presets mnist-hkr",
    "mnist-otjr": "python -m benchmarks.measure.training.presets mnist-otjr",
}
_TRAININGS = {
    "mnist-certified": _mnist_certified,
    "mnist-hkr": _mnist_hkr,
    "mnist-otjr": _mnist_otjr,
}


def card(name, model):
    """What `lipot.models.preset_card` gives, measured on a model."""
    data = lipot.datasets.load(name.partition("-")[0])
    x, y = data.x_test[:MOST_POINTS], data.y_test[:MOST_POINTS]
    predictions = model.predict(x, verbose=0).argmax(axis=1)
    found = {
        "data": data.name,
        "command": COMMANDS[name],
        "licence": "MIT",
        "parameters": model.count_params(),
        "points": len(x),
        "clean": round(float(np.mean(predictions == y)), 4),
        "lipschitz": None,
        "certified": None,
    }
    if data.name == "mnist":
        found["attacked"] = _attacked(model, x[:ATTACKED_POINTS], y[:ATTACKED_POINTS])
    try:
        certificate = lipot.certify(model, x, y)
    except ValueError:
        return found
    finite = np.isfinite(certificate.lipschitz)
    return {
        **found,
        "lipschitz": float(f"{certificate.lipschitz:.4g}") if finite else None,
        "certified": {str(eps): round(certificate.accuracy(eps), 4) for eps in RADII[data.name]},
    }


def _attacked(model, x, y):
    """Accuracy on the first points under projected gradients, in l-infinity."""
    attack = attacks.PGD(ATTACK_EPS, steps=20, clip_min=0.0, clip_max=1.0, seed=0)
    moved = attack(model, x, y)
    predictions = np.argmax(model.predict(moved, verbose=0), axis=1)
    return {
        "attack": "PGD, 20 steps",
        "norm": "inf",
        "eps": ATTACK_EPS,
        "points": len(x),
        "accuracy": round(float(np.mean(predictions == y)), 4),
    }


def make(name):
    """Trains one network, and stores it without what its optimizer keeps."""
    keras.utils.set_random_seed(0)
    began = time.process_time()
    trained = _TRAININGS.get(name) or _by(COMMANDS[name])
    store(name, trained())
    print(f"{name}: {(time.process_time() - began) / 60:.1f} minutes of processor time")


def store(name, model):
    """Writes a network and its card."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.keras"
    model.optimizer = None
    model.save(file)
    write_card(name)
    print(f"{name}: {file.stat().st_size / 1e6:.2f} MB")


def write_card(name):
    """Measures a stored network."""
    model = keras.saving.load_model(FOLDER / f"{name}.keras", compile=False)
    text = json.dumps(card(name, model), indent=1)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")
    print(f"{name}: {text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--cards", action="store_true", help="only measure what is stored")
    chosen = parser.parse_args()
    for one in chosen.names:
        (write_card if chosen.cards else make)(one)
    page.main()
