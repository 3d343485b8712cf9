"""The cache answers for the weights as they are, whoever changed them, and costs no second time."""

import functools

import keras
import numpy as np
import pytest

from lipot import backend, layers
from lipot.layers.inference_cache import InferenceCache
from tests.helpers import to_numpy
from tests.layers.kernel_cases import CASES, kernel_layers


def cache_of(values):
    weight = keras.Variable(np.asarray(values, "float32"), name="weight")
    return weight, InferenceCache([weight], weight.shape)


class Counted:
    """Twice the weight, and how often it was computed."""

    def __init__(self):
        self.calls = 0

    def __call__(self, weight):
        self.calls += 1
        return 2.0 * keras.ops.convert_to_tensor(weight)


def test_a_value_is_computed_once_for_each_weight():
    weight, cache = cache_of([1.0, -3.0])
    compute = Counted()
    for _ in range(3):
        assert to_numpy(cache.read([weight.value], compute)).tolist() == [2.0, -6.0]
    assert compute.calls == 1
    weight.assign([1.0, -2.0])
    for _ in range(3):
        assert to_numpy(cache.read([weight.value], compute)).tolist() == [2.0, -4.0]
    assert compute.calls == 2


def test_weights_that_differ_in_the_last_bit_or_in_sign_of_zero_are_others():
    weight, cache = cache_of([1.0, 0.0])
    compute = Counted()
    cache.read([weight.value], compute)
    for values in ([np.nextafter(np.float32(1), np.float32(2)), 0.0], [1.0, -0.0], [np.nan, 0.0]):
        before = compute.calls
        weight.assign(values)
        cache.read([weight.value], compute)
        assert compute.calls == before + 1
    # Not a number is one more value: it does not equal itself, but its bits do.
    cache.read([weight.value], compute)
    assert compute.calls == before + 1


def test_zeros_are_computed_like_everything_else():
    weight, cache = cache_of([0.0, 0.0])
    compute = Counted()
    cache.read([weight.value], compute)
    assert compute.calls == 1


@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0, 2.0])
def test_arithmetic_on_all_variables_at_once_makes_no_wrong_pair_match(factor):
    weight, cache = cache_of([1.0, -3.0])
    compute = Counted()
    cache.read([weight.value], compute)
    for variable in (weight, *cache.variables):
        scaled = factor * to_numpy(variable.value).astype("float64")
        variable.assign(np.clip(scaled, 0, None) if variable is not weight else scaled)
    expected = 2.0 * to_numpy(weight.value)
    np.testing.assert_array_equal(to_numpy(cache.read([weight.value], compute)), expected)


@pytest.mark.parametrize("other", [[1.25, 1.75], [1.5, 1.0]])
def test_an_average_of_two_caches_is_none(other):
    (weight, cache), (second, another) = cache_of([1.0, 1.5]), cache_of(other)
    for values, kept in ((weight, cache), (second, another)):
        kept.read([values.value], keras.ops.square)
    pairs = zip((weight, *cache.variables), (second, *another.variables))
    for ours, theirs in pairs:
        both = [to_numpy(variable.value).astype("float64") for variable in (ours, theirs)]
        ours.assign(sum(both) / 2)
    expected = np.square(to_numpy(weight.value))
    np.testing.assert_array_equal(to_numpy(cache.read([weight.value], keras.ops.square)), expected)


# Neither the first call nor one after a change may keep what a program alone knows.
def test_programs_of_ones_own_leave_a_cache_as_usable_as_it_was():
    weight, cache = cache_of([1.0, -3.0])
    zeros = keras.ops.zeros((2, 2))
    for values in ([1.0, -3.0], [1.0, -2.0]):
        weight.assign(values)

        def shifted(x):
            return x + cache.read([weight.value], Counted())

        for run in (backend.compile(shifted), functools.partial(keras.ops.map, shifted), shifted):
            np.testing.assert_array_equal(to_numpy(run(zeros)), [2.0 * np.array(values)] * 2)


