"""What the constrained 2D convolutions share: geometry, padding, bias and operator norms."""

import keras
import numpy as np
from keras import ops

from lipot.backend import vjp
from lipot.layers.kernel_layer import check_units
from lipot.math import convolution, orthogonal
from lipot.math import padding as padding_math

# A layer built without a fixed image size is bounded for every size at once.
_ANY_SIZE_GRID = 64


class ConvolutionGeometry:
    """Mixin: arguments, shapes and the linear map of a 2D convolution.

    The layer sets `filters`, `kernel_size`, `strides`, `padding` and `data_format` through
    `set_geometry`.
    """

    groups = 1

    def set_geometry(self, filters, kernel_size, strides, padding, data_format, dilation_rate):
        """Checks and stores the arguments that fix the geometry."""
        self.filters = check_units("filters", filters)
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.strides = check_pair("strides", strides)
        self.dilation_rate = check_pair("dilation_rate", dilation_rate)
        self.check_dilation()
        self.padding = str(padding).lower()
        if self.padding not in padding_math.PADDINGS:
            raise ValueError(
                "Invalid value received for argument `padding`. Expected one of "
                f"{padding_math.PADDINGS}. Received: padding={padding!r}"
            )
        self.data_format = data_format or keras.config.image_data_format()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                "Invalid value received for argument `data_format`. Expected 'channels_last' or "
                f"'channels_first'. Received: data_format={data_format!r}"
            )

    def check_dilation(self):
        """Raises for a dilation that the layer cannot have."""
        if self.dilation_rate != (1, 1):
            raise ValueError(
                "Invalid value received for argument `dilation_rate`. Expected 1: dilated "
                f"kernels are not supported. Received: dilation_rate={self.dilation_rate}"
            )

    @property
    def spatial_axes(self):
        """Axes of height and width in a batch."""
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    @property
    def channel_axis(self):
        """Axis of the channels in a batch."""
        return 3 if self.data_format == "channels_last" else 1

    def read_input_shape(self, input_shape):
        """Stores the image size and returns the number of channels; checks both."""
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(
                f"Layer '{self.name}' needs a fixed number of input channels. Expected an int "
                f"on axis {self.channel_axis}. Received: input_shape={input_shape}"
            )
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        self._image_size = None if None in size else size
        self.check_image(size)
        return channels

    def check_image(self, size):
        """Raises for an image that the padding would have to copy more than once."""
        if self._image_size and self.padding in ("circular", "reflect"):
            amounts = padding_math.explicit_amounts(self.kernel_size, self.padding)
            if any(amount >= n for amount, n in zip(amounts, size)):
                raise ValueError(
                    f"Invalid value received for argument `kernel_size`. Expected at most twice "
                    f"the image size {size} with padding={self.padding!r}. "
                    f"Received: kernel_size={self.kernel_size}"
                )

    def padding_amounts(self):
        """Pixels added before and after each spatial axis ahead of the convolution."""
        amounts = padding_math.explicit_amounts(self.extents(), self.padding)
        return tuple((amount, amount) for amount in amounts)

    def extents(self):
        """Pixels from the first to the last that the kernel reads along each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation_rate))

    def linear_map(self, inputs, kernel):
        amounts = self.padding_amounts()
        inputs = padding_math.pad_spatial(inputs, amounts, self.padding, self.spatial_axes)
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def add_bias(self, outputs):
        shape = [1] * 4
        shape[self.channel_axis] = self.filters
        return ops.add(outputs, ops.reshape(self.bias, shape))

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis, extent, s, amounts in zip(
            self.spatial_axes, self.extents(), self.strides, self.padding_amounts(), strict=True
        ):
            if shape[axis] is not None:
                if self.padding == "same":
                    shape[axis] = -(-shape[axis] // s)
                else:
                    shape[axis] = (shape[axis] + sum(amounts) - extent) // s + 1
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def duplication(self):
        """How many patches one input value enters at most (hKR, appendix C.3)."""
        return float(np.prod([-(-k // s) for k, s in zip(self.kernel_size, self.strides)]))

    def repetition(self):
        """How many copies of one value the padding makes at most, beyond the circular ideal."""
        if self._image_size is not None:
            embedding = convolution.circular_embedding(
                self.kernel_size, self._image_size, self.strides, padding=self.padding
            )
            return embedding.gain**2
        odd = all(k % 2 for k in self.kernel_size)
        ideal = self.padding == "circular" and self.strides == (1, 1) and odd
        if ideal or self.padding in ("same", "valid", "constant"):
            return 1.0
        # A small image may be copied on both sides of itself, on both axes.
        return 9.0

    def linear_norm(self, kernel):
        if self._image_size is None:
            grid, factor = any_size_grid(self.kernel_size, self.strides)
            factor *= self.repetition() ** 0.5
            return factor * convolution.circular_norm(kernel, grid, strides=self.strides)
        return convolution.convolution_bound(
            kernel, self._image_size, strides=self.strides, padding=self.padding
        )

    def norm_bound_tensor(self, kernel):
        """In-graph counterpart of `linear_norm`."""
        if self._image_size is None:
            grid, factor = any_size_grid(self.kernel_size, self.strides)
            factor *= self.repetition() ** 0.5
            return factor * convolution.circular_gram_bound(kernel, grid, strides=self.strides)
        return convolution.gram_bound(
            kernel, self._image_size, strides=self.strides, padding=self.padding
        )

    def export_convolution(self):
        """A stock `Conv2D`, or where Keras lacks the padding a model that pads and convolves."""
        self.check_built()
        layer = keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
        )
        shape = [None] * 4
        shape[self.channel_axis] = self.inference_kernel.shape[2] * self.groups
        layer = self.export_to(layer, tuple(shape))
        if self.padding in ("same", "valid"):
            return layer
        for axis, n in zip(self.spatial_axes, self._image_size or (None, None)):
            shape[axis] = n
        inputs = keras.Input(shape[1:], dtype=self.compute_dtype)
        amounts = self.padding_amounts()
        padded = padding_math.pad_spatial(inputs, amounts, self.padding, self.spatial_axes)
        return keras.Model(inputs, layer(padded), name=f"{self.name}_padded")

    def geometry_config(self):
        """The configuration of the arguments this mixin checks."""
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }


class OperatorNormalization(ConvolutionGeometry):
    """Mixin: dividing a kernel by the norm of its linear map, estimated or bounded."""

    def add_singular_image(self, channels):
        """Creates the image at which the power iteration of training goes on."""
        size = self._image_size or (16, 16)
        shape = (1, *size, channels) if self.channel_axis == 3 else (1, channels, *size)
        self._singular_image = self.add_weight(
            name="singular_image",
            shape=shape,
            initializer=keras.initializers.RandomNormal(seed=0),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def normalize_in_training(self, kernel):
        norm, image = power_step(self.linear_map, kernel, self._singular_image.value)
        self._singular_image.assign(image)
        return kernel / ops.maximum(norm, 1e-30)

    def normalize_exactly(self, kernel):
        return kernel / ops.maximum(self.norm_bound_tensor(kernel), 1e-30)


def any_size_grid(kernel_size, strides):
    r"""Grid and factor that bound a convolution's norm for images of every size.

    $|\hat K(\omega) v|^2$ is a trigonometric polynomial of degree $k - 1$ in each variable.
    Sampled at $N$ points an axis, its maximum is at most $\prod (1 - 2(k-1)/N)^{-1/2}$ times
    the largest sample; the norm is the square root. With stride the blocks alias such
    polynomials and the same bound holds for their largest singular value.

    Reference:
        Pfister and Bresler, "Bounding multivariate trigonometric polynomials", IEEE Transactions
        on Signal Processing 67(3), 2019.

    Returns:
        `(grid, factor)`.
    """
    grid, factor = [], 1.0
    for k, s in zip(kernel_size, strides):
        points = s * -(-max(_ANY_SIZE_GRID, 8 * k) // s)
        grid.append(points)
        factor *= (1.0 - 2.0 * (k - 1) / points) ** -0.25
    return tuple(grid), factor


def power_step(linear_map, kernel, image):
    """One power iteration on a convolution, and its differentiable norm at the image reached.

    Args:
        linear_map: `(images, kernel) -> images`.
        kernel: The kernel.
        image: `(1, height, width, channels)`, where the previous step stopped.

    Returns:
        `(norm, image)`.
    """
    frozen = ops.stop_gradient(kernel)
    _, image = vjp(lambda x: linear_map(x, frozen), image, lambda outputs: outputs)
    image = ops.stop_gradient(orthogonal.unit(image))
    return ops.norm(ops.ravel(linear_map(image, kernel))), image


def check_pair(name, value):
    """Returns a pair of positive ints, or raises naming the argument."""
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2 or any(
        isinstance(v, bool) or not isinstance(v, int | np.integer) or v < 1 for v in pair
    ):
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a positive integer or a "
            f"pair of positive integers. Received: {name}={value!r}"
        )
    return tuple(int(v) for v in pair)
