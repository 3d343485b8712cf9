"""Whether a layer gives the sizes that it says: they count copies, and the terms of means."""

import keras

from lipot.backend.keras_graph import all_layers, is_stock
from lipot.backend.step import Step
from lipot.layers.layer_bounds import is_ours, sizes_fit

# What an open size is taken for: many blocks and strides divide it.
_OPEN = 48


def check_says_sizes(step, shapes):
    """As `check_says`, by a call on symbols, where the sizes that a layer says may be untrue.

    That is, where it does not come from a library, or meets other sizes than it was made for.
    """
    if not _says_sizes(step):
        return
    parts = [part for part in all_layers(step.operation) if not is_ours(type(part))]
    met = all(tuple(t.shape) == shape for t, shape in zip(step.inputs, shapes))
    if parts and not (met and all(map(is_stock, parts))):
        _check_by_a_call(step, shapes)


def shape_after(layer, shape):
    """Shape that a layer says it gives for one input, or an error where that is untrue.

    Args:
        layer: A built layer.
        shape: Shape of the input, `(None, ...)`.
    """
    step = Step(layer, (keras.KerasTensor(shape, layer.compute_dtype),), {})
    if _says_sizes(step) and not all(is_ours(type(part)) for part in all_layers(layer)):
        _check_by_a_call(step, [shape])
    return tuple(step.outputs_for([shape])[0].shape)


def check_says(step, shapes, outputs):
    """Raises where a layer says other sizes than it gives.

    Args:
        step: A `Step`.
        shapes: The shapes that it was given.
        outputs: What it gave for them, symbolic or not.
    """
    if not _says_sizes(step):
        return
    said = [tuple(t.shape) for t in step.outputs_for(shapes)]
    given = [tuple(t.shape) for t in outputs]
    if len(said) != len(given) or not all(map(sizes_fit, said, given)):
        raise ValueError(
            f"'{step.operation.name}' cannot be certified: it says other sizes of its outputs than "
            "it gives. Expected a `compute_output_shape` that is true, and a model made anew where "
            f"an argument of a layer was changed. Received: {said} for inputs {shapes}, and a call "
            f"that gives {given}"
        )


def _check_by_a_call(step, shapes):
    shapes = [(2, *(n or _OPEN for n in shape[1:])) for shape in shapes]
    check_says(step, shapes, step.outputs_called(shapes))


def _says_sizes(step):
    return isinstance(step.operation, keras.layers.Layer) and step.says_shapes
