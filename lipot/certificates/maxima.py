r"""Maxima of a tensor and a multiple of it, which TensorFlow's programs compute otherwise.

The optimizer of its graphs takes $\max(x, c\,x)$ for a leaky ReLU of slope $c$. Where $c > 1$ that
is the minimum. Products come in many forms, `x + x` and `x / 0.5` among them: what is multiplied
shows where the graph runs on numbers.
"""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import operation_kind, producer, steps
from lipot.certificates.calls import run
from lipot.certificates.graph import graph_of
from lipot.certificates.sizes import operands
from lipot.layers.branched import Branched

# Samples to run, and how far quotients that are one number may lie apart.
_SAMPLES = 4
_SAME = 1e-3


def check_maxima(core, shape):
    """Raises where TensorFlow may take a maximum in a graph for a leaky ReLU that it is not.

    Args:
        core: A model from `graph_of` with one input.
        shape: Shape of the input, `(None, ...)`, without open sizes.
    """
    if keras.backend.backend() == "tensorflow" and _holds_maxima(core):
        numbers = np.random.default_rng(0).normal(size=(_SAMPLES, *shape[1:]))
        _values(core, [ops.convert_to_tensor(numbers)])


def _holds_maxima(core):
    operations = [step.operation for step in steps(core)]
    inner = [graph for graph in map(_graph_in, operations) if graph is not None]
    return any(map(_is_maximum, operations)) or any(map(_holds_maxima, inner))


def _is_maximum(operation):
    return type(operation) is keras.layers.Maximum or operation_kind(operation) == "maximum"


def _graph_in(operation):
    """The graph of a model, or of the branch of a residual layer, that runs on its inputs."""
    while isinstance(operation, Branched):
        operation = operation.branch
    return graph_of(operation) if isinstance(operation, keras.Model) else None


def _values(core, inputs):
    """Runs a graph step by step, and looks at the operands of its maxima."""
    known = {id(t): ops.cast(value, t.dtype) for t, value in zip(core.inputs, inputs)}
    for step in steps(core):
        args, kwargs = step.arguments(known)
        if _is_maximum(step.operation):
            tensors = operands(step.operation, step.args, step.kwargs)
            _check_operands(step.operation, tensors, operands(step.operation, args, kwargs))
        inner = _graph_in(step.operation)
        if inner is not None:
            _values(inner, [known[id(tensor)] for tensor in step.inputs])
        found = keras.tree.flatten(run(step.operation, args, kwargs))
        known.update(zip(map(id, step.outputs), found))


def _check_operands(operation, tensors, values):
    largest, *others = [ops.cast(value, "float32") for value in values]
    first, *rest = tensors
    for tensor, value in zip(rest, others):
        pair = (first, largest), (tensor, value)
        for (smaller, less), (larger, more) in (pair, pair[::-1]):
            # A leaky ReLU is the maximum of a tensor and of less of the same.
            if _is_multiple(more, less) and not _comes_from(smaller, larger):
                raise checks.refused(
                    "model",
                    "no maximum of a tensor and the same tensor times a number above one, which "
                    "TensorFlow computes as a minimum in `predict`: take a leaky ReLU",
                    f"'{operation.name}'",
                )
        first, largest = None, ops.maximum(largest, value)


def _comes_from(tensor, other):
    """Whether a symbolic tensor was made of another one; of `None` nothing is known."""
    waiting, seen = [] if other is None else [tensor], set()
    while waiting:
        found = waiting.pop()
        if found is other:
            return True
        if isinstance(found, keras.KerasTensor) and id(found) not in seen:
            seen.add(id(found))
            waiting.extend(producer(found).inputs)
    return False


def _is_multiple(tensor, other):
    """Whether one tensor is another one times a number above one, wherever that is not zero."""
    values, others = (ops.convert_to_numpy(part).astype("float64") for part in (tensor, other))
    if values.shape != others.shape or not np.any(others):
        return False
    factor = np.median(values[others != 0.0] / others[others != 0.0])
    same = np.allclose(values, factor * others, rtol=_SAME, atol=0.0)
    return bool(factor > 1.0 + _SAME and same)
