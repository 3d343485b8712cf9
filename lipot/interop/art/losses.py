"""Losses that attacks climb: one value for each sample, from labels and logits."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from lipot import checks
from lipot.math.divergences import crossentropy, steep_crossentropy
from lipot.math.logits_ratio import difference_logits_ratio
from lipot.math.margins import top_margin


def margin(labels, logits):
    """The lead of the best other class, `(batch,)`: Carlini and Wagner's loss f6."""
    return -top_margin(labels, logits)


NAMED = {
    "crossentropy": crossentropy,
    "steep_crossentropy": steep_crossentropy,
    "difference_logits_ratio": difference_logits_ratio,
    "margin": margin,
}


class AttackLoss(NamedTuple):
    """What an attack maximizes.

    Attributes:
        per_sample: Callable `(labels, outputs) -> (batch,)`; the labels are one-hot.
        reduction: `"mean"` or `"sum"`, how the samples add up in the loss that is differentiated.
        reads_logits: Whether `outputs` are the attacked logits, or what the model itself returns.
    """

    per_sample: Callable
    reduction: str
    reads_logits: bool


def resolve(loss, *, units, classes):
    """Reads the argument `loss` of `classifier`.

    Args:
        loss: A name among `NAMED`, or a `keras.losses.Loss`.
        units: Width of the model's output.
        classes: Number of classes.

    Returns:
        An `AttackLoss`.
    """
    if isinstance(loss, keras.losses.Loss):
        return _keras_loss(loss, units)
    if loss not in NAMED:
        raise checks.invalid("loss", f"one of {sorted(NAMED)} or a keras.losses.Loss", loss)
    if loss == "difference_logits_ratio" and classes < 3:
        raise checks.invalid(
            "loss",
            f"'crossentropy' for a model with {classes} classes; the ratio needs the third "
            "largest logit",
            loss,
        )
    return AttackLoss(NAMED[loss], "mean", reads_logits=True)


def _keras_loss(loss, units):
    if units == 1:
        read = _index_column
    elif "Sparse" in type(loss).__name__:
        read = _index
    else:
        read = ops.convert_to_tensor

    def per_sample(labels, outputs):
        values = loss.call(read(labels), outputs)
        if len(values.shape) != 1:
            raise checks.refused(
                "loss",
                "a Keras loss whose `call` returns one value for each sample",
                f"loss={loss!r}, whose values have shape {tuple(values.shape)}",
            )
        return values

    reduction = "mean" if str(loss.reduction).startswith(("mean", "sum_over")) else "sum"
    return AttackLoss(per_sample, reduction, reads_logits=False)


def _index(labels):
    return ops.argmax(labels, axis=-1)


def _index_column(labels):
    return ops.cast(ops.expand_dims(_index(labels), -1), labels.dtype)
