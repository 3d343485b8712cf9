"""Bounds of the activations of Keras as layers."""

import keras
import numpy as np

from lipot.layers.activation_bounds import activation_bound, elementary, piecewise_linear
from lipot.layers.layer_bounds import register_bound
from lipot.math.rounding import applied


@register_bound(keras.layers.Activation)
def activation_layer(layer, input_shape, norm):
    return activation_bound(layer.activation, input_shape, norm, layer.compute_dtype)


@register_bound(keras.layers.ReLU)
def relu(layer, input_shape, norm):
    if layer.threshold != 0.0:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it jumps at its threshold. "
            f"Expected threshold=0. Received: threshold={layer.threshold}"
        )
    return _sloped(layer)


@register_bound(keras.layers.LeakyReLU)
def leaky_relu(layer, input_shape, norm):
    return _sloped(layer)


@register_bound(keras.layers.PReLU)
def prelu(layer, input_shape, norm):
    slopes = np.abs(applied(layer.alpha, layer.compute_dtype))
    return piecewise_linear(max(1.0, float(slopes.max())))


@register_bound(keras.layers.ELU)
def elu(layer, input_shape, norm):
    return elementary(max(1.0, abs(float(layer.alpha))), input_shape, norm)


@register_bound(keras.layers.Softmax)
def softmax(layer, input_shape, norm):
    axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    if any(axis % len(input_shape) == 0 for axis in axes):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it joins the samples of a batch. Expected "
            f"an axis other than 0. Received: axis={layer.axis}"
        )
    return elementary(0.5, input_shape, norm)


def _sloped(layer):
    """The slope of the negative side as it was written and as the layer applies it."""
    slope = float(layer.negative_slope)
    steepest = max(abs(slope), float(np.abs(applied(slope, layer.compute_dtype))))
    return piecewise_linear(max(1.0, steepest))
