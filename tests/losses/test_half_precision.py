"""Losses of half precision: computed in float32, and rounded once."""

import keras
import numpy as np
import pytest

from lipot import losses
from lipot.backend import value_and_input_gradient
from lipot.losses.weighted_loss import ReplicatedLoss
from tests.helpers import to_numpy
from tests.public_classes import make_with, public_classes

EVERY_LOSS = public_classes("losses", ReplicatedLoss)
LOGITS = np.random.default_rng(0).normal(size=(7, 3))
CLASSES = np.array([0, 1, 2, 0, 1, 0, 2])
BATCHES = {
    "some": LOGITS,
    "equal": np.zeros((7, 3)),
    "one point": np.repeat(LOGITS[:1], 7, axis=0),
    "tiny": 1e-8 * LOGITS,
    "far": LOGITS + 1000.0,
    "long": 1e3 * LOGITS,
}


def labels_for(loss):
    """Labels and the number of outputs that a loss reads."""
    if isinstance(loss, (losses.KR, losses.HKR, losses.HingeMargin, losses.TauBinaryCrossentropy)):
        return np.where(CLASSES == 0, 1.0, -1.0), 1
    numbers = losses.TauSparseCategoricalCrossentropy, losses.TripletLoss, losses.ContrastiveLoss
    return (CLASSES if isinstance(loss, numbers) else np.eye(3)[CLASSES]), 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", EVERY_LOSS)
def test_a_loss_is_that_of_float32_rounded_once(name, batch, dtype):
    half, single = (make_with("losses", name, dtype=kind) for kind in (dtype, "float32"))
    y_true, outputs = labels_for(half)
    y_pred = keras.ops.cast(BATCHES[batch][:, :outputs], dtype)
    value, gradient = value_and_input_gradient(lambda scores: half(y_true, scores), y_pred)
    wide, slope = value_and_input_gradient(
        lambda scores: single(y_true, scores), keras.ops.cast(y_pred, "float32")
    )
    assert keras.backend.standardize_dtype(value.dtype) == dtype
    assert np.isfinite(to_numpy(slope)).all()
    for found, expected in ((value, wide), (gradient, slope)):
        rounded = to_numpy(keras.ops.cast(keras.ops.cast(expected, dtype), "float32"))
        found = to_numpy(keras.ops.cast(found, "float32"))
        np.testing.assert_allclose(found, rounded, rtol=1e-6, atol=1e-7)


def test_class_numbers_are_not_rounded():
    logits = np.zeros((1, 300))
    logits[0, 257] = 10.0
    loss = losses.TauSparseCategoricalCrossentropy(tau=1.0, dtype="bfloat16")
    # 257 is 256 in bfloat16. log(1 + 299 e^-10) = 0.0135
    assert float(loss(np.array([257]), logits)) == pytest.approx(0.0135, rel=1e-2)


def test_a_mean_does_not_overflow_where_the_values_do_not():
    loss = losses.HingeMargin(min_margin=200.0, dtype="float16", reduction="none")
    assert to_numpy(loss(np.ones(1000), np.zeros((1000, 1)))).max() == 100.0
    mean = losses.HingeMargin(min_margin=200.0, dtype="float16")
    assert float(mean(np.ones(1000), np.zeros((1000, 1)))) == 100.0
