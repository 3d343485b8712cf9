"""Finds the logits of a model: what attacks must see, one value for each class.

An attack that climbs a softmax stops where the softmax saturates, and reports a robustness that
is not there. So a final softmax or sigmoid is taken off here, or refused.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from lipot import checks, notices
from lipot.backend.squashing import before_squashing
from lipot.math.classes import as_two_classes
from lipot.math.probabilities import may_be_probabilities

OUTPUTS = ("auto", "logits", "probabilities")


class Head(NamedTuple):
    """A model and how to read its outputs.

    Attributes:
        model: Keras model that shares its weights with the user's.
        read: Callable from the outputs of `model` to what the attack sees, in float32.
        units: Width of the output of `model`.
        classes: Number of classes.
    """

    model: keras.Model
    read: Callable
    units: int
    classes: int


def raw_head(model, units):
    """The head that returns what the model itself returns."""
    return Head(model, _as_float, units, max(units, 2))


def logits_head(model, units, outputs, sample):
    """The head that returns logits.

    A model of one unit `f` becomes one of two classes with logits `(-f, f)`.

    Args:
        model: Built Keras model with outputs of shape `(batch, units)`.
        units: Width of the output.
        outputs: `"auto"`, `"logits"` or `"probabilities"`, see `classifier`.
        sample: A batch of inputs, as the model reads them, to look at the outputs of.

    Returns:
        A `Head`.
    """
    checks.choice("outputs", outputs, OUTPUTS)
    read = _as_float
    if outputs == "auto":
        model = _without_probabilities(model, sample)
    elif outputs == "probabilities":
        read = _log_odds if units == 1 else _log_probabilities
    if units == 1:
        return Head(model, lambda values: as_two_classes(read(values)), 1, 2)
    return Head(model, read, units, units)


def _as_float(values):
    return ops.cast(values, "float32")


def _log_probabilities(values):
    return ops.log(ops.maximum(_as_float(values), keras.config.epsilon()))


def _log_odds(values):
    return _log_probabilities(values) - _log_probabilities(1.0 - _as_float(values))


def _without_probabilities(model, sample):
    stripped = before_squashing(model)
    if stripped is not None:
        notices.warn(
            f"Model '{model.name}' ends in probabilities; attacks get the logits before them.",
        )
        return stripped
    values = ops.convert_to_numpy(_as_float(model(sample, training=False)))
    if may_be_probabilities(values):
        raise ValueError(
            f"Invalid value received for argument `model`. Model '{model.name}' seems to return "
            "probabilities, and the logits before them were not found. Expected a model that "
            "ends in logits, or outputs='probabilities' to attack their logarithm, or "
            f"outputs='logits' if they are logits. Received: outputs such as {values[0]}"
        )
    return model
