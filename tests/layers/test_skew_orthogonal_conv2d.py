"""Tests of the skew-orthogonal convolution, against matrix exponentials."""

import keras
import numpy as np
import pytest
from scipy.linalg import expm

import lipot
from lipot.layers import GroupSort2, SkewOrthogonalConv2D
from lipot.math import skew
from tests.helpers import apply_kernel, check_layer, to_numpy
from tests.lipschitz import check_bound, jacobians


def sample(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer, shape, scale=1.0):
    layer.build((None, *shape))
    layer.kernel.assign(scale * np.random.default_rng(1).normal(size=layer.kernel.shape))
    return layer


def matrix_of(layer, shape):
    """The linear map of a layer, and the map of its kernel alone, as NumPy matrices."""
    size = int(np.prod(shape))
    basis = np.eye(size).reshape(size, *shape)
    kernel = keras.ops.cast(layer.inference_kernel, layer.compute_dtype)
    convolution = layer.linear_map.convolution(kernel.shape[3])
    outputs = to_numpy(convolution.apply(keras.ops.convert_to_tensor(basis), kernel))
    return outputs.reshape(size, -1).T


@pytest.mark.parametrize("padding", ["circular", "same"])
def test_it_is_the_exponential_of_a_skew_matrix(padding):
    shape = (4, 3, 2)
    layer = built(
        SkewOrthogonalConv2D(2, 3, padding=padding, use_bias=False, dtype="float64"), shape
    )
    generator = matrix_of(layer, shape)
    np.testing.assert_allclose(generator, -generator.T, atol=1e-15)
    assert 0.05 < np.linalg.norm(generator, 2) <= 1.0 + 1e-6
    (jacobian,) = jacobians(layer, np.zeros((1, *shape)))
    np.testing.assert_allclose(jacobian, expm(generator), atol=1e-8)
    np.testing.assert_allclose(jacobian @ jacobian.T, np.eye(len(jacobian)), atol=1e-8)


@pytest.mark.parametrize("terms", [1, 2, 3, 5])
def test_the_bound_covers_what_the_series_leaves_off(terms):
    # A turn by 90 degrees for each unit of time: A has the eigenvalues i and -i.
    kernel = np.zeros((1, 1, 2, 2))
    kernel[0, 0] = [[0.0, 1.0], [-1.0, 0.0]]
    layer = SkewOrthogonalConv2D(2, 1, terms=terms, use_bias=False, dtype="float64")
    layer.build((None, 1, 1, 2))
    apply_kernel(layer, kernel)
    (jacobian,) = jacobians(layer, np.zeros((1, 1, 1, 2)))
    norm, bound = np.linalg.norm(jacobian, 2), layer.lipschitz_bound
    series = sum(1j**k / np.prod(np.arange(1.0, k + 1)) for k in range(terms))
    assert norm == pytest.approx(abs(series), rel=1e-12)
    assert norm <= bound * (1 + 1e-12)
    assert bound == pytest.approx(1.0 + 1.0 / np.prod(np.arange(1.0, terms + 1)), rel=1e-9)


def test_a_kernel_that_is_not_skew_is_bounded_too():
    kernel = np.zeros((1, 1, 2, 2))
    kernel[0, 0] = [[0.3, 0.5], [-0.4, 0.2]]
    series = sum(
        np.linalg.matrix_power(kernel[0, 0], k) / np.prod(np.arange(1.0, k + 1)) for k in range(12)
    )
    norm = np.linalg.norm(series, 2)
    assert 1.2 < norm <= skew.exponential_bound(kernel, 12) < 2.0
    assert skew.exponential_bound(1e3 * kernel, 12) == np.inf


@pytest.mark.parametrize(
    "arguments, shape",
    [
        ({"filters": 3, "kernel_size": 3}, (3, 4, 2)),
        ({"filters": 2, "kernel_size": (1, 3), "padding": "circular"}, (3, 4, 3)),
        ({"filters": 5, "kernel_size": 3, "strides": 2}, (4, 4, 1)),
        ({"filters": 4, "kernel_size": 3, "strides": (1, 2), "padding": "circular"}, (2, 4, 2)),
    ],
)
def test_no_attack_beats_the_bound(arguments, shape):
    activation = GroupSort2(dtype="float64") if arguments["filters"] % 2 == 0 else None
    layer = SkewOrthogonalConv2D(
        **arguments, k_coef_lip=0.7, activation=activation, dtype="float64"
    )
    built(layer, shape)
    assert layer.lipschitz_bound == pytest.approx(0.7, rel=1e-8)
    check_bound(layer, shape, attained=0.999)


