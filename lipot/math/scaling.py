"""Arithmetic of layers that keep norms, safe in half precision."""

import keras
from keras import ops


def at_least_float32(tensor):
    """Casts half precision to float32 and leaves wider floats alone.

    Example:

    >>> from keras import ops
    >>> keras.backend.standardize_dtype(at_least_float32(ops.ones(2, "float16")).dtype)
    'float32'
    """
    return ops.cast(tensor, wide_dtype(tensor.dtype))


def wide_dtype(dtype=None):
    """The dtype to compute in for tensors of some dtype: float64 for itself, else float32.

    Args:
        dtype: Name of a dtype; `keras.config.floatx()` by default.

    Example:

    >>> wide_dtype("bfloat16"), wide_dtype("float64")
    ('float32', 'float64')
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def scale(tensor, factor, dtype=None):
    """Multiplies by a Python number with a single rounding, to the result's dtype.

    In half precision the number itself would be rounded first, by up to 5e-4, and a Lipschitz
    constant with it.

    Args:
        tensor: Float tensor.
        factor: Python float.
        dtype: Dtype of the result; that of `tensor` by default.

    Returns:
        Tensor shaped like `tensor`.

    Example:

    >>> from keras import ops
    >>> float(scale(ops.convert_to_tensor(3.0), 0.5))
    1.5
    """
    dtype = keras.backend.standardize_dtype(dtype or tensor.dtype)
    if factor != 1.0:
        tensor = factor * at_least_float32(tensor)
    return ops.cast(tensor, dtype)
