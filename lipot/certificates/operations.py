"""Bounds of `keras.ops` calls that stand directly in a functional graph, such as `x + y`."""

import keras
import numpy as np
from keras import ops

from lipot.certificates.node import Node, after_choice, after_concatenation, after_sum

_SUMS = ("Add", "Subtract")
_QUOTIENTS = ("Divide", "TrueDivide")
_UNCHANGED = ("Negative", "Relu")


def operation_node(operation, args, kwargs, nodes, output):
    """Node after one operation, or an error that names it."""
    dtype = keras.backend.standardize_dtype(output.dtype)
    # Someone else's operation may have the name of one of Keras and do something else.
    stock = type(operation).__module__.startswith("keras.")
    name = type(operation).__name__ if stock else None
    if name in ("Maximum", "Minimum"):
        return after_choice(nodes, dtype, output)
    if name == "Concatenate" and _within_samples(operation):
        return after_concatenation(nodes, dtype, output)
    factors = _factors(operation, name, args, kwargs, nodes)
    if factors is None:
        raise ValueError(
            f"No Lipschitz bound is known for the operation `{type(operation).__name__}` "
            f"('{operation.name}'). "
            "Expected layers, sums of tensors or products with constants. Put it into a layer "
            "and register its bound with `@lipot.certificates.register_bound(LayerClass)`."
        )
    return after_sum(nodes, factors, dtype, output)


def _factors(operation, name, args, kwargs, nodes):
    """Factor of each node in a sum, or None where the operation is no such sum."""
    if name in _SUMS or name in _UNCHANGED:
        return [1.0] * len(nodes)
    if name == "Reshape" and _keeps_samples(operation, nodes[0]):
        return [1.0]
    if name == "GetItem" and _is_slice_of_samples(args, nodes[0]):
        return [1.0]
    if len(nodes) != 1:
        return None
    if name == "Multiply":
        return [float(np.max(np.abs(_constant(args, kwargs))))]
    if name in _QUOTIENTS and isinstance(args[0], Node):
        return [float(np.max(1.0 / np.abs(_constant(args, kwargs))))]
    return None


def _constant(args, kwargs):
    leaves = keras.tree.flatten((args, kwargs))
    (constant,) = [leaf for leaf in leaves if not isinstance(leaf, Node)]
    return np.asarray(ops.convert_to_numpy(constant), "float64")


def _within_samples(operation):
    rank = len(operation.output.shape)
    return operation.axis % rank != 0


def _keeps_samples(operation, node):
    return np.prod(operation.newshape[1:]) == np.prod([n or 0 for n in node.shape[1:]])


def _is_slice_of_samples(args, node):
    """Whether an index keeps every sample and repeats no value."""
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    plain = all(i is Ellipsis or isinstance(i, int | slice) for i in index)
    if not plain or len(index) > len(node.shape):
        return False
    if index[0] is Ellipsis:
        return len(index) - 1 < len(node.shape)
    return index[0] == slice(None)
