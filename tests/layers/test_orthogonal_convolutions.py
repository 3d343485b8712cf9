"""Orthogonal convolutions against the SVD of the matrices they are, on real images."""

import keras
import numpy as np
import pytest

import lipot
from lipot import layers
from tests.helpers import apply_kernel, check_layer, explicit_matrix, to_numpy

ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky")


def singular_values(layer, input_shape):
    return np.linalg.svd(explicit_matrix(layer, input_shape), compute_uv=False)


def trained(layer, input_shape, steps=3, eagerly=True):
    """A layer after a few large optimizer steps that pull its kernel in one direction."""
    model = keras.Sequential([keras.Input(input_shape), layer, keras.layers.Flatten()])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16 * steps, *input_shape)).astype("float32") + 0.5
    y = rng.normal(size=(len(x), *model.output_shape[1:])).astype("float32") + 1.0
    model.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=eagerly)
    before = [np.array(w) for w in layer.trainable_weights]
    model.fit(x, y, batch_size=16, verbose=0)
    for old, new in zip(before, layer.trainable_weights):
        assert np.abs(old - np.asarray(new)).max() > 1e-3
    return layer


@pytest.mark.parametrize(
    "filters,kernel_size,strides,groups,input_shape",
    [
        (6, 3, 1, 1, (5, 6, 4)),
        (4, 3, 1, 1, (6, 5, 6)),
        (5, 3, 1, 1, (4, 4, 1)),
        (4, 1, 1, 1, (3, 3, 5)),
        (4, 2, 1, 1, (5, 5, 4)),
        (3, (1, 5), 1, 1, (2, 7, 3)),
        (5, 4, 2, 1, (6, 8, 3)),
        (13, 4, 2, 1, (6, 6, 3)),
        (6, 3, (2, 1), 1, (6, 5, 4)),
        (8, 2, 2, 1, (4, 6, 2)),
        (4, 1, 2, 1, (4, 4, 5)),
        (6, 3, 1, 2, (5, 5, 4)),
        (4, 3, 2, 2, (6, 6, 6)),
        (8, 3, 1, 4, (5, 5, 4)),
        (8, 4, 2, 4, (6, 6, 4)),
    ],
)
def test_circular_convolution_is_orthogonal_after_training(
    filters, kernel_size, strides, groups, input_shape
):
    layer = layers.OrthogonalConv2D(
        filters, kernel_size, strides=strides, groups=groups, padding="circular"
    )
    values = singular_values(trained(layer, input_shape), input_shape)
    np.testing.assert_allclose(values, 1.0, atol=1e-4)
    assert values[0] <= layer.lipschitz_bound + 1e-6
    assert layer.lipschitz_bound <= 1.0