class Cell(keras.layers.Layer):
    """A recurrent cell of layers that keep their kernels."""

    state_size = 4

    def __init__(self):
        super().__init__()
        self.inner, self.outer = layers.SpectralDense(4), layers.SpectralDense(4)

    def build(self, input_shape):
        self.inner.build(input_shape)
        self.outer.build((None, 4))
        self.built = True

    def call(self, inputs, states, training=False):
        outputs = self.inner(inputs, training=training) + self.outer(states[0], training=training)
        return outputs, [outputs]


def test_a_recurrent_cell_reads_the_cache_in_each_step():
    cell = Cell()
    cell.build((None, 2))
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    expected = 0.0
    for step in range(3):
        (expected, _) = cell(x[:, step], [expected + keras.ops.zeros((2, 4))])
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.RNN(cell)])
    for cache in (cell.inner._cache, cell.outer._cache):
        cache.variables[1].assign(np.ones_like(to_numpy(cache.variables[1].value)))
    for found in (model.predict(x, verbose=0), model(x), model.predict(x, verbose=0)):
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Others assign anywhere.")
def test_a_training_step_says_where_it_cannot_keep_its_state():
    layer = layers.BatchCentering()
    layer.build((None, 2))

    def train(values, x):
        with keras.StatelessScope(list(zip(layer.variables, values))):
            return keras.ops.map(lambda rows: layer(rows, training=True), x)

    with pytest.raises(ValueError, match="cannot keep its `moving_mean`.*unroll=True"):
        backend.compile(train)([v.value for v in layer.variables], keras.ops.ones((3, 4, 2)))


def test_bits_are_those_of_numpy():
    for dtype, integer in (("float32", "uint32"), ("float16", "uint16")):
        values = np.random.default_rng(0).normal(size=(3, 4)).astype(dtype)
        bits = to_numpy(backend.bits(keras.ops.convert_to_tensor(values)))
        np.testing.assert_array_equal(bits.view(integer), values.view(integer))


@pytest.mark.parametrize("name", kernel_layers())
def test_the_cache_is_state_of_the_layer_and_none_of_its_weights(name):
    options, shape = CASES[name][0]
    layer = getattr(layers, name)(**options)
    layer.build((None, *shape))
    kept = {id(variable) for variable in layer.variables} - {id(w) for w in layer.weights}
    assert kept == {id(variable) for variable in layer._cache.variables}
    assert kept <= {id(variable) for variable in layer.non_trainable_variables}
    trained = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    states = sum(int(np.prod(getattr(layer, name).shape)) for name in layer._states)
    assert layer.count_params() == trained + states


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="A format of TensorFlow.")
def test_tensorflow_saves_and_restores_models_with_kernels_of_every_kind(tmp_path):
    tf = pytest.importorskip("tensorflow")

    cases = [(getattr(layers, name)(**CASES[name][0][0]), CASES[name][0][1]) for name in CASES]
    # One inside another layer, whose weights are not the model's own.
    cases.append((layers.LipschitzResidual([layers.SpectralDense(4)]), (4,)))
    inputs, outputs = keras.Input((sum(int(np.prod(shape)) for _, shape in cases),)), []
    rest = inputs
    for layer, shape in cases:
        size = int(np.prod(shape))
        outputs.append(keras.layers.Flatten()(layer(keras.layers.Reshape(shape)(rest[:, :size]))))
        rest = rest[:, size:]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    x = np.random.default_rng(0).normal(size=(2, *inputs.shape[1:])).astype("float32")
    expected = to_numpy(model(x))
    tf.saved_model.save(model, str(tmp_path / "saved"))
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (found,) = serve(tf.constant(x)).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)

    checkpoint = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    names = [name for name, _ in tf.train.list_variables(checkpoint)]
    assert names and not any("computed" in name for name in names)
