"""Looks at the first batch of what `fit` or `evaluate` is given, before a program is traced."""

import types

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import forget_programs
from lipot.losses.labels import weights_in_a_row
from lipot.math.divergences import are_distributions, without_signs
from lipot.math.probabilities import may_be_probabilities


class ChecksFirstBatch:
    """Mixin: a model that says what a compiled step cannot say is wrong with data and logits.

    The inputs of the first batch must lie in the data range of the model's `attack`, the model
    must return logits for them, not probabilities, and class numbers must be those of its outputs:
    others would make every loss NaN. Of arrays all labels are checked, else those of the batch;
    without any nothing begins, since Keras on JAX has taken the weights off a model by the time
    that a step raises.
    The data of `validation_data` are looked at like those that are trained on.
    `train_on_batch` and `test_on_batch` check each batch they are given.
    """

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        x, share = self._checked(x, batch_size, y), _share(self.attack)
        kwargs = with_checked_validation(kwargs, self._checked)
        _check_weights(kwargs)
        try:
            return super().fit(x, y, batch_size, *args, **kwargs)
        except BaseException:
            # What a schedule has made of the attack would flatter the next evaluation.
            if share is not None:
                self.attack.share = share
            raise

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        # Inside `fit` Keras draws from an iterator that it keeps: nothing may be taken here.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = self._checked(x, batch_size, y)
            _check_weights(kwargs)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        self._check_one(x, y)
        _check_weights(kwargs)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        self._check_one(x, y)
        _check_weights(kwargs)
        return super().test_on_batch(x, y, *args, **kwargs)

    def _checked(self, x, batch_size, y=None):
        batch, x = first_batch(x, batch_size)
        inputs, labels = parts_of(batch)
        if inputs is not None and len(inputs):
            self._check_inputs(inputs)
            self._count_outputs(inputs)
            self._check_labels(labels if y is None else y)
        return x

    def _check_one(self, x, y):
        """Checks all of one batch. Whether the model returns logits is asked of the first alone."""
        inputs = one_array(x) if _is_nest(x) else x
        if not _is_array(inputs) or not len(inputs):
            return
        self._check_inputs(inputs)
        # No value of the class: one that differs on the object would undo its certificate.
        if not hasattr(self, "_class_count"):
            self._count_outputs(inputs)
        self._check_labels(y)

    def _check_inputs(self, inputs):
        check_numbers("x", inputs)
        if self.attack is not None:
            self.attack.check_range(ops.cast(inputs, keras.config.floatx()))

    def _count_outputs(self, inputs):
        """Keeps how many scores the model returns, which must not be probabilities."""
        inputs = ops.cast(inputs[:32], keras.config.floatx())
        scores = ops.convert_to_numpy(ops.cast(self(inputs, training=False), "float32"))
        if len(scores.shape) == 2 and may_be_probabilities(scores):
            raise checks.refused(
                "classifier",
                "a model that returns logits",
                "outputs for the first batch that are probabilities",
            )
        self._class_count = scores.shape[-1]

    def _check_labels(self, labels):
        labels = labels_of(labels)
        _check_classes(labels, self._class_count)
        rank = np.ndim(labels)
        if rank != getattr(self, "_label_rank", rank):
            # A program of TensorFlow that has met several ranks knows none, and losses need one.
            forget_programs(self)
            self.forget_train_function()
        self._label_rank = rank


def _check_weights(arguments):
    """Raises where the `sample_weight` among named arguments is not one number for each sample."""
    weights = arguments.get("sample_weight")
    if _is_array(weights):
        weights_in_a_row(weights)


def _share(attack):
    return None if attack is None else float(attack.share)


def first_batch(x, batch_size=None):
    """Takes the first batch, and leaves the data as long as they were.

    Args:
        x: What `keras.Model.fit` takes: an array, alone or in a list or dict of one, a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator.
        batch_size: Of arrays; `None` for Keras's default of 32.

    Returns:
        `(batch, x)`: the batch, of an array its inputs alone, or `None` where it cannot be seen
        without drawing from the data; and what to train on in place of `x`, since a generator
        gives each batch once.

    Example:

    >>> batch, x = first_batch((batch for batch in ([[1.0]], [[2.0]])))
    >>> batch, list(x)
    ([[1.0]], [[[1.0]], [[2.0]]])
    """
    if isinstance(x, types.GeneratorType):
        batch = next(x, None)
        return batch, x if batch is None else _chained(batch, x)
    if isinstance(x, keras.utils.PyDataset):
        return x[0], x
    if hasattr(x, "element_spec") and hasattr(x, "take"):
        return next(iter(x.take(1)), None), x
    if _is_array(x) or _is_nest(x):
        inputs = one_array(x)
        return (inputs[: batch_size or 32],), x
    return None, x


