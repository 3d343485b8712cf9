"""Bounds of the pooling layers of Keras."""

import math
from typing import NamedTuple

import keras
import numpy as np

from lipot.certificates.weights import for_each_axis, image_size
from lipot.layers.layer_bounds import register_bound
from lipot.math.convolution import padding_widths
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import UP, LayerBound, operator_norm

layers = keras.layers


class Windows(NamedTuple):
    """What a pooling takes together.

    Attributes:
        axes: For each axis the matrix of how often a window contains a value, `(windows, values)`.
        count: The largest number of values of a window, padding included.
    """

    axes: list
    count: int


@register_bound(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def max_pooling(layer, input_shape, norm):
    _check_mode(layer, "max")
    return maxima(_windows(layer, input_shape), norm)


@register_bound(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def average_pooling(layer, input_shape, norm):
    _check_mode(layer, "average")
    return averages(_windows(layer, input_shape), norm, layer.compute_dtype)


def maxima(windows, norm):
    r"""An input value decides in at most as many windows as contain it.

    $|\max_W x - \max_W y|^2 \le \max_{i \in W} |x_i - y_i|^2$, summed over the windows; in
    l-infinity the largest alone counts.
    """
    copies = [(axis > 0).sum(axis=0).max() for axis in windows.axes]
    return LayerBound(norm_of_ones(math.prod(copies), norm))


def averages(windows, norm, dtype):
    """Norm of averages over the values a window really contains.

    On several axes the matrix is a Kronecker product and the norms multiply.
    """
    axes = [axis / axis.sum(axis=1, keepdims=True) for axis in windows.axes]
    constant = math.prod(operator_norm(axis, norm) for axis in axes)
    # Partial sums of nonnegative weights are below the whole, which in float16 must not overflow
    # before it is divided.
    gain = constant * windows.count if dtype == "float16" else constant
    bound = LayerBound(constant, roundings=windows.count + 4, gain=gain)
    return bound.with_factor(1.0 / windows.count)


def adaptive_max_pooling(layer, input_shape, norm):
    size, _ = image_size(layer, input_shape)
    return maxima(adaptive_windows(size, layer.output_size), norm)


def adaptive_average_pooling(layer, input_shape, norm):
    size, _ = image_size(layer, input_shape)
    return averages(adaptive_windows(size, layer.output_size), norm, layer.compute_dtype)


for _axes in (1, 2, 3):
    # A version of Keras may lack them.
    if hasattr(layers, f"AdaptiveMaxPooling{_axes}D"):
        register_bound(getattr(layers, f"AdaptiveMaxPooling{_axes}D"))(adaptive_max_pooling)
        register_bound(getattr(layers, f"AdaptiveAveragePooling{_axes}D"))(adaptive_average_pooling)


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
    size, _ = image_size(layer, input_shape)
    return windows_of(size, layer.pool_size, layer.strides or layer.pool_size, layer.padding)


def windows_of(size, pool_size, strides, padding):
    """`Windows` of a pooling of images of a size, with a number for each axis or one for all."""
    pool_size, strides = (for_each_axis(value, len(size)) for value in (pool_size, strides))
    axes = list(zip(size, pool_size, strides))
    widths = [padding_widths((p, 1), (n, 1), (s, 1), 1, padding)[0] for n, p, s in axes]
    # Keras on PyTorch repeats the border where padding cannot be the same on both sides.
    repeats = keras.backend.backend() == "torch" and any(low != high for low, high in widths)
    matrices = [_windows_of_axis(*axis, width, repeats) for axis, width in zip(axes, widths)]
    return Windows(matrices, math.prod(pool_size))


def adaptive_windows(size, output_size):
    """`Windows` of as many for each axis as there are to be outputs.

    Window i of m reaches from `floor(i n / m)` to `ceil((i + 1) n / m)`.
    """
    matrices = []
    for n, m in zip(size, output_size):
        bounds = [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        places = np.arange(n)
        matrices.append(
            np.stack([(low <= places) & (places < high) for low, high in bounds]).astype("float64")
        )
    return Windows(matrices, math.prod(int(axis.sum(axis=1).max()) for axis in matrices))


def _windows_of_axis(size, pool, stride, widths, repeats):
    first = np.arange(0, size + sum(widths) - pool + 1, stride) - widths[0]
    places = first[:, None] + np.arange(pool)  # (windows, pool)
    inside = repeats | ((places >= 0) & (places < size))
    one_hot = np.clip(places, 0, size - 1)[..., None] == np.arange(size)
    return np.sum(one_hot & inside[..., None], axis=1).astype("float64")
