"""Hinge-KR losses in which the strongest of the other classes count most."""

import keras

from lipot.losses.hinge import MarginLoss
from lipot.losses.labels import read_one_hot
from lipot.losses.parameter import non_negative, non_negative_or_infinite, positive
from lipot.losses.weighted_loss import REDUCTION
from lipot.math import kantorovich, soft_margins


@keras.saving.register_keras_serializable(package="lipot")
class SoftHKR(MarginLoss):
    r"""Hinge-KR loss of the true class against a softmax of the others.

    $$
    \mathbb{E} \left[\sum_{k \neq y} w_k f_k - f_y
    + \alpha \left(\left(\tfrac{m}{2} - f_y\right)_+
    + \sum_{k \neq y} w_k \left(\tfrac{m}{2} + f_k\right)_+\right)\right],
    \qquad w = \mathrm{softmax}_{k \neq y}(T f_k), \quad m = \texttt{min\_margin}
    $$

    `MulticlassHKR` counts all other classes alike, so that with many of them most of the gradient
    comes from those that do not matter. Here the weights $w$ pick those that do; no gradient goes
    through them. `alpha`, `min_margin` and `temperature` may change while training runs.

    Args:
        alpha: Non-negative float, the weight of the hinge; `float("inf")` keeps the hinge alone.
        min_margin: Non-negative float, twice the distance each output should keep from 0.
        temperature: Non-negative float `T`: 0 weighs all other classes alike, a large one takes
            the best of them alone. It multiplies the logits as they are, whereas deel-torchlip,
            where this loss is from, follows their mean size.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Serrurier et al., "On the explainable properties of 1-Lipschitz neural networks: an optimal
        transport perspective" (NeurIPS 2023).

    Example:

    >>> import numpy as np
    >>> loss = SoftHKR(alpha=2.0, min_margin=2.0)
    >>> float(loss(np.array([[1, 0, 0]]), np.array([[0.5, 0.0, 0.0]])))  # -0.5 + 2 (0.5 + 1)
    2.5
    """

    alpha = non_negative_or_infinite()
    temperature = non_negative()
    read = staticmethod(read_one_hot)

    def __init__(
        self,
        alpha=10.0,
        min_margin=1.0,
        temperature=1.0,
        reduction=REDUCTION,
        name="SoftHKR",
        dtype=None,
    ):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)
        self.alpha = alpha
        self.temperature = temperature

    def sample_losses(self, labels, scores, weights):
        temperature, min_margin = self.current(self.temperature), self.current(self.min_margin)
        competitors = soft_margins.competitor_weights(labels, scores, temperature)
        return kantorovich.hinge_regularized(
            soft_margins.weighted_margin(labels, scores, competitors),
            soft_margins.weighted_hinge(labels, scores, competitors, min_margin),
            self.current(self.alpha),
        )

    def get_config(self):
        config = {"alpha": float(self.alpha), "temperature": float(self.temperature)}
        return {**config, **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class LogSumExpHKR(MarginLoss):
    r"""Hinge-KR loss of the true class against a smooth maximum of the others.

    $$
    \mathbb{E} \left[s - f_y + \alpha \left(\left(\tfrac{m}{2} - f_y\right)_+
    + \left(\tfrac{m}{2} + s\right)_+\right)\right],
    \qquad s = \tfrac1t \log \sum_{k \neq y} e^{t f_k}, \quad t = \frac{2 \log(q - 1)}{p\, m}
    $$

    As $s$ is never below the largest of the other logits, a hinge of zero means that the true one
    leads by $m$; as it is above by $p\, m / 2$ at most, little is asked beyond that. `alpha`,
    `min_margin` and `penalty` may change while training runs.

    Args:
        alpha: Non-negative float, the weight of the hinge; `float("inf")` keeps the hinge alone.
        min_margin: Positive float $m$, twice the distance each output should keep from 0.
        penalty: Positive float $p$: by how many half-margins the smooth maximum may exceed the
            maximum. Logits times a temperature, as deel-torchlip has them too, are `min_margin`
            divided by it.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        deel-torchlip's `LseHKRMulticlassLoss`, with `alpha` as in `MulticlassHKR`.

    Example:

    >>> import numpy as np
    >>> loss = LogSumExpHKR(alpha=0.0, min_margin=2.0)
    >>> round(float(loss(np.array([[1, 0, 0]]), np.array([[3.0, 1.0, 1.0]]))), 4)   # 1 + 1 - 3
    -1.0
    """

    alpha = non_negative_or_infinite()
    min_margin = positive()
    penalty = positive()
    read = staticmethod(read_one_hot)

    def __init__(
        self,
        alpha=10.0,
        min_margin=1.0,
        penalty=1.0,
        reduction=REDUCTION,
        name="LogSumExpHKR",
        dtype=None,
    ):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)
        self.alpha = alpha
        self.penalty = penalty

    def sample_losses(self, labels, scores, weights):
        half = self.current(self.min_margin) / 2.0
        best_other = soft_margins.smooth_best_other(
            labels, scores, self.current(self.penalty) * half
        )
        true = keras.ops.sum(labels * scores, axis=-1)
        hinge = keras.ops.relu(half - true) + keras.ops.relu(half + best_other)
        return kantorovich.hinge_regularized(true - best_other, hinge, self.current(self.alpha))

    def get_config(self):
        config = {"alpha": float(self.alpha), "penalty": float(self.penalty)}
        return {**config, **super().get_config()}
