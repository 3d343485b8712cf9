"""Misclassification-aware adversarial training."""

import keras
from keras import ops

from lipot.losses.paired import PairedLoss
from lipot.losses.parameter import non_negative
from lipot.math.divergences import crossentropy, kl_divergence
from lipot.math.margins import true_class


@keras.saving.register_keras_serializable(package="lipot")
class MART(PairedLoss):
    r"""Boosted cross-entropy, and a divergence that counts where the clean prediction is wrong.

    $$-\log p'_y - \log\bigl(1 - \max_{k \ne y} p'_k\bigr)
        + \lambda \, D_{KL}(p \,\|\, p') \, (1 - p_y)$$

    with $p = \mathrm{softmax}(f(x))$ and $p' = \mathrm{softmax}(f(x'))$.

    Args:
        lambda_: Non-negative float, factor of the divergence.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Wang et al., "Improving adversarial robustness requires revisiting misclassified
        examples", 2020.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import MART, PairedBatch
    >>> x = np.array([[0.0, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, [0], x)
    >>> [round(float(value), 4) for value in MART()(batch)]   # -log(1/2) - log(1 - 1/2)
    [1.3863]
    """

    lambda_ = non_negative()

    def __init__(self, lambda_=5.0, *, weight=1.0, name="mart", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.lambda_ = lambda_

    def per_example(self, batch):
        labels, logits_adv = batch.labels, batch.logits_adv
        log_p = ops.log_softmax(logits_adv, axis=-1)
        # Smoothed labels are positive everywhere: the true class is the likeliest.
        runner_up = true_class(ops.where(true_class(labels), -float("inf"), log_p))
        # 1 - p is the sum of all other probabilities: where p rounds to one, 1 - p has no digits.
        margin = -ops.logsumexp(ops.where(runner_up, -float("inf"), log_p), axis=-1)
        boosted = crossentropy(labels, logits_adv) + margin
        wrong = 1.0 - ops.sum(labels * ops.softmax(batch.logits, axis=-1), axis=-1)
        return boosted + self.lambda_.value * kl_divergence(batch.logits, logits_adv) * wrong

    def get_config(self):
        return {**super().get_config(), "lambda_": float(self.lambda_)}
