"""Tests of the L2 poolings: values, gradients at zero, attacks on the bound."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.layers import ScaledGlobalL2NormPooling2D, ScaledL2NormPooling2D
from tests.helpers import check_layer
from tests.lipschitz import check_bound, check_half_precision, jacobians


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _built(layer, shape):
    layer.build((None, *shape))
    return layer


def test_values_by_hand():
    image = np.array([[3.0, 0.0, 1.0, 1.0], [4.0, 0.0, 1.0, -1.0]], "float32").reshape(1, 2, 4, 1)
    np.testing.assert_allclose(ScaledL2NormPooling2D()(image)[0, ..., 0], [[5.0, 2.0]], atol=2e-6)
    np.testing.assert_allclose(
        ScaledGlobalL2NormPooling2D(k_coef_lip=2.0)(image), [[2 * np.sqrt(29)]], atol=4e-6
    )


@pytest.mark.parametrize("pool_size, strides", [((2, 3), None), (2, 1), (3, 2), (2, 4)])
def test_windows_against_numpy(pool_size, strides):
    x = _random(2, 7, 9, 3)
    layer = ScaledL2NormPooling2D(pool_size, strides)
    (p, q), (s, t) = layer.pool_size, layer.strides
    expected = np.stack(
        [
            [np.linalg.norm(x[:, i : i + p, j : j + q], axis=(1, 2)) for j in range(0, 10 - q, t)]
            for i in range(0, 8 - p, s)
        ]
    )
    expected = np.moveaxis(expected, 2, 0) / np.sqrt(-(-p // s) * -(-q // t))
    np.testing.assert_allclose(layer(x), expected, atol=3e-6)


def _gradients(layer, x, weights, training):
    """Gradient of a weighted sum of outputs, and that of the square of this gradient's norm."""

    def first(x):
        return backend.value_and_input_gradient(
            lambda x: ops.sum(weights * layer(x, training=training)), x
        )[1]

    _, second = backend.vjp(first, x, lambda gradient: 2.0 * gradient)
    return [ops.convert_to_numpy(tensor) for tensor in (first(x), second)]


