"""Permutations that trade image size for channels, and back.

The batch is named in each reshape: a size left to be found would take what other samples hold where
blocks do not fill the image.
"""

from keras import ops


def space_to_channels(images, factors, data_format="channels_last"):
    """Moves each block of `factors` pixels into the channels of one pixel.

    Pixel `(i, j)` of a block fills the channels from `(i * factors[1] + j) * channels` on.

    Args:
        images: `(batch, height, width, channels)`, or `(batch, channels, height, width)`.
        factors: Pair of positive ints that divide the height and the width.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        The same values, with `factors[0] * factors[1]` times the channels.

    Example:

    >>> from keras import ops
    >>> image = ops.reshape(ops.arange(4.0), (1, 2, 2, 1))
    >>> [float(v) for v in space_to_channels(image, (2, 2))[0, 0, 0]]
    [0.0, 1.0, 2.0, 3.0]
    """
    p, q = factors
    if data_format == "channels_last":
        batch, height, width, channels = ops.shape(images)
        blocks = ops.reshape(images, (batch, height // p, p, width // q, q, channels))
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
        return ops.reshape(blocks, (batch, height // p, width // q, p * q * channels))
    batch, channels, height, width = ops.shape(images)
    blocks = ops.reshape(images, (batch, channels, height // p, p, width // q, q))
    blocks = ops.transpose(blocks, (0, 3, 5, 1, 2, 4))
    return ops.reshape(blocks, (batch, p * q * channels, height // p, width // q))


def channels_to_space(images, factors, data_format="channels_last"):
    """Inverse of `space_to_channels`.

    Args:
        images: Batch whose channels are a multiple of `factors[0] * factors[1]`.
        factors: Pair of positive ints.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        The same values in larger images.

    Example:

    >>> from keras import ops
    >>> pixel = ops.reshape(ops.arange(4.0), (1, 1, 1, 4))
    >>> [float(v) for v in channels_to_space(pixel, (2, 2))[0, 1, :, 0]]
    [2.0, 3.0]
    """
    p, q = factors
    if data_format == "channels_last":
        batch, height, width, channels = ops.shape(images)
        blocks = ops.reshape(images, (batch, height, width, p, q, channels // (p * q)))
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
        return ops.reshape(blocks, (batch, height * p, width * q, channels // (p * q)))
    batch, channels, height, width = ops.shape(images)
    blocks = ops.reshape(images, (batch, p, q, channels // (p * q), height, width))
    blocks = ops.transpose(blocks, (0, 3, 4, 1, 5, 2))
    return ops.reshape(blocks, (batch, channels // (p * q), height * p, width * q))
