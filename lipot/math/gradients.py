"""Tensors with the value of one thing and the derivative of another."""

from typing import Any

from keras import ops


def straight_through(value: Any, slope: Any) -> Any:
    """A tensor with the value of one, to the last bit, and the derivative of another.

    Args:
        value: Tensor; its own derivative is left out.
        slope: Tensor of the same shape, finite.

    Reference:
        Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", 2018.

    Example:

    >>> [float(v) for v in straight_through(ops.array([0.1]), ops.array([1e9]))]
    [0.10000000149011612]
    """
    # slope + (value - slope) would round to the digits of the larger one.
    return ops.stop_gradient(value) + (slope - ops.stop_gradient(slope))


def reversed_gradient(x: Any) -> Any:
    """A tensor with its own value and minus its derivative.

    One optimizer that descends then ascends what lies before it.

    Reference:
        Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", 2015.

    Example:

    >>> float(reversed_gradient(ops.array(3.0)))
    3.0
    """
    return 2.0 * ops.stop_gradient(x) - x
