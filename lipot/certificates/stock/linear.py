"""Bounds of the dense and convolution layers of Keras: those of their maps and kernels."""

import math
from typing import NamedTuple

import keras
import numpy as np

from lipot.certificates.weights import channels_read, check_not_quantized
from lipot.layers.activation_bounds import activation_bound
from lipot.layers.applied_weights import applied_weight
from lipot.layers.layer_bounds import register_bound
from lipot.math import linear_maps
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import values_in


@register_bound(keras.layers.Dense)
def dense(layer, input_shape, norm):
    check_not_quantized(layer)
    kernel = applied_weight(layer, "kernel")
    return _bound(layer, linear_maps.Dense(layer.units), kernel, input_shape, norm)


@register_bound(keras.layers.Conv2D, keras.layers.Conv1D)
def convolution(layer, input_shape, norm):
    check_not_quantized(layer)
    view = as_image(layer, input_shape)
    kernel = view.kernel(layer, "kernel")
    # Keras convolves with as many groups as the kernel leaves, whatever the layer says by now.
    groups = channels_read(layer, input_shape) // kernel.shape[2]
    return _bound(layer, view.map(kernel, groups), kernel, input_shape, norm, view.shape)


@register_bound(keras.layers.DepthwiseConv2D, keras.layers.DepthwiseConv1D)
def depthwise_convolution(layer, input_shape, norm):
    check_not_quantized(layer)
    view = as_image(layer, input_shape)
    kernel, groups = of_groups(view.kernel(layer, "kernel"))
    return _bound(layer, view.map(kernel, groups), kernel, input_shape, norm, view.shape)


@register_bound(keras.layers.SeparableConv2D, keras.layers.SeparableConv1D)
def separable_convolution(layer, input_shape, norm):
    """Two convolutions one after the other, with the norm of the one that they make together."""
    check_not_quantized(layer)
    view = as_image(layer, input_shape)
    by_channel, mixing = (
        view.kernel(layer, name) for name in ("depthwise_kernel", "pointwise_kernel")
    )
    kernel, groups = of_groups(by_channel)
    depthwise = view.map(kernel, groups)
    pointwise = linear_maps.Conv2D(mixing.shape[3], 1, 1, "valid", layer.data_format)
    between = depthwise.output_shape(view.shape)
    bound = depthwise.bound(kernel, view.shape, norm=norm).with_activation(
        pointwise.bound(mixing, between, norm=norm)
    )
    # There may be more values between the two than in the end, all of which may vanish.
    between, end = (values_in(shape) for shape in (between, pointwise.output_shape(between)))
    bound = bound._replace(
        lipschitz=min(bound.lipschitz, _norm_together(view, by_channel, mixing[0, 0], norm)),
        growth=bound.growth * max(1.0, norm_of_ones(between / end, norm)),
    )
    return finished(layer, bound, input_shape, norm)


@register_bound(keras.layers.Conv2DTranspose, keras.layers.Conv1DTranspose)
def transposed_convolution(layer, input_shape, norm):
    check_not_quantized(layer)
    view = as_image(layer, _of_known_size(layer, input_shape))
    kernel = view.kernel(layer, "kernel")
    linear_map = linear_maps.Conv2DTranspose(layer.filters, kernel.shape[:2], *view.geometry)
    return _bound(layer, linear_map, kernel, input_shape, norm, view.shape)


class Image(NamedTuple):
    """What a convolution of Keras computes, as one of images; those of sequences are one wide.

    Attributes:
        shape: Shape of its input, `(None, ...)`.
        geometry: Strides, padding, data format and dilation of a `linear_maps.Conv2D`.
    """

    shape: tuple
    geometry: tuple

    def kernel(self, layer, name):
        """A kernel of a layer as it is applied, `(kh, kw, ...)` in float64."""
        return self.of_image(applied_weight(layer, name))

    @staticmethod
    def of_image(kernel):
        """The same kernel, with an axis of one for what is one wide."""
        return kernel if kernel.ndim == 4 else kernel[:, None]

    def map(self, kernel, groups):
        causal = self.geometry[1] == "causal"
        kind = linear_maps.CausalConv2D if causal else linear_maps.Conv2D
        # Keras convolves with the kernel as it is, whatever size the layer says by now.
        return kind(kernel.shape[3], kernel.shape[:2], *self.geometry, groups)


def as_image(layer, input_shape):
    """The `Image` that a layer convolves, or what has its arguments."""
    strides, dilation = layer.strides, layer.dilation_rate
    shape, padding = list(input_shape), layer.padding
    axis = 1 if layer.data_format == "channels_last" else 2
    if getattr(layer, "output_padding", None) is not None:
        # It moves the crop. All that the layer could give is more than what it does.
        padding = "valid"
    if len(shape) == 3:
        strides, dilation = (*strides, 1), (*dilation, 1)
        shape.insert(axis + 1, 1)
    geometry = (tuple(strides), padding, layer.data_format, tuple(dilation))
    return Image(tuple(shape), geometry)


def of_groups(kernel):
    """A kernel `(kh, kw, channels, multiplier)` as one of groups, and how many there are."""
    return kernel.reshape(*kernel.shape[:2], 1, -1), kernel.shape[2]


def _norm_together(view, by_channel, mixing, norm):
    """Bound of the norm of the one convolution that two make."""
    kernel, sizes = _together(by_channel, mixing), _together(np.abs(by_channel), np.abs(mixing))
    whole = view.map(kernel, 1)
    size = whole.linf_norm(sizes, view.shape)
    if norm == 2:
        size = math.sqrt(whole.copies(view.shape)) * float(np.linalg.norm(sizes))
    # Each weight is a sum of as many products as a channel has filters of its own.
    lost = (by_channel.shape[3] + 2) * 2.0**-53 * size
    return whole.bound(kernel, view.shape, norm=norm).lipschitz + lost


def _together(by_channel, mixing):
    """The kernel of a depthwise and a pointwise convolution, `(kh, kw, channels, filters)`."""
    mixing = mixing.reshape(*by_channel.shape[2:], -1)
    return np.einsum("ijcm,cmf->ijcf", by_channel, mixing)


def _bound(layer, linear_map, kernel, input_shape, norm, map_shape=None):
    """Bound of a linear map with a kernel, followed by the bias and activation of a layer."""
    map_shape = input_shape if map_shape is None else map_shape
    return finished(layer, linear_map.bound(kernel, map_shape, norm=norm), input_shape, norm)


def finished(layer, linear, input_shape, norm):
    """Bound of what a layer computes before its bias and activation, followed by these."""
    output_shape = layer.compute_output_shape(input_shape)
    if layer.bias is not None:
        linear = linear.with_bias(applied_weight(layer, "bias"), output_shape, norm)
    inner = activation_bound(layer.activation, output_shape, norm, layer.compute_dtype)
    return linear.with_activation(inner)


def _of_known_size(layer, input_shape):
    if None in input_shape[1:]:
        raise ValueError(
            f"Layer '{layer.name}' is bounded for one image size. Expected a model with a fixed "
            f"input shape. Received: input_shape={tuple(input_shape)}"
        )
    return tuple(input_shape)
