"""The exponent of l-infinity-distance layers while training runs."""

import keras
import numpy as np

from lipot import checks, layers
from lipot.backend.keras_graph import all_layers
from lipot.callbacks.counts_steps import ActsAtSteps


@keras.saving.register_keras_serializable(package="lipot")
class DistanceNormScheduler(ActsAtSteps):
    r"""Raises the exponent of every `LInfDistanceDense` with a `p`, at last to infinity.

    For shares of the training below `begin` the exponent is `first`, from there to `end` it grows
    exponentially to `last`, and after that it is infinite, as at inference. With
    `steps_per_execution` above 1 so many steps share the exponent of their first.

    Args:
        steps: Positive int, training steps in all.
        first: Float from 1 on, the first exponent.
        last: Float above `first`, the last finite one; above 1023 counts as infinity.
        begin: Share of the training with the first exponent.
        end: Share after which the exponent is infinite.
        step: Non-negative int, first step, to resume a training.

    Reference:
        Zhang et al., "Towards certifying l-infinity robustness using neural networks with
        l-inf-dist neurons" (ICML 2021), section 5.3.

    Example:

    >>> import lipot
    >>> scheduler = lipot.callbacks.DistanceNormScheduler(100, first=8.0, last=512.0)
    >>> [scheduler.exponent(share) for share in (0.0, 0.5, 0.95)]
    [8.0, 64.0, inf]
    """

    def __init__(self, steps, first=8.0, last=1000.0, begin=0.125, end=0.875, step=0):
        super().__init__(step)
        self.steps = checks.positive_int("steps", steps)
        self.first = checks.positive_float("first", first)
        if self.first < 1.0:
            raise checks.invalid("first", "a number from 1 on", first)
        self.last = checks.positive_float("last", last)
        self.begin, self.end = checks.probability("begin", begin), checks.probability("end", end)
        if not self.begin < self.end:
            raise checks.invalid("end", f"more than begin={begin}", end)
        if not self.first < self.last:
            raise checks.invalid("last", f"more than first={first}", last)

    def exponent(self, share):
        """The exponent after a share of the training, a whole number or infinity."""
        if share >= self.end:
            return float("inf")
        grown = np.clip((share - self.begin) / (self.end - self.begin), 0.0, 1.0)
        return float(np.round(self.first * (self.last / self.first) ** grown))

    def apply(self, share):
        """Sets the exponents of the model to those after a share of the training."""
        for layer in _distance_layers(self.model):
            layer.set_exponent(self.exponent(share))

    def on_train_begin(self, logs=None):
        if not _distance_layers(self.model):
            raise checks.refused(
                "model",
                "a LInfDistanceDense with an argument `p`",
                f"'{self.model.name}' without one",
            )

    def _at_step(self, batch):
        self.apply(self.step / self.steps)

    def get_config(self):
        names = ("steps", "first", "last", "begin", "end", "step")
        return {name: getattr(self, name) for name in names}


def _distance_layers(model):
    found = [part for part in all_layers(model) if isinstance(part, layers.LInfDistanceDense)]
    return [layer for layer in found if layer.exponent is not None]
