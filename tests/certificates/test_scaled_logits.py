"""A factor that all logits share changes no order: the rule by pairs of classes outlives it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.certificates.graph import walk
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from tests.helpers import functional, to_numpy

X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
KERNEL = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
BIAS = np.array([0.1, -0.2, 0.3], "float32")


def linear(later=lambda x: x, activation=None, kernel=KERNEL, dtype=None):
    dense = layers.Dense(kernel.shape[1], activation, dtype=dtype)
    model = functional(lambda x: later(dense(x)), (5,))
    dense.set_weights([kernel, np.resize(BIAS, kernel.shape[1])])
    return model


SCALINGS = {
    "quotient": lambda x: x / 3.0,
    "product": lambda x: 7.0 * x,
    "array of one": lambda x: x * np.array([[0.25]], "float32"),
    "Rescaling": layers.Rescaling(0.01),
    "twice": lambda x: layers.Rescaling(5.0)(x / 11.0),
    "negative twice": lambda x: -(x / -2.0),
    "linear": lambda x: layers.Activation("linear")(x * 2.0),
    "temperature": lambda x: layers.Softmax()(x / 4.0),
}


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("name", SCALINGS)
def test_a_common_factor_keeps_the_rule_by_pairs_of_classes(name, norm):
    """Of a linear classifier the radius is the distance to the boundary, and so it stays."""
    plain = lipot.certify(linear(), X, norm=norm)
    model = linear(SCALINGS[name])
    found = lipot.certify(model, X, norm=norm)
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    np.testing.assert_array_equal(model.predict(X, verbose=0).argmax(axis=1), plain.predictions)
    np.testing.assert_allclose(found.radius, plain.radius, rtol=1e-3, atol=3e-5)
    distance = exact_distance(X, KERNEL, BIAS, norm)
    assert np.all(found.radius <= distance * (1.0 + 1e-6))


def exact_distance(x, kernel, bias, norm):
    logits = x.astype("float64") @ kernel + bias
    top = logits.argmax(axis=1)
    lead = logits[np.arange(len(x)), top][:, None] - logits
    pairs = kernel.T[top][:, None].astype("float64") - kernel.T
    size = np.linalg.norm(pairs, 2 if norm == 2 else 1, axis=2)
    return np.min(np.where(size > 0.0, lead / np.maximum(size, 1e-30), np.inf), axis=1)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_factors_inside_and_after_an_inner_model_multiply(norm):
    inner = linear(lambda x: x * -2.0)
    found = lipot.certify(
        functional(lambda x: layers.Softmax()(inner(x) / -30.0), (5,)), X, norm=norm
    )
    plain = lipot.certify(linear(), X, norm=norm)
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    np.testing.assert_allclose(found.radius, plain.radius, rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_negative_factor_turns_the_order_around(norm):
    found = lipot.certify(linear(lambda x: x / -3.0), X, norm=norm)
    logits = -(X @ KERNEL + BIAS)
    np.testing.assert_array_equal(found.predictions, logits.argmax(axis=1))
    distance = exact_distance(X, -KERNEL, -BIAS, norm)
    assert np.all(found.radius <= distance) and np.all(found.radius >= 0.99 * distance - 3e-5)


@pytest.mark.parametrize("later", [lambda x: x * -2.0, lambda x: layers.Rescaling(0.5)(x)])
def test_a_single_unit_keeps_its_sign_or_changes_it(later):
    model = linear(later, kernel=KERNEL[:, :1])
    found = lipot.certify(model, X)
    outputs = model.predict(X, verbose=0)[:, 0]
    np.testing.assert_array_equal(found.predictions, outputs > 0.0)
    np.testing.assert_allclose(
        found.radius, lipot.certify(linear(kernel=KERNEL[:, :1]), X).radius, rtol=1e-3, atol=1e-5
    )


FALLS_BACK = {
    "one factor a class": lambda x: layers.Rescaling([1.0, 2.0, 3.0])(x),
    "one factor a class, an array": lambda x: x * np.array([1.0, 2.0, 2.0], "float32"),
    "an offset": lambda x: layers.Rescaling(2.0, offset=1.0)(x),
    "zero": lambda x: x * 0.0,
    "probabilities": lambda x: layers.Softmax()(x) * 2.0,
    "probabilities in a model": lambda x: (
        keras.Sequential([keras.Input((3,)), layers.Softmax()])(x) / 2.0
    ),
    "nothing that float32 holds": lambda x: layers.Rescaling(1e-30)(x),
}


@pytest.mark.parametrize("name", FALLS_BACK)
def test_anything_else_is_certified_by_one_constant_of_all_outputs(name):
    model = linear(FALLS_BACK[name])
    nodes = [computed_input_node(model.inputs[0], (None, 5))]
    head = find_head(model, nodes)
    # The identity, in the place of the kernel.
    np.testing.assert_array_equal(head.kernel, np.eye(3))
    whole = walk(model, nodes)[id(model.outputs[0])]
    assert head.node.lipschitz * head.scale >= whole.lipschitz * (1.0 - 1e-9)


def test_a_dense_layer_with_a_softmax_before_a_factor_is_not_skipped():
    model = linear(lambda x: x * 2.0, activation="softmax")
    head = find_head(model, [computed_input_node(model.inputs[0], (None, 5))])
    np.testing.assert_array_equal(head.kernel, np.eye(3))
    assert not head.squashed


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_a_factor_after_the_sigmoid_of_one_unit_is_refused(activation):
    """Half a sigmoid is never above a half."""
    model = linear(lambda x: x * 0.5, activation, KERNEL[:, :1])
    with pytest.raises(ValueError, match="Move what comes after the logit"):
        lipot.certify(model, X)


ROUNDING = {
    "small in half precision": lambda x: layers.Rescaling(1e-3, dtype="float16")(x * 0.2),
    "a later cast": lambda x: layers.Identity(dtype="float16")(x * 0.3),
    "a type of seven bits": lambda x: layers.Rescaling(3.0, dtype="bfloat16")(x),
    "half an underflow": lambda x: x * 1e-17 / 1e17,
    "a flat softmax": lambda x: layers.Softmax()(x / 1e6),
}


@pytest.mark.parametrize("name", ROUNDING)
def test_what_a_factor_rounds_off_counts(name):
    """Logits that differ by less than what the factor, a cast or a softmax keeps of them."""
    model = linear(ROUNDING[name])
    # On the line between two points of different classes lie points of any small lead.
    a, b = (
        X[0],
        next(x for x in X if (x @ KERNEL + BIAS).argmax() != (X[0] @ KERNEL + BIAS).argmax()),
    )
    points = (a + np.linspace(0.0, 1.0, 4001)[:, None] * (b - a)).astype("float32")
    found = lipot.certify(model, points)
    certified = found.radius > 0.0
    called = model.predict(points, batch_size=512, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(called[certified], found.predictions[certified])
    called = np.asarray(ops.convert_to_numpy(ops.argmax(model(points), axis=1)))
    np.testing.assert_array_equal(called[certified], found.predictions[certified])


def test_a_factor_may_not_overflow_the_type_of_a_later_layer():
    model = linear(lambda x: layers.Identity(dtype="float16")(x * 1e4))
    x = X * 10.0
    found = lipot.certify(model, x)
    over = ~np.all(np.isfinite(to_numpy(model(x)).astype("float32")), axis=1)
    assert np.any(over) and np.all(found.radius[over] == 0.0)
