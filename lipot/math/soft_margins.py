"""Margins against all other classes at once, smooth in every logit, and what to train on them."""

import math

from keras import ops

from lipot.math.margins import true_class


def competitor_weights(positive, logits, temperature):
    """Softmax of the logits of the other classes; the true class gets 0.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        temperature: Non-negative scalar; 0 weighs all others alike, a large one takes the best.

    Returns:
        Float tensor `(batch, classes)` of rows that sum to 1, a constant for gradients.

    Example:

    >>> from keras import ops
    >>> weights = competitor_weights(ops.array([[1.0, 0, 0]]), ops.array([[9.0, 2, 2]]), 1.0)
    >>> [float(w) for w in weights[0]]
    [0.0, 0.5, 0.5]
    """
    others = ops.where(true_class(positive), -float("inf"), temperature * logits)
    return ops.stop_gradient(ops.softmax(others, axis=-1))


def weighted_margin(positive, logits, competitors):
    """Lead of the true logit over a weighted mean of the others.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        competitors: Weights from `competitor_weights`.

    Returns:
        Float tensor `(batch,)`.
    """
    return ops.sum((positive - competitors) * logits, axis=-1)


def weighted_hinge(positive, logits, competitors, min_margin):
    """Hinge of the true logit plus the weighted hinges of the others.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        competitors: Weights from `competitor_weights`.
        min_margin: Non-negative scalar, half of it for each of the two.

    Returns:
        Float tensor `(batch,)`.

    Example:

    >>> from keras import ops
    >>> y, f = ops.array([[1.0, 0.0, 0.0]]), ops.array([[0.25, 0.0, -1.0]])
    >>> w = ops.array([[0.0, 0.75, 0.25]])
    >>> float(weighted_hinge(y, f, w, 1.0)[0])    # (0.5 - 0.25) + 0.75 * 0.5
    0.625
    """
    sides = 2.0 * positive - 1.0
    hinges = ops.relu(min_margin / 2.0 - sides * logits)
    return ops.sum((positive + competitors) * hinges, axis=-1)


def smooth_best_other(positive, logits, excess):
    r"""Log-sum-exp of the other logits, above their maximum by at most `excess`.

    $$ \tfrac1t \log \sum_{k \ne y} e^{t f_k}, \qquad t = \log(q - 1) / \text{excess} $$

    lies between $\max_{k \ne y} f_k$ and that maximum plus $\log(q - 1) / t$.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        excess: Positive scalar.

    Returns:
        Float tensor `(batch,)`.

    Example:

    >>> from keras import ops
    >>> f = ops.array([[5.0, 1.0, 1.0]])
    >>> round(float(smooth_best_other(ops.array([[1.0, 0.0, 0.0]]), f, 0.5)[0]), 4)
    1.5
    """
    # With two classes there is one other, its own log-sum-exp at every t.
    sharpness = math.log(max(logits.shape[-1] - 1, 2)) / excess
    others = ops.where(true_class(positive), -float("inf"), sharpness * logits)
    return ops.logsumexp(others, axis=-1) / sharpness


def offset_logits(positive, logits, offset):
    """Takes an offset from the true logit, which then has to lead by that much more.

    Example:

    >>> from keras import ops
    >>> [float(f) for f in offset_logits(ops.array([[0.0, 1]]), ops.array([[2.0, 3]]), 0.5)[0]]
    [2.0, 2.5]
    """
    return logits - offset * positive


def pair_constants(kernel):
    r"""Lipschitz constants $\|w_i - w_j\|$ of all differences of two linear outputs.

    Args:
        kernel: Tensor `(features, classes)`.

    Returns:
        Symmetric tensor `(classes, classes)` with zeros on its diagonal.

    Example:

    >>> from keras import ops
    >>> [[round(float(c), 4) for c in row] for row in pair_constants(ops.diag([3.0, 4.0]))]
    [[0.0, 5.0], [5.0, 0.0]]
    """
    # What all columns share changes no difference, and would cancel with the digits of those.
    kernel = kernel - ops.mean(kernel, axis=1, keepdims=True)
    gram = ops.matmul(ops.transpose(kernel), kernel)
    squares = ops.diagonal(gram)
    squares = squares[:, None] + squares[None, :] - 2.0 * gram
    # The root of zero has no slope; on the diagonal nothing is to be learned.
    distances = ops.sqrt(ops.maximum(squares, 1e-12))
    return distances * (1.0 - ops.eye(kernel.shape[-1], dtype=kernel.dtype))


def attacked_logits(positive, logits, constants, eps):
    r"""Raises each other logit by what an attack on it could gain, within what is certified.

    $$ f_k + r_k K_{yk}, \qquad r_k = \min\Bigl(\varepsilon,
       \Bigl(\frac{f_y - f_k}{K_{yk}}\Bigr)_+\Bigr) $$

    The radius $r_k$ is the one certified against class $k$ at the moment, at most `eps`, and a
    constant for gradients: only the logits and the constants $K$ are trained.

    Args:
        positive: Float tensor `(batch, classes)`, one-hot.
        logits: Float tensor `(batch, classes)`.
        constants: `(classes, classes)`, Lipschitz constants of the differences of two logits.
        eps: Non-negative scalar, the radius to train for.

    Returns:
        Float tensor `(batch, classes)`.

    Reference:
        Hu et al., "Unlocking deterministic robustness certification on ImageNet" (NeurIPS 2023),
        the EMMA loss.

    Example:

    >>> from keras import ops
    >>> f, pairs = ops.array([[3.0, 1.0, 2.9]]), 2.0 * (1.0 - ops.eye(3))
    >>> attacked = attacked_logits(ops.array([[1.0, 0, 0]]), f, pairs, 0.5)
    >>> [round(float(v), 4) for v in attacked[0]]    # 1 + 0.5 * 2, and no further than 3
    [3.0, 2.0, 3.0]
    """
    reach = ops.matmul(positive, constants)
    lead = ops.sum(positive * logits, axis=-1, keepdims=True) - logits
    radius = ops.relu(lead) / ops.maximum(reach, 1e-12)
    return logits + ops.stop_gradient(ops.minimum(radius, eps)) * reach


def bottom_logit(logits, constants, eps):
    r"""The largest logit that an attack within `eps` can make of a class that is not predicted.

    $$ f_\bot = \max_{j \ne t} \bigl(f_j + \varepsilon K_{jt}\bigr), \qquad t = \arg\max_k f_k $$

    The predicted class leads it exactly where a radius above `eps` is certified.

    Args:
        logits: Float tensor `(batch, classes)`.
        constants: `(classes, classes)`, Lipschitz constants of the differences of two logits.
        eps: Non-negative scalar.

    Returns:
        Float tensor `(batch,)`.

    Reference:
        Leino, Wang and Fredrikson, "Globally-robust neural networks" (ICML 2021), section 2.2.

    Example:

    >>> from keras import ops
    >>> pairs = ops.array([[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
    >>> float(bottom_logit(ops.array([[3.0, 1.0, 0.5]]), pairs, 0.5)[0])    # 0.5 + 0.5 * 4
    2.5
    """
    predicted = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)
    raised = logits + eps * ops.matmul(predicted, constants)
    return ops.max(ops.where(predicted > 0.0, -float("inf"), raised), axis=-1)
