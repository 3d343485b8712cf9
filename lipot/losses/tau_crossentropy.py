"""Cross-entropies with a temperature, for 1-Lipschitz networks whose logits cannot grow."""

import keras
from keras import ops

from lipot.losses.labels import read_binary, read_classes, read_distributions
from lipot.losses.parameter import positive
from lipot.losses.weighted_loss import REDUCTION, WeightedLoss


class TemperatureLoss(WeightedLoss):
    """A `WeightedLoss` of logits multiplied by `tau`, divided by `tau` again.

    A large `tau` makes the loss a hinge on the margin; a small one makes it linear in the logits.
    `tau` may change while training runs.

    Args:
        tau: Positive float, the inverse temperature.
        reduction: As in `WeightedLoss`.
        name: Name of the loss.
        dtype: Dtype of the computation.
    """

    tau = positive()

    def __init__(self, tau, reduction=REDUCTION, name=None, dtype=None):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.tau = tau

    def get_config(self):
        return {"tau": float(self.tau), **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class TauCategoricalCrossentropy(TemperatureLoss):
    r"""Cross-entropy of one-hot labels at inverse temperature `tau`.

    $$
    -\frac{1}{\tau}\, \mathbb{E} \sum_k y_k \log \mathrm{softmax}_k(\tau f(x))
    $$

    Args:
        tau: Positive float, the inverse temperature.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: `(batch, classes)`, rows that sum to 1. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Béthune et al., "Pay attention to your loss: understanding misconceptions about
        1-Lipschitz neural networks".

    Example:

    >>> import numpy as np
    >>> loss = TauCategoricalCrossentropy(tau=2.0)
    >>> round(float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))), 4)   # log(2) / 2
    0.3466
    """

    read = staticmethod(read_distributions)

    def __init__(self, tau, reduction=REDUCTION, name="TauCategoricalCrossentropy", dtype=None):
        super().__init__(tau=tau, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        return ops.categorical_crossentropy(labels, tau * scores, from_logits=True) / tau


@keras.saving.register_keras_serializable(package="lipot")
class TauSparseCategoricalCrossentropy(TemperatureLoss):
    r"""Cross-entropy of class numbers at inverse temperature `tau`.

    $$
    -\frac{1}{\tau}\, \mathbb{E} \log \mathrm{softmax}_y(\tau f(x))
    $$

    Args:
        tau: Positive float, the inverse temperature.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: class numbers `(batch,)` or `(batch, 1)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Béthune et al., "Pay attention to your loss: understanding misconceptions about
        1-Lipschitz neural networks".

    Example:

    >>> import numpy as np
    >>> loss = TauSparseCategoricalCrossentropy(tau=2.0)
    >>> round(float(loss(np.array([1]), np.array([[0.0, 0.0]]))), 4)
    0.3466
    """

    read = staticmethod(read_classes)

    def __init__(
        self, tau, reduction=REDUCTION, name="TauSparseCategoricalCrossentropy", dtype=None
    ):
        super().__init__(tau=tau, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        numbers = ops.cast(labels, "int32")
        return ops.sparse_categorical_crossentropy(numbers, tau * scores, from_logits=True) / tau


@keras.saving.register_keras_serializable(package="lipot")
class TauBinaryCrossentropy(TemperatureLoss):
    r"""Binary cross-entropy of logits at inverse temperature `tau`.

    $$
    \frac{1}{\tau}\, \mathbb{E} \log\left(1 + e^{-\tau y f(x)}\right), \qquad y \in \{-1, 1\}
    $$

    Args:
        tau: Positive float, the inverse temperature.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: `(batch, outputs)` in {0, 1} or {-1, 1}; `(batch,)` too for one output.
        `y_pred`: logits `(batch, outputs)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Béthune et al., "Pay attention to your loss: understanding misconceptions about
        1-Lipschitz neural networks".

    Example:

    >>> import numpy as np
    >>> loss = TauBinaryCrossentropy(tau=2.0)
    >>> round(float(loss(np.array([1, -1]), np.array([[0.0], [0.0]]))), 4)
    0.3466
    """

    read = staticmethod(read_binary)

    def __init__(self, tau, reduction=REDUCTION, name="TauBinaryCrossentropy", dtype=None):
        super().__init__(tau=tau, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        losses = ops.binary_crossentropy(labels, tau * scores, from_logits=True)
        return ops.mean(losses, axis=-1) / tau
