"""Bound of EinsumDense: that of the matrix its kernel is."""

import math
import re
import string

import keras

from lipot.certificates.stock.linear import finished
from lipot.certificates.weights import check_not_quantized
from lipot.layers.applied_weights import applied_weight
from lipot.layers.layer_bounds import register_bound
from lipot.math import linear_maps

_FORM = re.compile(r"(\.{3})?([a-zA-Z]+)(\.{3})?,([a-zA-Z]+)->(\.{3})?([a-zA-Z]+)(\.{3})?")


@register_bound(keras.layers.EinsumDense)
def einsum_dense(layer, input_shape, norm):
    check_not_quantized(layer)
    kernel = applied_weight(layer, "kernel")
    said = layer.compute_output_shape(input_shape)
    bound = einsum_bound(layer.name, layer.equation, kernel, input_shape, said, norm)
    return finished(layer, bound, input_shape, norm)


def einsum_bound(name, equation, kernel, input_shape, output_shape, norm):
    """The largest bound of the matrices that the kernel holds, one for each shared index.

    Indices of input and kernel alone are summed over: they are the rows. Indices of kernel and
    output alone are the columns. An index of all three has a matrix of its own for each value,
    which acts on values of its own: of a block-diagonal matrix the largest norm counts, in either
    norm. Indices of input and output alone have one and the same matrix again.

    Args:
        name: What errors call it.
        equation: Equation of the einsum, input first and kernel second.
        kernel: Array in float64, as it is applied.
        input_shape: Shape of the input, `(None, ...)`.
        output_shape: Shape of the output as Keras says it.
        norm: `2` or `"inf"`.
    """
    inputs, weights, outputs = _indices(name, equation, len(input_shape))
    if len(weights) != kernel.ndim:
        raise _no_map(name, equation)
    shared = [i for i in weights if i in inputs and i in outputs]
    rows = [i for i in weights if i in inputs and i not in outputs]
    columns = [i for i in weights if i not in inputs]
    sizes = dict(zip(weights, kernel.shape))
    read = dict(zip(inputs, input_shape))
    _check_meets(name, equation, read, {i: sizes[i] for i in rows + shared})
    _check_says(name, output_shape, [{**read, **sizes}[i] for i in outputs])
    shape = [math.prod(sizes[i] for i in part) for part in (shared, rows, columns)]
    kernel = kernel.transpose([weights.index(i) for i in (*shared, *rows, *columns)])
    bounds = [
        linear_maps.Dense(shape[2]).bound(matrix, (None, shape[1]), norm=norm)
        for matrix in kernel.reshape(shape)
    ]
    largest = max(bound.lipschitz for bound in bounds)
    return bounds[0]._replace(lipschitz=largest, gain=max(bound.gain for bound in bounds))


def _indices(name, equation, rank):
    """Indices of input, kernel and output, with letters for an ellipsis."""
    found = _FORM.fullmatch(equation)
    if found is None:
        raise _no_map(name, equation)
    left, inputs, right, weights, left_too, outputs, right_too = found.groups()
    unused = [i for i in string.ascii_letters if i not in inputs + weights + outputs]
    more = "".join(unused[: rank - len(inputs)])
    if (left, right) != (left_too, right_too) or (left and right) or (more and not (left or right)):
        raise _no_map(name, equation)
    if left:
        inputs, outputs = more + inputs, more + outputs
    else:
        inputs, outputs = inputs + more, outputs + more
    once = all(len(set(part)) == len(part) for part in (inputs, weights, outputs))
    batch = inputs[0] == outputs[0] and inputs[0] not in weights
    # One that is in the input alone, or in the kernel alone, would be summed over.
    used = set(inputs) <= set(weights + outputs) and set(weights) <= set(inputs + outputs)
    if not (once and batch and used and len(inputs) == rank):
        raise _no_map(name, equation)
    return inputs, weights, outputs


def _check_meets(name, equation, read, sizes):
    """Raises where an index has another size in the input than in the kernel.

    JAX and PyTorch repeat a single value on either side.
    """
    read = {i: read[i] for i in sizes}
    if read != sizes:
        raise ValueError(
            f"'{name}' cannot be certified: its kernel or its input would be repeated. "
            f"Expected sizes {sizes} for {equation!r}, as it was built for. "
            f"Received: {read}"
        )


def _check_says(name, said, given):
    """Raises where Keras says other sizes of the outputs than they have.

    It does not count the axes of an ellipsis in `EinsumDense`.
    """
    fits = [n in (None, m) for n, m in zip(said, given)]
    if len(said) != len(given) or not all(fits[1:]):
        raise ValueError(
            f"'{name}' cannot be certified: it says other sizes of its outputs than it gives. "
            f"Expected an `output_shape` that makes {(None, *given[1:])}, with None for sizes of "
            f"the input. Received: {tuple(said)}"
        )


def _no_map(name, equation):
    return ValueError(
        f"'{name}' cannot be certified: its equation is no product of each sample with "
        "one matrix. Expected the batch as the first index of input and output and not in the "
        "kernel, no index twice in one place, and every index in two places. "
        f"Received: equation={equation!r}"
    )
