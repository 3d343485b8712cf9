"""What is known about the map from a model's input to one tensor inside it, and how it grows."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from lipot.math.norms import dual_of_ones, joined, norm_of_ones, vector_norm
from lipot.math.precision import widest_float
from lipot.math.rounding import (
    FLUSHED_WEIGHT,
    UP,
    Affine,
    accumulated,
    convolutions_are_sums,
    float_format,
    joint,
    product_up,
    total,
)


@dataclasses.dataclass(frozen=True)
class Computed:
    """A tensor as the machine computes it, for inputs `x` of norm `R`.

    Attributes:
        zero: The tensor at the input zero, as computed.
        error: Bound of `|computed(x) - exact(x)|`, affine in `R`.
        size: Bound of `|computed(x)|`, affine in `R`.
        reach: No intermediate result overflows for `R` up to this.
        folded: Smallest and largest product of some of the constant factors on the way.
    """

    zero: object
    error: Affine
    size: Affine
    reach: float
    folded: tuple = (1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Node:
    """Facts about one tensor of a model.

    Attributes:
        lipschitz: Bound of the Lipschitz constant of the exact map from the input.
        shape: `(None, ...)`.
        norm: `2` or `"inf"`, the norm of every sample, difference and error here.
        computed: A `Computed`, or `None` when only Lipschitz constants are asked for.
    """

    lipschitz: float
    shape: tuple
    norm: int | str = 2
    computed: Computed | None = None


def input_node(symbolic, norm=2):
    """Node of a model's input, without rounding."""
    _float_type(symbolic)
    return Node(1.0, tuple(symbolic.shape), norm)


def computed_input_node(symbolic, shape, norm=2):
    """Node of a model's input of a given shape: the zero sample, and the rounding of its cast."""
    dtype = _float_type(symbolic)
    zero = ops.zeros((1, *shape[1:]), dtype)
    error, reach = input_cast(dtype, shape, norm)
    size = Affine(1.0, 0.0).plus(error)
    return Node(1.0, tuple(shape), norm, Computed(zero, error, size, reach))


def input_cast(dtype, shape, norm=2):
    """What `predict` loses of an input in a cast to a type, and up to which norm it can hold it.

    It casts what it is given to Keras's own float type before.
    """
    machine, first = float_format(dtype), float_format(keras.config.floatx())
    error = Affine(machine.roundoff, _flushed(machine, shape, norm))
    if first.roundoff > machine.roundoff:
        error = error.plus(Affine(2.0 * first.roundoff, 2.0 * _flushed(first, shape, norm)))
    return error, min(first.largest, machine.largest)


def _float_type(symbolic):
    dtype = _dtype(symbolic)
    if "float" not in dtype:
        raise ValueError(
            "Expected a model whose input is floating point: rounding to integers is no small "
            f"error. Received: input dtype {dtype}"
        )
    return dtype


def after_cast(node, dtype):
    """Node of the same tensor in a float type."""
    if node.computed is None or _dtype(node.computed.zero) == dtype:
        return node
    incoming, machine = node.computed, float_format(dtype)
    flushed = Affine(0.0, _flushed(machine, node.shape, node.norm))
    cast = incoming.size.times(machine.roundoff).plus(flushed)
    room = (machine.largest - incoming.size.offset) / max(incoming.size.slope, 1e-300)
    return dataclasses.replace(
        node,
        computed=Computed(
            ops.cast(incoming.zero, dtype),
            incoming.error.plus(cast),
            incoming.size.plus(cast),
            min(incoming.reach, max(0.0, room)),
            incoming.folded,
        ),
    )


def after_layer(node, bound, layer, output):
    """Node after a layer with a `LayerBound`, in the norm of the node."""
    if node.computed is not None and any(len(weight.shape) > 2 for weight in layer.weights):
        check_adds_up(layer)
    bound = bound.with_factor(getattr(layer, "k_coef_lip", 1.0))
    return after_bound(node, bound, layer.compute_dtype, output)


def check_adds_up(layer):
    """Raises for a convolution that this machine rounds otherwise than its bound counts."""
    if not convolutions_are_sums():
        raise ValueError(
            f"'{layer.name}' cannot be certified on this machine: its backend transforms "
            "images before it convolves them, and what that rounds has no bound here. Expected "
            "convolutions that add up products: on PyTorch's CPU call "
            "`torch.backends.nnpack.set_flags(False)`. Received: a kernel of a single one that "
            "changes values"
        )


