"""Which float type small exact computations run in on the current backend."""

import keras
from keras import ops


def widest_float():
    """Returns "float64" where the backend has it, else "float32" (JAX without x64).

    Example:

    >>> widest_float() in ("float32", "float64")
    True
    """
    return keras.backend.standardize_dtype(ops.cast(0.0, "float64").dtype)


def resolution(tensor):
    """Returns the spacing of floats at 1 in the type of `tensor`.

    Example:

    >>> resolution(ops.zeros((1,), "float32")) == 2.0**-23
    True
    """
    bits = {"float64": 52, "float32": 23, "bfloat16": 7, "float16": 10}
    return 2.0 ** -bits[keras.backend.standardize_dtype(tensor.dtype)]
