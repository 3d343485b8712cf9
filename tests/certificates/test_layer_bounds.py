"""Bounds of stock and lipot layers against the Jacobians of what they compute."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from lipot.layers.base import LipschitzLayer
from lipot.layers.layer_bounds import _BOUNDS, _REFUSED, layer_bound
from lipot.math.rounding import spectral_norm
from tests.certificates.jacobians import ERROR, jacobian_norm, largest_jacobian_norm
from tests.helpers import functional, to_numpy

IMAGE, SIGNAL, VECTOR, VOLUME = (6, 5, 2), (8, 3), (5,), (4, 3, 5, 2)

# Layer, input shape, and the largest ratio of bound to observed norm: 1 where it is attained.
STOCK = [
    (lambda: layers.Dense(4), VECTOR, 1.0),
    (lambda: layers.Dense(4, "relu"), (3, 5), 2.0),
    (lambda: layers.Dense(4, "sigmoid"), VECTOR, 3.0),
    (lambda: layers.Conv2D(4, 3, padding="same"), IMAGE, 1.0),
    (lambda: layers.Conv2D(4, (2, 3), 2, padding="valid"), IMAGE, 1.0),
    (lambda: layers.Conv2D(4, 3, padding="same", groups=2), IMAGE, 1.0),
    (lambda: layers.Conv2D(4, 3, dilation_rate=2), IMAGE, 1.0),
    (lambda: layers.Conv1D(4, 3, padding="causal"), SIGNAL, 1.2),
    (lambda: layers.Conv1D(4, 3, 2, padding="same"), SIGNAL, 1.0),
    (lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), IMAGE, 1.0),
    (lambda: layers.DepthwiseConv1D(3, 2, padding="same", depth_multiplier=2), SIGNAL, 1.0),
    (lambda: layers.SeparableConv2D(4, 3, padding="same"), IMAGE, 1.0),
    (lambda: layers.SeparableConv2D(4, 3, 2, depth_multiplier=2), IMAGE, 1.0),
    (lambda: layers.SeparableConv2D(4, 2, dilation_rate=2, use_bias=False), IMAGE, 1.0),
    (lambda: layers.SeparableConv1D(4, 3, padding="same", activation="relu"), SIGNAL, 2.0),
    (lambda: layers.Conv1DTranspose(4, 3, 2, padding="same"), SIGNAL, 1.2),
    (lambda: layers.Conv2DTranspose(4, 3, 2, padding="same"), IMAGE, 1.2),
    (lambda: layers.Conv2DTranspose(4, (3, 2), 2, output_padding=1), IMAGE, 1.3),
    (lambda: layers.Flatten(), IMAGE, 1.0),
    (lambda: layers.Permute((2, 1, 3)), IMAGE, 1.0),
    (lambda: layers.ZeroPadding2D(2), IMAGE, 1.0),
    (lambda: layers.Cropping2D(1), IMAGE, 1.0),
    (lambda: layers.RepeatVector(3), VECTOR, 1.0),
    (lambda: layers.UpSampling2D((2, 3)), IMAGE, 1.0),
    (lambda: layers.Dropout(0.5), VECTOR, 1.0),
    (lambda: layers.GaussianNoise(1.0), VECTOR, 1.0),
    (lambda: layers.AveragePooling2D(2), IMAGE, 1.0),
    (lambda: layers.AveragePooling2D(3, 1), IMAGE, 1.0),
    (lambda: layers.AveragePooling2D(2, padding="same"), IMAGE, 1.0),
    (lambda: layers.AveragePooling2D((3, 2), 2, padding="same"), IMAGE, 1.0),
    # PyTorch counts the repeated border: more than an average of what is there.
    (lambda: layers.AveragePooling2D((4, 2), 3, padding="same"), (3, 3, 2), 1.0),
    (lambda: layers.AveragePooling1D(3, 2), SIGNAL, 1.0),
    (lambda: layers.GlobalAveragePooling2D(), IMAGE, 1.0),
    (lambda: layers.GlobalMaxPooling2D(), IMAGE, 1.0),
    (lambda: layers.MaxPooling2D(2), IMAGE, 1.0),
    (lambda: layers.MaxPooling2D(3, 1, padding="same"), IMAGE, 2.0),
    (lambda: layers.MaxPooling1D(2, 1), SIGNAL, 1.1),
    (lambda: layers.GlobalAveragePooling3D(), VOLUME, 1.0),
    (lambda: layers.GlobalMaxPooling3D(), VOLUME, 1.0),
    (lambda: layers.UpSampling3D((1, 3, 2)), VOLUME, 1.0),
    (lambda: layers.ReLU(negative_slope=0.3), VECTOR, 1.0),
    (lambda: layers.LeakyReLU(1.7), VECTOR, 1.0),
    (lambda: layers.PReLU("random_normal"), VECTOR, 1.0),
    (lambda: layers.ELU(2.5), VECTOR, 1.6),
    (lambda: layers.Softmax(), VECTOR, 3.0),
    (lambda: layers.Activation("gelu"), VECTOR, 1.1),
    (lambda: layers.Activation("tanh"), VECTOR, 1.1),
    (lambda: layers.Rescaling([1.0, -3.0], 1.0), IMAGE, 1.0),
    (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.25]), IMAGE, 1.0),
    (lambda: layers.Normalization(mean=1.0, variance=9.0, invert=True), VECTOR, 1.0),
]
LIPOT = [
    (lambda: lipot.layers.SpectralDense(4), VECTOR, 1.001),
    (lambda: lipot.layers.SpectralDense(8, activation=lipot.layers.GroupSort2()), VECTOR, 1.001),
    (lambda: lipot.layers.FrobeniusDense(3, k_coef_lip=2.0), VECTOR, 1.001),
    (lambda: lipot.layers.SpectralConv2D(4, 3), IMAGE, 1.001),
    (lambda: lipot.layers.SpectralConv2D(4, 3, 2, padding="reflect"), IMAGE, 1.001),
    (lambda: lipot.layers.SpectralConv2D(4, 2, padding="circular"), IMAGE, 1.001),
    (lambda: lipot.layers.FrobeniusConv2D(4, 3), IMAGE, 1.3),
    (lambda: lipot.layers.SpectralConv2DTranspose(4, 3, 2), IMAGE, 1.3),
    (lambda: lipot.layers.GroupSort(2), IMAGE, 1.0),
    (lambda: lipot.layers.MaxMin(k_coef_lip=0.5), VECTOR, 1.0),
    (lambda: lipot.layers.Householder(), (4,), 1.0),
    (lambda: lipot.layers.PReLUlip(), VECTOR, 1.0),
    (lambda: lipot.layers.InvertibleDownSampling((3, 5)), IMAGE, 1.0),
    (lambda: lipot.layers.InvertibleUpSampling((2, 1)), IMAGE, 1.0),
    (lambda: lipot.layers.ScaledAveragePooling2D(2), IMAGE, 1.0),
    (lambda: lipot.layers.ScaledAveragePooling2D(3, 1), IMAGE, 1.35),
    (lambda: lipot.layers.ScaledL2NormPooling2D(2), IMAGE, 1.0),
    (lambda: lipot.layers.ScaledGlobalL2NormPooling2D(), IMAGE, 1.0),
    (lambda: lipot.layers.ScaledGlobalAveragePooling2D(), IMAGE, 1.0),
    (lambda: lipot.layers.BatchCentering(k_coef_lip=0.5), IMAGE, 1.0),
    (lambda: lipot.layers.LayerCentering(axis=[1, 2]), IMAGE, 1.0),
]


def built_model(layer, shape):
    inputs = keras.Input(shape, dtype=layer.compute_dtype)
    return keras.Model(inputs, layer(inputs))


@pytest.fixture
def double_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("make, shape, slack", STOCK + LIPOT)
def test_bound_is_above_every_jacobian_and_close(double_precision, make, shape, slack):
    layer = make()
    model = built_model(layer, shape)
    observed = largest_jacobian_norm(lambda x: model(x, training=False), shape)
    bound = lipot.lipschitz_constant(model)
    assert observed <= bound * (1 + ERROR)
    assert bound <= slack * observed * (1 + ERROR), (bound, observed)


def test_batch_normalization_uses_the_moving_statistics(double_precision):
    layer = layers.BatchNormalization()
    model = built_model(layer, IMAGE)
    layer.set_weights(np.array([[1.0, -4.0], [0.5, 0.0], [0.1, 3.0], [0.25, 4.0]]))
    observed = largest_jacobian_norm(lambda x: model(x, training=False), IMAGE)
    assert lipot.lipschitz_constant(model) == pytest.approx(observed, rel=ERROR)
    assert observed == pytest.approx(2.0, rel=1e-2)  # 1 / sqrt(0.25) = 4 / sqrt(4)


@pytest.mark.parametrize("layer_class", [layers.AveragePooling2D, layers.MaxPooling2D])
@pytest.mark.parametrize(
    "pool, strides, padding", [(2, 1, "same"), (3, 2, "same"), (3, 2, "valid")]
)
def test_pooling_bound_is_attained_up_to_the_border(
    double_precision, layer_class, pool, strides, padding
):
    model = built_model(layer_class(pool, strides, padding), (5, 4, 1))
    rng = np.random.default_rng(0)
    # An image with one bright pixel: the maximum of every window that contains it.
    images = [rng.normal(size=(1, 5, 4, 1)) * 0.01 for _ in range(20)]
    for index, image in enumerate(images):
        image[0, index // 4, index % 4, 0] = 5.0
    observed = max(jacobian_norm(lambda x: model(x, training=False), x) for x in images)
    bound = lipot.lipschitz_constant(model)
    assert observed <= bound * (1 + ERROR)
    assert bound <= 1.01 * observed


@pytest.mark.parametrize(
    "name", ["gelu", "silu", "mish", "hard_silu", "selu", "squareplus", "celu"]
)
def test_activation_constants_against_slopes_on_a_grid(name):
    x = np.linspace(-12, 12, 1_000_001)
    function = keras.activations.get(name)
    y = np.asarray(function(keras.ops.convert_to_tensor(x, "float64")))
    steepest = np.abs(np.diff(y) / np.diff(x)).max()
    bound = layer_bound(layers.Activation(name), (None, 1)).lipschitz
    assert steepest <= bound <= 1.01 * steepest


@pytest.mark.parametrize(
    "layer, word",
    [
        (layers.LayerNormalization(), "statistic"),
        (layers.UnitNormalization(), "statistic"),
        (layers.ReLU(threshold=0.5), "threshold"),
        (layers.UpSampling2D(interpolation="bicubic"), "nearest"),
        (
            layers.Lambda(lambda x: 3 * x, name="tripled"),
            "tripled.*register_bound.*call its function",
        ),
        (layers.Activation(lambda x: x**2), "activation"),
        (layers.Activation("exponential"), "exponential"),
    ],
)
def test_layers_without_a_bound_are_named(layer, word):
    with pytest.raises(ValueError, match=f"(?s){word}"):
        lipot.lipschitz_constant(built_model(layer, IMAGE))


# What lipot leaves to its user: code of theirs, cells, and what no image classifier has.
LEFT = {
    *("Layer", "Wrapper", "Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"),
    *("LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells", "MaxNumBoundingBoxes"),
    *("Conv3DTranspose", "Convolution3DTranspose"),
}
# Those that a walk through a graph looks at.
WALKED = {
    *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"),
    "SpectralNormalization",
}


def test_every_layer_of_keras_has_a_bound_or_a_reason_against_it():
    named = {name: value for name, value in vars(layers).items() if isinstance(value, type)}
    silent = {
        name
        for name, value in named.items()
        if issubclass(value, layers.Layer) and not {*_BOUNDS, *_REFUSED} & set(value.__mro__)
    }
    assert silent - WALKED == LEFT & set(named)


@pytest.mark.parametrize(
    "layer, shape, advice",
    [
        (layers.LSTM(3), SIGNAL, "Use Conv1D"),
        (layers.Bidirectional(layers.GRU(3)), SIGNAL, "Use Conv1D"),
        (layers.Embedding(3, 2), VECTOR, "Certify the model from what comes after"),
        (lambda x: layers.MultiHeadAttention(2, 2)(x, x), SIGNAL, "nor a transformer.*lipnext"),
        (lambda x: layers.Multiply()([x, x]), VECTOR, "Squeeze-and-excitation.*register_bound"),
        (lambda x: layers.Concatenate(axis=0)([x, x]), VECTOR, "axis other than 0"),
        (layers.GroupNormalization(2), IMAGE, "Use BatchNormalization"),
    ],
)
def test_a_refusal_says_what_to_do(layer, shape, advice):
    with pytest.raises(ValueError, match=f"(?s){advice}"):
        lipot.lipschitz_constant(functional(layer, shape))


def test_the_scaled_sum_of_inception_resnet_has_the_constant_of_its_terms():
    module = importlib.import_module("keras.src.applications.inception_resnet_v2")
    scaled = module.CustomScaleLayer(0.25)
    model = functional(lambda x: scaled([x, layers.Rescaling(-2.0)(x)]), VECTOR)
    assert lipot.lipschitz_constant(model) == pytest.approx(1.5)
    assert lipot.lipschitz_constant(model, "inf") == pytest.approx(1.5)


OPEN = {
    "same": lambda: layers.Conv2D(3, 3, padding="same"),
    "even kernel, strides": lambda: layers.Conv2D(3, (2, 4), strides=2, padding="same"),
    "groups, dilation": lambda: layers.Conv2D(4, 3, padding="same", dilation_rate=2, groups=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(3, 3, strides=2, padding="same"),
    "sequence": lambda: layers.Conv1D(3, 4, strides=3, padding="same"),
    "separable sequence": lambda: layers.SeparableConv1D(3, 4, padding="same"),
    "causal": lambda: layers.Conv1D(3, 3, padding="causal", dilation_rate=2),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_stock_convolution_is_bounded_for_every_size(name, double_precision):
    layer = OPEN[name]()
    axes = len(layer.kernel_size)
    model = built_model(layer, (None,) * axes + (2,))
    bounds = [lipot.lipschitz_constant(model, norm=norm) for norm in (2, "inf")]
    for sizes in ([5] * axes, [6] * axes, [8] * axes, [4, 7][:axes]):
        units = np.eye(int(np.prod(sizes)) * 2).reshape(-1, *sizes, 2)
        jacobian = to_numpy(model(units)) - to_numpy(model(np.zeros((1, *sizes, 2))))
        jacobian = jacobian.reshape(len(units), -1)
        assert np.linalg.norm(jacobian, 2) <= bounds[0] * (1 + ERROR)
        assert np.max(np.sum(np.abs(jacobian), axis=0)) <= bounds[1] * (1 + ERROR)


def test_convolutions_without_an_image_size():
    with pytest.raises(ValueError, match="fixed input shape"):
        lipot.lipschitz_constant(built_model(layers.Conv2DTranspose(2, 3), (None, None, 2)))
    # Lipot's have a bound for every size, which no size exceeds.
    for padding in ("same", "reflect", "symmetric", "circular"):
        layer = lipot.layers.SpectralConv2D(2, 3, padding=padding)
        anywhere = lipot.lipschitz_constant(built_model(layer, (None, None, 2)))
        fixed = lipot.lipschitz_constant(built_model(layer, (5, 4, 2)))
        assert fixed < anywhere < 1.00001


def test_a_layer_built_for_a_small_image_states_no_small_bound_of_large_ones(double_precision):
    layer = lipot.layers.SpectralConv2D(3, 3)
    layer.build((None, 3, 3, 2))
    layer.kernel.assign(np.random.default_rng(0).uniform(size=layer.kernel.shape))
    small = lipot.lipschitz_constant(built_model(layer, (3, 3, 2)))
    anywhere = lipot.lipschitz_constant(built_model(layer, (None, None, 2)))
    model = built_model(layer, (12, 12, 2))
    observed = largest_jacobian_norm(lambda x: model(x, training=False), (12, 12, 2))
    assert small <= 1.00001 < observed * (1 - ERROR)
    assert observed <= lipot.lipschitz_constant(model) * (1 + ERROR)
    assert lipot.lipschitz_constant(model) <= anywhere * (1 + ERROR)


class Tripled(layers.Dense):
    """A subclass that computes something else."""

    def call(self, inputs):
        return 3.0 * super().call(inputs)


class Renamed(layers.Dense):
    """A subclass that computes the same."""


class Promised(lipot.layers.SpectralDense):
    """A lipot layer that computes something else and inherits its bound."""

    def call(self, inputs, training=False):
        return 3.0 * super().call(inputs, training=training)


def test_a_subclass_that_overrides_call_does_not_inherit_a_bound():
    for layer in (Tripled(3), Promised(3)):
        with pytest.raises(ValueError, match=type(layer).__name__):
            lipot.lipschitz_constant(built_model(layer, VECTOR))
    assert lipot.lipschitz_constant(built_model(Renamed(3), VECTOR)) > 0.0


class Stated(lipot.layers.SpectralDense):
    """A lipot layer that computes something else and says so."""

    def call(self, inputs, training=False):
        return 3.0 * super().call(inputs, training=training)

    @property
    def lipschitz_bound(self):
        return 3.0 * super().lipschitz_bound


class SoftThreshold(LipschitzLayer):
    """A user's layer below the base class."""

    def call(self, inputs):
        return self.k_coef_lip * keras.ops.soft_shrink(inputs, 0.1)


