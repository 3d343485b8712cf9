"""The base of the metrics of what a Lipschitz constant proves about each prediction."""

import math

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_mask, read_weights
from lipot.math.scaling import wide_dtype


class ProvableMetric(keras.metrics.Metric):
    """Weighted mean of a number that each sample's signed radius decides.

    The signed radius is the margin of the true class divided by the fastest it can change. It is
    positive where the prediction is right, and in exact arithmetic no l2 perturbation shorter than
    it makes it wrong. What floating point can do, `lipot.certify` counts; a metric sees scores
    alone and cannot.

    A mask that a layer has left on the scores counts as in Keras. Half precision is the dtype of
    the result alone: a count in it would stop at 2048, or at 256.

    Subclasses set `read`, one of the reading functions of `lipot.losses.labels`, and define
    `sample_values`.

    Args:
        lip_const: Positive float, the Lipschitz constant of the network.
        name: Name of the metric.
        dtype: Dtype of the result.
    """

    read = None

    def __init__(self, lip_const=1.0, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.lip_const = checks.positive_float("lip_const", lip_const)
        self._mean = keras.metrics.Mean(name="mean", dtype=wide_dtype(self.dtype))

    def sample_values(self, labels, scores):
        """Computes the tensor `(batch,)` to average, from labels in {0, 1}."""
        raise TypeError(f"{type(self).__name__} must define sample_values().")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: Labels.
            y_pred: Scores of the network, before any softmax or sigmoid.
            sample_weight: `None` or non-negative weights `(batch,)`.
        """
        # In half precision the lead of a logit would be lost.
        dtype = wide_dtype(self.dtype)
        batch = type(self).read(
            ops.convert_to_tensor(y_true, dtype=dtype), ops.convert_to_tensor(y_pred, dtype=dtype)
        )
        weights = read_weights(sample_weight, batch.scores, read_mask(y_pred, dtype))
        values = self.sample_values(batch.labels, batch.scores) + batch.guard
        self._mean.update_state(values, sample_weight=weights)

    def result(self):
        return ops.cast(self._mean.result(), self.dtype)

    def get_config(self):
        return {"lip_const": self.lip_const, **super().get_config()}


def margin_lipschitz(lip_const, disjoint_neurons):
    """Lipschitz constant of the difference of two logits.

    It is `2 L` for logits that are `L`-Lipschitz one by one, and `sqrt(2) L` for a vector of
    logits that is `L`-Lipschitz as a whole, since `|e_i - e_j| = sqrt(2)`.
    """
    return (2.0 if disjoint_neurons else math.sqrt(2.0)) * lip_const
