"""The base of losses that know the Lipschitz constants which a certificate divides by."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.activation_bounds import is_linear
from lipot.layers.kernel_layer import is_dense
from lipot.losses.labels import read_one_hot
from lipot.losses.parameter import non_negative, positive
from lipot.losses.tau_crossentropy import TemperatureLoss
from lipot.math import soft_margins


class HeadLoss(TemperatureLoss):
    r"""A loss for one radius `eps`, with the constants of all pairs of logits.

    The constants are `lipschitz` times $\|w_y - w_k\|$, read from the kernel that the head applies
    at each step, so that gradients reach it; without a head `2 * lipschitz` for each pair.
    `eps`, `lipschitz` and `tau` may change while training runs.

    Args:
        eps: Non-negative float, the l2 radius to train for.
        head: The model's last layer, linear and dense, its name, or `None`.
        lipschitz: Positive float, Lipschitz constant of the map to the head's inputs.
        tau: Positive float, the inverse temperature.
        **kwargs: Arguments of `WeightedLoss`.
    """

    eps = non_negative()
    lipschitz = positive()
    read = staticmethod(read_one_hot)

    def __init__(self, eps, head, lipschitz, tau, **kwargs):
        super().__init__(tau=tau, **kwargs)
        self.eps = eps
        self.head = head
        self.lipschitz = lipschitz

    @property
    def head(self):
        """The last layer, its name where the loss comes from a configuration, or `None`."""
        return self._head

    @head.setter
    def head(self, head):
        linear = (
            isinstance(head, keras.layers.Layer) and is_dense(head) and is_linear(head.activation)
        )
        if not (head is None or isinstance(head, str) or linear):
            raise checks.invalid("head", "a dense layer without activation, or None", head)
        self._head = head

    def pair_constants(self, scores):
        """Lipschitz constants `(classes, classes)` of the differences of two scores."""
        if isinstance(self.head, str):
            raise checks.invalid(
                "head",
                f"a layer: set loss.head = model.get_layer({self.head!r}) after loading, then "
                "compile the model again, to train or to evaluate it",
                self.head,
            )
        lipschitz = self.current(self.lipschitz)
        if self.head is None:
            classes = scores.shape[-1]
            return 2.0 * lipschitz * (1.0 - ops.eye(classes, dtype=scores.dtype))
        return lipschitz * soft_margins.pair_constants(ops.cast(self._kernel(), scores.dtype))

    def _kernel(self):
        if not self.head.built:
            raise checks.invalid("head", "a built layer, the last of the model", self.head)
        if hasattr(self.head, "effective_kernel"):
            return self.head.effective_kernel(training=True)
        return ops.convert_to_tensor(self.head.kernel)

    def get_config(self):
        head = self.head.name if isinstance(self.head, keras.layers.Layer) else self.head
        config = {"eps": float(self.eps), "head": head, "lipschitz": float(self.lipschitz)}
        return {**config, **super().get_config()}
