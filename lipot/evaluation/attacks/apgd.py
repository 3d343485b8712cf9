"""Auto-PGD on the difference of logits ratio."""

from lipot.evaluation.attacks.compiled import Compiled
from lipot.evaluation.attacks.spec import AttackSpec


def _build(target, norm, eps, *, steps):
    return Compiled(target, eps, norm, steps=steps, attacks=("apgd-dlr",))


SPEC = AttackSpec("apgd", _build, {"steps": 100}, cost=400, suites=("quick",))
