"""The framework is the one asked for, and its engine gives the derivatives worked out by hand."""

import importlib
import os

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.backend.calls import stateless_call
from tests.helpers import to_numpy
from tests.purifiers.purifier_cases import ape_gan, defense_gan

# The package that the tensors of each backend come from.
PACKAGES = {"tensorflow": "tensorflow", "jax": "jaxlib", "torch": "torch"}
X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@pytest.mark.smoke
def test_the_backend_is_the_one_asked_for():
    asked = os.environ.get("KERAS_BACKEND", "tensorflow")
    assert keras.backend.backend() == asked
    assert type(ops.ones(1)).__module__.partition(".")[0] == PACKAGES[asked]


@pytest.mark.smoke
def test_value_and_gradient_by_hand():
    value, gradient = backend.value_and_input_gradient(lambda x: ops.sum(x**3), X)
    assert float(value) == pytest.approx(np.sum(X**3), rel=1e-5)
    np.testing.assert_allclose(to_numpy(gradient), 3 * X**2, rtol=1e-5)


def test_a_function_that_ignores_its_input_has_gradient_zero():
    _, gradient = backend.value_and_input_gradient(lambda x: ops.sum(ops.stop_gradient(x)), X)
    np.testing.assert_array_equal(to_numpy(gradient), 0.0)


def test_a_vector_jacobian_product_is_differentiated_again():
    def slope(x):
        # The cotangent may read the outputs and is a constant: 3 x^2 times x^3.
        return ops.sum(backend.vjp(lambda z: z**3, x, lambda outputs: outputs)[1])

    value, gradient = backend.value_and_input_gradient(slope, X)
    assert float(value) == pytest.approx(np.sum(3 * X**5), rel=1e-4)
    np.testing.assert_allclose(to_numpy(gradient), 6 * X * X**3, rtol=1e-4)


def test_pullback_through_a_layer_that_updates_its_statistics():
    layer = keras.layers.BatchNormalization(momentum=0.0, epsilon=1e-6)
    layer.build(X.shape)
    outputs, auxiliary, pull = backend.pullback(
        lambda x: (layer(x, training=True), "seen"), X, layer.variables
    )
    centred = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(to_numpy(outputs), centred, atol=1e-4)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), X.mean(axis=0), atol=1e-6)
    assert auxiliary == "seen"
    # Normalized outputs do not move with a shift of the whole batch.
    np.testing.assert_allclose(to_numpy(pull(ops.ones_like(outputs))), 0.0, atol=1e-4)


def test_batch_jacobian_by_hand():
    kernel = np.random.default_rng(1).normal(size=(3, 5)).astype("float32")
    outputs, jacobian = backend.batch_jacobian(lambda x: ops.tanh(ops.matmul(x, kernel)), X)
    np.testing.assert_allclose(to_numpy(outputs), np.tanh(X @ kernel), atol=1e-6)
    expected = (1 - np.tanh(X @ kernel) ** 2)[:, :, None] * kernel.T
    np.testing.assert_allclose(to_numpy(jacobian), expected, atol=1e-5)


@pytest.mark.parametrize("compile_over", [backend.compile_over, backend.compile_over_batches])
def test_compiled_calls_see_the_current_weights_and_any_size(compile_over):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    run = compile_over(model, lambda forward, x: 2.0 * forward(x))
    for factor in (1.0, -3.0):
        model.set_weights([np.full((3, 2), factor)])
        for rows in (4, 2):
            expected = 2.0 * factor * X[:rows].sum(axis=1, keepdims=True) * np.ones(2)
            np.testing.assert_allclose(to_numpy(run(X[:rows])), expected, rtol=1e-4, atol=1e-5)


def test_an_adjustable_number_is_seen_by_a_compiled_program():
    number = backend.adjustable(2.0)
    run = backend.compile(lambda x: x * number.read())
    for value in (2.0, 5.0, 7.0):
        number.assign(value)
        np.testing.assert_allclose(to_numpy(run(X)), value * X, rtol=1e-6)


