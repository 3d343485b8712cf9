"""Purifier and classifier together: the outputs, and the two derivatives."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.backend.keras_graph import mask_of
from lipot.models import Purified, StraightThrough
from lipot.purifiers import MedianFilter
from tests.helpers import numeric_gradient, to_numpy


def small_classifier():
    layers = [keras.layers.Flatten(), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4, 4, 1)), *layers])


def first_logit(model, x):
    return backend.value_and_input_gradient(lambda z: ops.sum(model(z)[:, 0]), x)


@pytest.fixture(scope="module")
def x():
    # Apart from each other: differences must not change which pixel is the median.
    values = np.random.default_rng(0).permutation(32) / 40.0
    return values.reshape(2, 4, 4, 1).astype("float32")


def test_the_outputs_do_not_depend_on_the_derivative(x):
    classifier = small_classifier()
    expected = to_numpy(classifier(MedianFilter()(x)))
    for backward in ("identity", "exact"):
        model = Purified(MedianFilter(), classifier, backward)
        assert np.array_equal(to_numpy(model(x)), expected)
        assert np.array_equal(to_numpy(model.purify(x)), to_numpy(MedianFilter()(x)))


def test_the_identity_takes_the_gradient_of_the_classifier_at_the_purified_point(x):
    classifier = small_classifier()
    model = Purified(MedianFilter(), classifier, "identity")
    _, expected = first_logit(classifier, MedianFilter()(x))
    value, found = first_logit(model, x)
    assert np.allclose(to_numpy(found), to_numpy(expected), atol=1e-6)
    # An ulp of the input must not hide in x + (p - x).
    assert float(value) == float(ops.sum(classifier(MedianFilter()(x))[:, 0]))


def test_the_exact_derivative_is_that_of_finite_differences(x):
    model = Purified(MedianFilter(), small_classifier(), "exact")
    _, found = first_logit(model, x)
    value = lambda z: ops.sum(model(z.astype("float32"))[:, 0])  # noqa: E731
    expected = numeric_gradient(value, x.astype("float64"), step=1e-3)
    assert np.allclose(to_numpy(found), expected, atol=2e-3)
    identity = to_numpy(first_logit(model.with_backward("identity"), x)[1])
    assert np.max(np.abs(identity - expected)) > 0.01


def test_it_survives_a_round_trip(x, tmp_path):
    model = Purified(MedianFilter(5), small_classifier(), "exact")
    model.save(tmp_path / "purified.keras")
    loaded = keras.saving.load_model(tmp_path / "purified.keras", safe_mode=True)
    assert loaded.backward == "exact" and loaded.purifier.size == 5
    assert np.allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_the_purifier_stays_in_inference_mode(x):
    dropout = keras.layers.Dropout(0.9, seed=0)
    model = Purified(dropout, small_classifier())
    assert np.array_equal(to_numpy(model(x, training=True)), to_numpy(model(x)))


def test_no_certificate_is_invented(x):
    model = Purified(MedianFilter(), small_classifier())
    with pytest.raises(ValueError, match="Purified"):
        lipot.certify(model, x)
    with pytest.raises(ValueError, match="Purified"):
        lipot.lipschitz_constant(model)


def test_it_is_evaluated_without_a_proof(x):
    model = Purified(MedianFilter(), small_classifier())
    y = model.predict(x, verbose=0).argmax(axis=1)
    quiet = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}
    (found,) = lipot.evaluate(model, x, y, "inf", [0.1], ["pgd"], **quiet).evaluations
    assert found.certified_radius is None and not found.random


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"purifier": "median"}, "purifier"),
        ({"classifier": MedianFilter()}, "classifier"),
        ({"backward": "straight"}, "backward"),
        ({"purifier": keras.layers.Flatten()}, "purifier"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, name):
    fits = {"purifier": MedianFilter(), "classifier": small_classifier()}
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        Purified(**{**fits, **arguments})


def test_the_value_is_that_of_the_model_however_large_the_surrogate():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    parts = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)]
    parts[1].layers[0].kernel.assign(1e6 * parts[1].layers[0].kernel)
    np.testing.assert_array_equal(StraightThrough(*parts).predict(x), parts[0].predict(x))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(("junk", None), "model"), ((keras.layers.Flatten(), 3), "surrogate")],
)
def test_a_straight_through_of_no_models_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        StraightThrough(*arguments)


def test_a_model_without_a_network_of_its_own_needs_a_surrogate():
    with pytest.raises(ValueError, match="argument `surrogate`"):
        StraightThrough(keras.layers.Flatten())


def test_the_twin_has_the_dtype():
    model = Purified(MedianFilter(3), small_classifier(), dtype="float64")
    assert model.with_backward("exact").dtype == "float64"


def test_masks_are_those_that_the_classifier_reads_off_purified_inputs():
    images = np.ones((2, 4, 4, 1), "float32")
    images[1] = 0.0
    reader = [keras.layers.Flatten(), keras.layers.Masking(), keras.layers.Dense(2)]
    model = Purified(MedianFilter(3), keras.Sequential([keras.Input((4, 4, 1)), *reader]))
    assert np.array(mask_of(model(images))).tolist() == [True, False]
    with pytest.warns(UserWarning, match="median_filter.* does not support masking"):
        MedianFilter(3)(keras.layers.Masking()(images))
