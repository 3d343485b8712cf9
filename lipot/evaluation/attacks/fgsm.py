"""One gradient step."""

from art.attacks.evasion import FastGradientMethod

from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec
from lipot.math.norms import order


def _build(target, norm, eps):
    return FastGradientMethod(target, norm=order(norm), eps=eps, batch_size=EVERY_POINT)


SPEC = AttackSpec("fgsm", _build, cost=3, suites=STANDARD)
