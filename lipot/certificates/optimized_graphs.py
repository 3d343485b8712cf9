r"""Steps of a graph that TensorFlow's programs compute otherwise than TensorFlow, step by step.

The optimizer of its graphs takes $\max(x, c\,x)$ for a leaky ReLU of slope $c$. Where $c > 1$ that
is the minimum. Products come in many forms, `x + x` and `x / 0.5` among them: what is multiplied
shows where the graph runs on numbers. And it makes one operation of zeros around a volume and a
convolution of that, which leaves out the zeros that the convolution itself pads.
"""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import operation_kind, producer, steps
from lipot.certificates.calls import run
from lipot.certificates.graph import graph_of
from lipot.certificates.sizes import operands
from lipot.certificates.weights import split_image
from lipot.layers.branched import Branched

# Samples to run, and how far quotients that are one number may lie apart.
_SAMPLES = 4
_SAME = 1e-3


def check_programs(core, shape):
    """Raises where TensorFlow's programs may compute something else than a graph says.

    Args:
        core: A model from `graph_of` with one input.
        shape: Shape of the input, `(None, ...)`, without open sizes.
    """
    if keras.backend.backend() == "tensorflow" and _holds_doubtful(core):
        numbers = np.random.default_rng(0).normal(size=(_SAMPLES, *shape[1:]))
        _values(core, [ops.convert_to_tensor(numbers)])


def _holds_doubtful(core):
    for step in steps(core):
        operation = _called(step.operation)
        inner = isinstance(operation, keras.Model) and _holds_doubtful(graph_of(operation))
        if inner or _is_maximum(operation) or _pads_volumes(operation):
            return True
    return False


def _is_maximum(operation):
    return type(operation) is keras.layers.Maximum or operation_kind(operation) == "maximum"


def _pads_volumes(operation):
    return isinstance(operation, keras.layers.Conv3D) and operation.padding == "same"


def _called(operation):
    """What is called on the inputs of a layer: itself, or what it holds and is only a frame for."""
    while isinstance(operation, Branched | keras.layers.SpectralNormalization):
        framed = isinstance(operation, Branched)
        operation = operation.branch if framed else operation.layer
    return operation


def _values(core, inputs):
    """Runs a graph step by step, and looks at what doubtful steps are given."""
    known = {id(t): ops.cast(value, t.dtype) for t, value in zip(core.inputs, inputs)}
    for step in steps(core):
        args, kwargs = step.arguments(known)
        operation, given = _called(step.operation), [known[id(tensor)] for tensor in step.inputs]
        if isinstance(operation, keras.Model):
            _values(graph_of(operation), given)
        elif _is_maximum(operation):
            tensors = operands(operation, step.args, step.kwargs)
            _check_operands(operation, tensors, operands(operation, args, kwargs))
        elif _pads_volumes(operation):
            _check_border(operation, given[0])
        found = keras.tree.flatten(run(step.operation, args, kwargs))
        known.update(zip(map(id, step.outputs), found))


def _check_border(layer, volumes):
    """Raises where zeros lie around volumes, as behind a padding."""
    values = ops.convert_to_numpy(ops.cast(volumes, "float32"))
    count = len(split_image(values.shape, layer.data_format)[0])
    first = 1 if layer.data_format == "channels_last" else 2
    for axis in range(first, first + count):
        if not all(np.any(values.take(end, axis)) for end in (0, -1)):
            raise checks.refused(
                "model",
                "no zeros around what a convolution of volumes pads, which TensorFlow in `predict` "
                "pads once: take one padding, with padding='valid' after it",
                f"'{layer.name}' with padding='same'",
            )


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
