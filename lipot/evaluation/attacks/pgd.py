"""Projected gradient from a random start."""

from art.attacks.evasion import ProjectedGradientDescent

from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec
from lipot.math.norms import order


def build(target, norm, eps, *, steps):
    """Projected gradient on the loss of `target`.

    Args:
        target: Estimator under attack.
        norm: `2` or `"inf"`.
        eps: Radius.
        steps: Number of steps.

    Returns:
        An ART attack.
    """
    return ProjectedGradientDescent(
        target,
        norm=order(norm),
        eps=eps,
        eps_step=2.5 * eps / steps,
        max_iter=steps,
        num_random_init=1,
        batch_size=EVERY_POINT,
        verbose=False,
    )


SPEC = AttackSpec("pgd", build, {"steps": 40}, cost=120, suites=("quick", *STANDARD))
