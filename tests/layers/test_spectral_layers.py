"""Dense and convolution layers: the operator norm of what they apply never exceeds the bound."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import layers
from lipot.layers import orthogonalizers
from tests.helpers import check_layer, explicit_matrix, to_numpy

PADDINGS = ("same", "valid", "constant", "circular", "reflect", "symmetric")
ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky")


def norm(layer, input_shape):
    return np.linalg.norm(explicit_matrix(layer, input_shape), 2)


def trained(layer, input_shape, steps=12):
    """A layer after a few optimizer steps that pull its kernel in one direction."""
    inputs = keras.Input(input_shape)
    head = (
        keras.layers.GlobalAveragePooling2D() if len(input_shape) == 3 else keras.layers.Identity()
    )
    model = keras.Model(inputs, head(layer(inputs)))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16 * steps, *input_shape)).astype("float32") + 0.5
    y = np.full((len(x), *model.output_shape[1:]), 9.0, "float32")
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    return layer


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@pytest.mark.parametrize("units", [5, 12, 30])
def test_dense_is_orthonormal_after_training(units, orthogonalizer):
    layer = trained(layers.SpectralDense(units, orthogonalizer=orthogonalizer), (12,))
    values = np.linalg.svd(explicit_matrix(layer, (12,)), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)
    assert values[0] <= layer.lipschitz_bound + 1e-6
    assert layer.lipschitz_bound <= 1.0


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("strides", [1, 2])
def test_convolution_norm_stays_below_its_bound(padding, strides):
    layer = trained(layers.SpectralConv2D(4, 3, strides=strides, padding=padding), (7, 8, 3))
    true = norm(layer, (7, 8, 3))
    assert true <= layer.lipschitz_bound + 1e-6
    assert layer.lipschitz_bound <= 1.0
    assert true > 0.45, "the bound should not be vacuous"


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
def test_orthogonalizers_agree_on_the_bound_of_a_convolution(orthogonalizer):
    layer = trained(layers.SpectralConv2D(4, 3, orthogonalizer=orthogonalizer), (6, 6, 2))
    assert norm(layer, (6, 6, 2)) <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


@pytest.mark.parametrize("strides,padding", [(1, "same"), (2, "same"), (2, "valid"), (3, "same")])
def test_transposed_convolution_norm(strides, padding):
    layer = trained(
        layers.SpectralConv2DTranspose(2, 3, strides=strides, padding=padding), (4, 5, 3)
    )
    assert norm(layer, (4, 5, 3)) <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size,strides", [(3, 1), (2, 1), (3, 2), (5, 3)])
def test_frobenius_convolution_norm(padding, kernel_size, strides):
    layer = layers.FrobeniusConv2D(3, kernel_size, strides=strides, padding=padding)
    true = norm(layer, (8, 7, 2))
    assert true <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


def test_frobenius_dense_by_hand():
    layer = layers.FrobeniusDense(2, disjoint_neurons=True, use_bias=False)
    layer.build((None, 2))
    layer.kernel.assign([[3.0, 0.0], [4.0, 2.0]])
    np.testing.assert_allclose(
        to_numpy(layer.inference_kernel), [[0.6, 0.0], [0.8, 1.0]], atol=1e-6
    )
    joint = layers.FrobeniusDense(2, disjoint_neurons=False, use_bias=False)
    joint.build((None, 2))
    joint.kernel.assign([[3.0, 0.0], [4.0, 0.0]])
    np.testing.assert_allclose(
        to_numpy(joint.inference_kernel), [[0.6, 0.0], [0.8, 0.0]], atol=1e-6
    )


def test_average_factor_is_not_a_bound_and_says_so():
    """A smooth kernel breaks hKR's eq. 11; the stated bound must tell."""
    layer = layers.SpectralConv2D(1, 3, normalization="average", use_bias=False)
    layer.build((None, 8, 8, 1))
    layer.kernel.assign(np.full((3, 3, 1, 1), 1.0 / 3.0))
    true = norm(layer, (8, 8, 1))
    assert true > 1.003
    assert layer.lipschitz_bound >= true - 1e-6


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layer_type", [layers.SpectralConv2D, layers.FrobeniusConv2D])
def test_unknown_image_size_is_bounded_for_every_size(layer_type, padding):
    layer = layer_type(4, 3, padding=padding)
    layer.build((None, None, None, 2))
    for size in (3, 4, 9):
        assert norm(layer, (size, size, 2)) <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


