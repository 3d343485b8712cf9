"""OT-Classifier, Tables 1 and 2 and figure 3: MNIST under l-infinity PGD from eps 0 to 0.4.

The encoder has four convolutions, the classifier 500 and 256 units with normalization, and the
critic is 1-Lipschitz, or with `--critic clipped` the paper's, four layers of 512 that are clipped.
"""

import keras
import numpy as np
from art.attacks.evasion import CarliniL2Method

import lipot
from benchmarks.common.networks import fast_precision, fast_type
from benchmarks.papers.table import Table
from benchmarks.papers.warm_up import train_with_warm_up
from benchmarks.transport import robustness
from benchmarks.transport.recipes import EPS
from lipot import attacks, datasets, models

EPS_VALUES = (0.1, 0.2, 0.3, 0.4)
CODE_SIZE = 4
# Table 2 counts a found point within this root of the mean squared change of a pixel.
RMS = 0.005
CRITICS = {
    "1-Lipschitz": {"units": 64, "layers": lipot},
    "clipped": {"units": 512, "clip": 0.01},
}


def training(name, run):
    """Trains a row; returns its accuracy by radius, 0 among them."""
    keras.utils.set_random_seed(run.seed)
    data = datasets.load("mnist")
    settings = run.settings
    steps = int(settings["epochs"] * len(data.x_train) / settings["batch_size"])
    with fast_precision():
        model, trained = METHODS[name](settings)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    # With momentum the two sides of a min-max run in circles.
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), **_loss_of(model))
    logs = train_with_warm_up(model, data, steps, run)
    # What is attacked computes in float32.
    _, network = METHODS[name](settings)
    network.set_weights(trained.get_weights())
    network.save(run.folder / "network.keras")
    estimator = robustness.estimator_of(network)
    x, y = data.x_test[: settings["points"]], data.y_test[: settings["points"]]
    accuracy = {"0": robustness.accuracy(network, data.x_test, data.y_test)}
    for eps in EPS_VALUES:
        accuracy[f"{eps:g}"] = robustness.pgd_accuracy(estimator, x, y, eps=eps)
    return {"accuracy": accuracy, "clean": accuracy["0"], "last logs": logs}


def carlini_wagner(name, run):
    """Accuracy where the l2 attack of Carlini and Wagner counts within the radius of Table 2."""
    network = keras.saving.load_model(run.folder / "network.keras")
    data = datasets.load("mnist")
    count = run.settings["carlini_points"]
    x, y = data.x_test[:count], data.y_test[:count]
    estimator = robustness.estimator_of(network)
    attack = CarliniL2Method(
        estimator, binary_search_steps=9, max_iter=100, batch_size=count, verbose=False
    )
    x_adv = attack.generate(x, y)
    near = np.sqrt(np.mean((x_adv - x) ** 2, axis=(1, 2, 3))) <= RMS
    wrong = estimator.predict(x_adv).argmax(axis=1) != y
    clean_wrong = estimator.predict(x).argmax(axis=1) != y
    return {"carlini wagner": float(np.mean(~(clean_wrong | (wrong & near))))}


def embedding(settings, *, regularized, attacked):
    """Returns an OT-Classifier, or E-CLA, and its inference model."""
    critic = CRITICS[settings["critic"]]
    attack = attacks.PGD(EPS, steps=settings["attack_steps"])
    model = models.OTClassifier(
        models.embedding_encoder(code_size=CODE_SIZE, filters=settings["filters"]),
        models.embedding_classifier(CODE_SIZE),
        models.embedding_discriminator(CODE_SIZE, **critic) if regularized else None,
        weight=settings["weight"],
        attack=attack if attacked else None,
        clean_share=settings["clean_share"],
    )
    return model, model.inference_model()


def self_ensemble(settings):
    """Returns RSE on the same layers, and the average of its passes."""
    encoder = models.embedding_encoder(code_size=CODE_SIZE, filters=settings["filters"])
    classifier = models.embedding_classifier(CODE_SIZE)
    plain = keras.Sequential([keras.Input((28, 28, 1)), *encoder.layers, *classifier.layers])
    noisy = models.random_self_ensemble(plain)
    inputs = keras.Input((28, 28, 1))
    return noisy, keras.Model(inputs, models.SelfEnsemble(noisy, members=10)(inputs))


def _loss_of(model):
    if isinstance(model, models.OTClassifier):
        return {}
    return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}


def _row(**kwargs):
    return lambda settings: embedding(settings, **kwargs)


METHODS = {
    "OT-CLA+Adv": _row(regularized=True, attacked=True),
    "Adv": _row(regularized=False, attacked=True),
    "OT-CLA": _row(regularized=True, attacked=False),
    "E-CLA": _row(regularized=False, attacked=False),
    "RSE": self_ensemble,
}
# Table 1 of the paper, in percent, at eps 0, 0.1, 0.2, 0.3, 0.4.
PAPER = {"OT-CLA+Adv": (99.1, 98.7, 97.2, 94.9, 71.1), "Adv": (99.2, 97.3, 86.8, 35.4, 2.7)}

TABLE = Table(
    title="MNIST under l-infinity PGD as the radius grows (OT-Classifier, Table 1)",
    settings={
        "epochs": 5,
        "batch_size": 128,
        "attack_steps": 10,
        "clean_share": 0.5,
        "weight": 0.01,
        "critic": "1-Lipschitz",
        "filters": 32,
        "points": 2000,
        "carlini_points": 200,
    },
    rows={name: PAPER.get(name) for name in METHODS},
    stages=(training, carlini_wagner),
    shares={"carlini wagner": "carlini_points"},
    shortfall=lambda name, settings: (
        f"{settings['epochs']} epochs (the paper names neither epochs, rates nor lambda); "
        f"lambda {settings['weight']:g}, {settings['critic']} critic, encoder from "
        f"{settings['filters']} channels; trained in {fast_type()}"
    ),
)
