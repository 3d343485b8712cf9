"""AutoAttack: Auto-PGD on two losses, FAB and Square."""

from lipot.evaluation.attacks.compiled import Compiled
from lipot.evaluation.attacks.spec import STANDARD, AttackSpec


def _build(target, norm, eps, *, steps, queries):
    return Compiled(target, eps, norm, steps=steps, queries=queries)


_SETTINGS = {"steps": 100, "queries": 5000}
SPEC = AttackSpec("autoattack", _build, _SETTINGS, cost=7000, suites=STANDARD)
