"""What flows inside a network: the outputs of its layers, and the features before the last one."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import steps
from lipot.certificates.graph import graph_of
from lipot.evaluation.record.view import DoesNotApply
from lipot.models import OTClassifier
from lipot.models.neighbor_model import NeighborModel

_BATCH = 128


class Features(NamedTuple):
    """What the last layer with weights reads: its name, and the values `(n, ...)` it read."""

    layer: str
    values: Any


@functools.singledispatch
def features(model, x):
    """Runs a network up to its last layer with weights; an OT-Classifier up to its codes.

    Args:
        model: Keras model.
        x: Inputs `(n, ...)`.

    Returns:
        `Features`.

    Raises:
        DoesNotApply: The model shows no graph, or holds no weights.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    >>> features(model, np.zeros((5, 4), "float32")).values.shape
    (5, 3)
    """
    while True:
        graph = _graph(model)
        last = _last_step_with_weights(graph)
        before = keras.Model(graph.inputs, last.inputs[0])
        if before.layers[1:]:
            (x,) = _run(before, x)
        if not isinstance(last.operation, keras.Model):
            return Features(last.operation.name, np.asarray(x))
        model = last.operation


@features.register
def _features_of_neighbors(model: NeighborModel, x):
    return Features("head", model.features(x))


@features.register
def _codes(model: OTClassifier, x):
    return Features("classifier", *_run(model.encoder, x))


def layer_outputs(model, x):
    """Runs a network and keeps what every layer gives.

    Args:
        model: Keras model.
        x: Inputs `(n, ...)`.

    Returns:
        Dict from the name of a layer to its outputs `(n, ...)`, in the order of the graph; a
        model inside the model counts as one layer.

    Raises:
        DoesNotApply: The model shows no graph.
    """
    graph = _graph(model)
    tensors = {}
    for step in steps(graph):
        floating = keras.backend.is_float_dtype(step.outputs[0].dtype)
        if len(step.outputs) == 1 and floating:
            tensors[_fresh(step.operation.name, tensors)] = step.outputs[0]
    probe = keras.Model(graph.inputs, list(tensors.values()))
    return dict(zip(tensors, _run(probe, x)))


def _graph(model):
    if isinstance(model, OTClassifier):
        model = model.inference_model()
    try:
        return graph_of(model)
    except ValueError as error:
        raise DoesNotApply(
            f"This needs to look inside the network, and a model of class "
            f"{type(model).__name__} shows no graph of layers."
        ) from error


def _run(model, x):
    """Outputs of a model as a list of arrays; not compiled, which would take longer than this."""
    parts = []
    for start in range(0, len(x), _BATCH):
        outputs = model(ops.convert_to_tensor(x[start : start + _BATCH]), training=False)
        parts.append([ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)])
    return [np.concatenate(arrays) for arrays in zip(*parts)]


def _last_step_with_weights(graph):
    found = [step for step in steps(graph) if getattr(step.operation, "weights", None)]
    if not found or len(found[-1].inputs) != 1:
        raise DoesNotApply("This needs a last layer with weights and one input; there is none.")
    return found[-1]


def _fresh(name, taken):
    """A name for another call of a layer that is used more than once."""
    count = sum(other.partition(" (")[0] == name for other in taken)
    return f"{name} ({count + 1})" if count else name
