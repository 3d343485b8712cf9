"""The matrix that the benchmark of orthogonality takes the singular values of."""

import keras
import numpy as np
import pytest

from benchmarks.measure.kernels import orthogonality
from lipot import layers

LAYERS = {
    "dense": (layers.SpectralDense, (3,), {}, (5,)),
    "circular": (layers.OrthogonalConv2D, (4, 3), {"padding": "circular"}, (4, 4, 2)),
    "strided": (layers.SpectralConv2D, (3, 2), {"strides": 2}, (4, 4, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_gives_the_outputs_of_the_layer(name):
    kind, arguments, options, shape = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), kind(*arguments, **options)])
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    outputs = x.reshape(3, -1) @ orthogonality.explicit_matrix(model.layers[0])
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0).reshape(3, -1), atol=1e-5)
    (row,) = orthogonality.measure(model)
    assert row["smallest"] <= row["largest"] <= row["stated bound"] <= 1.0
