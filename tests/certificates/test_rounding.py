"""What certificates allow for floating point, against the same models run in float64."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.math import rounding
from lipot.math.rounding import Affine, accumulated, float_format, joint, rounded_down, total
from tests.helpers import to_numpy


def in_float64(model):
    """The same model computed in float64, with the very same weights."""

    def clone(layer):
        if not isinstance(layer, layers.Layer):
            return layer.__class__.from_config(layer.get_config())
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float64"})

    exact = keras.models.clone_model(
        model, keras.Input(model.input_shape[1:], dtype="float64"), clone
    )
    exact.set_weights([weight.astype("float64") for weight in model.get_weights()])
    return exact


def computed(model):
    """The bounds for everything before the last layer."""
    return find_head(model, [computed_input_node(t, t.shape) for t in model.inputs]).node.computed


def stock_cnn(dtype="float32"):
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(8, 3, padding="same", bias_initializer="random_normal", dtype=dtype),
            layers.BatchNormalization(gamma_initializer="random_normal", dtype=dtype),
            layers.Activation("gelu", dtype=dtype),
            layers.MaxPooling2D(2, dtype=dtype),
            layers.Conv2D(8, 3, strides=2, activation="tanh", dtype=dtype),
            layers.AveragePooling2D(1, dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(12, activation="elu", bias_initializer="random_normal", dtype=dtype),
            layers.Dense(3, dtype=dtype),
        ]
    )


def separable_cnn(dtype="float32"):
    """Depthwise and pointwise kernels whose products cancel: what lies between them is large."""
    apart = layers.SeparableConv2D(
        6, 3, padding="same", depth_multiplier=2, bias_initializer="random_normal", dtype=dtype
    )
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            apart,
            layers.Activation("tanh", dtype=dtype),
            layers.DepthwiseConv2D(3, dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(3, dtype=dtype),
        ]
    )
    first = to_numpy(apart.depthwise_kernel)
    second = to_numpy(apart.pointwise_kernel).reshape(2, 2, 6)
    first[..., 1] = first[..., 0]
    second[:, 1] = 0.3 - second[:, 0]
    apart.set_weights([3.0 * first, second.reshape(1, 1, 4, 6), to_numpy(apart.bias)])
    return model


def lipot_cnn():
    """Constrained kernels as stock layers, among lipot's own activations and pooling."""
    model = lipot.Sequential(
        [
            keras.Input((8, 8, 2)),
            lipot.layers.SpectralConv2D(8, 3, bias_initializer="random_normal"),
            lipot.layers.GroupSort2(),
            lipot.layers.ScaledL2NormPooling2D(2),
            lipot.layers.Householder(k_coef_lip=0.7),
            lipot.layers.ScaledAveragePooling2D(2),
            lipot.layers.MaxMin(),
            layers.Flatten(),
            lipot.layers.SpectralDense(12, bias_initializer="random_normal"),
            lipot.layers.FullSort(),
            lipot.layers.SpectralDense(3),
        ]
    )
    return model.vanilla_export()


def branched():
    inputs = keras.Input((6,))
    x = layers.Dense(6, activation="softplus")(inputs)
    x = layers.Concatenate()([layers.Add()([x, inputs]), layers.Subtract()([inputs, 0.1 * x])])
    x = layers.Maximum()([x, layers.Dense(12)(x) + 1.0])
    return keras.Model(inputs, layers.Dense(3)(x))


@pytest.mark.parametrize("make", [stock_cnn, separable_cnn, lipot_cnn, branched])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_error_bound_is_above_the_error_of_float32(make, scale):
    model = make()
    exact = in_float64(model)
    x = scale * np.random.default_rng(0).normal(size=(50, *model.input_shape[1:]))
    before, after = (keras.Model(m.inputs[0], m.layers[-1].input) for m in (model, exact))
    error = np.linalg.norm(to_numpy(before(x)) - to_numpy(after(x)), axis=1)
    norms = np.linalg.norm(x.reshape(50, -1), axis=1)
    bounds = computed(model)
    assert np.all(error <= bounds.error(norms))
    assert np.all(np.linalg.norm(to_numpy(before(x)), axis=1) <= bounds.size(norms))
    # It is a worst case, but of the same order as single precision.
    assert np.all(bounds.error(norms) <= 3e-3 * bounds.size(norms))


