"""Looks at the first batch of what `fit` or `evaluate` is given, before a program is traced."""

import types

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.math.probabilities import may_be_probabilities


class ChecksFirstBatch:
    """Mixin: a model that says what a compiled step cannot say is wrong with data and logits.

    The inputs of the first batch must lie in the data range of the model's `attack`, the model
    must return logits for them, not probabilities, and class numbers in an array must be those of
    its outputs: others would make every loss NaN.
    """

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        return super().fit(self._checked(x, batch_size, y), y, batch_size, *args, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        # Inside `fit` Keras draws from an iterator that it keeps: nothing may be taken here.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = self._checked(x, batch_size, y)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        return super().train_on_batch(self._checked(x, len(x)), *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        return super().test_on_batch(self._checked(x, len(x)), *args, **kwargs)

    def _checked(self, x, batch_size, y=None):
        inputs, x = first_batch(x, batch_size)
        if inputs is None or len(inputs) == 0:
            return x
        inputs = ops.cast(inputs, keras.config.floatx())
        if self.attack is not None:
            self.attack.check_range(inputs)
        scores = ops.convert_to_numpy(ops.cast(self(inputs[:32], training=False), "float32"))
        if len(scores.shape) == 2 and may_be_probabilities(scores):
            raise ValueError(
                "Invalid value received for argument `classifier`. Expected a model that returns "
                "logits. Received: outputs for the first batch that are probabilities"
            )
        _check_classes(y, scores.shape[-1])
        return x


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
    if isinstance(x, np.ndarray) or ops.is_tensor(x):
        return x[: batch_size or 32], x
    return None, x


def _check_classes(y, count):
    numbers = isinstance(y, np.ndarray) and y.dtype.kind in "iu" and 0 < len(y) == y.size
    if numbers and count > 1:
        checks.labels(y.ravel(), y.size, count)


def _inputs(batch):
    return batch[0] if isinstance(batch, tuple | list) else batch


def _chained(batch, rest):
    yield batch
    yield from rest
