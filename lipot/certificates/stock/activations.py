"""Bounds of the activations of Keras as layers."""

import keras

from lipot.layers.activation_bounds import (
    activation_bound,
    elementary,
    piecewise_linear,
    softmax_bound,
    steepest,
    steepest_number,
)
from lipot.layers.layer_bounds import check_not_repeated, register_bound


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
    _steepest(layer, layer.max_value or 0.0)
    return piecewise_linear(_steepest(layer, layer.negative_slope))


@register_bound(keras.layers.LeakyReLU)
def leaky_relu(layer, input_shape, norm):
    return piecewise_linear(_steepest(layer, layer.negative_slope))


@register_bound(keras.layers.PReLU)
def prelu(layer, input_shape, norm):
    check_not_repeated(layer, input_shape, layer.alpha.shape)
    return piecewise_linear(steepest(layer, layer.alpha, layer.compute_dtype))


@register_bound(keras.layers.ELU)
def elu(layer, input_shape, norm):
    return elementary(_steepest(layer, layer.alpha), input_shape, norm)


@register_bound(keras.layers.Softmax)
def softmax(layer, input_shape, norm):
    axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    if any(axis % len(input_shape) == 0 for axis in axes):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it joins the samples of a batch. Expected "
            f"an axis other than 0. Received: axis={layer.axis}"
        )
    return softmax_bound(input_shape, norm)


def _steepest(layer, slope):
    return steepest_number(layer, slope, layer.compute_dtype)
