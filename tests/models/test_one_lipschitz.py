"""`lipot.Sequential` warns of what its constant does not cover, and is right to trust the rest."""

import warnings

import keras
import numpy as np
import pytest
from keras.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

import lipot
from lipot.layers.layer_bounds import layer_bound
from lipot.models.one_lipschitz import is_known
from tests.helpers import to_numpy

KNOWN = [
    *(Flatten(), ReLU(), ReLU(negative_slope=0.5), LeakyReLU(), Softmax(), Dropout(0.5)),
    *(Activation(name) for name in ("linear", "relu", "sigmoid", "tanh", "softmax", "softplus")),
    *(MaxPooling2D(2), MaxPooling2D((1, 2), (2, 2)), AveragePooling2D(2), ZeroPadding2D(1)),
    *(GlobalMaxPooling2D(), GlobalAveragePooling2D(), lipot.layers.GroupSort2()),
]
UNKNOWN = [
    *(Dense(3), Conv2D(2, 3), BatchNormalization(), lipot.layers.PadConv2D(2, 3)),
    *(ReLU(negative_slope=2.0), MaxPooling2D(3, strides=2), MaxPooling2D((2, 3), (2, 2))),
    *(Activation("exponential"), UpSampling2D(2), Rescaling(2.0), ELU(3.0)),
]


@pytest.mark.parametrize("layer", KNOWN, ids=lambda layer: layer.name)
def test_what_is_trusted_is_1_lipschitz(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = lipot.Sequential([keras.Input((6, 6, 2)), layer])
    assert layer_bound(layer, model.inputs[0].shape).lipschitz <= 1.0 + 1e-6


@pytest.mark.parametrize("layer", UNKNOWN, ids=lambda layer: layer.name)
def test_what_is_not_brings_a_warning(layer):
    with pytest.warns(UserWarning, match=f"'{layer.name}'.*not known to be 1-Lipschitz"):
        model = lipot.Sequential([keras.Input((6, 6, 2)), layer], k_coef_lip=2.0)
    assert model.predict(np.ones((1, 6, 6, 2)), verbose=0).shape[0] == 1


def test_models_inside_count_as_their_layers():
    assert is_known(keras.Sequential([keras.Input((4,)), ReLU()]))
    assert is_known(lipot.Sequential([lipot.layers.SpectralDense(2)]))
    assert not is_known(keras.Sequential([keras.Input((4,)), Dense(2)]))


def test_the_constant_is_spread_over_what_promises_one():
    layers = [lipot.layers.SpectralDense(4), lipot.layers.GroupSort2()]
    convolution = lipot.layers.PadConv2D(2, 3, use_bias=False)
    model = lipot.Sequential(
        [keras.Input((4, 4, 1)), convolution, Flatten(), *layers], k_coef_lip=9.0
    )
    assert [layer.k_coef_lip for layer in layers] == [3.0, 3.0]
    # Its kernel is applied as it is.
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    stock = keras.layers.Conv2D(2, 3, padding="same", use_bias=False)
    stock.build((None, 4, 4, 1))
    stock.set_weights([convolution.kernel.numpy()])
    found, expected = (to_numpy(layer(images)) for layer in (model.layers[0], stock))
    assert np.allclose(found, expected, atol=1e-5)
