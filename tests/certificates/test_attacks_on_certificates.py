"""Attacks inside certified radii: no prediction may change."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.datasets import load_digits

import lipot
from lipot import backend
from tests.helpers import to_numpy

POINTS = 60


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8, 1).astype("float32") / 16.0, labels


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def lipschitz_network():
    return lipot.Sequential(
        [
            keras.Input((8, 8, 1)),
            lipot.layers.SpectralConv2D(8, 3),
            lipot.layers.GroupSort2(),
            lipot.layers.ScaledL2NormPooling2D(2),
            lipot.layers.SpectralConv2D(16, 3, strides=2),
            lipot.layers.GroupSort2(),
            layers.Flatten(),
            lipot.layers.SpectralDense(32),
            lipot.layers.GroupSort2(),
            lipot.layers.FrobeniusDense(10, disjoint_neurons=True),
        ]
    )


def stock_network():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2)(layers.ReLU()(x))
    x = layers.Flatten()(x)
    y = layers.Dense(32, "tanh")(x)
    x = layers.Concatenate()([layers.Add()([x, layers.Dropout(0.1)(y)]), layers.LeakyReLU()(y)])
    return keras.Model(inputs, layers.Dense(10)(x))


def linear_network():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])


NETWORKS = {
    "lipschitz": (lipschitz_network, lambda: lipot.losses.TauSparseCategoricalCrossentropy(10.0)),
    "stock": (stock_network, crossentropy),
    "linear": (linear_network, crossentropy),
}


@pytest.fixture(scope="module", params=NETWORKS)
def certified(request, digits):
    """A trained network, the first points, and their certificate."""
    keras.utils.set_random_seed(0)
    make, loss = NETWORKS[request.param]
    images, labels = digits
    model = make()
    model.compile(keras.optimizers.Adam(5e-3), loss())
    model.fit(images[POINTS:], labels[POINTS:], batch_size=64, epochs=10, verbose=0)
    return model, images[:POINTS], lipot.certify(model, images[:POINTS], labels[:POINTS])


def lengths(shift):
    return np.linalg.norm(shift.reshape(len(shift), -1), axis=1).reshape(-1, 1, 1, 1)


def attacked_predictions(model, images, predictions, radius, *, steps=40):
    """Predictions after l2 PGD on the margin, each point within its own radius."""

    def ascend(forward, x, top):
        def margin(x):
            logits = forward(x)
            return ops.sum(ops.max(logits - 1e4 * top, axis=1) - ops.sum(logits * top, axis=1))

        return backend.value_and_input_gradient(margin, x)[1]

    ascend = backend.compile_over(model, ascend)
    top = np.eye(10, dtype="float32")[predictions]
    radius = radius.reshape(-1, 1, 1, 1)
    shift = np.random.default_rng(0).normal(size=images.shape)
    shift *= radius / lengths(shift)
    for _ in range(steps):
        gradient = np.asarray(ascend((images + shift).astype("float32"), top), "float64")
        shift = shift + 0.5 * radius * gradient / (lengths(gradient) + 1e-12)
        shift = shift * np.minimum(1.0, radius / np.maximum(lengths(shift), 1e-12))
    return to_numpy(model((images + shift).astype("float32"))).argmax(axis=1)


def test_no_attack_inside_the_radius_changes_a_prediction(certified):
    model, images, certificate = certified
    assert certificate.correct.mean() > 0.8
    assert np.mean(certificate.radius > 0) > 0.95
    predictions = to_numpy(model(images)).argmax(axis=1)
    assert np.array_equal(predictions, certificate.predictions)
    attacked = attacked_predictions(model, images, predictions, 0.99 * certificate.radius)
    assert np.array_equal(attacked, predictions)
    # The attack is a real one: a few radii further it succeeds.
    far = attacked_predictions(model, images, predictions, 30.0 * certificate.radius)
    assert np.mean(far != predictions) > 0.5


def test_rounding_costs_little(certified):
    _, _, certificate = certified
    assert np.median(certificate.rounding) < 5e-3 * np.median(certificate.radius)


@pytest.mark.parametrize("certified", ["linear"], indirect=True)
def test_the_linear_classifier_falls_just_outside_its_radius(certified):
    model, images, certificate = certified
    kernel = np.asarray(model.layers[-1].kernel, "float64")
    logits = to_numpy(model(images)).astype("float64")
    exact = certificate.radius + certificate.rounding
    for index, (image, top) in enumerate(zip(images, certificate.predictions)):
        others = np.delete(np.arange(10), top)
        directions = kernel[:, others] - kernel[:, top, None]
        steepness = np.linalg.norm(directions, axis=0)
        nearest = ((logits[index, top] - logits[index, others]) / steepness).argmin()
        direction = (directions[:, nearest] / steepness[nearest]).reshape(image.shape)
        inside = image + 0.999 * certificate.radius[index] * direction
        outside = image + (1.001 * exact[index] + 1e-5) * direction
        moved = to_numpy(model(np.stack([inside, outside]).astype("float32"))).argmax(axis=1)
        assert moved[0] == top != moved[1]