@pytest.mark.parametrize("padding", ["circular", "reflect", "symmetric"])
@pytest.mark.parametrize("kernel_size,strides", [(3, 1), (4, 1), (5, 2)])
def test_small_images_that_padding_copies_on_both_sides(padding, kernel_size, strides):
    for layer_type in (layers.SpectralConv2D, layers.FrobeniusConv2D):
        layer = layer_type(3, kernel_size, strides=strides, padding=padding)
        assert norm(layer, (3, 4, 2)) <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


def test_k_coef_lip_scales_the_bound():
    dense = layers.SpectralDense(6, k_coef_lip=2.5)
    assert norm(dense, (9,)) == pytest.approx(2.5, abs=1e-4)
    assert dense.lipschitz_bound == pytest.approx(2.5, abs=1e-4)


def test_spectral_normalization_alone_keeps_small_singular_values():
    layer = layers.SpectralDense(
        4, eps_bjorck=None, kernel_initializer=keras.initializers.RandomNormal(seed=1)
    )
    values = np.linalg.svd(explicit_matrix(layer, (6,)), compute_uv=False)
    assert values[0] == pytest.approx(1.0, abs=1e-3)
    assert values[0] <= 1.0 and values[-1] < 0.9


@pytest.mark.parametrize(
    "layer",
    [
        layers.SpectralDense(6, name="spectral_dense"),
        layers.FrobeniusDense(6, name="frobenius_dense"),
    ],
)
def test_dense_round_trips(layer, tmp_path):
    check_layer(layer, (2, 8), tmp_path)


