"""OT-Classifier and its baselines on MNIST, under l-infinity PGD from eps 0 to 0.4.

Usage: python -m benchmarks.transport.ot_classifier [--methods OT-CLA ...]

Rows that train under attack do so at growing eps, as in `mnist.py`: at the full one a network
first stays at chance for longer than two cores allow. Each row is stored as it completes; run the
same command again to continue.
"""

import argparse
import pathlib

import keras

import lipot
from benchmarks.common import read_result, write_result
from benchmarks.transport import robustness
from benchmarks.transport.training import train
from lipot import attacks, datasets, models

RUNS = pathlib.Path("runs/ot_classifier")
EPS_VALUES = (0.1, 0.2, 0.3, 0.4)
CODE_SIZE = 4
# Shares of the budget, and of the training eps in them.
RAMP = ((0.2, 1 / 3), (0.3, 2 / 3), (0.5, 1.0))
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
    network, logs = trained(name, data, options)
    estimator = robustness.estimator_of(network)
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    accuracy = {"0": robustness.accuracy(network, data.x_test, data.y_test)}
    for eps in EPS_VALUES:
        accuracy[f"{eps:g}"] = robustness.pgd_accuracy(estimator, x, y, eps=eps)
    return {
        "accuracy": accuracy,
        "paper": PAPER.get(name),
        "last_logs": logs,
    }


def trained(name, data, options):
    """Returns the inference model of a row after its whole budget, and the last logs."""
    folder = RUNS / f"{options.budget}-{options.batch_size}-{options.seed}" / name
    weights = None
    for part, (share, attack_share) in enumerate(RAMP if name in ATTACKED else ((1.0, 1.0),)):
        keras.utils.set_random_seed(options.seed)
        model, network = METHODS[name](options, attack_share * options.eps)
        if weights is not None:
            model.set_weights(weights)
        logs = train(
            model,
            data.x_train,
            data.y_train,
            steps=int(share * options.budget),
            batch_size=options.batch_size,
            seed=options.seed + part,
            folder=folder / str(part),
        )
        weights = model.get_weights()
    return network, logs


def embedding(options, *, regularized, eps=None):
    """Returns a compiled OT-Classifier, or E-CLA, and its inference model.

    Args:
        options: Parsed arguments.
        regularized: Whether there is a discriminator.
        eps: Radius of the training attack, or `None` for none.
    """
    discriminator = models.embedding_discriminator(CODE_SIZE, layers=lipot)
    model = models.OTClassifier(
        models.embedding_encoder(code_size=CODE_SIZE, filters=16),
        models.embedding_classifier(CODE_SIZE),
        discriminator if regularized else None,
        weight=options.weight,
        attack=attacks.PGD(eps, steps=options.attack_steps) if eps else None,
    )
    model.compile(*(keras.optimizers.Adam(1e-3) for _ in range(3)))
    return model, model.inference_model()


def self_ensemble():
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


METHODS = {
    "OT-CLA": lambda options, _: embedding(options, regularized=True),
    "OT-CLA+Adv": lambda options, eps: embedding(options, regularized=True, eps=eps),
    "E-CLA": lambda options, _: embedding(options, regularized=False),
    "Adv": lambda options, eps: embedding(options, regularized=False, eps=eps),
    "RSE": lambda *_: self_ensemble(),
}
ATTACKED = ("OT-CLA+Adv", "Adv")

if __name__ == "__main__":
    main()
