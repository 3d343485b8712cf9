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


def largest_entry(tensor, axis=None):
    """The largest size of an entry, held fixed in derivatives: squares overflow and vanish.

    What a tensor gives that does not depend on its scale is computed from the tensor divided by
    this, whose squares do neither.

    Args:
        tensor: Float tensor.
        axis: Axis or axes to look along, all by default; they stay.

    Returns:
        A tensor of positive numbers that can be divided by, 1 where every entry is zero.

    Example:

    >>> from keras import ops
    >>> rows = ops.convert_to_tensor([[-3.0, 2.0], [0.0, 0.0]])
    >>> [float(row[0]) for row in largest_entry(rows, axis=1)]
    [3.0, 1.0]
    """
    largest = ops.stop_gradient(ops.max(ops.abs(tensor), axis=axis, keepdims=True))
    return ops.where(largest > 0.0, ops.maximum(largest, 2.0**-126), ops.ones_like(largest))


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