def test_error_bound_of_half_precision():
    model = stock_cnn("mixed_float16")
    exact = in_float64(model)
    x = np.random.default_rng(0).normal(size=(50, 8, 8, 2))
    before, after = (keras.Model(m.inputs[0], m.layers[-1].input) for m in (model, exact))
    # The kernels of the deployed model are the rounded ones.
    for layer in exact.layers:
        layer.set_weights([w.astype("float16").astype("float64") for w in layer.get_weights()])
    error = np.linalg.norm(to_numpy(before(x)).astype("float64") - to_numpy(after(x)), axis=1)
    assert np.all(error <= computed(model).error(np.linalg.norm(x.reshape(50, -1), axis=1)))


def test_sums_that_round_one_way_stay_inside():
    # Every addition of 0.1 to a growing float32 sum may round in the same direction.
    model = keras.Sequential(
        [keras.Input((4096,)), layers.Dense(1, use_bias=False), layers.Dense(1)]
    )
    model.layers[0].set_weights([np.full((4096, 1), 0.1, "float32")])
    x = np.full((1, 4096), 0.1, "float32")
    sequential = np.float32(0.0)
    for product in x[0] * np.float32(0.1):
        sequential += product
    error = abs(float(sequential) - 4096 * float(np.float32(0.1)) ** 2)
    bound = computed(model).error(np.linalg.norm(x.astype("float64")))
    assert 1e-5 < error < bound


def between_kernels():
    layer = layers.SeparableConv2D(1, 1)
    layer.build((None, 1, 1, 1))
    layer.set_weights([np.full((1, 1, 1, 1), 1e-37), np.full((1, 1, 1, 1), 1e37), np.zeros(1)])
    return layer


def before_a_slope():
    layer = layers.Conv2D(1, 1, activation=layers.LeakyReLU(1e37))
    layer.build((None, 1, 1, 1))
    layer.set_weights([np.full((1, 1, 1, 1), -1e-37), np.zeros(1)])
    return layer


def under_a_root():
    return lipot.layers.ScaledL2NormPooling2D(1, k_coef_lip=1e12, eps_grad_sqrt=1e-18)


# A layer, and an input at which a number on the way is the smallest that need not count as zero.
VANISHING = {
    "between kernels": (between_kernels, 2.0**-126 * 1e37),
    "before a slope": (before_a_slope, 2.0**-126 * 1e37),
    "under a root": (under_a_root, 2.0**-63),
}


@pytest.mark.parametrize("make, edge", VANISHING.values(), ids=VANISHING)
def test_what_vanishes_before_a_large_factor_is_allowed_for(make, edge):
    model = keras.Sequential([keras.Input((1, 1, 1)), make(), layers.Flatten(), layers.Dense(2)])
    height = float(to_numpy(model.layers[0](np.full((1, 1, 1, 1), 1.001 * edge)))[0, 0, 0, 0])
    kernel, bias = np.sign(height) * np.array([[1.0, -1.0]]), [0.0, 0.1 * abs(height)]
    model.layers[-1].set_weights([kernel, np.array(bias)])
    x = (edge * np.linspace(1.0 - 1e-5, 1.0 + 1e-5, 101)).astype("float32")
    certificate = lipot.certify(model, x.reshape(-1, 1, 1, 1))
    classes = to_numpy(model(x.reshape(-1, 1, 1, 1))).argmax(axis=1)
    near = np.abs(x[:, None].astype("float64") - x) <= certificate.radius[:, None]
    changed = near & (classes != certificate.predictions[:, None])
    assert not np.any(changed[certificate.radius > 0.0])
    # Where nothing vanishes, there is a proof.
    assert lipot.certify(model, np.full((1, 1, 1, 1), 1e6 * edge)).radius > 0.0


def test_norms_of_tiny_codes_are_looked_at():
    """Scored by other norms, points may be missed that are the nearest."""
    x = 1e-16 * np.random.default_rng(0).normal(size=(30, 2))
    same = keras.Sequential([keras.Input((2,)), layers.Identity()])
    model = lipot.OTAD(same, layers.Dense(2), neighbors=2).adapt(x)
    model.memory.norms.assign(np.zeros(30))
    with pytest.raises(ValueError, match="adapt"):
        lipot.certify(model, x)


