"""Sizes that a graph leaves open, as functions of the sizes of its inputs."""

import dataclasses
import math
from typing import Any, NamedTuple

import keras
import numpy as np

from lipot.backend.keras_graph import all_layers, graph_core, is_stock, steps
from lipot.backend.step import Step
from lipot.layers.layer_bounds import is_ours

# Arguments by which layers change the size of images and sequences. Padding adds up.
_ADDED = ("padding", "cropping", "output_padding")
_SIZED = ("strides", "pool_size", "kernel_size", "dilation_rate", "size", "n", "patch_size")
# More sizes than these are not tried for one layer.
_MOST = 20_000


class Shrunk(NamedTuple):
    """`ceil((n + shift) / stride)`: what windows, strides, padding and crops make of a size n."""

    shift: int
    stride: int

    def of(self, n):
        return -(-(n + self.shift) // self.stride)

    def after(self, other):
        """The function that this one and one before it are together, or `None`."""
        if not isinstance(other, Shrunk):
            return None
        # ceil((ceil(x / s) + b) / t) = ceil((x + b s) / (s t)) for whole numbers.
        return Shrunk(other.shift + self.shift * other.stride, other.stride * self.stride)


class Grown(NamedTuple):
    """`factor n + shift`: what a repetition and a transposed convolution make of a size n."""

    factor: int
    shift: int

    def of(self, n):
        return self.factor * n + self.shift

    def after(self, other):
        """The function that this one and one before it are together, or `None`."""
        if isinstance(other, Shrunk) and other.stride == 1:
            other = Grown(1, other.shift)
        if not isinstance(other, Grown):
            return None
        return Grown(self.factor * other.factor, self.shift + self.factor * other.shift)


class Listed(NamedTuple):
    """Any other function: its values at 1, 2, ... past all numbers that it may depend on."""

    values: tuple

    def after(self, other):
        """Nothing: this function is not joined with another one."""


class Size(NamedTuple):
    """A size that is open: functions, one after the other, of a size that nothing is known of.

    Attributes:
        origin: Tells that size from all others.
        functions: `Shrunk` and `Grown` ones; equal sizes have equal lists of them.
    """

    origin: Any
    functions: tuple = ()

    def then(self, function):
        """This size after one more function."""
        if function == Shrunk(0, 1):
            return self
        *before, last = self.functions or (None,)
        joined = None if last is None else function.after(last)
        if joined is None:
            return self._replace(functions=(*self.functions, function))
        return self._replace(functions=tuple(f for f in before if f is not None)).then(joined)


def sizes_in(core, shapes):
    """The sizes of all tensors in a graph.

    Args:
        core: A model with a graph.
        shapes: For each input a tuple of ints and `Size`s, without the batch.

    Returns:
        Dictionary from `id(symbolic tensor)` to such a tuple.
    """
    known = {id(tensor): tuple(shape) for tensor, shape in zip(core.inputs, shapes)}
    for step in steps(core):
        if all(id(tensor) in known for tensor in step.inputs):
            given = [known[id(tensor)] for tensor in step.inputs]
            known.update(zip(map(id, step.outputs), _sizes_after(step, given)))
    return known


def open_shape(shape, origin):
    """A shape `(None, ...)` with a `Size` of its own for each size that is open."""
    sides = enumerate(shape[1:], 1)
    return tuple(Size((origin, axis)) if n is None else n for axis, n in sides)


def keeps_open_sizes(layer, shape):
    """Whether the output of a layer has the sizes of its one input, whatever they are."""
    given = open_shape(shape, "input")
    tensor = keras.KerasTensor(shape, layer.compute_dtype)
    step = Step(layer, (tensor,), {})
    step = dataclasses.replace(step, outputs=tuple(step.outputs_for([shape])))
    return _sizes_after(step, [given]) == [given]


def _sizes_after(step, given):
    """Shapes of what a step gives, from shapes of ints and `Size`s that it is given."""
    inner = graph_core(step.operation)
    if inner is not None and len(inner.inputs) == len(given):
        found = sizes_in(inner, given)
        if all(id(tensor) in found for tensor in inner.outputs):
            return [found[id(tensor)] for tensor in inner.outputs]
    numbers = [abs(number) for number in _numbers(step)]
    last = max(sum(numbers), math.prod(n for n in numbers if n), 4)
    unknown = dict.fromkeys(size for shape in given for size in shape if isinstance(size, Size))
    if not unknown:
        found = _shapes_after(step, [(None, *shape) for shape in given])
        if found is not None:
            origins = [(id(tensor), tuple(given)) for tensor in step.outputs]
            return list(map(open_shape, found, origins))
    tables = {}
    if 4 * last + 16 <= _MOST:
        for size in unknown:
            tables[size] = _table(step, given, size, 4 * last + 16)
    return [_output(step, index, given, tables) for index in range(len(step.outputs))]


def _table(step, given, varied, most):
    """Shapes after the step for each value of one size, the others held at the largest."""

    def filled(n):
        return [
            (None, *((n if s == varied else most) if isinstance(s, Size) else s for s in shape))
            for shape in given
        ]

    return [_shapes_after(step, filled(n)) for n in range(1, most + 1)]


def _output(step, index, given, tables):
    """The shape of one output of a step, without the batch."""
    # A layer inside a shared model may be given other sizes in another call of it.
    origin = id(step.outputs[index]), tuple(given)
    shapes = {size: [row and row[index] for row in table] for size, table in tables.items()}
    known = [row for table in shapes.values() for row in table if row is not None]
    if not known or len({len(shape) for shape in known}) > 1:
        rank = len(step.outputs[index].shape)
        return tuple(Size((origin, axis)) for axis in range(1, rank))
    sides = []
    for axis in range(1, len(known[0])):
        if any(row[axis] is None for row in known):
            sides.append(Size((origin, axis)))
            continue
        columns = {
            size: [None if row is None else row[axis] for row in table]
            for size, table in shapes.items()
        }
        sides.append(_side(columns, (origin, axis)))
    return tuple(sides)


def _side(columns, origin):
    """One size of an output, from what it is for each value of each open size of the inputs."""
    moving = {size: column for size, column in columns.items() if _varies(column)}
    if not moving:
        return next(n for column in columns.values() for n in column if n is not None)
    if len(moving) > 1:
        return Size(origin)
    ((size, column),) = moving.items()
    return size.then(_function(column))


def _varies(column):
    return len({n for n in column if n is not None}) > 1


def _function(column):
    """The function whose values at 1, 2, ... a column holds, with `None` where none fits."""
    first = next(i for i, n in enumerate(column) if n is not None)
    values, listed = column[first:], Listed(tuple(column))
    if None in values or 4 * first > len(column):
        return listed
    points = list(enumerate(values, first + 1))
    rises = [n for (n, value), (_, after) in zip(points, points[1:]) if after != value]
    slope = values[-1] - values[-2]
    if len(rises) < 3:
        return listed
    stride = rises[1] - rises[0]
    candidates = [
        # The last size before a rise fills its windows.
        Shrunk(stride * column[rises[0] - 1] - rises[0], stride),
        Grown(slope, values[-1] - slope * points[-1][0]),
    ]
    fitting = (f for f in candidates if all(f.of(n) == value for n, value in points))
    return next(fitting, listed)


def _shapes_after(step, shapes):
    """Shapes of what a step gives, or `None` where it does not take these, or leaves nothing."""
    try:
        found = [tuple(spec.shape) for spec in step.outputs_for(shapes)]
    # A window or kernel may be larger than such an input.
    except ValueError:
        return None
    return None if any(n is not None and n < 1 for shape in found for n in shape) else found


def _numbers(step):
    """Numbers that a step may change sizes by; past them all its function is regular."""
    operation = step.operation
    leaves = keras.tree.flatten((step.args, step.kwargs))
    found = [n for leaf in leaves for n in _whole(leaf)]
    if not isinstance(operation, keras.layers.Layer):
        given = {name: value for name, value in vars(operation).items() if name[0] != "_"}
        return found + [n for leaf in keras.tree.flatten(given) for n in _whole(leaf)]
    for name, value in _configs(operation):
        numbers = [n for leaf in keras.tree.flatten(value) for n in _whole(leaf)]
        if name in _ADDED or name not in _SIZED:
            found.append(sum(map(abs, numbers)))
        elif numbers:
            found.append(max(map(abs, numbers)))
    return found


def _configs(layer):
    """Arguments of a layer, or one inside, that may change sizes: of stock ones those known to."""
    # A residual layer keeps its sizes, whatever is inside.
    for part in all_layers(layer) if isinstance(layer, keras.layers.Wrapper) else [layer]:
        known = is_stock(part) or is_ours(type(part))
        for name, value in part.get_config().items():
            if name in (*_ADDED, *_SIZED) or not known:
                yield name, value


def _whole(value):
    if isinstance(value, slice):
        return [n for part in (value.start, value.stop, value.step) for n in _whole(part)]
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return []
    return [int(value)]
