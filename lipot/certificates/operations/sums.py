"""Sums of tensors, products with constants, and sums and means over axes."""

import math

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import operation_kind
from lipot.certificates.node import Node, after_sum
from lipot.certificates.operations.registry import NO_PRODUCT, node_of
from lipot.math.norms import dual_of_ones, norm_of_ones
from lipot.math.rounding import UP, LayerBound, applied, float_format

# Operations that repeat the smaller of their operands.
BROADCASTING = ("sum", "difference", "product", "quotient", "maximum", "minimum")


@node_of("sum", "difference")
def sum_of_tensors(call):
    return after_sum(call.nodes, [1.0] * len(call.nodes), call.dtype, call.output)


@node_of("product", "quotient")
def scaled(call):
    """Node of a product or quotient of one tensor and a constant."""
    first, second = call.operands
    if len(call.nodes) != 1:
        raise call.refused(NO_PRODUCT)
    if call.kind == "quotient" and not isinstance(first, Node):
        raise call.refused(
            "it divides by a tensor that depends on the input, and is steep without end where "
            "that comes near zero. Divide by a constant."
        )
    constant = second if isinstance(first, Node) else first
    if not np.isrealobj(ops.convert_to_numpy(constant)):
        raise call.unknown()
    factor = largest_factor(call.operation, constant, call.dtype, call.kind == "quotient")
    return after_sum(call.nodes, [factor], call.dtype, call.output)


def largest_factor(operation, constant, dtype, inverse=False):
    """The largest size of the numbers that a tensor is multiplied by, or divided by.

    Args:
        operation: The layer or operation that does it, for its name.
        constant: The numbers, as they were written.
        dtype: Float type in which they are applied.
        inverse: Whether they are divided by.
    """
    given = np.asarray(ops.convert_to_numpy(constant))
    with np.errstate(over="ignore"):
        # As it was written and as the operation applies it: the larger counts.
        numbers = np.abs([given.astype("float64"), applied(constant, dtype)])
    # Machines may take what is smaller for zero.
    vanishing = (numbers > 0.0) & (numbers < float_format(dtype).smallest)
    with np.errstate(divide="ignore"):
        factors = np.where(vanishing, np.inf, 1.0 / numbers if inverse else numbers)
    factor = float(np.max(factors))
    if not np.isfinite(factor):
        raise ValueError(
            f"'{operation.name}' cannot be certified. Expected finite constants, none that is "
            f"zero in a denominator, and none below the smallest normal number of {dtype}. "
            f"Received: a factor of {factor}"
        )
    return factor


@node_of("total", "mean")
def of_axes(call):
    r"""Sums or means of $n$ values of a sample each, every value in one of them.

    $|\sum_{i \le n} x_i| \le \sqrt n\, \|x\|_2$, and $n \|x\|_\infty$: the matrix of the sums has
    orthogonal rows of $n$ ones. A mean is one of them over $n$; its sum must not overflow.
    """
    operation, node, rank = call.operation, call.node, call.rank
    listed = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    axes = [] if operation.axis is None else [n % rank for n in listed]
    sizes = [node.shape[axis] for axis in axes]
    if operation.axis is None or 0 in axes or None in sizes:
        raise ValueError(
            f"'{operation.name}' cannot be certified: it adds up samples of a batch, or values of "
            "which nobody knows how many there are. Expected axes of fixed size, other than 0. "
            f"Received: axis={operation.axis} of a tensor of shape {tuple(node.shape)}"
        )
    count = math.prod(sizes)
    if not count:
        raise call.refused(f"Expected at least one value. Received: sizes {sizes}")
    size = dual_of_ones(count, node.norm) * UP
    if call.kind == "total":
        return call.after(LayerBound(size, roundings=count + 4, gain=size))
    constant = UP / norm_of_ones(count, node.norm)
    bound = LayerBound(constant, roundings=count + 4, gain=constant, peak=size)
    return call.after(bound.with_factor(1.0 / count))


def uniform_factor(step):
    """The number that a step multiplies all values by, with its sign, or `None`.

    Args:
        step: A `Step` that has a bound.

    Example:

    >>> import keras
    >>> from lipot.backend.keras_graph import producer
    >>> x = keras.Input((2,))
    >>> uniform_factor(producer(x / -4.0)), uniform_factor(producer(x * np.ones(2, "float32")))
    (-0.25, None)
    """
    operation, kind = step.operation, operation_kind(step.operation)
    if type(operation) is keras.layers.Rescaling:
        uniform = np.ndim(operation.scale) == 0 and np.all(np.equal(operation.offset, 0.0))
        return _usable(operation.scale, 1) if uniform and np.ndim(operation.offset) == 0 else None
    if kind == "negation":
        return -1.0
    if kind not in ("product", "quotient") or len(step.inputs) != 1:
        return None
    operands = [*step.args, *step.kwargs.values()]
    (constant,) = (part for part in operands if part is not step.inputs[0])
    return _usable(constant, 1 if kind == "product" else -1)


def _usable(constant, power):
    """A power of a constant, if it is one finite number and not zero."""
    value = np.asarray(ops.convert_to_numpy(constant))
    if value.size != 1 or not np.isrealobj(value):
        return None
    number = float(value.astype("float64").ravel()[0])
    factor = number**power if number else 0.0
    return factor if factor and np.isfinite(factor) else None
