"""How the weights behind a kernel start, and what becomes of them after each optimizer step."""

import contextlib
import contextvars
import math

import keras
from keras import ops

from lipot.math.scaling import wide_dtype

_DEFERRED = contextvars.ContextVar("deferred_retraction", default=False)


class Started(keras.initializers.Initializer):
    """Draws with an initializer and brings the drawn weight to where training shall start."""

    def __init__(self, initializer, start):
        self.initializer = initializer
        self.start = start

    def __call__(self, shape, dtype=None):
        return self.start(self.initializer(shape, dtype=dtype))


class DrawnWide(keras.initializers.Initializer):
    """Draws in float32 where the weight is of half precision, in which TensorFlow factors nothing.

    Args:
        initializer: What `keras.initializers.get` takes.
    """

    def __init__(self, initializer):
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape, dtype=None):
        dtype = keras.backend.standardize_dtype(dtype)
        return ops.cast(self.initializer(shape, dtype=wide_dtype(dtype)), dtype)


class OneDraw(keras.initializers.Initializer):
    """Draws a stack of matrices as one: an initializer repeats itself when it is called again."""

    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        drawn = self.initializer((math.prod(shape[:-1]), shape[-1]), dtype=dtype)
        return ops.reshape(drawn, shape)


class Projection(keras.constraints.Constraint):
    """Applies the user's constraint, then the parametrization's projection, after each step.

    It belongs to the weight, not to the layer's configuration: the layer rebuilds it. An optimizer
    that retracts by itself finds the matrices here, and steps within `deferred_retraction`.
    """

    def __init__(self, parametrization, constraint):
        self.parametrization = parametrization
        self.constraint = constraint

    def __call__(self, weight):
        weight = self.constrained(weight)
        if _DEFERRED.get() and self.orthonormal(weight) is not None:
            return weight
        return self.parametrization.project(weight)

    def constrained(self, weight):
        """The weight after the user's own constraint."""
        return weight if self.constraint is None else self.constraint(weight)

    def orthonormal(self, weight):
        """The weight as a stack of matrices that stay orthonormal, or `None`."""
        return self.parametrization.orthonormal(weight)


@contextlib.contextmanager
def deferred_retraction():
    """Within it constraints leave orthonormal weights to an optimizer that retracts by itself."""
    token = _DEFERRED.set(True)
    try:
        yield
    finally:
        _DEFERRED.reset(token)
