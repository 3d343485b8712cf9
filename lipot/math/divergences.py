"""Labels, cross-entropy and divergences between predictions, example by example or pair by pair."""

from keras import ops

from lipot import checks
from lipot.math.margins import true_class

# Who writes the divergence of TRADES from the clean prediction, and who to it.
DIRECTIONS = ("trades", "got")


def one_hot_labels(y, classes):
    """Turns integer labels, one-hot rows or probabilities into a float matrix of probabilities.

    A label that is no whole number in `[0, classes)`, and a row that is no distribution, gives a
    row of NaN, so that every loss that reads it is NaN and `keras.callbacks.TerminateOnNaN` stops
    the training.

    Args:
        y: Integer labels of shape `(batch,)` or `(batch, 1)`, or class probabilities of shape
            `(batch, classes)`; one-hot rows may have -1 for the other classes.
        classes: Number of classes.

    Returns:
        Float32 tensor of shape `(batch, classes)`.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(one_hot_labels(ops.array([1, 0]), 2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    >>> rows = ops.array([[1.0, -1.0], [0.75, 0.25], [1.0, 1.0]])
    >>> ops.convert_to_numpy(one_hot_labels(rows, 2)).tolist()
    [[1.0, 0.0], [0.75, 0.25], [nan, nan]]
    """
    y = ops.convert_to_tensor(y)
    if len(y.shape) == 2 and y.shape[-1] == classes:
        rows = without_signs(ops.cast(y, "float32"))
        return ops.where(are_distributions(rows)[:, None], rows, float("nan"))
    if len(y.shape) > 2 or (len(y.shape) == 2 and y.shape[-1] != 1):
        raise checks.refused(
            "y",
            f"integer labels of shape (batch,) or one-hot labels of shape (batch, {classes})",
            f"shape={tuple(y.shape)}",
        )
    y = ops.reshape(y, (-1,))
    numbers = ops.cast(y, "int32")
    valid = ops.logical_and(numbers >= 0, numbers < classes)
    # A cast makes a whole number of anything.
    valid = ops.logical_and(valid, ops.equal(y, ops.cast(numbers, y.dtype)))
    rows = ops.one_hot(ops.where(valid, numbers, 0), classes, dtype="float32")
    return ops.where(valid[:, None], rows, float("nan"))


def without_signs(rows):
    """One-hot rows in {-1, 1} as rows in {0, 1}; others as they are."""
    return ops.where(rows == -1.0, 0.0, rows)


def are_distributions(rows):
    """Whether rows `(batch, classes)` have no negative entry and sum to one, `(batch,)`."""
    # Rounding to half precision, and smoothing, leave the sum near one.
    sums = ops.abs(ops.sum(rows, axis=-1) - 1.0) <= 1e-3
    return ops.logical_and(ops.all(rows >= 0.0, axis=-1), sums)


def crossentropy(labels, logits):
    r"""Computes $-\sum_c y_c \log \mathrm{softmax}(z)_c$ for each example.

    Args:
        labels: Probabilities over the classes `(batch, classes)`, one-hot as a rule.
        logits: Logits `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`.

    Example:

    >>> from keras import ops
    >>> float(crossentropy(ops.convert_to_tensor([[1.0, 0.0]]), ops.zeros((1, 2)))[0])
    0.693147...
    """
    return -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)


def kl_divergence(logits, other):
    r"""Computes $D_{KL}(\mathrm{softmax}(z) \,\|\, \mathrm{softmax}(z'))$ for each example.

    Args:
        logits: Logits `z` of the first distribution, `(batch, classes)`.
        other: Logits `z'` of the second, `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`.

    Example:

    >>> from keras import ops
    >>> even, sure = ops.log(ops.array([[0.5, 0.5]])), ops.log(ops.array([[0.9, 0.1]]))
    >>> round(float(kl_divergence(even, sure)[0]), 4)  # log(0.5) - log(0.9 * 0.1) / 2
    0.5108
    """
    log_p = ops.log_softmax(logits, axis=-1)
    log_q = ops.log_softmax(other, axis=-1)
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def directed_kl(clean, attacked, direction):
    """Computes the divergence between clean and attacked predictions, as one of two papers has it.

    Args:
        clean: Logits `(batch, classes)`.
        attacked: Logits `(batch, classes)`.
        direction: `"trades"` for `KL(clean || attacked)`, `"got"` for `KL(attacked || clean)`.

    Returns:
        Tensor of shape `(batch,)`.
    """
    first, second = (clean, attacked) if direction == "trades" else (attacked, clean)
    return kl_divergence(first, second)


