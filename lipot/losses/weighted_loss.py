"""The base of losses whose batch statistics depend on sample weights and on all replicas."""

import keras
from keras import ops

from lipot import backend
from lipot.losses.labels import read_weights

REDUCTION = "mean_with_sample_weight"


class WeightedLoss(keras.losses.Loss):
    """A loss that equals the same loss on the batch with repeated samples, on all replicas at once.

    `keras.losses.Loss` multiplies by sample weights after `call`, too late for an expectation per
    class, and averages each replica of `tf.distribute` on its own. Here the weights reach the
    formula, and sums run over every replica: the losses of the replicas add up to the loss of
    the whole batch, and so do their gradients, even when the replicas hold different numbers of
    samples.

    Subclasses set `read`, one of the reading functions of `lipot.losses.labels`, and define
    `sample_losses`.

    Args:
        reduction: As in Keras. The default divides by the sum of the sample weights, which is the
            batch size when there are none.
        name: Name of the loss.
        dtype: Dtype of the computation.
    """

    read = None

    def __init__(self, reduction=REDUCTION, name=None, dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def sample_losses(self, labels, scores, weights):
        """Computes the losses `(batch,)` whose mean, weighted by `weights`, is the loss."""
        raise TypeError(f"{type(self).__name__} must define sample_losses().")

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            losses, weights = self._weighted_losses(y_true, y_pred, sample_weight)
            return _reduce(losses, weights, self.reduction)

    def call(self, y_true, y_pred):
        """Computes the losses `(batch,)` of samples that all weigh the same."""
        return self._weighted_losses(y_true, y_pred, None)[0]

    def current(self, parameter):
        """The value of a `LossParameter` as a tensor of the loss's dtype."""
        return ops.cast(parameter.value, self.dtype)

    def _weighted_losses(self, y_true, y_pred, sample_weight):
        batch = type(self).read(
            ops.convert_to_tensor(y_true, dtype=self.dtype),
            ops.convert_to_tensor(y_pred, dtype=self.dtype),
        )
        weights = read_weights(sample_weight, batch.scores)
        return self.sample_losses(batch.labels, batch.scores, weights) + batch.guard, weights

    def get_config(self):
        return {**super().get_config(), "dtype": self.dtype}


def _reduce(losses, weights, reduction):
    weighted = losses * weights
    if reduction in (None, "none"):
        return weighted
    if reduction == "sum":
        return ops.sum(weighted)
    # Keras scales the loss of one replica by 1 / replicas, since the gradients are added up:
    # dividing by the sum over the replicas already does so.
    counted = weights if reduction == "mean_with_sample_weight" else ops.ones_like(weights)
    divisor = backend.sum_over_replicas(ops.sum(counted))
    return ops.sum(weighted) / ops.where(divisor > 0.0, divisor, 1.0)
