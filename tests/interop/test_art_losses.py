"""The losses that attacks climb, against numbers worked out by hand and scikit-learn."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import log_loss

from lipot.interop.art import classifier
from lipot.interop.art.losses import crossentropy, difference_logits_ratio, margin
from tests.interop.test_art_gradients import smooth_model


def test_crossentropy_is_scikit_learns():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    labels = np.array([0, 1, 2, 3, 1, 1])
    values = crossentropy(ops.one_hot(labels, 4), ops.convert_to_tensor(logits))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [log_loss([i], [p], labels=range(4)) for i, p in zip(labels, probabilities)]
    np.testing.assert_allclose(ops.convert_to_numpy(values), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("label", "expected"),
    # -(z_y - max of the others) / (largest - third largest), on logits 4, 1, 3, 0.
    [(0, -(4 - 3) / (4 - 1)), (1, -(1 - 4) / (4 - 1)), (2, -(3 - 4) / 3), (3, -(0 - 4) / 3)],
)
def test_difference_of_logits_ratio_by_hand(label, expected):
    logits = ops.convert_to_tensor([[4.0, 1.0, 3.0, 0.0]])
    for scaled in (logits, 10.0 * logits + 5.0):
        value = difference_logits_ratio(ops.one_hot([label], 4), scaled)
        np.testing.assert_allclose(ops.convert_to_numpy(value), [expected], rtol=1e-5)


@pytest.mark.parametrize(("label", "expected"), [(0, 3 - 4), (1, 4 - 1), (2, 4 - 3), (3, 4 - 0)])
def test_margin_by_hand(label, expected):
    logits = ops.convert_to_tensor([[4.0, 1.0, 3.0, 0.0]])
    value = margin(ops.one_hot([label], 4), logits)
    np.testing.assert_allclose(ops.convert_to_numpy(value), [expected], rtol=1e-6)


@pytest.mark.parametrize("units, outputs", [(4, "logits"), (1, "logits"), (4, "probabilities")])
def test_the_keras_model_of_logits_is_what_attacks_see(units, outputs):
    model = smooth_model(units)
    if outputs == "probabilities":
        model = keras.Sequential([keras.Input((6,)), model, keras.layers.Softmax()])
    estimator = classifier(model, outputs=outputs, preprocessing=(0.5, 2.0))
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    seen = estimator.logits_model()
    assert estimator.logits_model() is seen
    np.testing.assert_allclose(seen.predict(x, verbose=0), estimator.predict(x), atol=1e-6)
    model.set_weights([2.0 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(seen.predict(x, verbose=0), estimator.predict(x), atol=1e-6)


def test_with_loss_changes_the_loss_alone():
    estimator = classifier(smooth_model(4))
    other = estimator.with_loss("difference_logits_ratio")
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    y = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0]]
    np.testing.assert_array_equal(other.predict(x), estimator.predict(x))
    expected = difference_logits_ratio(ops.convert_to_tensor(y), estimator.predict(x))
    np.testing.assert_allclose(other.compute_loss(x, y), ops.convert_to_numpy(expected), rtol=1e-5)
    assert np.abs(other.compute_loss(x, y) - estimator.compute_loss(x, y)).max() > 0.1
