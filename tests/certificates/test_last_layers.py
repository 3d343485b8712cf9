"""Any last layer will do: what comes after it, and what it is, counts."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from lipot import backend
from tests.helpers import to_numpy

LATER = {
    "identity": lambda: layers.Identity(dtype="float16"),
    "linear": lambda: layers.Activation("linear", dtype="float16"),
    "softmax": lambda: layers.Softmax(dtype="float16"),
    "dropout": lambda: layers.Dropout(0.5, dtype="bfloat16"),
}


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("later", LATER)
def test_logits_cast_after_what_is_not_linear_count(later, norm):
    # 1000 and 1000.4 are one number in half precision.
    inputs = keras.Input((1,))
    distances = lipot.layers.LInfDistanceDense(2)
    model = keras.Model(inputs, LATER[later]()(distances(inputs)))
    distances.set_weights([np.zeros((1, 2)), np.array([1000.0, 1000.4])])
    x = np.array([[5.0]], "float32")
    assert lipot.certify(model, x, norm=norm).radius[0] == 0.0


def test_a_last_layer_with_an_activation_is_certified_by_its_outputs():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="relu")])
    model.layers[0].set_weights([np.eye(2), np.array([1.0, 0.0])])
    x = np.array([[2.0, 0.5], [-3.0, -3.0]], "float32")
    # relu(3) and relu(0.5), of which each moves as far as the input does; then no margin.
    found = lipot.certify(model, x, norm="inf")
    np.testing.assert_allclose(found.radius, [1.25, 0.0], atol=1e-5)
    # Both outputs together move as far: 2.5 / sqrt(2), which (3, 0.5) to its boundary is.
    found = lipot.certify(model, x)
    np.testing.assert_allclose(found.radius, [2.5 / np.sqrt(2.0), 0.0], atol=1e-5)
    assert found.radius[0] < 2.5 / np.sqrt(2.0)
    assert found.lipschitz == pytest.approx(1.0)


def _convolutions(*last):
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            lipot.layers.SpectralConv2D(8, 3, padding="same"),
            lipot.layers.GroupSort2(),
            *last,
        ]
    )


LAST = {
    "pooled": lambda: _convolutions(layers.Conv2D(3, 1), layers.GlobalAveragePooling2D()),
    "flattened": lambda: _convolutions(layers.Conv2D(3, 4), layers.Flatten()),
    "shaped": lambda: _convolutions(layers.Flatten(), layers.Dense(3), layers.Reshape((3,))),
    "scaled": lambda: _convolutions(
        layers.Flatten(), layers.Dense(3), layers.Rescaling([3.0, 2.0, 1.0])
    ),
    "bounded": lambda: _convolutions(layers.Flatten(), layers.Dense(3, "tanh")),
    "sorted": lambda: _convolutions(layers.Flatten(), layers.Dense(4), lipot.layers.GroupSort2()),
    "nested": lambda: _convolutions(
        keras.Sequential([keras.Input((4, 4, 8)), layers.Conv2D(3, 4), layers.Flatten()])
    ),
}


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("name", LAST)
def test_no_point_within_the_radius_has_another_class(name, norm):
    model = LAST[name]()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4, 4, 2)).astype("float32")
    certificate = lipot.certify(model, x, norm=norm)
    assert np.mean(certificate.radius > 0.0) > 0.9
    best = np.sort(model.predict(x, verbose=0), axis=1)
    lead = best[:, -1] - best[:, -2]
    # What any model's constant proves.
    constant = lipot.lipschitz_constant(model, norm=norm)
    known = lead / ((np.sqrt(2.0) if norm == 2 else 2.0) * constant)
    assert np.all(certificate.radius + certificate.rounding >= known - 1e-5)
    radius = certificate.radius.astype("float32").reshape(-1, 1, 1, 1)
    for direction in worst_directions(model, x, norm):
        attacked = model.predict(x + 0.999 * radius * direction, verbose=0)
        np.testing.assert_array_equal(attacked.argmax(axis=1), certificate.predictions)


def worst_directions(model, x, norm):
    """Unit steps that lower the lead over each other class, by the gradient at the point."""
    logits = model.predict(x, verbose=0)
    top = logits.argmax(axis=1)
    for other in range(logits.shape[1]):
        gradient = to_numpy(_gradient(model, x, top, other))
        if norm == "inf":
            yield -np.sign(gradient)
            continue
        size = np.sqrt(np.sum(gradient**2, axis=(1, 2, 3), keepdims=True))
        yield -gradient / np.maximum(size, 1e-12)


def _gradient(model, x, top, other):
    classes = model.output_shape[-1]
    signs = keras.ops.one_hot(top, classes) - keras.ops.one_hot(other, classes)

    def lead(inputs):
        return keras.ops.sum(signs * model(inputs))

    return backend.value_and_input_gradient(lead, keras.ops.array(x))[1]


def test_a_convolution_as_wide_as_the_image_is_the_dense_layer_of_its_weights():
    """One constant for all pairs of classes proves no more than one for each."""
    convolved = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 4), layers.Flatten()])
    dense = keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten(), layers.Dense(3)])
    kernel, bias = convolved.layers[0].get_weights()
    dense.layers[-1].set_weights([kernel.reshape(32, 3), bias])
    x = np.random.default_rng(1).normal(size=(20, 4, 4, 2)).astype("float32")
    found, exact = lipot.certify(convolved, x), lipot.certify(dense, x)
    np.testing.assert_array_equal(found.predictions, exact.predictions)
    assert np.all(found.radius <= exact.radius * (1.0 + 1e-6))
    assert np.all(found.radius > 0.0)
