"""Padding of images in the modes that 1-Lipschitz convolutions know."""

import keras
import numpy as np
from keras import ops

from lipot import checks

PADDINGS = ("same", "valid", "constant", "circular", "reflect", "symmetric")


def explicit_amounts(kernel_size, padding):
    """Pixels added on each side of each spatial axis before a "valid" convolution.

    Args:
        kernel_size: Tuple of positive ints.
        padding: One of `PADDINGS`. `"same"` and `"valid"` need no explicit padding.

    Returns:
        Tuple of ints, one for each axis.

    Example:

    >>> explicit_amounts((3, 5), "circular"), explicit_amounts((3, 5), "same")
    ((1, 2), (0, 0))
    """
    if padding in ("same", "valid"):
        return (0,) * len(kernel_size)
    return tuple(size // 2 for size in kernel_size)


def explicit_widths(kernel_size, padding):
    """As `explicit_amounts`, before and after each axis; `"causal"` zeros all come before.

    Example:

    >>> explicit_widths((3, 5), "circular"), explicit_widths((3, 1), "causal")
    (((1, 1), (2, 2)), ((2, 0), (0, 0)))
    """
    if padding == "causal":
        return tuple((size - 1, 0) for size in kernel_size)
    return tuple((amount, amount) for amount in explicit_amounts(kernel_size, padding))


def pad_spatial(images, amounts, padding, axes=(1, 2)):
    """Pads the spatial axes of a batch of images on both sides.

    Args:
        images: `(batch, ...)` tensor, a symbolic Keras tensor included.
        amounts: Pixels for each of `axes`, or a pair of them, before and after.
        padding: `"constant"` (zeros), `"circular"`, `"reflect"` or `"symmetric"`;
            `"same"` and `"valid"` return the images.
        axes: The spatial axes.

    Returns:
        Tensor with `2 * amount` (or the pair's sum) more pixels along each axis.

    Example:

    >>> from keras import ops
    >>> row = ops.reshape(ops.convert_to_tensor([1.0, 2.0, 3.0]), (1, 1, 3, 1))
    >>> [float(v) for v in ops.ravel(pad_spatial(row, (0, 1), "circular"))]
    [3.0, 1.0, 2.0, 3.0, 1.0]
    """
    if padding in ("same", "valid"):
        return images
    widths = [(0, 0)] * len(images.shape)
    for axis, amount in zip(axes, amounts):
        widths[axis] = tuple(amount) if np.ndim(amount) else (amount, amount)
        _check_room(images.shape[axis], max(widths[axis]), padding)
    if not any(map(any, widths)):
        # PyTorch mirrors no image by no pixels.
        return images
    if not _by_parts(images, axes, padding):
        return ops.pad(images, widths, mode=padding)
    for axis in axes:
        before, after = widths[axis]
        parts = [images]
        if before:
            parts.insert(0, _copied(images, axis, slice(-before, None), slice(before), padding))
        if after:
            parts.append(_copied(images, axis, slice(after), slice(-after, None), padding))
        if len(parts) > 1:
            images = ops.concatenate(parts, axis=axis)
    return images


def _by_parts(images, axes, padding):
    """Whether a padding is made of slices of the images.

    Of `ops.pad` PyTorch repeats the border where it is asked for a mirror image. A tensor without a
    size is TensorFlow's, whose own operation says where an image is too small.
    """
    if padding == "symmetric":
        sizes = [images.shape[axis] for axis in axes]
        return None not in sizes or isinstance(images, keras.KerasTensor)
    return padding == "circular"


def _copied(images, axis, opposite, near, padding):
    """The pixels that come to stand at one end: of the opposite one, or mirrored of the near."""
    index = [slice(None)] * len(images.shape)
    index[axis] = opposite if padding == "circular" else near
    part = images[tuple(index)]
    return part if padding == "circular" else ops.flip(part, axis)


def most_copied(size, padding):
    """How many pixels a padding that copies can add at an end of an axis, each of them once."""
    # A reflection leaves the border itself out.
    return size - 1 if padding == "reflect" else size


def _check_room(size, amount, padding):
    """Raises where pixels would be copied more than once: frameworks differ in what they do."""
    if size is None or padding == "constant":
        return
    room = most_copied(size, padding)
    if amount > room:
        raise checks.refused(
            "images",
            f"at least {amount + size - room} pixels along each axis that padding={padding!r} "
            f"makes longer by {amount}",
            str(size),
        )
