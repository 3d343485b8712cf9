"""Convolutions of sequences: convolutions of images one pixel wide."""

import dataclasses

from keras import ops

from lipot import checks
from lipot.math.frozen import set_fields
from lipot.math.linear_maps.conv2d import ClosedConv2D
from lipot.math.linear_maps.images import add_channel_bias
from lipot.math.linear_maps.linear_map import LinearMap


@dataclasses.dataclass(frozen=True)
class Conv1D(LinearMap):
    """1D convolution, orthogonal where its kernel is one of `lipot.math.block_orthogonal`.

    Args:
        filters: As for `ClosedConv2D`, like the other arguments, with ints in the place of
            pairs.

    Example:

    >>> Conv1D(4, 3, 2, "valid").output_shape((None, 9, 2))
    (None, 4, 4)
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    data_format: str | None = None
    dilation_rate: int = 1
    groups: int = 1

    def __post_init__(self):
        lengths = ("kernel_size", "strides", "dilation_rate")
        set_fields(self, **{name: _length(name, getattr(self, name)) for name in lengths})
        image = self.image
        shared = ("filters", "padding", "data_format", "groups")
        set_fields(self, **{name: getattr(image, name) for name in shared})

    @property
    def image(self):
        """The convolution of images one pixel wide."""
        return ClosedConv2D(
            self.filters,
            (self.kernel_size, 1),
            (self.strides, 1),
            self.padding,
            self.data_format,
            (self.dilation_rate, 1),
            self.groups,
        )

    @property
    def width_axis(self):
        """Where the axis of length one goes that makes a sequence an image."""
        return 2 if self.data_format == "channels_last" else 3

    @property
    def units(self):
        """Number of output channels."""
        return self.filters

    def input_axes(self, channels=None):
        """Arguments of the `keras.layers.InputSpec` of inputs with so many channels."""
        axis = 2 if self.data_format == "channels_last" else 1
        return {"ndim": 3, "axes": {} if channels is None else {axis: channels}}

    def image_shape(self, input_shape):
        """The shape of a sequence as an image."""
        shape = list(input_shape)
        shape.insert(self.width_axis, 1)
        return tuple(shape)

    def image_size(self, input_shape):
        """Length of the sequence and 1, or `None` where the length is unknown."""
        return self.image.image_size(self.image_shape(input_shape))

    def channels(self, input_shape):
        """Number of channels of an input; it must be known."""
        return self.image.channels(self.image_shape(input_shape))

    def check(self, input_shape):
        self.image.check(self.image_shape(input_shape))

    def kernel_shape(self, input_shape):
        """Shape of the kernel for an input, `(kernel_size, 1, channels / groups, filters)`."""
        return self.image.kernel_shape(self.image_shape(input_shape))

    def apply(self, inputs, kernel):
        """Applies the map to a batch."""
        outputs = self.image.apply(ops.expand_dims(inputs, self.width_axis), kernel)
        return ops.squeeze(outputs, self.width_axis)

    def add_bias(self, outputs, bias):
        return add_channel_bias(outputs, bias, -1 if self.data_format == "channels_last" else 1)

    def norm(self, kernel, input_shape):
        """Proven bound of the operator norm, on sequences of this length or of every length."""
        return self.image.norm(kernel, self.image_shape(input_shape))

    def linf_norm(self, kernel, input_shape):
        return self.image.linf_norm(kernel, self.image_shape(input_shape))

    def copies(self, input_shape):
        return self.image.copies(self.image_shape(input_shape))

    def sums(self, kernel):
        """The matrix whose columns add up to an output, and the number of terms."""
        return self.image.sums(kernel)

    def error_norm(self, input_shape):
        """Bound of the operator norm over the kernel's Frobenius norm."""
        return self.image.error_norm(self.image_shape(input_shape))

    def output_shape(self, input_shape):
        """Shape of the output for an input."""
        shape = list(self.image.output_shape(self.image_shape(input_shape)))
        shape.pop(self.width_axis)
        return tuple(shape)


def _length(name, value):
    """A positive int; Keras writes one of a single dimension as a tuple, too."""
    alone = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    return checks.positive_int(name, alone)
