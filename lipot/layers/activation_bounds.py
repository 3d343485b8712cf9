"""Lipschitz constants of the activations that Keras layers take by name."""

import math

import keras
from keras import activations

# max |f'| of each elementwise activation, by calculus; rounded up where irrational.
_CONSTANTS = {
    activations.linear: 1.0,
    activations.relu: 1.0,
    activations.relu6: 1.0,
    activations.elu: 1.0,
    activations.softplus: 1.0,
    activations.softsign: 1.0,
    activations.tanh: 1.0,
    activations.hard_tanh: 1.0,
    activations.soft_shrink: 1.0,
    activations.tanh_shrink: 1.0,
    activations.log_sigmoid: 1.0,
    activations.sigmoid: 0.25,
    activations.hard_sigmoid: 1.0 / 6.0,
    # LeCun scaling 1.0507..., negative slope up to 1.0507... * 1.6732...
    activations.selu: 1.0507009873554805 * 1.6732632423543772,
    # l2 -> l2 norm of the Jacobian diag(p) - p p^T is at most max_i p_i (1 - p_i) * 2 <= 1/2.
    activations.softmax: 0.5,
    activations.leaky_relu: 1.0,
    activations.celu: 1.0,
    activations.squareplus: 1.0,
    activations.sparse_plus: 1.0,
    activations.sparse_sigmoid: 0.5,
    # No `sparsemax`: what Keras computes is not the projection onto the simplex, and it jumps
    # where a value enters the support.
    # x Phi(x) is steepest at sqrt(2), with slope 1.12890...; the others likewise.
    activations.gelu: 1.1290,
    activations.silu: 1.0999,
    activations.mish: 1.0886,
    activations.hard_silu: 1.5,
}


def activation_bound(activation):
    """Proven bound of the l2 Lipschitz constant of an activation.

    Args:
        activation: A function of `keras.activations`, a lipot layer or a Keras layer that
            states a bound, or `None`.

    Returns:
        float

    Example:

    >>> import keras
    >>> activation_bound(keras.activations.sigmoid)
    0.25
    """
    if activation is None:
        return 1.0
    bound = _CONSTANTS.get(activation)
    if bound is None:
        bound = getattr(activation, "lipschitz_bound", None)
    if bound is None or not math.isfinite(bound):
        raise ValueError(
            "No Lipschitz bound is known for the activation "
            f"{getattr(activation, '__name__', activation)!r}. Expected one of "
            f"{sorted(f.__name__ for f in _CONSTANTS)} or a layer with a `lipschitz_bound`."
        )
    return float(bound)


def is_linear(activation):
    """Whether an activation is the identity."""
    return activation is None or activation is keras.activations.linear
