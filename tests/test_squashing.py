"""The end of a model that makes probabilities: seen in every form, taken off, and nothing else."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot.backend.squashing import before_squashing, final_squashing
from tests.helpers import to_numpy


@keras.saving.register_keras_serializable(package="tests")
class softmax(keras.layers.Layer):
    """A layer of a user's own, under the name of one of Keras."""

    def call(self, inputs):
        return 2.0 * inputs


def network(*layers):
    return keras.Sequential([keras.Input((5,)), *layers])


def operation(function):
    inputs = keras.Input((5,))
    return keras.Model(inputs, function(keras.layers.Dense(3)(inputs)))


dense = keras.layers.Dense
ENDS = {
    "activation": lambda: network(dense(3, "softmax")),
    "layer": lambda: network(dense(3), keras.layers.Softmax()),
    "activation layer": lambda: network(dense(3), keras.layers.Activation("softmax")),
    "operation": lambda: operation(ops.softmax),
    "before what does nothing": lambda: network(
        dense(3), keras.layers.Softmax(), keras.layers.Identity(), keras.layers.Dropout(0.5)
    ),
    "a layer of lipot": lambda: network(lipot.layers.SpectralDense(3, activation="softmax")),
    "inner model": lambda: network(network(dense(3, "softmax"))),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_softmax_is_named_and_taken_off(name):
    model = ENDS[name]()
    assert "softmax" in final_squashing(model)
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    logits = before_squashing(model)(x)
    np.testing.assert_allclose(to_numpy(ops.softmax(logits)), to_numpy(model(x)), atol=1e-6)
    # The model itself is as it was.
    np.testing.assert_allclose(to_numpy(model(x)).sum(axis=1), 1.0, atol=1e-6)


def test_a_sigmoid_is_taken_off():
    model = network(dense(1, "sigmoid"))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    np.testing.assert_allclose(
        to_numpy(ops.sigmoid(before_squashing(model)(x))), to_numpy(model(x)), atol=1e-6
    )


@pytest.mark.parametrize(
    "layers", [(dense(3),), (dense(3), softmax()), (dense(3, "relu"),)], ids=["none", "own", "relu"]
)
def test_what_makes_no_probabilities_stays(layers):
    model = network(*layers)
    assert before_squashing(model) is None and final_squashing(model) is None


def test_a_subclass_may_compute_something_else():
    class Doubled(keras.Sequential):
        def call(self, inputs):
            return 2.0 * super().call(inputs)

    assert before_squashing(Doubled([keras.Input((5,)), dense(3, "softmax")])) is None
