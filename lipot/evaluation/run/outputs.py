"""What a model returns, logits or probabilities, and the classes it decides for."""

from typing import NamedTuple

import numpy as np

from lipot import batches, checks
from lipot.backend.squashing import before_squashing
from lipot.evaluation.run.storage import in_parts
from lipot.interop.art import heads
from lipot.math.classes import classes_of
from lipot.math.probabilities import may_be_probabilities

# Batches of a memory map that `predict` sees at once.
_BATCHES = 16


class Outputs(NamedTuple):
    """What a model returns.

    Attributes:
        kind: `"logits"` or `"probabilities"`.
        how: How it is known, for the report.
        attacked: What `lipot.interop.art.classifier` must be told to give attacks the logits.
        units: Width of the output.
    """

    kind: str
    how: str
    attacked: str
    units: int

    def classes(self, values):
        """Turns what the model returned into class numbers."""
        return classes_of(values, 0.5 if self.kind == "probabilities" else 0.0)


def find_outputs(model, values, outputs="auto"):
    """Finds out what a model returns.

    Args:
        model: Built Keras classifier.
        values: What it returned for some points, `(n, units)`.
        outputs: `"logits"` or `"probabilities"` where the user says it, else `"auto"`.

    Returns:
        `Outputs`.
    """
    checks.choice("outputs", outputs, heads.OUTPUTS)
    _check_scores(model, values)
    units = values.shape[1]
    stripped = before_squashing(model) is not None
    _check_claim(model, values, outputs, squashed=stripped)
    if outputs == "logits":
        return Outputs("logits", "given", "logits", units)
    if stripped:
        how = "the last layer is a softmax or a sigmoid; attacks get the logits before it"
        return Outputs("probabilities", how, "auto", units)
    if outputs == "probabilities":
        return Outputs("probabilities", "given; attacks get their logarithm", outputs, units)
    probable = may_be_probabilities(values)
    if probable and units == 1:
        raise checks.refused(
            "outputs",
            f"'logits' or 'probabilities': the one output of '{model.name}' stays between 0 and "
            "1, which both can do",
            "outputs='auto'",
        )
    if probable:
        how = "every row is a distribution; attacks get its logarithm"
        return Outputs("probabilities", how, "probabilities", units)
    how = "no softmax at the end, and the rows are no distributions"
    return Outputs("logits", how, "logits", units)


def predict(model, x, batch_size):
    """What the model itself returns, by its own `predict`, as float64 `(n, units)`."""
    if isinstance(x, np.memmap) and len(x) > _BATCHES * batch_size:
        return in_parts(lambda part: predict(model, part, batch_size), x, _BATCHES * batch_size)
    outputs = batches.predict(model, np.asarray(x), batch_size, verbose=0)
    if isinstance(outputs, dict | list | tuple):
        raise checks.refused(
            "model",
            "one array of outputs",
            f"'{model.name}', which returns a {type(outputs).__name__} of {len(outputs)}",
        )
    values = np.asarray(outputs)
    if values.ndim != 2:
        raise checks.refused(
            "model",
            "outputs of shape (points, units)",
            f"'{model.name}' with outputs of shape {values.shape}",
        )
    return values


def _check_claim(model, values, outputs, *, squashed):
    """Raises where the values cannot be what the user calls them."""
    low, high = float(np.min(values)), float(np.max(values))
    if outputs == "probabilities" and (low < 0.0 or high > 1.0):
        raise checks.refused(
            "outputs",
            f"'logits': '{model.name}' returns values between {low:.4g} and {high:.4g}",
            "outputs='probabilities'",
        )
    if outputs == "logits" and squashed and values.shape[1] == 1:
        raise checks.refused(
            "outputs",
            f"'probabilities': '{model.name}' ends in a sigmoid, which never falls below the 0 "
            "that decides between the classes of one logit",
            "outputs='logits'",
        )


def _check_scores(model, values):
    if not np.issubdtype(values.dtype, np.floating) and values.dtype.name != "bfloat16":
        raise checks.refused(
            "model",
            "scores, a float for each class",
            f"'{model.name}' with outputs of type {values.dtype}, which have no gradient",
        )
    if not np.all(np.isfinite(values)):
        received = f"'{model.name}', which returns NaN or infinite outputs on the points"
        raise checks.refused("model", "a model with finite weights", received)
