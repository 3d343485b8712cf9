"""Bounds of the pooling layers of Keras."""

import math

import keras
import numpy as np

from lipot.certificates.weights import image_size
from lipot.layers.layer_bounds import register_bound
from lipot.math.convolution import padding_widths
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import UP, LayerBound, operator_norm

layers = keras.layers


@register_bound(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def max_pooling(layer, input_shape, norm):
    r"""An input value decides in at most as many windows as contain it.

    $|\max_W x - \max_W y|^2 \le \max_{i \in W} |x_i - y_i|^2$, summed over the windows; in
    l-infinity the largest alone counts.
    """
    _check_mode(layer, "max")
    windows = [(axis > 0).sum(axis=0).max() for axis in _windows(layer, input_shape)]
    return LayerBound(norm_of_ones(math.prod(windows), norm))


@register_bound(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def average_pooling(layer, input_shape, norm):
    """Norm of averages over the values a window really contains.

    On several axes the matrix is a Kronecker product and the norms multiply.
    """
    _check_mode(layer, "average")
    axes = [axis / axis.sum(axis=1, keepdims=True) for axis in _windows(layer, input_shape)]
    constant = math.prod(operator_norm(axis, norm) for axis in axes)
    # Partial sums of nonnegative weights are below the whole, which in float16 must not overflow
    # before it is divided.
    window = math.prod(layer.pool_size)
    gain = constant * window if layer.compute_dtype == "float16" else constant
    return LayerBound(constant, roundings=window + 4, gain=gain).with_factor(1.0 / window)


@register_bound(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D)
def global_max_pooling(layer, input_shape, norm):
    return LayerBound(1.0)


@register_bound(
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D
)
def global_average_pooling(layer, input_shape, norm):
    size, _ = image_size(layer, input_shape)
    # The root of as many values as a mean has, or nothing in l-infinity.
    count = math.prod(size)
    constant = UP / norm_of_ones(count, norm)
    return LayerBound(constant, roundings=count + 4, gain=constant).with_factor(1.0 / count)


def _check_mode(layer, mode):
    """Raises for a layer that was told later to pool otherwise than its class does."""
    if layer.pool_mode != mode:
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} cannot be certified. "
            f"Expected pool_mode={mode!r}. Received: pool_mode={layer.pool_mode!r}"
        )


def _windows(layer, input_shape):
    """Makes for each axis the matrix of how often a window contains a value."""
    size, _ = image_size(layer, input_shape)
    axes = list(zip(layer.pool_size, size, layer.strides or layer.pool_size))
    widths = [_padding_of_axis(*axis, layer.padding) for axis in axes]
    # Keras on PyTorch repeats the border where padding cannot be the same on both sides.
    repeats = keras.backend.backend() == "torch" and any(low != high for low, high in widths)
    return [_windows_of_axis(*axis, width, repeats) for axis, width in zip(axes, widths)]


def _padding_of_axis(pool, size, stride, padding):
    return padding_widths((pool, 1), (size, 1), (stride, 1), 1, padding)[0]


def _windows_of_axis(pool, size, stride, widths, repeats):
    first = np.arange(0, size + sum(widths) - pool + 1, stride) - widths[0]
    places = first[:, None] + np.arange(pool)  # (windows, pool)
    inside = repeats | ((places >= 0) & (places < size))
    one_hot = np.clip(places, 0, size - 1)[..., None] == np.arange(size)
    return np.sum(one_hot & inside[..., None], axis=1).astype("float64")
