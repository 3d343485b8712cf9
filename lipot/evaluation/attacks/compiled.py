"""The attacks of `lipot.attacks.AutoAttack` with the interface of ART's."""

import numpy as np

from lipot.attacks import AutoAttack


class Compiled:
    """AutoAttack, or some of its parts, on what an estimator holds.

    Args:
        target: Estimator under attack.
        eps: Radius.
        norm: `2` or `"inf"`.
        **settings: More arguments of `lipot.attacks.AutoAttack`.
    """

    def __init__(self, target, eps, norm, **settings):
        seed = int(np.random.randint(2**31))
        # The outputs of `logits_model` are logits whatever they look like.
        self._attack = AutoAttack(eps, norm, outputs="logits", seed=seed, **settings)
        self._victim = target.victim()

    def generate(self, x, y):
        """Moves inputs `(n, ...)` with labels `y`."""
        return self._attack.generate(self._victim, x, y)
