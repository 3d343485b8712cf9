"""The TRADES objective."""

import keras

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.math.divergences import crossentropy, kl_divergence


@keras.saving.register_keras_serializable(package="lipot")
class TRADES(PairedLoss):
    r"""Clean cross-entropy, and divergence of the adversarial prediction from the clean one.

    $$CE(f(x), y) + \alpha \, D_{KL}(f(x) \,\|\, f(x'))$$

    Meant for the attack `lipot.attacks.TRADESPGD`. The divergence is taken in the direction of
    the authors' code.

    Args:
        alpha: Factor of the divergence.
        weight: Factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Zhang et al., 2019; GOT, equations 4 and 9; OTJR, Table 1.

    Example:

    >>> from lipot.losses import TRADES
    >>> TRADES(alpha=6.0).name
    'trades'
    """

    def __init__(self, alpha=6.0, *, weight=1.0, name="trades", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.alpha = checks.nonnegative_float("alpha", alpha)

    def per_example(self, batch):
        divergence = kl_divergence(batch.logits, batch.logits_adv)
        return crossentropy(batch.labels, batch.logits) + self.alpha * divergence

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}
