"""Bounds of activations, as layers and as arguments of other layers."""

import math

import keras
import numpy as np

from lipot.certificates.bounds import layer_bound, register_bound
from lipot.certificates.weights import applied
from lipot.layers import activation_bounds
from lipot.layers.groupsort import GroupSort
from lipot.layers.householder import Householder
from lipot.layers.maxmin import MaxMin
from lipot.layers.prelu import PReLUlip
from lipot.math.rounding import LayerBound, values_in

# These select or clip values and compute none.
_EXACT = (
    None,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.hard_tanh,
)
# An elementary function loses a few units in the last place of its argument, of its result or
# of a number of size one that it passes through.
_ROUNDINGS = 8


def activation_bound(activation, shape):
    """`LayerBound` of an activation: a function of `keras.activations`, a layer or `None`."""
    if isinstance(activation, keras.layers.Layer):
        return layer_bound(activation, shape)
    constant = activation_bounds.activation_bound(activation)
    if activation in _EXACT:
        return LayerBound(constant)
    bound = _elementary(constant, shape)
    # It squares values, and float16 has no square of 256: 64 * 256 is the norm it may have.
    return bound._replace(gain=64.0) if activation is keras.activations.squareplus else bound


@register_bound(keras.layers.Activation)
def activation_layer(layer, input_shape):
    return activation_bound(layer.activation, input_shape)


@register_bound(keras.layers.ReLU)
def relu(layer, input_shape):
    if layer.threshold != 0.0:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it jumps at its threshold. "
            f"Expected threshold=0. Received: threshold={layer.threshold}"
        )
    return _piecewise_linear(max(1.0, abs(float(layer.negative_slope))))


@register_bound(keras.layers.LeakyReLU)
def leaky_relu(layer, input_shape):
    return _piecewise_linear(max(1.0, abs(float(layer.negative_slope))))


@register_bound(keras.layers.PReLU)
def prelu(layer, input_shape):
    return _piecewise_linear(max(1.0, float(np.abs(applied(layer.alpha, layer)).max())))


@register_bound(keras.layers.ELU)
def elu(layer, input_shape):
    return _elementary(max(1.0, abs(float(layer.alpha))), input_shape)


@register_bound(keras.layers.Softmax)
def softmax(layer, input_shape):
    axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    if any(axis % len(input_shape) == 0 for axis in axes):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it joins the samples of a batch. Expected "
            f"an axis other than 0. Received: axis={layer.axis}"
        )
    return _elementary(0.5, input_shape)


@register_bound(GroupSort, MaxMin)
def sorted_channels(layer, input_shape):
    return _piecewise_linear(layer.lipschitz_bound)


@register_bound(PReLUlip)
def constrained_prelu(layer, input_shape):
    return _piecewise_linear(layer.lipschitz_bound)


@register_bound(Householder)
def householder(layer, input_shape):
    # Sine, cosine, a product of two terms and a difference, of size at most 3 |x|.
    bound = layer.lipschitz_bound
    # (v v^T)(v v^T) = |v|^2 v v^T, and the computed v has norm one up to rounding.
    return LayerBound(bound, roundings=16, gain=4.0 * bound, output_roundings=2)


def _piecewise_linear(constant):
    """Selection of values, times slopes: one product and one cast."""
    return LayerBound(constant, output_roundings=3)


def _elementary(constant, shape):
    return LayerBound(
        lipschitz=constant,
        roundings=_ROUNDINGS,
        gain=max(1.0, constant),
        offset=2.0 * math.sqrt(values_in(shape)),
        output_roundings=_ROUNDINGS,
    )
