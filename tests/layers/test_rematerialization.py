"""Keras computes activations anew on the way back where a `RematScope` asks for it."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import layers
from lipot.layers.base import arguments_of
from tests.layers.kernel_cases import CASES, kernel_layers


def trained(activation):
    """The weights of a small model after a few steps, and a layer of it."""
    keras.utils.set_random_seed(0)
    layer = layers.SpectralDense(6, activation=activation())
    model = keras.Sequential([keras.Input((4,)), layer, layers.FrobeniusDense(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(32, 4)), rng.normal(size=(32, 2)), epochs=2, verbose=0)
    return model.get_weights(), layer


# Keras puts a function in the place of the activation, which PyTorch refuses where it is a module.
a_layer = pytest.param(
    lambda: layers.GroupSort(2),
    marks=pytest.mark.skipif(keras.backend.backend() == "torch", reason="not in Keras either"),
)


@pytest.mark.parametrize("activation", [lambda: "relu", a_layer])
def test_activations_computed_anew_train_the_same(activation):
    plain, _ = trained(activation)
    with keras.RematScope(mode="activations"):
        again, layer = trained(activation)
    for theirs, ours in zip(plain, again, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # Outside the call it is the one that was given, and stays.
    assert type(layer.activation) is type(keras.activations.get(activation()))
    with pytest.raises(ValueError, match="fixed once the layer is built"):
        layer.activation = keras.activations.sigmoid


def with_activation():
    """Names of the layers that take an activation: of some it is part of what they are."""
    return [n for n in kernel_layers() if "activation" in arguments_of(getattr(layers, n))]


@pytest.mark.parametrize("name", with_activation())
def test_every_layer_with_an_activation_lets_it_be_computed_anew(name):
    layer_class = getattr(layers, name)
    options, shape = CASES[name][0]
    options = {**options, "activation": "relu", "name": name.lower()}
    plain = layer_class(**options)
    with keras.RematScope(mode="activations"):
        layer = layer_class(**options)
    points = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    plain.build((None, *shape))
    layer.build((None, *shape))
    layer.set_weights(plain.get_weights())
    for training in (False, True):
        ours, theirs = (each(points, training=training) for each in (layer, plain))
        ours, theirs = map(ops.convert_to_numpy, (ours, theirs))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("mode", ["full", "activations"])
def test_a_call_computed_anew_changes_no_other_argument(mode):
    class Changing(layers.SpectralDense):
        def call(self, inputs, training=False):
            self.use_bias = False
            return super().call(inputs, training)

    with keras.RematScope(mode=mode):
        layer = Changing(3)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="`use_bias`.*fixed once the layer is built"):
        layer(np.ones((2, 4), "float32"))
