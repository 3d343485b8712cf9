"""Where `keras.ops.add` on TensorFlow adds a bias along another axis than its own.

It hands an operand with a single long axis to TensorFlow's addition of biases: one of the last axis
where that is as long, else of axis 1. Which it is depends on the sizes that a program knows, and
TensorFlow makes one operation of a convolution and such a bias without asking for the axis.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import is_stock


def tensor_goes_elsewhere(first: tuple, second: tuple) -> bool:
    """Whether a computed operand may be added along an axis that is not its own, the batch too.

    Args:
        first: Shape of the tensor that it is added to, `None` for sizes that are not known.
        second: Shape of the operand, likewise.

    Example:

    >>> tensor_goes_elsewhere((None, 4), (None, 1)), tensor_goes_elsewhere((None, 4), (None, 4))
    (True, False)
    """
    long = [(axis, n) for axis, n in enumerate(second) if axis and n not in (1, None)]
    if len(long) > 1:
        return False
    if not long or None in second[1:]:
        # The batch itself may be as long.
        return True
    ((own, n),) = long
    chosen = {len(first) - 1} if first[-1] in (n, None) else set()
    if first[-1] != n and first[1] in (n, None):
        chosen.add(1)
    return not chosen <= {own}


def constant_goes_elsewhere(first: tuple, second: tuple) -> bool:
    """Whether some program may add a constant along another axis than broadcasting does.

    Args:
        first: Shape of the tensor that it is added to.
        second: Shape of the constant, of as many axes, one for the samples.

    Example:

    >>> constant_goes_elsewhere((None, 3, 5, 3), (1, 3, 1, 1))
    True
    >>> constant_goes_elsewhere((None, 3, 5, 4), (1, 3, 1, 1))
    False
    """
    long = [axis for axis, n in enumerate(second) if n != 1]
    if len(long) != 1 or keras.backend.backend() != "tensorflow":
        return False
    last, size = len(first) - 1, second[long[0]]
    taken_for = {last} if first[last] in (size, None) else set()
    taken_for |= {1} if first[1] == size else set()
    return not taken_for <= set(long)


def adds_bias_elsewhere(layer: Any, columns: int) -> bool:
    """Whether the call of a layer of Keras may add its bias along another axis than the channels.

    Args:
        layer: A built layer.
        columns: Size of its outputs along their last axis.
    """
    author = next(kind for kind in type(layer).__mro__ if "call" in vars(kind))
    bias = getattr(layer, "bias", None)
    first = getattr(layer, "data_format", None) == "channels_first"
    if bias is None or not (first and is_stock(author)):
        return False
    channels = bias.shape[0]
    elsewhere = constant_goes_elsewhere((None, channels, columns), (1, channels, 1))
    return elsewhere and not is_uniform(bias)


def is_uniform(bias: Any) -> bool:
    """Whether all numbers of a bias are the same, so that no axis is another one to it.

    Example:

    >>> is_uniform(np.zeros(3)), is_uniform(np.arange(3.0))
    (True, False)
    """
    return len(np.unique(ops.convert_to_numpy(ops.cast(bias, "float32")))) < 2
