"""Kantorovich-Rubinstein objectives of a labelled batch: means per class, whatever the weights."""

from keras import ops

from lipot import backend


def kr(positive, scores, weights):
    r"""Computes per-sample terms of the average Kantorovich-Rubinstein objective.

    For each class `k`, with `P_k` the samples of the class and `N_k` all others,

    $$
    KR_k = \mathbb{E}_{x \sim P_k} f_k(x) - \mathbb{E}_{x \sim N_k} f_k(x),
    $$

    whose maximum over 1-Lipschitz `f_k` is the Wasserstein-1 distance between `P_k` and `N_k`.
    The mean of the returned terms, weighted by `weights` over every replica, is the mean of
    `KR_k` over the classes for which both expectations exist. A class absent from the batch
    contributes nothing: half of its difference would reward adding a constant to `f_k`.

    Args:
        positive: Float tensor `(batch, classes)`, 1 where the sample belongs to the class, else 0.
        scores: Float tensor `(batch, classes)`, the values `f_k(x)`.
        weights: Float tensor `(batch,)` of non-negative sample weights.

    Returns:
        Float tensor `(batch,)`.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", equations 1b and 12.

    Example:

    >>> from keras import ops
    >>> terms = kr(ops.array([[1.0], [0.0], [0.0]]), ops.array([[4.0], [1.0], [2.0]]), ops.ones(3))
    >>> float(ops.mean(terms))   # 4 - (1 + 2) / 2
    2.5
    """
    return ops.sum(_signed_density(positive, weights) * scores, axis=-1)


def hinge_regularized(kr_terms, hinge_terms, alpha):
    """Combines `-kr + alpha * hinge`; an infinite `alpha` leaves the hinge alone.

    Args:
        kr_terms: Float tensor `(batch,)`.
        hinge_terms: Float tensor `(batch,)`.
        alpha: Non-negative scalar tensor, possibly infinite.

    Returns:
        Float tensor `(batch,)`.

    Reference:
        Serrurier et al., equation 5, where `alpha` is called lambda.

    Example:

    >>> from keras import ops
    >>> float(hinge_regularized(ops.array(3.0), ops.array(0.5), ops.array(10.0)))
    2.0
    >>> float(hinge_regularized(ops.array(3.0), ops.array(0.5), ops.array(float("inf"))))
    0.5
    """
    hinge_only = ops.isinf(alpha)
    kr_weight = ops.where(hinge_only, ops.zeros_like(alpha), ops.ones_like(alpha))
    hinge_weight = ops.where(hinge_only, ops.ones_like(alpha), alpha)
    return hinge_weight * hinge_terms - kr_weight * kr_terms


def _signed_density(positive, weights):
    """Density of `P_k - N_k` with respect to the weighted batch, averaged over the classes."""
    present = weights[:, None] * positive
    absent = weights[:, None] * (1.0 - positive)
    masses = ops.stack([ops.sum(present, axis=0), ops.sum(absent, axis=0)])
    positive_mass, negative_mass = ops.unstack(backend.sum_over_replicas(masses), 2)

    defined = ops.logical_and(positive_mass > 0.0, negative_mass > 0.0)
    share = ops.cast(defined, positive.dtype)
    share = share / ops.maximum(ops.sum(share), 1.0)
    positive_mass = ops.where(defined, positive_mass, 1.0)
    negative_mass = ops.where(defined, negative_mass, 1.0)

    density = positive / positive_mass - (1.0 - positive) / negative_mass
    return share * (positive_mass + negative_mass) * density
