"""Sizes of what is broadcast: who is repeated how often, where a graph leaves sizes open."""

import functools

import keras
import numpy as np

from lipot.backend.added_biases import constant_goes_elsewhere, tensor_goes_elsewhere
from lipot.backend.keras_graph import operation_kind
from lipot.certificates.node import Node
from lipot.layers.open_sizes import keeps_open_sizes, open_shape, sizes_in

# Layers that add one input after the other.
_ADDING = {keras.layers.Add, keras.layers.Average}


class Sizes:
    """Compares the open sizes of tensors in a graph.

    Args:
        core: A model with a graph.
        inputs: A `Node` for each of its inputs.
    """

    def __init__(self, core, inputs):
        self._core = core
        self._inputs = inputs

    def agree(self, tensors, axis):
        """Whether some tensors have the same size along an axis, whatever the inputs' sizes."""
        found = [self._known.get(id(tensor)) for tensor in tensors]
        return None not in found and len({shape[axis - 1] for shape in found}) == 1

    @functools.cached_property
    def _known(self):
        shapes = [open_shape(node.shape, place) for place, node in enumerate(self._inputs)]
        return sizes_in(self._core, shapes)


def broadcast_shape(operation, step, nodes, sizes):
    """Shape that the operands of a sum, product or choice are broadcast to.

    Args:
        operation: The layer or operation, for its name.
        step: The `Step` it is called in.
        nodes: Its operands in order: a `Node`, or a constant.
        sizes: The `Sizes` of the graph.

    Returns:
        `(None, ...)`; an open size repeats nothing that has no size either.
    """
    shapes = [node.shape if isinstance(node, Node) else np.shape(node) for node in nodes]
    moving = [node.shape for node in nodes if isinstance(node, Node)]
    rank = len(moving[0])
    merges = isinstance(operation, keras.layers.Layer)
    ranks = {len(shape) for shape in (shapes if merges else moving)}
    batches = {shape[0] for shape in moving}
    if ranks != {rank} or max(map(len, shapes)) > rank or (1 in batches and len(batches) > 1):
        raise ValueError(
            f"'{operation.name}' cannot be certified: it broadcasts tensors of different ranks or "
            "batch sizes, which may mix the samples of a batch. Expected operands of one rank: "
            f"reshape or slice them so that axis 0 is the batch. Received: shapes {shapes}"
        )
    aligned = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    if type(operation) in _ADDING or operation_kind(operation) == "sum":
        _check_taken_for_no_bias(operation, nodes, aligned)
    tensors = [t for t in _operands(operation, step) if isinstance(t, keras.KerasTensor)]
    for axis in range(1, rank):
        unknown = [t for t, shape in zip(tensors, moving) if shape[axis] is None]
        if len({id(t) for t in unknown}) > 1 and not sizes.agree(unknown, axis):
            raise repeated_without_end(operation, moving)
    return (None, *(_joined([shape[axis] for shape in aligned]) for axis in range(1, rank)))


def _check_taken_for_no_bias(operation, nodes, shapes):
    """Raises where `ops.add` may add along another axis than it should, and mix samples."""
    before, *others = shapes
    computed = any(isinstance(node, Node) and node.computed is not None for node in nodes)
    for node, shape in zip(nodes[1:], others):
        if isinstance(node, Node):
            same = tuple(shape[1:]) == tuple(before[1:])
            elsewhere = not same and tensor_goes_elsewhere(before, shape)
            harm = "and mix the samples of a batch"
        else:
            # It makes no distance larger, but one program may shift other values than another.
            elsewhere = computed and constant_goes_elsewhere(before, shape)
            harm = "as not all programs do"
        if elsewhere:
            raise ValueError(
                f"'{operation.name}' cannot be certified: TensorFlow may take its operand of shape "
                f"{tuple(shape)} for a bias along another axis, {harm}. "
                "Expected operands of one shape, or the smaller one first. "
                f"Received: shapes {[tuple(s) for s in shapes]}"
            )
        before = tuple(_joined(sizes) for sizes in zip(before, shape))


def operands(operation, args, kwargs):
    """What a sum, product or choice is taken of: a list for a layer, arguments of an operation."""
    if isinstance(operation, keras.layers.Layer):
        (listed,) = [*args, *kwargs.values()]
        return list(listed) if isinstance(listed, list | tuple) else [listed]
    return [*args, *kwargs.values()]


def repeated_without_end(operation, shapes):
    """The error for sizes that may be 1 in one operand where they are larger in another."""
    return ValueError(
        f"'{operation.name}' cannot be certified: a tensor may be repeated along an axis of "
        "unknown size. Expected a model with a fixed input shape, or operands that have the same "
        f"size for all inputs. Received: shapes {shapes}"
    )


def check_branch(layer, node):
    """Raises where the branch of a residual layer may change a size that is left open."""
    if None in node.shape[1:] and not keeps_open_sizes(layer.branch, node.shape):
        raise repeated_without_end(layer, [node.shape])


def _operands(operation, step):
    return operands(operation, step.args, step.kwargs)


def _joined(sizes):
    known = [n for n in sizes if n is not None]
    largest = max(known, default=1)
    return None if largest == 1 and len(known) < len(sizes) else largest
