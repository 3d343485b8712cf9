"""Points in another unit than a model was trained in make radii look large: what is said of it."""

import warnings

import keras
import numpy as np
import pytest

import lipot


def test_images_up_to_255_bring_a_warning_where_no_layer_brings_them_down():
    """A network trained on [0, 1] answers nearly as before there, with radii 255 times as large."""
    x = np.linspace(0.0, 1.0, 128).reshape(2, 8, 8, 1).astype("float32")
    inner = [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *inner])
    scaled = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), *inner])
    with pytest.warns(UserWarning, match=r"reach 255.*Divide the inputs by 255"):
        lipot.certify(model, (255 * x).astype("uint8"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        lipot.certify(model, x)
        lipot.certify(scaled, 255 * x)


def test_a_path_is_no_model():
    with pytest.raises(ValueError, match="argument `model`. Expected a Keras model"):
        lipot.certify("model.keras", np.ones((2, 3)))
