"""What turns the logits of a model into probabilities, and the model before it."""

from typing import Any

import keras

from lipot.backend.keras_graph import graph_core, is_graph, is_stock, operation_kind, producer

# Layers that do nothing to the values at inference.
TRANSPARENT = (keras.layers.Dropout, keras.layers.Identity, keras.layers.ActivityRegularization)
# Layers that move them elsewhere.
_MOVING = (keras.layers.Reshape, keras.layers.Flatten)
_FUNCTIONS = ("softmax", "sigmoid", "hard_sigmoid")


def squashing_of(operation: Any) -> str | None:
    """What function a layer or operation ends in, if it makes probabilities of logits.

    A layer of a user's own may bear the name of one of Keras: it is none.

    Returns:
        `"softmax"`, `"sigmoid"`, `"hard_sigmoid"` or `None`.

    Example:

    >>> squashing_of(keras.layers.Dense(3, "softmax")), squashing_of(keras.layers.Dense(3, "relu"))
    ('softmax', None)
    """
    kind = operation_kind(operation)
    if kind in _FUNCTIONS:
        return kind
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    # A Lambda calls a function, other layers have an activation.
    function = getattr(operation, "activation", getattr(operation, "function", None))
    name = getattr(function, "__name__", "")
    return name if is_stock(function) and name in _FUNCTIONS else None


def final_squashing(model: Any) -> str | None:
    """What turns the outputs of a model into probabilities, in words, or None.

    That is a softmax or a sigmoid in any form that a graph shows: an activation, a layer or an
    operation, in an inner model or before layers that do nothing at inference.

    Example:

    >>> x = keras.Input((2,))
    >>> final_squashing(keras.Model(x, keras.ops.softmax(keras.layers.Dense(3)(x))))
    'the operation softmax'
    """
    core = graph_core(model)
    if core is None:
        layers = getattr(model, "layers", [])
        return _in_words(layers[-1]) if layers else None
    step = _past(core.outputs[0], TRANSPARENT + _MOVING)
    if isinstance(step.operation, keras.Model):
        return final_squashing(step.operation)
    return _in_words(step.operation)


def before_squashing(model: Any) -> keras.Model | None:
    """The model without its final softmax or sigmoid, or `None` where its graph shows none.

    It shares the weights of the model.

    Args:
        model: Keras model; what a subclass computes in a `call` of its own is not known.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    >>> logits = before_squashing(network)
    >>> bool(keras.ops.all(keras.ops.softmax(logits(keras.ops.ones((1, 2))))
    ...                    == network(keras.ops.ones((1, 2)))))
    True
    """
    if not is_graph(model):
        return None
    step = _past(model.outputs[0], TRANSPARENT)
    operation = step.operation
    if not step.inputs:
        return None
    if isinstance(operation, keras.Model):
        inner = before_squashing(operation)
        return None if inner is None else keras.Model(model.inputs[0], inner(step.inputs[0]))
    if squashing_of(operation) not in ("softmax", "sigmoid"):
        return None
    if getattr(operation, "activation", None) is None or _is_activation(operation):
        return keras.Model(model.inputs[0], step.inputs[0])
    return keras.Model(model.inputs[0], _Unsquashed(operation)(step.inputs[0]))


def _past(tensor, transparent):
    """The last step before some kinds of layers at the end of a graph."""
    while True:
        step = producer(tensor)
        if not isinstance(step.operation, transparent) or not step.inputs:
            return step
        tensor = step.inputs[0]


def _in_words(operation):
    if isinstance(operation, keras.Model):
        return final_squashing(operation)
    name = squashing_of(operation)
    if name is None:
        return None
    if not isinstance(operation, keras.layers.Layer):
        return f"the operation {name}"
    if isinstance(operation, keras.layers.Softmax):
        return f"the layer '{operation.name}', a softmax"
    return f"the layer '{operation.name}' with activation {name}"


def _is_activation(operation):
    return type(operation) is keras.layers.Activation


class _Unsquashed(keras.layers.Layer):
    """Calls a layer without its activation, on the layer's own weights."""

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs):
        # Past `__setattr__`: the arguments of a layer of lipot are fixed.
        arguments = vars(self.layer)
        activation, arguments["activation"] = arguments["activation"], keras.activations.linear
        try:
            return self.layer(inputs)
        finally:
            arguments["activation"] = activation
