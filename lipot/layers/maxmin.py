"""MaxMin activation: positive and negative parts side by side."""

import keras

from lipot.layers.activation_bounds import piecewise_linear
from lipot.layers.channel_layer import ChannelLayer
from lipot.math.scaling import scale
from lipot.math.sorting import max_min


@keras.saving.register_keras_serializable(package="lipot")
class MaxMin(ChannelLayer):
    r"""Doubles the channels: the positive parts, then the negative parts.

    `output = k_coef_lip * concatenate([relu(input), relu(-input)])`. It keeps the norm of the
    input, where ReLU loses the negative half.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, or `(batch, channels, ...)` with `"channels_first"`.

    Output shape:
        That of the input with twice the channels.

    Lipschitz bound:
        `k_coef_lip`, in l-infinity too: the parts of $a$ and $b$ differ by $|a - b|$ in total.

    Reference:
        Blot, Cord and Thome, "Max-min convolutional neural networks for image classification"
        (ICIP 2016).

    Example:

    >>> import numpy as np
    >>> [float(v) for v in MaxMin()(np.array([[2.0, -3.0]]))[0]]
    [2.0, 0.0, 0.0, 3.0]
    """

    def build(self, input_shape):
        self.read_channels(input_shape)
        self.built = True

    def call(self, inputs):
        return scale(max_min(inputs, axis=self.channel_axis), self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        return piecewise_linear(self.applied_factor)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        shape[self.channel_axis] = 2 * self.read_channels(input_shape)
        return tuple(shape)
