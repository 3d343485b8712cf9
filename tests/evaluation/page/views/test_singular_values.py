"""Singular values are NumPy's."""

import keras
import numpy as np

from lipot import layers
from tests.evaluation.page.views.cases import RNG, views_of


def test_singular_values_are_those_of_numpy(of_images):
    shown = of_images.views["singular_values"]
    assert shown.layers == ("conv", "wide", "last")
    kernel = of_images.model.get_layer("conv").get_weights()[0].reshape(9, 3)
    expected = np.sqrt(np.linalg.eigvalsh(kernel.T.astype("float64") @ kernel))[::-1]
    np.testing.assert_allclose(shown.values[0], expected, rtol=1e-5)


def test_singular_values_of_a_lipot_layer_are_those_it_applies():
    model = keras.Sequential([keras.Input((8,)), layers.SpectralDense(4), keras.layers.Dense(2)])
    x = RNG.normal(size=(4, 8)).astype("float32")
    found = views_of(model, x, np.zeros(4, int), x, eps=0.1, norm=2)["singular_values"]
    np.testing.assert_allclose(found.values[0], np.ones(4), atol=1e-4)
