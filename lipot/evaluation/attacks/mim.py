"""Projected gradient with momentum."""

from art.attacks.evasion import MomentumIterativeMethod

from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec
from lipot.math.norms import order


def _build(target, norm, eps, *, steps):
    return MomentumIterativeMethod(
        target,
        norm=order(norm),
        eps=eps,
        eps_step=2.5 * eps / steps,
        decay=1.0,
        max_iter=steps,
        batch_size=EVERY_POINT,
        verbose=False,
    )


SPEC = AttackSpec("mim", _build, {"steps": 40}, cost=120, suites=STANDARD)
