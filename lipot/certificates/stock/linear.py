"""Bounds of the dense and convolution layers of Keras: those of their maps and kernels."""

import keras

from lipot.certificates.weights import check_not_quantized
from lipot.layers.activation_bounds import activation_bound
from lipot.layers.layer_bounds import register_bound
from lipot.math import linear_maps
from lipot.math.rounding import applied


@register_bound(keras.layers.Dense)
def dense(layer, input_shape, norm):
    check_not_quantized(layer)
    kernel = applied(layer.kernel, layer.compute_dtype)
    return _bound(layer, linear_maps.Dense(layer.units), kernel, input_shape, norm)


@register_bound(keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
def convolution(layer, input_shape, norm):
    check_not_quantized(layer)
    kernel, groups = applied(layer.kernel, layer.compute_dtype), getattr(layer, "groups", 1)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        groups, kernel = kernel.shape[2], kernel.reshape(*kernel.shape[:2], 1, -1)
    linear_map = linear_maps.Conv2D(
        kernel.shape[3],
        layer.kernel_size,
        layer.strides,
        layer.padding,
        layer.data_format,
        layer.dilation_rate,
        groups,
    )
    return _bound(layer, linear_map, kernel, input_shape, norm)


@register_bound(keras.layers.Conv1D)
def convolution_1d(layer, input_shape, norm):
    check_not_quantized(layer)
    kernel, padding = applied(layer.kernel, layer.compute_dtype)[:, None], layer.padding
    shape = list(input_shape)
    axis = 1 if layer.data_format == "channels_last" else 2
    if padding == "causal":
        # Zeros before the signal are part of a longer signal.
        if shape[axis] is not None:
            shape[axis] += layer.dilation_rate[0] * (len(kernel) - 1)
        padding = "valid"
    shape.insert(axis + 1, 1)
    linear_map = linear_maps.Conv2D(
        layer.filters,
        kernel.shape[:2],
        (*layer.strides, 1),
        padding,
        layer.data_format,
        (*layer.dilation_rate, 1),
        layer.groups,
    )
    return _bound(layer, linear_map, kernel, input_shape, norm, tuple(shape))


@register_bound(keras.layers.Conv2DTranspose)
def transposed_convolution(layer, input_shape, norm):
    check_not_quantized(layer)
    # A padding of the output, whatever its size, crops or adds zeros: it cannot raise the norm.
    linear_map = linear_maps.Conv2DTranspose(
        layer.filters,
        layer.kernel_size,
        layer.strides,
        layer.padding,
        layer.data_format,
        layer.dilation_rate,
    )
    kernel = applied(layer.kernel, layer.compute_dtype)
    return _bound(layer, linear_map, kernel, _of_known_size(layer, input_shape), norm)


def _bound(layer, linear_map, kernel, input_shape, norm, map_shape=None):
    """Bound of a linear map with a kernel, followed by the bias and activation of a layer."""
    output_shape = layer.compute_output_shape(input_shape)
    map_shape = input_shape if map_shape is None else map_shape
    linear = linear_map.bound(kernel, map_shape, norm=norm)
    if layer.bias is not None:
        linear = linear.with_bias(applied(layer.bias, layer.compute_dtype), output_shape, norm)
    inner = activation_bound(layer.activation, output_shape, norm, layer.compute_dtype)
    return linear.with_activation(inner)


def _of_known_size(layer, input_shape):
    if None in input_shape[1:]:
        raise ValueError(
            f"Layer '{layer.name}' is bounded for one image size. Expected a model with a fixed "
            f"input shape. Received: input_shape={tuple(input_shape)}"
        )
    return tuple(input_shape)
