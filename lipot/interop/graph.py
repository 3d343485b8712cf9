"""Reading the graph of a Keras model."""

from lipot.backend.keras_graph import producer


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
