"""Any Keras loss, on adversarial examples."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.logits import check_reads_logits
from lipot.losses.paired import PairedLoss


@keras.saving.register_keras_serializable(package="lipot")
class AdversarialLoss(PairedLoss):
    r"""A Keras loss evaluated on the adversarial logits, with or without the clean ones.

    $$\ell(y, f(x')) + \mathrm{clean\_weight} \cdot \ell(y, f(x))$$

    It brings hinge-KR, or a cross-entropy with temperature, to adversarial training of
    1-Lipschitz networks.

    Args:
        loss: A `keras.losses.Loss`; labels reach it as they came to `fit`.
        clean_weight: Non-negative float, factor of the clean term.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import AdversarialLoss, CategoricalHinge, PairedBatch
    >>> x, x_adv = np.array([[2.0, 0.0]]), np.array([[0.5, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, np.array([[1, 0]]), x_adv)
    >>> loss = AdversarialLoss(CategoricalHinge(min_margin=2.0))
    >>> [float(value) for value in loss(batch)]   # 2 - (0.5 - 0)
    [1.5]
    """

    def __init__(self, loss, *, clean_weight=0.0, weight=1.0, name="adversarial_loss", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.loss = checks.instance("loss", loss, keras.losses.Loss, "a keras.losses.Loss")
        check_reads_logits("loss", loss)
        self.clean_weight = checks.nonnegative_float("clean_weight", clean_weight)

    def per_example(self, batch):
        y = ops.cast(batch.y, "float32")
        value = self.loss.call(y, batch.logits_adv)
        if self.clean_weight:
            value = value + self.clean_weight * self.loss.call(y, batch.logits)
        return value

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "clean_weight": self.clean_weight,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