@pytest.mark.parametrize(
    "layer",
    [
        layers.SpectralConv2D(4, 3, padding="circular", strides=2, name="conv"),
        layers.SpectralConv2DTranspose(2, 3, strides=2, name="transpose"),
        layers.FrobeniusConv2D(4, (3, 2), padding="valid", name="frobenius_conv"),
    ],
)
def test_convolution_round_trips(layer, tmp_path):
    check_layer(layer, (2, 8, 8, 3), tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_reduced_precision_keeps_the_bound(policy):
    dense = trained(layers.SpectralDense(40, dtype=policy), (60,))
    conv = trained(layers.SpectralConv2D(8, 3, dtype=policy), (8, 8, 8))
    transpose = trained(layers.SpectralConv2DTranspose(4, 3, strides=2, dtype=policy), (5, 5, 3))
    frobenius = trained(layers.FrobeniusDense(1, dtype=policy), (60,))
    for layer in (dense, conv, transpose, frobenius):
        assert layer.lipschitz_bound <= 1.0
        assert layer.lipschitz_bound > 0.8


def test_vanilla_export_and_condense_keep_the_outputs():
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    for layer in (
        layers.SpectralConv2D(4, 3, activation="relu"),
        layers.SpectralConv2D(4, 3, padding="circular"),
        layers.SpectralConv2D(4, 3, padding="symmetric", strides=2),
        layers.SpectralConv2DTranspose(4, 3, strides=2),
        layers.FrobeniusConv2D(4, 3, padding="reflect"),
    ):
        expected = to_numpy(trained(layer, (8, 8, 3), steps=2)(x))
        exported = layer.vanilla_export()
        assert type(exported).__module__.startswith("keras.")
        np.testing.assert_allclose(to_numpy(exported(x)), expected, atol=1e-6)
        layer.condense()
        np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.smoke
def test_inference_uses_the_kernel_of_the_last_step():
    layer = layers.SpectralDense(3)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    before = model.predict(x, verbose=0)
    model.fit(x, np.ones((8, 3)), verbose=0)
    after = model.predict(x, verbose=0)
    assert np.abs(after - before).max() > 1e-4
    kernel = to_numpy(layer.inference_kernel)
    np.testing.assert_allclose(after, x @ kernel + np.asarray(layer.bias), atol=1e-6)
    np.testing.assert_array_equal(np.asarray(model.predict(x, verbose=0)), after)


def test_training_and_inference_kernels_agree():
    for orthogonalizer in ORTHOGONALIZERS:
        layer = trained(layers.SpectralDense(5, orthogonalizer=orthogonalizer), (7,))
        x = ops.ones((1, 7))
        np.testing.assert_allclose(to_numpy(layer(x, training=True)), to_numpy(layer(x)), atol=2e-2)


@pytest.mark.parametrize(
    "make,argument",
    [
        (lambda: layers.SpectralDense(-1), "units"),
        (lambda: layers.SpectralDense(2.5), "units"),
        (lambda: layers.SpectralDense(2, k_coef_lip=0.0), "k_coef_lip"),
        (lambda: layers.SpectralDense(2, beta_bjorck=0.7), "beta_bjorck"),
        (lambda: layers.SpectralDense(2, eps_bjorck=-1.0), "eps_bjorck"),
        (lambda: layers.SpectralDense(2, maxiter_bjorck=0), "maxiter_bjorck"),
        (lambda: layers.SpectralDense(2, orthogonalizer="qr"), "orthogonalizer"),
        (lambda: layers.SpectralConv2D(0, 3), "filters"),
        (lambda: layers.SpectralConv2D(2, (3, 0)), "kernel_size"),
        (lambda: layers.SpectralConv2D(2, 3, padding="causal"), "padding"),
        (lambda: layers.SpectralConv2D(2, 3, dilation_rate=2), "dilation_rate"),
        (lambda: layers.SpectralConv2D(2, 3, normalization="none"), "normalization"),
        (lambda: layers.SpectralConv2D(2, 3, data_format="nchw"), "data_format"),
        (lambda: layers.SpectralConv2DTranspose(2, 3, padding="circular"), "padding"),
        (lambda: layers.FrobeniusDense(0), "units"),
    ],
)
def test_bad_arguments_are_named(make, argument):
    with pytest.raises(ValueError, match=f"`{argument}`.*Expected.*Received"):
        make()


def test_bad_kernels_are_never_certified():
    layer = layers.SpectralDense(2)
    with pytest.raises(ValueError, match="no weights yet"):
        _ = layer.lipschitz_bound
    layer.build((None, 3))
    layer.kernel.assign(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        _ = layer.lipschitz_bound


@pytest.mark.parametrize("name", ["retraction", "bjorck"])
@pytest.mark.parametrize("shape", [(12, 12), (20, 8), (8, 20), (3, 12, 6)])
@pytest.mark.parametrize("size", [1e-3, 0.7, 1.7, 2.5, 100.0])
def test_the_exact_kernel_is_the_polar_factor_of_any_weights(name, shape, size):
    # A step of Björck past the root of three would turn a direction around. The long one here is
    # at right angles to the vector that power iterations start from.
    rng, columns = np.random.default_rng(0), shape[-1]
    start = np.cos(np.arange(columns) ** 1.5)[:, None]
    long = rng.normal(size=(columns, 1))
    long -= start * (start.T @ long) / (start.T @ start)
    u, values, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    v[..., 0, :] = long[:, 0]
    v = np.linalg.qr(np.swapaxes(v, -1, -2))[0].swapaxes(-1, -2)
    values[...] = np.linspace(0.9, 1.0, min(shape[-2:]))
    values[..., 0] = size
    weights = (u * values[..., None, :]) @ v
    ways = orthogonalizers.get(
        name, eps_bjorck=1e-3, beta_bjorck=0.5, maxiter_bjorck=15, maxiter_spectral=3
    )
    found = to_numpy(ways.exact(ops.convert_to_tensor(weights.astype("float32"))))
    np.testing.assert_allclose(found, u @ v, atol=2e-4)


@pytest.mark.parametrize("layer", [layers.SpectralDense, layers.FrobeniusDense])
def test_policies_that_quantize_are_refused_in_words(layer):
    with pytest.raises(ValueError, match="argument `dtype`. Expected a floating point policy"):
        layer(2, dtype="int8_from_float32")
