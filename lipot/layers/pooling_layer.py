"""What the pooling layers share: windows, shapes and their checks."""

import math

import keras

from lipot import checks
from lipot.layers.base import LipschitzLayer
from lipot.math.linear_maps.images import channel_axis, spatial_axes
from lipot.math.rounding import values_in


class ImageLayer(LipschitzLayer):
    """A layer on batches of images, in either data format.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, data_format=None, k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.data_format = checks.data_format("data_format", data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    @property
    def spatial_axes(self):
        """Axes of height and width in a batch."""
        return spatial_axes(self.data_format)

    @property
    def channel_axis(self):
        """Axis of the channels in a batch."""
        return channel_axis(self.data_format)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class WindowPoolingLayer(ImageLayer):
    """Pools each channel over unpadded windows.

    Args:
        pool_size: Positive int or pair of them.
        strides: Positive int, pair of them, or `None` for `pool_size`.
        padding: `"valid"`, the only one.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        pool_size=(2, 2),
        strides=None,
        padding="valid",
        data_format=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.pool_size = checks.pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else checks.pair("strides", strides)
        if str(padding).lower() != "valid":
            raise checks.invalid(
                "padding",
                "'valid': averages over part of a window have another norm. Pad with "
                "keras.layers.ZeroPadding2D, which is 1-Lipschitz",
                padding,
            )
        self.padding = "valid"

    def build(self, input_shape):
        self.check_image_size(input_shape)
        self.built = True

    def window(self, input_shape):
        """Number of values that one window holds."""
        return math.prod(self.pool_size)

    def check_image_size(self, input_shape):
        """Raises where a window does not fit in the image."""
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        if any(n is not None and n < p for n, p in zip(size, self.pool_size)):
            raise checks.invalid("pool_size", f"at most the image size {size}", self.pool_size)

    def compute_output_shape(self, input_shape):
        self.check_image_size(input_shape)
        shape = list(input_shape)
        for axis, p, s in zip(self.spatial_axes, self.pool_size, self.strides):
            if shape[axis] is not None:
                shape[axis] = (shape[axis] - p) // s + 1
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


class GlobalPoolingLayer(ImageLayer):
    """Pools each channel over the whole image.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        keepdims: Whether to keep the two spatial axes, with length one.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, data_format=None, k_coef_lip=1.0, keepdims=False, **kwargs):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.keepdims = checks.boolean("keepdims", keepdims)

    def window(self, input_shape):
        """Number of values in one channel; sizes that are not known count as one."""
        return values_in((None, *(input_shape[axis] for axis in self.spatial_axes)))

    def check_window(self, input_shape, norm):
        """Raises where a bound in l-infinity, which grows with the image, has no image size."""
        if norm != 2 and None in [input_shape[axis] for axis in self.spatial_axes]:
            raise ValueError(
                f"Layer '{self.name}' is bounded in l-infinity for one image size. Expected a "
                f"model with a fixed input shape. Received: input_shape={tuple(input_shape)}"
            )

    def compute_output_shape(self, input_shape):
        if not self.keepdims:
            return (input_shape[0], input_shape[self.channel_axis])
        return tuple(1 if a in self.spatial_axes else n for a, n in enumerate(input_shape))

    def get_config(self):
        return {**super().get_config(), "keepdims": self.keepdims}
