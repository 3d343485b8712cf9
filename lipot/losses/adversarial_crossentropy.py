"""Cross-entropy of adversarial examples: PGD adversarial training."""

import keras

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.math.divergences import crossentropy


@keras.saving.register_keras_serializable(package="lipot")
class AdversarialCrossentropy(PairedLoss):
    r"""Cross-entropy of the adversarial examples, with or without that of the clean ones.

    $$\alpha \, CE(f(x'), y) + \mathrm{clean\_weight} \cdot CE(f(x), y)$$

    With `clean_weight=0` the clean examples are never passed through the network.

    Args:
        alpha: Non-negative float, factor of the adversarial term.
        clean_weight: Non-negative float, factor of the clean term. GOT writes equation 3 with 1 and
            trains with 0.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Madry et al., 2018; GOT, equation 8; OTJR, Table 1.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import AdversarialCrossentropy, PairedBatch
    >>> x, x_adv = np.array([[2.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, [0], x_adv)
    >>> [round(float(value), 4) for value in AdversarialCrossentropy()(batch)]   # log(2)
    [0.6931]
    """

    def __init__(
        self, alpha=1.0, *, clean_weight=0.0, weight=1.0, name="adversarial_crossentropy", **kwargs
    ):
        super().__init__(weight, name=name, **kwargs)
        self.alpha = checks.nonnegative_float("alpha", alpha)
        self.clean_weight = checks.nonnegative_float("clean_weight", clean_weight)

    def per_example(self, batch):
        value = self.alpha * crossentropy(batch.labels, batch.logits_adv)
        if self.clean_weight:
            value = value + self.clean_weight * crossentropy(batch.labels, batch.logits)
        return value

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "clean_weight": self.clean_weight}
