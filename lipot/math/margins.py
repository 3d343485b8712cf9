"""Margins of labelled scores and the hinge losses that enforce them."""

from keras import ops


def true_class(labels):
    """Which class of each row is the true one: the likeliest, also of smoothed labels.

    Args:
        labels: Tensor `(batch, classes)`, one-hot or probabilities over the classes.

    Returns:
        Boolean tensor `(batch, classes)` with one true entry in each row.

    Example:

    >>> from keras import ops
    >>> [bool(entry) for entry in true_class(ops.array([[0.3, 0.4, 0.3]]))[0]]
    [False, True, False]
    """
    return ops.one_hot(ops.argmax(labels, axis=-1), labels.shape[-1], dtype="bool")


def signed_margin(positive, scores):
    """Margin of binary scores: `f(x)` for the positive class, `-f(x)` for the other.

    Args:
        positive: Float tensor `(batch, outputs)`, 1 for the positive class, else 0.
        scores: Float tensor `(batch, outputs)`.

    Returns:
        Float tensor `(batch, outputs)`.

    Example:

    >>> from keras import ops
    >>> margins = signed_margin(ops.array([[1.0], [0.0]]), ops.array([[0.5], [2.0]]))
    >>> [float(m) for m in margins[:, 0]]
    [0.5, -2.0]
    """
    return (2.0 * positive - 1.0) * scores


def top_margin(positive, logits):
    """Margin of the true class over the best other class, `f_y(x) - max_{i != y} f_i(x)`.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot or smoothed.
        logits: Float tensor `(batch, classes)`.

    Returns:
        Float tensor `(batch,)`, positive where the prediction is right.

    Example:

    >>> from keras import ops
    >>> margins = top_margin(ops.array([[0.0, 1.0, 0.0]]), ops.array([[0.5, 3.0, 1.0]]))
    >>> float(margins[0])
    2.0
    """
    is_true = true_class(positive)
    true_logit = ops.sum(ops.where(is_true, logits, 0.0), axis=-1)
    best_other = ops.max(ops.where(is_true, -float("inf"), logits), axis=-1)
    return true_logit - best_other


def hinge_margin(positive, scores, min_margin):
    r"""Hinge of binary scores, `max(0, min_margin / 2 - y f(x))` with `y` in {-1, 1}.

    The two half-margins on each side of the frontier make up `min_margin`.

    Args:
        positive: Float tensor `(batch, outputs)`, 1 for the positive class, else 0.
        scores: Float tensor `(batch, outputs)`.
        min_margin: Non-negative scalar.

    Returns:
        Float tensor `(batch,)`, the mean over the outputs.

    Example:

    >>> from keras import ops
    >>> losses = hinge_margin(ops.array([[1.0], [0.0]]), ops.array([[0.25], [2.0]]), 1.0)
    >>> [float(loss) for loss in losses]
    [0.25, 2.5]
    """
    return ops.mean(ops.relu(min_margin / 2.0 - signed_margin(positive, scores)), axis=-1)


def multiclass_hinge(positive, logits, min_margin, balanced=True):
    """One-versus-all hinge, the mean of `max(0, min_margin / 2 - y_k f_k)` over the classes.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        min_margin: Non-negative scalar.
        balanced: Whether the true class weighs as much as all the others together, as in
            deel-lip, or each class the same, as in the paper.

    Returns:
        Float tensor `(batch,)`, the mean over the classes.

    Reference:
        Serrurier et al., equation 12, is `balanced=False` with half of `min_margin` for `m`.

    Example:

    >>> from keras import ops
    >>> losses = multiclass_hinge(ops.array([[1.0, 0.0, 0.0]]), ops.array([[0.0, 0.0, -1.0]]), 2.0)
    >>> float(losses[0])   # (2 * 1 + 1 + 0) / 3
    1.0
    """
    hinge = ops.relu(min_margin / 2.0 - signed_margin(positive, logits))
    if not balanced:
        return ops.mean(hinge, axis=-1)
    repeats = 1.0 + positive * (logits.shape[-1] - 2.0)
    return ops.mean(repeats * hinge, axis=-1)


def multi_margin(positive, logits, min_margin):
    """Hinge of the true logit against every other: `mean_i max(0, min_margin - f_y + f_i)`.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        min_margin: Non-negative scalar.

    Returns:
        Float tensor `(batch,)`: the sum over `i != y`, divided by the number of classes.

    Example:

    >>> from keras import ops
    >>> losses = multi_margin(ops.array([[1.0, 0.0]]), ops.array([[1.0, 0.5]]), 1.0)
    >>> float(losses[0])
    0.25
    """
    true_logit = ops.sum(positive * logits, axis=-1, keepdims=True)
    return ops.mean((1.0 - positive) * ops.relu(min_margin - true_logit + logits), axis=-1)