def after_bound(node, bound, dtype, output):
    """Node after a map with a `LayerBound` that computes in a float type."""
    lipschitz, norm = product_up(node.lipschitz, bound.lipschitz), node.norm
    if node.computed is None:
        return Node(lipschitz, tuple(output.shape), norm)
    incoming, machine = after_cast(node, dtype).computed, float_format(dtype)
    folded = _folded(incoming.folded, bound.constants)
    machine = folding(machine, folded)
    error, shape = incoming.error, _shape(output)
    ones = dual_of_ones(_values_in(node.shape), norm) * norm_of_ones(_values_in(shape), norm)
    gain = bound.gain + FLUSHED_WEIGHT * ones
    intermediate = incoming.size.times(gain).plus(Affine(0.0, bound.offset))
    chain = accumulated(bound.roundings, machine.roundoff)
    steps = bound.roundings + bound.output_roundings
    vanished = steps * bound.growth * _flushed(machine, shape, norm)
    rounding = intermediate.times(chain).plus(Affine(0.0, vanished))
    error = error.times(bound.lipschitz).plus(rounding).times(UP)
    exact = Node(lipschitz, shape, norm)
    if bound.output_roundings:
        # The result before these roundings has at most the size of the result after them, nearly.
        relative = accumulated(2 * bound.output_roundings, machine.roundoff)
        error = error.plus(_size(output, exact, error).times(relative)).times(1.0 + relative)
    peak = incoming.size.times(bound.peak).plus(Affine(0.0, bound.peak_offset))
    return _finished(output, exact, error, [incoming], [intermediate, peak], machine, folded)


def after_sum(nodes, factors, layer_dtype, output):
    """Node of `sum_i factor_i * node_i`, broadcast to the output's shape."""
    shape, norm = tuple(output.shape), nodes[0].norm
    copies = [_repeats(node, shape) for node in nodes]
    constants = [abs(f) for f in factors]
    factors = [f * copied for f, copied in zip(constants, copies)]
    exact = Node(sum(product_up(f, n.lipschitz) for f, n in zip(factors, nodes)) * UP, shape, norm)
    if nodes[0].computed is None:
        return exact
    incoming = [n.computed for n in nodes]
    # A product with zero stays one, whatever comes first.
    folded = [_folded(n.folded, [(f, f)] if f else []) for n, f in zip(incoming, constants)]
    machine = folding(float_format(layer_dtype), _worst(folded))
    scaled = [node.computed.size.times(f) for f, node in zip(factors, nodes)]
    terms = [node.computed.error.times(f) for f, node in zip(factors, nodes)]
    # A cast of each term, a product with its factor, the sum, and what a constant adds to it.
    rounding = total(scaled).times(accumulated(len(nodes) + 4, machine.roundoff))
    # What vanishes in a sum of several, a factor that they share may come after.
    grown = max(1.0, *constants) if len(nodes) > 1 else 1.0
    vanished = Affine(0.0, 4 * grown * _flushed(machine, shape, norm))
    error = total([*terms, rounding]).plus(vanished)
    result = _size(output, exact, error)
    error = error.plus(result.times(accumulated(2, machine.roundoff)))
    # A mean adds up before it divides.
    added = total([node.computed.size.times(copied) for copied, node in zip(copies, nodes)])
    # A compiler may take a factor that all terms share out of their sum: a c + b c = (a + b) c.
    shared = total([size.times(1.0 / low) for size, (low, _) in zip(scaled, folded)])
    intermediates = [added, *scaled, shared]
    return _finished(output, exact, error, incoming, intermediates, machine, _worst(folded))


def after_concatenation(nodes, layer_dtype, output):
    """Node of a concatenation: the norms add like those of orthogonal vectors.

    In l-infinity the largest counts.
    """
    return _after_selection(nodes, [1.0] * len(nodes), layer_dtype, output)


def after_choice(nodes, layer_dtype, output):
    r"""Node of a maximum or minimum, with its inputs broadcast to the output's shape.

    Each output value moves at most as far as the farthest input value it may be, and
    $\max(a, b)^2 \le a^2 + b^2$: the norms add like those of orthogonal vectors.
    """
    copies = [_repeats(node, tuple(output.shape)) for node in nodes]
    return _after_selection(nodes, copies, layer_dtype, output)


