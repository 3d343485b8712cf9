"""OTAD under float64: its inputs are rounded to float32 before an embedding sees them."""

import keras
import numpy as np
import pytest

import lipot
from lipot.math.precision import widest_float


@pytest.fixture(autouse=True)
def double_precision():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


@pytest.mark.skipif(widest_float() != "float64", reason="Keras computes in float32 here.")
@pytest.mark.parametrize("scale", [1.03, 1.1])
def test_no_point_within_its_radius_changes_class(scale):
    base = 2.0**20 * 1.003

    def scaled(factor, offset=0.0):
        layer = keras.layers.Rescaling(factor, offset, dtype="float64")
        return keras.Sequential([keras.Input((1,), dtype="float64"), layer])

    head = keras.layers.Dense(2, dtype="float32")
    back = scaled(100.0, -100.0 * scale * (base + 2.0))
    model = lipot.OTAD(back, head, neighbors=1, smoothness=1.0, embedding=scaled(scale))
    model.adapt(np.array([[base], [base + 4.0]]))
    model.predict(np.array([[base]]), verbose=0)
    head.set_weights([np.array([[-1.0, 1.0]]), np.zeros(2)])
    x = base + np.sort(np.random.default_rng(0).uniform(0.0, 4.0, 2001))[:, None]
    certificate = lipot.certify(model, x)
    assert np.mean(certificate.radius > 0) > 0.8
    for share in (-1 + 1e-9, -0.95, -0.9, 0.9, 0.95, 1 - 1e-9):
        moved = model.predict(x + share * certificate.radius[:, None], batch_size=4096, verbose=0)
        proven = certificate.radius > 0
        assert np.array_equal(moved.argmax(axis=1)[proven], certificate.predictions[proven])
