"""What a later factor shrinks must not overflow before: then the outputs are no numbers.

Each case is a network, its input, a norm, and a moved input whose outputs are wrong.
"""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import to_numpy


def _half(layer, *, inputs, kernel, bias):
    """A layer in half precision, and a head in single precision."""
    head = layers.Dense(2, dtype="float32")
    model = keras.Sequential([keras.Input(inputs, dtype="float16"), layer, head])
    head.set_weights([np.array(kernel, "float32"), np.array(bias, "float32")])
    return model


def _normalization():
    layer = layers.Normalization(mean=[-60000.0, 0.0], variance=[1e6, 1e6], dtype="float16")
    return _half(layer, inputs=(2,), kernel=[[1e-6, 0], [1, -1]], bias=[100, 0])


def _normalization_as_activation():
    inside = layers.Normalization(mean=60000.0, variance=1e6, axis=None, dtype="float16")
    layer = layers.Dense(2, activation=inside, dtype="float16")
    model = _half(layer, inputs=(2,), kernel=[[1e-3, -1e-3], [0, 0]], bias=[300, 0])
    layer.set_weights([np.eye(2), np.zeros(2)])
    return model


def _activation():
    inside = lipot.layers.GroupSort2(k_coef_lip=0.001, dtype="float16")
    layer = layers.Dense(2, activation=inside, dtype="float16")
    model = _half(layer, inputs=(2,), kernel=[[1, -1], [1, -1]], bias=[300, 0])
    layer.set_weights([1000.0 * np.eye(2), np.zeros(2)])
    return model


def _activation_in_single_precision():
    inside = lipot.layers.GroupSort2(k_coef_lip=1e-30)
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2, activation=inside), layers.Dense(2)]
    )
    model.layers[0].set_weights([1e30 * np.eye(2), np.zeros(2)])
    model.layers[1].set_weights([np.array([[1, -1], [1, -1]]), np.array([1e10, 0])])
    return model


def _embedding():
    layer = lipot.layers.PositionEmbedding(k_coef_lip=0.001, dtype="float16")
    model = _half(layer, inputs=(2,), kernel=[[0, 0], [1, -1]], bias=[300, 0])
    layer.set_weights([np.array([60000.0, 0.0])])
    return model


def _slopes():
    layer = lipot.layers.PReLUlip(k_coef_lip=0.001, dtype="float16")
    model = _half(layer, inputs=(2,), kernel=[[1, -1], [1, -1]], bias=[300, 0])
    layer.set_weights([np.array([1000.0, 1000.0])])
    return model


def _squares(layer, size):
    stack = [keras.Input((size, size, 2)), layer, layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential(stack)
    kernel = np.zeros(model.layers[-1].kernel.shape)
    kernel[:2] = [[1e-3, -1e-3], [5e-4, -5e-4]]
    model.layers[-1].set_weights([kernel, np.zeros(2)])
    return model


def _squares_of_the_image():
    return _squares(lipot.layers.ScaledGlobalL2NormPooling2D(k_coef_lip=0.01), 32)


def _squares_of_windows():
    return _squares(lipot.layers.ScaledL2NormPooling2D(24, strides=1), 24)


CASES = {
    "normalization": (_normalization, [[0, 0]], 2, [[12000, 0]]),
    "normalization as activation": (_normalization_as_activation, [[0, 0]], 2, [[-9000, -9000]]),
    "activation": (_activation, [[1, 1]], 2, [[70, -70]]),
    "activation, float32": (_activation_in_single_precision, [[1, 1]], 2, [[7e8, -7e8]]),
    "embedding": (_embedding, [[0, 0]], 2, [[8000, 0]]),
    "slopes": (_slopes, [[1, 1]], 2, [[-90, 1]]),
    "global l2 pooling": (
        _squares_of_the_image,
        np.full((1, 32, 32, 2), 4e17),
        "inf",
        np.full((1, 32, 32, 2), 7.5e17),
    ),
    "l2 pooling": (
        _squares_of_windows,
        np.full((1, 24, 24, 2), 6e17),
        "inf",
        np.full((1, 24, 24, 2), 8e17),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_no_radius_reaches_where_a_value_on_the_way_overflows(case):
    make, x, norm, moved = CASES[case]
    model, x, moved = make(), np.array(x, "float32"), np.array(moved, "float32")
    found = lipot.certify(model, x, norm=norm)
    outputs = to_numpy(model(moved))
    if keras.backend.backend() == "tensorflow":
        assert not np.all(np.isfinite(outputs)) or outputs.argmax() != found.predictions[0]
    shift = moved.astype("float64") - x
    distance = np.abs(shift).max() if norm == "inf" else np.linalg.norm(shift)
    assert found.radius[0] < distance


def test_a_mean_with_constants_that_may_overflow_is_refused():
    inputs = keras.Input(batch_shape=(1, 2), dtype="float16")
    constant = keras.ops.convert_to_tensor(np.full((1, 2), 8000.0, "float16"))
    mean = layers.Average(dtype="float16")([inputs] + [constant] * 8)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(mean))
    with pytest.raises(ValueError, match="it averages 8 constants"):
        lipot.certify(model, np.zeros((1, 2), "float32"))
