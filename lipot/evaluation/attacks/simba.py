"""Single pixels, kept where they help."""

import numpy as np
from art.attacks.evasion import SimBA

from lipot.evaluation.attacks.spec import STANDARD, AttackSpec


def _build(target, norm, eps, *, steps, step_size):
    return SimBA(
        target.with_probabilities(),
        attack="px",
        # Directions are drawn without repetition; ART would begin anew, and leave an l-inf ball.
        max_iter=min(steps, int(np.prod(target.input_shape))),
        # In l-inf a pixel is moved once, to the end of the ball.
        epsilon=eps if norm == "inf" else step_size,
        verbose=False,
    )


def _no_image(target, norm):
    return None if len(target.input_shape) == 3 else "It needs images."


SPEC = AttackSpec(
    "simba",
    _build,
    # As many as OTJR has.
    {"steps": 1000, "step_size": 0.2},
    (2,),
    needs_gradient=False,
    cost=15000,
    obstacle=_no_image,
    suites=STANDARD,
)
