"""Padding of images in the modes that 1-Lipschitz convolutions know."""

import numpy as np
from keras import ops

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
    amounts = [amount if np.ndim(amount) else (amount, amount) for amount in amounts]
    if padding != "circular":
        widths = [(0, 0)] * len(images.shape)
        for axis, amount in zip(axes, amounts):
            widths[axis] = tuple(amount)
        return ops.pad(images, widths, mode=padding)
    for axis, (before, after) in zip(axes, amounts):
        parts = [images]
        if before:
            parts.insert(0, _slice(images, axis, slice(-before, None)))
        if after:
            parts.append(_slice(images, axis, slice(None, after)))
        if len(parts) > 1:
            images = ops.concatenate(parts, axis=axis)
    return images


def _slice(images, axis, part):
    index = [slice(None)] * len(images.shape)
    index[axis] = part
    return images[tuple(index)]
