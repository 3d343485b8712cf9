"""Inputs of any shape seen as images, for attacks that change windows of them."""

import math
from typing import NamedTuple

import keras
from keras import ops


class ImageView(NamedTuple):
    """How points become images `(batch, height, width, channels)` and back.

    A vector is an image one pixel wide; axes after the second count as channels, or before the
    last two where images are `channels_first`.

    Attributes:
        shape: Shape of one point.
        height: Rows of the image.
        width: Columns of the image.
        channels: Channels of the image.
        channels_first: Whether a point is `(channels, height, width)`.
    """

    shape: tuple
    height: int
    width: int
    channels: int
    channels_first: bool

    @classmethod
    def of(cls, shape):
        """The view of points of a shape, read as `keras.config.image_data_format()` says."""
        if len(shape) == 3 and keras.config.image_data_format() == "channels_first":
            return cls(tuple(shape), shape[1], shape[2], shape[0], True)
        height, width, *rest = (*shape, 1, 1)
        return cls(tuple(shape), height, width, math.prod(rest), False)

    def image(self, points):
        """Points to images."""
        if self.channels_first:
            return ops.transpose(points, (0, 2, 3, 1))
        return ops.reshape(points, (-1, self.height, self.width, self.channels))

    def points(self, image):
        """Images to points."""
        if self.channels_first:
            return ops.transpose(image, (0, 3, 1, 2))
        return ops.reshape(image, (-1, *self.shape))
