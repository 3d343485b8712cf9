"""The gradient of every public loss along a direction, against central differences."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import losses
from lipot.backend import value_and_input_gradient
from lipot.math.precision import widest_float
from lipot.math.transport import sliced_wasserstein
from tests.helpers import DIFFERENCE_ERROR, numeric_gradient, to_numpy
from tests.losses.test_half_precision import CLASSES, EVERY_LOSS, LOGITS, labels_for
from tests.public_classes import make_with, public_classes

PAIRED = public_classes("losses", losses.PairedLoss)
# What a loss holds constant does not depend on the scores then, or has converged.
CONSTANT = {
    "EMMA": {"eps": 0.05},
    "SinkhornDivergence": {"iterations": 60},
    "SoftHKR": {"temperature": 0.0},
}
RNG = np.random.default_rng(0)
CLEAN = RNG.normal(size=(8, 5)).astype("float32")
MOVED = CLEAN + 0.3 * RNG.normal(size=(8, 5)).astype("float32")
LABELS = np.array([*CLASSES, 1])
KERNEL, DIRECTION = 0.5 * RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
TRANSPORT = sliced_wasserstein(
    np.tanh(MOVED @ KERNEL.astype("float32")),
    np.tanh(CLEAN @ KERNEL.astype("float32")),
    np.eye(3, dtype="float32"),
)


def _slopes(value, place, direction, step):
    """The derivative along a direction, half of it uphill: by the gradient, and by differences."""
    _, gradient = value_and_input_gradient(value, ops.convert_to_tensor(place))
    gradient = to_numpy(gradient)
    uphill = gradient / np.linalg.norm(gradient) * np.linalg.norm(direction)
    direction = 0.5 * (direction + uphill)
    along = numeric_gradient(lambda t: value(place + t[0] * direction), np.zeros(1), step)
    return np.sum(gradient * direction), along[0]


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_gradients_with_respect_to_scores(name):
    loss = make_with("losses", name, dtype="float64", **CONSTANT.get(name, {}))
    labels, outputs = labels_for(loss)
    # Every class leads in its own row by more than the radius of EMMA.
    scores = (LOGITS + 3.0 * np.eye(3)[CLASSES] * (name == "EMMA"))[:, :outputs]
    direction = np.random.default_rng(1).normal(size=scores.shape)
    # PyTorch computes in float32 what is declared float64.
    step = 1e-6 if widest_float() == "float64" else 1e-3
    found, expected = _slopes(lambda s: loss(labels, s), scores, direction, step)
    assert abs(expected) > 1e-3
    assert found == pytest.approx(expected, abs=DIFFERENCE_ERROR)


@pytest.mark.parametrize("name", PAIRED)
def test_gradients_with_respect_to_weights(name):
    def total(kernel):
        # Each evaluation draws the same numbers.
        keras.utils.set_random_seed(0)
        loss = make_with("losses", name, **CONSTANT.get(name, {}))
        loss.build((None, 3))
        one_hot = isinstance(getattr(loss, "loss", None), losses.MulticlassHKR)
        kernel = ops.cast(kernel, "float32")

        def network(x):
            logits = ops.tanh(ops.matmul(x, kernel))
            return logits, logits

        labels = np.eye(3)[LABELS] if one_hot else LABELS
        batch = losses.PairedBatch(network, ops.convert_to_tensor(CLEAN), labels, MOVED)
        if name == "OptimalJacobian":
            # The directions move with the weights, and count as constant.
            batch._sliced[loss.projections] = TRANSPORT
        return ops.sum(loss(batch))

    # Paired losses compute in float32.
    found, expected = _slopes(total, KERNEL.astype("float32"), DIRECTION.astype("float32"), 5e-4)
    assert abs(expected) > 1e-2
    assert found == pytest.approx(expected, rel=1e-2)
