"""Hinge losses with a margin, for one output against 0 and for logits against each other."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_binary, read_one_hot
from lipot.losses.parameter import non_negative
from lipot.losses.weighted_loss import REDUCTION, WeightedLoss
from lipot.math import margins


class MarginLoss(WeightedLoss):
    """A `WeightedLoss` that enforces `min_margin`, which may change while training runs.

    Args:
        min_margin: Non-negative float.
        reduction: As in `WeightedLoss`.
        name: Name of the loss.
        dtype: Dtype of the computation.
    """

    min_margin = non_negative()

    def __init__(self, min_margin=1.0, reduction=REDUCTION, name=None, dtype=None):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.min_margin = min_margin

    def get_config(self):
        return {"min_margin": float(self.min_margin), **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class HingeMargin(MarginLoss):
    r"""Binary hinge loss, the second term of `HKR`.

    $$
    \mathbb{E} \left(\tfrac{m}{2} - y f(x)\right)_+, \qquad m = \texttt{min\_margin}
    $$

    Args:
        min_margin: Non-negative float, the width of the band around the frontier.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: `(batch, outputs)` in {0, 1} or {-1, 1}; `(batch,)` too for one output.
        `y_pred`: `(batch, outputs)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", equation 5, with a margin of 1 on each side for `min_margin=2`.

    Example:

    >>> import numpy as np
    >>> loss = HingeMargin(min_margin=1.0)
    >>> float(loss(np.array([1, 0]), np.array([[0.25], [-2.0]])))
    0.125
    """

    read = staticmethod(read_binary)

    def __init__(self, min_margin=1.0, reduction=REDUCTION, name="HingeMargin", dtype=None):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        return margins.hinge_margin(labels, scores, self.current(self.min_margin))


@keras.saving.register_keras_serializable(package="lipot")
class MulticlassHinge(MarginLoss):
    r"""One-versus-all hinge loss, the second term of `MulticlassHKR`.

    $$
    \frac{1}{q}\, \mathbb{E} \left[(q - 1)\left(\tfrac{m}{2} - f_y\right)_+
    + \sum_{k \neq y} \left(\tfrac{m}{2} + f_k\right)_+\right], \qquad m = \texttt{min\_margin}
    $$

    Every output is compared with 0, not with the other outputs: see `MultiMargin` and
    `CategoricalHinge` for those.

    Args:
        min_margin: Non-negative float, twice the distance each output should keep from 0.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.
        balanced: Whether the true class weighs `q - 1` times, as much as all others together,
            as in deel-lip. `False` is the paper's form, without weights: $1$ for $q - 1$.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        deel-lip's `MulticlassHinge`; with `balanced=False` Serrurier et al., equation 12, whose
        `m` is `min_margin / 2` and whose sum over the classes is a mean here.

    Example:

    >>> import numpy as np
    >>> loss = MulticlassHinge(min_margin=2.0)
    >>> float(loss(np.array([[1, 0, 0]]), np.array([[0.0, 0.0, -1.0]])))   # (2 * 1 + 1 + 0) / 3
    1.0
    """

    read = staticmethod(read_one_hot)

    def __init__(
        self,
        min_margin=1.0,
        reduction=REDUCTION,
        name="MulticlassHinge",
        dtype=None,
        *,
        balanced=True,
    ):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)
        self.balanced = checks.boolean("balanced", balanced)

    def sample_losses(self, labels, scores, weights):
        min_margin = self.current(self.min_margin)
        return margins.multiclass_hinge(labels, scores, min_margin, self.balanced)

    def get_config(self):
        return {**super().get_config(), "balanced": self.balanced}


@keras.saving.register_keras_serializable(package="lipot")
class MultiMargin(MarginLoss):
    r"""Hinge loss of the true logit against every other one.

    $$
    \frac{1}{q}\, \mathbb{E} \sum_{k \neq y} \left(m - f_y + f_k\right)_+,
    \qquad m = \texttt{min\_margin}
    $$

    Args:
        min_margin: Non-negative float, the lead the true logit should have.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector
        machines", with the sum over the classes in place of the maximum.

    Example:

    >>> import numpy as np
    >>> loss = MultiMargin(min_margin=1.0)
    >>> float(loss(np.array([[1, 0]]), np.array([[1.0, 0.5]])))
    0.25
    """

    read = staticmethod(read_one_hot)

    def __init__(self, min_margin=1.0, reduction=REDUCTION, name="MultiMargin", dtype=None):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        return margins.multi_margin(labels, scores, self.current(self.min_margin))


@keras.saving.register_keras_serializable(package="lipot")
class CategoricalHinge(MarginLoss):
    r"""Hinge loss of the true logit against the best other one.

    $$
    \mathbb{E} \left(m - f_y + \max_{k \neq y} f_k\right)_+, \qquad m = \texttt{min\_margin}
    $$

    It asks directly for what certificates measure. Unlike `keras.losses.CategoricalHinge` it has
    a margin to set, and the best other logit may be negative.

    Args:
        min_margin: Non-negative float, the lead the true logit should have.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector
        machines".

    Example:

    >>> import numpy as np
    >>> loss = CategoricalHinge(min_margin=1.0)
    >>> float(loss(np.array([[1, 0, 0]]), np.array([[-1.0, -1.5, -3.0]])))
    0.5
    """

    read = staticmethod(read_one_hot)

    def __init__(self, min_margin, reduction=REDUCTION, name="CategoricalHinge", dtype=None):
        super().__init__(min_margin=min_margin, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        return ops.relu(self.current(self.min_margin) - margins.top_margin(labels, scores))
