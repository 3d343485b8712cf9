"""Ratios of differences of logits, which no rescaling of a model can flatten."""

from keras import ops

from lipot.math.margins import top_margin

_SMALLEST = 1e-12


def difference_logits_ratio(labels, logits):
    r"""Difference of logits ratio $-(z_y - \max_{i \neq y} z_i) / (z_{(1)} - z_{(3)})$.

    $z_{(k)}$ is the k-th largest logit. The ratio does not change when the logits are shifted or
    scaled. With two classes there is no third logit and the denominator is 1.

    Args:
        labels: One-hot labels `(batch, classes)`.
        logits: `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`, positive where the example is misclassified.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks", equation 6.

    Example:

    >>> from keras import ops
    >>> logits = ops.convert_to_tensor([[5.0, 3.0, 1.0]])
    >>> float(difference_logits_ratio(ops.convert_to_tensor([[1.0, 0.0, 0.0]]), logits)[0])
    -0.5
    """
    return -top_margin(labels, logits) / _spread(logits, ranks=(2,))


def targeted_logits_ratio(labels, targets, logits):
    r"""Targeted ratio $-(z_y - z_t) / (z_{(1)} - (z_{(3)} + z_{(4)}) / 2)$.

    With three classes there is no fourth logit and the denominator is $z_{(1)} - z_{(3)}$; with
    two it is 1, and the loss is the plain difference of the logits.

    Args:
        labels: One-hot labels `(batch, classes)`.
        targets: One-hot classes to end in, `(batch, classes)`.
        logits: `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`, positive where the target is ahead of the label.

    Reference:
        Croce and Hein, equation 7.

    Example:

    >>> from keras import ops
    >>> logits = ops.convert_to_tensor([[5.0, 3.0, 2.0, 0.0]])
    >>> label, target = ops.one_hot(ops.array([0]), 4), ops.one_hot(ops.array([2]), 4)
    >>> float(targeted_logits_ratio(label, target, logits)[0])  # -(5 - 2) / (5 - (2 + 0) / 2)
    -0.75
    """
    difference = ops.sum((targets - labels) * logits, axis=-1)
    return difference / _spread(logits, ranks=(2, 3))


def _spread(logits, ranks):
    classes = logits.shape[-1]
    ranks = [rank for rank in ranks if rank < classes]
    if not ranks:
        return ops.ones_like(logits[:, 0])
    largest = ops.top_k(logits, k=ranks[-1] + 1)[0]
    low = sum(largest[:, rank] for rank in ranks) / len(ranks)
    return largest[:, 0] - low + _SMALLEST
