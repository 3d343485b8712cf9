"""Activations by hand."""

import keras
import numpy as np

from tests.evaluation.page.views.cases import views_of


def test_activations_by_hand():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, "relu", name="hidden"), keras.layers.Dense(2)]
    )
    model.get_layer("hidden").set_weights([np.array([[1.0, 0.0], [0.0, 2.0]]), np.zeros(2)])
    x = np.array([[1.0, 1.0], [3.0, 1.0]], "float32")
    x_adv = np.array([[1.0, 0.0], [3.0, -1.0]], "float32")
    shown = views_of(model, x, np.array([0, 1]), x_adv, eps=2.0, norm=2)["activations"]
    np.testing.assert_allclose(shown.clean, [2.0, 2.0])
    np.testing.assert_allclose(shown.adversarial, [2.0, 0.0])
    assert shown.layers[0] == "hidden"
    # |(1, 2) - (1, 0)| / |(1, 2)| and |(3, 2) - (3, 0)| / |(3, 2)|
    np.testing.assert_allclose(shown.change[0], (2 / 5**0.5 + 2 / 13**0.5) / 2, rtol=1e-6)
