"""Losses that bring codes of one class together: triplet and contrastive, within a batch."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_groups
from lipot.losses.weighted_loss import ReplicatedLoss
from lipot.math import replicas


@keras.saving.register_keras_serializable(package="lipot")
class TripletLoss(ReplicatedLoss):
    r"""Asks every code to be nearer to its own class than to the others, by a margin.

    $$ \mathrm{mean}_{p,\, n}\; \max\left(0,\; m + |c_a - c_p| - |c_a - c_n| \right),
       \qquad y_p = y_a \ne y_n $$

    over all positives p and negatives n of the batch for each anchor a. An anchor without either
    one costs nothing. The triplets take memory for the cube of the batch size.

    With `triplets="hardest"` the farthest positive and the nearest negative stand for all. From
    a network that does not separate the classes yet, that shrinks all codes to one point: there
    the loss is `margin`, less than what the hardest triplets cost before.

    Args:
        margin: m, positive float.
        triplets: `"all"` or `"hardest"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Input shape:
        `y_true`: class numbers `(batch,)` or `(batch, 1)`. `y_pred`: codes `(batch, d)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Weinberger and Saul, "Distance metric learning for large margin nearest neighbor
        classification", 2009, who square the distances; OTAD, section IV.D, which names no choice
        of triplets.

    Example:

    >>> codes = ops.convert_to_tensor([[0.0], [1.0], [1.5], [2.5]])
    >>> labels = ops.convert_to_tensor([0, 0, 1, 1])
    >>> [float(loss) for loss in TripletLoss(margin=1.0, reduction=None)(labels, codes)]
    [0.25, 1.0, 1.0, 0.25]
    """

    def __init__(self, margin=0.5, triplets="all", **kwargs):
        super().__init__(**kwargs)
        self.margin = checks.positive_float("margin", margin)
        self.triplets = checks.choice("triplets", triplets, ("all", "hardest"))

    def call(self, y_true, y_pred):
        return _per_anchor(self._costs, y_true, y_pred)

    def _costs(self, distances, same, other):
        if self.triplets == "all":
            return _masked_mean(self._triplets(distances, other), same)
        hardest_positive = ops.max(ops.where(same, distances, 0.0), axis=1)
        hardest_negative = ops.min(ops.where(other, distances, float("inf")), axis=1)
        complete = ops.logical_and(ops.any(same, axis=1), ops.any(other, axis=1))
        losses = ops.relu(self.margin + hardest_positive - hardest_negative)
        return ops.where(complete, losses, 0.0)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "triplets": self.triplets}

    def _triplets(self, distances, other):
        """What each pair of anchor and positive costs, averaged over the anchor's negatives."""
        ahead = distances[:, :, None] - distances[:, None, :]
        return _masked_mean(ops.relu(self.margin + ahead), other[:, None, :])


@keras.saving.register_keras_serializable(package="lipot")
class ContrastiveLoss(ReplicatedLoss):
    r"""Draws pairs of one class together and pushes other pairs a margin apart.

    $$ \frac{1}{2}\,\mathrm{mean}_{p:\, y_p = y_a} |c_a - c_p|^2
       + \frac{1}{2}\,\mathrm{mean}_{n:\, y_n \ne y_a} \max(0,\; m - |c_a - c_n|)^2 $$

    Args:
        margin: m, positive float.
        **kwargs: Arguments of `keras.losses.Loss`.

    Input shape:
        `y_true`: class numbers `(batch,)` or `(batch, 1)`. `y_pred`: codes `(batch, d)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
        2006, equation 4, for one pair. OTAD, section IV.D, cites their paper of 2005 ("Learning a
        similarity metric discriminatively"), which has an exponential in place of the margin.

    Example:

    >>> codes = ops.convert_to_tensor([[0.0], [2.0], [0.5]])
    >>> labels = ops.convert_to_tensor([0, 0, 1])
    >>> losses = ContrastiveLoss(margin=1.0, reduction=None)(labels, codes)
    >>> [round(float(loss), 4) for loss in losses]
    [2.125, 2.0, 0.0625]
    """

    def __init__(self, margin=1.0, **kwargs):
        super().__init__(**kwargs)
        self.margin = checks.positive_float("margin", margin)

    def call(self, y_true, y_pred):
        return _per_anchor(self._costs, y_true, y_pred)

    def _costs(self, distances, same, other):
        pull = _masked_mean(ops.square(distances), same)
        push = _masked_mean(ops.square(ops.relu(self.margin - distances)), other)
        return 0.5 * (pull + push)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def _per_anchor(costs, labels, codes):
    """Costs `(batch,)` of this replica's codes, among the codes of all."""
    labels = replicas.gather(read_groups(labels, codes))
    return replicas.own(costs(*_pairs(labels, replicas.gather(codes))), ops.shape(codes)[0])


def _pairs(labels, codes):
    """Returns distances and which pairs are of one class (not with itself) or of two."""
    # Far from the origin the squares have no digits left for what lies between the codes.
    codes = codes - ops.stop_gradient(ops.mean(codes, axis=0, keepdims=True))
    squares = ops.sum(ops.square(codes), axis=1)
    squares = squares[:, None] + squares[None] - 2.0 * ops.matmul(codes, ops.transpose(codes))
    # The root has no slope at 0, where a code meets itself.
    distances = ops.sqrt(ops.maximum(squares, 1e-12))
    equal = ops.equal(labels[:, None], labels[None])
    itself = ops.cast(ops.eye(ops.shape(labels)[0]), "bool")
    return distances, ops.logical_and(equal, ops.logical_not(itself)), ops.logical_not(equal)


def _masked_mean(values, mask):
    mask = ops.cast(mask, values.dtype)
    return ops.sum(values * mask, axis=-1) / ops.maximum(ops.sum(mask, axis=-1), 1.0)
