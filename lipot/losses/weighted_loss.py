"""The bases of losses that are those of the global batch: on all replicas, with all weights."""

import keras
from keras import ops

from lipot.losses.labels import read_mask, read_weights
from lipot.math import replicas
from lipot.math.scaling import wide_dtype

REDUCTION = "mean_with_sample_weight"
_NOT_GIVEN = object()


class ReplicatedLoss(keras.losses.Loss):
    """A loss whose shares on the replicas of `tf.distribute` add up to that of the global batch.

    Keras averages over each replica on its own, which is right where all hold as many samples.
    Here the sum over all replicas divides. The gradient on a replica is that of its share. The
    value is the same on all, and times their number it is the loss: Keras shows that.

    Keras calls a loss that is given as a metric without the argument `sample_weight`: then the
    value is the whole loss, on every replica.

    A mask that a layer has left on the predictions is a factor of the sample weights, and a masked
    sample is not counted where the batch size divides, as in Keras.

    Half precision is the dtype of the value alone. Computed in it, sums over a batch overflow and
    class numbers and margins are rounded: the losses are computed in float32 then.

    Subclasses define `call`, which returns the losses `(batch,)`, from scores in `wide_dtype`.
    """

    @property
    def wide_dtype(self):
        """The dtype of the computation: that of the loss, or float32 for half precision."""
        return wide_dtype(self.dtype)

    def __call__(self, y_true, y_pred, sample_weight=_NOT_GIVEN):
        with keras.name_scope(self.name):
            given = None if sample_weight is _NOT_GIVEN else sample_weight
            mask = read_mask(y_pred, self.wide_dtype)
            losses, weights = self._weighted_losses(y_true, y_pred, given, mask)
            reduced = _reduce(losses, weights, self.reduction, mask)
            if self.reduction not in (None, "none"):
                spread = replicas.total if sample_weight is _NOT_GIVEN else replicas.even
                reduced = spread(reduced)
            return ops.cast(reduced, self.dtype)

    def _weighted_losses(self, y_true, y_pred, sample_weight, mask=None):
        """Computes the losses `(batch,)` and what each weighs."""
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.wide_dtype)
        losses = self.call(ops.convert_to_tensor(y_true), y_pred)
        return losses, read_weights(sample_weight, losses[:, None], mask)

    def get_config(self):
        return {**super().get_config(), "dtype": self.dtype}


class MeanLoss(ReplicatedLoss):
    """Averages values as Keras averages losses, with sample weights, over the global batch."""

    def call(self, y_true, y_pred):
        return y_pred


class WeightedLoss(ReplicatedLoss):
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

    def call(self, y_true, y_pred):
        """Computes the losses `(batch,)` of samples that all weigh the same."""
        return self._weighted_losses(y_true, y_pred, None)[0]

    def current(self, parameter):
        """The value of a `LossParameter` as a tensor to compute with."""
        return ops.cast(parameter.value, self.wide_dtype)

    def _weighted_losses(self, y_true, y_pred, sample_weight, mask=None):
        batch = type(self).read(
            ops.convert_to_tensor(y_true, dtype=self.wide_dtype),
            ops.convert_to_tensor(y_pred, dtype=self.wide_dtype),
        )
        weights = read_weights(sample_weight, batch.scores, mask)
        return self.sample_losses(batch.labels, batch.scores, weights) + batch.guard, weights


def _reduce(losses, weights, reduction, mask):
    weighted = losses * weights
    if reduction in (None, "none"):
        return weighted
    if reduction == "sum":
        return ops.sum(weighted)
    # Keras scales the loss of one replica by 1 / replicas, since the gradients are added up:
    # dividing by the sum over the replicas already does so.
    if reduction == "mean_with_sample_weight":
        return replicas.mean(losses, weights)
    # A masked sample is none: the mean is over the others.
    return replicas.mean(weighted, mask)
