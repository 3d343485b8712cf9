"""Bounds of the activations that Keras layers take by name, and of layers as activations."""

import math
from collections.abc import Hashable

import keras
import numpy as np
from keras import activations, ops

from lipot.backend.keras_graph import all_layers
from lipot.layers.layer_bounds import layer_bound
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import UP, LayerBound, applied, values_in

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
    # The Jacobian diag(p) - p p^T is symmetric with row sums 2 p_i (1 - p_i) <= 1/2: its norm in
    # l-infinity, which no eigenvalue exceeds.
    activations.softmax: 0.5,
    activations.leaky_relu: 1.0,
    activations.celu: 1.0,
    activations.squareplus: 1.0,
    activations.sparse_plus: 1.0,
    activations.sparse_sigmoid: 0.5,
    # No `sparsemax`: what Keras computes is not the projection onto the simplex, and it jumps
    # where a value enters the support.
    # x Phi(x) is steepest at sqrt(2), with slope 1.12890..., and what approximates it by a tanh at
    # 1.4185, with 1.12899...; the others likewise.
    activations.gelu: 1.1290,
    activations.silu: 1.0999,
    activations.mish: 1.0886,
    activations.hard_silu: 1.5,
}
# These select or clip values and compute none.
_EXACT = (activations.linear, activations.relu, activations.relu6, activations.hard_tanh)
# An elementary function loses a few units in the last place of its argument, of its result or
# of a number of size one that it passes through.
_ROUNDINGS = 8


def activation_bound(activation, shape, norm=2, dtype=None):
    """Proven bound of an activation.

    What acts on each value by itself, or is a softmax, has one constant in both norms.

    Args:
        activation: A function of `keras.activations`, a layer that has a bound, or `None`.
        shape: Shape of the values it is applied to, `(None, ...)`.
        norm: `2` or `"inf"`.
        dtype: Float type of the values. A layer as activation has to compute in it.

    Returns:
        A `LayerBound`.

    Raises:
        ValueError: An activation of which no bound is known.

    Example:

    >>> import keras
    >>> activation_bound(keras.activations.sigmoid, (None, 4)).lipschitz
    0.25
    """
    if activation is None:
        return LayerBound(1.0)
    if isinstance(activation, keras.layers.Layer):
        _check_computes_in(activation, dtype)
        _check_keeps(activation, shape)
        return _bound_of_layer(activation, shape, norm)
    if activation in (activations.softmax, activations.log_softmax) and len(shape) < 2:
        raise ValueError(
            "A softmax of tensors without an axis beside the batch joins its samples. Expected "
            f"tensors (batch, classes). Received: shape {tuple(shape)}"
        )
    if activation is activations.log_softmax:
        return log_softmax_bound(shape, shape[-1], norm)
    # What cannot be looked up is no function of Keras.
    constant = _CONSTANTS.get(activation) if isinstance(activation, Hashable) else None
    if constant is None:
        raise ValueError(
            "No Lipschitz bound is known for the activation "
            f"{getattr(activation, '__name__', activation)!r}. Expected one of "
            f"{sorted(f.__name__ for f in _CONSTANTS)} or a layer that has a bound."
        )
    if activation in _EXACT:
        return LayerBound(constant)
    if activation is activations.softmax:
        return softmax_bound(shape, norm)
    bound = elementary(constant, shape, norm)
    # It squares values, and float16 has no square of 256: 64 * 256 is the norm it may have.
    return bound._replace(gain=64.0) if activation is activations.squareplus else bound


def keeps_distances(activation):
    """Whether an activation function is known to be 1-Lipschitz.

    Example:

    >>> keeps_distances(keras.activations.tanh), keeps_distances(keras.activations.selu)
    (True, False)
    """
    known = activation if isinstance(activation, Hashable) else None
    return _CONSTANTS.get(known, math.inf) <= 1.0


def _check_computes_in(activation, dtype):
    """Raises for a layer as activation that rounds where the bound of its owner does not look."""
    if len(all_layers(activation)) > 1:
        raise ValueError(
            f"Layer '{activation.name}' cannot be certified as the activation of another one: it "
            "has layers inside. Expected it as a layer of its own."
        )
    if dtype is None:
        return
    own = activation.compute_dtype
    # What is exact in the owner's type is exact in a wider one. That of two float64 is float32 to
    # Keras on JAX and PyTorch.
    wide = "float" in own and own in (dtype, keras.backend.result_type(own, dtype))
    if not (wide and activation.autocast):
        raise ValueError(
            f"Layer '{activation.name}' cannot be certified as the activation of another one. "
            f"Expected one that computes in {dtype}, as its owner does, or a wider type. "
            f"Received: dtype={own}, autocast={activation.autocast}"
        )


