"""A softmax or a sigmoid after the logits changes no class; a second one does."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import to_numpy

CHAINS = {
    "sigmoids": (1, ["sigmoid"], ["sigmoid"]),
    "sigmoid layers": (1, [None], ["sigmoid", "sigmoid"]),
    "softmaxes": (3, ["softmax"], ["softmax"]),
    "softmax layers": (3, [None], [layers.Softmax, "softmax"]),
    "with nothing between": (3, ["softmax"], [lambda: layers.Dropout(0.5), layers.Softmax]),
    "three": (1, ["sigmoid"], ["sigmoid", "linear", "sigmoid"]),
}


def chain(units, activations, others):
    kinds = [layers.Activation(o) if isinstance(o, str) else o() for o in others]
    dense = layers.Dense(units, activation=activations[0])
    return [dense, *kinds]


@pytest.mark.parametrize("units, activations, others", CHAINS.values(), ids=CHAINS)
def test_two_squashings_are_refused(units, activations, others):
    model = keras.Sequential([keras.Input((4,)), *chain(units, activations, others)])
    with pytest.raises(ValueError, match="at most one softmax or sigmoid.*Leave one of them out"):
        lipot.certify(model, np.ones((1, 4)))


@pytest.mark.parametrize("units, activations, others", CHAINS.values(), ids=CHAINS)
def test_two_squashings_of_nested_models_are_refused(units, activations, others):
    *inside, last = chain(units, activations, others)
    model = keras.Sequential([keras.Input((4,)), keras.Sequential(inside), last])
    with pytest.raises(ValueError, match="at most one softmax or sigmoid"):
        lipot.certify(model, np.ones((1, 4)))


def test_the_class_after_one_squashing_is_that_of_the_logit():
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    for units, function in ((1, "sigmoid"), (3, "softmax")):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(units),
                layers.Dropout(0.5),
                layers.Activation(function),
            ]
        )
        model = keras.Sequential([keras.Input((4,)), model, layers.Identity()])
        certificate = lipot.certify(model, x)
        served = to_numpy(model(x))
        classes = served[:, 0] > 0.5 if units == 1 else served.argmax(axis=1)
        certified = certificate.radius > 0.0
        assert certified.mean() > 0.9
        np.testing.assert_array_equal(certificate.predictions[certified], classes[certified])


@pytest.mark.parametrize("softmax", [keras.layers.Softmax, "softmax"])
def test_a_softmax_of_many_values_rounds_the_sum_that_it_divides_by(softmax):
    # Each of the others adds half a unit of the last place of the sum to it, which is lost or
    # doubled by how the rest is rounded.
    values, step = 300_007, 2e-4
    inputs = keras.Input((values,))
    layer = keras.layers.Activation(softmax) if softmax == "softmax" else softmax()
    shares = layer(inputs)
    head = keras.layers.Dense(2)
    model = keras.Model(inputs, head(shares[:, :2]))
    share = keras.Model(inputs, shares[:, :1])
    x = np.full((1, values), -step, "float32")
    x[0, 0] = -np.log((np.floor(2.0**23 / values) + 0.5) * 2.0**-23)
    moved = np.where(np.arange(values) == 0, x, np.float32(step))
    before, after = (float(share.predict(z, verbose=0)[0, 0]) for z in (x, moved))
    middle = after + 0.02 * (before - after)
    head.set_weights([np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([-middle, middle])])
    radius = lipot.certify(model, x, norm="inf").radius[0]
    changed = np.argmax(model.predict(moved, verbose=0)) != np.argmax(model.predict(x, verbose=0))
    assert changed and radius < np.abs(moved.astype("float64") - x).max()
