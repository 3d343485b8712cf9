"""Which float type small exact computations run in on the current backend."""

import keras


def widest_float():
    """Returns the widest float type that `keras.ops` computes in.

    That is float64 on TensorFlow. JAX and PyTorch have it, but there Keras casts it to float32 in
    some operations and keeps it in others.

    Example:

    >>> widest_float() in ("float32", "float64")
    True
    """
    return keras.backend.result_type("float64")


def resolution(tensor):
    """Returns the spacing of floats at 1 in the type of `tensor`.

    Example:

    >>> resolution(keras.ops.zeros((1,), "float32")) == 2.0**-23
    True
    """
    bits = {"float64": 52, "float32": 23, "bfloat16": 7, "float16": 10}
    return 2.0 ** -bits[keras.backend.standardize_dtype(tensor.dtype)]
