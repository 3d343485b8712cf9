"""Data of another scale than a model was trained on make no flattering report."""

import functools
import warnings

import keras
import numpy as np
import pytest

import lipot
from lipot.certificates.input_scale import InputScale, input_scale

QUIET = {"sanity": False, "views": False, "progress": False}
POINTS = 24


@functools.cache
def digits():
    """Digits in [0, 1], and the linear classifier that least squares find on them."""
    data = lipot.datasets.load("digits")
    features = np.c_[data.x_train.reshape(len(data.x_train), -1), np.ones(len(data.x_train))]
    weights = np.linalg.lstsq(features, 2.0 * np.eye(10)[data.y_train] - 1.0, rcond=None)[0]
    return data.x_test[:POINTS], data.y_test[:POINTS], weights


def network(*before, factor=1.0, shift=0.0, colors=1):
    """That classifier, of digits times `factor` plus `shift` once `before` has seen them."""
    weights = digits()[2]
    kernel = np.repeat(weights[:-1] / factor / colors, colors, axis=0)
    dense = keras.layers.Dense(10)
    inputs = keras.Input((8, 8, colors))
    model = keras.Sequential([inputs, *before, keras.layers.Flatten(), dense])
    dense.set_weights([kernel, weights[-1] - shift * colors * kernel.sum(axis=0)])
    return model


def normalization(mean, deviation):
    return keras.layers.Normalization(mean=mean, variance=deviation**2)


def batch_normalization(mean, deviation):
    layer = keras.layers.BatchNormalization(epsilon=1e-12)
    layer.build((None, 8, 8, 1))
    layer.set_weights([np.array([value]) for value in (1.0, 0.0, mean, deviation**2)])
    return layer


def functional():
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, network()(inputs / 255.0))


# Name: the model, what digits in [0, 1] are multiplied by for it, and channels.
TRAINED_ON_PIXELS = {
    "rescaling": lambda: network(keras.layers.Rescaling(1 / 255)),
    "centred rescaling": lambda: network(
        keras.layers.Rescaling(1 / 127.5, offset=-1.0), factor=2.0, shift=-1.0
    ),
    "normalization": lambda: network(normalization(80.0, 90.0), factor=255 / 90, shift=-80 / 90),
    "batch normalization": lambda: network(
        batch_normalization(80.0, 90.0), factor=255 / 90, shift=-80 / 90
    ),
    "inside a model": lambda: keras.Sequential(
        [keras.Input((8, 8, 1)), network(keras.layers.Rescaling(1 / 255))]
    ),
    "arithmetic": functional,
    "mean taken off": lambda: network(
        keras.layers.Rescaling(1.0, offset=-100.0), factor=255.0, shift=-100.0
    ),
}


@functools.cache
def expected():
    """The report on [0, 1], where nothing is in doubt."""
    x, y, _ = digits()
    report = lipot.evaluate(network(), x, y, 2, [0.1, 1.0], ["pgd"], **QUIET)
    return report.table()[["clean", "robust", "certified"]].values


def test_images_up_to_1_are_recognized():
    clean, robust, certified = expected().T
    assert clean[0] > 0.8 and robust[1] < 0.4 and certified[1] < 0.1


def test_images_up_to_255_of_a_network_trained_up_to_1_are_refused():
    x, y, _ = digits()
    # Least squares with a small bias: what the wrong scale does to a network is to flatter it.
    with pytest.raises(ValueError, match="nothing in the model tells whether it was trained on"):
        lipot.evaluate(network(), 255 * x, y, 2, 1.0, ["pgd"], **QUIET)


@pytest.mark.parametrize("name", TRAINED_ON_PIXELS)
def test_preprocessing_inside_says_what_the_pixels_are(name):
    x, y, _ = digits()
    model = TRAINED_ON_PIXELS[name]()
    report = lipot.evaluate(model, 255 * x, y, 2, [25.5, 255.0], ["pgd"], **QUIET)
    assert report.evaluations[0].settings["data range"] == [0.0, 255.0]
    found = report.table()[["clean", "robust", "certified"]].values
    # A certificate bounds each layer alone; an attack meets another rounding.
    assert np.allclose(found, expected(), atol=1.5 / POINTS)
    with pytest.raises(ValueError, match="it was not trained on such images"):
        lipot.evaluate(model, x, y, 2, 0.1, ["pgd"], **QUIET)
    with pytest.warns(UserWarning, match="trained on points of another scale"):
        lipot.evaluate(model, x, y, 2, 0.1, ["fgsm"], clip_values=(0, 1), **QUIET)


