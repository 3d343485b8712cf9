"""Adversarial logit pairing."""

import keras

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.losses.parameter import non_negative
from lipot.math.divergences import crossentropy, safe_norm


@keras.saving.register_keras_serializable(package="lipot")
class ALP(PairedLoss):
    r"""Adversarial logit pairing: cross-entropy of both batches, and distance of their logits.

    $$\alpha \, CE(f(x'), y) + (1 - \alpha) \, CE(f(x), y) + \lambda \, \|z' - z\|_2$$

    Args:
        alpha: Share of the adversarial cross-entropy, between 0 and 1.
        lambda_: Non-negative float, factor of the distance of the logits.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Kannan et al., "Adversarial logit pairing", 2018; OTJR, Table 1.

    Example:

    >>> from lipot.losses import ALP
    >>> ALP(alpha=0.5, lambda_=0.5).name
    'alp'
    """

    lambda_ = non_negative()

    def __init__(self, alpha=0.5, lambda_=0.5, *, weight=1.0, name="alp", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.alpha = checks.probability("alpha", alpha)
        self.lambda_ = lambda_

    def per_example(self, batch):
        adversarial = crossentropy(batch.labels, batch.logits_adv)
        clean = crossentropy(batch.labels, batch.logits)
        distance = safe_norm(batch.logits_adv - batch.logits)
        return self.alpha * adversarial + (1.0 - self.alpha) * clean + self.lambda_.value * distance

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "lambda_": float(self.lambda_)}
