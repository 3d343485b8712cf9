import keras
import numpy as np
import pytest

from lipot.models import OTAD


@pytest.fixture(scope="session")
def setting():
    """An OTAD on three clouds of small images, and points it has not seen."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    centers = 0.25 + 0.5 * np.random.default_rng(1).random((3, 6, 6, 1))
    x = np.clip(centers[y] + 0.12 * rng.normal(size=(400, 6, 6, 1)), 0, 1).astype("float32")
    backbone = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(36, "tanh")]
        + [keras.layers.Reshape((6, 6, 1))]
    )
    head = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    network = keras.Sequential([backbone, head])
    network.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    network.fit(x[:300], y[:300], epochs=20, verbose=0)
    model = OTAD(backbone, head, neighbors=5, smoothness=2.0).adapt(x[:300])
    return model, x[300:], y[300:]
