"""Bounds of `keras.ops` calls that stand directly in a functional graph, such as `x + y`."""

import math

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import concatenation_axis, operation_kind
from lipot.certificates.node import (
    Node,
    after_bound,
    after_choice,
    after_concatenation,
    after_move,
    after_sum,
)
from lipot.layers.activation_bounds import (
    activation_bound,
    elementary,
    piecewise_linear,
    softmax_bound,
    steepest_number,
)
from lipot.math.norms import dual_of_ones, norm_of_ones
from lipot.math.rounding import UP, LayerBound, applied, float_format

# Functions of `keras.activations` that operations without slopes are.
_ACTIVATIONS = {
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
    "tanh_shrink",
}
# Operations that repeat the smaller of their operands.
BROADCASTING = ("sum", "difference", "product", "quotient", "choice")


def operation_node(operation, args, kwargs, nodes, output):
    """Node after one operation, or an error that names it."""
    dtype = keras.backend.standardize_dtype(output.dtype)
    kind = operation_kind(operation)
    if kind == "choice":
        return after_choice(nodes, dtype, output)
    if kind == "concatenation" and concatenation_axis(operation) % len(output.shape) != 0:
        return after_concatenation(nodes, dtype, output)
    if kind == "bent" and _is_plain_relu(operation):
        kind = "relu"
    if len(nodes) == 1 and _only_moves(operation, kind, args, nodes[0].shape, output.shape):
        return after_move(nodes[0], dtype, output)
    if kind in ("total", "mean"):
        return after_bound(nodes[0], _of_axes(operation, kind, nodes[0]), dtype, output)
    bound = _of_values(operation, kind, nodes[0], dtype)
    if bound is not None:
        return after_bound(nodes[0], bound, dtype, output)
    factors = _factors(kind, args, kwargs, nodes, dtype)
    if factors is None:
        raise ValueError(
            f"No Lipschitz bound is known for the operation `{type(operation).__name__}` "
            f"('{operation.name}'). "
            "Expected layers, sums of tensors or products with constants. Put it into a layer "
            "and register its bound with `@lipot.certificates.register_bound(LayerClass)`."
        )
    if not np.all(np.isfinite(factors)):
        raise ValueError(
            f"'{operation.name}' cannot be certified. Expected finite constants, none that is zero "
            f"in a denominator, and none below the smallest normal number of {dtype}. "
            f"Received: a factor of {factors[0]}"
        )
    return after_sum(nodes, factors, dtype, output)


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


def _only_moves(operation, kind, args, before, after):
    if kind == "reshape":
        return _keeps_samples(before, after)
    if kind == "slice":
        return _is_slice_of_samples(args[1], len(before))
    if kind == "transposition":
        return operation.axes is not None and operation.axes[0] % len(before) == 0
    if kind == "extremum":
        # Of values that no other one is taken of, and one number.
        one = operation.axis is not None and np.ndim(operation.initial) == 0
        return one and 0 not in _axes(operation.axis, len(before))
    if kind in ("squeeze", "expansion"):
        rank = max(len(before), len(after))
        return operation.axis is not None and 0 not in _axes(operation.axis, rank)
    if kind == "clip":
        limits = (operation.x_min, operation.x_max)
        return all(np.ndim(n) == 0 and isinstance(n, float | int | np.number) for n in limits)
    return kind in ("negation", "relu", "absolute")


def _axes(axis, rank):
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return [n % rank for n in axes]


