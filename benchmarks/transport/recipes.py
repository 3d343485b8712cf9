"""Rows of the MNIST tables, in order of need: what is trained, what its paper reports."""

from typing import NamedTuple

from lipot import attacks, losses
from lipot.models import carlini_wagner

EPS, STEP, STEPS = 0.3, 0.01, 40
GOT_TABLE_1 = "GOT, Table 1"
# Up to a share of the steps: shares of the radius, and of the weights of all terms but the first.
PHASES = ((0.06, 1 / 3, 0.0), (0.15, 2 / 3, 0.0), (0.3, 1.0, 0.1), (1.0, 1.0, 1.0))
# Free transport beside TRADES asks all attacked images for clean answers, of whatever class. From
# a tenth to the whole of its weight at once it brings the network to one answer for all.
GRADUAL = (*PHASES[:-1], (0.45, 1.0, 0.25), (0.6, 1.0, 0.5), PHASES[-1])


class Recipe(NamedTuple):
    """One row.

    Attributes:
        attack: Function of nothing that returns the attack, or `None`.
        losses: Function of nothing that returns the list of paired losses.
        paper: `(clean, pgd, autoattack)` in percent as the paper reports them, or `None`.
        source: Where the paper's figures stand.
        features: Layer that GOT compares, or `None` for the input of the last.
        gamma: Size of adversarial weight perturbations, or `None` to perturb inputs alone.
        phases: How radius and weights grow.
    """

    attack: object
    losses: object
    paper: tuple | None = None
    source: str = ""
    features: str | None = None
    gamma: float | None = None
    phases: tuple = PHASES


def pgd():
    return attacks.PGD(EPS, STEP, STEPS)


def trades_pgd():
    return attacks.TRADESPGD(EPS, STEP, STEPS)


def _adversarial(*more):
    return lambda: [losses.AdversarialCrossentropy(), *(make() for make in more)]


def _trades(*more):
    return lambda: [losses.TRADES(alpha=6.0), *(make() for make in more)]


def _clean(*more):
    def terms():
        clean = losses.AdversarialCrossentropy(alpha=0.0, clean_weight=1.0)
        return [clean, *(make() for make in more)]

    return terms


def _got(**kwargs):
    return lambda: losses.GOT(weight=10.0, theta=0.1, lambda_=1.0, **kwargs)


def _sliced(weight):
    return lambda: losses.SlicedWasserstein(weight=weight, projections=32)


def _optimal_jacobian():
    return losses.OptimalJacobian(weight=0.002)


MAIN = {
    "PGD-AT": Recipe(pgd, _adversarial(), (98.99, 95.63, 91.07), GOT_TABLE_1),
    "GOT-PGD-S": Recipe(pgd, _adversarial(_got()), (99.37, 96.94, 92.73), GOT_TABLE_1),
    "GOT-PGD-LM": Recipe(
        pgd, _adversarial(_got(label_matching=True)), (99.22, 97.2, 93.91), GOT_TABLE_1
    ),
    # The paper of OTJR has no MNIST: its weight 64 belongs to logits at eps 8/255.
    "OTJR": Recipe(pgd, _adversarial(_sliced(1.0), _optimal_jacobian)),
    "TRADES": Recipe(trades_pgd, _trades(), (98.8, 96.55, 89.4), GOT_TABLE_1),
    "GOT-TRADES-S": Recipe(
        trades_pgd, _trades(_got()), (99.34, 96.82, 92.26), GOT_TABLE_1, phases=GRADUAL
    ),
    "GOT-TRADES-LM": Recipe(
        trades_pgd, _trades(_got(label_matching=True)), (99.26, 97.79, 94.15), GOT_TABLE_1
    ),
    "SW": Recipe(pgd, _adversarial(_sliced(1.0))),
    "MART": Recipe(pgd, lambda: [losses.MART()], (98.66, 94.77, 90.06), GOT_TABLE_1),
    "ALP": Recipe(pgd, lambda: [losses.ALP()]),
    "SAT": Recipe(pgd, _adversarial(lambda: losses.SinkhornDivergence(weight=0.1))),
    "random JR": Recipe(None, _clean(lambda: losses.RandomJacobian(weight=0.02))),
    "optimal JR": Recipe(pgd, _clean(lambda: losses.OptimalJacobian(weight=0.02))),
    "clean": Recipe(None, _clean()),
}

# Each is PGD-AT with one thing more, as OTJR's Table 3 does to its own rows on CIFAR.
WITH_SURROGATES = {
    "PGD-AT with AWP": Recipe(pgd, _adversarial(), gamma=0.01),
    "PGD-AT with LBGAT": Recipe(pgd, _adversarial(lambda: losses.LBGAT(carlini_wagner()))),
}

# GOT, Table 5: (clean, PGD, AutoAttack) for each pair of costs; cosine and KL stand in MAIN.
_TABLE_5 = {
    "GOT-TRADES-S": {
        ("cosine", "l1"): (98.86, 96.5, 92.2),
        ("l2", "kl"): (98.83, 96.31, 91.8),
        ("l2", "l1"): (98.04, 93.44, 89.1),
    },
    "GOT-PGD-S": {
        ("cosine", "l1"): (99.33, 93.75, 84.9),
        ("l2", "kl"): (99.12, 95.22, 87.9),
        ("l2", "l1"): (98.4, 91.89, 78.5),
    },
}
_TABLE_4 = {"GOT-PGD-S": (99.22, 95.32, 86.0), "GOT-TRADES-S": (99.24, 94.38, 87.8)}
_BASES = {"GOT-PGD-S": _adversarial, "GOT-TRADES-S": _trades}

COSTS = {
    f"{name} {feature_cost}/{label_cost}": MAIN[name]._replace(
        losses=_BASES[name](_got(feature_cost=feature_cost, label_cost=label_cost)),
        paper=paper,
        source="GOT, Table 5",
    )
    for name, costs in _TABLE_5.items()
    for (feature_cost, label_cost), paper in costs.items()
}
MIDDLE_LAYER = {
    name: MAIN[name]._replace(paper=paper, source="GOT, Table 4", features="pool_2")
    for name, paper in _TABLE_4.items()
}
