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

    >>> import numpy as np
    >>> from lipot.losses import ALP, PairedBatch
    >>> x, x_adv = np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, [0], x_adv)
    >>> loss = ALP(alpha=1.0, lambda_=0.5)
    >>> [round(float(value), 4) for value in loss(batch)]   # log(2) + 0.5 * 5
    [3.1931]
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
