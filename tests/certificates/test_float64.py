"""Certificates of networks that compute in float64."""

import keras
import numpy as np
import pytest

import lipot


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX computes in float32 by default")
def test_features_in_float64_are_not_rounded():
    model = keras.Sequential(
        [
            keras.Input((2,), dtype="float64"),
            keras.layers.Dense(2, use_bias=False, dtype="float64"),
            keras.layers.Dense(2, use_bias=False, dtype="float64"),
        ]
    )
    model.set_weights([np.eye(2), np.eye(2)])
    x = np.array([[1.0 + 2.0**-40, 1.0]])
    # Float32 would round the lead away.
    assert lipot.certify(model, x).radius[0] == pytest.approx(2.0**-40 / 2**0.5, rel=1e-2)
