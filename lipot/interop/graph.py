"""Reading the graph of a Keras model."""

import keras

from lipot import checks
from lipot.backend.keras_graph import is_graph, producer


def check_graph(model):
    """Raises unless a model is a Keras model that computes what its graph of layers says."""
    if not isinstance(model, keras.Model) or isinstance(model, keras.Sequential):
        checks.built_model("model", model)
    if not is_graph(model):
        raise checks.invalid("model", "a Sequential or functional Keras model", model)


def operations_between(inputs, outputs):
    """Lists the operations on the way from some symbolic tensors to others."""
    known = {id(tensor) for tensor in inputs}
    waiting, found = list(outputs), {}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in known:
            continue
        known.add(id(tensor))
        step = producer(tensor)
        found[id(step.operation)] = step.operation
        waiting.extend(step.inputs)
    return list(found.values())