class Counting(keras.layers.Layer):
    """Adds how often it has been called."""

    def build(self, input_shape):
        self.calls = self.add_weight(initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs + self.calls.value


LOOPS = {
    "repeat": lambda call, x, _: backend.repeat(3, lambda _, z: call(z), x),
    "recomputed": lambda call, x, held: backend.repeat_recomputed(
        3, lambda _, z: call(z), x, variables=held
    ),
    "once": lambda call, x, held: call(
        call(backend.repeat_recomputed(1, lambda _, z: call(z), x, variables=held))
    ),
    "one": lambda call, x, _: call(call(backend.repeat(1, lambda _, z: call(z), x))),
    "while": lambda call, x, _: backend.repeat_while(
        lambda z: ops.max(z) < 6.0, lambda z: (call(z),), (x,)
    )[0],
}


@pytest.mark.parametrize("loop", LOOPS)
def test_steps_of_a_loop_hand_on_what_a_model_assigns(loop):
    model = keras.Sequential([keras.Input((1,)), Counting()])
    run = lambda call, x: call(LOOPS[loop](call, x, model.variables))  # noqa: E731
    for program in (lambda x: run(model, x), backend.compile_over(model, run)):
        model.layers[0].calls.assign(0.0)
        found = program(ops.zeros((1, 1)))
        assert float(found[0, 0]) == 1.0 + 2.0 + 3.0 + 4.0
    assert float(model.layers[0].calls) in (0.0, 4.0)


def test_the_derivative_of_repeated_steps_by_hand():
    def run(pair):
        def step(index, state, factor):
            return state * factor + ops.cast(index, "float32")

        return backend.repeat_recomputed(3, step, pair[:, :1], fixed=[pair[:, 1:]])

    # s f^3 + f + 2 at s = 5 and f = 2, and at s = 0 and f = -1.
    total = backend.compile(
        lambda pair: backend.value_and_input_gradient(lambda z: ops.sum(run(z)), pair)
    )
    value, gradient = total(np.array([[5.0, 2.0], [0.0, -1.0]], "float32"))
    assert float(value) == 44.0 + 1.0
    np.testing.assert_allclose(to_numpy(gradient), [[8.0, 61.0], [-1.0, 1.0]])


class Noisy(keras.layers.Layer):
    """Multiplies by a weight and a random number, and counts how often Python runs it."""

    def build(self, input_shape):
        self.factor = self.add_weight(initializer="ones")
        self.seed = keras.random.SeedGenerator(0)
        self.runs = 0

    def call(self, inputs):
        self.runs += 1
        noise = keras.random.uniform(ops.shape(inputs), 0.5, 1.5, seed=self.seed)
        return inputs * self.factor * noise


def test_the_derivative_of_repeated_steps_draws_what_they_drew():
    model = keras.Sequential([keras.Input((3,)), Noisy()])
    model.layers[0].factor.assign(1.5)
    x = np.ones((2, 3), "float32")

    def repeated(z):
        return backend.repeat_recomputed(5, lambda _, v: model(v), z, variables=model.variables)

    def run(_, x):
        return backend.value_and_input_gradient(lambda z: ops.sum(repeated(z)), x)

    model.layers[0].runs = 0
    total, gradient = backend.compile_over(model, run)(x)
    # The steps are linear: at ones the gradient is what they make of each.
    assert float(total) == pytest.approx(float(np.sum(to_numpy(gradient))), rel=1e-5)
    drawn = to_numpy(gradient) / 1.5**5
    assert np.all(drawn > 0.5**5) and np.unique(drawn).size == 6
    # Computed again, and not kept: by Python, or in the program of JAX.
    if keras.backend.backend() == "jax":
        with keras.StatelessScope():
            program = importlib.import_module("jax").make_jaxpr(repeated)(x)
        assert "checkpoint" in str(program) or "remat" in str(program)
    else:
        assert model.layers[0].runs >= {"tensorflow": 2, "torch": 2 * 5}[keras.backend.backend()]


def test_repeated_steps_train_the_weights_of_what_they_call():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh"), Noisy()])
    outer = Repeating(model)
    outer.compile(keras.optimizers.SGD(1.0), "mse")
    before = model.get_weights()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    seed = to_numpy(model.layers[1].seed.state)
    outer.train_on_batch(x, np.zeros((4, 3)))
    moved = before[0] - to_numpy(model.layers[0].kernel)
    assert np.any(to_numpy(model.layers[1].seed.state) != seed)

    def loss(change):
        model.set_weights([before[0] + change, *before[1:]])
        model.layers[1].seed.state.assign(seed)
        return float(np.mean(to_numpy(outer(x)).astype("float64") ** 2))

    for place in [(0, 0), (2, 1)]:
        change = np.zeros((3, 3), "float32")
        change[place] = 1e-2
        slope = (loss(change) - loss(-change)) / 2e-2
        assert slope == pytest.approx(moved[place], rel=1e-2, abs=1e-3)


class Repeating(keras.Model):
    """Calls a model three times in a loop."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, x):
        return backend.repeat_recomputed(
            3, lambda _, z: self.model(z), x, variables=self.model.variables
        )


class Scaled:
    """A function that equals all others of its factor and counts how often it is run by Python."""

    runs = []

    def __init__(self, factor):
        self.factor = factor

    def __eq__(self, other):
        return isinstance(other, Scaled) and self.factor == other.factor

    def __hash__(self):
        return hash(self.factor)

    def __call__(self, x):
        self.runs.append(self.factor)
        return self.factor * x


def test_equal_functions_are_traced_once_in_programs_that_call_many():
    Scaled.runs.clear()

    def chain(x):
        for factor in (2.0, 2.0, 3.0, 2.0):
            x = backend.traced_once(Scaled(factor))(x)
        return x

    run = backend.compile(chain)
    assert float(run(np.float32(1.0))) == float(run(np.float32(1.0))) == 24.0
    if keras.backend.backend() == "tensorflow":
        assert Scaled.runs == [2.0, 3.0]


def test_one_trace_serves_tensors_of_all_sizes():
    seen = []

    def summed(x):
        seen.append(tuple(x.shape))
        return ops.sum(x)

    total = backend.traced_for_all_sizes(summed)
    sizes = [(2, 3), (4, 5), (1, 1)]
    run = backend.compile(lambda *parts: [total(part) for part in parts])
    sums = run(*(np.ones(size, "float32") for size in sizes))
    assert [float(found) for found in sums] == [6.0, 20.0, 1.0]
    assert float(total(ops.ones((7, 2)))) == 14.0
    if keras.backend.backend() == "tensorflow":
        assert seen == [(None, None)]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8])
def test_rows_added_to_keep_shapes_few_repeat_the_last_one(rows):
    fields = [np.arange(rows), np.arange(2.0 * rows).reshape(rows, 2)]
    for given, padded in zip(fields, backend.few_shapes(fields)):
        np.testing.assert_array_equal(padded[:rows], given)
        assert np.all(padded[rows:] == given[-1:])
        if keras.backend.backend() == "jax":
            assert len(padded) in (1, 2, 4, 8)


def test_tensors_are_concrete_outside_programs():
    seen = []
    compiled = backend.compile(lambda x: (seen.append(backend.is_concrete(x)), x + 1.0)[1])
    compiled(X)
    # PyTorch runs what it is given at once.
    assert seen == [keras.backend.backend() == "torch"]
    assert backend.is_concrete(ops.convert_to_tensor(X))


@pytest.mark.smoke
def test_a_model_that_does_not_ask_if_it_trains_is_called_and_differentiated():
    class Doubled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return 2.0 * self.dense(inputs)

    model, x = Doubled(), np.random.default_rng(0).uniform(size=(3, 4)).astype("float32")
    expected = to_numpy(model(x))
    weights = [weight.value for weight in model.trainable_variables]
    found, after = stateless_call(model, weights, [], x, training=True)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6)
    assert after == []
    estimator = lipot.interop.art.classifier(model, clip_values=(0.0, 1.0), input_shape=(4,))
    kernel = to_numpy(model.dense.kernel)
    np.testing.assert_allclose(
        estimator.class_gradient(x, label=1)[:, 0], np.tile(2.0 * kernel[:, 1], (3, 1)), rtol=1e-5
    )


def differentiating_models():
    """One of each model whose steps differentiate with respect to inputs, with a stock loss."""
    networks = linear(8, 2), linear(2, 3)
    return [
        lipot.AdversarialModel(linear(8, 3), None, [lipot.losses.RandomJacobian()]),
        lipot.AdversarialModel(linear(8, 3), lipot.attacks.FGSM(0.1), [lipot.losses.ALP()]),
        lipot.OTClassifier(*networks),
        lipot.OTClassifier(*networks, attack=lipot.attacks.PGD(0.1)),
        ape_gan(filters=1),
        defense_gan(),
    ]


def linear(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def test_steps_that_a_framework_cannot_compile_run_as_they_are():
    models = differentiating_models()
    for model in models:
        model.compile("sgd", jit_compile=True)
    if not backend.compiles_derivatives():
        assert [model.jit_compile for model in models] == [False] * len(models)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="A setting of PyTorch.")
@pytest.mark.parametrize("products", ["matmul", "conv"])
def test_certificates_count_the_precision_that_pytorch_is_told(products):
    import torch

    setting = getattr(torch.backends.mkldnn, products)
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("This processor does not multiply bfloat16.")
    before = setting.fp32_precision
    layers = [keras.layers.Conv2D(32, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 32)), *layers])
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 32)).astype("float32")
    exact = to_numpy(network(x))
    slack = lipot.certify(network, x).rounding
    try:
        setting.fp32_precision = "bf16"
        rough, certificate = to_numpy(network(x)), lipot.certify(network, x)
    finally:
        setting.fp32_precision = before
    if np.max(np.abs(rough - exact)) > 1e-4:
        # What is taken from a radius is at most all of it.
        assert np.max(certificate.rounding) > 10.0 * np.max(slack)
    np.testing.assert_array_equal(lipot.certify(network, x).rounding, slack)
