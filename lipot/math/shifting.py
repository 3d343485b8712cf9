"""Moving groups of channels by one pixel: spatial mixing without a product."""

from keras import ops

# Rows and columns by which the groups of channels move.
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def shift(images, moved, axes, circular=True):
    """Moves four groups of channels by one pixel each: down, up, right and left.

    Args:
        images: Tensor with two spatial axes and the channels on the last axis.
        moved: Non-negative int, channels in each of the four groups; the rest stays.
        axes: The two spatial axes.
        circular: Whether a pixel that leaves the image enters it on the other side, or is lost
            and leaves a zero.

    Returns:
        Tensor shaped like `images`. Circular, it is a permutation of the values.

    Example:

    >>> from keras import ops
    >>> rows = ops.reshape(ops.arange(12.0), (1, 3, 1, 4))
    >>> ops.convert_to_numpy(shift(rows, 1, (1, 2)))[0, :, 0].tolist()
    [[8.0, 5.0, 2.0, 3.0], [0.0, 9.0, 6.0, 7.0], [4.0, 1.0, 10.0, 11.0]]
    """
    if not moved:
        return images
    pieces = ops.split(images, [moved * i for i in range(1, 5)], axis=-1)
    for i, steps in enumerate(DIRECTIONS):
        for axis, step in zip(axes, steps):
            if step:
                pieces[i] = _moved(pieces[i], step, axis, circular)
    return ops.concatenate(pieces, axis=-1)


def _moved(piece, step, axis, circular):
    if circular:
        return ops.roll(piece, step, axis)
    size = piece.shape[axis]
    kept, width = [slice(None)] * len(piece.shape), [[0, 0] for _ in piece.shape]
    kept[axis] = slice(0, size - 1) if step > 0 else slice(1, None)
    width[axis][0 if step > 0 else 1] = 1
    return ops.pad(piece[tuple(kept)], width)
