"""Types, sizes and overflow in models: certificates follow what the machine computes, or refuse.

Each case was certified once, and was not what the model computes.
"""

import dataclasses

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops

import lipot
from tests.helpers import functional, to_numpy

ONES = {"use_bias": False, "kernel_initializer": "ones"}


class _Wider(keras.layers.Layer):
    """Says of its output what is not so."""

    def call(self, inputs):
        return ops.concatenate([inputs, inputs], axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape


def test_a_layer_that_gives_other_sizes_than_its_graph_says_is_refused():
    lipot.certificates.register_bound(_Wider)(lambda layer, input_shape: 1.0)
    model = functional(lambda x: lipot.layers.ScaledGlobalL2NormPooling2D()(_Wider()(x)), (2, 2, 1))
    model = keras.Model(model.inputs, keras.layers.Dense(1)(model.outputs[0]))
    with pytest.raises(ValueError, match="gives other sizes than its graph says"):
        lipot.certify(model, np.ones((1, 2, 2, 1)))


class _Halved(keras.layers.Layer):
    """Keeps every second step, and says of its sizes what it is told to say."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def call(self, inputs):
        return inputs[:, ::2]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.said or input_shape[1], *input_shape[2:])


class _Silent(_Halved):
    def compute_output_shape(self, input_shape):
        return (input_shape[0], None, *input_shape[2:])


def _in_model(layer, change):
    """The layer in a model of open sizes, and changed after that."""
    inner = keras.Sequential([keras.Input((None, 1)), layer])
    setattr(layer, *change)
    return inner


@pytest.mark.parametrize(
    "network, shape, observed",
    [
        (lambda x: ops.mean(_Halved(100)(x), axis=1), (4, 1), 0.5**0.5),
        (
            lambda x: ops.mean(keras.layers.TimeDistributed(_Halved(100))(x), axis=2),
            (2, 4, 1),
            0.5**0.5,
        ),
        (lambda x: x + _Halved(None)(x), (None, 1), (3 + 5**0.5) ** 0.5),
        (lambda x: ops.mean(lipot.layers.TransportResidual(_Halved(None))(x), 1), (2, 1), 2.5**0.5),
        (lambda x: _Silent(None)(x) + _Silent(None)(x[:, 1:]), (3, 1), 3.0**0.5),
        (
            lambda x: ops.mean(
                _in_model(keras.layers.Conv1D(2, 1, **ONES), ("filters", 50))(x), axis=-1
            ),
            (3, 1),
            1.0,
        ),
    ],
)
def test_sizes_that_a_layer_states_and_does_not_give_are_not_believed(network, shape, observed):
    """They would make means of more values, and hide that a value is repeated."""
    for kind in (_Halved, _Silent):
        lipot.certificates.register_bound(kind)(lambda layer, input_shape: 1.0)
    model = functional(network, shape)
    size = [2 if n is None else n for n in shape]
    rows = np.eye(np.prod(size)).reshape(-1, *size)
    matrix = to_numpy(model(rows)).reshape(len(rows), -1)
    assert np.linalg.norm(matrix, 2) == pytest.approx(observed, rel=1e-5)
    with pytest.raises(ValueError, match="says other sizes|of unknown size"):
        lipot.lipschitz_constant(model)


def _logits(dtype="float32", then=()):
    """Logits 700 x and 1000 x, or of float32's size, whose computed argmax is the first if both
    overflow."""
    layer = keras.layers.Dense(2, use_bias=False, dtype=dtype)
    model = keras.Sequential([keras.Input((1,)), layer, *then])
    scale = 1e29 if dtype == "float32" and not then else 1.0
    layer.set_weights([scale * np.array([[700.0, 1000.0]])])
    return model


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize(
    "make, point",
    [
        (lambda: _logits("float16"), 60.0),
        (lambda: _logits("float16"), 100.0),
        (lambda: _logits("mixed_float16", [keras.layers.Softmax(dtype="float32")]), 100.0),
        (lambda: _logits(then=[keras.layers.Softmax(dtype="float16")]), 100.0),
        (lambda: _logits(then=[keras.layers.Identity(dtype="float16")]), 100.0),
        (lambda: _logits(), 1e9),
    ],
    ids=["near", "there", "mixed", "softmax", "identity", "float32"],
)
def test_logits_that_overflow_are_not_certified(make, point, norm):
    model = make()
    found = lipot.certify(model, np.array([[point]]), norm=norm)
    reached = point + 0.999 * found.radius[0]
    outputs = to_numpy(ops.cast(model(np.array([[reached]], "float32")), "float32"))
    assert found.radius[0] == 0.0 or (np.all(np.isfinite(outputs)) and outputs.argmax() == 1)


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16"])
def test_an_adversarial_model_hands_its_inputs_on_as_they_are(policy):
    classifier = functional(keras.layers.Dense(2), (1,))
    weights = [np.array([[-0.5, 0.5]]), np.array([1024.45, -1024.45])]
    classifier.layers[-1].set_weights(weights)
    model = lipot.models.AdversarialModel(classifier, None, lipot.losses.TRADES(), dtype=policy)
    found = lipot.certify(model, np.array([[2049.3]]))
    near = np.array([[2049.3 - 0.99 * found.radius[0]]], "float32")
    assert found.predictions[0] == 1 and found.radius[0] > 0.3
    assert to_numpy(model(near)).argmax() == 1
    model.autocast = True
    with pytest.raises(ValueError, match="autocast=True, which casts them"):
        lipot.certify(model, np.array([[2049.3]]))


def test_a_constant_neither_underflows_nor_is_unknown():
    def chain(*kernels):
        stack = [keras.layers.Dense(1, use_bias=False, dtype="float64") for _ in kernels]
        model = keras.Sequential([keras.Input((1,), dtype="float64"), *stack])
        for layer, kernel in zip(stack, kernels):
            layer.set_weights([np.array([[kernel]])])
        return model

    assert lipot.lipschitz_constant(chain(1e-200, 1e-200, *[1e37] * 8)) >= 1e-104
    assert lipot.lipschitz_constant(chain(*[1e38] * 9, 0.0)) == 0.0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="float64 in full")
def test_weights_beyond_float32_are_finite_in_float64():
    model = functional(keras.layers.Dense(1, use_bias=False, dtype="float64"), (1,), "float64")
    model.layers[-1].set_weights([np.array([[1e60]])])
    assert lipot.lipschitz_constant(model) == pytest.approx(1e60)


@pytest.mark.parametrize("dtype, alpha", [("bfloat16", 1.005), ("float16", 1.0005)])
@pytest.mark.parametrize("kind", [keras.layers.ELU, keras.layers.LeakyReLU])
def test_slopes_count_as_they_are_applied(kind, dtype, alpha):
    applied = float(to_numpy(ops.cast(ops.cast(alpha, dtype), "float32")))
    stated = lipot.lipschitz_constant(functional(kind(alpha, dtype=dtype), (1,)))
    assert stated >= max(alpha, applied)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.ELU(np.nan),
        lambda: keras.layers.LeakyReLU(np.nan),
        lambda: keras.layers.ReLU(negative_slope=np.nan),
        lambda: keras.layers.ReLU(max_value=np.nan),
    ],
)
def test_slopes_and_limits_that_are_no_numbers_are_refused(layer):
    with pytest.raises(ValueError, match="Expected finite slopes"):
        lipot.lipschitz_constant(functional(layer(), (1,)))


@pytest.mark.parametrize("shape", [(3,), (1,)])
def test_slopes_that_may_repeat_the_input_are_refused(shape):
    """JAX has an ELU of several slopes, which makes three values of one."""
    layer = keras.layers.ELU()
    model = functional(layer, (1,))
    layer.alpha = np.ones(shape, "float32")
    with pytest.raises(ValueError, match="one number for each slope"):
        lipot.lipschitz_constant(model)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: keras.layers.Activation("hard_sigmoid")(keras.layers.Dense(1)(x)),
        lambda x: keras.layers.Rescaling(1.0)(keras.layers.Dense(1, "sigmoid")(x)),
    ],
)
def test_one_output_whose_sign_may_not_be_the_class_is_refused(last):
    for norm in (2, "inf"):
        with pytest.raises(ValueError, match="or one from a last layer that is linear"):
            lipot.certify(functional(last), np.ones((1, 4)), norm=norm)


@dataclasses.dataclass
class _Doubled:
    factor: float = 2.0

    def __call__(self, x):
        return self.factor * x


def test_an_activation_that_cannot_be_hashed_is_refused_in_words():
    doubled = keras.layers.Dense(2, _Doubled())
    for function in (doubled, lambda x: keras.layers.Dense(2)(doubled(x))):
        with pytest.raises(ValueError, match="No Lipschitz bound is known for the activation"):
            lipot.certify(functional(function), np.ones((1, 4)))


def test_points_in_bfloat16_are_points():
    model = functional(keras.layers.Dense(2))
    found = lipot.certify(model, np.ones((1, 4)).astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(found.radius, lipot.certify(model, np.ones((1, 4))).radius)


def test_a_head_of_one_output_whose_sign_may_not_be_the_class_is_refused():
    backbone = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    head = keras.Sequential([keras.Input((1,)), keras.layers.Activation("hard_sigmoid")])
    points = np.array([[-9.0], [0.0], [9.0]], "float32")
    model = lipot.OTAD(backbone, head, neighbors=2, smoothness=1.0).adapt(points)
    with pytest.raises(ValueError, match="whether the sign of the one output is the class"):
        lipot.certify(model, points[:1], head_lipschitz=1.0)


def test_a_variable_in_a_graph_of_mixed_precision_is_refused():
    # Keras rounds it to half precision there, and nowhere else.
    variable, before = keras.Variable(np.array(1 + 1.01 * 2**-11)), keras.config.dtype_policy()
    inputs, dense = keras.Input((1,)), keras.layers.Dense(2, dtype="float32")
    plain = keras.Model(inputs, dense(inputs * variable))
    assert lipot.certify(plain, np.ones((1, 1), "float32")).radius.shape == (1,)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = keras.Model(inputs, dense(inputs * variable))
        for model in (plain, mixed):
            with pytest.raises(ValueError, match="reads a variable in a graph of mixed"):
                lipot.certify(model, np.ones((1, 1), "float32"))
    finally:
        keras.config.set_dtype_policy(before)
    with pytest.raises(ValueError, match="reads a variable in a graph of mixed"):
        lipot.lipschitz_constant(mixed)


def not_cast(kind):
    """A model whose first layer applies a float32 kernel where it says float16."""
    policy = keras.config.dtype_policy()
    if kind == "autocast=False":
        keras.config.set_dtype_policy("mixed_float16")
        try:
            inputs = keras.Input((1,), dtype="float16")
            hidden = keras.layers.Dense(1, autocast=False)(inputs)
            return keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(hidden))
        finally:
            keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), keras.layers.Dense(2)])
    model.layers[0].dtype_policy = "float16"
    return model


@pytest.mark.parametrize("kind", ["autocast=False", "policy set later"])
def test_weights_that_keras_does_not_cast_are_refused(kind):
    """Keras computes with them as they are, and the bound would be of what they round to."""
    with pytest.raises(ValueError, match="does not cast its weights"):
        lipot.lipschitz_constant(not_cast(kind))


@pytest.mark.parametrize(
    ("dtype", "variance"), [("float16", 1e-4), ("bfloat16", 1e-8), ("bfloat16", 3e-5)]
)
def test_a_root_in_half_precision_counts_as_it_is_taken(dtype, variance):
    layer = keras.layers.Normalization(mean=0.0, variance=variance, dtype=dtype)
    model = keras.Sequential([keras.Input((1,), dtype=dtype), layer])
    applied = keras.ops.sqrt(keras.ops.cast(layer.variance, dtype))
    applied = np.max(to_numpy(keras.ops.cast(applied, "float32")))
    assert lipot.lipschitz_constant(model) >= 1.0 / max(applied, keras.config.epsilon())


@pytest.mark.parametrize("invert", [False, True])
def test_the_least_deviation_in_double_precision_counts_as_it_is_written(invert):
    """A cast of Keras's epsilon goes by way of float32 and changes it; the layer does not cast."""
    layer = keras.layers.Normalization(mean=0.0, variance=1e-30, invert=invert, dtype="float64")
    model = keras.Sequential([keras.Input((1,), dtype="float64"), layer])
    epsilon = keras.config.epsilon()
    assert lipot.lipschitz_constant(model) >= (epsilon if invert else 1.0 / epsilon)


SPLITS = {
    "InvertibleDownSampling": lambda: lipot.layers.InvertibleDownSampling((2, 1)),
    "SkewOrthogonalConv2D": lambda: lipot.layers.SkewOrthogonalConv2D(2, 1, strides=(2, 1)),
}


@pytest.mark.parametrize("name", SPLITS)
def test_blocks_that_do_not_fill_an_image_do_not_take_from_the_next_one(name):
    """Of an image whose size a program leaves open, too: four images stay four."""
    model = keras.Sequential([keras.Input((None, 1, 1)), SPLITS[name]()])
    for size in (2, 4, 6):
        assert model.predict(np.zeros((4, size, 1, 1)), verbose=0).shape == (4, size // 2, 1, 2)
    with pytest.raises(Exception, match=r"divisors|reshape|[Ii]nvalid|shape"):
        model.predict(np.zeros((4, 3, 1, 1)), verbose=0)


def test_a_kernel_that_goes_around_a_small_image_twice_is_refused_when_it_runs():
    layer = lipot.layers.OrthogonalConv2DTranspose(2, 5, padding="circular", use_bias=False)
    model = keras.Sequential([keras.Input((None, None, 2)), layer])
    for size in (8, 7, 6, 4):
        assert model.predict(np.zeros((1, size, size, 2)), verbose=0).shape[1] == size
    with pytest.raises(Exception, match=r"goes around|reshape|[Ii]nvalid|shape"):
        model.predict(np.zeros((1, 3, 3, 2)), verbose=0)
    with pytest.raises(ValueError, match="images of open size"):
        lipot.to_keras(model)
