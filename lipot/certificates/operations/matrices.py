"""Products of a tensor with a constant matrix, which a sum of several axes may be too."""

import math

import numpy as np
from keras import ops

from lipot.certificates.node import Node
from lipot.certificates.operations.registry import NO_PRODUCT, node_of
from lipot.certificates.stock.einsum import einsum_bound
from lipot.math import linear_maps
from lipot.math.rounding import applied


@node_of("matrix product", "dot product")
def matrix_product(call):
    """The constant acts on the last axis of the tensor, or from the left on the one before it."""
    first, second = call.operands
    right = isinstance(first, Node)
    kernel = constant_factor(call, second if right else first)
    if (
        kernel.ndim not in (1, 2)
        or call.rank < (2 if right else 3)
        or not (right or call.kind == "matrix product")
    ):
        raise call.refused(
            "it may mix the samples of a batch. Expected a constant of one or two axes: on the "
            "right of a tensor (batch, ..., n), or on the left of a matrix product with "
            f"(batch, ..., n, m). Received: a constant of shape {kernel.shape} on the "
            f"{'right' if right else 'left'} of a tensor {call.node.shape}"
        )
    if kernel.ndim == 1:
        kernel = kernel[:, None]
    elif not right:
        kernel = kernel.T
    return _through(call, kernel, [call.rank - 1 if right else call.rank - 2])


@node_of("tensor product")
def tensor_product(call):
    first, second = call.operands
    kernel = constant_factor(call, second if isinstance(first, Node) else first)
    if not isinstance(first, Node):
        raise call.refused(
            "its first axis is no longer that of the samples. Expected the constant second."
        )
    axes = call.operation.axes
    if isinstance(axes, int):
        axes = range(call.rank - axes, call.rank), range(axes)
    read, summed = (np.atleast_1d(list(part) if np.ndim(part) else part) for part in axes)
    if len(read):
        call.axes(read.tolist())
    summed = [int(axis) % kernel.ndim for axis in summed]
    kept = [axis for axis in range(kernel.ndim) if axis not in summed]
    rows = math.prod(kernel.shape[axis] for axis in summed)
    matrix = kernel.transpose([*summed, *kept]).reshape(rows, -1)
    return _through(call, matrix, [int(axis) % call.rank for axis in read])


@node_of("sum of products")
def sum_of_products(call):
    equation, operands = call.operation.subscripts, call.operands
    if len(operands) != 2:
        raise call.refused("Expected a sum of products of one tensor and one constant.")
    moving, constant = operands
    if not isinstance(moving, Node):
        moving, constant = constant, moving
        first, found, rest = equation.partition(",")
        second, arrow, result = rest.partition("->")
        equation = f"{second}{found}{first}{arrow}{result}"
    kernel = constant_factor(call, constant)
    name, node = call.operation.name, call.node
    said = call.output.shape
    return call.after(einsum_bound(name, equation, kernel, node.shape, said, node.norm))


def constant_factor(call, constant):
    """A constant factor as it is applied, in float64, or an error for one that is none."""
    if len(call.nodes) != 1:
        raise call.refused(NO_PRODUCT)
    given = np.asarray(ops.convert_to_numpy(constant))
    kernel = applied(given, call.dtype) if np.isrealobj(given) else np.full(1, np.nan)
    if not np.all(np.isfinite(kernel)):
        raise call.refused("Expected a constant of finite real numbers.")
    return kernel


def _through(call, kernel, axes):
    """Node behind a matrix `(rows, columns)` that some axes of the one node are the rows of."""
    read = [call.node.shape[axis] for axis in axes]
    if None not in read and math.prod(read) != len(kernel):
        raise call.refused(
            f"Expected {len(kernel)} values along the axes that it adds up. Received: {read}"
        )
    if None in read and (len(axes) > 1 or len(kernel) == 1):
        raise call.refused("Expected axes of fixed size where it adds up.")
    linear_map = linear_maps.Dense(kernel.shape[1])
    bound = linear_map.bound(kernel, (None, len(kernel)), norm=call.node.norm)
    return call.after(bound)
