"""Hinge-regularized Kantorovich-Rubinstein losses: separate with a margin, then spread apart."""

import keras

from lipot import checks
from lipot.losses.kr import KantorovichLoss
from lipot.losses.labels import read_binary, read_one_hot
from lipot.losses.parameter import non_negative, non_negative_or_infinite
from lipot.losses.weighted_loss import REDUCTION
from lipot.math import kantorovich, margins


class RegularizedLoss(KantorovichLoss):
    """`alpha` times a hinge with a margin, less the Kantorovich-Rubinstein estimate.

    Subclasses define `hinge(labels, scores, min_margin)` with a function of `lipot.math.margins`.

    Args:
        alpha: Non-negative float, the weight of the hinge; `float("inf")` keeps the hinge alone.
        min_margin: Non-negative float.
        multi_gpu: As in `KantorovichLoss`.
        reduction: As in `WeightedLoss`.
        name: Name of the loss.
        dtype: Dtype of the computation.
    """

    alpha = non_negative_or_infinite()
    min_margin = non_negative()
    hinge = None

    def __init__(self, alpha, min_margin, multi_gpu, reduction, name, dtype):
        super().__init__(multi_gpu=multi_gpu, reduction=reduction, name=name, dtype=dtype)
        self.alpha = alpha
        self.min_margin = min_margin

    def sample_losses(self, labels, scores, weights):
        return kantorovich.hinge_regularized(
            super().sample_losses(labels, scores, weights),
            self.hinge(labels, scores, self.current(self.min_margin)),
            self.current(self.alpha),
        )

    def get_config(self):
        config = {"alpha": float(self.alpha), "min_margin": float(self.min_margin)}
        return {**config, **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class HKR(RegularizedLoss):
    r"""Hinge-KR loss of a binary 1-Lipschitz classifier.

    $$
    \mathbb{E}_{P_-} f - \mathbb{E}_{P_+} f
    + \alpha \, \mathbb{E} \left(\tfrac{m}{2} - y f(x)\right)_+,
    \qquad m = \texttt{min\_margin}
    $$

    `alpha` and `min_margin` may change while training runs: `loss.alpha.assign(20.0)`, for
    instance in a callback.

    Args:
        alpha: Non-negative float, the weight of the hinge; `float("inf")` keeps the hinge alone.
        min_margin: Non-negative float, the width of the band around the frontier that samples
            should leave: half of it on each side. Equation 5 has 2.
        multi_gpu: Boolean, accepted for configurations written for deel-lip; not needed.
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
        hinge regularization", equation 5.

    Example:

    >>> import numpy as np
    >>> loss = HKR(alpha=10.0, min_margin=1.0)
    >>> float(loss(np.array([1, -1]), np.array([[0.25], [-2.0]])))   # -(0.25 + 2) + 10 * 0.25 / 2
    -1.0
    """

    read = staticmethod(read_binary)
    hinge = staticmethod(margins.hinge_margin)

    def __init__(
        self, alpha, min_margin=1.0, multi_gpu=False, reduction=REDUCTION, name="HKR", dtype=None
    ):
        super().__init__(alpha, min_margin, multi_gpu, reduction, name, dtype)


@keras.saving.register_keras_serializable(package="lipot")
class MulticlassHKR(RegularizedLoss):
    r"""Hinge-KR loss of a multi-class classifier made of 1-Lipschitz outputs.

    $$
    -\,KR(f) + \frac{\alpha}{q}\, \mathbb{E} \left[(q - 1)\left(\tfrac{m}{2} - f_y\right)_+
    + \sum_{k \neq y} \left(\tfrac{m}{2} + f_k\right)_+\right],
    \qquad m = \texttt{min\_margin}
    $$

    with `KR` as in `MulticlassKR` and the hinge of `MulticlassHinge`. Each class faces all others,
    as in equation 12, which has no weight `q - 1`: that is deel-lip's, and `balanced=False`
    takes it out. `alpha` and `min_margin` may change while training runs:
    `loss.alpha.assign(20.0)`, for instance in a callback.

    Args:
        alpha: Non-negative float, the weight of the hinge; `float("inf")` keeps the hinge alone.
        min_margin: Non-negative float, twice the distance each output should keep from 0.
        multi_gpu: Boolean, accepted for configurations written for deel-lip; not needed.
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
        deel-lip's `MulticlassHKR`; with `balanced=False` Serrurier et al., equation 12, divided
        by `q`, whose `m` is `min_margin / 2`.

    Example:

    >>> import numpy as np
    >>> loss = MulticlassHKR(alpha=50.0, min_margin=1.0)
    >>> float(loss(np.eye(3), 4.0 * np.eye(3) - 2.0))   # margins of 2: the hinge is 0
    -4.0
    """

    read = staticmethod(read_one_hot)

    def __init__(
        self,
        alpha=10.0,
        min_margin=1.0,
        multi_gpu=False,
        reduction=REDUCTION,
        name="MulticlassHKR",
        dtype=None,
        *,
        balanced=True,
    ):
        super().__init__(alpha, min_margin, multi_gpu, reduction, name, dtype)
        self.balanced = checks.boolean("balanced", balanced)

    def hinge(self, labels, scores, min_margin):
        return margins.multiclass_hinge(labels, scores, min_margin, self.balanced)

    def get_config(self):
        return {**super().get_config(), "balanced": self.balanced}
