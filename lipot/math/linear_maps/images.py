"""What the maps on images share: axes, channels, sizes, and bounds for images of every size."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from keras import ops

from lipot import checks
from lipot.math.frozen import set_fields
from lipot.math.linear_maps.linear_map import LinearMap
from lipot.math.padding import PADDINGS


def spatial_axes(data_format):
    """Axes of height and width in a batch of images."""
    return (1, 2) if data_format == "channels_last" else (2, 3)


def channel_axis(data_format):
    """Axis of the channels in a batch of images."""
    return 3 if data_format == "channels_last" else 1


@dataclasses.dataclass(frozen=True)
class ImageMap(LinearMap):
    """A convolution or its adjoint on images.

    Args:
        filters: Positive int, output channels.
        kernel_size: Positive int or pair of them.
        strides: Positive int or pair of them.
        padding: One of `lipot.math.padding.PADDINGS`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        dilation_rate: Positive int or pair of them.
    """

    filters: int
    kernel_size: tuple
    strides: tuple = (1, 1)
    padding: str = "same"
    data_format: str | None = None
    dilation_rate: tuple = (1, 1)

    paddings: ClassVar[tuple[str, ...]] = PADDINGS

    def __post_init__(self):
        set_fields(
            self,
            filters=checks.positive_int("filters", self.filters),
            kernel_size=checks.pair("kernel_size", self.kernel_size),
            strides=checks.pair("strides", self.strides),
            padding=checks.choice("padding", str(self.padding).lower(), self.paddings),
            data_format=checks.data_format("data_format", self.data_format),
            dilation_rate=checks.pair("dilation_rate", self.dilation_rate),
        )

    @property
    def units(self):
        """Number of output channels."""
        return self.filters

    @property
    def spatial_axes(self):
        """Axes of height and width in a batch."""
        return spatial_axes(self.data_format)

    @property
    def channel_axis(self):
        """Axis of the channels in a batch."""
        return channel_axis(self.data_format)

    @property
    def extents(self):
        """Pixels from the first to the last that the kernel reads along each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation_rate))

    def input_axes(self, channels=None):
        """Arguments of the `keras.layers.InputSpec` of inputs with so many channels."""
        return {"ndim": 4, "axes": {} if channels is None else {self.channel_axis: channels}}

    def channels(self, input_shape):
        """Number of channels of an input; it must be known."""
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise checks.invalid(
                "input_shape",
                f"a fixed number of input channels on axis {self.channel_axis}",
                tuple(input_shape),
            )
        return channels

    def image_size(self, input_shape):
        """Height and width of an input, or `None` where one of them is unknown."""
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        return None if None in size else size

    def with_size(self, input_shape, size):
        """The shape of an output: other sizes, and `filters` channels."""
        shape = list(input_shape)
        for axis, n in zip(self.spatial_axes, size):
            shape[axis] = n
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def add_bias(self, outputs, bias):
        return add_channel_bias(outputs, bias, self.channel_axis)

    def patches_shared(self):
        """How many patches one input value enters at most (hKR, appendix C.3)."""
        return float(math.prod(-(-k // s) for k, s in zip(self.kernel_size, self.strides)))


def add_channel_bias(outputs, bias, channel_axis):
    """Adds a bias along an axis, the last or another one.

    Example:

    >>> from keras import ops
    >>> outputs = add_channel_bias(ops.zeros((1, 2, 3, 2)), ops.array([1.0, 2.0]), 1)
    >>> [float(outputs[0, channel, 0, 0]) for channel in range(2)]
    [1.0, 2.0]
    """
    rank = len(outputs.shape)
    if channel_axis % rank == rank - 1:
        # TensorFlow makes one operation of a convolution and this.
        return ops.add(outputs, bias)
    shape = [1] * rank
    shape[channel_axis] = -1
    # Where images are as wide as they have channels, `ops.add` on TensorFlow takes a bias of
    # another axis for one of the last.
    return ops.subtract(outputs, ops.reshape(ops.negative(bias), shape))


def undilated(dilation_rate):
    """Returns `(1, 1)`, or raises for a dilation: for layers whose kernels cannot have one.

    Example:

    >>> undilated(1)
    (1, 1)
    """
    dilation_rate = checks.pair("dilation_rate", dilation_rate)
    if dilation_rate != (1, 1):
        raise checks.invalid("dilation_rate", "1: dilated kernels are not supported", dilation_rate)
    return dilation_rate


def is_tight(bound, kernel, groups):
    """Whether a bound of a convolution's norm is so close to a lower one that no other can help.

    The norm is at least that of each filter, and that of what one value of the input becomes
    where the stride is one.
    """
    filters = np.linalg.norm(kernel.reshape(-1, kernel.shape[3]), axis=0)
    by_channel = kernel.reshape(*kernel.shape[:3], groups, -1)
    channels = np.sqrt(np.sum(by_channel**2, axis=(0, 1, 4)))
    return bound <= 1.0001 * max(filters.max(initial=0.0), channels.max(initial=0.0))
