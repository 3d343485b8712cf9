"""Keras computes activations anew on the way back where a `RematScope` asks for it."""

import keras
import numpy as np
import pytest

from lipot import layers


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
