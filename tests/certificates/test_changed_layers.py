"""Layers whose arguments are changed after a model was made of them."""

import keras
import pytest
from keras import layers

import lipot

# A layer before a mean, and what is changed in it: the mean is then of fewer values.
CHANGES = {
    "strides of a convolution": (lambda: layers.Conv2D(3, 3), {"strides": (2, 2)}),
    "padding of a convolution": (lambda: layers.Conv2D(3, 3, padding="same"), {"padding": "valid"}),
    "windows": (lambda: layers.MaxPooling2D(2, strides=1), {"pool_size": (4, 4)}),
    "cropping": (lambda: layers.Cropping2D(0), {"cropping": ((2, 2), (2, 2))}),
    "repetitions": (lambda: layers.UpSampling2D(2), {"size": (1, 1)}),
    "a layer of one's own": (lambda: Thinned(), {"step": 3}),
}


@keras.saving.register_keras_serializable(package="tests")
class Thinned(layers.Layer):
    """Keeps every value, or one of some, and does not say what shape that gives."""

    step = 1

    def call(self, inputs):
        return inputs[:, :: self.step, :: self.step]


@lipot.certificates.register_bound(Thinned)
def thinned(layer, input_shape, norm):
    return 1.0


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("make, changes", CHANGES.values(), ids=CHANGES)
def test_a_layer_that_gives_other_sizes_by_now_is_refused(make, changes, norm):
    mean = layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((6, 6, 2)), make(), mean])
    assert lipot.lipschitz_constant(model, norm) > 0.0
    for name, value in changes.items():
        setattr(model.layers[0], name, value)
    with pytest.raises(ValueError, match="other sizes than its graph says.*made anew"):
        lipot.lipschitz_constant(model, norm)
