"""The radius of a training attack that grows while training runs."""

import keras

from lipot import checks
from lipot.attacks.base import Attack
from lipot.callbacks.weight_schedule import WeightSchedule


@keras.saving.register_keras_serializable(package="lipot")
class RadiusSchedule(WeightSchedule):
    """Warms the attack of an `AdversarialModel` or an `OTClassifier` up.

    The attack has the share `numpy.interp(now, xp, fp)` of its radius and of its steps. A network
    that meets a large radius at once, such as 0.3 on MNIST, may stay at chance, or learn to stand
    that radius and little below it.

    Validation meets the whole radius, whatever the training has reached, and so does everything
    after `fit`: the best epoch by `val_robust_accuracy` is the one that stands it best. A callback
    that watches it needs `mode="max"`.

    Args:
        fp: Positive shares at `xp`.
        xp: Increasing steps or epochs.
        unit: `"steps"` or `"epochs"`, as in `WeightSchedule`.
        step: Non-negative int, first step, to resume a training. `Backup` keeps it.

    Raises:
        ValueError: A share that is not positive; in `fit`, if the model has no attack.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> robust = lipot.AdversarialModel(
    ...     classifier, lipot.attacks.PGD(0.3), [lipot.losses.AdversarialCrossentropy()])
    >>> robust.compile("sgd")
    >>> warm_up = lipot.callbacks.RadiusSchedule(fp=[0.25, 1.0], xp=[0, 6])
    >>> shares = []
    >>> watch = keras.callbacks.LambdaCallback(
    ...     on_train_batch_end=lambda batch, logs: shares.append(float(robust.attack.share)))
    >>> _ = robust.fit(np.ones((8, 4)), np.array([0, 1] * 4), batch_size=2, verbose=0,
    ...                callbacks=[warm_up, watch])
    >>> shares
    [0.25, 0.375, 0.5, 0.625]
    """

    def __init__(self, fp, xp, unit="steps", step=0):
        super().__init__("share", fp, xp, unit, step)
        if min(self.fp) <= 0.0:
            raise checks.invalid("fp", "positive shares of the radius", self.fp)

    def on_test_begin(self, logs=None):
        # Outside `fit` nothing has made it smaller. The next training step sets it anew.
        self._parameter().assign(1.0)

    def on_train_end(self, logs=None):
        self._parameter().assign(1.0)

    def _parameter(self):
        attack = getattr(self.model, "attack", None)
        if not isinstance(attack, Attack):
            raise checks.refused(
                "model",
                "one with a lipot attack, an AdversarialModel or an OTClassifier",
                f"attack={attack!r}",
            )
        return attack.share

    def get_config(self):
        config = super().get_config()
        del config["param_name"]
        return config