def _check_keeps(activation, shape):
    """Raises for a layer as activation whose outputs have other sizes than its owner's."""
    kept = tuple(activation.compute_output_shape(shape))
    if kept != tuple(shape):
        raise ValueError(
            f"Layer '{activation.name}' cannot be certified as the activation of another one. "
            "Expected one that keeps the shape, as the owner says of itself. Received: outputs "
            f"{kept} for inputs {tuple(shape)}"
        )


def _bound_of_layer(activation, shape, norm):
    try:
        return layer_bound(activation, shape, norm)
    except AttributeError as error:
        if activation.built:
            raise
        raise ValueError(
            f"Layer '{activation.name}' cannot be certified as the activation of another one. "
            "Expected one that is built: call its owner on data first. Received: one without its "
            "weights"
        ) from error


def is_linear(activation):
    """Whether an activation is the identity."""
    return activation is None or activation is activations.linear


def piecewise_linear(constant):
    """Bound, in either norm, of a selection of values times slopes: one product and one cast."""
    return LayerBound(constant, output_roundings=3)


def elementary(constant, shape, norm=2):
    """Bound of an elementary function of each value, such as a sigmoid."""
    return LayerBound(
        lipschitz=constant,
        roundings=_ROUNDINGS,
        gain=max(1.0, constant),
        # Where it is steep, so is what it subtracts from: alpha (exp(x) - 1).
        offset=2.0 * max(1.0, constant) * norm_of_ones(values_in(shape), norm),
        output_roundings=_ROUNDINGS,
    )


def softmax_bound(shape, norm=2):
    """Bound of a softmax along any axes but that of the batch."""
    bound = elementary(_CONSTANTS[activations.softmax], shape, norm)
    # It divides by a sum, of all values of a sample at most.
    return bound._replace(output_roundings=bound.output_roundings + values_in(shape))


def log_softmax_bound(shape, count, norm=2):
    r"""Bound of $x - \log \sum_i e^{x_i}$ over axes of $n$ values.

    Its Jacobian is $I - 1 p^T$ with $p$ the softmax. Its norm is convex in $p$, hence largest where
    one $p_i$ is 1: the root of $n$, and 2 in l-infinity. The logarithm lies within $\log n$ of the
    largest value, so that no number on the way is larger than the differences to that.

    Args:
        shape: Shape of the values, `(None, ...)`.
        count: The number $n$.
        norm: `2` or `"inf"`.
    """
    if count is None:
        raise ValueError(
            "A log_softmax has no bound over nobody knows how many values. Expected axes of fixed "
            f"size. Received: shape {tuple(shape)}"
        )
    constant = (math.sqrt(count) if norm == 2 else 2.0) * UP
    return _with_logarithm(constant, 1.0 + constant, shape, count, norm)


def log_sum_exp_bound(shape, count, norm=2):
    r"""Bound of $\log \sum_i e^{x_i}$ over axes of $n$ values: its gradient is the softmax.

    That has a sum of 1, and a norm of at most 1. What is rounded of $x_i - \max x$ counts times
    $e^{x_i - \max x}$, and a sum of $n$ numbers of size one at most.

    Args:
        shape: Shape of the values, `(None, ...)`.
        count: The number $n$.
        norm: `2` or `"inf"`.
    """
    return _with_logarithm(1.0, 2.0, shape, count, norm)


def _with_logarithm(constant, gain, shape, count, norm):
    """Bound of a map that takes the logarithm of sums of so many exponentials of at most one."""
    offset = (2.0 * count + 16.0) * norm_of_ones(values_in(shape), norm)
    return LayerBound(constant, 16, gain, offset, 8, peak_offset=offset)


def steepest_number(operation, slope, dtype):
    """`steepest` of one number: an array of slopes may repeat the input."""
    if np.ndim(slope):
        raise ValueError(
            f"'{operation.name}' cannot be certified. Expected one number for each slope and "
            f"limit. Received: an array of shape {np.shape(slope)}"
        )
    return steepest(operation, slope, dtype)


def steepest(operation, slopes, dtype):
    """One, or more where a slope is steeper as it was written or as it is applied in a type."""
    written = np.asarray(ops.convert_to_numpy(slopes), "float64")
    sizes = np.abs([written, applied(slopes, dtype)])
    if not np.all(np.isfinite(sizes)):
        raise ValueError(
            f"Layer '{operation.name}' cannot be certified. Expected finite slopes and limits. "
            f"Received: {slopes}"
        )
    return max(1.0, float(sizes.max()))
