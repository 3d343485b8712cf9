"""Reading the graph of a Keras model."""

import keras

from lipot import checks
from lipot.backend.keras_graph import is_graph, producer
from lipot.models import AdversarialModel


def check_graph(model):
    """Raises unless a model is a Keras model that computes what its graph of layers says."""
    if not isinstance(model, keras.Model) or isinstance(model, keras.Sequential):
        checks.built_model("model", model)
    if not is_graph(model):
        expected = f"a Sequential or functional Keras model{_inside(model)}"
        raise checks.invalid("model", expected, model)


def _inside(model):
    """Where lipot's own models keep the graph that a user is after."""
    if isinstance(model, AdversarialModel):
        return ", such as its `classifier`"
    return ", such as its `inference_model()`" if hasattr(model, "inference_model") else ""


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
