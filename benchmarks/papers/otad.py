"""OTAD, Tables I, II and III: its defence and the baselines on MNIST, by the same three attacks.

The defence of a row is trained by the first table that needs it, and the others take it up.
What else is measured of OTAD on MNIST stands in `benchmarks.otad.mnist`.
"""

import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

from benchmarks.otad import parts
from benchmarks.papers.otad_networks import METHODS, SHAPE, defence
from benchmarks.papers.table import Table
from lipot import datasets, models
from lipot.evaluation.attacks.ngopt import NGOptCarlini

_BATCH = 200


def training(name, run):
    """Makes the defence of a row, or takes up that of another table; returns its accuracy."""
    data = datasets.load("mnist")
    model = defence(name, data, run)
    return {"clean": parts.accuracy(model, data.x_test, data.y_test) / 100.0}


def ngopt(name, run):
    """Accuracy under Carlini-Wagner without gradients, by the spread of the mutations."""
    model, x, y = _attacked(name, run)
    found = {"constant": run.settings["constant"]}
    for sigma in (0.1, 0.15, 0.2):
        attack = NGOptCarlini(
            parts.estimator_of(model, SHAPE),
            sigma=sigma,
            budget=run.settings["queries"],
            constant=run.settings["constant"],
            seed=run.seed,
        )
        found[f"{sigma:g}"] = parts.attacked_accuracy(model, x, y, attack) / 100.0
    return {"ngopt": found}


def pgd(name, run):
    """Accuracy under PGD in l2: by BPDA, and by the true gradient of what has another one."""
    model, x, y = _attacked(name, run)
    found = {}
    for eps in (1.0, 2.0, 3.0):
        chosen = _gradient_attacks(name, model, eps, run.settings["steps"])
        stand = {
            key: parts.right(model, attack.generate(x, y), y) for key, attack in chosen.items()
        }
        found[f"{eps:g}"] = {key: float(np.mean(value)) for key, value in stand.items()}
        found[f"{eps:g}"]["worst of these"] = float(np.mean(np.all([*stand.values()], axis=0)))
    return {"pgd": found}


def square(name, run):
    """Accuracy under Square."""
    model, x, y = _attacked(name, run)
    found = {}
    for eps in (2.0, 3.0):
        attack = parts.square_attack(eps, queries=run.settings["queries"])
        found[f"{eps:g}"] = float(np.mean(attack.run(model, x, y).stands))
    return {"square": found}


def _gradient_attacks(name, model, eps, steps):
    if name == "OTAD":
        return parts.gradient_attacks(model, SHAPE, eps, steps=steps)
    # Without a purifier the paper's BPDA + PGD is PGD.
    chosen = {"BPDA + PGD": _pgd_of(model, eps, steps)}
    if isinstance(model, models.Purified):
        chosen["PGD, true gradient"] = _pgd_of(model.with_backward("exact"), eps, steps)
    return chosen


def _pgd_of(model, eps, steps):
    return ProjectedGradientDescent(
        parts.estimator_of(model, SHAPE),
        norm=2,
        eps=eps,
        eps_step=5.0 * eps / steps,
        max_iter=steps,
        num_random_init=1,
        batch_size=_BATCH,
        verbose=False,
    )


def _attacked(name, run):
    data = datasets.load("mnist")
    drawn = parts.some(data.x_test, data.y_test, run.settings["points"], run.seed)
    return defence(name, data, run), *drawn


def _table(number, what, stage, paper, **settings):
    training_settings = {"epochs": 5, "purifier_epochs": 2, "batch_size": 128, "otad_epochs": 12}
    return Table(
        title=f"MNIST, {what} (OTAD, Table {number})",
        settings={**training_settings, "points": 500, **settings},
        rows={name: paper.get(name) for name in METHODS},
        stages=(training, stage),
        shares={},
        shortfall=lambda name, given: (
            f"{given['points']} points for 1000; OTAD's network trains for {given['otad_epochs']} "
            f"epochs, the others' for {given['epochs']}, purifiers for {given['purifier_epochs']}"
        ),
        seeds=(0,),
    )


# Standard accuracy, then at each sigma.
_NGOPT = {
    "OTAD": (96.3, 81.3, 73.4, 63.2),
    "PGD-AT": (98.6, 72.5, 30.8, 5.8),
    "l-infinity distances": (98.5, 80.0, 69.8, 60.4),
    "SOC+": (96.0, 75.2, 51.6, 23.9),
    "APE-GAN": (93.3, 28.8, 6.0, 0.6),
    "STL": (96.4, 4.2, 2.6, 1.6),
    "median filter": (97.6, 1.2, 0.1, 0.0),
    "FGSM-AT": (72.7, None, None, None),
}
_SQUARE = {
    "OTAD": (96.3, 63.0, 41.6),
    "PGD-AT": (98.6, 25.6, 1.2),
    "l-infinity distances": (98.5, 14.0, 16.3),
    "SOC+": (96.0, 56.4, 26.1),
    "APE-GAN": (93.3, 4.2, 0.2),
    "STL": (96.4, None, 0.0),
    "median filter": (97.6, None, None),
    "FGSM-AT": (72.7, None, None),
}
TABLE_1 = _table("I", "NGOpt", ngopt, _NGOPT, points=200, queries=850, constant=10.0)
TABLE_2 = _table("II", "BPDA + PGD", pgd, {}, steps=100)
TABLE_3 = _table("III", "Square", square, _SQUARE, points=200, queries=2000)
