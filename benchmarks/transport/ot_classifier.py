"""OT-Classifier and its baselines on MNIST, under l-infinity PGD from eps 0 to 0.4.

Usage: python -m benchmarks.transport.ot_classifier [--methods OT-CLA ...]
Each row is stored as it completes; run the same command again to continue.
"""

import argparse
import pathlib
import time

import keras

import lipot
from benchmarks.common import read_result, write_result
from benchmarks.transport import robustness
from benchmarks.transport.training import train
from lipot import attacks, datasets, models

RUNS = pathlib.Path("runs/ot_classifier")
EPS_VALUES = (0.1, 0.2, 0.3, 0.4)
CODE_SIZE = 4
# Table 1 of the paper, in percent, at eps 0, 0.1, 0.2, 0.3, 0.4.
PAPER = {"Adv": (99.2, 97.3, 86.8, 35.4, 2.7), "OT-CLA+Adv": (99.1, 98.7, 97.2, 94.9, 71.1)}


def main():
    options = parse()
    settings = {key: value for key, value in vars(options).items() if key != "methods"}
    stored = read_result("transport/ot_classifier")
    rows = stored["figures"] if stored and stored["settings"] == settings else {}
    data = datasets.load("mnist")
    for name in options.methods:
        if name in rows:
            print(f"{name}: stored", flush=True)
            continue
        print(name, flush=True)
        rows[name] = measure(name, data, options)
        write_result("transport/ot_classifier", rows, seed=options.seed, settings=settings)
        shown = ", ".join(f"{eps}: {value:.1%}" for eps, value in rows[name]["accuracy"].items())
        print(f"{name}: {shown}   (paper: {PAPER.get(name)})", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budget", type=int, default=3000, help="training steps a method")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--weight", type=float, default=1.0, help="of the divergence")
    parser.add_argument("--eps", type=float, default=0.3, help="of the training attack")
    parser.add_argument("--attack-steps", type=int, default=10, help="of the training attack")
    parser.add_argument("--points", type=int, default=2000, help="test points of PGD-40")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def measure(name, data, options):
    """Trains one row and attacks it; returns its figures."""
    keras.utils.set_random_seed(options.seed)
    started = time.perf_counter()
    model, network = METHODS[name](options)
    logs = train(
        model,
        data.x_train,
        data.y_train,
        steps=options.budget,
        batch_size=options.batch_size,
        seed=options.seed,
        folder=RUNS / f"{options.budget}-{options.batch_size}-{options.seed}" / name,
    )
    minutes = (time.perf_counter() - started) / 60
    estimator = robustness.estimator_of(network)
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    accuracy = {"0": robustness.accuracy(network, data.x_test, data.y_test)}
    for eps in EPS_VALUES:
        accuracy[f"{eps:g}"] = robustness.pgd_accuracy(estimator, x, y, eps=eps)
    return {
        "accuracy": accuracy,
        "paper": PAPER.get(name),
        "training_minutes": round(minutes, 2),
        "last_logs": logs,
    }


def embedding(options, *, regularized, attacked):
    """Returns a compiled OT-Classifier, or E-CLA, and its inference model."""
    discriminator = models.embedding_discriminator(CODE_SIZE, layers=lipot)
    model = models.OTClassifier(
        models.embedding_encoder(code_size=CODE_SIZE, filters=16),
        models.embedding_classifier(CODE_SIZE),
        discriminator if regularized else None,
        weight=options.weight,
        attack=_attack(options) if attacked else None,
    )
    model.compile(*(keras.optimizers.Adam(1e-3) for _ in range(3)))
    return model, model.inference_model()


def self_ensemble(options):
    """Returns RSE on the same layers, and the average of its passes."""
    encoder = models.embedding_encoder(code_size=CODE_SIZE, filters=16)
    classifier = models.embedding_classifier(CODE_SIZE)
    plain = keras.Sequential([keras.Input((28, 28, 1)), *encoder.layers, *classifier.layers])
    noisy = models.random_self_ensemble(plain)
    noisy.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    inputs = keras.Input((28, 28, 1))
    return noisy, keras.Model(inputs, models.SelfEnsemble(noisy, members=10)(inputs))


def _attack(options):
    return attacks.PGD(options.eps, steps=options.attack_steps)


METHODS = {
    "OT-CLA": lambda options: embedding(options, regularized=True, attacked=False),
    "OT-CLA+Adv": lambda options: embedding(options, regularized=True, attacked=True),
    "E-CLA": lambda options: embedding(options, regularized=False, attacked=False),
    "Adv": lambda options: embedding(options, regularized=False, attacked=True),
    "RSE": self_ensemble,
}

if __name__ == "__main__":
    main()
