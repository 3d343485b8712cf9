"""Residual blocks with a transport energy."""

import keras
import numpy as np
import pytest

from lipot.layers import SpectralDense, TransportResidual
from tests.helpers import check_layer


def block(**arguments):
    return TransportResidual(
        keras.Sequential([keras.layers.Dense(6, "relu"), keras.layers.Dense(6)]), **arguments
    )


def test_round_trips(tmp_path):
    check_layer(block(weight=0.1), (3, 6), tmp_path)


def test_output_and_energy_by_hand():
    layer = TransportResidual(keras.layers.Rescaling(2.0, 1.0), weight=0.25)
    x = np.array([[1.0, -1.0], [0.0, 2.0]], "float32")
    displacement = 2.0 * x + 1.0
    np.testing.assert_allclose(layer(x), x + displacement)
    energy = np.mean(np.sum(displacement**2, axis=1))
    np.testing.assert_allclose(float(layer.losses[0]), 0.25 * energy)


def test_energy_enters_training():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    lengths = []
    for weight in (0.0, 10.0):
        keras.utils.set_random_seed(1)
        layer = block(weight=weight)
        model = keras.Sequential([keras.Input((6,)), layer])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.fit(x, 3.0 * x, epochs=30, batch_size=64, verbose=0)
        lengths.append(np.linalg.norm(model.predict(x, verbose=0) - x))
    assert lengths[1] < 0.5 * lengths[0]


def test_lipschitz_bound_is_one_more_than_the_branch():
    layer = TransportResidual(SpectralDense(6))
    model = keras.Sequential([keras.Input((6,)), layer])
    bound = layer.lipschitz_bound
    assert 1.999 <= bound <= 2.001
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500, 6)).astype("float32")
    change = np.linalg.norm(model.predict(x, verbose=0) - model.predict(y, verbose=0), axis=1)
    assert np.max(change / np.linalg.norm(x - y, axis=1)) <= bound
    unknown = TransportResidual(keras.layers.Lambda(lambda x: x))
    unknown.build((None, 6))
    with pytest.raises(ValueError, match="No Lipschitz bound is known for layer 'lambda"):
        _ = unknown.lipschitz_bound


def test_errors():
    with pytest.raises(ValueError, match="argument `branch`"):
        TransportResidual("relu")
    with pytest.raises(ValueError, match="argument `weight`.*weight=-1"):
        block(weight=-1)
    with pytest.raises(ValueError, match="Expected outputs shaped like the inputs"):
        TransportResidual(keras.layers.Dense(5))(np.zeros((2, 6), "float32"))
