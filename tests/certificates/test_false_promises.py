"""Models that once got a certificate they do not deserve: each is refused or bounded in full."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.backend.keras_graph import graph_core
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps
from tests.helpers import to_numpy


def model_of(function, *shapes):
    inputs = [keras.Input(shape) for shape in shapes or [(4,)]]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def stretch(model, x, y):
    """How far two inputs move apart, divided by how far apart they are."""
    x, y = (np.asarray(value, "float32")[None] for value in (x, y))
    apart = to_numpy(model(x, training=False)) - to_numpy(model(y, training=False))
    return np.linalg.norm(apart) / np.linalg.norm(x - y)


# A maximum repeats what it broadcasts.


@pytest.mark.parametrize(
    "function",
    [
        lambda x: layers.Maximum()([x, layers.Flatten()(layers.RepeatVector(4)(0.0 * x))]),
        lambda x: layers.Minimum()([x, layers.Flatten()(layers.RepeatVector(4)(0.0 * x))]),
        lambda x: ops.maximum(x, np.full((1, 4), -9.0, "float32")),
    ],
)
def test_a_choice_repeats_what_it_broadcasts(function):
    model = model_of(function, (1,))
    observed = max(stretch(model, [1.0], [2.0]), stretch(model, [-1.0], [-2.0]))
    assert observed == pytest.approx(2.0)
    assert observed <= lipot.lipschitz_constant(model) <= 2.0 * (1 + 1e-9)


def test_a_tensor_repeated_along_an_unknown_size_has_no_bound():
    model = model_of(lambda x, y: layers.Add()([x, y]), (None, 4), (1, 4))
    with pytest.raises(ValueError, match="repeated along an axis of unknown size"):
        lipot.lipschitz_constant(model)
    # Two tensors of one unknown size may be added.
    model = model_of(lambda x: layers.Add()([x, layers.ReLU()(x)]), (None, 4))
    assert lipot.lipschitz_constant(model) == pytest.approx(2.0)


# A class that computes something else does not inherit a bound.


class Standardized(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, 100.0 * kernel)


class Triple:
    def call(self, inputs, training=False):
        return 3.0 * super().call(inputs, training=training)


class Mixed(Triple, lipot.layers.SpectralDense):
    """The mixin overrides the `call` of the class beside it."""


class Mapped(lipot.layers.SpectralDense):
    def effective_kernel(self, training):
        return 3.0 * super().effective_kernel(training)


class Biased(lipot.layers.SpectralDense):
    def add_kernel(self, input_shape):
        super().add_kernel(input_shape)
        self._map = TripledMap(self.units)


class Bounded(Mapped):
    def bound(self, input_shape):
        return super().bound(input_shape)


class TripledMap(linear_maps.Dense):
    def apply(self, inputs, kernel):
        return 3.0 * super().apply(inputs, kernel)

    def norm(self, kernel, input_shape):
        return 3.0 * super().norm(kernel, input_shape)

    def sums(self, kernel):
        matrix, terms = super().sums(kernel)
        return 3.0 * matrix, terms


class OfItsOwnMap(KernelLayer):
    def __init__(self, units):
        super().__init__(
            TripledMap(units), parametrizations.Spectral(), kernel_initializer="orthogonal"
        )


@pytest.mark.parametrize("layer_class", [Standardized, Mixed, Mapped, Biased])
def test_a_layer_that_computes_otherwise_inherits_no_bound(layer_class):
    image = layer_class is Standardized
    layer = layer_class(4, 1) if image else layer_class(4)
    model = model_of(layer, (3, 3, 1) if image else (4,))
    with pytest.raises(ValueError, match=f"{layer_class.__name__}.*register_bound"):
        lipot.lipschitz_constant(model)


def test_a_bound_restated_for_ones_own_kernel_is_used():
    assert lipot.lipschitz_constant(model_of(Bounded(4))) == pytest.approx(3.0, rel=1e-5)


def test_a_norm_stated_for_ones_own_linear_map_is_used():
    assert lipot.lipschitz_constant(model_of(OfItsOwnMap(4))) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.parametrize("kind", [lipot.layers.TransportResidual, lipot.layers.LipschitzResidual])
def test_a_residual_layer_that_computes_otherwise_inherits_no_bound(kind):
    def call(self, inputs, training=None):
        return 100.0 * inputs

    model = model_of(type("Steep", (kind,), {"call": call})(layers.Identity()))
    with pytest.raises(ValueError, match="it overrides `call`"):
        lipot.lipschitz_constant(model)


class Stated:
    def bound(self, input_shape, norm=2):
        return lipot.certificates.LayerBound(1.0)

    lipschitz_bound = 1.0


class Kept(Stated, layers.Layer):
    def call(self, inputs):
        return inputs


class Steeper(Kept):
    def call(self, inputs):
        return 100.0 * inputs


def test_what_is_mixed_in_speaks_for_the_layer_it_was_mixed_into():
    assert lipot.lipschitz_constant(model_of(Kept())) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="overrides `call` of Kept"):
        lipot.lipschitz_constant(model_of(Steeper()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(1, 1, activation=layers.Cropping2D(1)),
        lambda: layers.Activation(layers.UpSampling2D(2)),
    ],
)
def test_a_layer_as_activation_keeps_the_shape(make):
    model = keras.Sequential([keras.Input((4, 4, 1)), make(), layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="Expected one that keeps the shape"):
        lipot.lipschitz_constant(model)


class Reversed(lipot.AdversarialModel):
    def call(self, inputs):
        return -10.0 * super().call(inputs)


class Wrapped(keras.Model):
    def __call__(self, *args, **kwargs):
        return 10.0 * super().__call__(*args, **kwargs)


def test_a_model_that_computes_otherwise_is_not_its_graph():
    classifier = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    losses = [lipot.losses.AdversarialCrossentropy()]
    inputs = keras.Input((4,))
    for model in (Reversed(classifier, None, losses), Wrapped(inputs, classifier(inputs))):
        with pytest.raises(ValueError, match="has no graph"):
            lipot.certify(model, np.ones((1, 4)))


class Tenfold(layers.Layer):
    def __call__(self, *args, **kwargs):
        return 10.0 * super().__call__(*args, **kwargs)


class TenfoldModel(keras.Model):
    def __call__(self, *args, **kwargs):
        return 10.0 * super().__call__(*args, **kwargs)


@pytest.mark.parametrize(
    "kind, mixin, arguments",
    [
        (layers.Dropout, Tenfold, [0.5]),
        (lipot.layers.GroupSort2, Tenfold, []),
        (keras.Sequential, TenfoldModel, [[keras.Input((4,)), layers.ReLU()]]),
    ],
)
def test_what_is_mixed_in_behind_a_class_is_called_before_its_parents(kind, mixin, arguments):
    part = type("Mixed", (kind, mixin), {})(*arguments)
    if not isinstance(part, keras.Model):
        part = keras.Sequential([keras.Input((4,)), part])
    assert stretch(part, np.full(4, 2.0), np.ones(4)) >= 10.0 * (1 - 1e-6)
    with pytest.raises(ValueError, match="overrides `__call__`|has no graph"):
        lipot.lipschitz_constant(part)


def test_the_call_of_the_model_inside_a_sequential_is_its_call():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    core = graph_core(model)
    core.call = lambda inputs, training=None, mask=None: 99.0 * inputs
    assert float(model(np.ones((1, 4)))[0, 0]) == 99.0
    with pytest.raises(ValueError, match="`call` was replaced on the object"):
        lipot.lipschitz_constant(model)


class Negated(layers.Identity):
    lipschitz_bound = 1.0

    def call(self, inputs):
        return -inputs


def test_a_subclass_of_a_layer_that_does_nothing_may_turn_the_logits_around():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), Negated()])
    model.layers[0].set_weights([np.eye(2), np.zeros(2)])
    found = lipot.certify(model, np.array([[3.0, 1.0]]))
    # The class of the outputs, -3 and -1, not of what comes before them.
    assert found.predictions.tolist() == [1]
    assert 0.0 < found.radius[0] <= 2.0 / np.sqrt(2.0)


class Relu(keras.Operation):
    """An operation with a name that Keras has given to another one."""

    def call(self, inputs):
        return 10.0 * inputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def test_an_operation_is_not_known_by_its_name_alone():
    with pytest.raises(ValueError, match="operation `Relu`"):
        lipot.lipschitz_constant(model_of(Relu()))


# What a layer is called with, and in which types.


def test_a_softmax_over_the_batch_is_refused():
    for layer in (layers.Softmax(axis=0), layers.Dense(3, activation=layers.Softmax(axis=(0, 1)))):
        with pytest.raises(ValueError, match="joins the samples"):
            lipot.lipschitz_constant(model_of(layer))


def test_inputs_of_an_inner_model_by_name_keep_their_names():
    a, b = keras.Input((1,), name="second"), keras.Input((1,), name="first")
    inner = keras.Model([a, b], layers.Add()([layers.Rescaling(100.0)(a), b]))
    model = model_of(lambda x: inner({"second": x, "first": layers.Rescaling(0.01)(x)}), (1,))
    with pytest.raises(ValueError, match="by name"):
        lipot.lipschitz_constant(model)
    named = keras.Model({"second": a, "first": b}, layers.Add()([layers.Rescaling(100.0)(a), b]))
    model = model_of(lambda x: named({"second": x, "first": layers.Rescaling(0.01)(x)}), (1,))
    assert lipot.lipschitz_constant(model) == pytest.approx(100.01)


def test_what_rounds_to_integers_is_refused():
    integers = keras.Input((2,), dtype="int32")
    inner = keras.Model(integers, layers.Rescaling(1.0)(integers))
    for layer in (inner, layers.Identity(dtype="int32")):
        with pytest.raises(ValueError, match="rounds.*to integers"):
            lipot.lipschitz_constant(model_of(layer, (2,)))


def test_an_inner_model_that_changes_the_rank_is_refused():
    inputs = keras.Input((4, 1))
    model = model_of(keras.Model(inputs, layers.Dense(2)(inputs)))
    with pytest.raises(ValueError, match="Expected inputs of shapes"):
        lipot.lipschitz_constant(model)


def test_a_fixed_batch_size_is_no_mixture_of_samples():
    model = keras.Sequential([keras.Input(batch_shape=(4, 3)), layers.Rescaling(2.0)])
    assert lipot.lipschitz_constant(model) == pytest.approx(2.0)


# Activations that jump, and adapters that are added in half precision.


def test_the_sparsemax_of_keras_has_no_bound():
    with pytest.raises(ValueError, match="sparsemax"):
        lipot.lipschitz_constant(model_of(layers.Activation("sparsemax")))


def test_adapters_in_half_precision_are_refused_until_they_are_merged(tmp_path):
    model = model_of(layers.Dense(1, use_bias=False, dtype="mixed_bfloat16"), (1,))
    dense = model.layers[-1]
    dense.enable_lora(1)
    # In bfloat16 1 + 3/256 becomes 1 + 4/256.
    dense._kernel.assign([[1.0 + 3.0 / 256.0]])
    dense.lora_kernel_a.assign([[1.0]])
    dense.lora_kernel_b.assign([[-1.0]])
    assert stretch(model, [0.0], [1.0]) == pytest.approx(4.0 / 256.0)
    with pytest.raises(ValueError, match="LoRA.*save the model and load it"):
        lipot.lipschitz_constant(model)
    model.save(tmp_path / "merged.keras")
    merged = keras.models.load_model(tmp_path / "merged.keras")
    assert lipot.lipschitz_constant(merged) >= stretch(merged, [0.0], [1.0])


def test_patches_are_embedded_by_the_rounded_kernel():
    layer = lipot.layers.PatchEmbedding(1, 1, dtype="mixed_bfloat16")
    layer.build((None, 2, 2, 1))
    layer.kernel.assign([[1.0 + 3.0 / 256.0]])
    assert layer.lipschitz_bound == pytest.approx(1.0 + 4.0 / 256.0, rel=1e-8)


def test_float64_statistics_are_read_in_float64():
    inputs = keras.Input((3,), dtype="float64")
    layer = layers.BatchNormalization(epsilon=1e-3, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    gamma = np.array([1 / 3, 0.1, 0.7])
    layer.set_weights([gamma, np.zeros(3), np.zeros(3), np.full(3, 0.1)])
    read = [to_numpy(w).astype("float64") for w in (layer.gamma, layer.moving_variance)]
    exact = (read[0] / np.sqrt(read[1] + 1e-3)).max()
    assert exact <= lipot.lipschitz_constant(model) <= exact * (1 + 1e-6)


# Underflow and overflow.


@pytest.mark.parametrize("kernel, x", [(1e-30, 1e-9), (1e-39, 1e5)])
def test_logits_that_underflow_are_not_certified(kernel, x):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False)])
    model.layers[0].set_weights([np.eye(2, dtype="float32") * kernel])
    assert lipot.certify(model, [[0.0, x]]).radius[0] == 0.0


def allowed_error(model, x):
    """What a certificate allows for floating point before the last layer, at one input."""
    inputs = computed_input_node(model.inputs[0], (None, *x.shape[1:]))
    return find_head(model, [inputs]).node.computed.error(np.linalg.norm(x.astype("float64")))


def test_weights_that_underflow_are_allowed_for():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False), layers.Dense(2)])
    model.layers[0].set_weights([np.eye(2, dtype="float32") * 1e-39])
    # The machine may compute 1e-24 or zero.
    assert allowed_error(model, np.array([[0.0, 1e15]])) >= 1e-24


def half(*before, shape=(1,)):
    model = keras.Sequential(
        [keras.Input(shape, dtype="float16"), *before, layers.Dense(2, dtype="float16")]
    )
    model.layers[-1].set_weights([np.array([[1.0, -1.0]]), np.array([-10.0, 10.0])])
    return model


def test_no_value_in_the_ball_overflows_in_half_precision():
    squares = half(layers.Activation("squareplus", dtype="float16"))
    # 256 squared is no number of float16.
    assert lipot.certify(squares, [[250.0]]).radius[0] < 6.0
    pool = layers.AveragePooling2D(8, dtype="float16")
    sums = half(pool, layers.Flatten(dtype="float16"), shape=(8, 8, 1))
    # 64 values of 1024 add up to more than float16 holds, before they are divided.
    assert lipot.certify(sums, np.full((1, 8, 8, 1), 1000.0)).radius[0] < 8 * 24.0


def test_the_casts_on_the_way_into_an_inner_model_are_allowed_for():
    inputs = keras.Input((2,), dtype="float16")
    inner = keras.Model(inputs, layers.Rescaling(1.0, dtype="float32")(inputs))
    branch = layers.Rescaling(1000.0, dtype="float32")
    residual = lipot.layers.TransportResidual(branch, dtype="float16")
    x = np.array([[1.0 + 2.0**-12, 1.0]], "float32")
    for layer, factor in ((inner, 1.0), (residual, 1001.0)):
        outer = keras.Input((2,))
        model = keras.Model(outer, layers.Dense(2)(layers.Rescaling(1.0)(layer(outer))))
        features = keras.Model(outer, model.layers[-1].input)
        error = np.linalg.norm(to_numpy(features(x)).astype("float64") - factor * x)
        assert 2.0**-13 < error <= allowed_error(model, x)