def with_checked_validation(arguments, check):
    """Checks the `validation_data` among named arguments of `fit`, before anything is trained.

    Args:
        arguments: Dictionary of arguments.
        check: Function of data, a batch size and labels, that returns what to draw from.

    Returns:
        The arguments, with what to draw from in place of the data.
    """
    data, size = arguments.get("validation_data"), arguments.get("validation_batch_size")
    try:
        if isinstance(data, tuple | list):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            check(x, size, y)
        elif data is not None:
            return {**arguments, "validation_data": check(data, size)}
    except ValueError as error:
        error.add_note("It was found in `validation_data`.")
        raise
    return arguments


def one_array(x):
    """The inputs, out of a list or a dict of one as Keras takes them.

    Args:
        x: An array, a tensor or nested lists of numbers, or a list, tuple or dict with one array.

    Raises:
        ValueError: There are several, or none.

    Example:

    >>> one_array({"pixels": np.ones(2)})
    array([1., 1.])
    """
    leaves = _leaves(x)
    if len(leaves) != 1 or leaves[0] is None:
        raise checks.refused(
            "x", "one array of inputs, alone or in a list or dict of one", f"{len(leaves)} arrays"
        )
    return leaves[0]


def _leaves(nest):
    """The arrays of a nest; nested lists of numbers are one."""
    leaves = keras.tree.flatten(nest)
    numbers = leaves and all(isinstance(leaf, int | float) for leaf in leaves)
    return [nest] if numbers else leaves


def labels_of(y):
    """The labels that a step is given, out of a list or a dict of one as Keras takes them.

    Raises:
        ValueError: There are none, or several arrays.
    """
    leaves = _leaves(y)
    if all(leaf is None for leaf in leaves):
        raise checks.refused("y", "labels: an attack and its losses need them", "y=None")
    if len(leaves) > 1:
        raise checks.refused("y", "one array of labels", f"{len(leaves)} arrays")
    return leaves[0]


def _check_classes(y, count):
    if not _is_array(y):
        return
    y = ops.convert_to_numpy(y)
    check_numbers("y", y)
    if y.dtype.kind not in "iuf" or not len(y) or count <= 1:
        return
    if len(y) == y.size:
        checks.labels(y.ravel(), y.size, count)
    elif y.shape == (len(y), count):
        _check_rows(y)


def check_numbers(name, array):
    """Raises where an array of NumPy holds no numbers."""
    # V is how NumPy names the kind of a bfloat16.
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biufV":
        expected = checks.CLASS_NUMBERS if name == "y" else "numbers"
        raise checks.refused(name, expected, f"dtype {array.dtype}")


def _check_rows(y):
    valid = ops.convert_to_numpy(are_distributions(without_signs(ops.cast(y, "float32"))))
    if not np.all(valid):
        row = y[np.argmin(valid)]
        raise checks.refused(
            "y",
            "class numbers, rows of probabilities that sum to 1, or one-hot rows in {0, 1} or in "
            "{-1, 1}",
            f"the row [{', '.join(f'{value:g}' for value in row[:6])}"
            f"{', ...' if len(row) > 6 else ''}]",
        )


def parts_of(batch):
    """Inputs and labels of a batch of `first_batch`, `None` for what it lacks."""
    parts = batch if isinstance(batch, tuple | list) else (batch,)
    inputs, labels = (*parts, None)[:2]
    return one_array(inputs) if _is_nest(inputs) else inputs, labels


def _is_array(x):
    return isinstance(x, np.ndarray) or ops.is_tensor(x)


def _is_nest(x):
    """Whether this is a container of arrays, and no nested list of numbers."""
    return isinstance(x, dict | list | tuple) and any(map(_is_array, keras.tree.flatten(x)))


def _chained(batch, rest):
    yield batch
    yield from rest