def test_preprocessing_for_images_up_to_1_refuses_those_up_to_255():
    x, y, _ = digits()
    for layers, factor, shift in (
        (keras.layers.Rescaling(2.0, offset=-1.0), 2.0, -1.0),
        (normalization(0.3, 0.35), 1 / 0.35, -0.3 / 0.35),
    ):
        model = network(layers, factor=factor, shift=shift)
        report = lipot.evaluate(model, x, y, 2, [0.1, 1.0], ["pgd"], **QUIET)
        assert np.allclose(
            report.table()[["clean", "robust"]].values, expected()[:, :2], atol=1.5 / POINTS
        )
        with pytest.raises(ValueError, match="it was not trained on such images"):
            lipot.evaluate(model, 255 * x, y, 2, 1.0, ["pgd"], **QUIET)


def test_colour_images_are_recognized_as_grey_ones_are():
    x, y, _ = digits()
    colored = np.repeat(x, 3, axis=-1)
    model = network(keras.layers.Rescaling(1 / 255), colors=3)
    eps = [25.5 * 3**0.5, 255.0 * 3**0.5]
    report = lipot.evaluate(model, 255 * colored, y, 2, eps, ["pgd"], **QUIET)
    found = report.table()[["clean", "robust", "certified"]].values
    assert np.allclose(found, expected(), atol=1.5 / POINTS)
    with pytest.raises(ValueError, match="nothing in the model tells"):
        lipot.evaluate(network(colors=3), 255 * colored, y, 2, eps, ["pgd"], **QUIET)


def test_standardized_images_ask_for_their_range():
    x, y, _ = digits()
    model, standardized = network(factor=2.5, shift=-1.0), 2.5 * x - 1.0
    with pytest.raises(ValueError, match=r"neither \[0, 1\] nor \[0, 255\]"):
        lipot.evaluate(model, standardized, y, 2, 0.25, ["pgd"], **QUIET)
    given = {"clip_values": (-1.0, 1.5), **QUIET}
    report = lipot.evaluate(model, standardized, y, 2, [0.25, 2.5], ["pgd"], **given)
    found = report.table()[["clean", "robust", "certified"]].values
    assert np.allclose(found, expected(), atol=1.5 / POINTS)


@pytest.mark.parametrize("high", [1.0, 160.0, 250.0, 300.0])
def test_tables_are_never_taken_for_pixels(high):
    x = np.random.default_rng(0).uniform(0.0, high, (20, 11)).astype("float32")
    x[0, 0] = high
    model = keras.Sequential([keras.Input((11,)), keras.layers.Dense(2)])
    y = model.predict(x, verbose=0).argmax(axis=1)
    for rows in (slice(None), slice(1, 8)):
        with pytest.raises(ValueError, match="recognized of images alone"):
            lipot.evaluate(model, x[rows], y[rows], 2, 1.0, ["pgd"], **QUIET)
    normalized = keras.Sequential(
        [keras.Input((11,)), normalization(high / 2, high / 3), keras.layers.Dense(2)]
    )
    given = {"clip_values": (0.0, high), **QUIET}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        report = lipot.evaluate(normalized, x, y, 2, 0.1 * high, ["fgsm"], **given)
    assert report.evaluations[0].settings["data range is"].startswith("given, and the model's own")


def test_what_shows_no_scale():
    x = digits()[0]
    assert input_scale(network(), x) is None
    padded = network(keras.layers.RandomFlip(), keras.layers.Dropout(0.5))
    assert input_scale(padded, x) is None

    class Code(keras.Model):
        """No graph."""

        def call(self, x):
            return x / 255.0

    assert input_scale(Code(), x) is None
    two = [keras.Input((8, 8, 1)) for _ in range(2)]
    assert input_scale(keras.Model(two, two[0] + two[1]), x) is None
    assert (
        input_scale(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]), x) is None
    )


def test_an_adversarial_model_is_what_it_trains():
    x = digits()[0]
    inside = network(keras.layers.Rescaling(1 / 255))
    model = lipot.AdversarialModel(
        inside, attack=lipot.attacks.FGSM(eps=8.0), losses=[lipot.losses.AdversarialCrossentropy()]
    )
    assert input_scale(model, 255 * x) == InputScale(0.0, 1.0, True)


def test_untold_pixels_are_warned_of_once():
    x, y, _ = digits()
    loud = {**QUIET, "views": True, "clip_values": (0, 255)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lipot.evaluate(network(factor=255.0), 255.0 * x, y, "inf", 2.0, ["fgsm"], **loud)
    assert sum("inputs reach 255" in str(warning.message) for warning in caught) == 1
