"""Reading the graph of a Keras model."""

from lipot.backend import keras_graph


def is_graph(model):
    """Whether a model computes what its graph of layers says: Sequential or functional, built.

    A subclass may compute anything in a `call` of its own.
    """
    follows_graph = type(model).call.__module__.startswith("keras.")
    return follows_graph and getattr(model, "outputs", None) is not None


def producer(tensor):
    """Returns `(operation, inputs)`: what made a symbolic tensor, and from which tensors."""
    step = keras_graph.producer(tensor)
    return step.operation, step.inputs


def operations_between(inputs, outputs):
    """Lists the operations on the way from some symbolic tensors to others."""
    known = {id(tensor) for tensor in inputs}
    waiting, found = list(outputs), {}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in known:
            continue
        known.add(id(tensor))
        operation, tensors = producer(tensor)
        found[id(operation)] = operation
        waiting.extend(tensors)
    return list(found.values())
