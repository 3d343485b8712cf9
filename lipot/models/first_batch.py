"""Looks at the first batch of what `fit` or `evaluate` is given, before a program is traced."""

import types

import keras
import numpy as np


def first_batch(x, batch_size=None):
    """Takes the inputs of the first batch, and leaves the data as long as they were.

    Args:
        x: What `keras.Model.fit` takes: an array, a `tf.data.Dataset`, a `keras.utils.PyDataset`
            or a generator.
        batch_size: Of arrays; `None` for Keras's default of 32.

    Returns:
        `(inputs, x)`: the inputs, or `None` where they cannot be seen without drawing from the
        data; and what to train on in place of `x`, since a generator gives each batch once.

    Example:

    >>> inputs, x = first_batch((batch for batch in ([[1.0]], [[2.0]])))
    >>> inputs, list(x)
    ([1.0], [[[1.0]], [[2.0]]])
    """
    if isinstance(x, types.GeneratorType):
        batch = next(x, None)
        return _inputs(batch), x if batch is None else _chained(batch, x)
    if isinstance(x, keras.utils.PyDataset):
        return _inputs(x[0]), x
    if hasattr(x, "element_spec") and hasattr(x, "take"):
        return next((_inputs(batch) for batch in x.take(1)), None), x
    if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
        return x[: batch_size or 32], x
    return None, x


def _inputs(batch):
    return batch[0] if isinstance(batch, tuple | list) else batch


def _chained(batch, rest):
    yield batch
    yield from rest
