"""Predictions and gradients of the ART estimator, against ART's own and finite differences."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as array

from lipot.interop.art import classifier


def smooth_model(units, **kwargs):
    layers = [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(units)]
    return keras.Sequential(layers, **kwargs)


def numeric_gradient(function, x, step=1e-2):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


def test_predictions_equal_those_of_art(estimator, reference, batch):
    np.testing.assert_allclose(estimator.predict(batch[0]), reference.predict(batch[0]), atol=1e-5)


def test_loss_and_its_gradient_equal_those_of_art(estimator, reference, batch):
    gradient, expected = estimator.loss_gradient(*batch), reference.loss_gradient(*batch)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(gradient, expected, atol=1e-7, rtol=1e-4)
    for reduction in ("none", "mean", "sum"):
        np.testing.assert_allclose(
            estimator.compute_loss(*batch, reduction=reduction),
            reference.compute_loss(*batch, reduction=reduction),
            rtol=1e-4,
            atol=1e-6,
        )


@pytest.mark.parametrize("label", [None, 3, np.arange(40) % 10])
def test_class_gradients_equal_those_of_art(estimator, reference, batch, label):
    gradient = estimator.class_gradient(batch[0], label=label)
    expected = reference.class_gradient(batch[0], label=label)
    assert gradient.shape == expected.shape
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_gradients_that_attacks_are_given_are_finite():
    layers = [keras.layers.Lambda(keras.ops.sqrt), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.layers[-1].set_weights([np.array([[1.0, -1.0], [0.0, 0.0], [1.0, -1.0]]), np.zeros(2)])
    estimator, x = classifier(model), np.array([[0.0, 0.0, 0.25]], "float32")
    # The slope at 0 is infinite, and times a weight of 0 it is NaN.
    np.testing.assert_allclose(estimator.class_gradient(x)[0, 0], [1.0, 0.0, 1.0])
    np.testing.assert_allclose(estimator.class_gradient(x, label=1)[0, 0], [-1.0, 0.0, -1.0])
    gradient = estimator.loss_gradient(x, np.array([0]))[0]
    assert gradient[0] == gradient[2] < 0.0 == gradient[1]


def test_gradients_equal_finite_differences():
    estimator = classifier(smooth_model(3))
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    y = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    np.testing.assert_allclose(
        estimator.loss_gradient(x, y),
        numeric_gradient(lambda x: estimator.compute_loss(x, y, reduction="mean"), x),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        estimator.class_gradient(x)[:, 1],
        numeric_gradient(lambda x: estimator.predict(x)[:, 1].sum(), x),
        atol=1e-3,
    )


def test_many_classes_give_the_same_gradients():
    model = smooth_model(40)
    estimator = classifier(model)
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    hidden = array(model.layers[0](x))
    # d tanh(u) = 1 - tanh(u)^2, written out for the two layers of the model.
    first, last = (array(layer.kernel) for layer in model.layers)
    expected = np.einsum("dh,nh,hc->ncd", first, 1.0 - hidden**2, last)
    np.testing.assert_allclose(estimator.class_gradient(x), expected, atol=1e-5)


def test_probabilities_have_their_own_gradients():
    logits = classifier(smooth_model(3))
    estimator = logits.with_probabilities()
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    y = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    np.testing.assert_allclose(estimator.predict(x).sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        estimator.class_gradient(x, label=2)[:, 0],
        numeric_gradient(lambda x: estimator.predict(x)[:, 2].sum(), x),
        atol=1e-3,
    )
    np.testing.assert_array_equal(estimator.loss_gradient(x, y), logits.loss_gradient(x, y))


def test_any_number_of_samples_gives_the_same_rows(estimator, digits):
    x = digits[0][:300]
    everything = estimator.predict(x), estimator.class_gradient(x), estimator.class_gradient(x, 2)
    for rows in (slice(0, 0), slice(7, 8), slice(3, 16)):
        some = (
            estimator.predict(x[rows]),
            estimator.class_gradient(x[rows]),
            estimator.class_gradient(x[rows], 2),
        )
        for part, whole in zip(some, everything):
            np.testing.assert_allclose(part, whole[rows], atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles for each size.")
def test_one_program_serves_every_number_of_samples():
    class Counting(keras.layers.Layer):
        traces = 0

        def call(self, inputs):
            Counting.traces += 1
            return keras.ops.tanh(inputs)

    estimator = classifier(keras.Sequential([keras.Input((6,)), Counting()]))
    Counting.traces = 0
    for count in (1, 8, 300, 5):
        x = np.ones((count, 6), "float32")
        estimator.predict(x)
        estimator.loss_gradient(x, np.zeros(count, int))
    assert Counting.traces == 2


def test_the_estimator_follows_the_weights():
    model = smooth_model(3)
    estimator = classifier(model)
    x = np.ones((2, 6), "float32")
    before = estimator.predict(x), estimator.class_gradient(x), array(estimator.model(x))
    model.layers[-1].kernel.assign(2.0 * model.layers[-1].kernel)
    after = estimator.predict(x), estimator.class_gradient(x), array(estimator.model(x))
    for old, new in zip(before, after):
        np.testing.assert_allclose(new, 2.0 * old, rtol=1e-4)


def test_a_model_of_one_unit_has_two_classes():
    model = smooth_model(1)
    estimator = classifier(model)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    f = array(model(x))
    assert estimator.nb_classes == 2
    np.testing.assert_allclose(estimator.predict(x), np.hstack([-f, f]), rtol=1e-6)
    gradients = estimator.class_gradient(x)
    np.testing.assert_array_equal(gradients[:, 0], -gradients[:, 1])


def softmax_in_dense():
    return [keras.layers.Dense(3, "softmax")]


def softmax_layer():
    return [keras.layers.Dense(3), keras.layers.Softmax()]


def softmax_activation():
    return [keras.layers.Dense(3), keras.layers.Activation("softmax")]


def softmax_in_nested_model():
    return [keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")])]


@pytest.mark.parametrize(
    "ending", [softmax_in_dense, softmax_layer, softmax_activation, softmax_in_nested_model]
)
def test_a_final_softmax_is_taken_off(ending):
    model = keras.Sequential([keras.Input((6,)), *ending()])
    with pytest.warns(UserWarning, match="ends in probabilities"):
        estimator = classifier(model)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    logits, probabilities = estimator.predict(x), array(model(x))
    assert np.abs(logits.sum(axis=1) - 1.0).min() > 1e-3
    exponentials = np.exp(logits)
    np.testing.assert_allclose(
        exponentials / exponentials.sum(axis=1, keepdims=True), probabilities, rtol=1e-5
    )
    np.testing.assert_allclose(array(model(x)), probabilities, rtol=1e-6)


def test_a_final_sigmoid_is_taken_off():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    with pytest.warns(UserWarning, match="ends in probabilities"):
        estimator = classifier(model)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    f = estimator.predict(x)[:, 1]
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-f)), array(model(x))[:, 0], rtol=1e-5)


def test_declared_probabilities_become_logarithms():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")])
    estimator = classifier(model, outputs="probabilities")
    x = np.ones((2, 6), "float32")
    np.testing.assert_allclose(estimator.predict(x), np.log(array(model(x))), rtol=1e-5)
    binary = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    p = array(binary(x))[:, 0]
    estimator = classifier(binary, outputs="probabilities")
    np.testing.assert_allclose(estimator.predict(x)[:, 1], np.log(p / (1.0 - p)), atol=1e-5)


def test_a_keras_loss_reads_the_outputs_of_the_model():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    loss = keras.losses.BinaryCrossentropy()
    with pytest.warns(UserWarning, match="ends in probabilities"):
        estimator = classifier(model, loss=loss)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    y = np.array([0, 1, 1, 0, 1])
    expected = float(loss(y[:, None].astype("float32"), model(x)))
    assert estimator.compute_loss(x, y, reduction="mean") == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(
        estimator.loss_gradient(x, y),
        numeric_gradient(lambda x: float(loss(y[:, None].astype("float32"), model(x))), x),
        atol=1e-3,
    )


def test_sparse_and_dense_losses_agree():
    model = smooth_model(3)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    y = np.array([0, 1, 2, 0])
    kinds = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
    losses = [kind(from_logits=True, reduction="sum") for kind in kinds] + ["crossentropy"]
    gradients = [classifier(model, loss=loss).loss_gradient(x, y) for loss in losses]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)
    np.testing.assert_allclose(gradients[0], len(x) * gradients[2], atol=1e-6)


def test_preprocessing_is_differentiated():
    model = smooth_model(3)
    mean, std = np.arange(6.0), np.linspace(0.5, 2.0, 6)
    estimator = classifier(model, preprocessing=(mean, std))
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    inner = ((x - mean) / std).astype("float32")
    np.testing.assert_allclose(estimator.predict(x), array(model(inner)), atol=1e-5)
    np.testing.assert_allclose(
        estimator.class_gradient(x),
        classifier(model).class_gradient(inner) / std,
        atol=1e-5,
    )


def test_half_precision_models_give_float32():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, "tanh", dtype="mixed_float16"),
            keras.layers.Dense(3, dtype="mixed_float16"),
        ]
    )
    estimator = classifier(model)
    x = np.ones((2, 6), "float64")
    results = estimator.predict(x), estimator.class_gradient(x), estimator.loss_gradient(x, [0, 1])
    assert {result.dtype for result in results} == {np.dtype("float32")}


def test_activations_of_hidden_layers(estimator, cnn, digits):
    x = digits[0][:3]
    expected = array(cnn.layers[0](x))
    name = cnn.layers[0].name
    assert name in estimator.layer_names
    np.testing.assert_allclose(estimator.get_activations(x, 0), expected, atol=1e-6)
    np.testing.assert_allclose(estimator.get_activations(x, name), expected, atol=1e-6)


def test_activations_of_a_layer_that_another_network_called_first():
    hidden, inputs = keras.layers.Dense(3, name="hidden"), keras.Input((4,))
    keras.Model(inputs, hidden(inputs))
    scaled = keras.layers.Rescaling(2.0)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden(scaled)))
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(
        classifier(model).get_activations(x, "hidden"), array(hidden(2.0 * x)), atol=1e-6
    )


def test_tensors_give_tensors(estimator, batch):
    x, y = (keras.ops.convert_to_tensor(part) for part in batch)
    gradient = estimator.loss_gradient(x, y)
    assert keras.ops.is_tensor(gradient)
    np.testing.assert_allclose(array(gradient), estimator.loss_gradient(*batch), atol=1e-7)
