"""Gradients with respect to the weights of chosen networks, on every backend."""

import math
from typing import NamedTuple

from keras import ops

from lipot.backend import pullback


class WeightGradients(NamedTuple):
    """What `weight_gradients` returns.

    Attributes:
        value: The scalar that was differentiated.
        auxiliary: Whatever else the function returned.
        gradients: One tensor for each of `variables`.
        variables: The trainable variables of the networks.
    """

    value: object
    auxiliary: object
    gradients: list
    variables: list


def weight_gradients(networks, function):
    """Differentiates a scalar with respect to the trainable weights of some networks.

    Args:
        networks: List of built Keras models.
        function: Callable that takes `call` and returns `(value, auxiliary)`; `call(network, x)`
            runs one of the networks in training mode.

    Returns:
        A `WeightGradients`. State that the networks update, such as batch statistics, is updated.
    """
    variables = [variable for network in networks for variable in network.trainable_variables]
    updates = []

    def evaluate(flat):
        values = dict(zip(map(id, variables), _unflatten(flat, variables)))

        def call(network, x):
            state = network.non_trainable_variables
            outputs, state_after = network.stateless_call(
                [values[id(variable)] for variable in network.trainable_variables],
                [variable.value for variable in state],
                x,
                training=True,
            )
            updates.extend(state)
            after.extend(state_after)
            return outputs

        after = []
        value, auxiliary = function(call)
        return value, (auxiliary, after)

    flat = ops.concatenate([ops.reshape(variable, (-1,)) for variable in variables])
    value, (auxiliary, after), pull = pullback(evaluate, flat)
    for variable, new in zip(updates, after):
        variable.assign(new)
    gradients = _unflatten(pull(ops.ones_like(value)), variables)
    return WeightGradients(value, auxiliary, gradients, variables)


def _unflatten(flat, variables):
    pieces, start = [], 0
    for variable in variables:
        size = math.prod(variable.shape)
        pieces.append(ops.reshape(flat[start : start + size], variable.shape))
        start += size
    return pieces
