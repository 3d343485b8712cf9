"""Average pooling divided by its own norm."""

import math

import keras
from keras import ops

from lipot.layers.pooling_layer import GlobalPoolingLayer, WindowPoolingLayer
from lipot.math.pooling import average_norm
from lipot.math.rounding import LayerBound, rounded_factor
from lipot.math.scaling import at_least_float32, scale


@keras.saving.register_keras_serializable(package="lipot")
class ScaledAveragePooling2D(WindowPoolingLayer):
    r"""Averages windows of each channel, times the factor that makes it `k_coef_lip`-Lipschitz.

    `output = k_coef_lip * average_pool(input) / norm`, where `norm` is the spectral norm of
    average pooling: $1 / \sqrt{p_h p_w}$ for windows that do not overlap, so that the output is
    their sum divided by $\sqrt{p_h p_w}$. Stock average pooling loses that factor.

    Args:
        pool_size: Positive int or pair of them, the windows.
        strides: Positive int, pair of them, or `None` for `pool_size`. Overlapping windows are
            divided by their larger norm.
        padding: `"valid"`, the only one: a border that no full window reaches is dropped.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        The same with `(size - pool_size) // strides + 1` rows and columns.

    Lipschitz bound:
        `k_coef_lip`, for every image size. See `lipot.math.pooling.average_norm`.

    Raises:
        ValueError: At construction for an argument out of its range, at build if a window does
            not fit in the image.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", appendix C.3.

    Example:

    >>> import numpy as np
    >>> image = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> float(ScaledAveragePooling2D(2)(image)[0, 0, 0, 0])   # (1 + 2 + 3 + 4) / 2
    5.0
    """

    def call(self, inputs):
        means = ops.average_pool(
            at_least_float32(inputs),
            self.pool_size,
            strides=self.strides,
            data_format=self.data_format,
        )
        factor = self.k_coef_lip / average_norm(self.pool_size, self.strides)
        return scale(means, factor, dtype=self.compute_dtype)

    def bound(self, input_shape, norm=2):
        l2 = average_norm(self.pool_size, self.strides)
        return _average_bound(self, input_shape, l2, norm)


@keras.saving.register_keras_serializable(package="lipot")
class ScaledGlobalAveragePooling2D(GlobalPoolingLayer):
    r"""Sums each channel over the image and divides by $\sqrt{\text{height} \cdot \text{width}}$.

    `output = k_coef_lip * sum(input) / sqrt(height * width)`

    Args:
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        keepdims: Whether to keep the two spatial axes, with length one.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, channels)`; with `keepdims` the spatial axes stay, with length one.

    Lipschitz bound:
        `k_coef_lip`, for every image size: each output is the product with a unit vector.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", appendix C.3.

    Example:

    >>> import numpy as np
    >>> float(ScaledGlobalAveragePooling2D()(np.ones((1, 3, 3, 1), "float32"))[0, 0])
    3.0
    """

    def call(self, inputs):
        x = at_least_float32(inputs)
        total = ops.sum(x, axis=self.spatial_axes, keepdims=self.keepdims)
        size = [inputs.shape[axis] for axis in self.spatial_axes]
        if None not in size:
            return scale(total, self.k_coef_lip / math.sqrt(math.prod(size)), self.compute_dtype)
        count = ops.sum(ops.ones_like(x), axis=self.spatial_axes, keepdims=self.keepdims)
        return scale(total / ops.sqrt(count), self.k_coef_lip, self.compute_dtype)

    def bound(self, input_shape, norm=2):
        self.check_window(input_shape, norm)
        window = self.window(input_shape)
        return _average_bound(self, input_shape, 1.0 / math.sqrt(window), norm)


def _average_bound(layer, input_shape, l2, norm):
    """Bound of an average over windows, divided by its l2 norm."""
    k, dtype = layer.k_coef_lip, layer.compute_dtype
    # The factor is `k / l2`, or `k` alone after a division by a size that was open.
    grown = max(rounded_factor(k / l2, dtype), rounded_factor(k, dtype))
    grown = grown if norm == 2 else grown / l2
    constant = k * (grown if grown == 1.0 else grown * (1.0 + 1e-12))
    window = layer.window(input_shape)
    bound = LayerBound(constant, roundings=window + 8, gain=constant)
    # The mean divides by the window, and the factor makes its root of that.
    return bound.with_factor(1.0 / window).with_factor(math.sqrt(window))
