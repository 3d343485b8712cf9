"""The attack of Carlini and Wagner."""

from art.attacks.evasion import CarliniL2Method

from lipot.evaluation.attacks import pgd
from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec


def _build(target, norm, eps, *, steps, searches):
    if norm == "inf":
        # ART's l-inf version searches point by point, thousands of calls each. In this norm the
        # literature climbs the margin of Carlini and Wagner by projected gradient instead.
        return pgd.build(target.with_loss("margin"), norm, eps, steps=steps * searches)
    return CarliniL2Method(
        target,
        max_iter=steps,
        binary_search_steps=searches,
        initial_const=1.0,
        batch_size=EVERY_POINT,
        verbose=False,
    )


SPEC = AttackSpec("cw", _build, {"steps": 10, "searches": 6}, (2,), cost=500, suites=STANDARD)
