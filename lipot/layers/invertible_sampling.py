"""Down- and upsampling that only move values."""

import keras

from lipot import checks
from lipot.layers.base import read_channels
from lipot.layers.pooling_layer import ImageLayer
from lipot.math.rounding import LayerBound
from lipot.math.sampling import channels_to_space, space_to_channels
from lipot.math.scaling import scale


@keras.saving.register_keras_serializable(package="lipot")
class InvertibleDownSampling(ImageLayer):
    """Moves each block of pixels into the channels of one pixel.

    `(height, width, channels)` becomes
    `(height / p_h, width / p_w, p_h * p_w * channels)`: smaller images, no value lost.

    Args:
        pool_size: Positive int or pair `(p_h, p_w)` that divides the height and the width.
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, a factor on the output.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, height / p_h, width / p_w, p_h * p_w * channels)`, or with the channels first.

    Lipschitz bound:
        `k_coef_lip`: a permutation of the values.

    Raises:
        ValueError: At build if the blocks do not fill the image.

    Reference:
        Li et al., "Preventing gradient attenuation in Lipschitz constrained convolutional
        networks" (NeurIPS 2019).

    Example:

    >>> import numpy as np
    >>> image = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> [float(v) for v in InvertibleDownSampling(2)(image)[0, 0, 0]]
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, pool_size, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.pool_size = checks.pair("pool_size", pool_size)

    def build(self, input_shape):
        self.check_blocks(input_shape)
        self.built = True

    def check_blocks(self, input_shape):
        """Raises where the blocks do not fill the image."""
        read_channels(self, input_shape, self.channel_axis)
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        if any(n is not None and n % p for n, p in zip(size, self.pool_size)):
            raise checks.invalid("pool_size", f"divisors of the image size {size}", self.pool_size)

    def call(self, inputs):
        self.check_blocks(inputs.shape)
        outputs = space_to_channels(inputs, self.pool_size, self.data_format)
        return scale(outputs, self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        return LayerBound(self.applied_factor, output_roundings=2)

    def compute_output_shape(self, input_shape):
        self.check_blocks(input_shape)
        shape = list(input_shape)
        for axis, p in zip(self.spatial_axes, self.pool_size):
            shape[axis] = None if shape[axis] is None else shape[axis] // p
        shape[self.channel_axis] *= self.pool_size[0] * self.pool_size[1]
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


@keras.saving.register_keras_serializable(package="lipot")
class InvertibleUpSampling(ImageLayer):
    """Spreads the channels of each pixel over a block of pixels.

    The inverse of `InvertibleDownSampling`: `(height, width, channels)` becomes
    `(p_h * height, p_w * width, channels / (p_h * p_w))`.

    Args:
        pool_size: Positive int or pair `(p_h, p_w)`, the block.
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, a factor on the output.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`, with a
        multiple of `p_h * p_w` channels.

    Output shape:
        `(batch, p_h * height, p_w * width, channels / (p_h * p_w))`, or with the channels first.

    Lipschitz bound:
        `k_coef_lip`: a permutation of the values.

    Raises:
        ValueError: At build if the channels do not fill the blocks.

    Reference:
        Li et al., "Preventing gradient attenuation in Lipschitz constrained convolutional
        networks" (NeurIPS 2019).

    Example:

    >>> import numpy as np
    >>> pixel = np.arange(4.0).reshape(1, 1, 1, 4)
    >>> [[float(v) for v in row] for row in InvertibleUpSampling(2)(pixel)[0, :, :, 0]]
    [[0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(self, pool_size, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.pool_size = checks.pair("pool_size", pool_size)

    def build(self, input_shape):
        self.check_blocks(input_shape)
        self.built = True

    def check_blocks(self, input_shape):
        """Raises where the channels do not fill the blocks."""
        block = self.pool_size[0] * self.pool_size[1]
        channels = read_channels(self, input_shape, self.channel_axis)
        if channels % block:
            raise checks.invalid(
                "pool_size",
                f"a block of which the number of channels, {channels}, is a multiple",
                self.pool_size,
            )

    def call(self, inputs):
        self.check_blocks(inputs.shape)
        outputs = channels_to_space(inputs, self.pool_size, self.data_format)
        return scale(outputs, self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        return LayerBound(self.applied_factor, output_roundings=2)

    def compute_output_shape(self, input_shape):
        self.check_blocks(input_shape)
        shape = list(input_shape)
        for axis, p in zip(self.spatial_axes, self.pool_size):
            shape[axis] = None if shape[axis] is None else shape[axis] * p
        shape[self.channel_axis] //= self.pool_size[0] * self.pool_size[1]
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}
