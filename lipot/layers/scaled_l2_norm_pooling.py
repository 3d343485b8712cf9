"""L2 pooling: the norm of each window."""

import math

import keras
from keras import ops

from lipot import backend, checks
from lipot.layers.pooling_layer import GlobalPoolingLayer, WindowPoolingLayer
from lipot.math.pooling import smooth_root, tiled_norms, tiled_norms_gradient, window_overlap
from lipot.math.rounding import LayerBound, rounded_factor, values_in
from lipot.math.scaling import at_least_float32, scale

# Its square must not vanish in float32.
_SMALLEST_EPS = 1e-18
_fused_norms = backend.as_one_kernel(tiled_norms, tiled_norms_gradient)


@keras.saving.register_keras_serializable(package="lipot")
class ScaledL2NormPooling2D(WindowPoolingLayer):
    r"""Takes the norm of windows of each channel, which keeps the norm of the gradient.

    For a window $x$ the output is

    $$ \frac{k}{\sqrt m} \left( \sqrt{\|x\|^2 + \epsilon^2} - \epsilon \right), $$

    with $m$ the number of windows that share a value at most: 1 unless windows overlap.

    Args:
        pool_size: Positive int or pair of them, the windows.
        strides: Positive int, pair of them, or `None` for `pool_size`.
        padding: `"valid"`, the only one: a border that no full window reaches is dropped.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        eps_grad_sqrt: The $\epsilon$, a float from 1e-18 to 1e18: it makes the gradient finite,
            and zero, where the window is zero. The output is at most $k \epsilon$ below the
            norm.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        The same with `(size - pool_size) // strides + 1` rows and columns.

    Lipschitz bound:
        `k_coef_lip`, for every image size: $\sqrt{\|x\|^2 + \epsilon^2}$ is the norm of
        $(x, \epsilon)$, hence 1-Lipschitz in $x$, and the squared changes of $m$ windows that
        share a value sum to at most $m$ times its own.

    Raises:
        ValueError: At construction for an argument out of its range, at build if a window does
            not fit in the image.

    Reference:
        Boureau, Ponce and LeCun, "A theoretical analysis of feature pooling in visual
        recognition" (ICML 2010); hKR, section 4.1.

    Example:

    >>> import numpy as np
    >>> image = np.array([[1.0, -2.0], [2.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> round(float(ScaledL2NormPooling2D(2)(image)[0, 0, 0, 0]), 4)   # sqrt(1 + 4 + 4 + 16)
    5.0
    """

    def __init__(
        self,
        pool_size=(2, 2),
        strides=None,
        padding="valid",
        data_format=None,
        k_coef_lip=1.0,
        eps_grad_sqrt=1e-6,
        **kwargs,
    ):
        super().__init__(pool_size, strides, padding, data_format, k_coef_lip, **kwargs)
        self.eps_grad_sqrt = _check_eps(eps_grad_sqrt)

    def call(self, inputs, training=False):
        images = at_least_float32(inputs)
        if training and self._tiles(images.shape):
            norms = _fused_norms(images, self.pool_size, self.eps_grad_sqrt)
        else:
            means = ops.average_pool(
                ops.square(images), self.pool_size, self.strides, data_format=self.data_format
            )
            norms = smooth_root(self.pool_size[0] * self.pool_size[1] * means, self.eps_grad_sqrt)
        factor = self.k_coef_lip / window_overlap(self.pool_size, self.strides) ** 0.5
        return scale(norms, factor, dtype=self.compute_dtype)

    def _tiles(self, shape):
        """Whether the windows cover the images, each value once, with the channels last."""
        size = [shape[axis] for axis in self.spatial_axes]
        whole = all(n is not None and n % pool == 0 for n, pool in zip(size, self.pool_size))
        return whole and self.strides == self.pool_size and self.data_format == "channels_last"

    def bound(self, input_shape, norm=2):
        overlap = window_overlap(self.pool_size, self.strides)
        return _norm_bound(self, input_shape, norm, overlap)

    def get_config(self):
        return {**super().get_config(), "eps_grad_sqrt": self.eps_grad_sqrt}


@keras.saving.register_keras_serializable(package="lipot")
class ScaledGlobalL2NormPooling2D(GlobalPoolingLayer):
    r"""Takes the norm of each channel of the image.

    `output = k_coef_lip * (sqrt(sum(input ** 2) + eps ** 2) - eps)`

    Args:
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        eps_grad_sqrt: The `eps`, a float from 1e-18 to 1e18: it makes the gradient finite, and
            zero, where the channel is zero. The output is at most `k_coef_lip * eps` below the
            norm.
        keepdims: Whether to keep the two spatial axes, with length one.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, channels)`; with `keepdims` the spatial axes stay, with length one.

    Lipschitz bound:
        `k_coef_lip`, for every image size: it is the norm of the channel with `eps` appended.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Boureau, Ponce and LeCun, "A theoretical analysis of feature pooling in visual
        recognition" (ICML 2010); hKR, section 4.1.

    Example:

    >>> import numpy as np
    >>> image = np.array([[3.0, 0.0], [0.0, -4.0]]).reshape(1, 2, 2, 1)
    >>> round(float(ScaledGlobalL2NormPooling2D()(image)[0, 0]), 4)
    5.0
    """

    def __init__(
        self, data_format=None, k_coef_lip=1.0, eps_grad_sqrt=1e-6, keepdims=False, **kwargs
    ):
        super().__init__(data_format, k_coef_lip, keepdims, **kwargs)
        self.eps_grad_sqrt = _check_eps(eps_grad_sqrt)

    def call(self, inputs):
        squares = ops.square(at_least_float32(inputs))
        total = ops.sum(squares, axis=self.spatial_axes, keepdims=self.keepdims)
        norms = smooth_root(total, self.eps_grad_sqrt)
        return scale(norms, self.k_coef_lip, dtype=self.compute_dtype)

    def bound(self, input_shape, norm=2):
        self.check_window(input_shape, norm)
        return _norm_bound(self, input_shape, norm)

    def get_config(self):
        return {**super().get_config(), "eps_grad_sqrt": self.eps_grad_sqrt}


def _norm_bound(layer, input_shape, norm, overlap=1):
    # The norm of a window of m values is sqrt(m)-Lipschitz in the largest of them.
    window = layer.window(input_shape)
    grown = 1.0 if norm == 2 else math.sqrt(window / overlap) * (1.0 + 1e-12)
    factor = rounded_factor(layer.k_coef_lip / overlap**0.5, layer.compute_dtype)
    constant = layer.k_coef_lip * factor * grown
    # Sums of squares and their roots lose relative to the result, except for squares below the
    # smallest float: those change the root by at most 1e-19 for each value.
    return LayerBound(
        lipschitz=constant,
        roundings=1,
        offset=1e-9 * max(1.0, constant) * math.sqrt(values_in(input_shape)),
        output_roundings=window + 12,
        # The squares of a window are added up.
        peak=1.0 if norm == 2 else math.sqrt(window),
    )


def _check_eps(eps_grad_sqrt):
    expected = f"a number from {_SMALLEST_EPS} to {1 / _SMALLEST_EPS}"
    eps = checks.finite_float("eps_grad_sqrt", eps_grad_sqrt, expected)
    # Neither its square nor that of a value may be infinite.
    if not _SMALLEST_EPS <= eps <= 1 / _SMALLEST_EPS:
        raise checks.invalid("eps_grad_sqrt", expected, eps_grad_sqrt)
    return eps