def steep_crossentropy(labels, logits):
    r"""A function of the logits that climbs where the cross-entropy does, and never levels off.

    $$ \log \sum_{k \ne y} e^{z_k} - z_y, \qquad CE = \log\bigl(1 + e^{\text{that}}\bigr) $$

    Where the prediction is sure the gradient of the cross-entropy rounds to zero; this one has
    the same direction and the length that the logits have. A row of labels that is not one-hot
    names no class to leave: for it the value is the cross-entropy itself.

    Args:
        labels: Probabilities over the classes `(batch, classes)`, one-hot as a rule.
        logits: Logits `(batch, classes)`.

    Returns:
        Tensor of shape `(batch,)`.

    Example:

    >>> from keras import ops
    >>> labels, logits = ops.array([[1.0, 0.0, 0.0]]), ops.array([[900.0, 0.0, -900.0]])
    >>> abs(float(crossentropy(labels, logits)[0])), float(steep_crossentropy(labels, logits)[0])
    (0.0, -900.0)
    """
    is_true = true_class(labels)
    lead = ops.sum(ops.where(is_true, logits, 0.0), axis=-1)
    others = ops.logsumexp(ops.where(is_true, -1e30, logits), axis=-1)
    one_hot = ops.any(labels >= 1.0, axis=-1)
    return ops.where(one_hot, others - lead, crossentropy(labels, logits))


def safe_norm(x):
    """Computes the l2 norm of each row, with gradient zero where the row is zero.

    Args:
        x: Tensor `(..., d)`.

    Returns:
        Tensor `(...)`.
    """
    squared = ops.sum(ops.square(x), axis=-1)
    zero = squared <= 0
    # The square root's derivative is infinite at zero: it never sees the zero rows.
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squared)))


def unit(x):
    """Brings each row to length 1; one shorter than 1e-12 becomes zero, with gradient zero.

    Args:
        x: Tensor `(n, d)`.

    Returns:
        Tensor `(n, d)`.

    Example:

    >>> from keras import ops
    >>> [[round(float(v), 2) for v in row] for row in unit(ops.array([[3.0, 4.0], [0.0, 0.0]]))]
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = safe_norm(x)[:, None]
    # A length that is NaN is not short, so that what is wrong shows.
    short = length <= 1e-12
    # Divided by a small number in place of its length, a zero row would have a slope of 1e12.
    return ops.where(short, 0.0, x / ops.where(short, 1.0, length))


def cosine_cost(x, y):
    """Computes one minus the cosine of every pair of rows.

    Args:
        x: Tensor `(n, d)`.
        y: Tensor `(m, d)`.

    Returns:
        Tensor `(n, m)` with values in `[0, 2]`; a zero row is at distance 1 from everything, and
        has gradient zero.
    """
    return 1.0 - ops.matmul(unit(x), ops.transpose(unit(y)))


def euclidean_cost(x, y):
    """Computes the l2 distance of every pair of rows: `(n, d), (m, d) -> (n, m)`."""
    return safe_norm(x[:, None, :] - y[None, :, :])


def squared_euclidean_cost(x, y):
    """Computes the squared l2 distance of every pair of rows: `(n, d), (m, d) -> (n, m)`."""
    return ops.sum(ops.square(x[:, None, :] - y[None, :, :]), axis=-1)


def kl_cost(logits, other):
    """Computes the KL divergence of every pair of predictions: `(n, c), (m, c) -> (n, m)`."""
    log_p = ops.log_softmax(logits, axis=-1)
    log_q = ops.log_softmax(other, axis=-1)
    p = ops.exp(log_p)
    # KL(p_i || q_j) = sum_c p_i log p_i - sum_c p_i log q_j, a column less a matrix product.
    return ops.sum(p * log_p, axis=-1)[:, None] - ops.matmul(p, ops.transpose(log_q))


def l1_cost(logits, other):
    """Computes the l1 distance of every pair of predictions: `(n, c), (m, c) -> (n, m)`."""
    p, q = ops.softmax(logits, axis=-1), ops.softmax(other, axis=-1)
    return ops.sum(ops.abs(p[:, None, :] - q[None, :, :]), axis=-1)
