"""Operations that move, drop, repeat, join or select values, and compute none."""

import math

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import concatenation_axis
from lipot.certificates.node import Node, after_choice, after_concatenation
from lipot.certificates.operations.registry import node_of


@node_of("negation", "relu", "absolute", "copy")
def value_by_value(call):
    return call.moved()


@node_of("cast")
def cast(call):
    if "float" not in call.dtype:
        raise call.refused(
            f"it rounds to integers. Expected a floating point type. Received: dtype={call.dtype}"
        )
    return call.moved()


@node_of("maximum", "minimum")
def choice(call):
    return after_choice(call.nodes, call.dtype, call.output)


@node_of("concatenation", "stack")
def joined(call):
    stacked = call.kind == "stack"
    axis = call.operation.axis if stacked else concatenation_axis(call.operation)
    call.axes(axis, len(call.output.shape))
    return after_concatenation(call.nodes, call.dtype, call.output)


@node_of("split", "flip", "roll", "sort")
def along_axes(call):
    r"""Sorting brings no two vectors further apart: $\sum_i |x_{(i)} - y_{(i)}|^p$ is the least."""
    call.axes(call.operation.axis)
    return call.moved()


@node_of("transposition")
def transposition(call):
    axes = call.operation.axes
    return _rearranged(call, None if axes is None else [axis % call.rank for axis in axes])


@node_of("swap", "axis move")
def axes_moved(call):
    operation, axes = call.operation, np.empty([0, *range(1, call.rank)])
    if call.kind == "swap":
        moved = np.swapaxes(axes, operation.axis1, operation.axis2)
    else:
        moved = np.moveaxis(axes, operation.source, operation.destination)
    return _rearranged(call, moved.shape)


@node_of("reshape")
def reshape(call):
    """With the batch first no value moves to another sample, if each is left its values."""
    before, after = call.node.shape, call.output.shape
    known = None not in (*before[1:], *after[1:])
    if not known or np.prod(before[1:], initial=1) != np.prod(after[1:], initial=1):
        raise call.refused(
            "it may move values from one sample to another. Expected sizes that are known, and as "
            "many values in a sample as before: reshape to (-1, ...). Received: shape "
            f"{tuple(after)} for {tuple(before)}"
        )
    return call.moved()


@node_of("slice")
def slice_of_samples(call):
    index = call.operands[1]
    # A stored model has a list in the place of a tuple.
    listed = isinstance(index, tuple) or (isinstance(index, list) and index)
    index = tuple(index) if listed else (index,)
    if not _keeps_samples(index, call.rank):
        raise call.refused(
            "its index may move or drop samples of a batch. Expected whole numbers and slices "
            "after a first slice `:`, as in x[:, 1:], and `keras.ops.expand_dims` for a new axis. "
            f"Received: {index}"
        )
    return call.moved()


@node_of("squeeze", "expansion")
def squeeze(call):
    call.axes(call.operation.axis, max(call.rank, len(call.output.shape)))
    return call.moved()


@node_of("extremum")
def extremum(call):
    """Each value is among those that one maximum is taken of, beside a number."""
    call.axes(call.operation.axis)
    if np.ndim(getattr(call.operation, "initial", None)) != 0:
        raise call.unknown()
    return call.moved()


@node_of("clip")
def clip(call):
    limits = (call.operation.x_min, call.operation.x_max)
    if not all(np.ndim(n) == 0 and isinstance(n, float | int | np.number) for n in limits):
        raise call.refused(
            "arrays of limits may repeat the input. Expected one number for each limit, or "
            "`keras.ops.maximum` and `keras.ops.minimum`."
        )
    return call.moved()


@node_of("padding")
def padding(call):
    r"""Zeros and other constants change no distance; a mirror image repeats values.

    Each row of the matrix holds a single one, so its columns are orthogonal, and its norm is the
    root of how often the most frequent value is there.
    """
    operation, shape = call.operation, call.node.shape
    widths = [tuple(int(n) for n in width) for width in operation.pad_width]
    if len(widths) != len(shape) or any(widths[0]):
        raise call.refused(
            "it pads the batch. Expected a pair for each axis, (0, 0) for the first. "
            f"Received: pad_width={widths}"
        )
    if operation.mode == "constant":
        return call.moved()
    if operation.mode not in ("reflect", "symmetric"):
        raise call.refused(
            f"Expected mode='constant', 'reflect' or 'symmetric'. Received: mode={operation.mode!r}"
        )
    _check_sizes(call, [axis for axis, width in enumerate(widths) if any(width)])
    copies = (_copied(n, width, operation.mode) for n, width in zip(shape, widths) if any(width))
    return call.moved(math.prod(copies))


@node_of("repetition")
def repetition(call):
    call.axes(call.operation.axis)
    return call.moved(int(np.max(ops.convert_to_numpy(call.operation.repeats))))


@node_of("tiling")
def tiling(call):
    repeats = np.atleast_1d(ops.convert_to_numpy(call.operation.repeats))
    if len(repeats) > call.rank or (len(repeats) == call.rank and repeats[0] != 1):
        raise call.refused(
            "it repeats the samples of a batch, or gives them another axis. Expected a number for "
            f"each axis, 1 for the first. Received: repeats={repeats.tolist()}"
        )
    return call.moved(math.prod(int(n) for n in repeats))


@node_of("selection")
def selection(call):
    """A value counts as often as it is taken; `norm_of_ones` of that, as for a repetition."""
    values, indices = call.operands
    if not isinstance(values, Node) or len(call.nodes) != 1:
        raise call.refused(
            "it looks up places that depend on the input, and jumps. Certify the model from what "
            "comes after it."
        )
    (axis,) = call.axes(call.operation.axis)
    _check_sizes(call, [axis])
    size, places = values.shape[axis], np.asarray(ops.convert_to_numpy(indices))
    if places.dtype.kind not in "iu" or np.any(places < -size) or np.any(places >= size):
        raise call.refused(
            f"Expected whole numbers from {-size} to {size - 1} as places. Received: {places}"
        )
    # A size may be no number of their own type.
    places = places.astype("int64") % size
    return call.moved(int(np.bincount(places.ravel(), minlength=1).max()))


def _rearranged(call, axes):
    if axes is None or axes[0] != 0:
        raise call.refused(
            "it moves the samples of a batch. Expected the first axis to stay the first."
        )
    return call.moved()


def _check_sizes(call, axes):
    if any(call.node.shape[axis] is None for axis in axes):
        raise call.refused(
            "how often it repeats a value depends on a size that is left open. Expected a model "
            f"with a fixed input shape. Received: shape {tuple(call.node.shape)}"
        )


def _copied(size, widths, mode):
    """How often the most frequent value of an axis is there after a padding."""
    if mode == "symmetric" and keras.backend.backend() == "torch":
        # Keras repeats the border there.
        mode = "edge"
    return np.bincount(np.pad(np.arange(size), widths, mode), minlength=1).max()


def _keeps_samples(index, rank):
    """Whether an index keeps every sample and repeats no value."""
    if not index or not all(map(_is_plain, index)) or len(index) > rank:
        return not index
    if index[0] is Ellipsis:
        return len(index) - 1 < rank
    return isinstance(index[0], slice) and index[0] == slice(None)


def _is_plain(index):
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return all(part is None or type(part) is int for part in parts)
    # True and False would add an axis.
    return index is Ellipsis or type(index) is int