def test_circular_dilated_convolution_is_orthogonal():
    layer = layers.OrthogonalConv2D(4, 3, dilation_rate=(2, 3), padding="circular")
    np.testing.assert_allclose(singular_values(layer, (7, 8, 3)), 1.0, atol=1e-4)


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
def test_orthogonalizers_end_orthogonal(orthogonalizer):
    layer = layers.OrthogonalConv2D(5, 3, padding="circular", orthogonalizer=orthogonalizer)
    values = singular_values(trained(layer, (5, 5, 3), eagerly=False), (5, 5, 3))
    np.testing.assert_allclose(values, 1.0, atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid", "constant"])
@pytest.mark.parametrize(
    "filters,kernel_size,strides", [(6, 3, 1), (3, 3, 1), (5, 4, 2), (4, 5, 3)]
)
def test_zero_padding_never_exceeds_one(padding, filters, kernel_size, strides):
    layer = layers.OrthogonalConv2D(filters, kernel_size, strides=strides, padding=padding)
    norm = singular_values(trained(layer, (7, 8, 4)), (7, 8, 4))[0]
    assert 0.9 < norm <= 1.0 + 1e-6
    assert norm <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


def test_zero_padding_keeps_the_norm_of_an_image_with_an_empty_border():
    layer = layers.OrthogonalConv2D(8, 5, use_bias=False)
    x = np.zeros((1, 9, 9, 3), "float32")
    x[:, 2:-2, 2:-2] = np.random.default_rng(0).normal(size=(1, 5, 5, 3))
    assert np.linalg.norm(layer(x)) == pytest.approx(np.linalg.norm(x), rel=1e-4)


@pytest.mark.parametrize("filters,kernel_size", [(16, 3), (32, 5), (32, 7)])
def test_a_chain_of_many_pairs_stays_within_its_constant(filters, kernel_size):
    layer = layers.OrthogonalConv2D(filters, kernel_size, padding="circular")
    layer.build((None, 8, 8, filters))
    assert layer.lipschitz_bound <= 1.0


@pytest.mark.parametrize(
    "filters,kernel_size,strides,channels",
    [(3, 4, 2, 12), (2, 3, 1, 5), (6, 3, 1, 4), (3, 2, 2, 14)],
)
def test_transposed_convolution_is_orthogonal_and_the_way_back(
    filters, kernel_size, strides, channels
):
    geometry = {"strides": strides, "padding": "circular", "use_bias": False}
    layer = layers.OrthogonalConv2DTranspose(filters, kernel_size, **geometry)
    matrix = explicit_matrix(trained(layer, (4, 5, channels)), (4, 5, channels))
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1.0, atol=1e-4)
    assert layer.lipschitz_bound <= 1.0
    forward = layers.OrthogonalConv2D(channels, kernel_size, **geometry)
    shape = layer.compute_output_shape((None, 4, 5, channels))
    forward.build(shape)
    forward.set_weights(layer.get_weights())
    np.testing.assert_allclose(explicit_matrix(forward, shape[1:]), matrix.T, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel_size,strides", [(3, 1), (4, 2), (2, 3)])
def test_transposed_zero_padding_never_exceeds_one(padding, kernel_size, strides):
    layer = layers.OrthogonalConv2DTranspose(3, kernel_size, strides=strides, padding=padding)
    norm = singular_values(trained(layer, (4, 5, 3)), (4, 5, 3))[0]
    assert 0.9 < norm <= layer.lipschitz_bound + 1e-6 <= 1.0 + 1e-6


@pytest.mark.parametrize(
    "filters,kernel_size,strides,groups", [(6, 3, 1, 1), (3, 5, 1, 1), (9, 4, 2, 1), (6, 3, 1, 2)]
)
def test_sequences(filters, kernel_size, strides, groups):
    layer = layers.OrthogonalConv1D(
        filters, kernel_size, strides=strides, groups=groups, padding="circular"
    )
    values = singular_values(trained(layer, (8, 4)), (8, 4))
    np.testing.assert_allclose(values, 1.0, atol=1e-4)
    assert layer.lipschitz_bound <= 1.0


@pytest.mark.parametrize("padding", ["same", "valid", "constant", "circular"])
def test_sequences_export(padding):
    layer = layers.OrthogonalConv1D(6, 4, strides=2, padding=padding, activation="relu")
    x = np.random.default_rng(0).normal(size=(3, 8, 4)).astype("float32")
    expected = to_numpy(trained(layer, (8, 4), steps=2)(x))
    model = keras.Sequential([keras.Input((8, 4)), layer])
    assert lipot.lipschitz_constant(model) <= 1.0
    np.testing.assert_allclose(to_numpy(lipot.to_keras(model)(x)), expected, atol=1e-5)


def test_sequence_round_trips(tmp_path):
    check_layer(
        layers.OrthogonalConv1D(6, 3, dilation_rate=2, name="sequence"), (2, 9, 4), tmp_path
    )


@pytest.mark.parametrize(
    "layer",
    [
        layers.OrthogonalConv2D(4, 3, strides=1, name="orthogonal"),
        layers.OrthogonalConv2D(6, 4, strides=2, padding="circular", groups=3, name="grouped"),
        layers.OrthogonalConv2D(6, 3, groups=3, dilation_rate=2, name="depthwise"),
        layers.OrthogonalConv2D(4, 3, data_format="channels_last", k_coef_lip=0.5, name="half"),
        layers.OrthogonalConv2DTranspose(2, 3, strides=2, name="transposed"),
        layers.OrthogonalConv2DTranspose(2, 4, strides=2, padding="circular", name="folded"),
    ],
    ids=lambda layer: layer.name,
)
def test_round_trips(layer, tmp_path):
    check_layer(layer, (2, 8, 8, 3), tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_reduced_precision_keeps_the_bound(policy):
    for layer, shape in (
        (layers.OrthogonalConv2D(8, 3, dtype=policy), (8, 8, 8)),
        (layers.OrthogonalConv2D(8, 4, strides=2, padding="circular", dtype=policy), (8, 8, 4)),
        (layers.OrthogonalConv2DTranspose(4, 3, strides=2, dtype=policy), (5, 5, 3)),
    ):
        trained(layer, shape, steps=2)
        assert 0.8 < layer.lipschitz_bound <= 1.0


def test_export_and_condense_keep_the_outputs():
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 4)).astype("float32")
    for layer in (
        layers.OrthogonalConv2D(6, 3, activation="relu"),
        layers.OrthogonalConv2D(6, 4, strides=2, padding="circular", groups=2),
        layers.OrthogonalConv2D(8, 3, padding="constant", groups=4, dilation_rate=2),
        layers.OrthogonalConv2DTranspose(4, 3, strides=2),
        layers.OrthogonalConv2DTranspose(4, 5, strides=2, padding="circular", activation="relu"),
    ):
        expected = to_numpy(trained(layer, (8, 8, 4), steps=2)(x))
        exported = layer.vanilla_export()
        assert type(exported).__module__.startswith("keras.")
        np.testing.assert_allclose(to_numpy(exported(x)), expected, atol=1e-5)
        layer.condense()
        np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_training_and_inference_kernels_agree():
    for orthogonalizer in ORTHOGONALIZERS:
        layer = layers.OrthogonalConv2D(6, 3, strides=2, orthogonalizer=orthogonalizer)
        x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
        trained(layer, (6, 6, 3))
        np.testing.assert_allclose(to_numpy(layer(x, training=True)), to_numpy(layer(x)), atol=2e-2)