def after_move(node, dtype, output, copies=1.0):
    """Node after an operation that moves, drops or clips values.

    Args:
        node: A `Node`.
        dtype: Float type of the output.
        output: The output, symbolic or at the input zero.
        copies: Norm of repeating values; 1 where none is.
    """
    return _after_selection([node], [copies], dtype, output)


def joint_lipschitz(nodes):
    """Bound of the Lipschitz constant of the vector that all of these tensors make."""
    return joined([node.lipschitz for node in nodes], nodes[0].norm) * UP


def _after_selection(nodes, copies, layer_dtype, output):
    shape, norm = tuple(output.shape), nodes[0].norm
    lipschitz = joined([product_up(c, n.lipschitz) for c, n in zip(copies, nodes)], norm) * UP
    exact = Node(lipschitz, shape, norm)
    if nodes[0].computed is None:
        return exact
    incoming = [n.computed for n in nodes]
    folded = _worst([one.folded for one in incoming])
    machine = folding(float_format(layer_dtype), folded)
    sizes = joint([node.computed.size.times(c) for c, node in zip(copies, nodes)], norm)
    error = joint([node.computed.error.times(c) for c, node in zip(copies, nodes)], norm)
    flushed = Affine(0.0, _flushed(machine, shape, norm))
    error = error.plus(sizes.times(2.0 * machine.roundoff).plus(flushed))
    return _finished(output, exact, error, incoming, [sizes], machine, folded)


def _folded(folded, constants):
    """`Computed.folded` after more factors, each with its smallest and its largest size."""
    lows, highs = zip((1.0, 1.0), *constants)
    low, high = (math.prod(c for c in lows if c < 1.0), math.prod(c for c in highs if c > 1.0))
    return folded[0] * low, folded[1] * high


def _worst(folded):
    lows, highs = zip(*folded)
    return min(lows), max(highs)


def folding(machine, folded):
    """The format in which constants may be multiplied with each other, or an error.

    A compiler may do that before it applies them: `(x c) d` becomes `x (c d)` in XLA and in
    TensorFlow's graphs, through matrices and sums, and `x / c` becomes `x (1 / c)`. Below the
    smallest normal number float16 has fewer digits, and other types may have none.
    """
    low, high = folded
    if low < machine.least_factor or high > machine.largest:
        raise ValueError(
            "Constant factors of this model multiply to a number that its type cannot hold, and a "
            "compiler may multiply them before it applies them. Expected products from "
            f"{machine.least_factor:.2g} to {machine.largest:.2g}: write neighbours as one factor, "
            f"or use a wider type. Received: products from {low:.2g} to {high:.2g}"
        )
    return machine._replace(roundoff=machine.roundoff * max(1.0, machine.smallest / low))


def _finished(output, exact, error, incoming, intermediates, machine, folded):
    size = _size(output, exact, error)
    reach = min(computed.reach for computed in incoming)
    for largest in (*intermediates, size):
        room = machine.largest - largest.offset
        reach = min(reach, max(0.0, room) / max(largest.slope, 1e-300))
    computed = Computed(output, error, size, reach, folded)
    return dataclasses.replace(exact, shape=_shape(output), computed=computed)


def _size(output, exact, error):
    # |y(x)| <= |computed y(0)| + error at 0 + Lip R + error at x
    zero = vector_norm(_values(output), exact.norm)
    return Affine(exact.lipschitz, float(zero) * UP + error.offset).plus(error)


def _values(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, widest_float())).astype("float64")


def _shape(output):
    return (None, *output.shape[1:])


def _flushed(machine, shape, norm):
    return machine.smallest * norm_of_ones(_values_in(shape), norm)


def _repeats(node, broadcast):
    """Norm of broadcasting; an axis of unknown size repeats nothing that has no size either."""
    axes = list(zip(node.shape[1:], broadcast[1:], strict=True))
    if any(n == 1 and m is None for n, m in axes):
        raise ValueError(
            f"A tensor of shape {tuple(node.shape)} is repeated along an axis of unknown size. "
            f"Expected a model with a fixed input shape. Received: output shape {broadcast}"
        )
    # An axis of unknown size may hold a single value, and that be repeated.
    copies = [m for n, m in axes if n in (1, None) and m is not None]
    return norm_of_ones(math.prod(copies), node.norm)


def _values_in(shape):
    return float(np.prod([n or 1 for n in shape[1:]]))


def _dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)
