"""Cross-entropies with a bottom class, which wins where no radius is certified."""

import keras
from keras import ops

from lipot.losses.head_loss import HeadLoss
from lipot.losses.parameter import non_negative
from lipot.losses.weighted_loss import REDUCTION
from lipot.math import soft_margins


@keras.saving.register_keras_serializable(package="lipot")
class GloRo(HeadLoss):
    r"""Cross-entropy with a bottom class: the best that an attack can make of another class.

    $$
    \frac{1}{\tau}\, \mathbb{E} \Bigl[\log\bigl(\textstyle\sum_k e^{\tau f_k}
    + e^{\tau f_\bot}\bigr) - \tau f_y\Bigr],
    \qquad f_\bot = \max_{j \ne t} \bigl(f_j + \varepsilon K_{jt}\bigr)
    $$

    $t$ is the class that the network predicts and $K_{jt}$ the Lipschitz constant of $f_t - f_j$,
    the one that `lipot.certify` divides margins by: the bottom class wins just where no radius
    `eps` is certified. It is never the right answer. `eps` and `tau` may change while training
    runs; the authors raise `eps` from near zero on over the first half of a training.

    With the last layer given as `head`, $K_{jt}$ is `lipschitz` times $\|w_j - w_t\|$, read from
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
        Leino, Wang and Fredrikson, "Globally-robust neural networks" (ICML 2021), section 2.

    Example:

    >>> import numpy as np
    >>> loss = GloRo(eps=0.5)
    >>> # Bottom is 0 + 0.5 * 2 = 1, as large as the right logit: log(1 + 1 + exp(-1)).
    >>> round(float(loss(np.array([[1, 0]]), np.array([[1.0, 0.0]]))), 4)
    0.862
    """

    def __init__(
        self,
        eps,
        head=None,
        lipschitz=1.0,
        tau=1.0,
        reduction=REDUCTION,
        name="GloRo",
        dtype=None,
    ):
        super().__init__(eps, head, lipschitz, tau, reduction=reduction, name=name, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        eps, constants = self.current(self.eps), self.pair_constants(scores)
        bottom = soft_margins.bottom_logit(scores, constants, eps)
        with_bottom = ops.concatenate([scores, bottom[:, None]], axis=-1)
        true_logit = ops.sum(labels * scores, axis=-1)
        return ops.logsumexp(tau * with_bottom, axis=-1) / tau - true_logit


@keras.saving.register_keras_serializable(package="lipot")
class GloRoTRADES(HeadLoss):
    r"""Cross-entropy, and the divergence from it once a bottom class is added.

    $$
    \frac{1}{\tau}\, \mathbb{E} \Bigl[-\log p_y + \lambda\,
    \mathrm{KL}\bigl(p \,\|\, \bar p\bigr)\Bigr], \qquad p = \mathrm{softmax}(\tau f),
    \quad \bar p = \mathrm{softmax}\bigl(\tau (f, f_\bot)\bigr)
    $$

    with the bottom class $f_\bot$ of `GloRo`. The second term asks for a certified radius `eps`
    around every sample, rightly classified or not; `weight` trades it for accuracy. `eps`,
    `weight` and `tau` may change while training runs.

    Args:
        eps: Non-negative float, the l2 radius to train for.
        weight: Non-negative float, factor of the divergence.
        head: As in `GloRo`.
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
        Leino, Wang and Fredrikson, "Globally-robust neural networks" (ICML 2021), appendix on
        training with TRADES.

    Example:

    >>> import numpy as np
    >>> loss = GloRoTRADES(eps=0.0, weight=1.0)
    >>> # log(1 + 1) for the tie, log(3 / 2) for the bottom class, a third of the probability.
    >>> round(float(loss(np.array([[1, 0]]), np.array([[0.0, 0.0]]))), 4)   # log(3)
    1.0986
    """

    weight = non_negative()

    def __init__(
        self,
        eps,
        weight=1.0,
        head=None,
        lipschitz=1.0,
        tau=1.0,
        reduction=REDUCTION,
        name="GloRoTRADES",
        dtype=None,
    ):
        super().__init__(eps, head, lipschitz, tau, reduction=reduction, name=name, dtype=dtype)
        self.weight = weight

    def sample_losses(self, labels, scores, weights):
        tau = self.current(self.tau)
        eps, constants = self.current(self.eps), self.pair_constants(scores)
        bottom = soft_margins.bottom_logit(scores, constants, eps)
        total = ops.logsumexp(tau * scores, axis=-1)
        # KL(p || p') = sum_k p_k log(p_k / p'_k), and p_k / p'_k is the same for all k: the ratio
        # of the two normalizations, 1 + exp(tau f_bot) / sum_k exp(tau f_k).
        divergence = ops.softplus(tau * bottom - total)
        crossentropy = total - tau * ops.sum(labels * scores, axis=-1)
        return (crossentropy + self.current(self.weight) * divergence) / tau

    def get_config(self):
        return {"weight": float(self.weight), **super().get_config()}
