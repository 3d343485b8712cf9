"""Features of nested models."""

import keras
import numpy as np

from lipot.evaluation.page.views import hidden
from tests.evaluation.page.views.cases import RNG


def test_features_are_found_inside_nested_models():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    outer = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(2.0), inner])
    x = RNG.normal(size=(5, 4)).astype("float32")
    found = hidden.features(outer, x)
    kernel, bias = inner.layers[0].get_weights()
    np.testing.assert_allclose(found.values, 2 * x @ kernel + bias, atol=1e-5)
    assert found.layer == inner.layers[1].name
