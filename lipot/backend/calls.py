"""Calls of models on values of their weights."""

import inspect


def stateless_call(model, trainable, non_trainable, x, *, training, **settings):
    """Calls a model on given values, whether or not its `call` asks if it trains.

    `model(x, training=...)` leaves the argument out for a `call` that does not know it;
    `model.stateless_call` hands it on.

    Args:
        model: Built Keras model.
        trainable: Values of `model.trainable_variables`.
        non_trainable: Values of `model.non_trainable_variables`.
        x: Tensor of inputs.
        training: Boolean.
        **settings: Further arguments of `stateless_call`.

    Returns:
        What `stateless_call` returns: outputs, values after it, and losses where asked for.
    """
    parameters = inspect.signature(model.call).parameters.values()
    if any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters):
        settings["training"] = training
    return model.stateless_call(trainable, non_trainable, x, **settings)
