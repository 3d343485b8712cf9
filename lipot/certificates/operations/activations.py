"""Activations, and the functions of the family of softmax, called as operations."""

import math

import keras

from lipot.certificates.operations.registry import node_of
from lipot.layers.activation_bounds import (
    activation_bound,
    elementary,
    log_softmax_bound,
    log_sum_exp_bound,
    piecewise_linear,
    softmax_bound,
    steepest_number,
)

# Arguments with which these are the functions of `keras.activations` that have a bound.
_ARGUMENTS = {"celu": {"alpha": 1.0}, "soft_shrink": {"threshold": 0.5}, "squareplus": {"b": 4}}


@node_of(
    "celu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
)
def activation(call):
    for name, value in _ARGUMENTS.get(call.kind, {}).items():
        given = getattr(call.operation, name)
        if not isinstance(given, float | int) or given != value:
            raise call.refused(f"Expected {name}={value}. Received: {name}={given}")
    function = getattr(keras.activations, call.kind)
    return call.after(activation_bound(function, call.node.shape, call.node.norm, call.dtype))


@node_of("elu")
def elu(call):
    slope = steepest_number(call.operation, call.operation.alpha, call.dtype)
    return call.after(elementary(slope, call.node.shape, call.node.norm))


@node_of("leaky_relu", "bent")
def bent_line(call):
    operation = call.operation
    if call.kind == "bent":
        if operation.threshold:
            raise call.refused(
                "it jumps at its threshold. Expected threshold=0. "
                f"Received: threshold={operation.threshold}"
            )
        if not operation.negative_slope and not operation.max_value:
            return call.moved()
        steepest_number(operation, operation.max_value or 0.0, call.dtype)
    slope = steepest_number(operation, operation.negative_slope, call.dtype)
    return call.after(piecewise_linear(slope))


@node_of("softmax")
def softmax(call):
    call.axes(call.operation.axis)
    return call.after(softmax_bound(call.node.shape, call.node.norm))


@node_of("log_softmax")
def log_softmax(call):
    return call.after(log_softmax_bound(call.node.shape, _values_of(call), call.node.norm))


@node_of("log_sum_exp")
def log_sum_exp(call):
    return call.after(log_sum_exp_bound(call.node.shape, _values_of(call), call.node.norm))


def _values_of(call):
    """Number of values along the axes of a call; they must be known."""
    sizes = [call.node.shape[axis] for axis in call.axes(call.operation.axis)]
    if None in sizes:
        raise call.refused(
            "nobody knows how many values it takes together. Expected axes of fixed size. "
            f"Received: axis={call.operation.axis} of shape {tuple(call.node.shape)}"
        )
    return math.prod(sizes)
