"""Gradients with respect to the weights of chosen networks, on every backend."""

import math
from typing import NamedTuple

from keras import ops

from lipot.backend import pullback
from lipot.backend.calls import stateless_call


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


def weight_gradients(networks, function, *, training=True):
    """Differentiates a scalar with respect to the trainable weights of some networks.

    Args:
        networks: List of built Keras models.
        function: Callable that takes `call` and returns `(value, auxiliary)`; `call(network, x)`
            runs one of the networks in training mode, and `call.penalty()` is the sum of what
            regularizers and `add_loss` asked for in the networks that ran.
        training: Whether `call` runs networks in training mode; else they are left as they are.

    Returns:
        A `WeightGradients`. State that the networks update, such as batch statistics, is updated.
        Networks that are frozen altogether have no variables and no gradients.
    """
    variables = [variable for network in networks for variable in network.trainable_variables]
    updates = []

    def evaluate(flat):
        call = _StatelessCall(dict(zip(map(id, variables), unflatten(flat, variables))), training)
        value, auxiliary = function(call)
        updates.extend(call.updates)
        return value, (auxiliary, call.after)

    # Variables can be none at all, and then there is nothing to join.
    pieces = [ops.reshape(variable, (-1,)) for variable in variables]
    flat = ops.concatenate(pieces) if pieces else ops.zeros((0,))
    value, (auxiliary, after), pull = pullback(evaluate, flat)
    for variable, new in zip(updates, after):
        variable.assign(new)
    gradients = unflatten(pull(ops.ones_like(value)), variables) if variables else []
    return WeightGradients(value, auxiliary, gradients, variables)


class _StatelessCall:
    """Runs networks on given values of their weights; see `weight_gradients`."""

    def __init__(self, values, training):
        self.updates, self.after = [], []
        self._training = training
        self._values, self._penalties = values, []

    def __call__(self, network, x):
        state = network.non_trainable_variables
        outputs, state_after, penalties = stateless_call(
            network,
            [self._values[id(variable)] for variable in network.trainable_variables],
            [variable.value for variable in state],
            x,
            training=self._training,
            return_losses=True,
        )
        if self._training:
            self.updates.extend(state)
            self.after.extend(state_after)
        self._penalties.extend(penalties)
        return outputs

    def penalty(self):
        return total(self._penalties)


def total(penalties):
    """Adds up the penalties of a model, `model.losses`, in float32."""
    return sum(
        (ops.cast(penalty, "float32") for penalty in penalties), start=ops.zeros((), "float32")
    )


def unflatten(flat, variables):
    """Cuts a vector into pieces with the shapes of some variables, in their order."""
    pieces, start = [], 0
    for variable in variables:
        size = math.prod(variable.shape)
        pieces.append(ops.reshape(flat[start : start + size], variable.shape))
        start += size
    return pieces