def test_more_filters_keep_the_norm_and_fewer_drop_channels():
    x = sample(2, 4, 4, 2)
    wider = built(SkewOrthogonalConv2D(5, 3, use_bias=False), (4, 4, 2))
    assert np.linalg.norm(wider(x)) == pytest.approx(np.linalg.norm(x), rel=1e-5)
    same = built(SkewOrthogonalConv2D(2, 3, use_bias=False), (4, 4, 2))
    fewer = SkewOrthogonalConv2D(1, 3, use_bias=False)
    fewer.build((None, 4, 4, 2))
    fewer.set_weights(same.get_weights())
    np.testing.assert_allclose(to_numpy(fewer(x)), to_numpy(same(x))[..., :1], atol=1e-6)


def test_a_small_kernel_is_left_alone_and_condensing_changes_nothing():
    small = built(SkewOrthogonalConv2D(2, 3), (4, 4, 2), scale=1e-3)
    free = to_numpy(skew.skew_kernel(small.kernel.value))
    np.testing.assert_array_equal(to_numpy(small.inference_kernel), free)
    for layer in (small, built(SkewOrthogonalConv2D(2, 3), (4, 4, 2))):
        before = to_numpy(layer.inference_kernel).copy()
        layer.condense()
        np.testing.assert_allclose(to_numpy(layer.inference_kernel), before, atol=1e-5)


def test_training_follows_the_series_and_moves_the_kernel():
    keras.utils.set_random_seed(0)
    x = sample(32, 4, 4, 2)
    target = to_numpy(built(SkewOrthogonalConv2D(2, 3, use_bias=False), (4, 4, 2))(x))
    layer = SkewOrthogonalConv2D(2, 3)
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = model.evaluate(x, target, verbose=0)
    model.fit(x, target, epochs=40, batch_size=32, verbose=0)
    assert model.evaluate(x, target, verbose=0) < 0.3 * before
    # Six terms instead of twelve differ by 1 / 6! at most.
    gap = np.linalg.norm(to_numpy(layer(x, training=True)) - to_numpy(layer(x)))
    assert gap <= 2e-3 * np.linalg.norm(x)


def test_certificates_and_exports():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            SkewOrthogonalConv2D(4, 3, strides=2, activation=GroupSort2(), k_coef_lip=0.5),
            SkewOrthogonalConv2D(6, 3, padding="circular"),
            keras.layers.Flatten(),
            lipot.layers.FrobeniusDense(3),
        ]
    )
    for layer in model.layers[:2]:
        layer.bias.assign(sample(layer.filters))
    x = sample(6, 6, 6, 2)
    certificate = lipot.certify(model, x)
    assert certificate.lipschitz == pytest.approx(0.5, rel=1e-7)
    assert certificate.radius.min() > 0.0 and certificate.rounding.max() < 1e-2
    plain = lipot.to_keras(model)
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
    assert "lipot" not in plain.to_json()


def test_round_trips(tmp_path):
    layer = SkewOrthogonalConv2D(4, (3, 1), strides=(1, 2), terms=8, activation="relu")
    check_layer(layer, (2, 4, 4, 3), tmp_path)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: SkewOrthogonalConv2D(0, 3), "`filters`"),
        (lambda: SkewOrthogonalConv2D(4, 2), "`kernel_size`.*odd"),
        (lambda: SkewOrthogonalConv2D(4, 3, terms=0), "`terms`"),
        (lambda: SkewOrthogonalConv2D(4, 3, training_terms=1.5), "`training_terms`"),
        (lambda: SkewOrthogonalConv2D(4, 3, padding="valid"), "`padding`"),
        (lambda: SkewOrthogonalConv2D(4, 3, strides=2)(np.ones((1, 5, 4, 1))), "`strides`"),
        (lambda: SkewOrthogonalConv2D(4, 3)(keras.Input((4, 4, None))), "input channels"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()
