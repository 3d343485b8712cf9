"""Tests of the layers that LipNeXt is made of, and of the network."""

import keras
import numpy as np
import pytest

import lipot
from lipot.layers import PartialAbs, PositionEmbedding, SpatialShift2D
from tests.helpers import check_layer, explicit_matrix, to_numpy
from tests.lipschitz import check_bound, check_half_precision


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_circular_shift_is_numpy_roll():
    x = _random(2, 5, 7, 10)
    found = to_numpy(SpatialShift2D(0.8)(x))
    for first, (axis, step) in zip(range(0, 8, 2), ((1, 1), (1, -1), (2, 1), (2, -1))):
        group = slice(first, first + 2)
        np.testing.assert_array_equal(found[..., group], np.roll(x[..., group], step, axis))
    np.testing.assert_array_equal(found[..., 8:], x[..., 8:])


def test_zero_padding_drops_what_leaves_the_image():
    found = to_numpy(SpatialShift2D(1.0, "zero")(np.ones((1, 3, 3, 4), "float32")))
    np.testing.assert_array_equal(found[0, :, 1, 0], [0, 1, 1])
    np.testing.assert_array_equal(found[0, :, 1, 1], [1, 1, 0])
    np.testing.assert_array_equal(found[0, 1, :, 2], [0, 1, 1])
    np.testing.assert_array_equal(found[0, 1, :, 3], [1, 1, 0])


@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_a_shift_has_the_singular_values_it_states(padding):
    layer = SpatialShift2D(1.0, padding, k_coef_lip=0.5)
    values = np.linalg.svd(explicit_matrix(layer, (3, 3, 4)), compute_uv=False)
    assert values.max() == 0.5
    assert values.min() == (0.5 if padding == "circular" else 0.0)


def test_absolute_values_by_hand():
    x = np.array([[-1.0, 2.0, -3.0, 4.0, -5.0]], "float32")
    np.testing.assert_array_equal(PartialAbs(0.5)(x), [[1, 2, 3, 4, -5]])
    np.testing.assert_array_equal(PartialAbs(0.6)(x), [[1, 2, 3, 4, -5]])
    np.testing.assert_array_equal(PartialAbs(1.0, k_coef_lip=2.0)(x), [[2, 4, 6, 8, 10]])
    np.testing.assert_array_equal(PartialAbs(0.01)(x)[0], [1, 2, -3, 4, -5])


def test_absolute_values_of_the_first_channels():
    x = _random(2, 6, 3, 3)
    first = to_numpy(PartialAbs(0.5, "channels_first")(x))
    last = to_numpy(PartialAbs(0.5)(np.moveaxis(x, 1, -1)))
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_no_attack_beats_the_bounds():
    for layer in (PartialAbs(0.5, k_coef_lip=0.7), PositionEmbedding("random_normal")):
        layer = layer.from_config({**layer.get_config(), "dtype": "float64"})
        layer.build((None, 3, 4))
        check_bound(layer, (3, 4), attained=0.999)


def test_half_precision_keeps_the_bound():
    layer = PartialAbs(0.5, k_coef_lip=0.3)
    layer.build((None, 5))
    check_half_precision(layer, (5,))


@pytest.mark.parametrize(
    "layer",
    [SpatialShift2D(1.0, "zero", k_coef_lip=0.5), PartialAbs(0.3), PositionEmbedding("ones", 2.0)],
)
def test_round_trips(layer, tmp_path):
    check_layer(layer, (2, 4, 5, 8), tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`fraction`"):
        SpatialShift2D(0.0)
    with pytest.raises(ValueError, match="`padding`"):
        SpatialShift2D(padding="reflect")
    with pytest.raises(ValueError, match="at least four of the channels"):
        SpatialShift2D(0.5).build((None, 4, 4, 4))
    with pytest.raises(ValueError, match="`fraction`"):
        PartialAbs(1.5)
    with pytest.raises(ValueError, match="known sizes"):
        PositionEmbedding().build((None, None, 3))


@pytest.mark.parametrize("pooling", ["l2", "flatten"])
def test_the_network_is_certified_and_no_gradient_is_steeper(pooling):
    keras.utils.set_random_seed(0)
    model = lipot.models.lipnext((8, 8, 3), 4, width=16, depth=2, pooling=pooling, dense_layers=1)
    x = _random(6, 8, 8, 3)
    certificate = lipot.certify(model, x)
    assert 0.999 < certificate.lipschitz <= 1.0
    assert np.all(certificate.radius > 0)
    # The worst step there is for an affine piece: along the gradient of the closest margin.
    logits = to_numpy(model(x))
    order = np.argsort(logits, axis=1)
    moved = x + 0.999 * _toward(model, x, order) * certificate.radius[:, None, None, None]
    np.testing.assert_array_equal(to_numpy(model(moved)).argmax(1), certificate.predictions)


def _toward(model, x, order):
    """Unit directions along which the second best class gains most on the best."""
    rows = np.arange(len(x))

    def gain(inputs):
        logits = model(inputs, training=False)
        chosen = np.zeros(logits.shape, "float32")
        chosen[rows, order[:, -2]], chosen[rows, order[:, -1]] = 1.0, -1.0
        return keras.ops.sum(logits * keras.ops.convert_to_tensor(chosen))

    _, gradient = lipot.backend.value_and_input_gradient(gain, x)
    gradient = to_numpy(gradient)
    return gradient / np.linalg.norm(gradient.reshape(len(x), -1), axis=1)[:, None, None, None]


def test_the_network_learns_digits():
    keras.utils.set_random_seed(0)
    data = lipot.datasets.load("digits")
    model = lipot.models.lipnext((8, 8, 1), 10, width=32, depth=2, pooling="flatten")
    loss = lipot.losses.EMMA(0.3, head=model.layers[-1], tau=4.0)
    model.compile(lipot.optimizers.ManifoldAdam(2e-3), loss, metrics=["accuracy"])
    model.fit(data.x_train, data.y_train_onehot, epochs=6, batch_size=32, verbose=0)
    assert model.evaluate(data.x_test, data.y_test_onehot, verbose=0)[1] > 0.85
