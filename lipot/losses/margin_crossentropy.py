"""Cross-entropies that ask the true logit for a lead, as certificates do."""

import keras
from keras import ops

from lipot.losses.head_loss import HeadLoss
from lipot.losses.labels import read_one_hot
from lipot.losses.parameter import non_negative
from lipot.losses.tau_crossentropy import TemperatureLoss
from lipot.losses.weighted_loss import REDUCTION
from lipot.math import soft_margins


@keras.saving.register_keras_serializable(package="lipot")
class MarginCategoricalCrossentropy(TemperatureLoss):
    r"""Cross-entropy of logits of which the true one is lowered by a margin.

    $$
    -\frac{1}{\tau}\, \mathbb{E} \log \mathrm{softmax}_y\bigl(\tau (f - m\, e_y)\bigr),
    \qquad m = \texttt{min\_margin}
    $$

    A sample stops mattering when its true logit leads by `min_margin` and a few units of
    $1 / \tau$ more. Outputs that are 1-Lipschitz together certify a radius of $m / \sqrt 2$ from
    a lead of $m$. Almost-orthogonal layers were trained with $m = \sqrt 2$ and $\tau = 4$. `tau`
    and `min_margin` may change while training runs.

    Args:
        tau: Positive float, the inverse temperature.
        min_margin: Non-negative float, the lead the true logit should have; 0 is
            `TauCategoricalCrossentropy`.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Prach and Lampert, "Almost-orthogonal layers for efficient general-purpose Lipschitz
        networks" (ECCV 2022).

    Example:

    >>> import numpy as np
    >>> loss = MarginCategoricalCrossentropy(tau=2.0, min_margin=1.0)
    >>> round(float(loss(np.array([[1, 0]]), np.array([[1.0, 0.0]]))), 4)   # log(2) / 2
    0.3466
    """

    min_margin = non_negative()
    read = staticmethod(read_one_hot)

    def __init__(
        self,
        tau,
        min_margin=1.0,
        reduction=REDUCTION,
        name="MarginCategoricalCrossentropy",
        dtype=None,
    ):
        super().__init__(tau=tau, reduction=reduction, name=name, dtype=dtype)
        self.min_margin = min_margin

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        lowered = soft_margins.offset_logits(labels, scores, self.current(self.min_margin))
        return ops.categorical_crossentropy(labels, tau * lowered, from_logits=True) / tau

    def get_config(self):
        return {"min_margin": float(self.min_margin), **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class EMMA(HeadLoss):
    r"""Efficient margin maximization: cross-entropy of logits attacked as far as is certified.

    $$
    -\frac{1}{\tau}\, \mathbb{E} \log \frac{e^{\tau f_y}}{\sum_k e^{\tau (f_k + r_k K_{yk})}},
    \qquad r_k = \min\Bigl(\varepsilon, \Bigl(\frac{f_y - f_k}{K_{yk}}\Bigr)_+\Bigr)
    $$

    $K_{yk}$ is the Lipschitz constant of $f_y - f_k$, the one that `lipot.certify` divides margins
    by. Every class is attacked with a radius of its own: the one certified at the moment, at most
    `eps`. So a sample is never asked for more than it nearly has, and samples that are classified
    wrongly are learned with the plain loss. `eps` and `tau` may change while training runs.

    With the last layer given as `head`, $K_{yk}$ is `lipschitz` times $\|w_y - w_k\|$, read from
    the kernel that the layer applies at each step, and trained with it. Without one it is
    `2 * lipschitz` for each pair, right for outputs that are 1-Lipschitz each.

    Args:
        eps: Non-negative float, the l2 radius to train for.
        head: The model's last layer, a linear `Dense`, `FrobeniusDense` or `SpectralDense`, or
            `None`. A configuration holds its name alone: set `loss.head = model.layers[-1]` after
            loading a model to train it on.
        lipschitz: Positive float, Lipschitz constant of the map to the head's inputs.
        tau: Positive float, the inverse temperature.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Hu et al., "Unlocking deterministic robustness certification on ImageNet" (NeurIPS 2023).
        The authors' code attacks by `eps / 100` at least, wrong samples too.

    Example:

    >>> import numpy as np
    >>> loss = EMMA(eps=0.5)
    >>> round(float(loss(np.array([[1, 0]]), np.array([[1.0, 0.0]]))), 4)   # 0 + 0.5 * 2 = 1: a tie
    0.6931
    """

    def __init__(
        self,
        eps,
        head=None,
        lipschitz=1.0,
        tau=1.0,
        reduction=REDUCTION,
        name="EMMA",
        dtype=None,
    ):
        super().__init__(eps, head, lipschitz, tau, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        attacked = soft_margins.attacked_logits(
            labels, scores, self.pair_constants(scores), self.current(self.eps)
        )
        return ops.categorical_crossentropy(labels, tau * attacked, from_logits=True) / tau
