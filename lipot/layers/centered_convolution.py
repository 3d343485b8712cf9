"""Convolutions whose output has the size of their image, and whose adjoint is one of them."""

import keras
from keras import ops

from lipot.layers.channel_layer import check_data_format
from lipot.layers.convolution_layer import check_pair
from lipot.math.padding import pad_spatial

PADDINGS = ("same", "circular")


class CenteredConvolution:
    """Mixin: convolutions with an odd kernel and stride 1, on either data format.

    With zeros around the image or a circular image the adjoint is again such a convolution, with
    the kernel of `lipot.math.skew.adjoint_kernel`.
    """

    def set_convolution(self, kernel_size, padding, data_format):
        """Checks and stores the arguments that fix the convolution."""
        self.kernel_size = check_pair("kernel_size", kernel_size)
        if any(k % 2 == 0 for k in self.kernel_size):
            raise ValueError(
                "Invalid value received for argument `kernel_size`. Expected odd integers: an "
                "even kernel has no middle, and its adjoint would shift the image. "
                f"Received: kernel_size={kernel_size!r}"
            )
        self.padding = str(padding).lower()
        if self.padding not in PADDINGS:
            raise ValueError(
                f"Invalid value received for argument `padding`. Expected one of {PADDINGS}. "
                f"Received: padding={padding!r}"
            )
        self.data_format = check_data_format(data_format)

    @property
    def channel_axis(self):
        """Axis of the channels in a batch."""
        return 3 if self.data_format == "channels_last" else 1

    @property
    def spatial_axes(self):
        """Axes of height and width in a batch."""
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def read_image(self, input_shape):
        """Checks the size of the image and returns the number of channels."""
        self._input_shape = tuple(input_shape)
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(
                f"Layer '{self.name}' needs a fixed number of input channels. Expected an int "
                f"on axis {self.channel_axis}. Received: input_shape={tuple(input_shape)}"
            )
        self.check_circle([input_shape[axis] for axis in self.spatial_axes])
        return channels

    def check_circle(self, size):
        """Raises for a circular image that the padding would go around more than once."""
        if self.padding == "circular" and any(
            n is not None and k // 2 > n for n, k in zip(size, self.kernel_size)
        ):
            raise ValueError(
                "Invalid value received for argument `kernel_size`. Expected at most twice the "
                f"image size {tuple(size)} with padding='circular'. "
                f"Received: kernel_size={self.kernel_size}"
            )

    def convolve(self, images, kernel):
        """Convolves a batch with a kernel `(kh, kw, channels, filters)`."""
        return ops.conv(
            self.padded(images),
            kernel,
            padding="valid" if self.padding == "circular" else "same",
            data_format=self.data_format,
        )

    def padded(self, images):
        """Pads a batch where the convolution itself does not."""
        if self.padding == "same":
            return images
        amounts = [k // 2 for k in self.kernel_size]
        return pad_spatial(images, amounts, "circular", self.spatial_axes)

    def on_channels(self, values):
        """Reshapes one value for each channel so that they meet a batch."""
        shape = [1] * 4
        shape[self.channel_axis] = -1
        return ops.reshape(values, shape)

    def stock_convolution(self, kernel, bias=None, activation=None):
        """Returns a function that applies one stock `Conv2D` with this kernel to batches."""
        layer = keras.layers.Conv2D(
            kernel.shape[3],
            self.kernel_size,
            padding="valid" if self.padding == "circular" else "same",
            data_format=self.data_format,
            activation=activation,
            use_bias=bias is not None,
            dtype=self.dtype_policy,
        )
        shape = [None] * 4
        shape[self.channel_axis] = kernel.shape[2]
        layer.build(tuple(shape))
        weights = [kernel] if bias is None else [kernel, bias]
        layer.set_weights([ops.convert_to_numpy(ops.cast(w, layer.dtype)) for w in weights])
        return lambda images: layer(self.padded(images))

    def convolution_config(self):
        """The configuration of the arguments this mixin checks."""
        return {
            "kernel_size": self.kernel_size,
            "padding": self.padding,
            "data_format": self.data_format,
        }
