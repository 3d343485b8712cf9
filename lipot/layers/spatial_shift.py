"""Mixing of neighboring pixels without a convolution: groups of channels move by one pixel."""

import keras

from lipot import checks
from lipot.layers.base import LipschitzLayer, read_channels
from lipot.math.rounding import LayerBound
from lipot.math.scaling import scale
from lipot.math.shifting import shift

PADDINGS = ("circular", "zero")


@keras.saving.register_keras_serializable(package="lipot")
class SpatialShift2D(LipschitzLayer):
    """Moves four groups of channels by one pixel: down, up, right and left.

    Between two dense layers along the channels it does what a convolution does, for the price of a
    copy. A depthwise convolution that keeps every norm is nothing but such a move.

    Args:
        fraction: Share of the channels that moves, in (0, 1]; a quarter of it in each direction.
        padding: `"circular"`: a pixel that leaves enters on the other side. `"zero"`: it is lost.
        k_coef_lip: Positive float, a factor on the output.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`, in l-infinity too: a permutation of the values; zero padding drops some.

    Raises:
        ValueError: An argument out of its range; at build, fewer than four channels to move.

    Reference:
        Hu, Hu and Fredrikson, "LipNeXt: scaling up Lipschitz-based certified robustness to
        billion-parameter models" (ICLR 2026), the spatial shift module.

    Example:

    >>> import numpy as np
    >>> image = np.arange(12.0).reshape(1, 3, 1, 4)
    >>> moved = SpatialShift2D(fraction=1.0)(image)
    >>> [[float(v) for v in pixel] for pixel in moved[0, :, 0]]
    [[8.0, 5.0, 2.0, 3.0], [0.0, 9.0, 6.0, 7.0], [4.0, 1.0, 10.0, 11.0]]
    """

    def __init__(self, fraction=0.5, padding="circular", k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.fraction = checks.positive_float("fraction", fraction, most=1.0)
        self.padding = checks.choice("padding", padding, PADDINGS)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self._moved(input_shape)
        self.built = True

    def _moved(self, input_shape):
        """Channels in each of the four groups."""
        channels = read_channels(self, input_shape, -1)
        moved = int(self.fraction * channels) // 4
        if not moved:
            raise checks.refused(
                "fraction",
                "a share of at least four of the channels",
                f"fraction={self.fraction}, input_shape={tuple(input_shape)}",
            )
        return moved

    def call(self, inputs):
        moved = self._moved(inputs.shape)
        return scale(shift(inputs, moved, (1, 2), self.padding == "circular"), self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        return LayerBound(self.applied_factor, output_roundings=2)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "fraction": self.fraction, "padding": self.padding}
