"""Weights of the terms of an objective that change while training runs."""

import keras

from lipot import checks
from lipot.callbacks.loss_parameters import LossParamScheduler, loss_parameter
from lipot.losses.parameter import LossParameter


@keras.saving.register_keras_serializable(package="lipot")
class WeightSchedule(LossParamScheduler):
    """Warms a term of the objective up: changes its weight over steps or epochs.

    The weight is `numpy.interp(now, xp, fp)`, where now counts steps, or epochs with the share of
    the one that runs.

    Losses of the validation are weighed like those of the training at the same time: compare epochs
    by an accuracy, not by `val_loss`, until the weights stand still.

    Args:
        param_name: What to change:

            - the name of a term of an `AdversarialModel`, such as `"sliced_wasserstein"`: its
              `weight`;
            - a number of a term, such as `"trades.alpha"`;
            - a number of the model or of its loss, such as `"alpha"` of hinge-KR.
        fp: Values at `xp`.
        xp: Increasing steps or epochs.
        unit: `"steps"` or `"epochs"`. Where Keras does not know how many batches an epoch has, as
            in the first epoch of a generator, the weight stays the same within it.
        step: First step, to resume a training. `Backup` keeps it.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> robust = lipot.AdversarialModel(classifier, lipot.attacks.FGSM(0.1), [
    ...     lipot.losses.AdversarialCrossentropy(), lipot.losses.SlicedWasserstein(weight=1.0)])
    >>> robust.compile("sgd")
    >>> warm_up = lipot.callbacks.WeightSchedule("sliced_wasserstein", fp=[0.0, 1.0], xp=[0, 6])
    >>> _ = robust.fit(np.ones((8, 4)), np.array([0, 1] * 4), batch_size=2, verbose=0,
    ...                callbacks=[warm_up])
    >>> float(robust.terms[1].weight)   # that of step 3
    0.5
    """

    def __init__(self, param_name, fp, xp, unit="steps", step=0):
        super().__init__(param_name, fp, xp, step)
        self.unit = checks.choice("unit", unit, ("steps", "epochs"))
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def _parameter(self):
        terms = {term.name: term for term in getattr(self.model, "terms", ())}
        term, _, number = self.param_name.partition(".")
        if term in terms and hasattr(terms[term], number or "weight"):
            return getattr(terms[term], number or "weight")
        own = getattr(self.model, self.param_name, None)
        if isinstance(own, LossParameter):
            return own
        if terms:
            raise checks.invalid(
                "param_name",
                f"the name of a term, one of {sorted(terms)}, or of a number of one, such as "
                "'trades.alpha'",
                self.param_name,
            )
        return loss_parameter(self.model, self.param_name)

    def _position(self, batch):
        if self.unit == "steps":
            return self.step
        return self._epoch + batch / (self.params.get("steps") or float("inf"))

    def get_config(self):
        return {**super().get_config(), "unit": self.unit}
