"""Cross-entropy less a share of the certified radius."""

import math

import keras
from keras import ops

from lipot.losses.labels import read_one_hot
from lipot.losses.parameter import non_negative, positive
from lipot.losses.weighted_loss import REDUCTION, WeightedLoss
from lipot.math.margins import top_margin


@keras.saving.register_keras_serializable(package="lipot")
class CertificateRegularizedCrossentropy(WeightedLoss):
    r"""Cross-entropy that rewards the certified radius of samples that are classified rightly.

    $$
    \mathbb{E} \Bigl[ -\log \mathrm{softmax}_y(f) - \gamma
    \Bigl(\min_{k \ne y} \frac{f_y - f_k}{\sqrt 2\, L}\Bigr)_+ \Bigr]
    $$

    The fraction is the l2 radius of outputs that are `lipschitz`-Lipschitz together, as those of
    `SkewOrthogonalConv2D` networks: with these layers, this loss and Householder activations it is
    SOC+. The cross-entropy alone stops moving a sample that is sure, whatever its radius.
    `gamma` and `lipschitz` may change while training runs.

    Args:
        gamma: Non-negative float, factor of the radius. The authors use 0.5.
        lipschitz: Positive float, Lipschitz constant of all outputs together.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Singla, Singla and Feizi, "Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100"
        (ICLR 2022), section 5; the baseline SOC+ of OTAD.

    Example:

    >>> import numpy as np
    >>> loss = CertificateRegularizedCrossentropy(gamma=0.5)
    >>> # log(1 + e^-2) - 0.5 * 2 / sqrt(2)
    >>> round(float(loss(np.array([[1, 0]]), np.array([[2.0, 0.0]]))), 4)
    -0.5802
    """

    gamma = non_negative()
    lipschitz = positive()
    read = staticmethod(read_one_hot)

    def __init__(
        self,
        gamma=0.5,
        lipschitz=1.0,
        reduction=REDUCTION,
        name="CertificateRegularizedCrossentropy",
        dtype=None,
    ):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.gamma = gamma
        self.lipschitz = lipschitz

    def sample_losses(self, labels, scores, weights):
        lead = ops.relu(top_margin(labels, scores))
        radius = lead / (math.sqrt(2.0) * self.current(self.lipschitz))
        crossentropy = ops.categorical_crossentropy(labels, scores, from_logits=True)
        return crossentropy - self.current(self.gamma) * radius

    def get_config(self):
        own = {"gamma": float(self.gamma), "lipschitz": float(self.lipschitz)}
        return {**own, **super().get_config()}
