"""Losses that attacks climb: one value for each sample, from labels and logits."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops


def crossentropy(labels, logits):
    r"""Cross-entropy $-\sum_j y_j \log \mathrm{softmax}(z)_j$ of each sample.

    Args:
        labels: Probabilities over the classes, `(batch, classes)`; one-hot as a rule.
        logits: `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`.

    Example:

    >>> from keras import ops
    >>> float(crossentropy(ops.convert_to_tensor([[1.0, 0.0]]), ops.zeros((1, 2)))[0])
    0.693147...
    """
    return -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)


def difference_logits_ratio(labels, logits):
    r"""Difference of logits ratio $-(z_y - \max_{i \neq y} z_i) / (z_{(1)} - z_{(3)})$.

    $z_{(k)}$ is the k-th largest logit: at least three classes are needed. The ratio does not
    change when the logits are shifted or scaled.

    Args:
        labels: One-hot labels, `(batch, classes)`.
        logits: `(batch, classes)`, three classes or more.

    Returns:
        Tensor of shape `(batch,)`; positive where the sample is misclassified.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks", eq. 6.

    Example:

    >>> from keras import ops
    >>> logits = ops.convert_to_tensor([[5.0, 3.0, 1.0]])
    >>> float(difference_logits_ratio(ops.convert_to_tensor([[1.0, 0.0, 0.0]]), logits)[0])
    -0.5
    """
    sorted_logits = ops.top_k(logits, k=3)[0]
    first, second, third = (sorted_logits[:, rank] for rank in range(3))
    top = ops.cast(ops.argmax(labels, axis=-1) == ops.argmax(logits, axis=-1), logits.dtype)
    own = ops.sum(labels * logits, axis=-1)
    best_other = top * second + (1.0 - top) * first
    return (best_other - own) / ops.maximum(first - third, keras.config.epsilon() ** 2)


def margin(labels, logits):
    r"""Margin of the misclassification $\max_{i \neq y} z_i - z_y$ of each sample.

    Args:
        labels: One-hot labels, `(batch, classes)`.
        logits: `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`; positive where the sample is misclassified.

    Reference:
        Carlini and Wagner, "Towards evaluating the robustness of neural networks", 2017, f6.

    Example:

    >>> from keras import ops
    >>> logits = ops.convert_to_tensor([[5.0, 3.0, 1.0]])
    >>> float(margin(ops.convert_to_tensor([[1.0, 0.0, 0.0]]), logits)[0])
    -2.0
    """
    own = ops.sum(labels * logits, axis=-1)
    others = ops.where(labels > 0.5, -float("inf"), logits)
    return ops.max(others, axis=-1) - own


NAMED = {
    "crossentropy": crossentropy,
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
        raise ValueError(
            f"Invalid value received for argument `loss`. Expected one of {sorted(NAMED)} or a "
            f"keras.losses.Loss. Received: loss={loss!r}"
        )
    if loss == "difference_logits_ratio" and classes < 3:
        raise ValueError(
            "Invalid value received for argument `loss`. Expected 'crossentropy' for a model "
            f"with {classes} classes; the ratio needs the third largest logit. "
            f"Received: loss={loss!r}"
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
            raise ValueError(
                "Invalid value received for argument `loss`. Expected a Keras loss whose `call` "
                f"returns one value for each sample. Received: loss={loss!r}, whose values have "
                f"shape {tuple(values.shape)}"
            )
        return values

    reduction = "mean" if str(loss.reduction).startswith(("mean", "sum_over")) else "sum"
    return AttackLoss(per_sample, reduction, reads_logits=False)


def _index(labels):
    return ops.argmax(labels, axis=-1)


def _index_column(labels):
    return ops.cast(ops.expand_dims(_index(labels), -1), labels.dtype)
