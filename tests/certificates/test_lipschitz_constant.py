"""Lipschitz constants over graphs: branches, joins, nesting, sharing; models without a graph."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from tests.certificates.jacobians import ERROR, largest_jacobian_norm


@pytest.fixture(autouse=True)
def double_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def scaled(factor, width=4):
    """A dense layer that multiplies by a number."""
    layer = layers.Dense(width, use_bias=False)
    layer.build((None, width))
    layer.set_weights([factor * np.eye(width)])
    return layer


def model_of(function, shape=(4,)):
    inputs = keras.Input(shape, dtype="float64")
    return keras.Model(inputs, function(inputs))


# Expected values worked out by hand; every one is attained, so the walk loses nothing here.
GRAPHS = [
    (lambda x: scaled(3.0)(scaled(2.0)(x)), 6.0),
    (lambda x: layers.Add()([x, scaled(2.0)(x), scaled(3.0)(x)]), 6.0),
    (lambda x: layers.Subtract()([x, scaled(-2.0)(x)]), 3.0),
    (lambda x: layers.Average()([x, scaled(2.0)(x)]), 1.5),
    (lambda x: layers.Concatenate()([scaled(3.0)(x), scaled(4.0)(x)]), 5.0),
    (lambda x: x + scaled(2.0)(x), 3.0),
    (lambda x: x - (-2.0) * x, 3.0),
    (lambda x: (1.0 - x) / 4.0, 0.25),
    (lambda x: x * np.array([1.0, -5.0, 2.0, 0.0]), 5.0),
    (lambda x: ops.relu(-x), 1.0),
    (lambda x: ops.concatenate([3.0 * x, 4.0 * x], axis=-1), 5.0),
    (lambda x: ops.reshape(x, (-1, 2, 2))[:, 0], 1.0),
    (lambda x: keras.Sequential([scaled(2.0), scaled(3.0)])(x), 6.0),
]


@pytest.mark.parametrize("function, expected", GRAPHS)
def test_graphs_by_hand(function, expected):
    model = model_of(function)
    constant = lipot.lipschitz_constant(model)
    assert constant == pytest.approx(expected, rel=1e-9)
    observed = largest_jacobian_norm(lambda x: model(x, training=False), (4,), samples=20)
    assert observed == pytest.approx(expected, rel=ERROR)


def test_maximum_is_a_choice_between_branches():
    for layer in (layers.Maximum(), layers.Minimum()):
        model = model_of(lambda x, layer=layer: layer([3.0 * x, 4.0 * x]))
        assert lipot.lipschitz_constant(model) == pytest.approx(5.0, rel=1e-9)
    constant = model_of(lambda x: ops.maximum(2.0 * x, 0.5))
    assert lipot.lipschitz_constant(constant) == pytest.approx(2.0, rel=1e-9)


def test_maximum_of_different_pixels_needs_the_root_of_squares():
    # max(x_0, x_1) beside max(x_0, x_2): two outputs that one input moves together.
    model = model_of(lambda x: ops.maximum(x[:, :2], x[:, 1:3]), (3,))
    observed = largest_jacobian_norm(lambda x: model(x, training=False), (3,), samples=50)
    assert observed == pytest.approx(np.sqrt(2.0), rel=ERROR)
    assert lipot.lipschitz_constant(model) == pytest.approx(np.sqrt(2.0))


def test_broadcast_sums_count_their_copies():
    model = model_of(lambda x: layers.Add()([x[:, :1], x]))
    observed = largest_jacobian_norm(lambda x: model(x, training=False), (4,))
    assert observed <= 3.0 * (1 + ERROR)
    assert lipot.lipschitz_constant(model) == pytest.approx(3.0)


def test_shared_layers_count_once_for_each_application():
    shared = scaled(2.0)
    assert lipot.lipschitz_constant(model_of(lambda x: shared(shared(x)))) == pytest.approx(4.0)


def test_a_tensor_used_twice_is_tracked_from_the_input():
    def block(x):
        y = scaled(2.0)(x)
        return layers.Add()([y, scaled(3.0)(y)])

    assert lipot.lipschitz_constant(model_of(block)) == pytest.approx(8.0)


def test_nested_models_inside_branches():
    inner_input = keras.Input((4,), dtype="float64")
    inner = keras.Model(inner_input, layers.Add()([inner_input, scaled(2.0)(inner_input)]))
    outer = model_of(lambda x: layers.Concatenate()([inner(x), inner(inner(x))]))
    assert lipot.lipschitz_constant(outer) == pytest.approx(np.hypot(3.0, 9.0))


def test_transport_residuals_add_their_branch_to_the_identity():
    residual = lipot.layers.TransportResidual(keras.Sequential([scaled(2.0), scaled(0.25)]))
    model = model_of(residual)
    assert lipot.lipschitz_constant(model) == pytest.approx(1.5)
    head = keras.Sequential([model, layers.Dense(2, dtype="float32")])
    assert np.all(lipot.certify(head, np.eye(4)).radius > 0.0)


def test_several_inputs_and_outputs_are_one_joint_vector():
    a, b = keras.Input((4,), dtype="float64"), keras.Input((4,), dtype="float64")
    model = keras.Model([a, b], [scaled(3.0)(a), scaled(4.0)(b)])
    assert lipot.lipschitz_constant(model) == pytest.approx(5.0)


def test_random_residual_network_is_above_its_jacobians():
    def network(x):
        for _ in range(3):
            y = layers.Dense(6, "tanh")(x)
            x = layers.Concatenate()([x, layers.Dense(3, "relu")(y)])
        return layers.Add()([layers.Dense(5)(x), layers.Dense(5)(layers.ELU()(x))])

    model = model_of(network)
    observed = largest_jacobian_norm(lambda x: model(x, training=False), (4,), samples=10)
    assert observed <= lipot.lipschitz_constant(model) * (1 + ERROR)


class Functional(keras.Model):
    """A subclass with a functional core that leaves `call` alone."""

    def __init__(self):
        inputs = keras.Input((4,), dtype="float64")
        super().__init__(inputs, scaled(2.0)(inputs))

    def train_step(self, data):
        return super().train_step(data)


class Doubled(keras.Sequential):
    """A subclass whose `call` is not its graph."""

    def call(self, inputs, training=None, mask=None):
        return 2.0 * super().call(inputs, training=training, mask=mask)


class Plain(keras.Model):
    """A subclassed model without a graph."""

    def __init__(self):
        super().__init__()
        self.layer = scaled(2.0)

    def call(self, inputs):
        return self.layer(inputs)


def test_subclasses_with_a_functional_core():
    assert lipot.lipschitz_constant(Functional()) == pytest.approx(2.0)
    sequential = lipot.Sequential(
        [keras.Input((4,)), lipot.layers.SpectralDense(4)], k_coef_lip=3.0
    )
    assert lipot.lipschitz_constant(sequential) == pytest.approx(3.0, rel=1e-4)
    inputs = keras.Input((4,), dtype="float64")
    assert lipot.lipschitz_constant(lipot.Model(inputs, scaled(2.0)(inputs))) == pytest.approx(2.0)


def test_an_adversarial_model_is_its_classifier():
    classifier = keras.Sequential([keras.Input((4,)), scaled(2.0)])
    robust = lipot.models.AdversarialModel(
        classifier, attack=None, losses=[lipot.losses.AdversarialCrossentropy()]
    )
    assert lipot.lipschitz_constant(robust) == pytest.approx(2.0)
    assert lipot.certify(robust, np.eye(4)).radius == pytest.approx(1 / np.sqrt(2), rel=1e-5)


def test_models_without_a_graph_are_refused():
    plain = Plain()
    plain(np.zeros((1, 4)))
    doubled = Doubled([keras.Input((4,)), scaled(2.0)])
    for model in (plain, doubled):
        with pytest.raises(ValueError, match=f"{type(model).__name__}.*has no graph"):
            lipot.lipschitz_constant(model)
    inputs = keras.Input((4,), dtype="float64")
    assert lipot.lipschitz_constant(keras.Model(inputs, plain.call(inputs))) == pytest.approx(2.0)


def test_models_that_are_not_built_or_no_models_are_refused():
    with pytest.raises(ValueError, match="not built"):
        lipot.lipschitz_constant(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="argument `model`.*Expected a Keras model"):
        lipot.lipschitz_constant(layers.Dense(3))


@pytest.mark.parametrize(
    "function, word",
    [
        (lambda x: layers.Multiply()([x, x]), "multiply.*product of two tensors"),
        (lambda x: layers.Dot(1)([x, x]), "dot.*product of two tensors"),
        (lambda x: x * x, "Multiply"),
        (lambda x: 1.0 / x, "Divide"),
        (lambda x: ops.square(x), "Square"),
        (lambda x: ops.flip(x), "Flip"),
        (lambda x: ops.concatenate([x, x], axis=0), "Concatenate"),
        (lambda x: layers.Concatenate(axis=0)([x, x]), "concatenate"),
        (lambda x: layers.Concatenate(axis=-2)([x, x]), "concatenate"),
        (lambda x: ops.reshape(x, (-1, 2)), "Reshape"),
    ],
)
def test_operations_without_a_bound_are_named(function, word):
    with pytest.raises(ValueError, match=f"(?s){word}"):
        lipot.lipschitz_constant(model_of(function))
