"""What goes into a layer and comes out of it in the graph of one model."""

from typing import Any

import keras

from lipot.backend.keras_graph import graph_core, steps
from lipot.backend.step import Step


def calls_of(model: Any, layer: Any) -> list[Step]:
    """The calls of a layer in the graph of a model, in order; of an input layer there are none.

    `layer.input` and `layer.output` are those of the first call anywhere: of a head that two
    networks share, say, they belong to the one that was made first.

    Args:
        model: Built Sequential or functional model.
        layer: One of its layers.

    Example:

    >>> import keras
    >>> head, (one, other) = keras.layers.Dense(2), (keras.Input((3,)), keras.Input((3,)))
    >>> _, second = keras.Model(one, head(one)), keras.Model(other, head(other))
    >>> head.input is one, calls_of(second, head)[0].inputs[0] is other
    (True, True)
    """
    return [step for step in steps(graph_core(model)) if step.operation is layer]


def output_of(model: Any, layer: Any) -> keras.KerasTensor:
    """What a layer gives in the graph of a model, at its first call there."""
    calls = calls_of(model, layer)
    return calls[0].outputs[0] if calls else layer.output


def features_of(model: Any, name: str | None) -> keras.KerasTensor:
    """What a layer of a name gives, or what the last one reads where there is no name.

    Raises:
        ValueError: There is no name, and the last layer reads several tensors.
    """
    if name is not None:
        return output_of(model, model.get_layer(name))
    layer = model.layers[-1]
    calls = calls_of(model, layer)
    read = calls[-1].inputs if calls else (layer.output,)
    if len(read) > 1:
        raise ValueError(
            f"Layer '{layer.name}', the last of model '{model.name}', reads {len(read)} tensors, "
            "where features are one. Expected the name of a layer whose output to take instead."
        )
    return read[0]
