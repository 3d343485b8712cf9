"""Adversarial training on MNIST: what the tables of GOT share, each row from its own start.

All rows have one schedule, that of `warm_up`.
"""

import json
import re

import keras
import numpy as np

from benchmarks.common.networks import fast_precision, fast_type
from benchmarks.papers.table import Table
from benchmarks.papers.warm_up import train_with_warm_up
from benchmarks.transport import robustness
from benchmarks.transport.recipes import EPS, STEPS
from lipot import attacks, datasets
from lipot.attacks import AutoAttack
from lipot.callbacks import AdversarialWeightPerturbation
from lipot.evaluation.gradient_norms import (
    attacked,
    input_gradient_norms,
    weight_gradient_ratios,
)
from lipot.models import AdversarialModel, carlini_wagner

RATE, LAST_RATE = 1e-3, 1e-6
EPOCHS_OF_THE_PAPER = 100
# Points of AutoAttack that are kept together.
_PART = 250
# Steps of a training between two saves.
_CHUNK = 500
_RADII = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_ATTACK_STEPS = (1, 10, 20, 40, 100)
_SETTINGS = {
    "epochs": 8,
    "batch_size": 128,
    # With 5 the network learns to hide from the long steps: it stands them and falls to more.
    "attack_steps": 10,
    "points": 10000,
    "curve_points": 500,
    "auto_points": 1000,
    "auto_steps": 100,
    "auto_queries": 5000,
}


def table_of(title, recipes):
    """Returns the `Table` of recipes, a dict in order of need."""

    def training(name, run):
        return _training(name, recipes[name], run)

    def autoattack(name, run):
        return _autoattack(_network(run), run)

    def sanity(name, run):
        return {"sanity": _sanity(_network(run), run)}

    def gradients(name, run):
        return _gradients(_network(run), run)

    return Table(
        title=title,
        settings=_SETTINGS,
        rows={name: recipe.paper for name, recipe in recipes.items()},
        stages=(training, autoattack, sanity, gradients),
        shares={"clean": "points", "pgd": "points", "autoattack": "auto_points"},
        shortfall=lambda name, settings: _shortfall(settings),
    )


def _training(name, recipe, run):
    """Trains a row; returns its clean accuracy and that under PGD of the paper's 40 steps."""
    keras.utils.set_random_seed(run.seed)
    data = datasets.load("mnist")
    steps = int(run.settings["epochs"] * len(data.x_train) / run.settings["batch_size"])
    classifier, logs = train_recipe(recipe, data, steps, run)
    classifier.save_weights(run.folder / "network.weights.h5")
    network = _network(run)
    count = run.settings["points"]
    x, y = data.x_test[:count], data.y_test[:count]
    pgd = robustness.pgd_accuracy(robustness.estimator_of(network), x, y, eps=EPS)
    return {"clean": robustness.accuracy(network, x, y), "pgd": pgd, "last logs": logs}


def train_recipe(recipe, data, steps, run):
    """Trains the network of a recipe from the start; returns it and the last logs."""
    with fast_precision():
        model = model_of(recipe, run.settings["attack_steps"])
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps, alpha=LAST_RATE / RATE)
    model.compile(keras.optimizers.Adam(rate))
    awp = [AdversarialWeightPerturbation(recipe.gamma)] if recipe.gamma is not None else []
    # Long chunks: to save costs a while, and AWP has the step compiled anew in each.
    logs = train_with_warm_up(model, data, steps, run, recipe.phases, callbacks=awp, chunk=_CHUNK)
    return model.classifier, logs


def model_of(recipe, attack_steps):
    """The `AdversarialModel` of a recipe, attacked in fewer and longer steps than the paper's."""
    attack = recipe.attack() if recipe.attack else None
    if attack is not None:
        attack = type(attack)(EPS, steps=attack_steps)
    return AdversarialModel(carlini_wagner(), attack, recipe.losses(), recipe.features)


def _network(run):
    """The trained network in float32."""
    network = carlini_wagner()
    network.load_weights(run.folder / "network.weights.h5")
    return network


def _autoattack(network, run):
    """The standard AutoAttack, a part of the points at a time; parts are kept."""
    data = datasets.load("mnist")
    count = run.settings["auto_points"]
    x, y = data.x_test[:count], data.y_test[:count]
    attack = AutoAttack(
        EPS, steps=run.settings["auto_steps"], queries=run.settings["auto_queries"], seed=run.seed
    )
    stands = []
    for start in range(0, count, _PART):
        file = run.folder / f"autoattack-{start}.json"
        if not file.exists():
            part = slice(start, start + _PART)
            found = attack.run(network, x[part], y[part]).stands.tolist()
            file.write_text(json.dumps(found))
            run.checkpoint()
        stands += json.loads(file.read_text())
    return {"autoattack": float(np.mean(stands))}


def _sanity(network, run):
    """PGD as the radius and the steps grow: accuracy must fall, at last to nothing."""
    data = datasets.load("mnist")
    count = run.settings["curve_points"]
    return robustness.sanity(
        robustness.estimator_of(network),
        data.x_test[:count],
        data.y_test[:count],
        eps=EPS,
        eps_values=_RADII,
        steps_values=_ATTACK_STEPS,
        largest_eps=1.0,
    )


def _gradients(network, run):
    """OTJR, Tables 5 and 12, figures 3, 4 and 6: gradients at the input and in the layers."""
    data = datasets.load("mnist")
    count = run.settings["curve_points"]
    x, y = data.x_test[:count], data.y_test[:count]
    x_adv = attacked(network, x, y, attacks.PGD(EPS, EPS / 10, 20))
    return {
        "input gradients": input_gradient_norms(network, x, y, eps=EPS),
        "weight gradient ratios": _by_place(weight_gradient_ratios(network, x, x_adv, y)),
    }


def _by_place(ratios):
    """Names by place in the network: Keras counts layers on from one network to the next."""
    return {
        f"{place} {re.sub(r'_[0-9]+', '', path.partition('/')[2])}": ratio
        for place, (path, ratio) in enumerate(ratios.items())
    }


def _shortfall(settings):
    return (
        f"{settings['epochs']} epochs for {EPOCHS_OF_THE_PAPER}; the attack of the training has "
        f"{settings['attack_steps']} longer steps for {STEPS}; Adam from 1e-3 down to 1e-6, "
        f"where the paper says 1e-3, and 1e-6 for label matching; trained in {fast_type()}"
    )
