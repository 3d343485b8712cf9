"""Bounds of operations that stand in a graph by themselves."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.backend.keras_graph import producer
from lipot.certificates.graph import graph_of, walk
from lipot.certificates.node import computed_input_node
from lipot.math.norms import vector_norm
from lipot.math.precision import widest_float
from tests.certificates.jacobians import ERROR, largest_jacobian_norm
from tests.certificates.test_layer_bounds import double_precision
from tests.certificates.test_linf import largest_row_sum
from tests.helpers import functional, to_numpy

assert double_precision
SHAPE = (4, 3, 2)
# In eighths, which every type holds.
KERNEL = np.round(8.0 * np.random.default_rng(2).normal(size=(3, 2, 2, 3))) / 8.0
MATRIX = np.random.default_rng(1).normal(size=(3, 4, 5)).astype("float32")

# Function, and the largest ratio of bound to observed norm: 1 where it is attained.
OPERATIONS = {
    "sum": (lambda x: ops.sum(x, axis=1), 1.0),
    "sum of two axes": (lambda x: ops.sum(x, axis=(-1, 1), keepdims=True), 1.0),
    "mean": (lambda x: ops.mean(x, axis=-1), 1.0),
    "mean of all": (lambda x: ops.mean(x, axis=[1, 2, 3], keepdims=True), 1.0),
    "abs": (ops.abs, 1.0),
    "absolute": (ops.absolute, 1.0),
    "negative": (ops.negative, 1.0),
    "clip": (lambda x: ops.clip(x, -3.0, 5), 1.0),
    "transpose": (lambda x: ops.transpose(x, (0, 3, 1, 2)), 1.0),
    "expand_dims": (lambda x: ops.expand_dims(x, -1), 1.0),
    "expand_dims twice": (lambda x: ops.expand_dims(x, (1, 3)), 1.0),
    "squeeze": (lambda x: ops.squeeze(x[:, :1], 1), 1.0),
    "softmax": (ops.softmax, 1.3),
    "softmax of rows": (lambda x: ops.softmax(x, axis=1), 1.5),
    "sigmoid": (ops.sigmoid, 1.1),
    "tanh": (ops.tanh, 1.1),
    "keras.activations.tanh": (keras.activations.tanh, 1.1),
    "silu": (ops.silu, 1.1),
    "softplus": (ops.softplus, 1.2),
    "softsign": (ops.softsign, 1.1),
    "selu": (ops.selu, 1.1),
    "elu": (lambda x: ops.elu(x, 2.5), 1.1),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 1.7), 1.0),
    "a bent relu": (lambda x: keras.activations.relu(x, 1.7, 2.0), 1.0),
    "a leaky_relu that turns": (lambda x: ops.leaky_relu(x, -1.7), 1.0),
    "gelu": (ops.gelu, 1.1),
    "keras.activations.gelu": (keras.activations.gelu, 1.1),
    "max": (lambda x: ops.max(x, axis=(1, -1)), 1.0),
    "min": (lambda x: ops.min(x, axis=2, keepdims=True, initial=0.3), 1.0),
    "relu6": (ops.relu6, 1.0),
    "hard_sigmoid": (ops.hard_sigmoid, 1.0),
    "hard_silu": (ops.hard_silu, 1.5),
    "hard_tanh": (ops.hard_tanh, 1.0),
    "log_sigmoid": (ops.log_sigmoid, 1.2),
    "tanh_shrink": (ops.tanh_shrink, 1.2),
    "amax": (lambda x: ops.amax(x, axis=1), 1.0),
    "amin": (lambda x: ops.amin(x, axis=(1, 2)), 1.0),
    "copy": (ops.copy, 1.0),
    "stop_gradient": (ops.stop_gradient, 1.0),
    "cast": (lambda x: ops.cast(x * 3.0, "float64"), 1.0),
    "swapaxes": (lambda x: ops.swapaxes(x, 1, -1), 1.0),
    "moveaxis": (lambda x: ops.moveaxis(x, (1, 2), (2, 3)), 1.0),
    "flip": (lambda x: ops.flip(x, (1, -1)), 1.0),
    "roll": (lambda x: ops.roll(x, (1, -2), axis=(1, 2)), 1.0),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 0), (0, 1)), constant_values=7.0), 1.0),
    "pad by a mirror": (lambda x: ops.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), "reflect"), 1.0),
    "pad by repeating": (
        lambda x: ops.pad(x, ((0, 0), (2, 1), (3, 0), (0, 0)), "symmetric"),
        1.0,
    ),
    "sort": (lambda x: ops.sort(x, axis=1), 1.0),
    "stack": (lambda x: ops.stack([x, 2.0 * x, -x], axis=2), 1.0),
    "split": (lambda x: ops.split(x, 2, axis=1)[1], 1.0),
    "split at places": (lambda x: ops.concatenate(ops.split(x, (1, 3), axis=1), axis=1), 1.8),
    "unstack": (lambda x: ops.unstack(x, axis=-1)[0], 1.0),
    "repeat": (lambda x: ops.repeat(x, 3, axis=1), 1.0),
    "repeat some": (lambda x: ops.repeat(x, np.array([1, 4, 0]), axis=2), 1.0),
    "tile": (lambda x: ops.tile(x, (2, 1, 3)), 1.0),
    "take": (lambda x: ops.take(x, [[0, 2], [-1, 1]], axis=1), 1.0),
    "take twice": (lambda x: ops.take(x, [0, 2, 0, -4], axis=1), 1.0),
    "matmul": (lambda x: ops.matmul(x, MATRIX[0, :2]), 1.0),
    "matmul of a vector": (lambda x: x @ MATRIX[0, :2, 0], 1.0),
    "matmul from the left": (lambda x: ops.matmul(MATRIX[0, :, :3], x), 1.0),
    "matmul of a vector from the left": (lambda x: ops.matmul(MATRIX[0, 0, :3], x), 1.0),
    "dot": (lambda x: ops.dot(x, MATRIX[0, :2]), 1.0),
    "tensordot": (lambda x: ops.tensordot(x, MATRIX, ((-2, 1), (0, 1))), 1.0),
    "tensordot of the last axes": (lambda x: ops.tensordot(x, MATRIX[:, :2], 2), 1.0),
    "tensordot without a sum": (lambda x: ops.tensordot(x, MATRIX[0, 0], 0), 1.0),
    "einsum": (lambda x: ops.einsum("bijk,jil->bkl", x, ops.cast(MATRIX, x.dtype)), 1.0),
    "einsum, constant first": (
        lambda x: ops.einsum("jil,bijk->bjkl", ops.cast(MATRIX, x.dtype), x),
        1.0,
    ),
    "conv": (lambda x: ops.conv(x, ops.cast(KERNEL, x.dtype), padding="same"), 1.0),
    "conv of a sequence": (lambda x: ops.conv(x[:, 0], ops.cast(KERNEL[0], x.dtype), 2), 1.0),
    "depthwise_conv": (
        lambda x: ops.depthwise_conv(x, ops.cast(KERNEL, x.dtype), padding="same"),
        1.0,
    ),
    "depthwise_conv with strides": (
        lambda x: ops.depthwise_conv(x, ops.cast(KERNEL[:2, :, :, :1], x.dtype), strides=2),
        1.0,
    ),
    "max_pool": (lambda x: ops.max_pool(x, 2, 1), 2.0),
    "average_pool": (lambda x: ops.average_pool(x, (3, 2), 1, padding="same"), 1.0),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=(1, 2)), 3.0),
    "activations.log_softmax": (keras.activations.log_softmax, 1.6),
    "log_softmax": (lambda x: ops.log_softmax(x, axis=1), 1.6),
    "celu": (ops.celu, 1.0),
    "soft_shrink": (ops.soft_shrink, 1.0),
    "sparse_plus": (ops.sparse_plus, 1.0),
    "sparse_sigmoid": (ops.sparse_sigmoid, 1.0),
    "squareplus": (ops.squareplus, 1.2),
    "one after the other": (
        lambda x: ops.mean(ops.tanh(ops.transpose(x, (0, 2, 1, 3))), axis=(1, 2)) * 3.0,
        1.5,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_bounds_are_above_jacobians_and_close_in_both_norms(double_precision, name):
    function, slack = OPERATIONS[name]
    model = functional(function, SHAPE, "float64")
    for norm, observe in ((2, largest_jacobian_norm), ("inf", largest_row_sum)):
        observed = observe(lambda x: model(x, training=False), SHAPE)
        bound = lipot.lipschitz_constant(model, norm=norm)
        assert observed <= bound * (1 + ERROR)
        assert bound <= slack * observed * (1 + ERROR), (norm, bound, observed)


# Those that round in a way of their own.
ROUNDED = {
    **{name: OPERATIONS[name][0] for name in ("average_pool", "logsumexp", "log_softmax", "celu")},
    **{name: OPERATIONS[name][0] for name in ("matmul", "tensordot", "conv", "soft_shrink")},
    "log_softmax of all": lambda x: ops.log_softmax(ops.reshape(x, (-1, 24)) * 30.0),
    "resize": lambda x: ops.image.resize(x, (9, 2)),
    "resize without aliases": lambda x: ops.image.resize(x, (2, 2), antialias=True),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)), constant_values=0.1),
}


@pytest.mark.skipif(widest_float() != "float64", reason="float64 is the exact map")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ROUNDED)
def test_what_operations_compute_stays_within_their_error(name, dtype):
    model, exact = (functional(ROUNDED[name], SHAPE, t) for t in (dtype, "float64"))
    rng, inputs = np.random.default_rng(0), model.inputs
    points = rng.normal(size=(200, *SHAPE)) * 10.0 ** rng.uniform(-3, 2, size=(200, 1, 1, 1))
    points += rng.uniform(-3.0, 3.0, size=(200, 1, 1, 1))
    found = to_numpy(ops.cast(model(ops.cast(points, dtype)), "float64"))
    lost = (found - to_numpy(ops.cast(exact(points), "float64"))).reshape(200, -1)
    for norm in (2, "inf"):
        nodes = walk(graph_of(model), [computed_input_node(t, t.shape, norm) for t in inputs])
        bounds = nodes[id(model.outputs[0])].computed
        sizes = vector_norm(points.reshape(200, -1), norm, axis=1)
        assert np.all(vector_norm(lost, norm, axis=1) <= bounds.error(sizes))
        assert np.all(vector_norm(found.reshape(200, -1), norm, axis=1) <= bounds.size(sizes))
        assert dtype != "float32" or np.all(bounds.error(sizes) <= 1e-3 * bounds.size(sizes))


def test_sums_and_means_have_the_norms_of_their_matrices():
    """Rows of ones, or of 1 / n, of which no two share a column."""
    found = {
        (kind, norm): lipot.lipschitz_constant(functional(lambda x, op=op: op(x, axis=1)), norm)
        for kind, op in (("sum", ops.sum), ("mean", ops.mean))
        for norm in (2, "inf")
    }
    exact = {("sum", 2): 2.0, ("sum", "inf"): 4.0, ("mean", 2): 0.5, ("mean", "inf"): 1.0}
    for key, value in exact.items():
        assert value <= found[key] <= value * (1.0 + 1e-9)


MIXING = {
    "swapaxes": lambda x: ops.swapaxes(x, 0, 1),
    "moveaxis": lambda x: ops.moveaxis(x, 1, 0),
    "flip": lambda x: ops.flip(x),
    "flip of samples": lambda x: ops.flip(x, (0, 1)),
    "roll": lambda x: ops.roll(x, 1),
    "roll of samples": lambda x: ops.roll(x, 1, axis=-3),
    "pad": lambda x: ops.pad(x, 1),
    "pad of samples": lambda x: ops.pad(x, ((1, 0), (0, 0), (0, 0))),
    "stack": lambda x: ops.stack([x, x]),
    "sort": lambda x: ops.sort(x, axis=0),
    "concatenate": lambda x: ops.concatenate([x, x], axis=-3),
    "repeat": lambda x: ops.repeat(x, 2, axis=0),
    "tile": lambda x: ops.tile(x, (2, 1, 1)),
    "tile along a new axis": lambda x: ops.tile(x, (1, 1, 1, 1)),
    "take": lambda x: ops.take(x, [0], axis=0),
    "take of another place": lambda x: ops.take(x, [4], axis=1),
    "matmul from the left": lambda x: ops.matmul(np.ones((3, 2), "float32"), x[:, 0]),
    "matmul of many": lambda x: ops.matmul(x, np.ones((3, 5, 2), "float32")),
    "dot from the left": lambda x: ops.dot(np.ones((3, 4), "float32"), x),
    "tensordot": lambda x: ops.tensordot(x, np.ones((4, 3), "float32"), ((0,), (0,))),
    "tensordot from the left": lambda x: ops.tensordot(np.ones((3, 4), "float32"), x, 1),
    "einsum": lambda x: ops.einsum("bij,bk->ijk", x, np.ones((1, 2), "float32")),
    "logsumexp": lambda x: ops.logsumexp(x, axis=0, keepdims=True),
    "log_softmax": lambda x: ops.log_softmax(x, axis=0),
    "an image of samples": lambda x: ops.image.resize(x, (4, 4)),
    "transpose": lambda x: ops.transpose(x, (1, 0, 2)),
    "squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 0)),
    "expand_dims": lambda x: ops.expand_dims(x, 0),
    "sum": lambda x: ops.sum(x, axis=0, keepdims=True),
    "sum of all": lambda x: ops.sum(x),
    "mean": lambda x: ops.mean(x, axis=(0, 1)),
    "max": lambda x: ops.max(x, axis=0, keepdims=True),
    "max of all": lambda x: ops.max(x),
    "min": lambda x: ops.min(x, axis=(-3, 1)),
    "softmax": lambda x: ops.softmax(x, axis=0),
    "softmax of all": lambda x: ops.softmax(x, axis=None),
    "softmax of two": lambda x: ops.softmax(x, axis=(0, -1)),
    "clip between tensors": lambda x: ops.clip(x, np.zeros((7, 1, 1)), 1.0),
    "mean of nothing": lambda x: ops.mean(x[:, :0], axis=1),
    "division of a number, named": lambda x: producer(x / 2.0).operation(x2=x, x1=2.0),
    "clip to nothing": lambda x: ops.clip(x, 0.0, np.ones((1, 4, 5), "float32")),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_joins_samples_or_repeats_values_is_refused(name):
    model = functional(MIXING[name], (4, 5))
    with pytest.raises(ValueError, match=r"cannot be certified|No Lipschitz bound"):
        lipot.lipschitz_constant(model)


def test_a_kernel_that_depends_on_the_input_is_refused():
    inputs = keras.Input(batch_shape=(3, 4, 4))
    outputs = ops.conv(inputs, inputs, padding="same")
    with pytest.raises(ValueError, match="a product of two tensors that depend on the input"):
        lipot.lipschitz_constant(keras.Model(inputs, outputs))


@pytest.mark.parametrize("pool", [ops.max_pool, ops.average_pool])
def test_one_number_in_a_list_is_that_of_all_axes(pool):
    listed, plain = (functional(lambda x, n=n: pool(x, 2, n), SHAPE) for n in ((1,), 1))
    assert lipot.lipschitz_constant(listed) == lipot.lipschitz_constant(plain)


def test_a_stored_model_has_the_slices_that_it_had():
    model = functional(lambda x: x[:, 1:, ..., 0], SHAPE)
    stored = keras.models.model_from_json(model.to_json())
    assert lipot.lipschitz_constant(stored) == lipot.lipschitz_constant(model)


def test_repeats_may_be_a_tensor():
    repeats = ops.convert_to_tensor([1, 4, 0])
    assert lipot.lipschitz_constant(
        functional(lambda x: ops.repeat(x, repeats, axis=2), SHAPE)
    ) == pytest.approx(2.0)


def test_places_may_be_of_a_type_that_does_not_hold_the_size():
    model = functional(lambda x: ops.take(x, np.array([250, 3, 3], "uint8"), axis=1), (300,))
    assert lipot.lipschitz_constant(model) == pytest.approx(np.sqrt(2.0))


@pytest.mark.parametrize("op", [ops.sum, ops.mean])
def test_a_sum_of_an_unknown_number_of_values_is_refused(op):
    model = functional(lambda x: op(x, axis=1), (None, 3))
    with pytest.raises(ValueError, match="how many there are"):
        lipot.lipschitz_constant(model)
    assert lipot.lipschitz_constant(functional(lambda x: op(x, axis=2), (None, 3))) > 0.0


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("size", [1.0, 300.0])
@pytest.mark.parametrize("name", ["mean", "sum", "softmax"])
def test_rounding_of_operations_counts(name, size, dtype):
    function = {
        "mean": lambda x: ops.mean(x, axis=1),
        "sum": lambda x: ops.sum(x, axis=1) * 0.01,
        "softmax": lambda x: ops.sum(ops.softmax(x, axis=1) * np.arange(3.0), axis=1),
    }[name]
    model = functional(function, (300, 3), dtype)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 300, 3)) + size * rng.uniform(size=(200, 1, 1))).astype("float32")
    found = lipot.certify(model, x)
    certified = found.radius > 0.0
    exact = model.predict(x, verbose=0).astype("float64").argmax(axis=1)
    np.testing.assert_array_equal(found.predictions[certified], exact[certified])
    assert dtype != "float32" or np.any(certified)


LAST = [
    ops.softmax,
    lambda x: ops.softmax(x / 3.0),
    ops.log_softmax,
    layers.Activation("log_softmax"),
]


@pytest.mark.parametrize("last", LAST)
def test_a_softmax_that_is_an_operation_is_skipped_like_the_layer(last):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    dense = layers.Dense(3)
    plain, squashed = functional(dense), functional(lambda x: last(dense(x)))
    radius, known = (lipot.certify(model, x).radius for model in (squashed, plain))
    np.testing.assert_allclose(radius, known, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_logits_that_a_log_softmax_makes_equal_are_not_certified(dtype):
    model = functional(layers.Dense(3, "log_softmax", dtype=dtype), (2,), dtype)
    model.layers[-1].set_weights([np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.zeros(3)])
    x = np.stack([2.0 ** -np.arange(2.0, 30.0), np.zeros(28)], axis=1).astype("float32")
    found, outputs = lipot.certify(model, x), model.predict(x, verbose=0)
    second = np.sort(outputs, axis=1)[:, 1]
    certified = found.radius > 0.0
    assert np.any(certified) and not np.all(certified)
    assert np.all((outputs[:, 0] > second)[certified])


def test_a_log_softmax_of_one_unit_is_refused():
    with pytest.raises(ValueError, match="two units before a log_softmax"):
        lipot.certify(functional(layers.Dense(1, "log_softmax")), np.ones((1, 4)))


@pytest.mark.parametrize("kind", [keras.activations.sigmoid, ops.sigmoid])
def test_a_sigmoid_of_one_unit_that_is_an_operation_is_skipped_too(kind):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    dense = layers.Dense(1)
    plain, squashed = functional(dense), functional(lambda x: kind(dense(x)))
    found = lipot.certify(squashed, x)
    np.testing.assert_array_equal(found.predictions, squashed.predict(x, verbose=0)[:, 0] > 0.5)
    np.testing.assert_allclose(found.radius, lipot.certify(plain, x).radius, rtol=1e-3, atol=1e-4)
