"""The TRADES objective."""

import keras

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.losses.parameter import non_negative
from lipot.math.divergences import DIRECTIONS, crossentropy, directed_kl


@keras.saving.register_keras_serializable(package="lipot")
class TRADES(PairedLoss):
    r"""Clean cross-entropy, and divergence of the adversarial prediction from the clean one.

    $$CE(f(x), y) + \alpha \, D_{KL}(f(x) \,\|\, f(x'))$$

    Meant for the attack `lipot.attacks.TRADESPGD`, with the same `direction`. Two sources differ:

    - `"trades"`: $D_{KL}(f(x) \,\|\, f(x'))$, the code of the authors of TRADES, and, up to the
      entropy of the clean prediction, the cross-entropy in OTJR's Table 1;
    - `"got"`: $D_{KL}(f(x') \,\|\, f(x))$, as GOT writes it in equations 4 and 9.

    Args:
        alpha: Non-negative float, factor of the divergence.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        direction: `"trades"` or `"got"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Zhang et al., 2019; GOT, equations 4 and 9; OTJR, Table 1.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import PairedBatch, TRADES
    >>> x, x_adv = np.log([[0.5, 0.5]]), np.log([[0.75, 0.25]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, [0], x_adv)
    >>> loss = TRADES(alpha=2.0)
    >>> [round(float(value), 4) for value in loss(batch)]   # log(2) + log(4 / 3)
    [0.9808]
    """

    alpha = non_negative()

    def __init__(self, alpha=6.0, *, weight=1.0, name="trades", direction="trades", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.alpha = alpha
        self.direction = checks.choice("direction", direction, DIRECTIONS)

    def per_example(self, batch):
        divergence = directed_kl(batch.logits, batch.logits_adv, self.direction)
        return crossentropy(batch.labels, batch.logits) + self.alpha.value * divergence

    def get_config(self):
        return {**super().get_config(), "alpha": float(self.alpha), "direction": self.direction}
