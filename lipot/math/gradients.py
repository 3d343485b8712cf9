"""Tensors with the value of one thing and the derivative of another, and derivatives mended."""

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


def finite_gradient(gradient: Any) -> Any:
    """A gradient that an attack can follow where it is not finite.

    An infinite slope, as a square root has at 0, leads somewhere: it counts as much as the largest
    finite one of its row. One that is NaN, infinity times zero, leads nowhere. As they are, either
    would make a whole row NaN, and the attack would seem to find nothing.

    Args:
        gradient: Tensor `(batch, ...)`.

    Returns:
        Tensor shaped like `gradient`.

    Example:

    >>> gradient = ops.array([[float("inf"), 2.0, float("nan")], [-float("inf"), 0.0, 0.0]])
    >>> ops.convert_to_numpy(finite_gradient(gradient)).tolist()
    [[2.0, 2.0, 0.0], [-1.0, 0.0, 0.0]]
    """
    axes = tuple(range(1, len(gradient.shape)))
    finite = ops.isfinite(gradient)
    sizes = ops.where(finite, ops.abs(gradient), 0.0)
    # A batch without examples has a largest one too.
    largest = ops.max(sizes, axis=axes, keepdims=True, initial=0.0)
    infinite = ops.sign(gradient) * ops.where(largest > 0.0, largest, 1.0)
    return ops.where(finite, gradient, ops.where(ops.isnan(gradient), 0.0, infinite))
