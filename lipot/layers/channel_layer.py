"""What the layers that act along the channels share."""

import keras

from lipot import checks
from lipot.layers.base import LipschitzLayer, read_channels


class ChannelLayer(LipschitzLayer):
    """A layer without a kernel that mixes the channels of each position.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.data_format = checks.data_format("data_format", data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    @property
    def channel_axis(self):
        """Axis of the channels in a batch, -1 or 1."""
        return -1 if self.data_format == "channels_last" else 1

    def read_channels(self, input_shape):
        """Returns the number of channels, which must be known."""
        return read_channels(self, input_shape, self.channel_axis)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}
