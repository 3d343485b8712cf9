"""Random squares, kept where they help."""

from lipot.evaluation.attacks.compiled import Compiled
from lipot.evaluation.attacks.spec import STANDARD, AttackSpec


def _build(target, norm, eps, *, queries):
    return Compiled(target, eps, norm, queries=queries, attacks=("square",))


SPEC = AttackSpec(
    "square", _build, {"queries": 1000}, needs_gradient=False, cost=1000, suites=STANDARD
)