def test_certified_and_plain_twins():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.OrthogonalConv2D(6, 3),
            layers.GroupSort2(),
            layers.OrthogonalConv2D(8, 4, strides=2, padding="circular"),
            layers.GroupSort2(),
            layers.OrthogonalConv2D(8, 3, groups=8),
            layers.OrthogonalConv2DTranspose(4, 4, strides=2, padding="circular"),
            keras.layers.Flatten(),
            layers.FrobeniusDense(3),
        ]
    )
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 2)).astype("float32")
    y = to_numpy(model(x))
    constant = lipot.lipschitz_constant(model)
    assert 0.9 < constant <= np.sqrt(3) + 1e-6
    assert np.all(lipot.certify(model, x, y.argmax(1)).radius > 0)
    np.testing.assert_allclose(to_numpy(lipot.to_keras(model)(x)), y, atol=1e-5)


def test_another_image_than_the_one_built_for():
    layer = layers.OrthogonalConv2D(6, 3, dtype="mixed_bfloat16")
    small = keras.Sequential([keras.Input((4, 4, 3)), layer])
    large = keras.Sequential([keras.Input((9, 9, 3)), layer])
    kernel = np.asarray(keras.ops.cast(layer.inference_kernel, "float32"), "float64")
    exact = layers.OrthogonalConv2D(6, 3, dtype="float32")
    exact.build((None, 9, 9, 3))
    apply_kernel(exact, kernel)
    assert singular_values(exact, (9, 9, 3))[0] <= lipot.lipschitz_constant(large) + 1e-6
    assert lipot.lipschitz_constant(small) <= 1.0
    circular = layers.OrthogonalConv2D(6, 4, strides=2, padding="circular")
    circular.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="`strides`.*divisors.*Received"):
        circular(np.zeros((1, 7, 8, 3), "float32"))


@pytest.mark.parametrize("padding", ["same", "circular"])
def test_unknown_image_size_is_bounded_for_every_size(padding):
    layer = layers.OrthogonalConv2D(4, 3, padding=padding)
    model = keras.Sequential([keras.Input((None, None, 2)), layer])
    assert layer.lipschitz_bound <= 1.0
    assert lipot.lipschitz_constant(model) <= 1.0
    for size in (3, 4, 9):
        assert singular_values(layer, (size, size, 2))[0] <= layer.lipschitz_bound + 1e-6


@pytest.mark.parametrize(
    "make,argument",
    [
        (lambda: layers.OrthogonalConv2D(0, 3), "filters"),
        (lambda: layers.OrthogonalConv2D(2, 3, padding="reflect"), "padding"),
        (lambda: layers.OrthogonalConv2D(2, 3, padding="causal"), "padding"),
        (lambda: layers.OrthogonalConv1D(2, (3, 5)), "kernel_size"),
        (lambda: layers.OrthogonalConv1D(2, 3, strides=[]), "strides"),
        (lambda: layers.OrthogonalConv2D(6, 3, groups=4), "groups"),
        (lambda: layers.OrthogonalConv2D(6, 3, groups=0), "groups"),
        (lambda: layers.OrthogonalConv2D(6, 3, groups=3).build((None, 8, 8, 4)), "groups"),
        (lambda: layers.OrthogonalConv2D(6, 3, strides=2, dilation_rate=2), "dilation_rate"),
        (lambda: layers.OrthogonalConv2D(6, 3, eps_bjorck=None), "eps_bjorck"),
        (lambda: layers.OrthogonalConv2D(6, 3, orthogonalizer="qr"), "orthogonalizer"),
        (lambda: layers.OrthogonalConv2D(6, 1, strides=2).build((None, 8, 8, 4)), "strides"),
        (
            lambda: layers.OrthogonalConv2D(6, 3, strides=2, padding="circular").build(
                (None, 7, 8, 4)
            ),
            "strides",
        ),
        (lambda: layers.OrthogonalConv2DTranspose(2, 3, padding="constant"), "padding"),
        (lambda: layers.OrthogonalConv2DTranspose(2, 3, output_padding=1), "output_padding"),
        (lambda: layers.OrthogonalConv2DTranspose(2, 3, dilation_rate=2), "dilation_rate"),
        (
            lambda: layers.OrthogonalConv2DTranspose(2, 9, padding="circular").build(
                (None, 4, 4, 2)
            ),
            "kernel_size",
        ),
    ],
)
def test_impossible_arguments_are_named_with_the_reason(make, argument):
    with pytest.raises(ValueError, match=f"`{argument}`.*Expected.*Received"):
        make()


def test_a_padding_that_is_refused_is_not_among_those_expected():
    with pytest.raises(ValueError) as error:
        layers.OrthogonalConv2D(2, 3, padding="reflect")
    expected = str(error.value).partition("Expected")[2].partition("Received")[0]
    assert "'circular'" in expected and "causal" not in expected
