"""Projected gradient from a random start, on two losses."""

import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

from lipot.attacks.survivors import survivors
from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec
from lipot.math.norms import order

# The cross-entropy pushes all other classes at once; the margin goes on to the nearest one.
LOSSES = ("steep_crossentropy", "margin")


class Ascents:
    """One attack after the other, each on the points that those before it left standing.

    Args:
        target: Estimator under attack.
        attacks: ART attacks.
    """

    def __init__(self, target, attacks):
        self._target, self._attacks = target, attacks

    def generate(self, x, y):
        """Moves inputs `(n, ...)` with one-hot labels `y`."""
        first, *others = self._attacks
        moved = np.array(first.generate(x, y))

        def stands(_):
            return np.argmax(self._target.predict(moved), axis=1) == np.argmax(y, axis=1)

        for attack, rows in survivors(others, stands):
            moved[rows] = attack.generate(x[rows], y[rows])
        return moved


def ascent(target, norm, eps, steps):
    """ART's projected gradient on the loss of `target`, from one random start."""
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


def build(target, norm, eps, *, steps, losses=LOSSES):
    """Projected gradient on some losses, on each from a random start of its own.

    Args:
        target: Estimator under attack.
        norm: `2` or `"inf"`.
        eps: Radius.
        steps: Number of steps on each loss.
        losses: Names of losses, as in `lipot.interop.art.classifier`.

    Returns:
        An attack with the interface of ART's.
    """
    return Ascents(target, [ascent(target.with_loss(loss), norm, eps, steps) for loss in losses])


SPEC = AttackSpec(
    "pgd", build, {"steps": 40, "losses": LOSSES}, cost=240, suites=("quick", *STANDARD)
)
