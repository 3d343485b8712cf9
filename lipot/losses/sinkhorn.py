"""Sinkhorn divergence between clean and adversarial logits: SAT."""

import keras

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.math.transport import sinkhorn_divergence


@keras.saving.register_keras_serializable(package="lipot")
class SinkhornDivergence(PairedLoss):
    r"""Sinkhorn divergence between the clean and the adversarial logits of a batch.

    $$S_\epsilon(\mu, \nu) = OT_\epsilon(\mu, \nu) - \tfrac12 OT_\epsilon(\mu, \mu)
        - \tfrac12 OT_\epsilon(\nu, \nu)$$

    with the squared l2 cost, computed in the log domain. Added to `AdversarialCrossentropy` it is
    Sinkhorn adversarial training (SAT).

    Args:
        weight: Non-negative float, factor of the term in the objective.
        eps: Positive float, strength of the entropic term.
        iterations: Positive int, number of Sinkhorn iterations.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Bouniot et al., "Optimal transport as a defense against adversarial attacks", 2021.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import PairedBatch, SinkhornDivergence
    >>> x, x_adv = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, None), x, [0], x_adv)
    >>> [round(float(value), 3) for value in SinkhornDivergence()(batch)]   # 3^2 + 4^2
    [25.0]
    """

    def __init__(self, weight=1.0, *, eps=1.0, iterations=50, name="sinkhorn_divergence", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.eps = checks.positive_float("eps", eps)
        self.iterations = checks.positive_int("iterations", iterations)

    def per_example(self, batch):
        whole = batch.whole
        shares = sinkhorn_divergence(
            whole.logits_adv, whole.logits, eps=self.eps, iterations=self.iterations
        )
        return batch.own(shares)

    def get_config(self):
        return {**super().get_config(), "eps": self.eps, "iterations": self.iterations}
