"""Tests of the layers that subtract means, against NumPy and Jacobians."""

import keras
import numpy as np
import pytest

import lipot
from lipot.layers import BatchCentering, LayerCentering
from tests.helpers import check_layer, to_numpy
from tests.lipschitz import check_bound, check_half_precision


def sample(*shape, seed=0):
    return (3.0 + np.random.default_rng(seed).normal(size=shape)).astype("float32")


def model_of(layer, shape):
    return keras.Sequential([keras.Input(shape), layer])


@pytest.mark.parametrize("axis, reduced", [(-1, (0, 1, 2)), (1, (0, 2, 3))])
def test_batch_centering_subtracts_the_mean_of_the_batch_then_the_running_one(axis, reduced):
    layer, x = BatchCentering(axis=axis, momentum=0.75, beta_initializer="ones"), sample(6, 4, 4, 4)
    mean = x.mean(axis=reduced, keepdims=True)
    np.testing.assert_allclose(to_numpy(layer(x, training=True)), x - mean + 1.0, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer(x)), x - 0.25 * mean + 1.0, atol=1e-5)
    layer(x, training=True)
    running = (0.25 + 0.75 * 0.25) * mean
    np.testing.assert_allclose(to_numpy(layer(x)), x - running + 1.0, atol=1e-5)


def test_batch_centering_learns_the_mean_in_fit_and_stops_when_frozen():
    x, layer = sample(64, 3), BatchCentering(momentum=0.5)
    model = model_of(layer, (3,))
    model.compile("sgd", "mse")
    model.fit(x, x, epochs=20, batch_size=64, verbose=0)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), x.mean(axis=0), rtol=1e-4)
    layer.trainable = False
    before, beta = to_numpy(layer.moving_mean).copy(), to_numpy(layer.beta)
    frozen = to_numpy(layer(10.0 * x, training=True))
    np.testing.assert_allclose(frozen, 10.0 * x - before + beta, rtol=1e-4)
    np.testing.assert_array_equal(to_numpy(layer.moving_mean), before)


@pytest.mark.parametrize("axis, axes", [(-1, (3,)), (1, (1,)), ([1, 2], (1, 2)), ([2, -1], (2, 3))])
def test_layer_centering_is_numpy(axis, axes):
    x, layer = sample(3, 4, 5, 6), LayerCentering(axis=axis, beta_initializer="random_normal")
    layer.build(x.shape)
    shift = to_numpy(layer.beta)
    assert shift.shape == tuple(x.shape[a] for a in axes)
    shift = shift.reshape([n if a in axes else 1 for a, n in enumerate(x.shape)])
    expected = x - x.mean(axis=axes, keepdims=True) + shift
    for training in (False, True):
        np.testing.assert_allclose(to_numpy(layer(x, training=training)), expected, atol=1e-5)


def test_no_attack_beats_the_bounds():
    for layer in (
        BatchCentering(k_coef_lip=0.5, moving_mean_initializer="random_normal", dtype="float64"),
        LayerCentering(k_coef_lip=2.0, dtype="float64"),
        LayerCentering(axis=[1, 2], dtype="float64"),
    ):
        layer.build((None, 3, 2, 4))
        check_bound(layer, (3, 2, 4), attained=0.999)


@pytest.mark.parametrize("layer_class", [BatchCentering, LayerCentering])
def test_certificates_know_the_bound_and_the_export(layer_class):
    layer = layer_class(beta_initializer="random_normal", k_coef_lip=0.5)
    model = model_of(layer, (4, 6))
    layer(sample(8, 4, 6), training=True)
    assert lipot.lipschitz_constant(model) == pytest.approx(0.5, rel=1e-9)
    plain, x = lipot.to_keras(model), sample(5, 4, 6, seed=1)
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert "lipot" not in plain.to_json()


def test_rounding_of_a_centered_constant_is_within_the_certificate():
    # A large constant image cancels: what is left is rounding alone, and grows with the mean.
    model = keras.Sequential(
        [keras.Input((1000,)), LayerCentering(), keras.layers.Dense(2, kernel_initializer="ones")]
    )
    x = np.full((1, 1000), 12345.678, "float32")
    certificate = lipot.certify(model, x)
    assert certificate.radius[0] == 0.0


def test_half_precision_only_rounds():
    layer = BatchCentering(moving_mean_initializer="random_normal")
    layer.build((None, 6))
    check_half_precision(layer, (6,))
    layer = LayerCentering(k_coef_lip=0.3, beta_initializer="random_normal")
    layer.build((None, 6))
    check_half_precision(layer, (6,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchCentering(axis=1, momentum=0.5, beta_regularizer="l2", k_coef_lip=0.5),
        lambda: BatchCentering(center=False),
        lambda: LayerCentering(axis=[1, 3], beta_constraint="non_neg"),
    ],
)
def test_round_trips(make, tmp_path):
    check_layer(make(), (2, 4, 5, 6), tmp_path)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: BatchCentering(momentum=1.0), "`momentum`.*momentum=1.0"),
        (lambda: BatchCentering(axis=[1, 2]), "`axis`"),
        (lambda: BatchCentering(k_coef_lip=0), "`k_coef_lip`"),
        (lambda: LayerCentering(axis="channels"), "`axis`"),
        (lambda: LayerCentering(axis=[]), "`axis`"),
        (lambda: LayerCentering(axis=0)(np.ones((2, 3))), "other than the batch"),
        (lambda: LayerCentering(axis=[1, -1])(np.ones((2, 3))), "different axes"),
        (lambda: LayerCentering(axis=4)(np.ones((2, 3))), "different axes"),
        (lambda: LayerCentering(axis=1)(keras.Input((None, 3))), "known size"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_padded_steps_do_not_count_in_the_mean_of_a_batch():
    x = np.array([[[4.0], [0.0], [0.0]], [[2.0], [6.0], [0.0]]], "float32")
    layer, mask = BatchCentering(momentum=0.0), np.any(x != 0.0, axis=-1)
    layer(x, training=True, mask=mask)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), [4.0])
    if keras.backend.backend() == "tensorflow":
        # Keras's own fails with a mask on JAX.
        stock = keras.layers.BatchNormalization(momentum=0.0)
        stock(x, training=True, mask=mask)
        np.testing.assert_allclose(to_numpy(stock.moving_mean), [4.0])


@pytest.mark.parametrize("layer", [BatchCentering(), LayerCentering()])
def test_a_bound_before_there_are_weights_says_so(layer):
    with pytest.raises(ValueError, match="has no weights yet"):
        _ = layer.lipschitz_bound
