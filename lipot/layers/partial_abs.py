"""Absolute value of some channels, the others as they are."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.activation_bounds import piecewise_linear
from lipot.layers.channel_layer import ChannelLayer
from lipot.math.scaling import scale


@keras.saving.register_keras_serializable(package="lipot")
class PartialAbs(ChannelLayer):
    """Takes the absolute value of the first channels and passes on the others.

    It keeps the norm of every gradient, like sorting, and costs one pass over the values.

    Args:
        fraction: Share of the channels, in (0, 1], rounded up.
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, or `(batch, channels, ...)` with `"channels_first"`.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`: each value depends on one value, with slope 1 or -1.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Hu, Hu and Fredrikson, "LipNeXt: scaling up Lipschitz-based certified robustness to
        billion-parameter models" (ICLR 2026), the activation.

    Example:

    >>> import numpy as np
    >>> [float(v) for v in PartialAbs(0.5)(np.array([[-1.0, 2.0, -3.0, 4.0]]))[0]]
    [1.0, 2.0, -3.0, 4.0]
    """

    def __init__(self, fraction=0.5, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.fraction = checks.positive_float("fraction", fraction, most=1.0)

    def build(self, input_shape):
        self.read_channels(input_shape)
        self.built = True

    def call(self, inputs):
        channels = self.read_channels(inputs.shape)
        shape = [1] * len(inputs.shape)
        shape[self.channel_axis] = channels
        chosen = ops.reshape(ops.arange(channels) < self._chosen(channels), shape)
        return scale(ops.where(chosen, ops.abs(inputs), inputs), self.k_coef_lip)

    def _chosen(self, channels):
        # Rounded up, except where the product is an integer but for its own rounding.
        return min(channels, -int(-self.fraction * channels * (1.0 - 1e-12) // 1))

    def bound(self, input_shape, norm=2):
        return piecewise_linear(self.applied_factor)

    def get_config(self):
        return {**super().get_config(), "fraction": self.fraction}
