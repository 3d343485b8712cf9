"""Masks, given as arguments or hung on tensors by Keras: no bound is about what they hide."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from tests.helpers import functional


@pytest.mark.parametrize(
    "function, shape",
    [
        (lambda x: layers.GlobalAveragePooling1D()(x, mask=np.eye(1, 5, dtype=bool)), (5, 2)),
        (lambda x: layers.Softmax()(layers.Dense(3)(x), mask=np.eye(1, 3, dtype=bool)), (4,)),
    ],
)
def test_masks_are_refused(function, shape):
    model = functional(function, shape)
    with pytest.raises(ValueError, match="without a mask"):
        lipot.lipschitz_constant(model)


@keras.saving.register_keras_serializable(package="tests")
class HidePadding(layers.Layer):
    """The identity, with a mask that hides zeros from whatever comes later."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return inputs * 1.0

    def compute_mask(self, inputs, previous_mask=None):
        return ops.not_equal(inputs, 0.0)


HIDERS = {
    "a branch": lambda: [HidePadding(), lipot.layers.TransportResidual([layers.Softmax()])],
    "a branch of one layer": lambda: [
        HidePadding(),
        lipot.layers.LipschitzResidual(layers.Softmax()),
    ],
    "an activation": lambda: [HidePadding(), layers.Activation(layers.Softmax())],
    "a model": lambda: [HidePadding(), keras.Sequential([keras.Input((4,)), layers.Softmax()])],
    "out of a model": lambda: [
        keras.Sequential([keras.Input((4,)), HidePadding()]),
        layers.Activation(layers.Softmax()),
    ],
    "inside a branch": lambda: [
        lipot.layers.LipschitzResidual([HidePadding(), layers.Activation(layers.Softmax())])
    ],
    "passed on": lambda: [
        HidePadding(),
        layers.Rescaling(2.0),
        layers.Activation(layers.Softmax()),
    ],
}


@pytest.mark.parametrize("where", HIDERS)
def test_a_mask_that_travels_beside_the_graph_is_refused(where):
    lipot.certificates.register_bound(HidePadding)(lambda layer, input_shape, norm: 1.0)
    model = keras.Sequential([keras.Input((4,)), *HIDERS[where]()])
    with pytest.raises(ValueError, match="has a Keras mask"):
        lipot.lipschitz_constant(model)
    # What such a bound would promise: softmax alone stretches nothing.
    ends = np.zeros((2, 4), "float32")
    ends[:, 0], ends[1, 1:] = 1e-3, 1e-3
    moved = np.diff(model.predict(ends, verbose=0), axis=0)
    assert np.linalg.norm(moved) > 100 * np.linalg.norm(np.diff(ends, axis=0))


@pytest.mark.parametrize("reader", [layers.GlobalAveragePooling1D, layers.Softmax, layers.LSTM])
def test_the_layer_that_makes_a_mask_is_named_and_not_what_computes_it(reader):
    read = reader(3) if reader is layers.LSTM else reader()
    parts = [layers.Masking(name="hide"), layers.Dense(3), read]
    for inner in (parts, [keras.Sequential([keras.Input((4, 3)), *parts])]):
        model = keras.Sequential([keras.Input((4, 3)), *inner, layers.Dense(2)])
        with pytest.raises(ValueError, match="'hide' of class Masking cannot.* Leave layers such"):
            lipot.certify(model, np.ones((2, 4, 3)))
