"""Bounds of pooling layers, stock and lipot."""

import math

import keras
import numpy as np

from lipot.certify.bounds import LayerBound, register_bound, values_in
from lipot.certify.weights import image_size, spectral_norm
from lipot.layers.pooling_layer import GlobalPoolingLayer
from lipot.layers.scaled_average_pooling import ScaledAveragePooling2D, ScaledGlobalAveragePooling2D
from lipot.layers.scaled_l2_norm_pooling import ScaledGlobalL2NormPooling2D, ScaledL2NormPooling2D
from lipot.math.convolution import padding_widths

layers = keras.layers


@register_bound(layers.MaxPooling1D, layers.MaxPooling2D)
def max_pooling(layer, input_shape):
    r"""An input value decides in at most as many windows as contain it.

    $|\max_W x - \max_W y|^2 \le \max_{i \in W} |x_i - y_i|^2$, summed over the windows.
    """
    windows = [axis.sum(axis=0).max() for axis in _windows(layer, input_shape)]
    return LayerBound(math.sqrt(math.prod(windows)))


@register_bound(layers.AveragePooling1D, layers.AveragePooling2D)
def average_pooling(layer, input_shape):
    """Norm of averages over the values a window really contains.

    On two axes the matrix is a Kronecker product and the norms multiply. A backend that counts
    padded values too has smaller nonnegative entries, hence a smaller norm.
    """
    axes = [axis / axis.sum(axis=1, keepdims=True) for axis in _windows(layer, input_shape)]
    norm = math.prod(map(spectral_norm, axes))
    # Partial sums of nonnegative weights are below the whole.
    return LayerBound(norm, roundings=math.prod(layer.pool_size) + 4, gain=norm)


@register_bound(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
def global_max_pooling(layer, input_shape):
    return LayerBound(1.0)


@register_bound(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
def global_average_pooling(layer, input_shape):
    size, _ = image_size(layer, input_shape)
    norm = (1.0 + 1e-12) / math.sqrt(math.prod(size))
    return LayerBound(norm, roundings=math.prod(size) + 4, gain=norm)


@register_bound(ScaledAveragePooling2D, ScaledGlobalAveragePooling2D)
def scaled_average_pooling(layer, input_shape):
    bound = layer.lipschitz_bound
    return LayerBound(bound, roundings=_window(layer, input_shape) + 8, gain=bound)


@register_bound(ScaledL2NormPooling2D, ScaledGlobalL2NormPooling2D)
def scaled_l2_norm_pooling(layer, input_shape):
    # Sums of squares and their roots lose relative to the result, except for squares below the
    # smallest float: those change the root by at most 1e-19 for each value.
    return LayerBound(
        lipschitz=layer.lipschitz_bound,
        roundings=1,
        offset=1e-9 * math.sqrt(values_in(input_shape)),
        output_roundings=_window(layer, input_shape) + 12,
    )


def _window(layer, input_shape):
    if isinstance(layer, GlobalPoolingLayer):
        return values_in((None, *image_size(layer, input_shape)[0]))
    return math.prod(layer.pool_size)


def _windows(layer, input_shape):
    """Yields for each axis the 0/1 matrix of which window contains which value."""
    size, _ = image_size(layer, input_shape)
    strides = layer.strides or layer.pool_size
    padding = layer.padding
    both = [(1, *v) if len(v) == 1 else v for v in (layer.pool_size, size, strides)]
    widths = padding_widths(both[0], both[1], both[2], 1, padding)[-len(size) :]
    for pool, n, stride, (low, high) in zip(layer.pool_size, size, strides, widths):
        first = np.arange(0, n + low + high - pool + 1, stride) - low
        yield ((np.arange(n) >= first[:, None]) & (np.arange(n) < first[:, None] + pool)).astype(
            "float64"
        )