@pytest.mark.parametrize("pool_size, strides", [(2, None), ((1, 3), None), (3, 3), (5, 5), (2, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("eps_grad_sqrt", [1e-6, 0.5])
def test_training_computes_what_inference_does(pool_size, strides, data_format, eps_grad_sqrt):
    """Windows that tile the image have a kernel of their own there; derivatives of it, too."""
    shape = (2, 6, 6, 4) if data_format == "channels_last" else (2, 4, 6, 6)
    x = _random(*shape)
    x[0, :3, :3] = 0.0
    layer = ScaledL2NormPooling2D(
        pool_size, strides, "valid", data_format, 0.8, eps_grad_sqrt=eps_grad_sqrt
    )
    kept, trained = (ops.convert_to_numpy(layer(x, training=mode)) for mode in (False, True))
    assert kept.shape == trained.shape
    np.testing.assert_allclose(trained, kept, atol=2e-6)
    weights, x = ops.convert_to_tensor(_random(*kept.shape)), ops.convert_to_tensor(x)
    expected, found = (_gradients(layer, x, weights, training) for training in (False, True))
    np.testing.assert_allclose(found[0], expected[0], atol=2e-5)
    # At zero the second derivative is as large as the norm is sharp.
    scale = np.abs(expected[1]).max()
    np.testing.assert_allclose(found[1], expected[1], atol=2e-5 * scale)


def test_images_of_open_size_train():
    images = keras.Input((None, None, 2))
    outputs = keras.layers.GlobalAveragePooling2D()(ScaledL2NormPooling2D(2)(images))
    model = keras.Model(images, outputs)
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(_random(3, 5, 4, 2), np.zeros((3, 2))))


@pytest.mark.parametrize("pool_size, strides", [(2, None), ((1, 3), None), (2, 3), (3, 2), (2, 1)])
@pytest.mark.parametrize("eps_grad_sqrt", [1e-6, 0.5])
def test_no_attack_beats_the_bound(pool_size, strides, eps_grad_sqrt):
    layer = ScaledL2NormPooling2D(
        pool_size, strides, k_coef_lip=0.8, eps_grad_sqrt=eps_grad_sqrt, dtype="float64"
    )
    _built(layer, (5, 6, 1))
    assert layer.lipschitz_bound == 0.8
    # A single large pixel inside all its windows attains the bound, overlapping or not.
    check_bound(layer, (5, 6, 1), attained=0.99)


@pytest.mark.parametrize("eps_grad_sqrt", [1e-6, 0.5])
def test_no_attack_beats_the_global_bound(eps_grad_sqrt):
    layer = ScaledGlobalL2NormPooling2D(
        k_coef_lip=1.7, eps_grad_sqrt=eps_grad_sqrt, dtype="float64"
    )
    _built(layer, (4, 3, 2))
    assert layer.lipschitz_bound == 1.7
    check_bound(layer, (4, 3, 2), attained=0.99)


def test_no_pair_near_zero_beats_the_bound():
    rng = np.random.default_rng(0)
    layer = ScaledL2NormPooling2D(2, dtype="float64")
    for size in (1e-9, 1e-7, 1e-6, 1e-5, 1e-3):
        x, y = size * rng.normal(size=(2, 500, 2, 2, 1))
        change = np.abs(np.asarray(layer(x)) - np.asarray(layer(y))).ravel()
        assert np.all(change <= np.linalg.norm((x - y).reshape(500, -1), axis=1) * (1 + 1e-9))


@pytest.mark.parametrize("make", [ScaledL2NormPooling2D, ScaledGlobalL2NormPooling2D])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps_grad_sqrt", [1e-6, 1e-18])
def test_zero_has_value_zero_and_a_zero_gradient(make, dtype, eps_grad_sqrt):
    layer = _built(make(eps_grad_sqrt=eps_grad_sqrt, dtype=dtype), (4, 4, 1))
    image = np.zeros((1, 4, 4, 1), dtype)
    np.testing.assert_array_equal(layer(image), np.zeros(layer(image).shape))
    np.testing.assert_array_equal(jacobians(layer, image), 0.0)
    image[0, 0, 0, 0] = 2.0
    (jacobian,) = jacobians(layer, image)
    np.testing.assert_allclose(jacobian[0, 0], 1.0, rtol=1e-6)
    assert np.count_nonzero(jacobian) == 1


@pytest.mark.parametrize("make", [ScaledL2NormPooling2D, ScaledGlobalL2NormPooling2D])
def test_the_gradient_is_that_of_the_value(make):
    layer = _built(make(eps_grad_sqrt=1e-2, dtype="float64"), (2, 2, 1))
    points = np.concatenate([_random(3, 2, 2, 1), 1e-2 * _random(3, 2, 2, 1)]).astype("float64")
    steps = 1e-6 * np.eye(4).reshape(4, 2, 2, 1)
    for point, jacobian in zip(points, jacobians(layer, points)):
        ahead, behind = np.asarray(layer(point + steps)), np.asarray(layer(point - steps))
        difference = (ahead - behind).ravel() / 2e-6
        np.testing.assert_allclose(jacobian.ravel(), difference, atol=1e-8)


def test_training_survives_blank_images():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, padding="same"),
            ScaledL2NormPooling2D(2),
            ScaledGlobalL2NormPooling2D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    model.fit(np.zeros((8, 4, 4, 1)), np.ones((8, 1)), verbose=0)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


def test_half_precision_keeps_the_bound():
    check_half_precision(_built(ScaledL2NormPooling2D(3), (7, 6, 2)), (7, 6, 2))
    check_half_precision(_built(ScaledGlobalL2NormPooling2D(), (7, 6, 2)), (7, 6, 2))
    # 300^2 overflows float16.
    large = ScaledL2NormPooling2D(2, dtype="mixed_float16")(np.full((1, 2, 2, 1), 300.0))
    np.testing.assert_array_equal(large, np.full((1, 1, 1, 1), 600.0, "float16"))


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: ScaledL2NormPooling2D((2, 3), k_coef_lip=0.5, eps_grad_sqrt=1e-4), (2, 6, 7, 3)),
        (lambda: ScaledL2NormPooling2D(3, 2, data_format="channels_first"), (2, 3, 6, 7)),
        (lambda: ScaledGlobalL2NormPooling2D(k_coef_lip=0.5), (2, 6, 7, 3)),
        (lambda: ScaledGlobalL2NormPooling2D("channels_first", keepdims=True), (2, 3, 6, 7)),
    ],
)
def test_round_trips(make, shape, tmp_path):
    check_layer(make(), shape, tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`padding`.*'same'"):
        ScaledL2NormPooling2D(2, padding="same")
    for eps_grad_sqrt in (0.0, -1e-6, float("nan"), "small", 1e-30, 1e20):
        with pytest.raises(ValueError, match="`eps_grad_sqrt`"):
            ScaledL2NormPooling2D(2, eps_grad_sqrt=eps_grad_sqrt)
        with pytest.raises(ValueError, match="`eps_grad_sqrt`"):
            ScaledGlobalL2NormPooling2D(eps_grad_sqrt=eps_grad_sqrt)
    with pytest.raises(ValueError, match="`pool_size`.*image size"):
        ScaledL2NormPooling2D(4)(np.zeros((1, 3, 8, 1), "float32"))
