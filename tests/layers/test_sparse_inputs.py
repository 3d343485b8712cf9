"""Dense layers of kernels take sparse inputs, as `keras.layers.Dense` does."""

import keras
import numpy as np
import pytest

from lipot import layers

if keras.backend.backend() != "tensorflow":
    pytest.skip("Sparse tensors of TensorFlow.", allow_module_level=True)

DENSE = {
    "retraction": lambda: layers.SpectralDense(4),
    "without bias": lambda: layers.SpectralDense(4, use_bias=False, k_coef_lip=0.5),
    "bjorck": lambda: layers.SpectralDense(4, orthogonalizer="bjorck"),
    "cholesky": lambda: layers.SpectralDense(4, orthogonalizer="cholesky"),
    "FrobeniusDense": lambda: layers.FrobeniusDense(4),
}


@pytest.mark.parametrize("name", DENSE)
def test_a_layer_trains_on_sparse_inputs(name):
    tf = pytest.importorskip("tensorflow")

    rng = np.random.default_rng(0)
    x = (rng.random((32, 8)) * (rng.random((32, 8)) > 0.7)).astype("float32")
    y = rng.normal(size=(32, 4)).astype("float32")
    inputs = keras.Input((8,), sparse=True)
    layer = DENSE[name]()
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    history = model.fit(tf.sparse.from_dense(x), y, epochs=5, batch_size=32, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(model(tf.sparse.from_dense(x)), layer(x), atol=1e-5)