def _of_axes(operation, kind, node):
    r"""Bound of sums or means of $n$ values of a sample each, every value in one of them.

    $|\sum_{i \le n} x_i| \le \sqrt n\, \|x\|_2$, and $n \|x\|_\infty$: the matrix of the sums has
    orthogonal rows of $n$ ones. A mean is one of them over $n$; its sum must not overflow.
    """
    rank = len(node.shape)
    axes = [] if operation.axis is None else _axes(operation.axis, rank)
    sizes = [node.shape[axis] for axis in axes]
    if operation.axis is None or 0 in axes or None in sizes:
        raise ValueError(
            f"'{operation.name}' cannot be certified: it adds up samples of a batch, or values of "
            "which nobody knows how many there are. Expected axes of fixed size, other than 0. "
            f"Received: axis={operation.axis} of a tensor of shape {tuple(node.shape)}"
        )
    count = math.prod(sizes)
    size = dual_of_ones(count, node.norm) * UP
    if kind == "total":
        return LayerBound(size, roundings=count + 4, gain=size)
    constant = UP / norm_of_ones(count, node.norm)
    bound = LayerBound(constant, roundings=count + 4, gain=constant, peak=size)
    return bound.with_factor(1.0 / count)


def _of_values(operation, kind, node, dtype):
    """Bound of an activation that was called as an operation, or `None` for any other one."""
    if kind == "softmax":
        axes = None if operation.axis is None else _axes(operation.axis, len(node.shape))
        if axes is None or 0 in axes:
            raise ValueError(
                f"'{operation.name}' cannot be certified: it joins the samples of a batch. "
                f"Expected an axis other than 0. Received: axis={operation.axis}"
            )
        return softmax_bound(node.shape, node.norm)
    if kind not in _ACTIVATIONS:
        return _with_slopes(operation, kind, node, dtype)
    return activation_bound(getattr(keras.activations, kind), node.shape, node.norm, dtype)


def _with_slopes(operation, kind, node, dtype):
    """Bound of an activation that is told its slopes, or `None` for any other operation."""
    if kind == "elu":
        return elementary(steepest_number(operation, operation.alpha, dtype), node.shape, node.norm)
    if kind == "bent" and not operation.threshold:
        steepest_number(operation, operation.max_value or 0.0, dtype)
    elif kind != "leaky_relu":
        return None
    return piecewise_linear(steepest_number(operation, operation.negative_slope, dtype))


def _is_plain_relu(operation):
    """Whether `keras.activations.relu` was called without a slope, a limit and a threshold."""
    return not operation.negative_slope and not operation.threshold and not operation.max_value


def _factors(kind, args, kwargs, nodes, dtype):
    """Factor of each node in a sum, or None where the operation is no such sum."""
    if kind in ("sum", "difference"):
        return [1.0] * len(nodes)
    if len(nodes) != 1 or kind not in ("product", "quotient"):
        return None
    first, second = [*args, *kwargs.values()]
    if kind == "quotient" and not isinstance(first, Node):
        return None
    constant = second if isinstance(first, Node) else first
    given = np.asarray(ops.convert_to_numpy(constant))
    if not np.isrealobj(given):
        return None
    with np.errstate(over="ignore"):
        # As it was written and as the operation applies it: the larger counts.
        numbers = np.abs([given.astype("float64"), applied(constant, dtype)])
    # Machines may take what is smaller for zero.
    vanishing = (numbers > 0.0) & (numbers < float_format(dtype).smallest)
    with np.errstate(divide="ignore"):
        factors = np.where(vanishing, np.inf, numbers if kind == "product" else 1.0 / numbers)
    return [float(np.max(factors))]


def _keeps_samples(before, after):
    """Whether a reshape leaves every sample its values: with the batch first, none moves over."""
    known = None not in (*before[1:], *after[1:])
    return known and np.prod(before[1:], initial=1) == np.prod(after[1:], initial=1)


def _is_slice_of_samples(index, rank):
    """Whether an index keeps every sample and repeats no value."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(map(_is_plain, index)) or len(index) > rank:
        return False
    if index[0] is Ellipsis:
        return len(index) - 1 < rank
    return isinstance(index[0], slice) and index[0] == slice(None)


def _is_plain(index):
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return all(part is None or type(part) is int for part in parts)
    # True and False would add an axis.
    return index is Ellipsis or type(index) is int
