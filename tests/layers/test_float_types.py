"""Every layer starts, answers and trains in every float type."""

import keras
import numpy as np
import pytest

from lipot import layers
from lipot.backend.keras_graph import takes_training
from lipot.math.precision import widest_float
from tests.helpers import to_numpy
from tests.layers.test_frozen import LAYERS, TOKENS
from tests.public_classes import make

RNG = np.random.default_rng(0)


# JAX has no float64 unless it is told to.
TYPES = dict.fromkeys(["float16", "bfloat16", widest_float(), "mixed_bfloat16"])


@pytest.fixture(params=TYPES)
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield keras.config.dtype_policy()
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_starts_in_every_float_type(name, policy):
    x = RNG.normal(size=(2, 6, 8) if name in TOKENS else (2, 4, 4, 8))
    layer = make("layers", name)
    for training in (False, True):
        arguments = {"training": training} if takes_training(layer) else {}
        outputs = layer(keras.ops.cast(x, policy.compute_dtype), **arguments)
        assert keras.backend.standardize_dtype(outputs.dtype) == policy.compute_dtype
        assert np.all(np.isfinite(to_numpy(keras.ops.cast(outputs, "float32"))))
    floats = [w.dtype for w in layer.trainable_weights]
    assert set(floats) <= {policy.variable_dtype}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_orthogonal_start_is_rounded_once(dtype):
    layer = layers.SpectralDense(16, dtype=dtype)
    layer.build((None, 16))
    kernel = to_numpy(keras.ops.cast(layer.kernel, "float32")).astype("float64")
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=0.02)
