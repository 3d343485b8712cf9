"""What labels and weights a loss or a metric accepts, and the errors for all others.

Shapes are always checked. Values are checked when there are any; while a program is being traced
there are none and nothing can be raised, so that wrong values turn the result into NaN instead.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.backend.keras_graph import mask_of
from lipot.math.divergences import are_distributions


class LabelledScores(NamedTuple):
    """Checked labels and scores.

    Attributes:
        labels: Float tensor, in the form that the reading function describes.
        scores: Float tensor `(batch, outputs)`.
        guard: Scalar tensor to add to what is computed: 0, or NaN where the labels are wrong.
    """

    labels: object
    scores: object
    guard: object


def read_binary(y_true, y_pred):
    """Reads labels in {0, 1} or {-1, 1}, one for each output, into labels in {0, 1}.

    Args:
        y_true: Tensor `(batch, outputs)`, or `(batch,)` for one output.
        y_pred: Float tensor `(batch, outputs)`, or `(batch,)` for one output.
    """
    scores = _as_column(y_pred)
    _check_rank_two(scores)
    labels = _as_column(y_true)
    if not _same_shape(labels.shape, scores.shape):
        shapes = "(batch, 1) or (batch,)" if scores.shape[-1] == 1 else "that of `y_pred`"
        _shape_error(f"labels in {{0, 1}} or {{-1, 1}} of shape {shapes}", y_true, y_pred)
    guard = _signs_guard(labels) + _finite_guard("y_pred", scores)
    return LabelledScores(_indicator(labels, scores), scores, guard)


def read_one_hot(y_true, y_pred):
    """Reads one-hot labels, with 0 or -1 for the other classes, into labels in {0, 1}.

    Args:
        y_true: Tensor `(batch, classes)`.
        y_pred: Float tensor `(batch, classes)`, at least two classes.
    """
    _check_multiclass(y_pred)
    if not _same_shape(y_true.shape, y_pred.shape):
        _one_hot_error(y_true, y_pred)
    labels = _indicator(y_true, y_pred)
    one_per_row = ops.all(ops.sum(labels, axis=-1) == 1.0)
    guard = _signs_guard(y_true) + _guard(
        one_per_row, "y_true", "one-hot rows with exactly one positive entry", y_true
    )
    return LabelledScores(labels, y_pred, guard + _finite_guard("y_pred", y_pred))


def read_distributions(y_true, y_pred):
    """Reads rows of probabilities, one-hot rows among them.

    Args:
        y_true: Tensor `(batch, classes)` of non-negative rows that sum to 1.
        y_pred: Float tensor `(batch, classes)`, at least two classes.
    """
    _check_multiclass(y_pred)
    if not _same_shape(y_true.shape, y_pred.shape):
        _one_hot_error(y_true, y_pred)
    valid = ops.all(are_distributions(y_true))
    guard = _guard(valid, "y_true", "non-negative rows that sum to 1", y_true)
    return LabelledScores(y_true, y_pred, guard + _finite_guard("y_pred", y_pred))


def read_classes(y_true, y_pred):
    """Reads class numbers from 0 to `classes - 1`, into a tensor of shape `(batch,)`.

    Args:
        y_true: Tensor `(batch,)` or `(batch, 1)`.
        y_pred: Float tensor `(batch, classes)`, at least two classes.
    """
    _check_multiclass(y_pred)
    classes = y_pred.shape[-1]
    labels = _as_column(y_true)
    if not _same_shape(labels.shape, (y_pred.shape[0], 1)):
        _shape_error(
            f"class numbers from 0 to {classes - 1} of shape (batch,) or (batch, 1)", y_true, y_pred
        )
    labels = labels[:, 0]
    in_range = ops.logical_and(labels >= 0.0, labels <= classes - 1.0)
    valid = ops.all(ops.logical_and(in_range, labels == ops.floor(labels)))
    guard = _guard(valid, "y_true", f"class numbers from 0 to {classes - 1}", y_true)
    return LabelledScores(labels, y_pred, guard + _finite_guard("y_pred", y_pred))


def read_groups(y_true, y_pred):
    """Reads numbers that tell classes apart, whichever they are, of rows of any number of outputs.

    Args:
        y_true: Tensor `(batch,)` or `(batch, 1)`.
        y_pred: Float tensor `(batch, outputs)`.

    Returns:
        Tensor `(batch,)`.
    """
    _check_rank_two(y_pred)
    labels = _as_column(y_true)
    if not _same_shape(labels.shape, (y_pred.shape[0], 1)):
        _shape_error("class numbers of shape (batch,) or (batch, 1), not one-hot", y_true, y_pred)
    return labels[:, 0]


def read_mask(y_pred, dtype):
    """Reads the mask that a layer has left on the predictions, as Keras's own losses do.

    Args:
        y_pred: Predictions as the network returned them: a cast tensor has lost its mask.
        dtype: Float type of the result.

    Returns:
        Tensor `(batch,)`, 0 for samples that are masked out and 1 for the others, or `None`.
    """
    mask = mask_of(y_pred)
    if mask is None:
        return None
    column = _as_column(mask)
    if not _same_shape(column.shape, (y_pred.shape[0], 1)):
        raise checks.refused(
            "y_pred",
            "a mask of one value for each sample, of shape (batch,) or (batch, 1), for `y_pred` "
            f"of shape {_shape(y_pred)}",
            f"a mask of shape {_shape(mask)}",
        )
    return ops.cast(ops.cast(column[:, 0], "bool"), dtype)


def without_masked(sample_weight, y_pred):
    """Sample weights for metrics, which read a mask only where they are given weights too.

    Args:
        sample_weight: Tensor `(batch,)`, or `None`.
        y_pred: Predictions as the network returned them.
    """
    mask = read_mask(y_pred, "float32")
    if mask is None:
        return sample_weight
    return mask if sample_weight is None else mask * ops.cast(sample_weight, "float32")


def weights_in_a_row(sample_weight):
    """Sample weights as a tensor `(batch,)`, or raises where there is not one for each sample."""
    shape = tuple(sample_weight.shape)
    if len(shape) > 2 or (len(shape) == 2 and shape[1] not in (1, None)):
        expected = "one weight for each sample, of shape (batch,) or (batch, 1)"
        raise checks.refused("sample_weight", expected, f"shape {shape}")
    return ops.reshape(sample_weight, (-1,))


def read_weights(sample_weight, scores, mask=None):
    """Reads sample weights, 1 each by default, into a tensor of shape `(batch,)`.

    Args:
        sample_weight: `None`, a scalar, or a tensor `(batch,)` or `(batch, 1)` of non-negative
            numbers.
        scores: Float tensor `(batch, outputs)`.
        mask: What `read_mask` returns: samples that are masked out weigh nothing.
    """
    ones = ops.ones_like(scores[:, 0]) if mask is None else mask
    if sample_weight is None:
        return ones
    weights = ops.convert_to_tensor(sample_weight, dtype=scores.dtype)
    column = ops.ones_like(scores[:, :1]) * weights if len(weights.shape) == 0 else weights
    column = _as_column(column)
    if not _same_shape(column.shape, (scores.shape[0], 1)):
        raise checks.refused(
            "sample_weight",
            "one weight for each sample, of shape (batch,) or (batch, 1), for `y_pred` of shape "
            f"{_shape(scores)}",
            f"sample_weight.shape={_shape(weights)}",
        )
    valid = ops.all(ops.logical_and(column >= 0.0, column < float("inf")))
    guard = _guard(valid, "sample_weight", "non-negative finite numbers", weights)
    return column[:, 0] * ones + guard


def _indicator(labels, scores):
    return ops.cast(labels > 0.0, scores.dtype)


def _signs_guard(labels):
    zeros, negatives = labels == 0.0, labels == -1.0
    known = ops.logical_or(labels == 1.0, ops.logical_or(zeros, negatives))
    mixed = ops.logical_and(ops.any(zeros), ops.any(negatives))
    valid = ops.logical_and(ops.all(known), ops.logical_not(mixed))
    return _guard(valid, "y_true", "labels in {0, 1} or in {-1, 1}", labels)


def _finite_guard(name, tensor):
    return _guard(ops.all(ops.isfinite(tensor)), name, "finite numbers", tensor)


def _guard(valid, name, expected, received):
    """Returns 0 if `valid`; otherwise raises, or returns NaN while a program is traced."""
    if backend.is_concrete(valid) and not bool(valid):
        values = np.unique(ops.convert_to_numpy(received))
        shown = ", ".join(f"{value:g}" for value in values[:6])
        raise checks.refused(
            name,
            expected,
            f"{name} with values [{shown}{(', ...' if len(values) > 6 else '')}]",
        )
    return ops.cast(ops.where(valid, 0.0, float("nan")), received.dtype)


def _check_rank_two(scores):
    if len(scores.shape) != 2:
        raise checks.refused(
            "y_pred", "scores of shape (batch, outputs)", f"y_pred.shape={_shape(scores)}"
        )


def _check_multiclass(y_pred):
    if len(y_pred.shape) != 2 or y_pred.shape[-1] is None or y_pred.shape[-1] < 2:
        raise checks.refused(
            "y_pred",
            "logits of shape (batch, classes) with at least 2 classes",
            f"y_pred.shape={_shape(y_pred)}",
        )


def _one_hot_error(y_true, y_pred):
    classes = y_pred.shape[-1]
    hint = ""
    if len(y_true.shape) == 1 or y_true.shape[-1] == 1:
        hint = f" (class numbers become one-hot with keras.utils.to_categorical(y, {classes}))"
    _shape_error(f"one-hot labels of shape (batch, {classes}){hint}", y_true, y_pred)


def _shape_error(expected, y_true, y_pred):
    raise checks.refused(
        "y_true", expected, f"y_true.shape={_shape(y_true)} with y_pred.shape={_shape(y_pred)}"
    )


def _as_column(tensor):
    return ops.expand_dims(tensor, -1) if len(tensor.shape) == 1 else tensor


def _same_shape(shape, expected):
    """Compares static shapes; an unknown size equals any."""
    return len(shape) == len(expected) and all(
        size is None or wanted is None or size == wanted for size, wanted in zip(shape, expected)
    )


def _shape(tensor):
    return tuple(tensor.shape)