def test_a_bound_that_a_class_states_for_its_own_call_is_used():
    assert lipot.lipschitz_constant(built_model(Stated(3), VECTOR)) == pytest.approx(3.0, rel=1e-5)
    soft = built_model(SoftThreshold(k_coef_lip=0.5), VECTOR)
    assert lipot.lipschitz_constant(soft) == pytest.approx(0.5)


def test_registered_bounds_are_used_and_checked():
    class Halved(layers.Layer):
        def call(self, inputs):
            return inputs / 2

    model = built_model(Halved(), VECTOR)
    with pytest.raises(ValueError, match="Halved"):
        lipot.lipschitz_constant(model)
    lipot.certificates.register_bound(Halved)(lambda layer, input_shape: 0.5)
    assert lipot.lipschitz_constant(model) == pytest.approx(0.5)
    lipot.certificates.register_bound(Halved)(lambda layer, input_shape: float("nan"))
    with pytest.raises(ValueError, match="not a finite"):
        lipot.lipschitz_constant(model)
    with pytest.raises(ValueError, match="argument `layer_classes`"):
        lipot.certificates.register_bound("Halved")(lambda layer, input_shape: 0.5)
    # Its bound would be ignored: a model is followed layer by layer.
    with pytest.raises(ValueError, match="has to be a layer"):
        lipot.certificates.register_bound(keras.Sequential)(lambda layer, input_shape: 0.5)


def test_weights_are_rounded_to_the_compute_dtype():
    layer = layers.Dense(1, use_bias=False, dtype="mixed_float16")
    model = built_model(layer, (1,))
    layer.set_weights([np.array([[1.0 + 2.0**-11]])])  # a tie, rounded to the even 1.0
    assert lipot.lipschitz_constant(model) == pytest.approx(1.0, abs=1e-9)


def test_quantized_kernels_are_refused():
    layer = layers.Dense(4)
    model = built_model(layer, VECTOR)
    layer.quantize("int8")
    with pytest.raises(ValueError, match="quantization_mode='int8'"):
        lipot.lipschitz_constant(model)


def test_spectral_norm_is_never_below_that_of_the_svd():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (5, 300), (300, 5), (40, 40)):
        for matrix in (rng.normal(size=shape), np.ones(shape), 1e-200 * rng.normal(size=shape)):
            exact = np.linalg.svd(matrix, compute_uv=False)[0]
            assert exact * (1 - 1e-15) <= spectral_norm(matrix) <= exact * (1 + 1e-10)
    assert spectral_norm(np.zeros((3, 2))) == 0.0
