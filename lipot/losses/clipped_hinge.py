"""The loss of l-infinity-distance networks: a fading cross-entropy beside a clipped hinge."""

import keras
from keras import ops

from lipot.losses.hinge import MarginLoss
from lipot.losses.labels import read_one_hot
from lipot.losses.parameter import non_negative, positive
from lipot.losses.weighted_loss import REDUCTION
from lipot.math.margins import top_margin


@keras.saving.register_keras_serializable(package="lipot")
class ClippedHingeCrossentropy(MarginLoss):
    r"""Scaled cross-entropy, and a hinge that gives up on points that are classified wrongly.

    $$ \lambda\, \mathrm{CE}(s f, y) + \min\Bigl(\bigl(1 - \tfrac1m
       (f_y - \max_{k \neq y} f_k)\bigr)_+,\; 1\Bigr), \qquad m = \texttt{min\_margin} $$

    The hinge asks for the margin of a certificate where the class is right and has no gradient
    where it is wrong; the cross-entropy brings points there. Let its weight $\lambda$ fade while
    training runs, with `lipot.callbacks.LossParamScheduler`.

    Args:
        min_margin: Positive float, the lead that the true logit should have: twice the l-infinity
            radius to prove, and more, for logits that are 1-Lipschitz each.
        weight: Non-negative float $\lambda$, the weight of the cross-entropy.
        scale: Positive float $s$, a factor of its logits.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Zhang et al., "Boosting the certified robustness of l-infinity distance nets" (ICLR 2022),
        section 4, with a fixed scale.

    Example:

    >>> import numpy as np
    >>> loss = ClippedHingeCrossentropy(min_margin=1.0, weight=0.0, reduction="none")
    >>> labels = np.array([[1, 0], [1, 0], [1, 0]])
    >>> logits = np.array([[2.0, 0.0], [0.5, 0.0], [0.0, 2.0]])
    >>> [float(value) for value in loss(labels, logits)]
    [0.0, 0.5, 1.0]
    """

    min_margin = positive()
    weight = non_negative()
    scale = positive()
    read = staticmethod(read_one_hot)

    def __init__(
        self,
        min_margin,
        weight=1.0,
        scale=1.0,
        reduction=REDUCTION,
        name="ClippedHingeCrossentropy",
        dtype=None,
    ):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)
        self.weight = weight
        self.scale = scale

    def sample_losses(self, labels, scores, weights):
        lead = top_margin(labels, scores) / self.current(self.min_margin)
        hinge = ops.clip(1.0 - lead, 0.0, 1.0)
        scaled = self.current(self.scale) * scores
        crossentropy = keras.losses.categorical_crossentropy(labels, scaled, from_logits=True)
        return self.current(self.weight) * crossentropy + hinge

    def get_config(self):
        return {
            **super().get_config(),
            "weight": float(self.weight),
            "scale": float(self.scale),
        }
