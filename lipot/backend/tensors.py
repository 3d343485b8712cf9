"""Bits, pairs and numbers that frameworks handle each in a way of its own."""

import keras

from lipot.backend.running import engine


def bits(tensor):
    """Reads the bits of a float tensor as integers of the same width.

    Example:

    >>> from keras import ops
    >>> [hex(int(i)) for i in bits(ops.convert_to_tensor([1.0, -2.0]))][0]
    '0x3f800000'
    """
    return engine.bits(tensor, bits_dtype(tensor.dtype))


def bits_dtype(dtype):
    """Name of the integer type that `bits` gives for a float type."""
    return engine.bits_dtypes[keras.backend.standardize_dtype(dtype)]


def variable_bits_dtype(dtype):
    """Name of the integer type of variables that hold such bits; `bits_dtype` or one that is wider.

    Workers that share a TensorFlow strategy send each other signed integers alone.
    """
    return engine.variable_bits_dtype(bits_dtype(dtype))


def is_sparse(tensor):
    """Whether a tensor keeps the entries alone that are not zero.

    Example:

    >>> from keras import ops
    >>> is_sparse(ops.ones((2, 2)))
    False
    """
    return engine.is_sparse(tensor)


def adjustable(number):
    """Makes a float32 scalar that compiled programs see change.

    Args:
        number: Float, the first value.

    Returns:
        An object with `read()`, the scalar tensor to compute with, and `assign(number)`.
    """
    return engine.adjustable(float(number))


def full_precision():
    """A context in which tensors are multiplied in the type that they have.

    It is for what outlives the surroundings that it is computed in: inside `torch.autocast`
    products of float32 tensors are made in half precision.
    """
    return engine.full_precision()


def positive_definite(real, imag):
    """Whether Hermitian matrices are all positive definite, by Cholesky factorizations.

    Args:
        real: Float tensor `(count, n, n)`, the real parts.
        imag: Tensor like `real`, the imaginary parts.

    Returns:
        A boolean scalar tensor; false where a matrix holds a NaN.

    Example:

    >>> from keras import ops
    >>> [bool(positive_definite(ops.convert_to_tensor([[[d]]]), ops.zeros((1, 1, 1))))
    ...  for d in (2.0, -1.0)]
    [True, False]
    """
    return engine.positive_definite(real, imag)


def sort_pairs(inputs):
    """Sorts each pair of neighbors along the last axis, the smaller one first.

    Args:
        inputs: Tensor with an even length along its last axis.

    Returns:
        Tensor shaped like `inputs`. A pair that holds a NaN is left as it is. The Jacobian is a
        permutation everywhere, at ties as well.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in sort_pairs(ops.convert_to_tensor([3.0, 1.0, -2.0, 5.0]))]
    [1.0, 3.0, -2.0, 5.0]
    """
    return engine.sort_pairs(inputs)


def sort_pairs_fused(inputs):
    """`sort_pairs` as one kernel on TensorFlow, which would read and write the tensor eight times.

    The kernel is compiled once for each shape it meets, in some tenths of a second: it pays in
    training, where batches keep their size, and not where they shrink.

    Args:
        inputs: As for `sort_pairs`.

    Returns:
        What `sort_pairs` returns, bit by bit.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in sort_pairs_fused(ops.convert_to_tensor([3.0, 1.0, -2.0, 5.0]))]
    [1.0, 3.0, -2.0, 5.0]
    """
    return engine.sort_pairs_fused(inputs)
