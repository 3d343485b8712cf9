"""In l-infinity any last layer will do: what comes after it, and what it is, counts."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot

LATER = {
    "identity": lambda: layers.Identity(dtype="float16"),
    "linear": lambda: layers.Activation("linear", dtype="float16"),
    "softmax": lambda: layers.Softmax(dtype="float16"),
    "dropout": lambda: layers.Dropout(0.5, dtype="bfloat16"),
}


@pytest.mark.parametrize("later", LATER)
def test_logits_cast_after_what_is_not_linear_count(later):
    # 1000 and 1000.4 are one number in half precision.
    inputs = keras.Input((1,))
    distances = lipot.layers.LInfDistanceDense(2)
    model = keras.Model(inputs, LATER[later]()(distances(inputs)))
    distances.set_weights([np.zeros((1, 2)), np.array([1000.0, 1000.4])])
    x = np.array([[5.0]], "float32")
    assert lipot.certify(model, x, norm="inf").radius[0] == 0.0


def test_a_last_layer_with_an_activation_is_certified_by_its_outputs():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="relu")])
    model.layers[0].set_weights([np.eye(2), np.array([1.0, 0.0])])
    x = np.array([[2.0, 0.5], [-3.0, -3.0]], "float32")
    # relu(3) and relu(0.5), of which each moves as far as the input does; then no margin.
    found = lipot.certify(model, x, norm="inf")
    np.testing.assert_allclose(found.radius, [1.25, 0.0], atol=1e-5)
