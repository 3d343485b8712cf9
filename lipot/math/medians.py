"""Medians of the windows of images."""

from typing import Any

from keras import ops

from lipot.math.padding import pad_spatial


def median_windows(images: Any, size: int) -> Any:
    """Replaces each pixel by the median of the window around it, channel by channel.

    Beyond the border an image is mirrored, the outermost pixels repeated.

    Args:
        images: `(batch, height, width, channels)`.
        size: Odd number of pixels along a side of the window.

    Returns:
        Tensor shaped like `images`. Its derivative in a window is 1 at the median pixel.

    Example:

    >>> from keras import ops
    >>> row = ops.reshape(ops.array([0.0, 9.0, 1.0, 2.0]), (1, 1, 4, 1))
    >>> [float(v) for v in ops.reshape(median_windows(row, 3), (-1,))]
    [0.0, 1.0, 2.0, 2.0]
    """
    reach = size // 2
    height, width = ops.shape(images)[1], ops.shape(images)[2]
    padded = pad_spatial(images, (reach, reach), "symmetric")
    shifted = [
        padded[:, down : down + height, right : right + width]
        for down in range(size)
        for right in range(size)
    ]
    # (batch, height, width, channels, size^2)
    return ops.sort(ops.stack(shifted, axis=-1), axis=-1)[..., size * size // 2]