def test_half_precision_certifies_less_than_single_and_never_more():
    x = np.random.default_rng(0).normal(size=(100, 16))

    def network(dtype):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [keras.Input((16,)), layers.Dense(8, "relu", dtype=dtype), layers.Dense(3)]
        )
        kernel = model.layers[0].kernel
        kernel.assign(np.asarray(kernel).astype("float16").astype("float32"))
        return model

    single, half = (lipot.certify(network(dtype), x) for dtype in ("float32", "mixed_float16"))
    assert np.all(half.radius <= single.radius)
    assert 0.3 < half.radius.sum() / single.radius.sum() < 0.99
    assert np.all(single.rounding <= 1e-4)


def test_a_softmax_in_half_precision_rounds_the_logits():
    x = np.random.default_rng(0).normal(size=(20, 3))
    radius = {}
    for dtype in ("float32", "float16"):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.Softmax(dtype=dtype)])
        model.layers[0].set_weights([np.eye(3), np.array([100.0, 100.0, 100.0])])
        radius[dtype] = lipot.certify(model, x).radius
    # Near 100 the spacing of half precision is 2^-4.
    assert np.all(radius["float16"] <= np.maximum(0.0, radius["float32"] - 2.0**-5))


def test_products_with_fewer_bits_are_noticed(monkeypatch):
    assert float_format("float32").roundoff == 2.0**-24
    x = np.eye(3)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    model.layers[0].set_weights([np.eye(3), np.zeros(3)])
    full = lipot.certify(model, x).radius

    for bits, roundoff in ((15, 2.0**-16), (10, 2.0**-11), (7, 2.0**-8)):
        step = np.float32(2.0**-bits)
        monkeypatch.setattr(
            rounding,
            "_products_keep",
            lambda value, step=step: value == np.float32(1.0) + step or (value - 1) % step == 0,
        )
        assert float_format("float32").roundoff == roundoff
        assert np.all(lipot.certify(model, x).radius < full)


def fourier(images):
    """A convolution with a kernel that has a single one in it, by transforms."""
    return np.fft.irfft2(np.fft.rfft2(images, axes=(1, 2)), axes=(1, 2)).astype("float32")


def test_convolutions_through_transforms_are_refused(monkeypatch):
    assert rounding.convolutions_are_sums()
    flat = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    images = [keras.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    images = keras.Sequential(images)
    monkeypatch.setattr(rounding.ops, "conv", lambda images, *_, **__: fourier(images))
    monkeypatch.setattr(rounding, "_products_keep", lambda value: True)
    assert not rounding.convolutions_are_sums()
    lipot.certify(flat, np.ones((1, 2)))
    lipot.lipschitz_constant(images)
    with pytest.raises(ValueError, match="cannot be certified on this machine"):
        lipot.certify(images, np.ones((1, 4, 4, 1)))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="NNPACK is a library of PyTorch")
def test_convolutions_of_nnpack_are_noticed():
    torch = pytest.importorskip("torch")
    if not torch.backends.nnpack.is_available():
        pytest.skip("PyTorch was built without NNPACK")
    with torch.backends.mkldnn.flags(enabled=False):
        assert not rounding.convolutions_are_sums()
        with torch.backends.nnpack.flags(enabled=False):
            assert rounding.convolutions_are_sums()


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="dtype=int8"):
        float_format("int8")


def test_a_radius_is_told_smaller_and_none_where_there_is_none():
    told = rounded_down(np.array([-1.0, 0.0, np.nan, 1e-300, 0.5, np.inf]))
    assert told[:3].tolist() == [0.0, 0.0, 0.0] and 0.0 < told[3] < 1e-300
    assert 0.5 * (1.0 - 2e-9) < told[4] < 0.5 and told[5] == np.inf


def test_arithmetic_of_bounds():
    assert total([Affine(1.0, 2.0), Affine(3.0, 4.0)]) == Affine(4.0, 6.0)
    assert joint([Affine(3.0, 0.0), Affine(4.0, 1.0)], 2) == Affine(5.0, 1.0)
    assert joint([Affine(3.0, 2.0), Affine(4.0, 1.0)], "inf") == Affine(4.0, 2.0)
    assert Affine(2.0, 1.0).times(3.0)(2.0) == 15.0
    assert accumulated(10, 2.0**-24) == pytest.approx(10 * 2.0**-24, rel=1e-6)
    assert accumulated(10, 2.0**-24) > 10 * 2.0**-24
    assert accumulated(10_000, 2.0**-11) > 1e50
